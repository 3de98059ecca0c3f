//! Registering with tokio's reactor what a supervisor waits for. Must be called within a runtime.

use std::io;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::Child;

/// Watches a child for its exit. One that cannot be watched is killed and reaped.
pub fn watch_child(child: Child) -> io::Result<AsyncFd<Child>> {
    // SAFETY: a Child owns its pidfd, gives out always the same, and closes it only when it is dropped.
    let watched = unsafe { AsyncFd::register_with_interest(child, Interest::READABLE) };
    Ok(watched?)
}
