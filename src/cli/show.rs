//! Routes and processes as people read them. Pure: the time is given.

use std::fmt::Write;

use super::text::{Table, duration, plain, size, words};
use crate::control::types::{Cause, Destination, LastExit, Process, Route, Source, Status};

/// The daemon in one line.
pub(super) fn daemon(status: &Status, now: u64) -> String {
    let mut text = format!(
        "sluiced {}, pid {}, up {}, generation {}, life {}\n",
        plain(&status.version),
        status.pid,
        duration(now.saturating_sub(status.started_at_usec)),
        status.generation,
        status.life,
    );
    if let Some(error) = &status.last_reload_error {
        let _ = writeln!(text, "the last reload was refused: {}", plain(error));
    }
    text
}

/// All routes, one a line.
pub(super) fn routes(routes: &[Route], now: u64) -> String {
    if routes.is_empty() {
        return "no routes\n".into();
    }
    let mut table = Table::new(&["ROUTE", "PATH", ">ACCEPTED", ">QUEUED", ">DROPPED", "STATE"]);
    for route in routes {
        let sum = |of: fn(&Destination) -> u64| size(route.destinations.iter().map(of).fold(0, u64::saturating_add));
        table.row([
            plain(&route.name),
            plain(&route.path),
            size(route.accepted_bytes),
            sum(|destination| destination.queued_bytes),
            sum(|destination| destination.dropped_bytes),
            route_state(route, now),
        ]);
    }
    table.render("")
}

/// All processes, one a line.
pub(super) fn processes(processes: &[Process], now: u64) -> String {
    if processes.is_empty() {
        return "no processes\n".into();
    }
    let mut table = Table::new(&["PROCESS", ">PID", ">RESTARTS", ">UP", "STATE"]);
    for process in processes {
        table.row([
            plain(&process.name),
            process.pid.map_or_else(|| "-".into(), |pid| pid.to_string()),
            process.restarts.to_string(),
            up_for(process, now).unwrap_or_else(|| "-".into()),
            process_state(process),
        ]);
    }
    table.render("")
}

/// `flowing`, or `paused: backpressure since 12 s`.
pub(super) fn route_state(route: &Route, now: u64) -> String {
    let mut text = words(&route.state);
    if !route.pause_reasons.is_empty() {
        let reasons: Vec<String> = route.pause_reasons.iter().map(|reason| words(reason)).collect();
        let _ = write!(text, ": {}", reasons.join(", "));
        if let Some(since) = route.paused_since_usec {
            let _ = write!(text, " since {}", duration(now.saturating_sub(since)));
        }
    }
    text
}

/// A chain of causes, one a line: `→ out is paused since 3 m: no reader at /run/out`.
pub(super) fn causes(causes: &[Cause], now: u64) -> String {
    let lines = causes.iter().enumerate().map(|(i, one)| {
        let arrow = if i == 0 { "" } else { "→ " };
        format!("{arrow}{}\n", cause(one, now))
    });
    lines.collect()
}

/// The time belongs to the state, and the state comes first: what is behind a `:` or `;` is of now.
fn cause(cause: &Cause, now: u64) -> String {
    let text = plain(&cause.text);
    let Some(since) = cause.since_usec else { return text };
    let state = [": ", "; "].iter().filter_map(|end| text.find(end)).min();
    let (state, rest) = text.split_at(state.unwrap_or(text.len()));
    format!("{state} since {}{rest}", duration(now.saturating_sub(since)))
}

/// `ready`, or `backing off: next start in 3.2 s; last exit: exit 1`.
pub(super) fn process_state(process: &Process) -> String {
    let mut text = words(&process.state);
    let mut separator = ": ";
    if let Some(next) = process.next_start_in_usec {
        let _ = write!(text, "{separator}next start in {}", duration(next));
        separator = "; ";
    }
    let told = |exit: &LastExit| process.status_text.as_ref() == Some(&exit.text);
    if let (None, Some(exit)) = (process.pid, process.last_exit.as_ref().filter(|exit| !told(exit))) {
        let _ = write!(text, "{separator}last exit: {}", exit_text(exit));
        separator = "; ";
    }
    if let Some(status) = &process.status_text {
        let _ = write!(text, "{separator}{}", plain(status));
    }
    text
}

fn exit_text(exit: &LastExit) -> String {
    match (exit.code, &exit.signal) {
        _ if !exit.text.is_empty() => plain(&exit.text),
        (Some(code), _) => format!("exit {code}"),
        (None, Some(signal)) => format!("killed by {}", plain(signal)),
        (None, None) => "unknown".into(),
    }
}

fn up_for(process: &Process, now: u64) -> Option<String> {
    process.pid?;
    Some(duration(now.saturating_sub(process.started_at_usec?)))
}

