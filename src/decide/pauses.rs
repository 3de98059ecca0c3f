//! Which pauses of a route are told and counted.
//!
//! A slow reader makes a route pause and resume some two thousand times a second. Its state tells every one at once; a
//! pause is *counted* only when it lasts 100 ms, and *told* at most once a second. An operator's pause is told at once.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::{Moment, PauseReason, PauseReasons};

/// A pause that is shorter is not counted.
pub const WORTH_COUNTING: Duration = Duration::from_millis(100);
/// At most one pair of events in this time.
pub const BETWEEN_EVENTS: Duration = Duration::from_secs(1);

/// What is to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// The route is paused, for these reasons.
    Paused(PauseReasons),
    /// It is read again, after so long.
    Resumed(Duration),
}

/// The pauses of one route.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pauses {
    present: Option<Present>,
    count: u64,
    ended: Duration,
    last_told: Option<Moment>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Present {
    since: Moment,
    reasons: PauseReasons,
    counted: bool,
    told: bool,
}

impl Pauses {
    /// Looks at the gate's reasons, after each change and whenever `due` is reached.
    pub fn on(&mut self, reasons: PauseReasons, now: Moment) -> Option<Told> {
        let Some(mut present) = self.present else {
            if reasons.is_empty() {
                return None;
            }
            self.present = Some(Present {
                since: now,
                reasons: PauseReasons::NONE,
                counted: false,
                told: false,
            });
            return self.on(reasons, now);
        };
        if reasons.is_empty() {
            self.present = None;
            self.ended += now.since(present.since);
            return present.told.then(|| Told::Resumed(now.since(present.since)));
        }
        let by_hand = |set: PauseReasons| set.contains(PauseReason::Operator);
        let newly_by_hand = by_hand(reasons) && !by_hand(present.reasons);
        present.reasons = reasons;
        if !present.counted && (by_hand(reasons) || now >= present.since + WORTH_COUNTING) {
            present.counted = true;
            self.count += 1;
        }
        let tell = newly_by_hand || (present.counted && !present.told && now >= self.may_tell_at());
        if tell {
            present.told = true;
            self.last_told = Some(now);
        }
        self.present = Some(present);
        tell.then_some(Told::Paused(reasons))
    }

    /// When to look again, if nothing else happens.
    #[must_use]
    pub fn due(&self) -> Option<Moment> {
        let present = self.present?;
        if !present.counted {
            Some(present.since + WORTH_COUNTING)
        } else if !present.told {
            Some(self.may_tell_at())
        } else {
            None
        }
    }

    /// How many were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// How long all the ended ones took, the short ones too.
    #[must_use]
    pub fn ended(&self) -> Duration {
        self.ended
    }

    fn may_tell_at(&self) -> Moment {
        self.last_told.map_or(Moment(0), |last| last + BETWEEN_EVENTS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: PauseReasons = PauseReasons::NONE;

    fn because(reason: PauseReason) -> PauseReasons {
        [reason].into_iter().collect()
    }

    fn ms(milliseconds: u64) -> Moment {
        Moment(milliseconds * 1000)
    }

    #[test]
    fn a_short_pause_is_neither_told_nor_counted() {
        let mut pauses = Pauses::default();
        assert_eq!(pauses.on(because(PauseReason::Backpressure), ms(0)), None);
        assert_eq!(pauses.due(), Some(ms(100)));
        assert_eq!(pauses.on(NONE, ms(99)), None);
        assert_eq!(
            (pauses.count(), pauses.ended(), pauses.due()),
            (0, Duration::from_millis(99), None)
        );
    }

    #[test]
    fn a_pause_of_100_ms_is_told_once_and_then_its_end() {
        let full = because(PauseReason::Backpressure);
        let mut pauses = Pauses::default();
        assert_eq!(pauses.on(full, ms(0)), None);
        assert_eq!(pauses.on(full, ms(100)), Some(Told::Paused(full)));
        assert_eq!(pauses.on(full, ms(200)), None);
        assert_eq!(pauses.due(), None);
        assert_eq!(
            pauses.on(NONE, ms(250)),
            Some(Told::Resumed(Duration::from_millis(250)))
        );
        assert_eq!(pauses.count(), 1);
    }

    #[test]
    fn one_pair_a_second_and_every_one_counted() {
        let full = because(PauseReason::Backpressure);
        let mut pauses = Pauses::default();
        let mut told = 0;
        for round in 0..20 {
            let start = round * 200;
            for (reasons, at) in [(full, start), (full, start + 150), (NONE, start + 160)] {
                told += usize::from(pauses.on(reasons, ms(at)).is_some());
            }
        }
        assert_eq!(pauses.count(), 20);
        assert_eq!(told, 8, "four pairs in four seconds");
    }

    #[test]
    fn an_operators_pause_is_told_at_once_even_over_another() {
        let full = because(PauseReason::Backpressure);
        let both: PauseReasons = [PauseReason::Backpressure, PauseReason::Operator].into_iter().collect();
        let mut pauses = Pauses::default();
        pauses.on(full, ms(0));
        assert_eq!(pauses.on(both, ms(10)), Some(Told::Paused(both)));
        assert_eq!(pauses.on(because(PauseReason::Operator), ms(20)), None);
        assert_eq!(pauses.on(NONE, ms(30)), Some(Told::Resumed(Duration::from_millis(30))));
        assert_eq!(pauses.count(), 1);
    }
}
