use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use super::{
    CloseCause, DestinationState, Distribution, Exit, Framing, Moment, Name, PathKind, PauseReasons, ProcessId,
    ProcessState, RouteState, SourceState, WhenFull,
};

/// One route between two turns of its relay: what the law of accounting is said of.
#[derive(Clone, Debug)]
pub struct RouteSnapshot {
    /// The route's name.
    pub name: Name,
    /// As shown.
    pub state: RouteState,
    /// Why its sources are not being read.
    pub reasons: PauseReasons,
    /// Since when there are reasons.
    pub paused_since: Option<Moment>,
    /// How often it was paused, as counted (docs/control-protocol.md).
    pub pauses: u64,
    /// How long all its ended pauses took.
    pub paused: Duration,
    /// Where a record ends.
    pub framing: Framing,
    /// What each destination gets.
    pub distribution: Distribution,
    /// How bytes are moved now.
    pub path: PathKind,
    /// Bytes taken from the sources for the destinations.
    pub accepted_bytes: u64,
    /// The same in records, where there are records.
    pub accepted_records: Option<u64>,
    /// Bytes that went to destinations which are no longer in the route.
    pub retired_bytes: u64,
    /// Bytes that came from sources which are no longer in the route.
    pub removed_source_bytes: u64,
    /// The same in records, where there are records.
    pub removed_source_records: Option<u64>,
    /// In config order.
    pub sources: Vec<SourceSnapshot>,
    /// In config order.
    pub destinations: Vec<DestinationSnapshot>,
}

/// One source of a route.
#[derive(Clone, Debug)]
pub struct SourceSnapshot {
    /// `process:NAME.stdout`, `fifo:/abs/path` …
    pub name: Arc<str>,
    /// Where it is in its life.
    pub state: SourceState,
    /// Open, not closing, and no reason to pause.
    pub is_reading: bool,
    /// Its peer has hung up, as far as the relay has noticed. A query asks the kernel too, through `descriptor`.
    pub peer_hung_up: bool,
    /// Bytes read.
    pub bytes: u64,
    /// Bytes read that are not a record yet.
    pub partial_bytes: u64,
    /// Records read, where there are records.
    pub records: Option<u64>,
    /// How many of those were longer than `max-record`.
    pub oversized_records: Option<u64>,
    /// It is within a record longer than `max-record`, and the route's other sources wait for its end.
    pub holds: bool,
    /// How often the daemon has opened it.
    pub opens: u64,
    /// Why it ended.
    pub close_cause: Option<CloseCause>,
    /// What keeps it from opening, in words, while it is retried.
    pub trouble: Option<Arc<str>>,
    /// The open end, for questions to the kernel (FIONREAD, poll) at the time of a query.
    pub descriptor: Option<Arc<OwnedFd>>,
}

/// One destination of a route.
#[derive(Clone, Debug)]
pub struct DestinationSnapshot {
    /// `process:NAME.stdin`, `fifo:/abs/path` …
    pub name: Arc<str>,
    /// Where it is in its life.
    pub state: DestinationState,
    /// It is above its high watermark, or its pipe is full.
    pub full: bool,
    /// It was tried, and nobody reads it now.
    pub gone: bool,
    /// Bytes handed to the kernel. Never falls.
    pub bytes: u64,
    /// The same in records.
    pub records: Option<u64>,
    /// Bytes accepted and still in the daemon.
    pub queued_bytes: u64,
    /// The part of `bytes` that its reader had not read when it ended for good.
    pub unread_bytes: Option<u64>,
    /// Bytes accepted and given up.
    pub dropped_bytes: u64,
    /// The same in records.
    pub dropped_records: Option<u64>,
    /// The route's accepted bytes when it joined.
    pub from_bytes: u64,
    /// The route's accepted bytes when it left.
    pub upto_bytes: Option<u64>,
    /// Bytes.
    pub high_watermark: u64,
    /// Bytes.
    pub low_watermark: u64,
    /// Its policy.
    pub when_full: WhenFull,
    /// How often the daemon has opened it.
    pub opens: u64,
    /// Why it ended.
    pub close_cause: Option<CloseCause>,
    /// How the daemon learns that a reader has come, while there is none: `inotify`, or `polling` where it may not
    /// watch the FIFO.
    pub waits_by: Option<&'static str>,
    /// What keeps it from opening or writing, in words, while it is retried.
    pub trouble: Option<Arc<str>>,
    /// The open end, for questions to the kernel (FIONREAD) at the time of a query.
    pub descriptor: Option<Arc<OwnedFd>>,
}

/// One supervised child.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessSnapshot {
    /// Which one.
    pub id: ProcessId,
    /// As shown.
    pub state: ProcessState,
    /// When it came into this state; `None` from the start.
    pub since: Option<Moment>,
    /// While it lives.
    pub pid: Option<i32>,
    /// When its present (or last) life began.
    pub started_at: Option<Moment>,
    /// How often it was started again.
    pub restarts: u64,
    /// How its last life ended.
    pub last_exit: Option<Exit>,
    /// When it will be started, while it backs off.
    pub next_start_at: Option<Moment>,
    /// Whether it is meant to run.
    pub wanted_up: bool,
    /// What it said of itself by sd_notify(3), or why it failed.
    pub status_text: Option<String>,
    /// Its last life was ready.
    pub was_ready: bool,
    /// Some life of it was.
    pub ever_ready: bool,
}
