//! The fast paths: splice(2) to one destination, rounds of tee(2) and splice(2) to several.

use std::time::Duration;

use bytes::Bytes;
use nix::errno::Errno;

use super::route::RelayedRoute;
use super::turn::Budget;
use crate::endpoint;
use crate::model::{Framing, PathChoice, RouteSpec, WhenFull};
use crate::store::Store;
use crate::sys::{clock, errno};
use crate::transport::{CHUNK, Fast, Moved, Tee, TeeMoved, splice};

/// When splice(2) is refused on a route that may not copy.
const STALL: Duration = Duration::from_millis(500);
/// The high watermarks with which `path = "auto"` takes rounds. With less they are too small to gain anything. With more,
/// the fastest destination is to go on while another one lags, and a queue of its own lets it.
const HIGH: std::ops::RangeInclusive<u64> = 16 * 1024..=64 * 1024;

/// Which fast path there is for a route as it is configured.
pub(super) fn of(spec: &RouteSpec) -> Fast {
    let pipes = |end: &_| endpoint::capabilities(end).spliceable;
    let allowed = spec.framing == Framing::Bytes
        && spec.from.len() == 1
        && spec.from.iter().all(|source| pipes(&source.endpoint))
        && spec
            .to
            .iter()
            .all(|to| pipes(&to.endpoint) && to.when_full == WhenFull::Block);
    let worth = spec.path == PathChoice::Splice || spec.to.iter().all(|to| HIGH.contains(&to.high_watermark));
    match spec.to.len() {
        1 if allowed => Fast::Splice,
        2.. if allowed && worth => Fast::Tee,
        _ => Fast::No,
    }
}

/// The staging pipes, where there are to be some.
pub(super) fn tee(spec: &RouteSpec, store: &Store) -> Option<Tee> {
    let make = || {
        let lanes = spec.to.iter().map(|to| to.endpoint.to_string()).collect();
        // As much as may be queued for one that is copied to: up to the watermark, and one read.
        let rooms = spec.to.iter().map(|to| to.high_watermark.saturating_add(CHUNK as u64));
        Tee::new(rooms).kept(store, &spec.name, lanes)
    };
    (of(spec) == Fast::Tee && spec.path != PathChoice::Copy).then(make)
}

impl RelayedRoute {
    /// How many bytes the next splice or round may take from the one source. `None`: none.
    fn allowed_from_source(&mut self, budget: &Budget) -> Option<usize> {
        if !self.may_take(0) {
            return None;
        }
        let wanted = self.sources[0].most(budget.bytes);
        let most = self.allowed(wanted);
        self.sources[0].end.as_ref()?;
        if wanted == 0 {
            self.found_nothing(0);
        }
        (most > 0).then_some(most)
    }

    /// Splices from the one source to the one destination; false when nothing can be moved now.
    pub(super) fn splice(&mut self, budget: &mut Budget) -> bool {
        let Some(most) = self.allowed_from_source(budget) else {
            return false;
        };
        let (Some(from), Some(to)) = (&self.sources[0].end, &self.destinations[0].end) else {
            return false;
        };
        match splice(from, to, most) {
            Moved::Bytes(count) => {
                self.destinations[0].spliced(count);
                self.moved(count);
                budget.spend(count);
                true
            }
            Moved::Nothing => self.found_nothing(0),
            Moved::End => {
                self.found_end(0);
                false
            }
            Moved::Full => {
                self.destinations[0].refused = true;
                self.look_at_queue(0);
                false
            }
            Moved::NoReader => {
                self.found_no_reader(0);
                false
            }
            Moved::Refused(errno) => self.chooser.refused(errno) || self.stall(0, "splice(2)", errno),
        }
    }

    fn moved(&mut self, count: usize) {
        self.stall = None;
        self.took(0, count);
        self.accepted += count as u64;
        self.chooser.spliced(count);
    }

    /// One round to all destinations, and what can be written of it; false when nothing can be moved now.
    pub(super) fn tee(&mut self, budget: &mut Budget) -> bool {
        let Some(most) = self.allowed_from_source(budget) else {
            return false;
        };
        let (Some(from), Some(tee)) = (&self.sources[0].end, &mut self.tee) else {
            return false;
        };
        let destinations = &self.destinations;
        match tee.round(from, most, |i| !destinations[i].is_over()) {
            TeeMoved::Bytes(count) => {
                for destination in self
                    .destinations
                    .iter_mut()
                    .filter(|destination| !destination.is_over())
                {
                    destination.teed = count as u64;
                }
                self.moved(count);
                budget.spend(count);
                for i in 0..self.destinations.len() {
                    self.flush_one(i);
                    self.look_at_queue(i);
                }
                true
            }
            TeeMoved::Nothing => self.found_nothing(0),
            TeeMoved::End => {
                self.found_end(0);
                false
            }
            TeeMoved::Busy(i) => {
                self.look_at_queue(i);
                false
            }
            TeeMoved::Unkept => {
                self.unkept = true;
                false
            }
            TeeMoved::Refused(errno) if self.chooser.refused(errno) => {
                self.abandon_round();
                true
            }
            TeeMoved::Refused(errno) => self.stall(0, "tee(2)", errno),
        }
    }

    /// Another path reads the source now. It has all of a round that is not over.
    pub(super) fn abandon_round(&mut self) {
        if let Some(tee) = self.tee.as_mut().filter(|tee| tee.is_pending()) {
            tee.abandon();
        }
    }

    /// Writes out what stands in a destination's staging pipe.
    pub(super) fn flush_staged(&mut self, i: usize) {
        let Some(tee) = &mut self.tee else { return };
        while self.destinations[i].teed > 0
            && let Some(end) = &self.destinations[i].end
        {
            match tee.flush(i, end) {
                Moved::Bytes(count) => self.destinations[i].flushed(count),
                Moved::NoReader => return self.found_no_reader(i),
                Moved::Refused(errno) if self.chooser.refused(errno) => return self.unstage(i),
                Moved::Refused(errno) => {
                    self.stall(i, "splice(2)", errno);
                    return;
                }
                Moved::Full | Moved::Nothing | Moved::End => return,
            }
        }
    }

    /// What splice(2) does not take out of a staging pipe goes into the queue.
    pub(super) fn unstage(&mut self, i: usize) {
        let Some(tee) = &mut self.tee else { return };
        let mut staged = Vec::new();
        let mut piece = vec![0; crate::transport::CHUNK];
        while let Ok(count @ 1..) = tee.unstage(i, &mut piece) {
            staged.extend_from_slice(&piece[..count]);
        }
        self.destinations[i].unstaged(Bytes::from(staged));
    }

    /// splice(2) or tee(2) does not work, and this route may not copy: nothing is lost, but it has to wait.
    fn stall(&mut self, i: usize, call: &str, errno: Errno) -> bool {
        self.stalled_until = Some(clock::now() + STALL);
        if self.stall.is_none() {
            let name = errno::name(&errno::io(errno));
            let text = format!("{call} is refused with {name}; set `path` to \"auto\" to let this route copy");
            tracing::warn!(route = %self.spec.name, "route:{}: {text}", self.spec.name);
            self.stall = Some(text.into());
        }
        self.destinations[i].refused = true;
        self.look_at_queue(i);
        false
    }

    /// It is worth another try.
    pub(super) fn end_stall(&mut self) {
        self.stalled_until = None;
        for i in 0..self.destinations.len() {
            self.destinations[i].refused = false;
            self.look_at_queue(i);
        }
    }
}
