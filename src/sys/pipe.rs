//! Pipes: making them, their size, how much stands in them, and moving bytes through them without copying.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, SpliceFFlags, fcntl, open};
use nix::sys::stat::Mode;

use super::errno;

mod raw {
    nix::ioctl_read_bad!(fionread, nix::libc::FIONREAD, nix::libc::c_int);
}

/// A new pipe: (read end, write end), both close-on-exec and blocking. Close-on-exec from the first moment, so that no
/// child that another thread forks meanwhile inherits an end.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    nix::unistd::pipe2(OFlag::O_CLOEXEC).map_err(errno::io)
}

/// Sets or clears O_NONBLOCK. It belongs to the open file description, which dup(2) and fork(2) share.
pub fn set_nonblocking(end: impl AsFd, on: bool) -> io::Result<()> {
    let flags = fcntl(&end, FcntlArg::F_GETFL).map_err(errno::io)?;
    let mut flags = OFlag::from_bits_retain(flags);
    flags.set(OFlag::O_NONBLOCK, on);
    fcntl(&end, FcntlArg::F_SETFL(flags)).map(drop).map_err(errno::io)
}

/// A new open file description of the pipe or FIFO behind `end`, whatever its path is by now: flags set on it are its
/// own. proc_pid_fd(5).
pub fn reopen(end: impl AsFd, flags: OFlag) -> io::Result<OwnedFd> {
    let path = format!("/proc/self/fd/{}", end.as_fd().as_raw_fd());
    open(path.as_str(), flags | OFlag::O_CLOEXEC | OFlag::O_NOCTTY, Mode::empty()).map_err(errno::io)
}

/// Bytes that stand in a pipe unread (FIONREAD; either end can be asked). 0 where it cannot be told.
#[must_use]
pub fn unread(end: impl AsFd) -> u64 {
    let mut count: nix::libc::c_int = 0;
    // SAFETY: FIONREAD writes one c_int to the address given, which is that of a live local; the descriptor is borrowed
    // and so open.
    match unsafe { raw::fionread(end.as_fd().as_raw_fd(), &raw mut count) } {
        Ok(_) => u64::try_from(count).unwrap_or(0),
        Err(_) => 0,
    }
}

/// The capacity of a pipe in bytes, of whole slots.
pub fn size(end: impl AsFd) -> io::Result<u64> {
    let size = fcntl(end, FcntlArg::F_GETPIPE_SZ).map_err(errno::io)?;
    Ok(u64::try_from(size).unwrap_or(0))
}

/// Asks for a capacity and tells what it is now. The kernel rounds up, refuses to shrink below what stands in the pipe
/// (EBUSY), and limits an unprivileged user's pipes in sum (EPERM).
pub fn set_size(end: impl AsFd, bytes: u64) -> io::Result<u64> {
    let wanted = i32::try_from(bytes).map_err(|_| errno::io(Errno::EINVAL))?;
    let size = fcntl(end, FcntlArg::F_SETPIPE_SZ(wanted)).map_err(errno::io)?;
    Ok(u64::try_from(size).unwrap_or(0))
}

/// How many pages the pipes of an unprivileged user may have in sum before its pipes are made smaller; `None`: no limit, or
/// it cannot be told. pipe(7)
#[must_use]
pub fn soft_limit() -> Option<u64> {
    static PAGES: std::sync::OnceLock<Option<u64>> = std::sync::OnceLock::new();
    *PAGES.get_or_init(|| {
        let text = std::fs::read_to_string("/proc/sys/fs/pipe-user-pages-soft").ok()?;
        text.trim().parse().ok().filter(|pages| *pages > 0)
    })
}

/// splice(2) from one pipe to another, at most `most` bytes, without waiting. `Ok(0)`: the source is empty and has no
/// writer. `WouldBlock`: the source is empty *or* the destination is full.
pub fn splice(from: impl AsFd, to: impl AsFd, most: usize) -> io::Result<usize> {
    let flags = SpliceFFlags::SPLICE_F_NONBLOCK | SpliceFFlags::SPLICE_F_MOVE;
    nix::fcntl::splice(from, None, to, None, most, flags).map_err(errno::io)
}

/// tee(2) from one pipe to another, at most `most` bytes of the head of the source, which keeps them, without waiting.
/// Whoever asks twice gets the same bytes twice. `Ok(0)`: the source is empty and has no writer. `WouldBlock`: the source
/// is empty *or* the destination is full.
pub fn tee(from: impl AsFd, to: impl AsFd, most: usize) -> io::Result<usize> {
    nix::fcntl::tee(from, to, most, SpliceFFlags::SPLICE_F_NONBLOCK).map_err(errno::io)
}

/// Whether somebody has the pipe or FIFO behind this read end open for writing. Takes nothing out of it: tee(2) of an
/// empty pipe tells "nobody writes" (0) from "nothing yet" (EAGAIN), and what comes meanwhile stays where it is. `None`
/// where it cannot be told, as when there are no descriptors left.
#[must_use]
pub fn has_writer(end: impl AsFd) -> Option<bool> {
    let (_unread, scratch) = pair().ok()?;
    match nix::fcntl::tee(end, scratch, 1, SpliceFFlags::SPLICE_F_NONBLOCK) {
        Ok(0) => Some(false),
        Ok(_) | Err(Errno::EAGAIN) => Some(true),
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tee_takes_the_head_and_leaves_it() {
        let (source, writer) = pair().unwrap();
        let (copy, to) = pair().unwrap();
        let would_block = |error: io::Error| error.kind() == io::ErrorKind::WouldBlock;
        assert!(tee(&source, &to, 8).is_err_and(would_block));
        nix::unistd::write(&writer, b"abc").unwrap();
        assert_eq!(tee(&source, &to, 2).unwrap(), 2);
        assert_eq!(tee(&source, &to, 8).unwrap(), 3);
        assert_eq!((unread(&source), unread(&copy)), (3, 5));
        let mut found = [0; 8];
        assert_eq!(nix::unistd::read(&copy, &mut found), Ok(5));
        assert_eq!(&found[..5], b"ababc");
        assert_eq!(nix::unistd::read(&source, &mut found), Ok(3));
        drop(writer);
        assert_eq!(tee(&source, &to, 8).unwrap(), 0);
    }

    #[test]
    fn a_writer_is_seen_without_taking_a_byte() {
        let (reader, writer) = pair().unwrap();
        assert_eq!(has_writer(&reader), Some(true));
        nix::unistd::write(&writer, b"ab").unwrap();
        assert_eq!(has_writer(&reader), Some(true));
        drop(writer);
        // What stands in it hides that: nobody asks then.
        assert_eq!(unread(&reader), 2);
        assert_eq!(nix::unistd::read(&reader, &mut [0; 8]), Ok(2));
        assert_eq!(has_writer(&reader), Some(false));
        assert_eq!(has_writer(std::fs::File::open("/dev/null").unwrap()), None);
    }
}
