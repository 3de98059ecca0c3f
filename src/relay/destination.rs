//! A destination of a route, as its relay drives it.

use std::io::IoSlice;
use std::sync::Arc;

use bytes::Bytes;

use super::backlog::{Backlog, Batch, Kept, Owed};
use crate::decide::dropping::{Dropped, Dropping};
use crate::decide::watermark::Watermark;
use crate::endpoint::ends::{self, GivenBack, Reached};
use crate::framing::Unit;
use crate::model::{CloseCause, DestinationSpec, Moment, ProcessId, RouteSpec, Stream};
use crate::sys::errno;
use crate::transport::{Chunk, WriteEnd, Wrote};

/// One entry of `to`.
pub(super) struct Destination {
    pub name: Arc<str>,
    /// Of a process: which stream of which it is.
    pub stream: Option<(ProcessId, Stream)>,
    pub kind: Box<dyn ends::Destination>,
    pub end: Option<WriteEnd>,
    pub backlog: Backlog,
    pub mark: Watermark,
    /// Accepted, and still in its staging pipe, in front of what is queued.
    pub teed: u64,
    /// On the splice path: the kernel refused while the source had bytes.
    pub refused: bool,
    /// Handed to the end, over all its openings.
    pub(super) sent: u64,
    /// Of those, where there are records: how many were handed over whole.
    pub records: u64,
    pub dropped: Dropped,
    /// Of those bytes, those of earlier lives.
    pub(super) dropped_before: u64,
    /// What is told of dropping.
    pub dropping: Dropping,
    pub from: u64,
    pub upto: Option<u64>,
    pub unread: Option<u64>,
    pub opens: u64,
    pub opening_told: Option<Moment>,
    pub close_cause: Option<CloseCause>,
    /// It leaves the route; with `Some`, its end is given back and not closed.
    pub leaves: Option<Leaves>,
    /// What it has still to get in the next route.
    pub owed: Option<Owed>,
    /// In words, for the terminal event.
    pub failure: Option<String>,
}

/// What becomes of the end of a destination that leaves its route.
#[derive(Debug)]
pub(super) enum Leaves {
    /// It is closed.
    Closed,
    /// It goes back to whoever lent it.
    GivenBack(Option<GivenBack>),
}

/// What a write to a destination came to, apart from bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// All of it, or as much as there was room for.
    Fine,
    /// Its reader has left.
    NoReader,
    /// It failed.
    Failed(CloseCause),
}

impl Destination {
    pub fn new(
        name: Arc<str>,
        kind: Box<dyn ends::Destination>,
        route: &RouteSpec,
        spec: &DestinationSpec,
    ) -> Destination {
        Destination {
            name,
            stream: crate::endpoint::stream_of(&spec.endpoint).map(|(process, stream)| (process.clone(), stream)),
            kind,
            end: None,
            backlog: Backlog::new(route, spec),
            mark: Watermark::new(spec.high_watermark, spec.low_watermark),
            teed: 0,
            refused: false,
            sent: 0,
            records: 0,
            dropped: Dropped::default(),
            dropped_before: 0,
            dropping: Dropping::default(),
            from: 0,
            upto: None,
            unread: None,
            opens: 0,
            opening_told: None,
            close_cause: None,
            leaves: None,
            owed: None,
            failure: None,
        }
    }

    /// Bytes that have left the daemon. Never falls.
    pub fn bytes(&self) -> u64 {
        self.delivered().bytes
    }

    /// What has left the daemon.
    pub fn delivered(&self) -> Reached {
        let all = Reached {
            bytes: self.sent,
            records: self.records,
        };
        match self.kind.written() {
            // It cannot know of a last record without terminator.
            Some(written) if written.bytes < self.sent => Reached {
                bytes: written.bytes,
                records: written.records.min(self.records),
            },
            _ => all,
        }
    }

    /// Bytes accepted and still in the daemon, in its memory or in a staging pipe.
    pub fn queued(&self) -> u64 {
        self.takeable() + self.backlog.behind()
    }

    /// Of those, the ones that wait for nothing but its reader.
    pub fn takeable(&self) -> u64 {
        self.teed + self.backlog.bytes() + self.staged()
    }

    /// Bytes behind its end, and not yet where they belong.
    fn staged(&self) -> u64 {
        self.sent - self.bytes()
    }

    /// Whether nothing is accepted for it any more: it is over, and this has been carried out; or it is about to leave.
    pub fn is_over(&self) -> bool {
        self.upto.is_some()
    }

    /// The pipe that its reader reads, while the daemon has its write end.
    pub fn pipe(&self) -> Option<&std::sync::Arc<std::os::fd::OwnedFd>> {
        // What stands in a staging pipe is queued, and no reader's.
        let staged = self.kind.written().is_some();
        let end = self.end.as_ref().filter(|end| end.is_pipe() && !staged);
        end.map(WriteEnd::descriptor).or_else(|| self.kind.kept())
    }

    /// Everything that it was ever given, wherever it is now.
    pub fn accounted(&self) -> u64 {
        self.teed + self.backlog.bytes() + self.backlog.behind() + self.sent + self.dropped.bytes
    }

    /// So many bytes have left its staging pipe.
    pub fn flushed(&mut self, bytes: usize) {
        self.teed = self.teed.saturating_sub(bytes as u64);
        self.sent += bytes as u64;
    }

    /// What stood in its staging pipe goes into the queue.
    pub fn unstaged(&mut self, staged: Bytes) {
        // What could not be read back is lost.
        self.dropped.bytes += self.teed.saturating_sub(staged.len() as u64);
        self.teed = 0;
        self.backlog.put_in_front(staged);
    }

