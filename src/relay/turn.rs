//! One turn of a route: as many bytes as there are and may be moved, up to a bound, without waiting.

use super::route::RelayedRoute;
use crate::decide::route::{DestinationPhase, Event, SourcePhase};
use crate::endpoint::ends::OpenError;
use crate::model::{CloseCause, Distribution, EventDetail, PathChoice, Subject};
use crate::sys::{clock, pipe};
use crate::transport::{CHUNK, Choice, Took};

/// The most that one turn moves, in bytes. Then the other routes of the thread have theirs.
pub(super) const TURN: usize = 512 * 1024;
/// The most that one turn reads in so many calls, however small they are.
const CALLS: usize = 64;

/// What remains of a turn.
pub(super) struct Budget {
    pub bytes: usize,
    calls: usize,
}

impl Budget {
    pub fn spend(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_sub(bytes);
        self.calls = self.calls.saturating_sub(1);
    }

    fn is_spent(&self) -> bool {
        self.bytes == 0 || self.calls == 0
    }
}

impl RelayedRoute {
    /// True when there may be more to do at once.
    pub(super) fn turn(&mut self) -> bool {
        let mut budget = Budget {
            bytes: TURN,
            calls: CALLS,
        };
        self.look_at_deadlines();
        self.end_dry();
        self.flush();
        loop {
            let moved = match self.chooser.next() {
                Choice::Copy => self.copy(&mut budget),
                // A route of several destinations is not given a fast path yet.
                Choice::Splice => self.splice(&mut budget),
                Choice::Tee => self.tee(&mut budget),
            };
            if !moved || budget.is_spent() {
                break;
            }
        }
        self.end_dry();
        self.look_at_ties();
        self.finish_flushed();
        budget.is_spent()
    }

    fn flush(&mut self) {
        for i in 0..self.destinations.len() {
            self.flush_one(i);
            self.look_at_queue(i);
        }
    }

    pub(super) fn flush_one(&mut self, i: usize) {
        self.flush_staged(i);
        let written = self.destinations[i].flush(TURN);
        self.written(i, written);
    }

    /// Reads each source once, in turn; false when there was nothing to read or it may not be read.
    fn copy(&mut self, budget: &mut Budget) -> bool {
        let count = self.sources.len();
        let before = self.last_read;
        let mut moved = false;
        for step in 1..=count {
            let i = (before + step) % count;
            if budget.is_spent() || !self.may_take(i) {
                continue;
            }
            if let Some(bytes) = self.copy_from(i) {
                budget.spend(bytes);
                moved = true;
                self.last_read = i;
            }
        }
        self.hand_on_overdue();
        moved
    }

    /// `None`: nothing can be read from it now.
    fn copy_from(&mut self, i: usize) -> Option<usize> {
        self.sources[i].end.as_ref()?;
        let chunk = match self.spec.distribution {
            Distribution::Broadcast => CHUNK,
            Distribution::Balance => self.room_to_deal(i).min(CHUNK),
        };
        let wanted = self.sources[i].most(chunk);
        let most = self.allowed(wanted);
        if wanted == 0 {
            self.found_nothing(i);
        }
        if most == 0 {
            return None;
        }
        self.abandon_round();
        let end = self.sources[i].end.as_ref()?;
        let scratch = std::rc::Rc::clone(&self.scratch);
        let mut scratch = scratch.borrow_mut();
        match end.read(&mut scratch[..most]) {
            Ok(Took::Bytes(count)) => {
                self.took(i, count);
                self.hand_on(i, &scratch[..count]);
                self.chooser.copied(count);
                Some(count)
            }
            Ok(Took::Nothing) => self.found_nothing(i).then_some(0),
            Ok(Took::End) => {
                self.found_end(i);
                None
            }
            Err(error) => {
                self.fail_source(
                    i,
                    &OpenError::new(format!("cannot read {}", self.sources[i].name), &error),
                );
                None
            }
        }
    }

    pub(super) fn took(&mut self, i: usize, count: usize) {
        self.sources[i].took(count);
        self.pay(count);
        if matches!(self.machine.source(i), SourcePhase::Waiting) {
            // The law is checked when the bytes have found their place.
            self.machine.on(&Event::SourceActive(i), clock::now(), &mut Vec::new());
            let subject = Subject::Endpoint(self.spec.name.clone(), self.sources[i].name.clone());
            self.event(
                subject,
                EventDetail::EndpointOpened {
                    opens: self.sources[i].opens,
                },
            );
        }
    }

