use super::*;
use crate::model::RouteState;
use crate::model::{Distribution, PauseReasons};

const BLOCK: DestinationRule = DestinationRule {
    blocks: true,
    close_when_gone: false,
};
const CLOSE: DestinationRule = DestinationRule {
    blocks: true,
    close_when_gone: true,
};
const DROP: DestinationRule = DestinationRule {
    blocks: false,
    close_when_gone: false,
};

fn opened(sources: usize, rules: &[DestinationRule]) -> Route {
    let mut route = Route::new(sources, rules, Distribution::Broadcast, false, Moment(0));
    for i in 0..sources {
        route.on(&Event::SourceOpened(i), Moment(0), &mut Vec::new());
    }
    for i in 0..rules.len() {
        route.on(&Event::DestinationOpened(i), Moment(0), &mut Vec::new());
    }
    route
}

fn play(route: &mut Route, events: &[Event]) -> Vec<Action> {
    let mut actions = Vec::new();
    for event in events {
        route.on(event, Moment(1), &mut actions);
    }
    actions
}

fn reasons(of: &[PauseReason]) -> PauseReasons {
    of.iter().copied().collect()
}

#[test]
fn a_route_opens_when_every_endpoint_was_tried() {
    let mut route = Route::new(1, &[BLOCK], Distribution::Broadcast, false, Moment(0));
    assert_eq!(
        (route.state(), route.gate().reasons()),
        (RouteState::Opening, reasons(&[PauseReason::Starting]))
    );
    assert_eq!(play(&mut route, &[Event::SourceOpened(0)]), []);
    assert_eq!(play(&mut route, &[Event::DestinationAwaitsReader(0)]), [Action::Opened]);
    assert_eq!(
        (route.state(), route.gate().reasons()),
        (RouteState::Paused, reasons(&[PauseReason::NoReader]))
    );
    play(&mut route, &[Event::DestinationOpened(0)]);
    assert_eq!((route.state(), route.is_reading(0)), (RouteState::Flowing, true));
}

#[test]
fn only_a_blocking_destination_pauses() {
    let mut route = opened(1, &[BLOCK, DROP]);
    play(
        &mut route,
        &[Event::DestinationFull(1, true), Event::DestinationGone(1)],
    );
    assert!(route.is_reading(0));
    play(&mut route, &[Event::DestinationFull(0, true)]);
    assert_eq!(route.gate().reasons(), reasons(&[PauseReason::Backpressure]));
    play(&mut route, &[Event::DestinationGone(0)]);
    assert_eq!(route.gate().reasons(), reasons(&[PauseReason::NoReader]));
    play(&mut route, &[Event::DestinationOpened(0)]);
    assert!(route.is_reading(0));
}

#[test]
fn the_end_of_the_last_source_drains_and_closes() {
    let mut route = opened(2, &[BLOCK]);
    let first = play(&mut route, &[Event::SourceEnded(0, CloseCause::Eof)]);
    assert_eq!(
        first,
        [Action::EndSource {
            source: 0,
            cause: CloseCause::Eof,
            keep: false
        }]
    );
    assert_eq!(route.state(), RouteState::Flowing);
    play(&mut route, &[Event::SourceEnded(1, CloseCause::Eof)]);
    assert_eq!(route.state(), RouteState::Draining);
    let last = play(
        &mut route,
        &[Event::DestinationFlushed(0), Event::DestinationFlushed(0)],
    );
    assert_eq!(
        last,
        [
            Action::EndDestination {
                destination: 0,
                cause: CloseCause::Drained
            },
            Action::Closed
        ]
    );
    assert!(
        !route.on(&Event::Resume, Moment(2), &mut Vec::new()),
        "one that ended by EOF stays closed"
    );
}

