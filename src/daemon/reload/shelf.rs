//! The pipes of processes that no route has just now: lent before their route was there, or given back by one that is not
//! there any more.

use std::collections::HashMap;

use crate::endpoint::ends::GivenBack;
use crate::model::{Moment, ProcessId, Stream};

/// By stream, oldest first.
#[derive(Debug, Default)]
pub struct Shelf {
    ends: HashMap<(ProcessId, Stream), Vec<GivenBack>>,
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

    /// Those of one stream.
    pub fn take(&mut self, process: &ProcessId, stream: Stream) -> Vec<GivenBack> {
        self.ends.remove(&(process.clone(), stream)).unwrap_or_default()
    }

    /// All that are left.
    pub fn take_all(&mut self) -> HashMap<(ProcessId, Stream), Vec<GivenBack>> {
        std::mem::take(&mut self.ends)
    }
}
