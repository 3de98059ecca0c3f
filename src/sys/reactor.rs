//! Registering descriptors with tokio's epoll reactor.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A descriptor that the reactor of this thread watches. It is shared so that a query can ask the kernel about it.
pub type Registered = AsyncFd<Arc<OwnedFd>>;

/// Registers a descriptor that nobody else needs for `interest`.
pub fn register_own(descriptor: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an OwnedFd is open until it is dropped and its number never changes; the AsyncFd owns it.
    unsafe { AsyncFd::register_with_interest(descriptor, interest) }.map_err(io::Error::from)
}

/// Registers `descriptor` for `interest`. Fails with EPERM for what epoll cannot watch (regular files, /dev/null).
pub fn register(descriptor: Arc<OwnedFd>, interest: Interest) -> io::Result<Registered> {
    // SAFETY: an OwnedFd is open until it is dropped and its number never changes; the AsyncFd holds a reference to it
    // for as long as it lives.
    unsafe { AsyncFd::register_with_interest(descriptor, interest) }.map_err(io::Error::from)
}
