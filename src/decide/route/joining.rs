//! A reload gives a route more endpoints, takes some away, or changes what holds for one.

use super::{Action, DestinationPhase, DestinationRule, Phase, Route, SourcePhase};
use crate::model::CloseCause;

/// Where those are that a route has now, by where they were.
fn picked<T: Clone>(all: &[T], order: &[usize]) -> Vec<T> {
    order.iter().map(|i| all[*i].clone()).collect()
}

impl Route {
    /// Somebody has drained or dropped it by hand: it stays so until it is resumed.
    fn was_closed_by_hand(&self) -> bool {
        let by_hand = |cause: &CloseCause| {
            matches!(
                cause,
                CloseCause::Drained | CloseCause::Aborted | CloseCause::DrainTimeout
            )
        };
        match self.phase {
            Phase::Draining { by_hand, .. } => by_hand,
            Phase::Closed => self.sources.iter().filter_map(SourcePhase::cause).any(by_hand),
            Phase::Running => false,
        }
    }

    pub(super) fn join_source(&mut self) -> bool {
        if self.was_closed_by_hand() {
            self.sources.push(SourcePhase::Ended(CloseCause::Drained));
            return true;
        }
        match self.phase {
            Phase::Running => {}
            Phase::Draining { .. } => self.run_again(),
            Phase::Closed => self.open_again(|_| false),
        }
        self.sources.push(SourcePhase::Unopened);
        true
    }

    pub(super) fn join_destination(&mut self, rule: DestinationRule) -> bool {
        let at_an_end = self
            .sources
            .iter()
            .filter_map(SourcePhase::cause)
            .all(|cause| *cause == CloseCause::Eof);
        let stays_closed = self.phase == Phase::Closed && (self.was_closed_by_hand() || at_an_end);
        if stays_closed {
            let ended = DestinationPhase::Closed(CloseCause::Drained);
            self.destinations.push((rule, ended));
            return true;
        }
        if self.phase == Phase::Closed {
            self.open_again(|cause| *cause != CloseCause::Eof);
        }
        self.destinations.push((rule, DestinationPhase::Unopened));
        true
    }

    /// Only what stands in it is read from now on; it ends with `drained`.
    pub(super) fn leave_source(&mut self, i: usize, actions: &mut Vec<Action>) -> bool {
        match self.sources[i] {
            SourcePhase::Unopened => self.end_source(i, &CloseCause::Drained, true, actions),
            SourcePhase::Waiting | SourcePhase::Open => {
                self.sources[i] = SourcePhase::Draining;
                actions.push(Action::DrainSource(i));
                true
            }
            SourcePhase::Draining | SourcePhase::Ended(_) | SourcePhase::Failed(_) => false,
        }
    }

    /// It takes no more; what was accepted is written out, and it ends with `drained`.
    pub(super) fn leave_destination(&mut self, i: usize) -> bool {
        let phase = &mut self.destinations[i].1;
        let gone = match phase {
            DestinationPhase::Unopened | DestinationPhase::Gone => true,
            DestinationPhase::Open { .. } => false,
            DestinationPhase::Draining { .. } | DestinationPhase::Closed(_) | DestinationPhase::Failed(_) => {
                return false;
            }
        };
        *phase = DestinationPhase::Draining { gone };
        true
    }

