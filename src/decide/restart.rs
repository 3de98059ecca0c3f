//! When a process that has exited is started again: the backoff and the start limit. Pure; depends on `model` only.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::{Moment, ProcessSpec};

/// Doubling needs something to double, also with `restart-delay = "0s"`.
const LEAST_DOUBLED: Duration = Duration::from_millis(1);

/// A deviation from a delay in thousandths, -100 … 100, so that processes that died together do not come back together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Jitter(i16);

impl Jitter {
    /// The widest deviation: ±10 %.
    pub const WIDEST: i16 = 100;

    /// Limits `thousandths` to what is allowed.
    #[must_use]
    pub fn new(thousandths: i16) -> Jitter {
        Jitter(thousandths.clamp(-Self::WIDEST, Self::WIDEST))
    }

    fn apply(self, delay: Duration) -> Duration {
        let thousandths = u32::from((1000 + self.0).unsigned_abs());
        delay.saturating_mul(thousandths) / 1000
    }
}

/// What an exit that calls for another start leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Start again after this time.
    After(Duration),
    /// The start limit is passed: so many early exits were within its interval.
    Limit(usize),
}

/// How impatient a process has been lately.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backoff {
    /// The delay of the last early exit, without jitter.
    last: Option<Duration>,
    /// The early exits of the last `interval`; never more than `burst` + 1.
    early: VecDeque<Moment>,
}

impl Backoff {
    /// A life of length `ran` has ended. One that ran for `restart-delay-max` or longer starts the count afresh.
    pub fn exited(&mut self, spec: &ProcessSpec, ran: Duration, now: Moment, jitter: Jitter) -> Verdict {
        if ran >= spec.restart_delay_max {
            *self = Backoff::default();
            return Verdict::After(delay(spec, spec.restart_delay, jitter));
        }
        let limit = spec.start_limit;
        if limit.burst > 0 {
            while self.early.front().is_some_and(|at| now.since(*at) > limit.interval) {
                self.early.pop_front();
            }
            self.early.push_back(now);
            if self.early.len() > usize::try_from(limit.burst).unwrap_or(usize::MAX) {
                return Verdict::Limit(self.early.len());
            }
        }
        Verdict::After(self.next(spec, jitter))
    }

    /// The next delay after trouble that is not the process's own fault (no process could be made): it grows, but
    /// does not count for the start limit.
    pub fn next(&mut self, spec: &ProcessSpec, jitter: Jitter) -> Duration {
        let wanted = match self.last {
            None => spec.restart_delay,
            Some(last) => last.max(LEAST_DOUBLED).saturating_mul(2),
        };
        let wanted = wanted.min(spec.restart_delay_max);
        self.last = Some(wanted);
        delay(spec, wanted, jitter)
    }
}

fn delay(spec: &ProcessSpec, wanted: Duration, jitter: Jitter) -> Duration {
    jitter.apply(wanted).min(spec.restart_delay_max)
}

#[cfg(test)]
mod tests;
