//! The types of `io.sluiced.Relay.varlink` in Rust, for server and client alike. Depends on serde alone; a test holds
//! them against the IDL, field by field. Optional fields are left out when they are absent, never null.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The daemon itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The program's version.
    pub version: String,
    /// The daemon's process id.
    pub pid: i32,
    /// CLOCK_REALTIME, microseconds.
    #[serde(rename = "startedAtUSec")]
    pub started_at_usec: u64,
    /// 1, one more for each applied reload.
    pub generation: u64,
    /// One more for each upgrade or take-over.
    pub life: u64,
    /// The config files, in the order in which they were read.
    pub config_paths: Vec<String>,
    /// How many routes are in which state.
    pub routes: BTreeMap<String, u64>,
    /// How many processes are in which state.
    pub processes: BTreeMap<String, u64>,
    /// Why the last reload was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_reload_error: Option<String>,
}

/// One route between two turns of its relay.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Route {
    /// Its name.
    pub name: String,
    /// [`crate::model::RouteState`]
    pub state: String,
    /// [`crate::model::PauseReason`]
    pub pause_reasons: Vec<String>,
    /// CLOCK_REALTIME, microseconds.
    #[serde(rename = "pausedSinceUSec", skip_serializing_if = "Option::is_none")]
    pub paused_since_usec: Option<u64>,
    /// Backpressure and rate limit pauses of 100 ms or more.
    pub pauses: u64,
    /// Microseconds.
    #[serde(rename = "pausedUSec")]
    pub paused_usec: u64,
    /// [`crate::model::Framing`]
    pub framing: String,
    /// [`crate::model::Distribution`]
    pub distribution: String,
    /// [`crate::model::PathKind`]
    pub path: String,
    /// Taken from the sources for the destinations.
    pub accepted_bytes: u64,
    /// The same in records.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accepted_records: Option<u64>,
    /// Went to destinations that are no longer in the route.
    pub retired_bytes: u64,
    /// Bytes that came from sources which are no longer in the route.
    pub removed_source_bytes: u64,
    /// The same in records.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub removed_source_records: Option<u64>,
    /// In config order.
    pub sources: Vec<Source>,
    /// In config order.
    pub destinations: Vec<Destination>,
}

/// One source of a route.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Source {
    /// As shown: `process:NAME.stdout`, `fifo:PATH`.
    pub name: String,
    /// [`crate::model::SourceState`]
    pub state: String,
    /// Open, not closing, and no reason to pause.
    pub is_reading: bool,
    /// Its peer has hung up; unread bytes may still stand in it.
    pub peer_hung_up: bool,
    /// Bytes read.
    pub bytes: u64,
    /// Bytes read that are not a record yet.
    pub partial_bytes: u64,
    /// Records read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub records: Option<u64>,
    /// How many records were longer than `max-record`, and so may have gone on in parts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oversized_records: Option<u64>,
    /// Bytes that stand unread in the kernel (FIONREAD).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel_bytes: Option<u64>,
    /// How often the daemon has opened it.
    pub opens: u64,
    /// [`crate::model::CloseCause`]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub close_cause: Option<String>,
}

