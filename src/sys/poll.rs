//! What the kernel says of a descriptor: poll(2), right now or as soon as there is something to say.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::poll::{PollFd, PollFlags, PollTimeout};

use super::errno;

/// The state of one descriptor at the time of asking.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Readiness {
    /// POLLIN: there are bytes.
    pub readable: bool,
    /// POLLOUT: a pipe has at least one free slot.
    pub writable: bool,
    /// POLLHUP: on a read end, there was a writer since it was opened and there is none now.
    pub hung_up: bool,
    /// POLLERR: on a write end, there is no reader.
    pub no_reader: bool,
}

/// Asks at once, without waiting.
#[must_use]
pub fn now(descriptor: impl AsFd) -> Readiness {
    let [found] = ask([descriptor.as_fd()]);
    found
}

/// Asks of two at once.
#[must_use]
pub fn both(one: impl AsFd, other: impl AsFd) -> (Readiness, Readiness) {
    let [one, other] = ask([one.as_fd(), other.as_fd()]);
    (one, other)
}

fn ask<const N: usize>(descriptors: [BorrowedFd<'_>; N]) -> [Readiness; N] {
    let mut asked = descriptors.map(|descriptor| PollFd::new(descriptor, PollFlags::POLLIN | PollFlags::POLLOUT));
    loop {
        match nix::poll::poll(&mut asked, PollTimeout::ZERO) {
            Err(nix::errno::Errno::EINTR) => {}
            // ENOMEM, EINVAL: nothing is known; the caller's next system call will tell.
            Err(_) => {
                return [Readiness {
                    readable: true,
                    writable: true,
                    ..Readiness::default()
                }; N];
            }
            Ok(_) => break,
        }
    }
    asked.map(|asked| {
        let found = asked.revents().unwrap_or(PollFlags::empty());
        Readiness {
            readable: found.contains(PollFlags::POLLIN),
            writable: found.contains(PollFlags::POLLOUT),
            hung_up: found.contains(PollFlags::POLLHUP),
            no_reader: found.contains(PollFlags::POLLERR),
        }
    })
}

/// Sleeps until there is something to read, or nobody will ever write it.
pub fn until_readable(descriptor: impl AsFd) -> io::Result<()> {
    let mut asked = [PollFd::new(descriptor.as_fd(), PollFlags::POLLIN)];
    loop {
        match nix::poll::poll(&mut asked, PollTimeout::NONE) {
            Err(nix::errno::Errno::EINTR) => {}
            polled => return polled.map(drop).map_err(errno::io),
        }
    }
}
