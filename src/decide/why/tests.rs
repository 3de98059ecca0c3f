mod rig;
mod roots;

use std::time::Duration;

use super::*;
use crate::model::{CloseCause, Exit, PauseReason, ProcessState, RouteState, WhenFull};
use rig::{A, C, NOW, name, process, ready, route, told};

#[test]
fn the_chain_goes_to_a_reader_that_is_not_there() {
    let chain = told(
        vec![
            route("ingest", A, &["process:archive.stdin"]).full(0),
            route("out", "process:archive.stdout", &["fifo:/run/out"]).gone(0),
        ],
        vec![ready("archive")],
    );
    assert_eq!(
        chain,
        [
            "route:ingest: ingest is paused: archive.stdin is full (64 KiB) [12]",
            "process:archive: archive is not reading: its route out is paused",
            "route:out: out is paused: no reader at /run/out [12]",
        ]
    );
}

#[test]
fn what_a_consumer_that_does_not_read_says_of_itself() {
    use ProcessState::{BackingOff, Failed, Finished, Starting, Stopped, Stopping, Waiting};
    let failed = |text: &str| process("c", Failed).with(|shown| shown.status_text = Some(text.into()));
    let segv = Exit::Signal {
        name: "SIGSEGV".into(),
        core_dumped: true,
    };
    let backs_off = |exit| {
        let due = NOW + Duration::from_millis(3_200);
        process("c", BackingOff)
            .exited(exit)
            .with(|shown| shown.next_start_at = Some(due))
    };
    let cases = [
        (ready("c"), "c runs (pid 7) and reads too slowly, or not at all"),
        (
            ready("c").frozen(Frozen::Stopped),
            "c is frozen (pid 7): a signal has stopped it (state T), and SIGCONT lets it go on",
        ),
        (
            process("c", Stopping).frozen(Frozen::Traced),
            "c is frozen (pid 7): a debugger holds it (state t)",
        ),
        (
            backs_off(Exit::Code(7)),
            "c is backing off: it exited with code 7; it is started again in 3.2 s [30]",
        ),
        (
            backs_off(segv),
            "c is backing off: it was killed by SIGSEGV (core dumped); it is started again in 3.2 s [30]",
        ),
        (
            failed("no such program"),
            "c has failed: no such program; `sluicectl start c` tries again [30]",
        ),
        (
            process("c", Failed).exited(Exit::Code(1)),
            "c has failed: it exited with code 1; `sluicectl start c` tries again [30]",
        ),
        (
            process("c", Stopped),
            "c is stopped by an operator; `sluicectl start c` starts it again [30]",
        ),
        (
            process("c", Stopped).with(|shown| (shown.started_at, shown.since) = (None, None)),
            "c is stopped: nobody has started it yet; `sluicectl start c` does",
        ),
        (
            process("c", Finished).exited(Exit::Code(0)),
            "c has finished: it exited with code 0 [30]",
        ),
        (process("c", Stopping), "c is stopping (pid 7) [30]"),
        (process("c", Starting), "c is starting (pid 7), and not ready yet [30]"),
        (
            process("c", Waiting),
            "c waits for those downstream of it to be ready [30]",
        ),
    ];
    for (consumer, says) in cases {
        let chain = told(vec![route("a", A, &[C]).full(0)], vec![consumer]);
        let expected = [
            "route:a: a is paused: c.stdin is full (64 KiB) [12]".to_owned(),
            format!("process:c: {says}"),
        ];
        assert_eq!(chain, expected);
    }
}

#[test]
fn who_waits_for_those_downstream_leads_to_them() {
    let opening = |facts: &mut RouteFacts| facts.shown.state = RouteState::Opening;
    let young = |process: ProcessFacts| process.with(|shown| shown.ever_ready = false);
    let chain = told(
        vec![
            route("a", "process:p.stdout", &["process:q.stdin", "process:p.stdin"]).but(opening),
            route("b", "process:q.stdout", &["process:r.stdin", "process:c.stdin"]).but(opening),
        ],
        vec![
            young(process("p", ProcessState::Waiting)),
            young(process("q", ProcessState::Waiting)),
            process("r", ProcessState::Ready),
            young(process("c", ProcessState::Starting)),
        ],
    );
    let expected = [
        "process:p: p waits for q, which is downstream of it, to be ready [30]",
        "process:q: q waits for c, which is downstream of it, to be ready [30]",
        "process:c: c is starting (pid 7), and not ready yet [30]",
    ];
    assert_eq!(chain[1..], expected);
}

