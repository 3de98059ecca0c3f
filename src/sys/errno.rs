//! Names of errors.

use std::io;

use nix::errno::Errno;

/// The name of an error's errno, e.g. `ENOSPC`; `EIO` where it has none.
#[must_use]
pub fn name(error: &io::Error) -> String {
    let errno = error.raw_os_error().map_or(Errno::EIO, Errno::from_raw);
    format!("{errno:?}")
}

/// A nix error as a standard one.
#[must_use]
pub fn io(errno: Errno) -> io::Error {
    io::Error::from_raw_os_error(errno as i32)
}
