//! Notices that a client has gone, without reading from it. Depends on `sys::reactor`.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::io::{Interest, unix::AsyncFd};
use tokio::net::UnixStream;

use crate::sys::reactor;

/// Resolves when the client has closed its socket. One that has only shut down its writing side (`socat`, `nc`) still
/// reads, and is not gone.
///
/// poll(2): both sides shut down is POLLHUP, the peer's writing side alone is POLLRDHUP; tokio does not tell them apart.
pub(super) async fn gone(stream: &UnixStream) {
    // PRIORITY is never ready on this registration, except by the closed read side that comes with every Interest.
    if stream.ready(Interest::PRIORITY).await.is_err() || hung_up(stream) {
        return;
    }
    // The read side is closed for good, so `stream` wakes no more. A second registration without EPOLLIN is not told
    // of EPOLLRDHUP, and wakes by EPOLLHUP alone.
    if let Ok(watch) = watch(stream) {
        let _ = watch.ready(Interest::PRIORITY).await;
    }
    // Out of descriptors, or out-of-band data: ask now and then.
    while !hung_up(stream) {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

fn watch(stream: &UnixStream) -> std::io::Result<AsyncFd<OwnedFd>> {
    let copy = stream.as_fd().try_clone_to_owned()?;
    reactor::register_own(copy, Interest::PRIORITY)
}

/// Whether there is something to read now, whatever the reactor knows.
pub(super) fn has_unread(stream: &UnixStream) -> bool {
    let mut asked = [PollFd::new(stream.as_fd(), PollFlags::POLLIN)];
    let readable = poll(&mut asked, PollTimeout::ZERO).is_ok_and(|count| count > 0);
    // The end of the stream is readable, too.
    readable && !hung_up(stream)
}

fn hung_up(stream: &UnixStream) -> bool {
    let mut asked = [PollFd::new(stream.as_fd(), PollFlags::empty())];
    match poll(&mut asked, PollTimeout::ZERO) {
        Ok(_) => asked[0].revents().is_some_and(|got| got.contains(PollFlags::POLLHUP)),
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Shutdown;
    use tokio::time::timeout;

    const SOON: Duration = Duration::from_secs(5);

    fn pair() -> (UnixStream, std::os::unix::net::UnixStream) {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        (UnixStream::from_std(ours).unwrap(), theirs)
    }

    #[tokio::test]
    async fn a_closed_socket_is_gone_even_with_unread_bytes() {
        use std::io::Write;
        let (ours, mut theirs) = pair();
        theirs.write_all(b"unread").unwrap();
        drop(theirs);
        timeout(SOON, gone(&ours)).await.unwrap();
    }

    #[tokio::test]
    async fn a_half_closed_socket_is_not_gone_until_it_is_closed() {
        let (ours, theirs) = pair();
        theirs.shutdown(Shutdown::Write).unwrap();
        let mut waiting = Box::pin(gone(&ours));
        // The first polls see the half-close; the future must still be pending after them.
        for _ in 0..10 {
            tokio::select! { biased; () = &mut waiting => panic!("it still reads"), () = tokio::task::yield_now() => {} }
        }
        drop(theirs);
        timeout(SOON, waiting).await.unwrap();
    }
}