    /// Puts the endpoints into this order, by their places until now. Those that are not in it have ended, and go.
    pub fn arrange(&mut self, sources: &[usize], destinations: &[usize]) {
        self.sources = picked(&self.sources, sources);
        self.destinations = picked(&self.destinations, destinations);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::route::Event;
    use crate::model::{Distribution, Moment, RouteState};

    const BLOCK: DestinationRule = DestinationRule {
        blocks: true,
        close_when_gone: false,
    };

    fn play(route: &mut Route, events: &[Event]) -> Vec<Action> {
        let mut actions = Vec::new();
        for event in events {
            route.on(event, Moment(1), &mut actions);
        }
        actions
    }

    fn opened() -> Route {
        let mut route = Route::new(1, &[BLOCK], Distribution::Broadcast, false, Moment(0));
        play(
            &mut route,
            &[
                Event::SourceOpened(0),
                Event::SourceActive(0),
                Event::DestinationOpened(0),
            ],
        );
        route
    }

    fn ended() -> Route {
        let mut route = opened();
        play(
            &mut route,
            &[Event::SourceEnded(0, CloseCause::Eof), Event::DestinationFlushed(0)],
        );
        assert_eq!(route.state(), RouteState::Closed);
        route
    }

    fn drained() -> Route {
        let mut route = opened();
        let events = [
            Event::Drain(Moment(9)),
            Event::SourceDry(0),
            Event::DestinationFlushed(0),
        ];
        play(&mut route, &events);
        assert_eq!(route.state(), RouteState::Closed);
        route
    }

    #[test]
    fn who_joins_a_running_route_is_waited_for_and_then_part_of_it() {
        let mut route = opened();
        play(&mut route, &[Event::SourceJoins, Event::DestinationJoins(BLOCK)]);
        assert_eq!(route.state(), RouteState::Opening);
        assert!(!route.is_reading(0), "a destination that blocks is not open yet");
        play(&mut route, &[Event::SourceOpened(1), Event::DestinationOpened(1)]);
        assert!(route.is_reading(0) && route.is_reading(1));
    }

    #[test]
    fn a_route_at_its_end_runs_again_for_a_source_and_not_for_a_destination() {
        let mut route = ended();
        play(&mut route, &[Event::SourceJoins]);
        assert_eq!(route.state(), RouteState::Opening);
        assert_eq!(*route.source(0), SourcePhase::Ended(CloseCause::Eof));
        assert_eq!(*route.destination(0), DestinationPhase::Unopened);
        let mut route = ended();
        play(&mut route, &[Event::DestinationJoins(BLOCK)]);
        assert_eq!(route.state(), RouteState::Closed);
        let mut route = opened();
        play(&mut route, &[Event::DestinationGoneForGood(0)]);
        play(&mut route, &[Event::DestinationJoins(BLOCK)]);
        assert_eq!(
            route.state(),
            RouteState::Opening,
            "there is somebody to write to again"
        );
        assert_eq!(*route.source(0), SourcePhase::Unopened);
    }

    #[test]
    fn what_was_drained_by_hand_stays_so_until_it_is_resumed() {
        let mut route = drained();
        play(&mut route, &[Event::SourceJoins, Event::DestinationJoins(BLOCK)]);
        assert_eq!(route.state(), RouteState::Closed);
        play(&mut route, &[Event::Resume]);
        assert_eq!(*route.source(1), SourcePhase::Unopened);
        assert_eq!(*route.destination(1), DestinationPhase::Unopened);
    }

    #[test]
    fn who_leaves_is_drained_and_goes() {
        let mut route = opened();
        play(&mut route, &[Event::SourceJoins, Event::DestinationJoins(BLOCK)]);
        play(&mut route, &[Event::SourceOpened(1), Event::DestinationOpened(1)]);
        let actions = play(&mut route, &[Event::SourceLeaves(0), Event::DestinationLeaves(0)]);
        assert_eq!(actions, [Action::DrainSource(0)]);
        play(&mut route, &[Event::DestinationFull(1, true)]);
        assert!(!route.may_read(0), "the others set the pace");
        play(&mut route, &[Event::DestinationFull(1, false)]);
        let actions = play(&mut route, &[Event::SourceDry(0), Event::DestinationFlushed(0)]);
        let source = Action::EndSource {
            source: 0,
            cause: CloseCause::Drained,
            keep: true,
        };
        let destination = Action::EndDestination {
            destination: 0,
            cause: CloseCause::Drained,
        };
        assert_eq!(actions, [source, destination]);
        route.arrange(&[1], &[1]);
        assert_eq!(route.state(), RouteState::Flowing);
        assert!(route.is_reading(0));
    }

    #[test]
    fn who_is_not_gone_in_time_is_given_up() {
        let mut route = opened();
        play(&mut route, &[Event::SourceJoins, Event::SourceOpened(1)]);
        let actions = play(&mut route, &[Event::SourceLeaves(1), Event::SourceLeavesNow(1)]);
        let given_up = Action::EndSource {
            source: 1,
            cause: CloseCause::DrainTimeout,
            keep: true,
        };
        assert_eq!(actions, [Action::DrainSource(1), given_up]);
        assert_eq!(route.state(), RouteState::Flowing);
    }

    #[test]
    fn a_route_that_is_about_to_change_is_not_at_its_end() {
        let mut route = opened();
        let actions = play(
            &mut route,
            &[Event::Changing(true), Event::SourceEnded(0, CloseCause::Eof)],
        );
        assert_eq!(actions.len(), 1, "the source alone has ended: {actions:?}");
        play(&mut route, &[Event::SourceJoins, Event::Changing(false)]);
        assert_eq!(route.state(), RouteState::Opening);
        let mut route = opened();
        play(&mut route, &[Event::Changing(true), Event::DestinationLeaves(0)]);
        assert!(!route.may_read(0), "nobody would get it");
        let actions = play(&mut route, &[Event::DestinationFlushed(0)]);
        assert_eq!(actions.len(), 1, "the destination alone has ended: {actions:?}");
        assert!(!route.may_read(0));
        play(
            &mut route,
            &[Event::DestinationJoins(BLOCK), Event::DestinationOpened(1)],
        );
        assert!(route.is_reading(0));
        play(&mut route, &[Event::SourceEnded(0, CloseCause::Eof)]);
        assert_eq!(route.state(), RouteState::Flowing);
        play(&mut route, &[Event::Changing(false)]);
        assert_eq!(route.state(), RouteState::Draining, "it is at its end after all");
    }

    #[test]
    fn nothing_is_read_for_those_who_are_not_there_yet() {
        let mut route = opened();
        play(
            &mut route,
            &[Event::DestinationJoins(BLOCK), Event::DestinationOpened(1)],
        );
        play(
            &mut route,
            &[Event::Changing(true), Event::DestinationLeaves(1), Event::Awaits(true)],
        );
        assert!(!route.may_read(0), "another is to begin where this one ends");
        play(&mut route, &[Event::DestinationFlushed(1)]);
        route.arrange(&[0], &[0]);
        play(&mut route, &[Event::DestinationJoins(BLOCK), Event::Awaits(false)]);
        play(&mut route, &[Event::DestinationOpened(1)]);
        assert!(route.is_reading(0));
        play(&mut route, &[Event::Awaits(true), Event::Changing(false)]);
        assert!(route.is_reading(0), "it is over, whatever came of it");
    }

    #[test]
    fn a_drain_by_hand_does_not_wait_for_a_change() {
        let mut route = opened();
        let events = [
            Event::Changing(true),
            Event::Drain(Moment(9)),
            Event::SourceDry(0),
            Event::DestinationFlushed(0),
        ];
        play(&mut route, &events);
        assert_eq!(route.state(), RouteState::Closed);
    }

    #[test]
    fn nothing_is_read_for_those_who_leave() {
        let mut route = opened();
        play(&mut route, &[Event::DestinationLeaves(0)]);
        assert!(!route.may_read(0), "the only one that is left has ended before");
    }
}
