//! A file that a route appends to.
//!
//! epoll cannot watch a regular file, and a write to one may block for as long as a disk likes. So the relay writes into
//! a staging pipe, as into any other, and a thread of the file's own carries it on. What stands in the pipe counts as
//! queued, not as written.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use nix::fcntl::OFlag;
use serde_json::Value;

use super::progress::{Outcome, Progress};
use super::{handover, reopen, writer};
use crate::endpoint::ends::{Destination, DestinationOpening, OpenError, Reached, Reopened};
use crate::store::{Claimed, Kept, Meaning, Store};
use crate::sys::parcel::{self, Parcel, Unpacking};
use crate::sys::pipe;
use crate::transport::WriteEnd;

/// A file as a destination.
#[derive(Debug)]
pub struct FileDestination {
    pub(super) path: PathBuf,
    high_watermark: u64,
    pub(super) record_end: Option<u8>,
    pub(super) progress: Option<Arc<Progress>>,
    /// Where the writer reads. It alone keeps it open, so that EPIPE tells when it has ended.
    pub(super) staging: Weak<OwnedFd>,
    /// Of the writers before this one.
    pub(super) written_before: Reached,
    pub(super) state: State,
    pub(super) store: Store,
    /// The staging pipe outlives the daemon.
    pub(super) kept: Kept,
    /// The one that a dead life of the daemon has left.
    left: Option<Claimed>,
}

#[derive(Debug)]
pub(super) enum State {
    Unopened,
    /// The thread opens the file; the pipe's end is lent once it has.
    Opening(WriteEnd),
    Lent,
    Failed,
    Over,
}

impl FileDestination {
    /// The staging pipe is not larger than the high watermark, as far as the kernel has pipes so small. A reopening does
    /// not cut what ends with `record_end`.
    #[must_use]
    pub fn new(path: PathBuf, high_watermark: u64, record_end: Option<u8>) -> FileDestination {
        FileDestination {
            path,
            high_watermark,
            record_end,
            progress: None,
            staging: Weak::new(),
            written_before: Reached::default(),
            state: State::Unopened,
            store: Store::default(),
            kept: Kept::No,
            left: None,
        }
    }

    /// The same, with a staging pipe that outlives the daemon. What a dead life has left in it is written first.
    #[must_use]
    pub fn kept_in(mut self, store: &Store) -> FileDestination {
        self.store = store.clone();
        self.left = store.claim(&self.meaning()).pop();
        self
    }

    pub(super) fn meaning(&self) -> Meaning {
        Meaning::File(self.path.clone())
    }

    /// The staging pipe: (read end, write end).
    fn staging_pipe(&mut self) -> io::Result<(OwnedFd, OwnedFd)> {
        let left = self.left.take();
        if let Some((read, deposit)) = left.and_then(|mut left| Some((left.ends.pop()?, left.deposit))) {
            let write = pipe::reopen(&read, OFlag::O_WRONLY | OFlag::O_NONBLOCK)?;
            self.kept = Kept::Yes(deposit);
            return Ok((read, write));
        }
        let (read, write) = pipe::pair()?;
        if pipe::size(&write).is_ok_and(|size| size > self.high_watermark) {
            // EPERM or EBUSY: it stays larger, and the bound is the pipe's.
            let _ = pipe::set_size(&write, self.high_watermark.max(4096));
        }
        self.kept = Kept::put(&self.store, self.meaning(), &[read.as_fd()]);
        Ok((read, write))
    }

    fn start(&mut self) -> Result<WriteEnd, OpenError> {
        let path = self.path.clone();
        let failed = |error| OpenError::new(format!("cannot start a writer for {}", path.display()), &error);
        let (read, write) = self.staging_pipe().map_err(failed)?;
        pipe::set_nonblocking(&read, true).map_err(failed)?;
        pipe::set_nonblocking(&write, true).map_err(failed)?;
        // What stands in it is queued: its size is the bound.
        let end = WriteEnd::new(write).map_err(failed)?.of_fixed_size(true);
        let progress = Arc::new(Progress::new(self.record_end));
        let read = Arc::new(read);
        let staging = Arc::downgrade(&read);
        writer::start(&self.path, read, Arc::clone(&progress)).map_err(failed)?;
        self.staging = staging;
        self.written_before = self.written().unwrap_or_default();
        self.progress = Some(progress);
        Ok(end)
    }
}

impl Destination for FileDestination {
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<Result<DestinationOpening, OpenError>> {
        if let State::Unopened = self.state {
            match self.start() {
                Ok(end) => self.state = State::Opening(end),
                Err(error) => {
                    self.state = State::Over;
                    return Poll::Ready(Err(error));
                }
            }
        }
        let Some(progress) = &self.progress else {
            return Poll::Pending;
        };
        progress.register(cx.waker());
        if matches!(self.state, State::Opening(_)) && self.kept.poll(cx).is_pending() {
            return Poll::Pending;
        }
        match (progress.outcome(), std::mem::replace(&mut self.state, State::Lent)) {
            (Outcome::Writing, State::Opening(end)) => Poll::Ready(Ok(DestinationOpening::Open(end))),
            (Outcome::Failed(error), State::Opening(_) | State::Lent | State::Failed) => {
                self.state = State::Over;
                Poll::Ready(Err(error))
            }
            (_, state) => {
                self.state = state;
                Poll::Pending
            }
        }
    }

    fn gone(&mut self, _: WriteEnd) -> u64 {
        // The thread has ended; poll_open tells why.
        self.state = State::Failed;
        0
    }

    fn failure(&self) -> Option<OpenError> {
        match self.progress.as_ref()?.outcome() {
            Outcome::Failed(error) => Some(error),
            Outcome::Opening | Outcome::Writing | Outcome::Done => None,
        }
    }

    fn close(&mut self, _: Option<WriteEnd>) -> u64 {
        self.state = State::Over;
        self.kept = Kept::No;
        0
    }

    fn left(&self) -> u64 {
        let end = self.left.as_ref().and_then(|left| left.ends.first());
        end.map_or(0, pipe::unread)
    }

    fn revive(&mut self) {
        self.state = State::Unopened;
    }

    fn abort(&mut self) {
        if let Some(progress) = &self.progress {
            progress.stop();
        }
    }

    fn reopen(&mut self) -> Option<Reopened> {
        let open = matches!(self.state, State::Opening(_) | State::Lent);
        let progress = self.progress.as_ref().filter(|_| open)?;
        Some(reopen::begin(&self.path, progress))
    }

    fn written(&self) -> Option<Reached> {
        let mut written = self.written_before;
        if let Some(progress) = &self.progress {
            written.add(progress.written());
        }
        Some(written)
    }

    fn poll_progress(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &self.progress {
            Some(progress) => progress.poll_changed(cx),
            None => Poll::Pending,
        }
    }

    fn trouble(&self) -> Option<Arc<str>> {
        self.progress.as_ref()?.trouble()
    }

    fn poll_freeze(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &self.progress {
            Some(progress) => progress.poll_freeze(cx, handover::put_off(&self.path)),
            None => Poll::Ready(()),
        }
    }

    fn thaw(&mut self) {
        if let Some(progress) = &self.progress {
            progress.thaw();
        }
    }

    fn pack(&self, parcel: &mut Parcel) -> io::Result<Value> {
        parcel::written(&handover::Packed::new(self, parcel)?)
    }

    fn unpack(&mut self, packed: Value, parcel: &mut Unpacking) -> io::Result<()> {
        parcel::read::<handover::Packed>(packed)?.unpack(self, parcel)
    }
}

#[cfg(test)]
mod tests;
