//! The daemon's end of a pipe or FIFO, registered with the relay thread's reactor.
//!
//! tokio remembers that a registration was hung up and never forgets it (its READ_CLOSED and WRITE_CLOSED are sticky),
//! although a FIFO comes back to life with its next peer. An end whose registration is marked so is *stale*: its kind
//! opens a new description, and that is registered instead.

use std::cell::Cell;
use std::future::Future;
use std::io::{self, ErrorKind, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use nix::errno::Errno;
use tokio::io::Interest;

use super::growth::{Growth, SavedGrowth};
use crate::sys::reactor::{self, Registered};
use crate::sys::{errno, poll};

/// What a read did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Took {
    /// So many bytes, at least one.
    Bytes(usize),
    /// There is nothing to read now.
    Nothing,
    /// Every writer has left and nothing is left to read: an end of file.
    End,
}

/// What a write did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrote {
    /// So many bytes, at least one.
    Bytes(usize),
    /// There is no room now.
    Full,
    /// EPIPE: nobody reads.
    NoReader,
}

/// A source's end.
#[derive(Debug)]
pub struct ReadEnd {
    registered: Registered,
    stale: bool,
    growth: Growth,
    /// The last splice from it moved less than it might.
    short: Cell<bool>,
}

impl ReadEnd {
    /// Registers a non-blocking read end.
    pub fn new(descriptor: OwnedFd) -> io::Result<ReadEnd> {
        Ok(ReadEnd {
            registered: reactor::register(Arc::new(descriptor), Interest::READABLE)?,
            stale: false,
            growth: Growth::default(),
            short: Cell::new(false),
        })
    }

    /// For questions to the kernel.
    #[must_use]
    pub fn descriptor(&self) -> &Arc<OwnedFd> {
        self.registered.get_ref()
    }

    /// Its pipe keeps the size that it has, since that was asked for.
    #[must_use]
    pub fn of_fixed_size(self, fixed: bool) -> ReadEnd {
        let growth = if fixed { Growth::none() } else { self.growth };
        ReadEnd { growth, ..self }
    }

    /// What was done to the size of its pipe.
    #[must_use]
    pub fn saved_growth(&self) -> SavedGrowth {
        self.growth.saved()
    }

    /// The same, for the next end of the pipe. This one has nothing to do with it any more.
    #[must_use]
    pub fn part_growth(&self) -> Growth {
        self.growth.part()
    }

    /// Its pipe has been grown before.
    #[must_use]
    pub fn with_growth(mut self, growth: Growth) -> Self {
        self.growth = growth.of(self.descriptor());
        self
    }

    /// Bulk goes through it.
    pub(super) fn grow(&self) {
        self.growth.grow(self.descriptor());
    }

    /// The registration says that it was hung up. If the next read finds no end of file, it must be registered anew.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.stale
    }

    pub(super) fn was_short(&self) -> bool {
        self.short.get()
    }

    pub(super) fn set_short(&self, short: bool) {
        self.short.set(short);
    }

    /// Reads into `buffer` without waiting.
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<Took> {
        self.attempt(|descriptor| {
            loop {
                match nix::unistd::read(descriptor, buffer) {
                    Ok(0) => match end_of(descriptor) {
                        AtZero::End => return Ok(Took::End),
                        AtZero::NoWriterYet => return Err(ErrorKind::WouldBlock.into()),
                        AtZero::ReadOn => {}
                    },
                    Ok(count) => return Ok(Took::Bytes(count)),
                    Err(Errno::EINTR) => {}
                    Err(error) => return Err(errno::io(error)),
                }
            }
        })
        .map(|took| took.unwrap_or(Took::Nothing))
    }

    /// Runs `call` if the reactor knows of no reason to wait. `None`: there is one, or `call` found one (WouldBlock), and
    /// the readiness that was seen before it is cleared.
    pub fn attempt<T>(&self, call: impl FnOnce(BorrowedFd<'_>) -> io::Result<T>) -> io::Result<Option<T>> {
        unless_blocked(
            self.registered
                .try_io(Interest::READABLE, |descriptor| call(descriptor.as_fd())),
        )
    }

    /// Ready when a read is worth trying.
    pub fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self.registered.poll_read_ready(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(guard)) => {
                self.stale |= guard.ready().is_read_closed();
                Poll::Ready(())
            }
            // The runtime shuts down; the read will say what is the matter.
            Poll::Ready(Err(_)) => Poll::Ready(()),
        }
    }
}

enum AtZero {
    End,
    NoWriterYet,
    ReadOn,
}

/// What a read or splice of 0 bytes means. A FIFO without a writer gives 0 before the first one came, too; POLLHUP tells
/// the two apart. Between the two calls a writer may have come, written and left.
fn end_of(descriptor: BorrowedFd<'_>) -> AtZero {
    let found = poll::now(descriptor);
    match (found.readable, found.hung_up) {
        (true, _) => AtZero::ReadOn,
        (false, true) => AtZero::End,
        (false, false) => AtZero::NoWriterYet,
    }
}

