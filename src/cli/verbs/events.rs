//! `sluicectl events`: the state of all, one line a subject; with --follow then one line an event.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde_json::{Map, Value};

use crate::cli::Failure;
use crate::cli::arguments::Events;
use crate::cli::session::Session;
use crate::cli::show::{process_state, route_state};
use crate::cli::text::{plain, time, words};
use crate::control::call::{self, Monitor};
use crate::control::client::{ClientError, Replies, typed};
use crate::control::types::{Event, Snapshot};

pub(super) fn run(session: &mut Session, of: Events) -> Result<(), Failure> {
    let subjects = (!of.subjects.is_empty()).then_some(of.subjects);
    let Session { client, json, out, .. } = session;
    let mut replies = client.call_more(call::MONITOR, &Monitor { subjects })?;
    loop {
        let Some(reply) = replies.next() else {
            return Err(ClientError::Gone.into());
        };
        if *json {
            serde_json::to_writer(&mut *out, &reply?).map_err(io::Error::from)?;
            out.write_all(b"\n")?;
        } else {
            out.write_all(lines(&typed(reply?)?)?.as_bytes())?;
        }
        if !of.follow {
            return Ok(());
        }
        if !replies.has_come() {
            out.flush()?;
            wait(&replies)?;
        }
    }
}

/// Waits for the next event, or for the reader of our output to leave.
fn wait(replies: &Replies<'_>) -> io::Result<()> {
    let stdout = io::stdout();
    loop {
        let mut asked = [
            PollFd::new(replies.as_fd(), PollFlags::POLLIN),
            // POLLERR comes unasked when a pipe has lost its reader.
            PollFd::new(stdout.as_fd(), PollFlags::empty()),
        ];
        match poll(&mut asked, PollTimeout::NONE) {
            Err(Errno::EINTR) => continue,
            Err(errno) => return Err(errno.into()),
            Ok(_) => {}
        }
        // What else is told of the output, the next write will find.
        let lost = asked[1].revents().is_some_and(|got| got.contains(PollFlags::POLLERR));
        return if lost {
            Err(io::ErrorKind::BrokenPipe.into())
        } else {
            Ok(())
        };
    }
}

fn lines(event: &Event) -> Result<String, ClientError> {
    if event.kind != "snapshot" {
        let at = time(event.at_usec);
        return Ok(format!(
            "{at} {} {}{}\n",
            plain(&event.subject),
            words(&event.kind),
            fields(&event.detail)
        ));
    }
    let snapshot: Snapshot = typed(event.detail.clone())?;
    let at = time(event.at_usec);
    let mut text = String::new();
    for route in &snapshot.routes {
        let state = route_state(route, event.at_usec);
        let _ = writeln!(text, "{at} route:{} {state}", plain(&route.name));
    }
    for process in &snapshot.processes {
        let _ = writeln!(text, "{at} process:{} {}", plain(&process.name), process_state(process));
    }
    Ok(text)
}

/// ` bytes=12 reasons=operator,backpressure`
fn fields(detail: &Map<String, Value>) -> String {
    let mut text = String::new();
    for (key, value) in detail {
        let _ = write!(text, " {}={}", plain(key), plain(&value_text(value)));
    }
    text
}

fn value_text(value: &Value) -> String {
    match value {
        Value::String(text) if !text.is_empty() && !text.contains([' ', '"']) => text.clone(),
        Value::Array(items) => items.iter().map(value_text).collect::<Vec<_>>().join(","),
        // An exit is told best by its own words.
        Value::Object(object) => object.get("text").map_or_else(|| value.to_string(), value_text),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_event_is_one_line() {
        let event = |kind: &str, detail: Value| Event {
            seq: 1,
            at_usec: 1_000_000,
            kind: kind.into(),
            subject: "route:a".into(),
            detail: detail.as_object().cloned().unwrap_or_default(),
        };
        for (event, line) in [
            (event("route_opened", json!({})), "route:a route opened"),
            (
                event("route_paused", json!({"reasons": ["operator", "no_reader"]})),
                "route:a route paused reasons=operator,no_reader",
            ),
            (
                event(
                    "process_exited",
                    json!({"pid": 7, "exit": {"code": 1, "text": "exit 1"}}),
                ),
                "route:a process exited exit=\"exit 1\" pid=7",
            ),
            (
                event("new_kind", json!({"x": "\u{1b}[2J\n"})),
                "route:a new kind x=\\u{1b}[2J\\n",
            ),
        ] {
            assert_eq!(lines(&event).unwrap(), format!("1970-01-01T00:00:01.000Z {line}\n"));
        }
    }
}
