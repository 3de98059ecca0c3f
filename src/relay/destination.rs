//! A destination of a route, as its relay drives it.

use std::io::IoSlice;
use std::sync::Arc;

use bytes::Bytes;

use crate::decide::watermark::Watermark;
use crate::endpoint::ends;
use crate::model::{CloseCause, Moment};
use crate::sys::errno;
use crate::transport::{Queue, WriteEnd, Wrote};

/// One entry of `to`.
pub(super) struct Destination {
    pub name: Arc<str>,
    pub kind: Box<dyn ends::Destination>,
    pub end: Option<WriteEnd>,
    pub queue: Queue,
    pub mark: Watermark,
    /// On the splice path: the kernel refused while the source had bytes.
    pub refused: bool,
    /// Handed to the end, over all its openings.
    sent: u64,
    pub dropped: u64,
    pub from: u64,
    pub upto: Option<u64>,
    pub unread: Option<u64>,
    pub opens: u64,
    pub opening_told: Option<Moment>,
    pub close_cause: Option<CloseCause>,
    /// In words, for the terminal event.
    pub failure: Option<String>,
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
    pub fn new(name: Arc<str>, kind: Box<dyn ends::Destination>, mark: Watermark) -> Destination {
        Destination {
            name,
            kind,
            end: None,
            queue: Queue::default(),
            mark,
            refused: false,
            sent: 0,
            dropped: 0,
            from: 0,
            upto: None,
            unread: None,
            opens: 0,
            opening_told: None,
            close_cause: None,
            failure: None,
        }
    }

    /// Bytes that have left the daemon. Never falls.
    pub fn bytes(&self) -> u64 {
        self.kind.written().map_or(self.sent, |written| written.min(self.sent))
    }

    /// Bytes accepted and still in the daemon, in its memory or in a staging pipe.
    pub fn queued(&self) -> u64 {
        self.queue.bytes() + (self.sent - self.bytes())
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
        self.queue.bytes() + self.sent + self.dropped
    }

    /// splice(2) has moved so many bytes here.
    pub fn spliced(&mut self, bytes: usize) {
        self.sent += bytes as u64;
    }

    /// Writes `chunk`, and queues what there is no room for.
    pub fn accept(&mut self, chunk: &[u8], shared: &mut Option<Bytes>) -> Written {
        let mut done = 0;
        let mut written = Written::Fine;
        if let (Some(end), true) = (&self.end, self.queue.is_empty()) {
            match end.write(&[IoSlice::new(chunk)]) {
                Ok(Wrote::Bytes(count)) => done = count,
                Ok(Wrote::Full) => {}
                Ok(Wrote::NoReader) => written = Written::NoReader,
                Err(error) => written = Written::Failed(CloseCause::IoError(errno::name(&error).into())),
            }
        }
        self.sent += done as u64;
        if done < chunk.len() {
            self.queue.push(chunk, done, shared);
        }
        written
    }

    /// Writes out what is queued, at most about `most` bytes.
    pub fn flush(&mut self, mut most: usize) -> Written {
        while let (Some(end), false, true) = (&self.end, self.queue.is_empty(), most > 0) {
            let mut slices = [IoSlice::new(&[]); crate::transport::SLICES];
            let count = self.queue.slices(&mut slices);
            match end.write(&slices[..count]) {
                Ok(Wrote::Bytes(count)) => {
                    self.queue.advance(count);
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

    /// It is over: what is queued is dropped and counted, and its end closed. How much was dropped.
    pub fn end(&mut self, cause: CloseCause, accepted: u64) -> u64 {
        if self.queued() > 0 {
            self.kind.abort();
        }
        let dropped = self.queued();
        self.queue.clear();
        self.sent = self.bytes();
        self.dropped += dropped;
        let end = self.end.take();
        self.unread = Some(self.unread.unwrap_or(0) + self.kind.close(end));
        self.upto = Some(accepted);
        self.refused = false;
        self.mark.on(0);
        self.close_cause = Some(cause);
        dropped
    }

    /// It is opened again after it had ended: what was accepted meanwhile was never meant for it.
    pub fn revive(&mut self, accepted: u64) {
        if let Some(upto) = self.upto.take() {
            self.from += accepted - upto;
        }
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
