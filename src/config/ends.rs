//! The endpoints of a route as they are written: a text, or a table with settings.

use std::collections::HashMap;
use std::path::Path;

use super::leaf::{Choice, Mode, Size, Word};
use super::nearest;
use super::place::Place;
use super::report::Report;
use super::section::{Entry, Field, Node, Section};
use super::shape;
use crate::endpoint::{self, EndpointError, Kind, Settings, Side, Written};
use crate::model::{EndpointSpec, WhenFull};

/// What the endpoints of a route depend on besides their text.
pub(super) struct Surroundings<'s> {
    /// Relative FIFO paths are in it.
    pub(super) directory: &'s Path,
    /// The names of all processes as written, those that are no names too, and how many instances they have.
    pub(super) declared: HashMap<&'s str, Option<u16>>,
}

impl Surroundings<'_> {
    /// How many endpoints this one stands for.
    pub(super) fn count(&self, endpoint: &EndpointSpec) -> usize {
        match endpoint::stream_of(endpoint) {
            Some((process, _)) if process.instance.is_none() => {
                let instances = self.declared.get(process.name.as_str()).copied().flatten();
                instances.map_or(1, usize::from)
            }
            _ => 1,
        }
    }
}

/// An endpoint that could be read.
pub(super) struct End {
    pub(super) written: Written,
    /// Where it is named.
    pub(super) at: Place,
    pub(super) flow: Flow,
}

/// The settings of a destination's queue, as far as it has its own.
#[derive(Default)]
pub(super) struct Flow {
    pub(super) watermarks: Option<Watermarks>,
    pub(super) when_full: Option<WhenFull>,
}

/// The bounds of a destination's queue, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Watermarks {
    pub(super) high: u64,
    pub(super) low: u64,
}

/// The largest pipe that F_SETPIPE_SZ can be asked for (fcntl(2)).
const LARGEST_PIPE: u64 = 1 << 31;

/// The endpoints of `from` or `to`: one, or a list of them.
pub(super) fn ends(entry: Entry<'_>, side: Side, around: &Surroundings<'_>, report: &mut Report<'_>) -> Vec<End> {
    let Some(list) = entry.value.list() else {
        return end(entry.value, side, around, report).into_iter().collect();
    };
    let nodes: Vec<Node<'_>> = list.collect();
    if nodes.is_empty() {
        let message = format!("`{}` is an empty list", entry.key);
        report.error(entry.value.place(), message, "name at least one endpoint");
    }
    nodes
        .into_iter()
        .filter_map(|node| end(node, side, around, report))
        .collect()
}

fn end(node: Node<'_>, side: Side, around: &Surroundings<'_>, report: &mut Report<'_>) -> Option<End> {
    let end = match (node.text(), node.table()) {
        (Some(text), _) => from_text(text, node.place(), around, report),
        (_, Some(keys)) => from_table(keys, node.place(), side, around, report),
        _ => {
            let message = format!(
                "an endpoint is a text or a table, and this is of type {}",
                node.type_name()
            );
            report.error(node.place(), message, EndpointError::NoKind(String::new()).help());
            None
        }
    }?;
    checked(end, side, report)
}

fn from_text(text: &str, at: Place, around: &Surroundings<'_>, report: &mut Report<'_>) -> Option<End> {
    let written = endpoint::split(text)
        .and_then(|(kind, rest)| (kind.build)(rest, &Settings::default(), around.directory))
        .map_err(|error| refuse(&error, at, around, report))
        .ok()?;
    Some(End {
        written,
        at,
        flow: Flow::default(),
    })
}

fn from_table(
    keys: Vec<Entry<'_>>,
    at: Place,
    side: Side,
    around: &Surroundings<'_>,
    report: &mut Report<'_>,
) -> Option<End> {
    let kinds: Vec<(Entry<'_>, &'static Kind)> = keys
        .iter()
        .filter_map(|entry| endpoint::kind(entry.key).map(|kind| (*entry, kind)))
        .collect();
    let section = Section::new(&shape::ENDPOINT, at, keys, report);
    let (named, kind) = match *kinds {
        [one] => one,
        [] => {
            // An unknown key is probably the kind, and has been told of.
            if section.has_only_known_keys() {
                let help = "begin it with its kind, as in { fifo = \"PATH\" }";
                report.error(at, "this endpoint does not say what it is", help);
            }
            return None;
        }
        [(first, _), (second, _), ..] => {
            let message = format!(
                "this endpoint is `{}` already, and cannot be `{}` too",
                first.key, second.key
            );
            report.error(
                second.at,
                message,
                "write two endpoints, or take one of the two keys out",
            );
            return None;
        }
    };
    misplaced(&section, kind, side, report);
    let settings = settings(&section, report);
    let flow = Flow {
        watermarks: watermarks(&section, report),
        when_full: section
            .entry("when-full")
            .map(|_| section.or("when-full", Choice(WhenFull::Block), report).0),
    };
    let rest = rest(named, kind, report)?;
    let written = (kind.build)(&rest, &settings, around.directory)
        .map_err(|error| refuse(&error, named.value.place(), around, report))
        .ok()?;
    Some(End {
        written,
        at: named.value.place(),
        flow,
    })
}