#[test]
fn the_end_of_the_last_destination_ends_the_sources() {
    let mut route = opened(1, &[CLOSE, CLOSE]);
    play(&mut route, &[Event::DestinationGone(0)]);
    assert_eq!(route.state(), RouteState::Flowing);
    let actions = play(&mut route, &[Event::DestinationGone(1)]);
    let expected = [
        Action::EndDestination {
            destination: 1,
            cause: CloseCause::PeerGone,
        },
        Action::EndSource {
            source: 0,
            cause: CloseCause::PeerGone,
            keep: false,
        },
        Action::Closed,
    ];
    assert_eq!(actions, expected);
}

#[test]
fn a_drain_keeps_the_sources_descriptors_and_can_be_undone() {
    let mut route = opened(1, &[BLOCK]);
    let asked = [Event::Pause, Event::Drain(Moment(100))];
    assert_eq!(play(&mut route, &asked), [Action::DrainSource(0)]);
    assert!(
        route.may_read(0) && !route.is_reading(0),
        "a drain reads over an operator's pause"
    );
    let actions = play(&mut route, &[Event::SourceDry(0), Event::DestinationFlushed(0)]);
    let expected = [
        Action::EndSource {
            source: 0,
            cause: CloseCause::Drained,
            keep: true,
        },
        Action::EndDestination {
            destination: 0,
            cause: CloseCause::Drained,
        },
        Action::Closed,
    ];
    assert_eq!(actions, expected);
    assert!(route.on(&Event::Resume, Moment(2), &mut Vec::new()));
    assert_eq!(route.state(), RouteState::Opening);
    let again = play(&mut route, &[Event::SourceOpened(0), Event::DestinationOpened(0)]);
    assert_eq!(again, [Action::Opened]);
    assert!(route.is_reading(0));
}

#[test]
fn a_reader_that_leaves_a_drain_is_not_waited_for_but_one_that_leaves_at_eof_is() {
    let mut by_hand = opened(1, &[BLOCK]);
    play(
        &mut by_hand,
        &[
            Event::Drain(Moment(100)),
            Event::SourceDry(0),
            Event::DestinationGone(0),
        ],
    );
    assert_eq!(by_hand.destination(0), &DestinationPhase::Closed(CloseCause::PeerGone));
    let mut by_eof = opened(1, &[BLOCK]);
    play(
        &mut by_eof,
        &[Event::SourceEnded(0, CloseCause::Eof), Event::DestinationGone(0)],
    );
    assert_eq!(by_eof.destination(0), &DestinationPhase::Draining { gone: true });
}

#[test]
fn a_deadline_aborts_once() {
    let mut route = opened(1, &[BLOCK]);
    let mut actions = Vec::new();
    route.on(&Event::Drain(Moment(100)), Moment(1), &mut actions);
    assert!(!route.on(&Event::DeadlineReached, Moment(99), &mut actions));
    actions.clear();
    route.on(&Event::DeadlineReached, Moment(100), &mut actions);
    let expected = [
        Action::EndSource {
            source: 0,
            cause: CloseCause::DrainTimeout,
            keep: true,
        },
        Action::EndDestination {
            destination: 0,
            cause: CloseCause::DrainTimeout,
        },
        Action::Closed,
    ];
    assert_eq!(actions, expected);
    assert_eq!(
        play(&mut route, &[Event::Abort(CloseCause::Aborted), Event::DeadlineReached]),
        []
    );
}

#[test]
fn a_process_that_is_started_again_opens_its_route() {
    let mut route = opened(1, &[BLOCK]);
    play(
        &mut route,
        &[Event::SourceEnded(0, CloseCause::Eof), Event::DestinationFlushed(0)],
    );
    assert!(route.on(&Event::SourceRevived(0), Moment(2), &mut Vec::new()));
    assert_eq!(route.state(), RouteState::Opening);
}

#[test]
fn the_state_can_be_written_down() {
    let mut route = opened(2, &[BLOCK, CLOSE]);
    play(
        &mut route,
        &[
            Event::Pause,
            Event::SourceEnded(0, CloseCause::IoError("EIO".into())),
            Event::Drain(Moment(9)),
        ],
    );
    let text = serde_json::to_string(&route).unwrap();
    assert_eq!(serde_json::from_str::<Route>(&text).unwrap(), route);
}
