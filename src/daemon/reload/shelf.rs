//! What no route has just now: pipes of processes, lent before their route was there, or given back by one that is not there
//! any more; and what was read of a record whose source is on its way to another route.

use std::collections::HashMap;
use std::sync::Arc;

use crate::endpoint::ends::GivenBack;
use crate::model::{Moment, ProcessId, RouteSpec, SourceSpec, Stream};
use crate::relay::Begun;

/// By stream, oldest first.
#[derive(Debug, Default)]
pub struct Shelf {
    ends: HashMap<(ProcessId, Stream), Vec<GivenBack>>,
    begun: Begun,
}

impl Shelf {
    /// Keeps one.
    pub fn put(&mut self, process: &ProcessId, stream: Stream, end: GivenBack) {
        let ends = self.ends.entry((process.clone(), stream)).or_default();
        let place = ends.partition_point(|other| other.lent.life <= end.lent.life);
        ends.insert(place, end);
    }

    /// The process of that life has exited; its outputs are to be at their end by the deadline.
    pub fn exited(&mut self, process: &ProcessId, life: u64, pid: i32, deadline: Moment) {
        for ((of, _), ends) in &mut self.ends {
            for end in ends.iter_mut().filter(|end| of == process && end.lent.life == life) {
                end.exited = Some((pid, deadline));
            }
        }
    }

    /// Keeps the beginning of a record of this endpoint.
    pub fn put_begun(&mut self, endpoint: Arc<str>, begun: Vec<u8>) {
        self.begun.insert(endpoint, begun);
    }

    /// What was begun of the sources of a route.
    pub fn take_begun(&mut self, route: &RouteSpec) -> Begun {
        let of = |source: &SourceSpec| self.begun.remove_entry(source.endpoint.to_string().as_str());
        route.from.iter().filter_map(of).collect()
    }

    /// Those of one stream.
    pub fn take(&mut self, process: &ProcessId, stream: Stream) -> Vec<GivenBack> {
        self.ends.remove(&(process.clone(), stream)).unwrap_or_default()
    }

    /// All that are left.
    pub fn take_all(&mut self) -> HashMap<(ProcessId, Stream), Vec<GivenBack>> {
        std::mem::take(&mut self.ends)
    }
}