    /// splice(2) has moved so many bytes here.
    pub fn spliced(&mut self, bytes: usize) {
        self.sent += bytes as u64;
    }

    /// Writes what there is room for, and keeps of the rest what the policy accepts; how much it dropped.
    pub fn accept(&mut self, batch: &Batch<'_>) -> (Written, Dropped) {
        let mut done = 0;
        let mut written = Written::Fine;
        if let (Some(end), true) = (&self.end, self.teed == 0 && self.backlog.passes()) {
            match end.write(&batch.chunk.slices()) {
                Ok(Wrote::Bytes(count)) => done = count,
                Ok(Wrote::Full) => {}
                Ok(Wrote::NoReader) => written = Written::NoReader,
                Err(error) => written = Written::Failed(CloseCause::IoError(errno::name(&error).into())),
            }
        }
        self.sent += done as u64;
        if done == batch.chunk.len() {
            self.records += batch.records;
            self.backlog.passed(batch);
            return (written, Dropped::default());
        }
        (written, self.keep(batch, done))
    }

    /// Keeps of what was not written what the policy accepts; how much it dropped.
    pub fn keep(&mut self, batch: &Batch<'_>, done: usize) -> Dropped {
        let Kept { written, dropped } = self.backlog.keep(batch, done, self.mark.high(), self.staged());
        self.records += written;
        self.drop_more(dropped);
        dropped
    }

    /// Keeps one record, or a part of one, if the policy accepts it; how much that dropped.
    pub fn take_share(&mut self, chunk: &Chunk<'_>, at: usize, unit: Unit) -> Dropped {
        let (high, staged) = (self.mark.high(), self.staged());
        let dropped = self.backlog.keep_unit(chunk, at, unit, high, staged);
        self.drop_more(dropped);
        dropped
    }

    /// So much is lost.
    pub fn drop_more(&mut self, dropped: Dropped) {
        self.dropped.bytes += dropped.bytes;
        self.dropped.records += dropped.records;
    }

    /// Writes out what is queued, at most about `most` bytes.
    pub fn flush(&mut self, mut most: usize) -> Written {
        // What stands in the staging pipe comes first.
        most = if self.teed > 0 { 0 } else { most };
        while let (Some(end), false, true) = (&self.end, self.backlog.is_empty(), most > 0) {
            let mut slices = [IoSlice::new(&[]); crate::transport::SLICES];
            let count = self.backlog.queue().slices(&mut slices);
            match end.write(&slices[..count]) {
                Ok(Wrote::Bytes(count)) => {
                    self.records += self.backlog.wrote(count);
                    self.sent += count as u64;
                    most = most.saturating_sub(count);
                }
                Ok(Wrote::Full) => break,
                Ok(Wrote::NoReader) => return Written::NoReader,
                Err(error) => return Written::Failed(CloseCause::IoError(errno::name(&error).into())),
            }
        }
        Written::Fine
    }

    /// Nothing is left to be written, nor in a pipe that nobody reads.
    pub fn is_flushed(&self) -> bool {
        self.queued() == 0 && (self.end.is_some() || self.kind.unread() == 0)
    }

    /// Dropped since it was opened last after an end.
    pub fn dropped_in_this_life(&self) -> u64 {
        self.dropped.bytes - self.dropped_before
    }

    /// Whether another route has it next, with what is queued.
    pub fn goes_on(&self) -> bool {
        matches!(self.leaves, Some(Leaves::GivenBack(_)))
    }

    /// Whether that is so when it ends like this.
    pub fn goes_on_after(&self, cause: &CloseCause) -> bool {
        let in_order = match cause {
            CloseCause::Drained | CloseCause::DrainTimeout => true,
            // The reader of a FIFO has left just now; another may come.
            CloseCause::PeerGone => self.stream.is_none(),
            CloseCause::Eof | CloseCause::Aborted | CloseCause::IoError(_) => false,
        };
        in_order && self.goes_on()
    }

    /// It is over: what is queued is dropped and counted, and its end closed.
    pub fn end(&mut self, cause: CloseCause, accepted: u64) {
        let goes_on = self.goes_on_after(&cause);
        if goes_on {
            let owed = self.backlog.take();
            self.upto = Some(self.upto.unwrap_or(accepted) - owed.bytes());
            self.owed = Some(owed);
        }
        if self.queued() > 0 {
            self.kind.abort();
        }
        let mut dropped = self.backlog.clear();
        let delivered = self.delivered();
        dropped.bytes += self.sent - delivered.bytes + std::mem::take(&mut self.teed);
        dropped.records += self.records - delivered.records;
        self.sent = delivered.bytes;
        self.records = delivered.records;
        self.drop_more(dropped);
        let end = self.end.take();
        match &mut self.leaves {
            Some(Leaves::GivenBack(given_back)) if goes_on => *given_back = self.kind.give_back(end),
            _ => self.unread = Some(self.unread.unwrap_or(0) + self.kind.close(end)),
        }
        self.upto.get_or_insert(accepted);
        self.refused = false;
        self.mark.on(0);
        self.close_cause = Some(cause);
    }

    /// It is opened again after it had ended: what was accepted meanwhile was never meant for it.
    pub fn revive(&mut self, accepted: u64) {
        if let Some(upto) = self.upto.take() {
            self.from += accepted - upto;
        }
        self.dropped_before = self.dropped.bytes;
        self.unread = None;
        self.close_cause = None;
        self.kind.revive();
    }

    /// So many bytes are lost in a pipe that its reader has left for good.
    pub fn lost_in_pipe(&mut self, bytes: u64) {
        if bytes > 0 {
            self.unread = Some(self.unread.unwrap_or(0) + bytes);
        }
    }
}