/// One destination of a route.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Destination {
    /// As shown: `process:NAME.stdin`, `fifo:PATH`, `file:PATH`, `null`.
    pub name: String,
    /// [`crate::model::DestinationState`]
    pub state: String,
    /// Bytes handed to the kernel; never falls.
    pub bytes: u64,
    /// The same in records.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub records: Option<u64>,
    /// Bytes accepted and still in the daemon.
    pub queued_bytes: u64,
    /// Bytes that its reader has not read yet (FIONREAD).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel_bytes: Option<u64>,
    /// The part of `bytes` that was still in the pipe when its reader ended for good.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unread_bytes: Option<u64>,
    /// Bytes accepted and given up.
    pub dropped_bytes: u64,
    /// The same in records.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dropped_records: Option<u64>,
    /// The route's `acceptedBytes` when it joined.
    pub from_bytes: u64,
    /// The route's `acceptedBytes` when it left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upto_bytes: Option<u64>,
    /// Bytes.
    pub high_watermark: u64,
    /// Bytes.
    pub low_watermark: u64,
    /// [`crate::model::WhenFull`]
    pub when_full: String,
    /// How often the daemon has opened it.
    pub opens: u64,
    /// [`crate::model::CloseCause`]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub close_cause: Option<String>,
    /// How the daemon learns that a reader has come: `inotify` or `polling`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waits_by: Option<String>,
    /// What keeps it from opening or writing, in words, while it is retried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// How a process's last life ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LastExit {
    /// Its exit code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<i32>,
    /// The name of the signal that ended it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal: Option<String>,
    /// In words; alone when it could not be executed.
    pub text: String,
}

/// One supervised child.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Process {
    /// `NAME` or `NAME@I`.
    pub name: String,
    /// [`crate::model::ProcessState`]
    pub state: String,
    /// While it lives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    /// CLOCK_REALTIME, microseconds.
    #[serde(rename = "startedAtUSec", skip_serializing_if = "Option::is_none")]
    pub started_at_usec: Option<u64>,
    /// How often it was started again.
    pub restarts: u64,
    /// How its last life ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_exit: Option<LastExit>,
    /// Microseconds, while it backs off.
    #[serde(rename = "nextStartInUSec", skip_serializing_if = "Option::is_none")]
    pub next_start_in_usec: Option<u64>,
    /// `up` or `down`.
    pub wanted: String,
    /// What it said of itself, or why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status_text: Option<String>,
    /// Resident memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Processor time used, microseconds.
    #[serde(rename = "cpuUSec", skip_serializing_if = "Option::is_none")]
    pub cpu_usec: Option<u64>,
}

/// One config file as it runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfigFile {
    /// As given or found.
    pub path: String,
    /// As read.
    pub text: String,
}

/// What is wrong with a config, and where.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Diagnostic {
    /// Path of the file.
    pub file: String,
    /// From 1.
    pub line: u64,
    /// From 1.
    pub column: u64,
    /// What is wrong.
    pub message: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

/// One step of a reload.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// `open` `close` `retune` `rewire` `start` `restart` `stop`
    pub kind: String,
    /// `daemon`, `route:NAME`, `route:NAME/ENDPOINT`, `process:NAME`, `process:NAME@I`
    pub subject: String,
    /// In words.
    pub reason: String,
}

/// Reload's reply.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reloaded {
    /// In order; none when nothing but the text has changed.
    pub steps: Vec<Step>,
    /// That of the config which runs now.
    pub generation: u64,
}

/// One link of the chain that Explain tells.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cause {
    /// `route:NAME` or `process:NAME`.
    pub subject: String,
    /// A sentence about it.
    pub text: String,
    /// Since when it is so: CLOCK_REALTIME, microseconds.
    #[serde(rename = "sinceUSec", skip_serializing_if = "Option::is_none")]
    pub since_usec: Option<u64>,
}

/// One reply of Monitor.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// Rises by one for each event of the daemon, whether this client is told of it or not.
    pub seq: u64,
    /// CLOCK_REALTIME, microseconds.
    #[serde(rename = "atUSec")]
    pub at_usec: u64,
    /// `route_paused` …
    pub kind: String,
    /// `daemon`, `route:NAME`, `route:NAME/ENDPOINT`, `process:NAME`.
    pub subject: String,
    /// What belongs to the kind.
    pub detail: Map<String, Value>,
}

/// The detail of Monitor's first event, `snapshot`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Snapshot {
    /// As GetStatus replies.
    pub status: Status,
    /// As ListRoutes replies.
    pub routes: Vec<Route>,
    /// As ListProcesses replies.
    pub processes: Vec<Process>,
}
