//! The only clock of the program.
#![allow(clippy::disallowed_methods)]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};
use tokio::time::Instant;

use crate::model::Moment;

/// CLOCK_MONOTONIC now. It does not stand still or go back, and goes on over an execve.
#[must_use]
pub fn now() -> Moment {
    // clock_gettime(2) fails only for a clock that does not exist or an address that is not ours.
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from);
    Moment(u64::try_from(time.as_micros()).unwrap_or(u64::MAX))
}

/// CLOCK_REALTIME now, in microseconds since 1970.
#[must_use]
pub fn realtime_usec() -> u64 {
    let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// The tokio instant at which `moment` is reached.
#[must_use]
pub fn instant_at(moment: Moment) -> Instant {
    Instant::now() + moment.since(now())
}

/// Sleeps until `moment`; at once when it is past.
pub async fn sleep_until(moment: Moment) {
    tokio::time::sleep_until(instant_at(moment)).await;
}
