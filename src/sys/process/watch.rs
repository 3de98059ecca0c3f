//! Registering with tokio's reactor what a supervisor waits for. Must be called within a runtime.

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::Child;

/// Watches a child for its exit. One that cannot be watched is killed and reaped.
pub fn watch_child(child: Child) -> io::Result<AsyncFd<Child>> {
    // SAFETY: a Child owns its pidfd, gives out always the same, and closes it only when it is dropped.
    let watched = unsafe { AsyncFd::register_with_interest(child, Interest::READABLE) };
    Ok(watched?)
}

/// Watches a socket, or the read end of a pipe, for something to read.
pub fn watch_reader(end: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an OwnedFd is open, is always the same descriptor, and is closed only when it is dropped.
    let watched = unsafe { AsyncFd::register_with_interest(end, Interest::READABLE) };
    Ok(watched?)
}
