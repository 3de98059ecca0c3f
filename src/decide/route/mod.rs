//! The life of one route: which of its ends are open, why it is not read, when it drains and when it is over.
//!
//! One exhaustive match of (event) over the phases of its endpoints; `docs/lifecycle.md` is its table. After each event
//! the consequences are drawn in one place, `settle`: the end of the last source drains the destinations, the end of the
//! last destination ends the sources, and the gate's automatic reasons follow from the destinations' phases.

mod event;
mod joining;
mod phase;
mod reasons;
mod shown;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use event::{Action, Event};
pub use phase::{DestinationPhase, DestinationRule, Phase, SourcePhase};

use super::gate::Gate;
use crate::model::{CloseCause, Distribution, Moment, PauseReason};

/// The state of one route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    phase: Phase,
    gate: Gate,
    opened: bool,
    sources: Vec<SourcePhase>,
    destinations: Vec<(DestinationRule, DestinationPhase)>,
    distribution: Distribution,
    /// No source may go on although a destination takes.
    held: bool,
    /// A reload has still to do with it.
    #[serde(default)]
    changing: bool,
    /// As long as it has: nothing is read for those who are not there yet.
    #[serde(default)]
    awaits: bool,
}

impl Route {
    /// A route of which nothing is open yet.
    #[must_use]
    pub fn new(
        sources: usize,
        destinations: &[DestinationRule],
        distribution: Distribution,
        start_paused: bool,
        now: Moment,
    ) -> Route {
        let mut gate = Gate::default();
        if start_paused {
            gate.pause(PauseReason::Operator, now);
        }
        let destinations = destinations
            .iter()
            .map(|rule| (*rule, DestinationPhase::Unopened))
            .collect();
        let sources = vec![SourcePhase::Unopened; sources];
        let mut route = Route {
            phase: Phase::Running,
            gate,
            opened: false,
            sources,
            destinations,
            distribution,
            held: false,
            changing: false,
            awaits: false,
        };
        route.derive_reasons(now);
        route
    }

    /// Draws the consequences of `event`. True when a command (pause, resume, drain, abort) changed something.
    pub fn on(&mut self, event: &Event, now: Moment, actions: &mut Vec<Action>) -> bool {
        let changed = match event {
            Event::SourceOpened(i) | Event::SourceWaits(i) => self.source_tried(*i),
            Event::SourceActive(i) => self.source_active(*i),
            Event::SourceEnded(i, cause) => self.end_source(*i, cause, false, actions),
            Event::SourceDry(i) => {
                matches!(self.sources[*i], SourcePhase::Draining)
                    && self.end_source(*i, &CloseCause::Drained, true, actions)
            }
            Event::SourceRevived(i) => self.revive_source(*i),
            Event::DestinationOpened(i) => self.destination_opened(*i),
            Event::DestinationAwaitsReader(i) => self.destination_awaits_reader(*i),
            Event::DestinationGone(i) => self.destination_gone(*i, actions),
            Event::DestinationGoneForGood(i) => self.end_destination(*i, &CloseCause::PeerGone, actions),
            Event::DestinationFull(i, full) => self.destination_full(*i, *full),
            Event::DestinationFlushed(i) => self.destination_flushed(*i, actions),
            Event::DestinationFailed(i, cause) => self.end_destination(*i, cause, actions),
            Event::DestinationRevived(i) => self.revive_destination(*i),
            Event::Pause => self.phase == Phase::Running && self.gate.pause(PauseReason::Operator, now),
            Event::Resume => self.reopen() || self.gate.resume(PauseReason::Operator),
            Event::Changing(changing) => std::mem::replace(&mut self.changing, *changing) != *changing,
            Event::Awaits(awaits) => std::mem::replace(&mut self.awaits, *awaits) != *awaits,
            Event::Held(held) => std::mem::replace(&mut self.held, *held) != *held,
            Event::RateSpent(spent) => self.gate.set(PauseReason::RateLimit, *spent, now),
            Event::SourceJoins => self.join_source(),
            Event::SourceLeaves(i) => self.leave_source(*i, actions),
            Event::SourceLeavesNow(i) => self.end_source(*i, &CloseCause::DrainTimeout, true, actions),
            Event::DestinationJoins(rule) => self.join_destination(*rule),
            Event::DestinationLeaves(i) => self.leave_destination(*i),
            Event::DestinationRuled(i, rule) => std::mem::replace(&mut self.destinations[*i].0, *rule) != *rule,
            Event::Drain(deadline) => self.drain(*deadline, actions),
            Event::Abort(cause) => self.abort(cause, actions),
            Event::DeadlineReached => match self.phase {
                Phase::Draining {
                    deadline: Some(deadline),
                    ..
                } if now >= deadline => self.abort(&CloseCause::DrainTimeout, actions),
                _ => false,
            },
        };
        self.settle(now, actions);
        changed
    }

