//! Does what the route's machine says, and tells of it.

use super::backlog::Owed;
use super::message::Report;
use super::route::RelayedRoute;
use crate::decide::pauses::Told;
use crate::decide::route::{Action, Phase};
use crate::model::{CloseCause, Distribution, Event, EventDetail, Subject};
use crate::sys::clock;

impl RelayedRoute {
    pub(super) fn act(&mut self, action: Action) {
        match action {
            Action::EndSource { source, cause, keep } => self.end_source(source, cause, keep),
            Action::DrainSource(i) => {
                let source = &mut self.sources[i];
                source.put_away_what_is_empty();
                if source.goes_on {
                    source.limit_to_what_is_begun();
                } else if source.kind.drains_to_end() {
                    source.limit = None;
                } else {
                    source.limit_to_what_stands();
                }
            }
            Action::EndDestination { destination, cause } => self.end_destination(destination, cause),
            Action::Opened => {
                self.event(Subject::Route(self.spec.name.clone()), EventDetail::RouteOpened);
                self.untold.changed = true;
            }
            Action::Closed => {
                let dropped_bytes = self
                    .destinations
                    .iter()
                    .map(|destination| destination.dropped.bytes)
                    .sum();
                self.event(
                    Subject::Route(self.spec.name.clone()),
                    EventDetail::RouteClosed { dropped_bytes },
                );
                self.untold.changed = true;
            }
        }
    }

    fn end_source(&mut self, i: usize, cause: CloseCause, keep: bool) {
        // The rest of a begun record is read by the next route, and so is its beginning handed on there.
        let goes_on = self.sources[i].goes_on && !self.sources[i].framer.is_long();
        if !goes_on {
            self.finish_records(i);
        }
        let source = &mut self.sources[i];
        source.limit = None;
        source.abandoning = None;
        source.close_cause = Some(cause.clone());
        if !keep {
            source.end = None;
            source.kind.close();
        }
        let subject = Subject::Endpoint(self.spec.name.clone(), source.name.clone());
        let text = source.failure.take();
        let detail = EventDetail::EndpointClosed {
            cause,
            // Where nobody is left who could have got it.
            dropped_bytes: if goes_on { 0 } else { source.framer.partial() },
            unread_bytes: None,
            text,
        };
        self.event(subject, detail);
    }

    fn end_destination(&mut self, i: usize, cause: CloseCause) {
        let goes_on = self.destinations[i].goes_on_after(&cause);
        if self.spec.distribution == Distribution::Balance {
            self.hand_over(i, goes_on);
        }
        if goes_on && self.destinations[i].teed > 0 {
            self.unstage(i);
        }
        if let Some(dropped) = self.destinations[i].dropping.end() {
            self.tell_dropping_ended(i, dropped);
        }
        if let Some(tee) = &mut self.tee {
            tee.clear(i);
        }
        let accepted = self.accepted;
        let destination = &mut self.destinations[i];
        destination.end(cause.clone(), accepted);
        if self.spec.distribution == Distribution::Balance {
            // The next route accounts for it.
            self.retired += destination.owed.as_ref().map_or(0, Owed::bytes);
        }
        let dropped_bytes = destination.dropped_in_this_life();
        let unread_bytes = destination.unread.filter(|unread| *unread > 0);
        let subject = Subject::Endpoint(self.spec.name.clone(), destination.name.clone());
        let text = destination.failure.take();
        let given_back = matches!(destination.leaves, Some(super::destination::Leaves::GivenBack(Some(_))));
        if let Some(life) = destination.kind.lent_life().filter(|_| !given_back) {
            self.report_ended_input(i, life);
        }
        self.event(
            subject,
            EventDetail::EndpointClosed {
                cause,
                dropped_bytes,
                unread_bytes,
                text,
            },
        );
    }

    /// The process of a destination is to see the end of its input.
    pub(super) fn report_ended_input(&self, i: usize, life: u64) {
        if let Some((process, stream)) = self.destinations[i].stream.clone() {
            self.reports.report(Report::InputEnded { process, stream, life });
        }
    }

    /// Counts and tells the pauses that are worth it.
    pub(super) fn look_at_pauses(&mut self) {
        let told = self.pauses.on(self.machine.gate().reasons(), clock::now());
        let detail = match told {
            None => return,
            Some(Told::Paused(reasons)) => EventDetail::RoutePaused { reasons },
            // One that has closed is over, not resumed.
            Some(Told::Resumed(_)) if *self.machine.phase() == Phase::Closed => return,
            Some(Told::Resumed(paused)) => EventDetail::RouteResumed { paused },
        };
        self.event(Subject::Route(self.spec.name.clone()), detail);
    }

    pub(super) fn event(&mut self, subject: Subject, detail: EventDetail) {
        self.untold.events.push(Event {
            at: clock::now(),
            subject,
            detail,
        });
    }
}