/// One route in full; `causes` where they were asked for.
pub(super) fn route(route: &Route, causes: &[Cause], now: u64) -> String {
    // That it is paused, and for which reasons, stands before it already.
    let why = causes.last().map(|root| format!("  why: {}\n", cause(root, now)));
    let mut text = format!(
        "route {}: {}\n{}  {}, {}, path {}\n  accepted {}{}, paused {} times for {}\n",
        plain(&route.name),
        route_state(route, now),
        why.unwrap_or_default(),
        plain(&route.framing),
        plain(&route.distribution),
        plain(&route.path),
        size(route.accepted_bytes),
        records(route.accepted_records),
        route.pauses,
        duration(route.paused_usec),
    );
    if route.retired_bytes > 0 {
        let _ = writeln!(
            text,
            "  {} went to destinations that were taken out",
            size(route.retired_bytes)
        );
    }
    text.push_str("  from\n");
    for source in &route.sources {
        let _ = writeln!(text, "    {}", source_line(source));
    }
    text.push_str("  to\n");
    for destination in &route.destinations {
        let _ = writeln!(text, "    {}", destination_line(destination));
    }
    text
}

fn records(count: Option<u64>) -> String {
    count.map_or_else(String::new, |count| format!(" ({count} records)"))
}

fn source_line(source: &Source) -> String {
    let reading = if source.is_reading { ", reading" } else { "" };
    let hung_up = if source.peer_hung_up {
        ", its peer has hung up"
    } else {
        ""
    };
    let mut text = format!(
        "{}: {}{reading}{hung_up}; read {}{}",
        plain(&source.name),
        words(&source.state),
        size(source.bytes),
        records(source.records),
    );
    if let Some(count) = source.oversized_records.and_then(some) {
        let _ = write!(text, ", {count} of them longer than max-record");
    }
    note(&mut text, "partial", some(source.partial_bytes));
    note(&mut text, "kernel", source.kernel_bytes);
    opens_and_end(&mut text, source.opens, source.close_cause.as_deref());
    text
}

fn destination_line(destination: &Destination) -> String {
    let waits = match (&*destination.state, &destination.waits_by) {
        ("waiting", Some(by)) => format!(" (by {})", plain(by)),
        _ => String::new(),
    };
    let mut text = format!(
        "{}: {}{waits}; wrote {}{}; queued {} of {} (low {}), {} when full",
        plain(&destination.name),
        words(&destination.state),
        size(destination.bytes),
        records(destination.records),
        size(destination.queued_bytes),
        size(destination.high_watermark),
        size(destination.low_watermark),
        plain(&destination.when_full),
    );
    note(&mut text, "kernel", destination.kernel_bytes);
    note(&mut text, "unread", destination.unread_bytes);
    note(&mut text, "dropped", some(destination.dropped_bytes));
    if let Some(count) = destination.dropped_records.and_then(some) {
        let _ = write!(text, " ({count} records)");
    }
    opens_and_end(&mut text, destination.opens, destination.close_cause.as_deref());
    if let Some(trouble) = &destination.trouble {
        let _ = write!(text, "; trouble: {}", plain(trouble));
    }
    text
}

fn some(count: u64) -> Option<u64> {
    (count > 0).then_some(count)
}

fn note(text: &mut String, what: &str, bytes: Option<u64>) {
    if let Some(bytes) = bytes {
        let _ = write!(text, "; {what} {}", size(bytes));
    }
}

fn opens_and_end(text: &mut String, opens: u64, cause: Option<&str>) {
    if opens != 1 {
        let _ = write!(text, "; opened {opens} times");
    }
    if let Some(cause) = cause {
        let _ = write!(text, "; ended: {}", words(cause));
    }
}

/// One process in full.
pub(super) fn process(process: &Process, now: u64) -> String {
    let mut text = format!("process {}: {}\n", plain(&process.name), process_state(process));
    if let Some(pid) = process.pid {
        let up = up_for(process, now).map_or_else(String::new, |up| format!(", up {up}"));
        let _ = writeln!(text, "  pid {pid}{up}");
    }
    let _ = write!(
        text,
        "  wanted {}, restarted {} times",
        plain(&process.wanted),
        process.restarts
    );
    if let (Some(_), Some(exit)) = (process.pid, &process.last_exit) {
        let _ = write!(text, ", its last life ended: {}", exit_text(exit));
    }
    text.push('\n');
    if let Some(memory) = process.memory_bytes {
        let _ = writeln!(text, "  memory {}", size(memory));
    }
    if let Some(cpu) = process.cpu_usec {
        let _ = writeln!(text, "  processor time {}", duration(cpu));
    }
    text
}

#[cfg(test)]
mod tests;
