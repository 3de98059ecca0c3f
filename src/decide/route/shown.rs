//! What is asked of a route: nothing changes by it.

use super::{DestinationPhase, Phase, Route, SourcePhase, reasons};
use crate::decide::gate::Gate;
use crate::model::{Moment, RouteState};

impl Route {
    /// As shown: the first that fits.
    #[must_use]
    pub fn state(&self) -> RouteState {
        match self.phase {
            Phase::Closed => RouteState::Closed,
            Phase::Draining { .. } => RouteState::Draining,
            Phase::Running if !self.is_opened() => RouteState::Opening,
            Phase::Running if !self.gate.reasons().is_empty() => RouteState::Paused,
            Phase::Running => RouteState::Flowing,
        }
    }

    /// Where the route as a whole is.
    #[must_use]
    pub fn phase(&self) -> &Phase {
        &self.phase
    }

    /// Why it is not read.
    #[must_use]
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Where a source is.
    #[must_use]
    pub fn source(&self, i: usize) -> &SourcePhase {
        &self.sources[i]
    }

    /// Where a destination is.
    #[must_use]
    pub fn destination(&self, i: usize) -> &DestinationPhase {
        &self.destinations[i].1
    }

    /// Open, not closing, and no reason to pause: asyncio's `is_reading`.
    #[must_use]
    pub fn is_reading(&self, i: usize) -> bool {
        self.phase == Phase::Running && self.may_read(i)
    }

    /// Whether a destination is there to be dealt something, full or not.
    #[must_use]
    pub fn gets_a_share(&self, i: usize) -> bool {
        let (rule, phase) = &self.destinations[i];
        matches!(phase, DestinationPhase::Open { .. }) || reasons::takes_a_share(*rule, phase)
    }

    /// Whether bytes may be taken from a source now; also while it is drained.
    #[must_use]
    pub fn may_read(&self, i: usize) -> bool {
        let open = matches!(
            self.sources[i],
            SourcePhase::Waiting | SourcePhase::Open | SourcePhase::Draining
        );
        open && self.gate.is_reading()
    }

    /// When the drain must be over.
    #[must_use]
    pub fn deadline(&self) -> Option<Moment> {
        match self.phase {
            Phase::Draining { deadline, .. } => deadline,
            Phase::Running | Phase::Closed => None,
        }
    }
}
