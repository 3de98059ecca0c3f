//! The log's words for events. Each line names its route or process.

use std::time::Duration;

use crate::model::{CloseCause, Event, EventDetail, Exit, Subject};

/// Writes an event to the log. `expected`: it is what somebody has asked for.
pub fn write(event: &Event, expected: bool) {
    // The fields are for queries; the line says all of it by itself.
    let text = format!("{}: {}", event.subject, text(&event.detail));
    match (&event.subject, is_trouble(&event.detail) && !expected) {
        (Subject::Daemon, true) => tracing::warn!("{text}"),
        (Subject::Daemon, false) => tracing::info!("{text}"),
        (Subject::Route(route), true) => tracing::warn!(%route, "{text}"),
        (Subject::Route(route), false) => tracing::info!(%route, "{text}"),
        (Subject::Endpoint(route, endpoint), true) => tracing::warn!(%route, %endpoint, "{text}"),
        (Subject::Endpoint(route, endpoint), false) => tracing::info!(%route, %endpoint, "{text}"),
        (Subject::Process(process), true) => tracing::warn!(%process, "{text}"),
        (Subject::Process(process), false) => tracing::info!(%process, "{text}"),
    }
}

/// Whether somebody may have to do something about it.
fn is_trouble(detail: &EventDetail) -> bool {
    match detail {
        EventDetail::EndpointClosed {
            cause,
            dropped_bytes,
            unread_bytes,
            ..
        } => {
            matches!(cause, CloseCause::IoError(_) | CloseCause::DrainTimeout)
                || *dropped_bytes > 0
                || unread_bytes.is_some()
        }
        EventDetail::ProcessExited { exit, .. } => !matches!(exit, Exit::Code(0)),
        EventDetail::OutputAbandoned { .. }
        | EventDetail::ProcessFailed { .. }
        | EventDetail::ReloadFailed { .. }
        | EventDetail::DroppingStarted
        | EventDetail::DroppingEnded { .. } => true,
        EventDetail::RouteClosed { dropped_bytes } => *dropped_bytes > 0,
        EventDetail::ProcessStopping { fault, .. } => fault.is_some(),
        EventDetail::RoutePaused { .. }
        | EventDetail::RouteResumed { .. }
        | EventDetail::RouteOpened
        | EventDetail::EndpointOpened { .. }
        | EventDetail::ProcessStarted { .. }
        | EventDetail::ProcessReady
        | EventDetail::ProcessBackingOff { .. }
        | EventDetail::ProcessStopped
        | EventDetail::Reloaded { .. }
        | EventDetail::Upgraded { .. }
        | EventDetail::Stopping => false,
    }
}

fn text(detail: &EventDetail) -> String {
    match detail {
        EventDetail::RoutePaused { reasons } => {
            let reasons: Vec<&str> = reasons.iter().map(crate::model::PauseReason::as_str).collect();
            format!("paused: {}", reasons.join(", "))
        }
        EventDetail::RouteResumed { paused } => format!("resumed after {}", duration(*paused)),
        EventDetail::RouteOpened => "open".to_owned(),
        EventDetail::RouteClosed { dropped_bytes: 0 } => "closed".to_owned(),
        EventDetail::RouteClosed { dropped_bytes } => format!("closed; {dropped_bytes} bytes were dropped"),
        EventDetail::EndpointOpened { opens: 1 } => "endpoint open".to_owned(),
        EventDetail::EndpointOpened { opens } => format!("endpoint open, for the {opens}. time"),
        EventDetail::EndpointClosed {
            cause,
            dropped_bytes,
            unread_bytes,
            text,
        } => endpoint_closed(cause, *dropped_bytes, *unread_bytes, text.as_deref()),
        EventDetail::DroppingStarted => "full: dropping".to_owned(),
        EventDetail::DroppingEnded { bytes, records: None } => format!("dropping ended: {bytes} bytes dropped"),
        EventDetail::DroppingEnded {
            bytes,
            records: Some(records),
        } => {
            format!("dropping ended: {records} records dropped, {bytes} bytes")
        }
        EventDetail::OutputAbandoned { stream, pid } => format!(
            "gave up the {stream} pipe of process {pid}, which has exited: somebody outside its process group keeps it open"
        ),
        EventDetail::ProcessStarted { pid } => format!("started, pid {pid}"),
        EventDetail::ProcessReady => "ready".to_owned(),
        EventDetail::ProcessExited { pid, exit } => format!("pid {pid}: {exit}"),
        EventDetail::ProcessBackingOff { next_start_in } => format!("next start in {}", duration(*next_start_in)),
        EventDetail::ProcessFailed { text } => format!("failed: {text}"),
        EventDetail::ProcessStopping { signal, fault: None } => format!("stopping, by {signal}"),
        EventDetail::ProcessStopping {
            signal,
            fault: Some(fault),
        } => format!("{fault}: stopping, by {signal}"),
        EventDetail::ProcessStopped => "stopped".to_owned(),
        EventDetail::Reloaded { generation } => format!("reloaded: generation {generation}"),
        EventDetail::Upgraded { life } => {
            let version = env!("CARGO_PKG_VERSION");
            format!("upgraded: life {life}, version {version}")
        }
        EventDetail::ReloadFailed { text } => format!("reload refused: {text}"),
        EventDetail::Stopping => "stopping".to_owned(),
    }
}

fn endpoint_closed(cause: &CloseCause, dropped: u64, unread: Option<u64>, text: Option<&str>) -> String {
    let mut line = format!("endpoint closed: {cause}");
    if let Some(text) = text {
        line.push_str(": ");
        line.push_str(text);
    }
    if dropped > 0 {
        line.push_str(&format!("; {dropped} bytes dropped"));
    }
    if let Some(unread) = unread {
        line.push_str(&format!("; {unread} bytes left unread in its pipe"));
    }
    line
}

fn duration(duration: Duration) -> String {
    humantime::format_duration(Duration::from_millis(
        u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
    ))
    .to_string()
}