/// What stands after the kind's key.
fn rest(named: Entry<'_>, kind: &Kind, report: &mut Report<'_>) -> Option<String> {
    if kind.name != endpoint::null::KIND.name {
        return named.value.read(named.key, report).map(|Word(rest)| rest);
    }
    let given: bool = named.value.read(named.key, report)?;
    if !given {
        report.error(
            named.value.place(),
            "`null` = false is no endpoint",
            "write null = true",
        );
    }
    given.then(String::new)
}

/// Settings that this kind does not take at this side.
fn misplaced(section: &Section<'_>, kind: &Kind, side: Side, report: &mut Report<'_>) {
    let (of_queue, name): (&[&str], &str) = match side {
        Side::Source => (&[], "source"),
        Side::Destination => (shape::DESTINATION, "destination"),
    };
    let taken: Vec<&str> = (kind.settings)(side).iter().chain(of_queue).copied().collect();
    for entry in section.entries() {
        if entry.key != kind.name && !taken.contains(&entry.key) {
            let message = format!("a {} {name} takes no `{}`", kind.name, entry.key);
            let help = match taken.as_slice() {
                [] => "take it out: it has no settings of its own".to_owned(),
                taken => format!("take it out; there are {}", nearest::listed(taken)),
            };
            report.error(entry.at, message, help);
        }
    }
}

fn settings(section: &Section<'_>, report: &mut Report<'_>) -> Settings {
    let pipe_size = match section.field("pipe-size", report) {
        Field::Given(Size(size), at) if size == 0 || size > LARGEST_PIPE => {
            let message = format!("`pipe-size`: {} is not a size that a pipe can have", report.text(at));
            report.error(
                at,
                message,
                "a pipe has from 1 B to 2 GiB; without privileges at most /proc/sys/fs/pipe-max-size",
            );
            None
        }
        field => field.ok().map(|Size(size)| size),
    };
    Settings {
        on_eof: section.maybe("on-eof", report).map(|Choice(value)| value),
        when_gone: section.maybe("when-gone", report).map(|Choice(value)| value),
        create: section.maybe("create", report),
        mode: section.maybe("mode", report).map(|Mode(mode)| mode),
        owner: section.maybe("owner", report).map(|Word(name)| name),
        group: section.maybe("group", report).map(|Word(name)| name),
        pipe_size,
    }
}

/// The watermarks that a route or a destination gives; `None` when it gives none.
pub(super) fn watermarks(section: &Section<'_>, report: &mut Report<'_>) -> Option<Watermarks> {
    let high = section.field("high-watermark", report);
    let low = section.field("low-watermark", report);
    match (high, low) {
        (Field::Given(Size(high), high_at), Field::Given(Size(low), low_at)) => {
            if low > high {
                let message = format!(
                    "`low-watermark` ({}) is above `high-watermark` ({})",
                    report.text(low_at),
                    report.text(high_at)
                );
                report.error(
                    low_at,
                    message,
                    "lower the one or raise the other; either can be left out",
                );
            }
            Some(Watermarks { high, low })
        }
        (Field::Given(Size(high), _), _) => Some(Watermarks { high, low: high / 4 }),
        (_, Field::Given(Size(low), _)) => Some(Watermarks {
            high: low.saturating_mul(4).min(i64::MAX.unsigned_abs()),
            low,
        }),
        _ => None,
    }
}

fn refuse(error: &EndpointError, at: Place, around: &Surroundings<'_>, report: &mut Report<'_>) {
    // A process whose name is none is told of where it is declared; each use of it would say the same again.
    let known = matches!(error, EndpointError::BadProcess(name) if around.declared.contains_key(name.as_str()));
    if known {
        return;
    }
    let help = match error {
        EndpointError::UnknownKind(kind) => match nearest::likely(kind, endpoint::KINDS.iter().map(|kind| kind.name)) {
            Some(likely) => format!("did you mean `{likely}`? {}", error.help()),
            None => error.help(),
        },
        EndpointError::UnknownStream(stream) => match nearest::likely(stream, ["stdin", "stdout", "stderr"]) {
            Some(likely) => format!("did you mean `{likely}`?"),
            None => error.help(),
        },
        _ => error.help(),
    };
    report.error(at, error.to_string(), help);
}

/// An endpoint that may stand where it does.
fn checked(end: End, side: Side, report: &mut Report<'_>) -> Option<End> {
    let endpoint = &end.written.endpoint;
    let can = endpoint::capabilities(endpoint);
    match side {
        Side::Source if !can.source => {
            let message = format!("{endpoint} cannot stand in `from`: it can only be written to");
            report.error(
                end.at,
                message,
                "put it into `to`, or name a process's stdout or stderr, or a FIFO",
            );
            return None;
        }
        Side::Destination if !can.destination => {
            let message = format!("{endpoint} cannot stand in `to`: it can only be read");
            report.error(
                end.at,
                message,
                "put it into `from`, or name a process's stdin, a FIFO, a file or null",
            );
            return None;
        }
        Side::Source | Side::Destination => {}
    }
    Some(end)
}
