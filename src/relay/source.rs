//! A source of a route, as its relay drives it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::endpoint::ends;
use crate::framing::Framer;
use crate::model::{CloseCause, EndpointSpec, ProcessId, RouteSpec, Stream};
use crate::sys::{pipe, poll};
use crate::transport::ReadEnd;

/// One entry of `from`.
pub(super) struct Source {
    pub name: Arc<str>,
    /// Of a process: which stream of which it is.
    pub stream: Option<(ProcessId, Stream)>,
    pub kind: Box<dyn ends::Source>,
    pub end: Option<ReadEnd>,
    pub bytes: u64,
    pub framer: Framer,
    /// What was read of a begun record, and not handed on.
    pub partial: Vec<u8>,
    /// Records that have ended.
    pub records: u64,
    /// Of those, and of the one that has not, the ones longer than `max-record`.
    pub oversized: u64,
    /// Where the rest of a long record goes, when records are dealt out.
    pub tie: Option<Tie>,
    pub opens: u64,
    /// Only so many more bytes of what stands in it are read.
    pub limit: Option<u64>,
    /// The process id of the life whose pipe is given up once the limit is read.
    pub abandoning: Option<i32>,
    pub close_cause: Option<CloseCause>,
    /// It leaves the route.
    pub leaves: bool,
    /// Another route has it next, with what was begun of it.
    pub goes_on: bool,
    /// In words, for the terminal event.
    pub failure: Option<String>,
}

/// The parts of one record go to one destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Tie {
    /// To this one.
    To(usize),
    /// This one has ended, and the beginning of the record with it.
    Lost(usize),
}

impl Source {
    pub fn new(name: Arc<str>, kind: Box<dyn ends::Source>, route: &RouteSpec, endpoint: &EndpointSpec) -> Source {
        Source {
            name,
            stream: crate::endpoint::stream_of(endpoint).map(|(process, stream)| (process.clone(), stream)),
            kind,
            end: None,
            bytes: 0,
            framer: Framer::new(route.framing, route.max_record),
            partial: Vec::new(),
            records: 0,
            oversized: 0,
            tie: None,
            opens: 0,
            limit: None,
            abandoning: None,
            close_cause: None,
            leaves: false,
            goes_on: false,
            failure: None,
        }
    }

    /// How many bytes may be read at once.
    pub fn most(&self, wanted: usize) -> usize {
        self.limit
            .map_or(wanted, |limit| usize::try_from(limit).unwrap_or(usize::MAX).min(wanted))
    }

    /// So many bytes were taken.
    pub fn took(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
        if let Some(limit) = &mut self.limit {
            *limit = limit.saturating_sub(bytes as u64);
        }
    }

    /// The pipe of a life that has exited and left nothing needs no reading: however long the route is paused, the lives
    /// of a process that ends again and again do not pile up descriptors.
    pub fn put_away_what_is_empty(&mut self) {
        let is_empty = |end: &mut ReadEnd| {
            let found = poll::now(end.descriptor());
            found.hung_up && !found.readable
        };
        if self.kind.drains_to_end()
            && self.limit.is_none()
            && let Some(end) = self.end.take_if(is_empty)
        {
            self.kind.at_end(end);
        }
    }

    /// From now on it is read no more, but for the rest of a record that has been handed on in parts.
    pub fn limit_to_what_is_begun(&mut self) {
        self.limit = (!self.framer.is_long()).then_some(0);
    }

    /// What was read of a record that is not at its end, and is not this route's any more.
    pub fn take_begun(&mut self) -> Vec<u8> {
        let begun = std::mem::take(&mut self.partial);
        self.framer.finish();
        self.bytes -= begun.len() as u64;
        begun
    }

    /// From now on only what stands in it now is read. Where it is just between two pipes, the next one is asked when it
    /// is open.
    pub fn limit_to_what_stands(&mut self) {
        self.limit = match &self.end {
            Some(end) => Some(pipe::unread(end.descriptor())),
            None if self.kind.has_more() => None,
            None => Some(0),
        };
    }
}