/// What a splice of 0 bytes means: `Some(true)` an end of file, `Some(false)` no writer yet, `None` try again.
pub(super) fn at_end(descriptor: BorrowedFd<'_>) -> Option<bool> {
    match end_of(descriptor) {
        AtZero::End => Some(true),
        AtZero::NoWriterYet => Some(false),
        AtZero::ReadOn => None,
    }
}

fn unless_blocked<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

/// A destination's end.
pub struct WriteEnd {
    descriptor: Arc<OwnedFd>,
    registered: Option<Rc<Registered>>,
    no_reader: Option<Pin<Box<dyn Future<Output = ()>>>>,
    growth: Growth,
}

impl std::fmt::Debug for WriteEnd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WriteEnd")
            .field("descriptor", &self.descriptor)
            .finish_non_exhaustive()
    }
}

impl WriteEnd {
    /// Registers a non-blocking write end of a pipe or FIFO.
    pub fn new(descriptor: OwnedFd) -> io::Result<WriteEnd> {
        let descriptor = Arc::new(descriptor);
        let registered = reactor::register(Arc::clone(&descriptor), Interest::WRITABLE | Interest::ERROR)?;
        let registered = Rc::new(registered);
        let watched = Rc::clone(&registered);
        let no_reader = Box::pin(async move {
            // An error means that the runtime shuts down: whoever is woken finds a reader there and stops.
            let _ = watched.ready(Interest::ERROR).await;
        });
        Ok(WriteEnd {
            descriptor,
            registered: Some(registered),
            no_reader: Some(no_reader),
            growth: Growth::default(),
        })
    }

    /// What always takes everything, and which epoll cannot watch: /dev/null.
    #[must_use]
    pub fn always_writable(descriptor: OwnedFd) -> WriteEnd {
        WriteEnd {
            descriptor: Arc::new(descriptor),
            registered: None,
            no_reader: None,
            growth: Growth::none(),
        }
    }

    /// Its pipe keeps the size that it has, since that was asked for.
    #[must_use]
    pub fn of_fixed_size(self, fixed: bool) -> WriteEnd {
        let growth = if fixed { Growth::none() } else { self.growth };
        WriteEnd { growth, ..self }
    }

    /// What was done to the size of its pipe.
    #[must_use]
    pub fn saved_growth(&self) -> SavedGrowth {
        self.growth.saved()
    }

    /// The same, for the next end of the pipe. This one has nothing to do with it any more.
    #[must_use]
    pub fn part_growth(&self) -> Growth {
        self.growth.part()
    }

    /// Its pipe has been grown before.
    #[must_use]
    pub fn with_growth(mut self, growth: Growth) -> Self {
        self.growth = growth.of(self.descriptor());
        self
    }

    /// Bulk goes through it.
    pub(super) fn grow(&self) {
        self.growth.grow(self.descriptor());
    }

    /// For questions to the kernel.
    #[must_use]
    pub fn descriptor(&self) -> &Arc<OwnedFd> {
        &self.descriptor
    }

    /// False for what always takes everything.
    #[must_use]
    pub fn is_pipe(&self) -> bool {
        self.registered.is_some()
    }

    /// Writes without waiting. At least one of `buffers` has a byte.
    pub fn write(&self, buffers: &[IoSlice<'_>]) -> io::Result<Wrote> {
        self.attempt(|descriptor| {
            loop {
                match nix::sys::uio::writev(descriptor, buffers) {
                    Ok(count) => return Ok(Wrote::Bytes(count)),
                    Err(Errno::EINTR) => {}
                    Err(Errno::EPIPE) => return Ok(Wrote::NoReader),
                    Err(error) => return Err(errno::io(error)),
                }
            }
        })
        .map(|wrote| wrote.unwrap_or(Wrote::Full))
    }

    /// As `ReadEnd::attempt`, for writing.
    pub fn attempt<T>(&self, call: impl FnOnce(BorrowedFd<'_>) -> io::Result<T>) -> io::Result<Option<T>> {
        match &self.registered {
            Some(registered) => {
                unless_blocked(registered.try_io(Interest::WRITABLE, |descriptor| call(descriptor.as_fd())))
            }
            None => unless_blocked(call(self.descriptor.as_fd())),
        }
    }

    /// Ready when a write is worth trying.
    pub fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<()> {
        match &self.registered {
            Some(registered) => registered.poll_write_ready(cx).map(drop),
            None => Poll::Ready(()),
        }
    }

    /// Ready, once, when the reader has left, without anything being written (POLLERR). It may have come back since: ask
    /// the kernel. Once it was ready, this end is stale in any case.
    pub fn poll_no_reader(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(no_reader) = &mut self.no_reader else {
            return Poll::Pending;
        };
        let polled = no_reader.as_mut().poll(cx);
        if polled.is_ready() {
            self.no_reader = None;
        }
        polled
    }
}
