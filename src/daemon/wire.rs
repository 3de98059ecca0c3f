//! Snapshots and events as the control socket tells them: names in snake_case, times of the wall clock, and what only the
//! kernel knows at the time of asking.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::state::Daemon;
use crate::control::types;
use crate::endpoint;
use crate::model::{
    CloseCause, DestinationSnapshot, Event, EventDetail, Exit, Moment, PauseReason, ProcessSnapshot, ProcessState,
    RouteSnapshot, RouteState, SourceSnapshot, SourceState,
};
use crate::relay::RouteHandle;
use crate::sys::{clock, pipe, poll};

/// The wall clock's time of a moment: it is computed from the moment's age, so that it is right after the clock was set.
fn at_usec(moment: Moment) -> u64 {
    clock::realtime_usec().saturating_sub(clock::now().usec_since(moment))
}

fn usec(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

impl Daemon {
    /// A route as it is now.
    pub(super) fn shown_route(&self, route: &RouteHandle) -> types::Route {
        let mut shown = route_of(&route.cell.read());
        if matches!(shown.state.as_str(), "paused" | "flowing") && self.waits_for_a_process(route) {
            RouteState::Opening.as_str().clone_into(&mut shown.state);
        }
        shown
    }

    /// The state of a route as shown: `opening` also while one of its processes starts.
    pub(super) fn shown_state(&self, route: &RouteHandle) -> RouteState {
        let state = route.cell.with(|cell| cell.state);
        match state {
            RouteState::Paused | RouteState::Flowing if self.waits_for_a_process(route) => RouteState::Opening,
            state => state,
        }
    }

    fn waits_for_a_process(&self, route: &RouteHandle) -> bool {
        let sources = route.spec.from.iter().map(|source| &source.endpoint);
        let ends = sources.chain(route.spec.to.iter().map(|destination| &destination.endpoint));
        ends.filter_map(endpoint::stream_of).any(|(process, _)| {
            self.wiring.place(process).is_some_and(|place| {
                matches!(
                    self.processes[place].state(),
                    ProcessState::Starting | ProcessState::Waiting
                )
            })
        })
    }
}

fn route_of(route: &RouteSnapshot) -> types::Route {
    let present = route.paused_since.map_or(0, |since| clock::now().usec_since(since));
    types::Route {
        name: route.name.to_string(),
        state: route.state.as_str().to_owned(),
        pause_reasons: route
            .reasons
            .iter()
            .map(|reason| PauseReason::as_str(reason).to_owned())
            .collect(),
        paused_since_usec: route.paused_since.map(at_usec),
        pauses: route.pauses,
        paused_usec: usec(route.paused) + present,
        framing: route.framing.as_str().to_owned(),
        distribution: route.distribution.as_str().to_owned(),
        path: route.path.as_str().to_owned(),
        accepted_bytes: route.accepted_bytes,
        accepted_records: route.accepted_records,
        retired_bytes: route.retired_bytes,
        sources: route.sources.iter().map(source_of).collect(),
        destinations: route.destinations.iter().map(destination_of).collect(),
    }
}

/// What stands in a source and whether its peer is there is asked of the kernel now: a paused source is not watched.
fn source_of(source: &SourceSnapshot) -> types::Source {
    let kernel = source.descriptor.as_ref().map(pipe::unread);
    let hung_up = match &source.descriptor {
        Some(descriptor) => poll::now(descriptor).hung_up,
        None => source.close_cause == Some(CloseCause::Eof),
    };
    let seen = hung_up || kernel.is_some_and(|bytes| bytes > 0);
    let state = match source.state {
        SourceState::Waiting if seen => SourceState::Open,
        state => state,
    };
    types::Source {
        name: source.name.to_string(),
        state: state.as_str().to_owned(),
        is_reading: source.is_reading,
        peer_hung_up: hung_up,
        bytes: source.bytes,
        partial_bytes: source.partial_bytes,
        records: source.records,
        kernel_bytes: kernel,
        opens: source.opens,
        close_cause: source.close_cause.as_ref().map(ToString::to_string),
    }
}

fn destination_of(destination: &DestinationSnapshot) -> types::Destination {
    types::Destination {
        name: destination.name.to_string(),
        state: destination.state.as_str().to_owned(),
        bytes: destination.bytes,
        records: destination.records,
        queued_bytes: destination.queued_bytes,
        kernel_bytes: destination.descriptor.as_ref().map(pipe::unread),
        unread_bytes: destination.unread_bytes,
        dropped_bytes: destination.dropped_bytes,
        dropped_records: destination.dropped_records,
        from_bytes: destination.from_bytes,
        upto_bytes: destination.upto_bytes,
        high_watermark: destination.high_watermark,
        low_watermark: destination.low_watermark,
        when_full: destination.when_full.as_str().to_owned(),
        opens: destination.opens,
        close_cause: destination.close_cause.as_ref().map(ToString::to_string),
        waits_by: destination.waits_by.map(str::to_owned),
        trouble: destination.trouble.as_deref().map(str::to_owned),
    }
}

/// A process as it is now.
pub(super) fn process(process: &ProcessSnapshot) -> types::Process {
    types::Process {
        name: process.id.to_string(),
        state: process.state.as_str().to_owned(),
        pid: process.pid,
        started_at_usec: process.started_at.map(at_usec),
        restarts: process.restarts,
        last_exit: process.last_exit.as_ref().map(last_exit),
        next_start_in_usec: process.next_start_at.map(|at| at.usec_since(clock::now())),
        wanted: if process.wanted_up { "up" } else { "down" }.to_owned(),
        status_text: process.status_text.clone(),
        memory_bytes: None,
        cpu_usec: None,
    }
}

fn last_exit(exit: &Exit) -> types::LastExit {
    let (code, signal) = match exit {
        Exit::Code(code) => (Some(*code), None),
        Exit::Signal { name, .. } => (None, Some(name.clone())),
        Exit::NotExecuted(_) => (None, None),
    };
    types::LastExit {
        code,
        signal,
        text: exit.to_string(),
    }
}

/// An event as Monitor tells it.
pub(super) fn event(event: &Event, seq: u64) -> types::Event {
    let detail = match detail(&event.detail) {
        Value::Object(detail) => detail,
        _ => Map::new(),
    };
    types::Event {
        seq,
        at_usec: at_usec(event.at),
        kind: event.detail.kind().to_owned(),
        subject: event.subject.to_string(),
        detail,
    }
}

fn detail(detail: &EventDetail) -> Value {
    match detail {
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
        } => present(json!({
            "cause": cause.to_string(), "droppedBytes": dropped_bytes, "unreadBytes": unread_bytes, "text": text,
        })),
        EventDetail::DroppingEnded { bytes, records } => present(json!({ "bytes": bytes, "records": records })),
        EventDetail::OutputAbandoned { stream, pid } => json!({ "stream": stream, "pid": pid }),
        EventDetail::ProcessStarted { pid } => json!({ "pid": pid }),
        EventDetail::ProcessExited { pid, exit } => {
            let exit = last_exit(exit);
            present(json!({ "pid": pid, "code": exit.code, "signal": exit.signal, "text": exit.text }))
        }
        EventDetail::ProcessBackingOff { next_start_in } => json!({ "nextStartInUSec": usec(*next_start_in) }),
        EventDetail::ProcessFailed { text } | EventDetail::ReloadFailed { text } => json!({ "text": text }),
        EventDetail::ProcessStopping { signal } => json!({ "signal": signal }),
        EventDetail::Reloaded { generation } => json!({ "generation": generation }),
        EventDetail::RouteOpened
        | EventDetail::DroppingStarted
        | EventDetail::ProcessReady
        | EventDetail::ProcessStopped
        | EventDetail::Stopping => json!({}),
    }
}

/// Without the fields that are absent: they are left out, never null.
fn present(mut detail: Value) -> Value {
    if let Value::Object(fields) = &mut detail {
        fields.retain(|_, value| !value.is_null());
    }
    detail
}
