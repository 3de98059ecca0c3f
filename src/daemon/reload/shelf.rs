//! What no route has just now: pipes of processes, lent before their route was there, or given back by one that is not there
//! any more; and what was read of a record, or is queued, of an endpoint that is on its way to another route.

use std::collections::HashMap;
use std::sync::Arc;

use crate::endpoint::ends::GivenBack;
use crate::model::{Moment, ProcessId, RouteSpec, Stream};
use crate::relay::{Brought, Queued};

/// By stream, oldest first.
#[derive(Debug, Default)]
pub struct Shelf {
    ends: HashMap<(ProcessId, Stream), Vec<GivenBack>>,
    brought: Brought,
    /// Of lives that have exited meanwhile, whose pipes may still be on their way here.
    exits: HashMap<(ProcessId, u64), (i32, Moment)>,
}

impl Shelf {
    /// Keeps one.
    pub fn put(&mut self, process: &ProcessId, stream: Stream, mut end: GivenBack) {
        let exit = self.exits.get(&(process.clone(), end.lent.life));
        end.exited = end.exited.or(exit.copied());
        let ends = self.ends.entry((process.clone(), stream)).or_default();
        let place = ends.partition_point(|other| other.lent.life <= end.lent.life);
        ends.insert(place, end);
    }

    /// The process of that life has exited; its outputs are to be at their end by the deadline.
    pub fn exited(&mut self, process: &ProcessId, life: u64, pid: i32, deadline: Moment) {
        self.exits.insert((process.clone(), life), (pid, deadline));
        for ((of, _), ends) in &mut self.ends {
            for end in ends.iter_mut().filter(|end| of == process && end.lent.life == life) {
                end.exited = Some((pid, deadline));
            }
        }
    }

    /// Keeps the beginning of a record of this endpoint.
    pub fn put_begun(&mut self, endpoint: Arc<str>, begun: Vec<u8>) {
        self.brought.begun.insert(endpoint, begun);
    }

    /// Keeps what is queued for this endpoint.
    pub fn put_queued(&mut self, endpoint: Arc<str>, queued: Queued) {
        self.brought.queued.insert(endpoint, queued);
    }

    /// What the endpoints of a route bring along.
    pub fn take_brought(&mut self, route: &RouteSpec) -> Brought {
        let Brought { begun, queued } = &mut self.brought;
        let sources = route.from.iter().map(|source| source.endpoint.to_string());
        let destinations = route.to.iter().map(|to| to.endpoint.to_string());
        Brought {
            begun: sources.filter_map(|end| begun.remove_entry(end.as_str())).collect(),
            queued: destinations
                .filter_map(|end| queued.remove_entry(end.as_str()))
                .collect(),
        }
    }

    /// Those of one stream.
    pub fn take(&mut self, process: &ProcessId, stream: Stream) -> Vec<GivenBack> {
        self.ends.remove(&(process.clone(), stream)).unwrap_or_default()
    }

    /// All that are left.
    pub fn take_all(&mut self) -> HashMap<(ProcessId, Stream), Vec<GivenBack>> {
        self.exits.clear();
        std::mem::take(&mut self.ends)
    }
}