#[test]
fn a_route_that_is_not_stuck_yet_leads_to_its_process() {
    use ProcessState::{Finished, Starting, Stopped};
    let starting = || route("a", "fifo:/a", &[C]).but(|facts| facts.shown.state = RouteState::Opening);
    let stops = "is stopped by an operator; `sluicectl start c` starts it again [30]";
    let cases = [
        (
            route("a", A, &[C]).but(|facts| facts.destinations[0].stands = Some(1024)),
            process("c", Stopped),
            "flows, but nobody reads c.stdin (1 KiB wait)",
            stops,
        ),
        (
            route("a", "process:c.stdout", &["fifo:/x"]).idle(),
            process("c", Stopped),
            "has nothing to read just now: nothing comes from c.stdout",
            stops,
        ),
        (
            route("a", "process:c.stdout", &["fifo:/x"]).idle(),
            ready("c"),
            "has nothing to read just now: nothing comes from c.stdout",
            "runs (pid 7) and writes nothing",
        ),
        (
            starting(),
            process("c", Starting),
            "is opening: the process of c.stdin is not ready",
            "is starting (pid 7), and not ready yet [30]",
        ),
        (
            route("a", A, &[C]).gone(0),
            ready("c"),
            "is paused: no reader at c.stdin [12]",
            "runs (pid 7), but has closed that end",
        ),
        (
            route("a", "process:c.stdout", &["fifo:/x"]).closed(CloseCause::Eof, CloseCause::Drained),
            process("c", Finished).exited(Exit::Code(0)),
            "is closed: c.stdout has come to its end, and all of it was delivered",
            "has finished: it exited with code 0 [30]",
        ),
        (
            route("a", A, &[C]).closed(CloseCause::PeerGone, CloseCause::PeerGone),
            process("c", Finished).exited(Exit::Code(3)),
            "is closed: the reader of c.stdin has gone for good",
            "has finished: it exited with code 3 [30]",
        ),
    ];
    for (facts, of, says, root) in cases {
        let chain = told(vec![facts], vec![of]);
        assert_eq!(chain, [format!("route:a: a {says}"), format!("process:c: c {root}")]);
    }
}

#[test]
fn an_idle_route_is_followed_against_the_data() {
    let chain = told(
        vec![
            route("b", "process:p.stdout", &["fifo:/x"]).idle(),
            route("a", A, &["process:p.stdin"]).paused(PauseReason::Operator),
        ],
        vec![ready("p")],
    );
    assert_eq!(
        chain,
        [
            "route:b: b has nothing to read just now: nothing comes from p.stdout",
            "process:p: p has read all that came to it by route a",
            "route:a: a is paused by an operator: `sluicectl resume a` lets it go on [12]",
        ]
    );
    let chain = told(
        vec![
            route("b", "process:p.stdout", &["fifo:/x"]).idle(),
            route("e", "process:p.stderr", &["fifo:/log"]).gone(0),
        ],
        vec![ready("p")],
    );
    assert_eq!(
        chain[1..],
        [
            "process:p: p is stuck in another of its outputs: its route e is paused",
            "route:e: e is paused: no reader at /log [12]"
        ]
    );
    let feeds = route("a", A, &["process:p.stdin"]).but(|facts| facts.destinations[0].stands = Some(2048));
    let chain = told(
        vec![route("b", "process:p.stdout", &["fifo:/x"]).idle(), feeds],
        vec![ready("p")],
    );
    assert_eq!(
        chain[1],
        "process:p: p runs (pid 7) and writes nothing, with 2 KiB to read"
    );
}

#[test]
fn a_process_is_stuck_only_in_an_output_that_holds_something() {
    let chain = told(
        vec![
            route("a", A, &[C]).full(0),
            route("out", "process:c.stdout", &["fifo:/x"]).gone(0).idle(),
        ],
        vec![ready("c")],
    );
    assert_eq!(
        chain[1..],
        ["process:c: c runs (pid 7) and reads too slowly, or not at all"]
    );
}

#[test]
fn of_several_obstacles_all_are_named_and_the_gravest_is_followed() {
    let to = [
        "process:slow.stdin",
        "process:waits.stdin",
        "process:down.stdin",
        "fifo:/x",
        "fifo:/y",
    ];
    let chain = told(
        vec![
            (0..4).fold(route("a", A, &to), RouteFacts::full).gone(4),
            route("b", "process:waits.stdout", &["fifo:/z"]).gone(0),
        ],
        vec![ready("slow"), ready("waits"), process("down", ProcessState::Stopped)],
    );
    assert_eq!(
        chain,
        [
            "route:a: a is paused: down.stdin is full (64 KiB); also: fifo:/x is full (64 KiB), no reader at /y, \
             waits.stdin is full (64 KiB), and 1 more [12]",
            "process:down: down is stopped by an operator; `sluicectl start down` starts it again [30]",
        ]
    );
    // One that drops is in nobody's way.
    let dropping = route("a", A, &["fifo:/x", C]).full(0).full(1);
    let dropping = dropping.but(|facts| facts.shown.destinations[0].when_full = WhenFull::DropOldest);
    assert_eq!(
        told(vec![dropping], vec![ready("c")])[0],
        "route:a: a is paused: c.stdin is full (64 KiB) [12]"
    );
}

