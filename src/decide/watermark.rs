//! The two marks that bound what a destination has queued. asyncio's `set_write_buffer_limits`, `pause_writing` and
//! `resume_writing`: above high it is full, at or below low it takes again.

use serde::{Deserialize, Serialize};

/// The marks, in bytes, and on which side of them the queue was last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watermark {
    high: u64,
    low: u64,
    above: bool,
}

impl Watermark {
    /// `low` is at most `high`; the config has seen to it.
    #[must_use]
    pub fn new(high: u64, low: u64) -> Watermark {
        Watermark {
            high,
            low: low.min(high),
            above: false,
        }
    }

    /// Looks at the queue again; true when the destination became full or takes again by it.
    pub fn on(&mut self, queued: u64) -> bool {
        let before = self.above;
        self.above = if self.above {
            queued > self.low
        } else {
            queued > self.high
        };
        self.above != before
    }

    /// Above high, and since then not at or below low.
    #[must_use]
    pub fn is_above(&self) -> bool {
        self.above
    }

    /// Bytes.
    #[must_use]
    pub fn high(&self) -> u64 {
        self.high
    }

    /// Bytes.
    #[must_use]
    pub fn low(&self) -> u64 {
        self.low
    }
}

#[cfg(test)]
mod tests {
    use super::Watermark;

    #[test]
    fn full_above_high_and_not_before_low() {
        let mut mark = Watermark::new(65536, 16384);
        let steps = [
            // (queued, changed, above)
            (0, false, false),
            (65536, false, false),
            (65537, true, true),
            (70000, false, true),
            (65536, false, true),
            (16385, false, true),
            (16384, true, false),
            (0, false, false),
            (65537, true, true),
            (0, true, false),
        ];
        for (queued, changed, above) in steps {
            assert_eq!((mark.on(queued), mark.is_above()), (changed, above), "queued {queued}");
        }
    }

    #[test]
    fn marks_of_zero_mean_full_with_the_first_byte() {
        let mut mark = Watermark::new(0, 0);
        assert!(!mark.on(0));
        assert!(mark.on(1));
        assert!(mark.on(0));
    }
}
