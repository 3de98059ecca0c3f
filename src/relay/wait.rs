//! Waiting until something may have changed, for exactly what this route can use.

use std::future::{Future, poll_fn};
use std::task::{Context, Poll};

use super::message::Report;
use super::route::RelayedRoute;
use crate::decide::route::{Event, SourcePhase};
use crate::endpoint::ends::{DestinationOpening, Overdue, SourceOpening};
use crate::model::{EventDetail, Moment, Subject, WhenFull};
use crate::sys::{clock, poll};

/// How often an opening of one endpoint is told at most.
const BETWEEN_OPENINGS: std::time::Duration = std::time::Duration::from_secs(1);

impl RelayedRoute {
    pub(super) async fn wait(&mut self) {
        poll_fn(|cx| self.poll_anything(cx)).await;
    }

    fn poll_anything(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.cell.begin_turn();
        let mut ready = self.poll_command(cx).is_ready();
        for i in 0..self.sources.len() {
            ready |= self.poll_source(i, cx).is_ready();
        }
        for i in 0..self.destinations.len() {
            ready |= self.poll_destination(i, cx).is_ready();
        }
        ready |= self.poll_kept(cx).is_ready();
        ready |= self.poll_timer(cx).is_ready();
        if ready {
            return Poll::Ready(());
        }
        self.cell.end_turn();
        Poll::Pending
    }

    /// A source that may not be read is not waited for: what its peer does meanwhile is asked of the kernel when
    /// somebody wants to know.
    fn poll_source(&mut self, i: usize, cx: &mut Context<'_>) -> Poll<()> {
        if self.machine.source(i).has_ended() || !self.may_end(i) {
            return Poll::Pending;
        }
        let may_read = self.may_take(i);
        let draining = matches!(self.machine.source(i), SourcePhase::Draining);
        let source = &mut self.sources[i];
        if let Some(end) = &mut source.end {
            return if may_read && !self.unkept {
                end.poll_readable(cx)
            } else {
                Poll::Pending
            };
        }
        let Poll::Ready(opening) = source.kind.poll_open(cx) else {
            return Poll::Pending;
        };
        match opening {
            Ok(SourceOpening::Open(end)) => {
                source.end = Some(end);
                source.opens += 1;
                if draining && source.goes_on {
                    source.limit_to_what_is_begun();
                } else if draining && !source.kind.drains_to_end() {
                    source.limit_to_what_stands();
                }
                self.tell(&Event::SourceOpened(i));
            }
            Ok(SourceOpening::Waits) => {
                self.tell(&Event::SourceWaits(i));
            }
            Ok(SourceOpening::Ended) => {
                self.tell(&Event::SourceEnded(i, crate::model::CloseCause::Eof));
            }
            Err(error) => self.fail_source(i, &error),
        }
        Poll::Ready(())
    }

    fn poll_destination(&mut self, i: usize, cx: &mut Context<'_>) -> Poll<()> {
        if self.machine.destination(i).has_ended() {
            return Poll::Pending;
        }
        let opened = self.poll_opening(i, cx);
        let stalled = self.stalled_until.is_some();
        let destination = &mut self.destinations[i];
        let mut ready = opened.is_ready() | destination.kind.poll_progress(cx).is_ready();
        let Some(end) = &mut destination.end else {
            return if ready { Poll::Ready(()) } else { Poll::Pending };
        };
        let waiting = destination.teed > 0 || !destination.backlog.is_empty() || destination.refused;
        let blocked = waiting && !stalled;
        if blocked && end.poll_writable(cx).is_ready() {
            destination.refused = false;
            ready = true;
        }
        if end.poll_no_reader(cx).is_ready() {
            self.found_no_reader(i);
            ready = true;
        }
        if ready { Poll::Ready(()) } else { Poll::Pending }
    }

    fn poll_opening(&mut self, i: usize, cx: &mut Context<'_>) -> Poll<()> {
        let destination = &mut self.destinations[i];
        let Poll::Ready(opening) = destination.kind.poll_open(cx) else {
            return Poll::Pending;
        };
        match opening {
            Ok(DestinationOpening::Open(end)) => {
                // What is dropped when it is full is to be dropped soon, and not to grow old in a large pipe.
                let end = end.of_fixed_size(destination.backlog.policy() != WhenFull::Block);
                if let Some(old) = destination.end.replace(end) {
                    let lost = destination.kind.replaced(old);
                    destination.lost_in_pipe(lost);
                }
                destination.opens += 1;
                destination.refused = false;
                self.tell(&Event::DestinationOpened(i));
                self.tell_opening(i);
            }
            Ok(DestinationOpening::AwaitsReader) => {
                self.tell(&Event::DestinationAwaitsReader(i));
            }
            Ok(DestinationOpening::GoneForGood) => {
                self.tell(&Event::DestinationGoneForGood(i));
            }
            Err(error) => self.fail_destination(i, &error),
        }
        Poll::Ready(())
    }

    fn tell_opening(&mut self, i: usize) {
        let now = clock::now();
        let destination = &mut self.destinations[i];
        if destination
            .opening_told
            .is_some_and(|told| now < told + BETWEEN_OPENINGS)
        {
            return;
        }
        destination.opening_told = Some(now);
        let subject = Subject::Endpoint(self.spec.name.clone(), destination.name.clone());
        let opens = destination.opens;
        self.event(subject, EventDetail::EndpointOpened { opens });
    }

    /// A staging pipe has come into the store.
    fn poll_kept(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(tee) = &mut self.tee else {
            self.unkept = false;
            return Poll::Pending;
        };
        let polled = tee.poll_kept(cx);
        self.unkept &= polled.is_pending();
        polled
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(due) = self.next_deadline() else {
            self.timer = None;
            return Poll::Pending;
        };
        let fresh = || (due, Box::pin(tokio::time::sleep_until(clock::instant_at(due))));
        let (at, sleep) = self.timer.get_or_insert_with(fresh);
        if *at != due {
            *at = due;
            sleep.as_mut().reset(clock::instant_at(due));
        }
        let polled = sleep.as_mut().poll(cx);
        if polled.is_ready() {
            self.timer = None;
        }
        polled
    }

    fn next_deadline(&self) -> Option<Moment> {
        let overdue = self
            .sources
            .iter()
            .filter(|source| source.end.is_some())
            .filter_map(|source| source.kind.due());
        let own = [
            self.machine.deadline(),
            self.pauses.due(),
            self.stalled_until,
            self.rate_due(),
            self.dropping_due(),
            self.rewiring.deadline(),
        ];
        overdue.chain(own.into_iter().flatten()).min()
    }

    /// Does what is due. Called in each turn, so that a busy route keeps its deadlines too.
    pub(super) fn look_at_deadlines(&mut self) {
        let Some(due) = self.next_deadline() else { return };
        let now = clock::now();
        if now < due {
            return;
        }
        if self.stalled_until.is_some_and(|until| now >= until) {
            self.end_stall();
        }
        self.look_at_rate(now);
        for source in &mut self.sources {
            let Some(end) = &source.end else { continue };
            let hung_up = poll::now(end.descriptor()).hung_up;
            match source.kind.overdue(now, hung_up) {
                None => {}
                Some(Overdue::KillGroup { process, life }) => {
                    self.reports.report(Report::KillGroup { process, life });
                }
                Some(Overdue::Abandon { pid }) => {
                    source.limit_to_what_stands();
                    source.abandoning = Some(pid);
                }
            }
        }
        self.tell(&Event::DeadlineReached);
    }
}