#[test]
fn the_sources_that_wait_for_the_end_of_a_long_record() {
    let held = |stands| {
        route("r", "process:p.stdout", &["null"]).but(|facts| {
            facts.shown.sources.push(facts.shown.sources[0].clone());
            facts.sources.push(facts.sources[0].clone());
            (facts.shown.sources[0].holds, facts.sources[0].stands) = (true, Some(stands));
            facts.shown.sources[1].name = "process:p.stderr".into();
        })
    };
    assert_eq!(
        told(vec![held(0)], vec![ready("p")]),
        [
            "route:r: r flows, but p.stdout is within a record longer than max-record, \
             and the other sources wait for its end (5 B wait)",
            "process:p: p is stuck in another of its outputs: its route r waits for the end of a long record",
            "route:r: this is a cycle, each waits for the next: route r → process p → route r",
        ]
    );
    let draining = held(0).shown_as(RouteState::Draining).but(|facts| {
        facts.shown.sources[1].name = "fifo:/run/y".into();
        facts.sources[1].process = None;
    });
    assert_eq!(
        told(vec![draining], vec![ready("p")]),
        [
            "route:r: r is draining, but p.stdout is within a record longer than max-record, \
             and the other sources wait for its end (5 B wait)",
            "process:p: p runs (pid 7) and writes nothing",
        ]
    );
    assert_eq!(
        told(vec![held(3)], vec![ready("p")]),
        ["route:r: r flows: nothing is stuck"]
    );
}

#[test]
fn who_is_killed_for_want_of_a_reader_is_not_the_root() {
    let sigpipe = Exit::Signal {
        name: "SIGPIPE".into(),
        core_dumped: false,
    };
    let routes = || {
        vec![
            route("a", A, &[C]).full(0),
            route("out", "process:c.stdout", &["process:end.stdin"]).closed(CloseCause::PeerGone, CloseCause::PeerGone),
        ]
    };
    let end = || process("end", ProcessState::Finished).exited(Exit::Code(7));
    let chain = told(
        routes(),
        vec![process("c", ProcessState::Failed).exited(sigpipe), end()],
    );
    assert_eq!(
        chain[1..],
        [
            "process:c: c has failed: it was killed by SIGPIPE; `sluicectl start c` tries again; nobody takes what it \
             writes: its route out is closed [30]",
            "route:out: out is closed: the reader of end.stdin has gone for good",
            "process:end: end has finished: it exited with code 7 [30]",
        ]
    );
    // Who has ended well, or was stopped, has not ended for that.
    for (state, exit) in [(ProcessState::Finished, 0), (ProcessState::Stopped, 1)] {
        let chain = told(routes(), vec![process("c", state).exited(Exit::Code(exit)), end()]);
        assert_eq!(chain.len(), 2, "{chain:?}");
    }
}

#[test]
fn a_cycle_is_told_as_a_cycle() {
    let there = route("there", "process:p.stdout", &["process:q.stdin"]).full(0);
    let back = route("back", "process:q.stdout", &["process:p.stdin"]).full(0);
    let into = route("into", A, &["process:p.stdin"]).full(0);
    let chain = told(vec![into, there, back], vec![ready("p"), ready("q")]);
    assert_eq!(
        chain,
        [
            "route:into: into is paused: p.stdin is full (64 KiB) [12]",
            "process:p: p is not reading: its route there is paused",
            "route:there: there is paused: q.stdin is full (64 KiB) [12]",
            "process:q: q is not reading: its route back is paused",
            "route:back: back is paused: p.stdin is full (64 KiB) [12]",
            "process:p: this is a cycle, each waits for the next: process p → route there → process q → route back → \
             process p",
        ]
    );
    // Nobody has anything to read.
    let there = route("there", "process:p.stdout", &["process:q.stdin"]).idle();
    let back = route("back", "process:q.stdout", &["process:p.stdin"]).idle();
    let chain = told(vec![there, back], vec![ready("p"), ready("q")]);
    assert_eq!(chain.len(), 5);
    assert!(chain[4].starts_with("route:there: this is a cycle"), "{chain:?}");
}

#[test]
fn what_is_not_known_is_no_cause() {
    assert!(explain(&Plumbing::default(), &name("a")).is_empty());
    // A process that the config has and nobody supervises yet.
    let chain = told(vec![route("a", A, &[C]).full(0)], vec![]);
    assert_eq!(chain, ["route:a: a is paused: c.stdin is full (64 KiB) [12]"]);
}
