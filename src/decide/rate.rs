//! `rate-limit`: a token bucket. Bytes are paid for when they are read; what has not been used is saved for at most 100 ms,
//! so that no burst is larger than that.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::Moment;

/// For how long what is not used is saved.
const SAVED: Duration = Duration::from_millis(100);
/// A bucket that was emptied is used again when so much of it is full: often enough that a late wake-up costs nothing, and
/// not for every byte.
const WORTH_WAKING: u32 = 4;
/// Less than this part of it is nothing: bytes trickle in while a turn reads, and reading them one by one would be a busy
/// wait.
const WORTH_READING: u32 = 16;
/// The bucket's unit is a millionth of a byte, so that nothing is lost in rounding: a rate of B bytes a second is B of
/// these a microsecond.
const UNIT: u128 = 1_000_000;

/// The bucket of one route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bucket {
    /// Bytes a second; 1 or more.
    rate: u64,
    /// Millionths of a byte.
    level: u128,
    filled_at: Moment,
}

impl Bucket {
    /// An empty bucket that fills from now on.
    #[must_use]
    pub fn new(rate: u64, now: Moment) -> Bucket {
        Bucket {
            rate: rate.max(1),
            level: 0,
            filled_at: now,
        }
    }

    /// How many bytes may be read now.
    pub fn available(&mut self, now: Moment) -> u64 {
        let filled = u128::from(self.rate) * u128::from(now.usec_since(self.filled_at));
        self.level = (self.level + filled).min(self.capacity());
        self.filled_at = self.filled_at.max(now);
        if self.level < self.capacity() / u128::from(WORTH_READING) {
            return 0;
        }
        u64::try_from(self.level / UNIT).unwrap_or(u64::MAX)
    }

    /// So many bytes were read; no more than were available.
    pub fn take(&mut self, bytes: u64) {
        self.level = self.level.saturating_sub(u128::from(bytes) * UNIT);
    }

    /// When it is worth looking again after it was emptied.
    #[must_use]
    pub fn worth_waking_at(&self) -> Moment {
        let wanted = (self.capacity() / u128::from(WORTH_WAKING)).max(UNIT);
        let missing = wanted.saturating_sub(self.level);
        let usec = missing.div_ceil(u128::from(self.rate));
        self.filled_at + Duration::from_micros(u64::try_from(usec).unwrap_or(u64::MAX))
    }

    /// At least two bytes, so that the slowest rate moves something and need not be woken to the microsecond.
    fn capacity(&self) -> u128 {
        (u128::from(self.rate) * SAVED.as_micros()).max(2 * UNIT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads all that is allowed, whenever it is worth waking, for so many microseconds.
    fn run(rate: u64, usec: u64, late: u64) -> u64 {
        let mut bucket = Bucket::new(rate, Moment(0));
        let (mut now, mut read) = (Moment(0), 0);
        while now < Moment(usec) {
            let available = bucket.available(now);
            bucket.take(available);
            read += available;
            let next = bucket.worth_waking_at();
            assert!(next > now, "no busy wait");
            now = Moment(next.0 + late);
        }
        read
    }

    #[test]
    fn the_average_is_the_rate() {
        for rate in [1, 7, 1000, 65_537, 10 << 20, 3 << 30] {
            for late in [0, 1000, 20_000] {
                let read = run(rate, 60_000_000, late);
                let meant = rate * 60;
                let off = read.abs_diff(meant);
                assert!(
                    off <= (meant / 50).max(2),
                    "rate {rate}, {late} us late: {read} for {meant}"
                );
            }
        }
    }

    #[test]
    fn what_is_saved_is_a_tenth_of_a_second() {
        let mut bucket = Bucket::new(1000, Moment(0));
        assert_eq!(bucket.available(Moment(0)), 0);
        assert_eq!(bucket.available(Moment(50_000)), 50);
        assert_eq!(bucket.available(Moment(3_600_000_000)), 100);
        bucket.take(100);
        assert_eq!(bucket.available(Moment(3_600_000_000)), 0);
        assert_eq!(bucket.worth_waking_at(), Moment(3_600_025_000));
    }

    #[test]
    fn what_trickles_in_is_not_read_byte_by_byte() {
        let mut bucket = Bucket::new(4 << 20, Moment(0));
        let mut reads = 0;
        for usec in 0..1_000_000 {
            let available = bucket.available(Moment(usec));
            bucket.take(available);
            reads += u32::from(available > 0);
        }
        assert!(reads <= 200, "{reads} reads in a second");
    }

    #[test]
    fn the_largest_numbers_do_not_overflow() {
        let mut bucket = Bucket::new(u64::MAX, Moment(0));
        bucket.available(Moment(u64::MAX));
        bucket.take(u64::MAX);
        let _ = bucket.worth_waking_at();
    }
}
