//! Sockets that the service manager passes. sd_listen_fds(3).

use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};

use super::errno;

/// The descriptors passed to this process, with their names, close-on-exec from now on. Called once, before anything else
/// is opened: what is passed begins at descriptor 3.
pub fn take() -> io::Result<Vec<(OwnedFd, String)>> {
    let mut taken = Vec::new();
    for (number, name) in sd_notify::listen_fds_with_names()? {
        // SAFETY: the borrow ends with this statement, and a number that is not open is only answered with EBADF.
        let there = fcntl(
            unsafe { BorrowedFd::borrow_raw(number) },
            FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC),
        );
        there.map_err(errno::io)?;
        // SAFETY: the descriptor is open, was passed to this process by its parent, and nothing else has taken it: this
        // is called once, before anything is opened.
        taken.push((unsafe { OwnedFd::from_raw_fd(number) }, name));
    }
    Ok(taken)
}
