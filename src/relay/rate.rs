//! Holds a route to its `rate-limit`: what is read is paid for, and a route that has nothing left is paused until it is
//! worth going on.

use super::route::RelayedRoute;
use crate::decide::route::Event;
use crate::model::{Moment, PauseReason};
use crate::sys::clock;

impl RelayedRoute {
    /// How many of so many bytes may be read now. None of one or more: the route is paused by it.
    pub(super) fn allowed(&mut self, wanted: usize) -> usize {
        let Some(bucket) = &mut self.rate else { return wanted };
        let available = usize::try_from(bucket.available(clock::now())).unwrap_or(usize::MAX);
        if available == 0 && wanted > 0 {
            self.tell(&Event::RateSpent(true));
        }
        wanted.min(available)
    }

    /// So many bytes were read.
    pub(super) fn pay(&mut self, bytes: usize) {
        if let Some(bucket) = &mut self.rate {
            bucket.take(bytes as u64);
        }
    }

    /// When a route that is paused by its rate limit goes on.
    pub(super) fn rate_due(&self) -> Option<Moment> {
        let paused = self.machine.gate().reasons().contains(PauseReason::RateLimit);
        self.rate
            .as_ref()
            .filter(|_| paused)
            .map(crate::decide::rate::Bucket::worth_waking_at)
    }

    pub(super) fn look_at_rate(&mut self, now: Moment) {
        if self.rate_due().is_some_and(|due| now >= due) {
            self.tell(&Event::RateSpent(false));
        }
    }
}
