//! The fast path: splice(2) from one pipe into another, no byte in user space.

use std::cell::Cell;
use std::io::{self, ErrorKind};
use std::os::fd::BorrowedFd;

use nix::errno::Errno;

use super::end::{ReadEnd, WriteEnd, at_end};
use crate::sys::{pipe, poll};

/// After so many answers in a row that poll(2) contradicts (EAGAIN, or 0 with bytes there), the kernel is taken to refuse.
const CONTRADICTIONS: u32 = 8;

/// splice(2) or tee(2): at most so many bytes from the first pipe into the second, without waiting.
pub(super) type Call = fn(BorrowedFd<'_>, BorrowedFd<'_>, usize) -> io::Result<usize>;

/// What a splice did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moved {
    /// So many bytes, at least one.
    Bytes(usize),
    /// There is nothing to read now.
    Nothing,
    /// Every writer has left and nothing is left to read: an end of file.
    End,
    /// The source has bytes, and the destination has no room.
    Full,
    /// EPIPE: nobody reads. The source's bytes are where they were.
    NoReader,
    /// splice(2) does not work here; nothing was moved.
    Refused(Errno),
}

impl Moved {
    pub(super) fn refused(error: &io::Error) -> Moved {
        Moved::Refused(error.raw_os_error().map_or(Errno::EIO, Errno::from_raw))
    }
}

/// Moves at most `most` bytes without waiting.
pub fn splice(from: &ReadEnd, to: &WriteEnd, most: usize) -> Moved {
    // What the inner call found, where the reactor's readiness alone does not say it.
    let found = Cell::new(None);
    let destination = to.attempt(|output| {
        let source = from.attempt(|input| {
            // After less than was asked for there is a reason, most of the time, and to ask for it is cheaper than to try.
            let known = from.was_short().then(|| obstacle(input, output)).flatten();
            let moved =
                known.unwrap_or_else(|| call(input, output, most, |from, to, most| pipe::splice(from, to, most)));
            from.set_short(matches!(moved, Moved::Bytes(count) if count < most));
            found.set(Some(moved));
            if moved == Moved::Nothing {
                Err(ErrorKind::WouldBlock.into())
            } else {
                Ok(())
            }
        });
        match (source, found.get()) {
            (Ok(_), Some(Moved::Full)) => Err(ErrorKind::WouldBlock.into()),
            (source, _) => source.map(drop),
        }
    });
    match (destination, found.get()) {
        (_, Some(moved)) => {
            if matches!(moved, Moved::Bytes(count) if count >= super::BULKY) {
                from.grow();
                to.grow();
            }
            moved
        }
        // Nothing was called: one side is known not to be ready. The destination's readiness is cleared only when the
        // source had bytes that it refused.
        (Ok(None), None) => Moved::Full,
        (Ok(Some(())), None) => Moved::Nothing,
        (Err(error), None) => Moved::refused(&error),
    }
}

/// Makes the call until it is clear what it says.
pub(super) fn call(input: BorrowedFd<'_>, output: BorrowedFd<'_>, most: usize, by: Call) -> Moved {
    let mut contradictions = 0;
    loop {
        match by(input, output, most) {
            Ok(0) => match at_end(input) {
                Some(true) => return Moved::End,
                Some(false) => return Moved::Nothing,
                None if contradictions == CONTRADICTIONS => return Moved::Refused(Errno::EIO),
                None => contradictions += 1,
            },
            Ok(count) => return Moved::Bytes(count),
            Err(error) => match refusal(&error, input, output) {
                Some(moved) => return moved,
                None if contradictions == CONTRADICTIONS => return Moved::Refused(Errno::EAGAIN),
                None => contradictions += 1,
            },
        }
    }
}

/// What an error of splice(2) or tee(2) means; `None`: try again.
fn refusal(error: &io::Error, input: BorrowedFd<'_>, output: BorrowedFd<'_>) -> Option<Moved> {
    match error.raw_os_error().map_or(Errno::EIO, Errno::from_raw) {
        Errno::EINTR => None,
        Errno::EPIPE => Some(Moved::NoReader),
        Errno::EAGAIN => obstacle(input, output),
        errno => Some(Moved::Refused(errno)),
    }
}

/// Why nothing can be moved now; `None`: poll(2) knows of no reason.
pub(super) fn obstacle(input: BorrowedFd<'_>, output: BorrowedFd<'_>) -> Option<Moved> {
    let (source, destination) = poll::both(input, output);
    if !source.readable {
        Some(if source.hung_up { Moved::End } else { Moved::Nothing })
    } else if destination.no_reader {
        Some(Moved::NoReader)
    } else if !destination.writable {
        Some(Moved::Full)
    } else {
        None
    }
}
