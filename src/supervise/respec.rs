//! Another spec for a process that is there already: what can hold for the life that runs does so at once, the rest from
//! the next life on.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use tokio::sync::watch;

use super::Wiring;
use super::driver::Driver;
use crate::model::{ProcessSpec, Stream};

impl Driver {
    pub(super) fn respec(&mut self, spec: Arc<ProcessSpec>, wiring: Wiring) {
        let routed = wiring.outputs.clone();
        self.streams.rewire(&spec, wiring);
        self.routed.send_replace(routed);
        let watched_so_far = self.next_spec.take().map_or(self.spec.watchdog, |_| self.spec.watchdog);
        if self.life.is_some() && watched_so_far != spec.watchdog {
            // It was told of another watchdog, or of none, when it began.
            let mut present = ProcessSpec::clone(&spec);
            present.watchdog = watched_so_far;
            self.spec = Arc::new(present);
            self.next_spec = Some(spec);
        } else {
            self.spec = spec;
        }
        self.publish();
    }

    /// The life may be over: then what is left in the pipe is read to its end.
    pub(super) fn take_output(&mut self, stream: Stream, life: u64, end: OwnedFd) {
        let present = self.life.as_ref().filter(|present| present.number == life);
        let (pid, deadline) = match present {
            Some(present) => (present.child.get_ref().pid(), present.deadline.subscribe()),
            None => {
                let by = crate::sys::clock::now() + self.spec.stop_timeout;
                (0, watch::Sender::new(Some(by)).subscribe())
            }
        };
        self.read_output(life, pid, stream, end, deadline);
    }
}
