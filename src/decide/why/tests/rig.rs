//! Routes and processes to be changed by a word.

use std::time::Duration;

use crate::decide::why::*;
use crate::model::{
    CloseCause, DestinationSnapshot, DestinationState, Distribution, Exit, Framing, PathKind, PauseReason,
    PauseReasons, ProcessState, RouteState, SourceSnapshot, SourceState, WhenFull,
};

pub(super) const NOW: Moment = Moment(1_000_000_000);
const FULL: u64 = 64 << 10;

fn ago(seconds: u64) -> Moment {
    NOW - Duration::from_secs(seconds)
}

pub(super) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn process_of(end: &str) -> Option<ProcessId> {
    let (process, _) = end.strip_prefix("process:")?.split_once('.')?;
    Some(ProcessId::single(name(process)))
}

/// A route that flows, with bytes in its source and its destination's pipe empty.
pub(super) fn route(of: &str, from: &str, to: &[&str]) -> RouteFacts {
    let source = SourceSnapshot {
        name: from.into(),
        state: SourceState::Open,
        is_reading: true,
        peer_hung_up: false,
        bytes: 9,
        partial_bytes: 0,
        records: None,
        oversized_records: None,
        holds: false,
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
            removed_source_bytes: 0,
            removed_source_records: None,
            sources: vec![source],
            destinations: to.iter().map(destination).collect(),
        },
        rate_limit: None,
        sources: vec![end(from, 5)],
        destinations: to.iter().map(|to| end(to, 0)).collect(),
    }
}

impl RouteFacts {
    pub(super) fn paused(mut self, reason: PauseReason) -> RouteFacts {
        self.shown.state = RouteState::Paused;
        self.shown.reasons.insert(reason);
        self.shown.paused_since = Some(ago(12));
        self
    }
    pub(super) fn full(mut self, i: usize) -> RouteFacts {
        self.shown.destinations[i].full = true;
        self.destinations[i].stands = Some(FULL);
        self.paused(PauseReason::Backpressure)
    }
    pub(super) fn gone(mut self, i: usize) -> RouteFacts {
        self.shown.destinations[i].state = DestinationState::Waiting;
        self.shown.destinations[i].gone = true;
        self.destinations[i].stands = None;
        self.paused(PauseReason::NoReader)
    }
    pub(super) fn shown_as(mut self, state: RouteState) -> RouteFacts {
        self.shown.state = state;
        self
    }
    pub(super) fn but(mut self, change: impl FnOnce(&mut RouteFacts)) -> RouteFacts {
        change(&mut self);
        self
    }
    pub(super) fn idle(mut self) -> RouteFacts {
        self.sources[0].stands = Some(0);
        self
    }
    pub(super) fn closed(mut self, source: CloseCause, destination: CloseCause) -> RouteFacts {
        self.shown.state = RouteState::Closed;
        self.shown.sources[0].state = SourceState::Ended;
        self.shown.sources[0].close_cause = Some(source);
        self.shown.destinations[0].state = DestinationState::Closed;
        self.shown.destinations[0].close_cause = Some(destination);
        self
    }
}

pub(super) fn process(of: &str, state: ProcessState) -> ProcessFacts {
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
            was_ready: true,
            ever_ready: true,
        },
        frozen: None,
    }
}

impl ProcessFacts {
    pub(super) fn exited(mut self, exit: Exit) -> ProcessFacts {
        self.shown.last_exit = Some(exit);
        self
    }
    pub(super) fn frozen(mut self, frozen: Frozen) -> ProcessFacts {
        self.frozen = Some(frozen);
        self
    }
    pub(super) fn with(mut self, change: impl FnOnce(&mut ProcessSnapshot)) -> ProcessFacts {
        change(&mut self.shown);
        self
    }
}

/// The chain of the first route: `subject: text [since]`.
pub(super) fn told(routes: Vec<RouteFacts>, processes: Vec<ProcessFacts>) -> Vec<String> {
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

pub(super) fn ready(of: &str) -> ProcessFacts {
    process(of, ProcessState::Ready)
}

pub(super) const A: &str = "fifo:/a";
pub(super) const C: &str = "process:c.stdin";
