//! The gate of a route: the reasons why its sources are not being read now.
//!
//! The rules are those of asyncio's `ReadTransport.pause_reading` and `resume_reading`, made exact: pausing twice for one
//! reason acts once, resuming a reason that is not there does nothing, and after close, resume does nothing.

use serde::{Deserialize, Serialize};

use crate::model::{Moment, PauseReason, PauseReasons};

/// The set of reasons, and since when there are any.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gate {
    reasons: PauseReasons,
    since: Option<Moment>,
    closed: bool,
}

impl Gate {
    /// Adds a reason. False when it was there already, or the gate is closed.
    pub fn pause(&mut self, reason: PauseReason, now: Moment) -> bool {
        if self.closed || !self.reasons.insert(reason) {
            return false;
        }
        self.since.get_or_insert(now);
        true
    }

    /// Takes a reason away. False when it was not there, or the gate is closed.
    pub fn resume(&mut self, reason: PauseReason) -> bool {
        if self.closed || !self.reasons.remove(reason) {
            return false;
        }
        if self.reasons.is_empty() {
            self.since = None;
        }
        true
    }

    /// Adds or takes away a reason.
    pub fn set(&mut self, reason: PauseReason, there: bool, now: Moment) -> bool {
        if there {
            self.pause(reason, now)
        } else {
            self.resume(reason)
        }
    }

    /// No more reading for good. The reasons go: a closed source is not paused, it is over.
    pub fn close(&mut self) {
        *self = Gate {
            closed: true,
            ..Gate::default()
        };
    }

    /// Whether a source behind this gate is read.
    #[must_use]
    pub fn is_reading(&self) -> bool {
        !self.closed && self.reasons.is_empty()
    }

    /// Why not.
    #[must_use]
    pub fn reasons(&self) -> PauseReasons {
        self.reasons
    }

    /// Since when there are reasons.
    #[must_use]
    pub fn since(&self) -> Option<Moment> {
        self.since
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_acts_once_and_only_for_itself() {
        use PauseReason::{Backpressure, Operator};
        let mut gate = Gate::default();
        let steps: [(bool, PauseReason, bool, bool); 8] = [
            // (pause, reason, acts, is reading afterwards)
            (true, Operator, true, false),
            (true, Operator, false, false),
            (true, Backpressure, true, false),
            (false, Backpressure, true, false), // an automatic resume never undoes an operator's pause
            (false, Backpressure, false, false),
            (false, Operator, true, true),
            (false, Operator, false, true),
            (true, Backpressure, true, false),
        ];
        for (step, (pause, reason, acts, reading)) in steps.into_iter().enumerate() {
            let acted = if pause {
                gate.pause(reason, Moment(step as u64))
            } else {
                gate.resume(reason)
            };
            assert_eq!((acted, gate.is_reading()), (acts, reading), "step {step}");
        }
        assert_eq!(gate.since(), Some(Moment(7)));
    }

    #[test]
    fn after_close_nothing_acts() {
        let mut gate = Gate::default();
        gate.pause(PauseReason::Operator, Moment(1));
        gate.close();
        assert!(!gate.resume(PauseReason::Operator));
        assert!(!gate.pause(PauseReason::Operator, Moment(2)));
        assert!(!gate.is_reading());
        assert!(gate.reasons().is_empty());
    }
}