    fn source_tried(&mut self, i: usize) -> bool {
        let fresh = matches!(self.sources[i], SourcePhase::Unopened);
        if fresh {
            self.sources[i] = SourcePhase::Waiting;
        }
        fresh
    }

    fn source_active(&mut self, i: usize) -> bool {
        let first = matches!(self.sources[i], SourcePhase::Waiting);
        if first {
            self.sources[i] = SourcePhase::Open;
        }
        first
    }

    fn end_source(&mut self, i: usize, cause: &CloseCause, keep: bool, actions: &mut Vec<Action>) -> bool {
        if self.sources[i].has_ended() {
            return false;
        }
        self.sources[i] = match cause {
            CloseCause::IoError(_) => SourcePhase::Failed(cause.clone()),
            _ => SourcePhase::Ended(cause.clone()),
        };
        actions.push(Action::EndSource {
            source: i,
            cause: cause.clone(),
            keep,
        });
        true
    }

    fn end_destination(&mut self, i: usize, cause: &CloseCause, actions: &mut Vec<Action>) -> bool {
        let phase = &mut self.destinations[i].1;
        if phase.has_ended() {
            return false;
        }
        *phase = match cause {
            CloseCause::IoError(_) => DestinationPhase::Failed(cause.clone()),
            _ => DestinationPhase::Closed(cause.clone()),
        };
        actions.push(Action::EndDestination {
            destination: i,
            cause: cause.clone(),
        });
        true
    }

    fn destination_opened(&mut self, i: usize) -> bool {
        let phase = &mut self.destinations[i].1;
        match phase {
            DestinationPhase::Unopened | DestinationPhase::Gone => *phase = DestinationPhase::Open { full: false },
            DestinationPhase::Draining { gone } => *gone = false,
            DestinationPhase::Open { .. } | DestinationPhase::Closed(_) | DestinationPhase::Failed(_) => return false,
        }
        true
    }

    fn destination_awaits_reader(&mut self, i: usize) -> bool {
        let phase = &mut self.destinations[i].1;
        match phase {
            DestinationPhase::Unopened | DestinationPhase::Open { .. } => *phase = DestinationPhase::Gone,
            DestinationPhase::Draining { gone } => *gone = true,
            DestinationPhase::Gone | DestinationPhase::Closed(_) | DestinationPhase::Failed(_) => return false,
        }
        true
    }

    /// A reader that leaves while the route is drained by hand is not waited for: nobody promised that one will come.
    fn destination_gone(&mut self, i: usize, actions: &mut Vec<Action>) -> bool {
        let drained_by_hand = matches!(self.phase, Phase::Draining { by_hand: true, .. });
        if self.destinations[i].0.close_when_gone || drained_by_hand {
            self.end_destination(i, &CloseCause::PeerGone, actions)
        } else {
            self.destination_awaits_reader(i)
        }
    }

    fn destination_full(&mut self, i: usize, now_full: bool) -> bool {
        match &mut self.destinations[i].1 {
            DestinationPhase::Open { full } if *full != now_full => {
                *full = now_full;
                true
            }
            _ => false,
        }
    }

    fn destination_flushed(&mut self, i: usize, actions: &mut Vec<Action>) -> bool {
        matches!(self.destinations[i].1, DestinationPhase::Draining { .. })
            && self.end_destination(i, &CloseCause::Drained, actions)
    }

    fn revive_source(&mut self, i: usize) -> bool {
        if self.phase == Phase::Closed {
            self.open_again(|_| true);
            return true;
        }
        // While somebody drains the route, nothing new is read.
        let revives = self.sources[i].has_ended() && !matches!(self.phase, Phase::Draining { by_hand: true, .. });
        if revives {
            self.sources[i] = SourcePhase::Unopened;
            self.run_again();
        }
        revives
    }

    fn revive_destination(&mut self, i: usize) -> bool {
        if self.phase == Phase::Closed {
            self.open_again(|_| true);
            return true;
        }
        let ended = self.destinations[i].1.has_ended();
        if ended {
            self.destinations[i].1 = DestinationPhase::Unopened;
        }
        ended
    }

    /// A closed route is opened again by the operator unless its sources ended by end of file.
    fn reopen(&mut self) -> bool {
        let worth = |cause: &CloseCause| *cause != CloseCause::Eof;
        let reopens = self.phase == Phase::Closed && self.sources.iter().filter_map(SourcePhase::cause).any(worth);
        if reopens {
            self.open_again(worth);
        }
        reopens
    }

