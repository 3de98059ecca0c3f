//! The harness's only clock. Time is a bound here, never a proof.
#![expect(
    clippy::disallowed_methods,
    reason = "stories wait for a real daemon; this is the one place that does"
)]

use std::time::{Duration, Instant};

/// How long a state that must come is waited for. Far longer than it ever takes, so that a busy machine fails nothing.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A point in time after which waiting is given up.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    begun: Instant,
    patience: Duration,
}

impl Deadline {
    /// `patience` from now.
    pub fn within(patience: Duration) -> Deadline {
        Deadline {
            begun: Instant::now(),
            patience,
        }
    }

    /// What is left of it; zero when it has passed.
    pub fn left(&self) -> Duration {
        self.patience.saturating_sub(self.begun.elapsed())
    }

    /// Whether it has passed.
    pub fn passed(&self) -> bool {
        self.left().is_zero()
    }

    /// How long ago it was set.
    pub fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// What is left of it as poll(2) wants it, at least 1 ms.
    pub fn poll_timeout(&self) -> nix::poll::PollTimeout {
        let millis = u16::try_from(self.left().as_millis().clamp(1, 60_000)).unwrap_or(u16::MAX);
        nix::poll::PollTimeout::from(millis)
    }
}

/// Lets others run between two looks at a state.
pub fn pause_briefly() {
    std::thread::sleep(Duration::from_millis(5));
}

/// Lets time pass where its passing is what is wanted: the CPU time that an idle daemon uses meanwhile, the pace of a load,
/// or a moment that is drawn by lot. It proves nothing.
pub fn let_pass(window: Duration) {
    std::thread::sleep(window);
}

/// Looks until `look` finds something. `failure` words the message when it has not within [`PATIENCE`].
pub fn until<T>(mut look: impl FnMut() -> Option<T>, failure: impl FnOnce() -> String) -> T {
    let deadline = Deadline::within(PATIENCE);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(!deadline.passed(), "after {PATIENCE:?}: {}", failure());
        pause_briefly();
    }
}
