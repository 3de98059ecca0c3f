//! CLOCK_MONOTONIC in nanoseconds: one clock for all processes of a sample. `sluiced::sys::clock` tells microseconds, which
//! is too coarse for the latency of a pipe.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// Nanoseconds since the machine was started.
pub fn now() -> u64 {
    // clock_gettime(2) fails only for a clock that does not exist.
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from);
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Lets time pass where there is nothing to wait for.
#[allow(clippy::disallowed_methods)]
pub fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// A moment by which something has to be over.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(u64);

impl Deadline {
    /// So long from now.
    pub fn within(time: Duration) -> Deadline {
        Deadline(now().saturating_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// Whether it has passed.
    pub fn passed(self) -> bool {
        now() >= self.0
    }

    /// Milliseconds for poll(2): what is left, at most a tenth of a second, so that signals are seen to.
    pub fn poll_timeout(self) -> u8 {
        let left = self.0.saturating_sub(now()) / 1_000_000 + 1;
        u8::try_from(left.min(100)).unwrap_or(100)
    }
}
