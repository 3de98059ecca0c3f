//! When it is told that a destination drops: once when it starts, and once, with the totals, when it has come to an end. A
//! reader that is just too slow makes its queue go over high and under low again many times a second; so a pair of the two
//! is told at most once a second.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::Moment;

/// At least so long after the start the end is told.
const SHORTEST: Duration = Duration::from_secs(1);

/// What is known of one destination.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropping {
    since: Option<Moment>,
    at_low: bool,
    so_far: Dropped,
}

/// How much was dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    /// Bytes.
    pub bytes: u64,
    /// Records.
    pub records: u64,
}

impl Dropping {
    /// Something was dropped; true when that is to be told.
    pub fn dropped(&mut self, dropped: Dropped, now: Moment) -> bool {
        self.so_far.bytes += dropped.bytes;
        self.so_far.records += dropped.records;
        self.at_low = false;
        let starts = self.since.is_none();
        self.since.get_or_insert(now);
        starts
    }

    /// Whether a start was told, and no end yet.
    #[must_use]
    pub fn is_going_on(&self) -> bool {
        self.since.is_some()
    }

    /// The queue was looked at; the totals when the end is to be told.
    pub fn on_queue(&mut self, at_low: bool, now: Moment) -> Option<Dropped> {
        self.at_low = at_low;
        match self.due() {
            Some(due) if now >= due => self.end(),
            _ => None,
        }
    }

    /// When the end is to be told, unless something is dropped before.
    #[must_use]
    pub fn due(&self) -> Option<Moment> {
        self.since.filter(|_| self.at_low).map(|since| since + SHORTEST)
    }

    /// The destination itself comes to an end.
    pub fn end(&mut self) -> Option<Dropped> {
        self.since.take()?;
        Some(std::mem::take(&mut self.so_far))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Dropped = Dropped { bytes: 10, records: 1 };

    #[test]
    fn a_pair_is_told_with_its_totals() {
        let at = Moment::from_millis;
        let mut dropping = Dropping::default();
        assert_eq!(dropping.on_queue(true, at(0)), None);
        assert!(dropping.dropped(ONE, at(0)));
        assert!(!dropping.dropped(ONE, at(5000)));
        assert_eq!(dropping.on_queue(false, at(6000)), None);
        assert_eq!(dropping.due(), None);
        assert_eq!(
            dropping.on_queue(true, at(7000)),
            Some(Dropped { bytes: 20, records: 2 })
        );
        assert_eq!(dropping.on_queue(true, at(8000)), None);
        assert!(dropping.dropped(ONE, at(9000)));
        assert_eq!(dropping.end(), Some(ONE));
        assert_eq!(dropping.end(), None);
    }

    #[test]
    fn a_queue_that_goes_up_and_down_is_told_once_a_second() {
        let at = Moment::from_millis;
        let mut dropping = Dropping::default();
        let mut told = 0;
        for ms in 0..2500 {
            told += u32::from(ms % 10 == 0 && dropping.dropped(ONE, at(ms)));
            told += u32::from(dropping.on_queue(ms % 10 == 5, at(ms)).is_some());
        }
        assert_eq!(told, 5);
        assert_eq!(dropping.due(), None);
        dropping.on_queue(true, at(2501));
        assert_eq!(dropping.due(), Some(at(3020)));
    }
}
