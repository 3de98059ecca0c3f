//! Other settings for a route that runs: nothing that is queued is lost, and its counters go on.

use std::sync::Arc;

use super::fast;
use super::route::RelayedRoute;
use crate::decide::rate::Bucket;
use crate::decide::route::{DestinationRule, Event};
use crate::decide::watermark::Watermark;
use crate::model::{DestinationSpec, PathChoice, RouteSpec, WhenFull, WhenGone};
use crate::sys::clock;
use crate::transport::{Chooser, Fast};

/// What a destination's settings mean for its route.
pub(super) fn rule(destination: &DestinationSpec) -> DestinationRule {
    DestinationRule {
        blocks: destination.when_full == WhenFull::Block,
        close_when_gone: destination.when_gone == WhenGone::Close,
    }
}

impl RelayedRoute {
    /// The endpoints of `spec` are those of the route.
    pub(super) fn retune(&mut self, spec: Arc<RouteSpec>) {
        if spec.rate_limit != self.spec.rate_limit {
            self.rate = spec.rate_limit.map(|rate| Bucket::new(rate, clock::now()));
            self.tell(&Event::RateSpent(false));
        }
        let mut anew = false;
        for i in 0..self.destinations.len() {
            let name = &self.destinations[i].name;
            let Some(wanted) = spec.to.iter().find(|to| to.endpoint.to_string() == **name) else {
                continue;
            };
            let destination = &mut self.destinations[i];
            anew |= destination.mark.high() != wanted.high_watermark;
            anew |= destination.backlog.policy() != wanted.when_full;
            destination.mark = Watermark::new(wanted.high_watermark, wanted.low_watermark);
            destination.backlog.retune(&spec, wanted);
            self.tell(&Event::DestinationRuled(i, rule(wanted)));
        }
        self.spec = spec;
        // With `path = "splice"` nothing that is staged may come to user space, and the path stays the same.
        if anew && self.spec.path != PathChoice::Splice {
            self.choose_path_anew();
        }
        for i in 0..self.destinations.len() {
            self.look_at_queue(i);
        }
        self.untold.changed = true;
    }

    /// The endpoints or their settings have changed: which path there is is found out anew. What is staged is queued.
    pub(super) fn choose_path_anew(&mut self) {
        self.abandon_round();
        for i in 0..self.destinations.len() {
            if self.destinations[i].teed > 0 {
                self.unstage(i);
            }
            self.destinations[i].refused = false;
        }
        let leaving = self.is_left();
        let fast = if leaving { Fast::No } else { fast::of(&self.spec) };
        self.chooser = Chooser::new(self.spec.path, fast);
        self.tee = (!leaving).then(|| fast::tee(&self.spec, &self.around.store)).flatten();
        (self.stall, self.stalled_until) = (None, None);
        for i in 0..self.destinations.len() {
            self.look_at_queue(i);
        }
    }
}
