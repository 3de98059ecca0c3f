//! From the model's snapshots and events to what is shown on the control socket. Pure; depends on `model` and `types`.
//!
//! What only the kernel knows at the time of a query (`kernelBytes`, `memoryBytes` …) is left absent for the daemon to
//! fill in.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::types;
use crate::model::{
    DestinationSnapshot, Event, EventDetail, Exit, Moment, PauseReason, ProcessSnapshot, RouteSnapshot, SourceSnapshot,
};

/// One instant on both clocks, so that moments can be shown as CLOCK_REALTIME.
#[derive(Clone, Copy, Debug)]
pub struct Clocks {
    /// CLOCK_MONOTONIC.
    pub now: Moment,
    /// CLOCK_REALTIME, microseconds.
    pub realtime_usec: u64,
}

impl Clocks {
    /// `moment` as CLOCK_REALTIME microseconds, by its age.
    #[must_use]
    pub fn realtime_of(self, moment: Moment) -> u64 {
        (self.realtime_usec + moment.usec_since(self.now)).saturating_sub(self.now.usec_since(moment))
    }
}

/// A route as ListRoutes shows it.
#[must_use]
pub fn route(route: &RouteSnapshot, clocks: Clocks) -> types::Route {
    types::Route {
        name: route.name.to_string(),
        state: route.state.to_string(),
        pause_reasons: route.reasons.iter().map(|reason| reason.as_str().to_owned()).collect(),
        paused_since_usec: route.paused_since.map(|since| clocks.realtime_of(since)),
        pauses: route.pauses,
        paused_usec: usec(route.paused),
        framing: route.framing.to_string(),
        distribution: route.distribution.to_string(),
        path: route.path.to_string(),
        accepted_bytes: route.accepted_bytes,
        accepted_records: route.accepted_records,
        retired_bytes: route.retired_bytes,
        removed_source_bytes: route.removed_source_bytes,
        removed_source_records: route.removed_source_records,
        sources: route.sources.iter().map(source).collect(),
        destinations: route.destinations.iter().map(destination).collect(),
    }
}

fn source(source: &SourceSnapshot) -> types::Source {
    types::Source {
        name: source.name.to_string(),
        state: source.state.to_string(),
        is_reading: source.is_reading,
        peer_hung_up: source.peer_hung_up,
        bytes: source.bytes,
        partial_bytes: source.partial_bytes,
        records: source.records,
        oversized_records: source.oversized_records,
        kernel_bytes: None,
        opens: source.opens,
        close_cause: source.close_cause.as_ref().map(ToString::to_string),
    }
}

fn destination(destination: &DestinationSnapshot) -> types::Destination {
    types::Destination {
        name: destination.name.to_string(),
        state: destination.state.to_string(),
        bytes: destination.bytes,
        records: destination.records,
        queued_bytes: destination.queued_bytes,
        kernel_bytes: None,
        unread_bytes: destination.unread_bytes,
        dropped_bytes: destination.dropped_bytes,
        dropped_records: destination.dropped_records,
        from_bytes: destination.from_bytes,
        upto_bytes: destination.upto_bytes,
        high_watermark: destination.high_watermark,
        low_watermark: destination.low_watermark,
        when_full: destination.when_full.to_string(),
        opens: destination.opens,
        close_cause: destination.close_cause.as_ref().map(ToString::to_string),
        waits_by: destination.waits_by.map(str::to_owned),
        trouble: destination.trouble.as_deref().map(str::to_owned),
    }
}

/// A process as ListProcesses shows it.
#[must_use]
pub fn process(process: &ProcessSnapshot, clocks: Clocks) -> types::Process {
    types::Process {
        name: process.id.to_string(),
        state: process.state.to_string(),
        pid: process.pid,
        started_at_usec: process.started_at.map(|at| clocks.realtime_of(at)),
        restarts: process.restarts,
        last_exit: process.last_exit.as_ref().map(last_exit),
        next_start_in_usec: process.next_start_at.map(|at| at.usec_since(clocks.now)),
        wanted: if process.wanted_up { "up" } else { "down" }.to_owned(),
        status_text: process.status_text.clone(),
        memory_bytes: None,
        cpu_usec: None,
    }
}