    /// A source has nothing to read now. True when it is worth another try.
    pub(super) fn found_nothing(&mut self, i: usize) -> bool {
        let source = &mut self.sources[i];
        if let Some(limit) = source.limit {
            // The reactor may not have heard yet of what stands there.
            let stands = |end: &crate::transport::ReadEnd| pipe::unread(end.descriptor()) > 0;
            if limit > 0 && source.end.as_ref().is_some_and(stands) {
                return false;
            }
            return self.found_dry(i);
        }
        if !source.end.as_ref().is_some_and(crate::transport::ReadEnd::is_stale) {
            return false;
        }
        // It was hung up once and lives again: the registration would wake us for ever.
        let Some(end) = source.end.take() else { return false };
        match source.kind.refresh(end) {
            Ok(end) => {
                source.end = Some(end);
                true
            }
            Err(error) => {
                self.fail_source(i, &error);
                false
            }
        }
    }

    /// What stood in a source is read: it was drained, or its pipe is given up.
    fn found_dry(&mut self, i: usize) -> bool {
        let source = &mut self.sources[i];
        source.limit = None;
        if matches!(self.machine.source(i), SourcePhase::Draining) {
            self.tell(&Event::SourceDry(i));
            return false;
        }
        if let (Some(pid), Some(end)) = (source.abandoning.take(), source.end.take()) {
            source.kind.at_end(end);
            let stream = source.name.rsplit('.').next().unwrap_or_default().to_owned();
            let subject = Subject::Endpoint(self.spec.name.clone(), source.name.clone());
            self.event(subject, EventDetail::OutputAbandoned { stream, pid });
        }
        false
    }

    pub(super) fn found_end(&mut self, i: usize) {
        if matches!(self.machine.source(i), SourcePhase::Draining) && !self.sources[i].kind.has_more() {
            self.found_dry(i);
            return;
        }
        self.tell(&Event::SourceActive(i));
        let source = &mut self.sources[i];
        source.limit = None;
        source.abandoning = None;
        if let Some(end) = source.end.take() {
            source.kind.at_end(end);
        }
    }

    pub(super) fn found_no_reader(&mut self, i: usize) {
        if let Some(error) = self.destinations[i].kind.failure() {
            self.fail_destination(i, &error);
            return;
        }
        let destination = &mut self.destinations[i];
        destination.refused = false;
        if let Some(end) = destination.end.take() {
            let lost = destination.kind.gone(end);
            destination.lost_in_pipe(lost);
            self.tell(&Event::DestinationGone(i));
        }
    }

    pub(super) fn fail_source(&mut self, i: usize, error: &OpenError) {
        self.sources[i].failure = Some(error.text.clone());
        self.tell(&Event::SourceEnded(i, CloseCause::IoError(error.errno.clone().into())));
    }

    pub(super) fn fail_destination(&mut self, i: usize, error: &OpenError) {
        self.destinations[i].failure = Some(error.text.clone());
        self.tell(&Event::DestinationFailed(
            i,
            CloseCause::IoError(error.errno.clone().into()),
        ));
    }

    /// A source that is drained and holds nothing has nothing to wait for, whatever keeps the route from reading; nor has
    /// one whose process does not run.
    fn end_dry(&mut self) {
        // The end of a long record lets the others end, also those before it.
        while let Some(i) = (0..self.sources.len()).find(|i| self.is_dry(*i)) {
            self.tell(&Event::SourceDry(i));
        }
    }

    fn is_dry(&self, i: usize) -> bool {
        let source = &self.sources[i];
        let absent = source.end.is_none() && !source.kind.has_more();
        let dry = absent || source.limit == Some(0);
        dry && self.may_end(i) && matches!(self.machine.source(i), SourcePhase::Draining)
    }

    fn finish_flushed(&mut self) {
        for i in 0..self.destinations.len() {
            let draining = matches!(self.machine.destination(i), DestinationPhase::Draining { .. });
            // What is staged by splice(2) alone is not taken to user space.
            let staged = self.spec.path == PathChoice::Splice && self.destinations[i].teed > 0;
            let goes_on = self.destinations[i].goes_on() && !staged;
            // One that leaves has the rest of its long record first.
            if draining && (goes_on || self.destinations[i].is_flushed()) && !self.is_tied(i, usize::MAX) {
                self.tell(&Event::DestinationFlushed(i));
            }
        }
    }
}