    fn open_again(&mut self, which: impl Fn(&CloseCause) -> bool) {
        self.phase = Phase::Running;
        self.gate = Gate::default();
        self.opened = false;
        for source in &mut self.sources {
            if source.cause().is_some_and(&which) {
                *source = SourcePhase::Unopened;
            }
        }
        // A destination that saw the end of the stream sees its beginning again, whatever its own cause was.
        for (_, destination) in &mut self.destinations {
            *destination = DestinationPhase::Unopened;
        }
    }

    /// A source has come back while the destinations were draining: they go on.
    fn run_again(&mut self) {
        self.phase = Phase::Running;
        for (_, destination) in &mut self.destinations {
            if let DestinationPhase::Draining { gone } = *destination {
                *destination = if gone {
                    DestinationPhase::Gone
                } else {
                    DestinationPhase::Open { full: false }
                };
            }
        }
    }

    fn drain(&mut self, by: Moment, actions: &mut Vec<Action>) -> bool {
        match &mut self.phase {
            Phase::Closed => false,
            Phase::Draining { by_hand, deadline } => {
                *by_hand = true;
                let earlier = deadline.is_none_or(|before| by < before);
                if earlier {
                    *deadline = Some(by);
                }
                earlier
            }
            Phase::Running => {
                self.phase = Phase::Draining {
                    by_hand: true,
                    deadline: Some(by),
                };
                self.gate.resume(PauseReason::Operator);
                for i in 0..self.sources.len() {
                    match self.sources[i] {
                        SourcePhase::Unopened => {
                            self.end_source(i, &CloseCause::Drained, true, actions);
                        }
                        SourcePhase::Waiting | SourcePhase::Open => {
                            self.sources[i] = SourcePhase::Draining;
                            actions.push(Action::DrainSource(i));
                        }
                        SourcePhase::Draining | SourcePhase::Ended(_) | SourcePhase::Failed(_) => {}
                    }
                }
                true
            }
        }
    }

    fn abort(&mut self, cause: &CloseCause, actions: &mut Vec<Action>) -> bool {
        if self.phase == Phase::Closed {
            return false;
        }
        for i in 0..self.sources.len() {
            self.end_source(i, cause, true, actions);
        }
        for i in 0..self.destinations.len() {
            self.end_destination(i, cause, actions);
        }
        true
    }

    fn settle(&mut self, now: Moment, actions: &mut Vec<Action>) {
        if self.phase == Phase::Closed {
            return;
        }
        // Whoever comes next finds it as it is: who is fed sees no end, and who feeds no EPIPE.
        let waits = self.changing && self.phase == Phase::Running;
        if !waits && self.destinations.iter().all(|(_, phase)| phase.has_ended()) {
            let keep = self.phase != Phase::Running;
            for i in 0..self.sources.len() {
                self.end_source(i, &CloseCause::PeerGone, keep, actions);
            }
        }
        if !waits && self.sources.iter().all(SourcePhase::has_ended) {
            self.drain_destinations();
        }
        if !self.opened && self.is_opened() {
            self.opened = true;
            actions.push(Action::Opened);
        }
        if !waits
            && self.sources.iter().all(SourcePhase::has_ended)
            && self.destinations.iter().all(|(_, phase)| phase.has_ended())
        {
            self.phase = Phase::Closed;
            self.gate.close();
            actions.push(Action::Closed);
        } else {
            self.derive_reasons(now);
        }
    }

    fn drain_destinations(&mut self) {
        if self.phase == Phase::Running {
            self.phase = Phase::Draining {
                by_hand: false,
                deadline: None,
            };
        }
        for (_, phase) in &mut self.destinations {
            match phase {
                DestinationPhase::Unopened | DestinationPhase::Gone => {
                    *phase = DestinationPhase::Draining { gone: true };
                }
                DestinationPhase::Open { .. } => *phase = DestinationPhase::Draining { gone: false },
                DestinationPhase::Draining { .. } | DestinationPhase::Closed(_) | DestinationPhase::Failed(_) => {}
            }
        }
    }

    fn derive_reasons(&mut self, now: Moment) {
        let derived = reasons::derive(self.distribution, &self.destinations);
        let awaits = self.awaits && self.changing && self.phase == Phase::Running;
        self.gate.set(PauseReason::Starting, derived.starting || awaits, now);
        // Those that leave, and those that have ended, take nothing.
        let nobody = !self.destinations.iter().any(|(_, phase)| phase.is_to_take());
        let nobody = nobody && !self.sources.iter().all(SourcePhase::has_ended);
        self.gate.set(PauseReason::NoReader, derived.no_reader || nobody, now);
        self.gate.set(PauseReason::Backpressure, derived.full || self.held, now);
    }

    fn is_opened(&self) -> bool {
        !self.sources.iter().any(|phase| matches!(phase, SourcePhase::Unopened))
            && !self
                .destinations
                .iter()
                .any(|(_, phase)| matches!(phase, DestinationPhase::Unopened))
    }
}