fn last_exit(exit: &Exit) -> types::LastExit {
    let shown = |code, signal| types::LastExit {
        code,
        signal,
        text: exit.to_string(),
    };
    match exit {
        Exit::Code(code) => shown(Some(*code), None),
        Exit::Signal { name, .. } => shown(None, Some(name.clone())),
        Exit::NotExecuted(_) => shown(None, None),
        Exit::Faulted { exit: inner, .. } => types::LastExit {
            text: exit.to_string(),
            ..last_exit(inner)
        },
    }
}

/// An event as Monitor tells it.
#[must_use]
pub fn event(event: &Event, seq: u64, clocks: Clocks) -> types::Event {
    types::Event {
        seq,
        at_usec: clocks.realtime_of(event.at),
        kind: event.detail.kind().to_owned(),
        subject: event.subject.to_string(),
        detail: detail(&event.detail),
    }
}

/// The `detail` of an event; docs/control-protocol.md lists it for each kind.
#[must_use]
pub fn detail(detail: &EventDetail) -> Map<String, Value> {
    let fields = match detail {
        EventDetail::RoutePaused { reasons } => {
            json!({ "reasons": reasons.iter().map(PauseReason::as_str).collect::<Vec<_>>() })
        }
        EventDetail::RouteResumed { paused } => json!({ "pausedUSec": usec(*paused) }),
        EventDetail::RouteClosed { dropped_bytes } => json!({ "droppedBytes": dropped_bytes }),
        EventDetail::EndpointOpened { opens } => json!({ "opens": opens }),
        EventDetail::EndpointClosed {
            cause,
            dropped_bytes,
            unread_bytes,
            text,
        } => json!({
            "cause": cause.to_string(), "droppedBytes": dropped_bytes, "unreadBytes": unread_bytes, "text": text,
        }),
        EventDetail::DroppingEnded { bytes, records } => json!({ "bytes": bytes, "records": records }),
        EventDetail::OutputAbandoned { stream, pid } => json!({ "stream": stream, "pid": pid }),
        EventDetail::ProcessStarted { pid } => json!({ "pid": pid }),
        EventDetail::ProcessExited { pid, exit } => json!({ "pid": pid, "exit": last_exit(exit) }),
        EventDetail::ProcessBackingOff { next_start_in } => json!({ "nextStartInUSec": usec(*next_start_in) }),
        EventDetail::ProcessFailed { text } | EventDetail::ReloadFailed { text } => json!({ "text": text }),
        EventDetail::ProcessStopping { signal, fault } => {
            json!({ "signal": signal, "text": fault.map(|fault| fault.to_string()) })
        }
        EventDetail::Reloaded { generation } => json!({ "generation": generation }),
        EventDetail::Upgraded { life } => json!({ "life": life }),
        EventDetail::RouteOpened
        | EventDetail::DroppingStarted
        | EventDetail::ProcessReady
        | EventDetail::ProcessStopped
        | EventDetail::Stopping => json!({}),
    };
    match fields {
        Value::Object(mut fields) => {
            fields.retain(|_, value| !value.is_null());
            fields
        }
        _ => Map::new(),
    }
}

fn usec(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::CloseCause;

    #[test]
    fn moments_are_shown_by_their_age() {
        let clocks = Clocks {
            now: Moment(5_000),
            realtime_usec: 1_000_000,
        };
        assert_eq!(clocks.realtime_of(Moment(2_000)), 997_000);
        assert_eq!(clocks.realtime_of(Moment(6_000)), 1_001_000);
    }

    #[test]
    fn what_is_absent_is_left_out() {
        let closed = EventDetail::EndpointClosed {
            cause: CloseCause::IoError("ENOSPC".into()),
            dropped_bytes: 3,
            unread_bytes: None,
            text: None,
        };
        let shown = Value::Object(detail(&closed));
        assert_eq!(shown, json!({ "cause": "io_error:ENOSPC", "droppedBytes": 3 }));
        let exited = EventDetail::ProcessExited {
            pid: 7,
            exit: Exit::Code(2),
        };
        let shown = Value::Object(detail(&exited));
        assert_eq!(shown, json!({ "pid": 7, "exit": { "code": 2, "text": "exit 2" } }));
    }
}
