//! The ends of a child's pipes. The child's ends block, as programs expect; the daemon's do not. All are made
//! close-on-exec: an end that another child inherits by accident would keep EOF from ever coming.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::fcntl::{FcntlArg, OFlag, SpliceFFlags, fcntl, open, splice};
use nix::sys::stat::{Mode, fstat};
use nix::unistd::pipe2;

fn set_nonblocking(end: BorrowedFd<'_>) -> nix::Result<()> {
    let flags = OFlag::from_bits_retain(fcntl(end, FcntlArg::F_GETFL)?);
    fcntl(end, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK)).map(drop)
}

/// A pipe into a child: its blocking read end, and a write end that does not block.
pub fn input_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC)?;
    set_nonblocking(writer.as_fd())?;
    Ok((reader, writer))
}

/// A pipe out of a child: a read end that does not block, and its blocking write end.
pub fn output_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC)?;
    set_nonblocking(reader.as_fd())?;
    Ok((reader, writer))
}

/// A new open file description of a pipe's read end, blocking. O_NONBLOCK belongs to the description, which a dup
/// shares: through this, what one life sets on its stdin does not reach the next. Needs /proc.
pub fn fresh_reader(reader: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let path = format!("/proc/self/fd/{}", reader.as_raw_fd());
    // An anonymous pipe opens at once even when it has no writer (unlike a FIFO, fifo(7)).
    Ok(open(path.as_str(), OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?)
}

/// Gives a pipe to a user, so that what runs as that user can open its end anew: /dev/stdin, /proc/self/fd/1. It stays
/// readable and writable for nobody else. One that may not give it away may not become that user either, and a child
/// says that in better words: no error.
pub fn give(end: BorrowedFd<'_>, uid: u32) -> io::Result<()> {
    match nix::unistd::fchown(end, Some(uid.into()), None) {
        Ok(()) | Err(nix::errno::Errno::EPERM) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// /dev/null for reading and writing.
pub fn null() -> io::Result<OwnedFd> {
    Ok(open("/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())?)
}

/// The pipe's inode number, as it stands in the links under /proc/PID/fd.
pub fn pipe_identity(end: BorrowedFd<'_>) -> io::Result<u64> {
    Ok(fstat(end)?.st_ino)
}

/// Takes up to `most` bytes out of a pipe and shows them to nobody; `null` is /dev/null. Costs less than reading them, and
/// what is to be left out must hold nobody up. `WouldBlock` when nothing is there, 0 at the end.
pub fn discard(end: BorrowedFd<'_>, null: BorrowedFd<'_>, most: usize) -> io::Result<usize> {
    loop {
        match splice(end, None, null, None, most, SpliceFFlags::SPLICE_F_NONBLOCK) {
            Err(nix::errno::Errno::EINTR) => {}
            other => return Ok(other?),
        }
    }
}

/// read(2), again when a signal came in between. `WouldBlock` when nothing is there, 0 at the end.
pub fn read(end: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match nix::unistd::read(end, buffer) {
            Err(nix::errno::Errno::EINTR) => {}
            other => return Ok(other?),
        }
    }
}
