//! What a file's bytes go to: how it is opened, whether it is there for the first time or in place of one before.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use crate::endpoint::ends::OpenError;

/// An open file.
#[derive(Debug)]
pub(super) struct Target {
    pub file: File,
    /// A character device. One that refuses a write will refuse the next one too.
    pub device: bool,
}

/// Opens for appending, making a file of mode 0640 where there is none. May take as long as the disk likes.
pub(super) fn open(path: &Path) -> Result<Target, OpenError> {
    let shown = path.display();
    // O_NONBLOCK: a FIFO put in its place must not block the opening. It has no effect on a regular file.
    let flags = nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK | nix::libc::O_NOCTTY;
    let opened = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o640)
        .custom_flags(flags)
        .open(path);
    let refuse = |what: &str| {
        let text = format!("{shown} is {what}, not a file; remove it or point `file` elsewhere");
        OpenError::refused(text, "EINVAL")
    };
    let file = opened.map_err(|error| match error.raw_os_error() {
        Some(nix::libc::ELOOP) => refuse("a symbolic link"),
        Some(nix::libc::ENXIO) => refuse("a FIFO or a socket"),
        _ => OpenError::new(format!("cannot open {shown} for appending"), &error),
    })?;
    let kind = file
        .metadata()
        .map_err(|error| OpenError::new(format!("cannot look at {shown}"), &error))?
        .file_type();
    if kind.is_fifo() {
        return Err(refuse("a FIFO"));
    }
    if !kind.is_file() && !kind.is_char_device() {
        return Err(refuse("neither a regular file nor a character device"));
    }
    if kind.is_char_device() {
        crate::sys::pipe::set_nonblocking(&file, false)
            .map_err(|error| OpenError::new(format!("cannot set up {shown}"), &error))?;
    }
    let device = kind.is_char_device();
    Ok(Target { file, device })
}
