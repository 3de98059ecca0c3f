use std::time::Duration;

use super::*;
use crate::model::{
    CloseCause, DestinationSnapshot, DestinationState, Distribution, Exit, Framing, PathKind, PauseReason,
    PauseReasons, ProcessState, RouteState, SourceSnapshot, SourceState, WhenFull,
};

const NOW: Moment = Moment(1_000_000_000);
const FULL: u64 = 64 << 10;

fn ago(seconds: u64) -> Moment {
    NOW - Duration::from_secs(seconds)
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn process_of(end: &str) -> Option<ProcessId> {
    let (process, _) = end.strip_prefix("process:")?.split_once('.')?;
    Some(ProcessId::single(name(process)))
}

/// A route that flows, with bytes in its source and its destination's pipe empty.
fn route(of: &str, from: &str, to: &[&str]) -> RouteFacts {
    let source = SourceSnapshot {
        name: from.into(),
        state: SourceState::Open,
        is_reading: true,
        peer_hung_up: false,
        bytes: 9,
        partial_bytes: 0,
        records: None,
        opens: 1,
        close_cause: None,
        trouble: None,
        descriptor: None,
    };
    let destination = |to: &&str| DestinationSnapshot {
        name: (*to).into(),
        state: DestinationState::Open,
        full: false,
        gone: false,
        bytes: 9,
        records: None,
        queued_bytes: 0,
        unread_bytes: None,
        dropped_bytes: 0,
        dropped_records: None,
        from_bytes: 0,
        upto_bytes: None,
        high_watermark: FULL,
        low_watermark: FULL / 4,
        when_full: WhenFull::Block,
        opens: 1,
        close_cause: None,
        waits_by: None,
        trouble: None,
        descriptor: None,
    };
    let end = |of: &str, stands| End {
        process: process_of(of),
        stands: Some(stands),
        written: None,
    };
    RouteFacts {
        shown: RouteSnapshot {
            name: name(of),
            state: RouteState::Flowing,
            reasons: PauseReasons::NONE,
            paused_since: None,
            pauses: 0,
            paused: Duration::ZERO,
            framing: Framing::Bytes,
            distribution: Distribution::Broadcast,
            path: PathKind::Copy,
            accepted_bytes: 9,
            accepted_records: None,
            retired_bytes: 0,
            sources: vec![source],
            destinations: to.iter().map(destination).collect(),
        },
        rate_limit: None,
        sources: vec![end(from, 5)],
        destinations: to.iter().map(|to| end(to, 0)).collect(),
    }
}

impl RouteFacts {
    fn paused(mut self, reason: PauseReason) -> RouteFacts {
        self.shown.state = RouteState::Paused;
        self.shown.reasons.insert(reason);
        self.shown.paused_since = Some(ago(12));
        self
    }
    fn full(mut self, i: usize) -> RouteFacts {
        self.shown.destinations[i].full = true;
        self.destinations[i].stands = Some(FULL);
        self.paused(PauseReason::Backpressure)
    }
    fn gone(mut self, i: usize) -> RouteFacts {
        self.shown.destinations[i].state = DestinationState::Waiting;
        self.shown.destinations[i].gone = true;
        self.destinations[i].stands = None;
        self.paused(PauseReason::NoReader)
    }
    fn shown_as(mut self, state: RouteState) -> RouteFacts {
        self.shown.state = state;
        self
    }
    fn but(mut self, change: impl FnOnce(&mut RouteFacts)) -> RouteFacts {
        change(&mut self);
        self
    }
    fn idle(mut self) -> RouteFacts {
        self.sources[0].stands = Some(0);
        self
    }
    fn closed(mut self, source: CloseCause, destination: CloseCause) -> RouteFacts {
        self.shown.state = RouteState::Closed;
        self.shown.sources[0].state = SourceState::Ended;
        self.shown.sources[0].close_cause = Some(source);
        self.shown.destinations[0].state = DestinationState::Closed;
        self.shown.destinations[0].close_cause = Some(destination);
        self
    }
}

fn process(of: &str, state: ProcessState) -> ProcessFacts {
    let runs = matches!(
        state,
        ProcessState::Ready | ProcessState::Starting | ProcessState::Stopping
    );
    ProcessFacts {
        shown: ProcessSnapshot {
            id: ProcessId::single(name(of)),
            state,
            since: Some(ago(30)),
            pid: runs.then_some(7),
            started_at: Some(ago(40)),
            restarts: 0,
            last_exit: None,
            next_start_at: None,
            wanted_up: true,
            status_text: None,
        },
        frozen: None,
    }
}

impl ProcessFacts {
    fn exited(mut self, exit: Exit) -> ProcessFacts {
        self.shown.last_exit = Some(exit);
        self
    }
    fn frozen(mut self, frozen: Frozen) -> ProcessFacts {
        self.frozen = Some(frozen);
        self
    }
    fn with(mut self, change: impl FnOnce(&mut ProcessSnapshot)) -> ProcessFacts {
        change(&mut self.shown);
        self
    }
}

/// The chain of the first route: `subject: text [since]`.
fn told(routes: Vec<RouteFacts>, processes: Vec<ProcessFacts>) -> Vec<String> {
    let of = routes[0].shown.name.clone();
    let plumbing = Plumbing {
        now: NOW,
        routes,
        processes,
    };
    let line = |cause: Cause| {
        let since = cause
            .since
            .map_or_else(String::new, |since| format!(" [{}]", NOW.since(since).as_secs()));
        format!("{}: {}{since}", cause.subject, cause.text)
    };
    explain(&plumbing, &of).into_iter().map(line).collect()
}

fn ready(of: &str) -> ProcessFacts {
    process(of, ProcessState::Ready)
}

const A: &str = "fifo:/a";
const C: &str = "process:c.stdin";

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
