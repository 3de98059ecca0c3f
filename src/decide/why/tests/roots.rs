//! Everything that a route can say when it is the root itself.

use super::rig::{A, route, told};
use crate::decide::why::*;
use crate::model::{CloseCause, DestinationState, PauseReason, RouteState, SourceState, WhenFull};

#[test]
fn what_a_route_says_when_it_is_the_root() {
    use PauseReason::{Backpressure, Operator, RateLimit, Starting};
    let a = || route("a", A, &["fifo:/x"]);
    let trouble = |facts: &mut RouteFacts| facts.shown.destinations[0].trouble = Some("cannot write: ENOSPC".into());
    let limited = |facts: &mut RouteFacts| facts.rate_limit = Some(10 << 20);
    let draining = |facts: &mut RouteFacts| {
        facts.shown.state = RouteState::Draining;
        facts.shown.destinations[0].state = DestinationState::Draining;
    };
    let untried = |facts: &mut RouteFacts| {
        facts.shown.state = RouteState::Opening;
        facts.shown.destinations[0].state = DestinationState::Waiting;
    };
    let queued = |facts: &mut RouteFacts| facts.shown.destinations[0].queued_bytes = 1024;
    let drops = |facts: &mut RouteFacts| facts.shown.destinations[0].when_full = WhenFull::DropNewest;
    let absent = |facts: &mut RouteFacts| facts.shown.sources[0].trouble = Some("/a is not there yet".into());
    let written = |by| move |facts: &mut RouteFacts| facts.sources[0].written = by;
    let unread = |facts: &mut RouteFacts| (facts.shown.sources[0].bytes, facts.sources[0].written) = (0, Some(false));
    let cases = [
        (a(), "flows: nothing is stuck"),
        (
            a().but(limited),
            "flows, within its rate limit of 10 MiB/s: nothing is stuck",
        ),
        (a().full(0), "is paused: fifo:/x is full (64 KiB) [12]"),
        (a().full(0).but(queued), "is paused: fifo:/x is full (65 KiB) [12]"),
        (a().gone(0), "is paused: no reader at /x [12]"),
        (
            a().paused(Operator),
            "is paused by an operator: `sluicectl resume a` lets it go on [12]",
        ),
        (
            a().full(0).paused(Operator),
            "is paused by an operator: `sluicectl resume a` lets it go on; besides: fifo:/x is full (64 KiB) [12]",
        ),
        (
            a().but(limited).paused(RateLimit),
            "is held to its rate limit of 10 MiB/s [12]",
        ),
        (
            a().full(0).but(trouble),
            "is paused: fifo:/x cannot go on (64 KiB wait): cannot write: ENOSPC [12]",
        ),
        (
            a().but(trouble),
            "flows, but fifo:/x cannot go on: cannot write: ENOSPC",
        ),
        // A look between two words of the relay.
        (a().paused(Backpressure), "is paused: backpressure [12]"),
        (
            a().gone(0).but(drops).shown_as(RouteState::Flowing),
            "flows, and drops what its destination does not take: no reader at /x",
        ),
        (a().but(draining), "is draining: still to be read: 5 B in fifo:/a"),
        (
            a().but(draining).but(queued),
            "is draining: 1 KiB are still to be written to fifo:/x",
        ),
        (
            a().gone(0).but(queued).but(draining),
            "is draining: no reader at /x, where 1 KiB wait",
        ),
        (
            a().but(draining)
                .but(|facts| facts.shown.sources[0].state = SourceState::Ended),
            "is draining: its last bytes are on their way",
        ),
        (a().but(untried), "is opening: fifo:/x is not open yet"),
        (
            a().paused(Operator).paused(Starting).but(untried).but(trouble),
            "is opening: fifo:/x cannot go on: cannot write: ENOSPC; besides, an operator has paused it",
        ),
        (
            a().shown_as(RouteState::Opening),
            "is opening: not every end has been tried yet",
        ),
        (
            a().idle().but(unread),
            "has nothing to read just now: no writer yet at /a",
        ),
        (
            a().idle().but(written(Some(false))),
            "has nothing to read just now: no writer now at /a",
        ),
        (
            a().idle().but(written(Some(true))),
            "has nothing to read just now: the writer of /a writes nothing",
        ),
        (a().idle(), "has nothing to read just now: nothing comes from fifo:/a"),
        (
            a().idle().but(absent),
            "has nothing to read just now: fifo:/a cannot be opened: /a is not there yet",
        ),
        (
            a().closed(CloseCause::Drained, CloseCause::Drained),
            "is closed: it was drained; `sluicectl resume a` opens it again",
        ),
        (
            a().closed(CloseCause::Aborted, CloseCause::Aborted),
            "is closed: it was aborted; `sluicectl resume a` opens it again",
        ),
        (
            a().closed(CloseCause::DrainTimeout, CloseCause::DrainTimeout),
            "is closed: it was not drained within its deadline; `sluicectl resume a` opens it again",
        ),
        (
            a().closed(CloseCause::PeerGone, CloseCause::PeerGone),
            "is closed: the reader of fifo:/x has gone for good",
        ),
        (
            a().closed(CloseCause::PeerGone, CloseCause::IoError("EIO".into())),
            "is closed: fifo:/x failed with EIO",
        ),
        (
            a().closed(CloseCause::Eof, CloseCause::Drained),
            "is closed: fifo:/a has come to its end, and all of it was delivered",
        ),
    ];
    for (facts, says) in cases {
        assert_eq!(told(vec![facts], vec![]), [format!("route:a: a {says}")]);
    }
}
