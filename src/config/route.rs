//! `[route.NAME]`

use std::path::Path;

use super::ends::{End, Surroundings, Watermarks, ends, watermarks};
use super::leaf::{Choice, Rate, Size};
use super::place::Place;
use super::process::{Declared, name};
use super::report::Report;
use super::root::Root;
use super::section::{Entry, Field, Section};
use super::shape;
use crate::endpoint::{self, Side};
use crate::model::{DestinationSpec, Distribution, EndpointSpec, Framing, PathChoice, RouteSpec, SourceSpec, WhenFull};

/// A route's table.
pub(super) struct Drawn<'t> {
    /// As written; perhaps no name.
    pub(super) name: &'t str,
    /// What it says; `None` when it is no table. Its endpoints are as written: one may stand for many.
    pub(super) spec: Option<RouteSpec>,
    /// Its endpoints in the order in which they were written.
    pub(super) ends: Vec<(EndpointSpec, Place)>,
}

const DEFAULT: Watermarks = Watermarks {
    high: 64 << 10,
    low: 16 << 10,
};

pub(super) fn routes<'t>(
    root: &Root<'t>,
    directory: &Path,
    processes: &[Declared<'t>],
    report: &mut Report<'_>,
) -> Vec<Drawn<'t>> {
    let instances = |process: &Declared<'t>| process.spec.as_ref().and_then(|spec| spec.instances);
    let declared = processes
        .iter()
        .map(|process| (process.name, instances(process)))
        .collect();
    let around = Surroundings { directory, declared };
    root.routes.iter().map(|entry| route(*entry, &around, report)).collect()
}

fn route<'t>(entry: Entry<'t>, around: &Surroundings<'_>, report: &mut Report<'_>) -> Drawn<'t> {
    let name = name(entry, "route", report);
    let help = format!("write [route.{}], and its keys below it", entry.key);
    let Some(keys) = entry.value.expect_table(entry.key, &help, report) else {
        return Drawn {
            name: entry.key,
            spec: None,
            ends: Vec::new(),
        };
    };
    let section = Section::new(&shape::ROUTE, entry.at, keys, report);
    section.require(
        "from",
        "write from = \"process:NAME.stdout\", or another source",
        report,
    );
    section.require(
        "to",
        "write to = \"process:NAME.stdin\", or another destination",
        report,
    );
    let from = section
        .entry("from")
        .map(|entry| ends(entry, Side::Source, around, report));
    let to = section
        .entry("to")
        .map(|entry| ends(entry, Side::Destination, around, report));
    let (from, to) = (from.unwrap_or_default(), to.unwrap_or_default());

    let mut placed: Vec<(EndpointSpec, Place)> = from
        .iter()
        .chain(&to)
        .map(|end| (end.written.endpoint.clone(), end.at))
        .collect();
    placed.sort_by_key(|(_, at)| *at);
    let spec = name.map(|name| RouteSpec {
        name,
        framing: section.or("framing", Choice(Framing::Bytes), report).0,
        max_record: max_record(&section, report),
        distribution: distribution(&section, report),
        rate_limit: section.maybe("rate-limit", report).map(|Rate(rate)| rate),
        path: section.or("path", Choice(PathChoice::Auto), report).0,
        start_paused: section.or("start-paused", false, report),
        to: destinations(to, &section, report),
        from: sources(from),
    });
    if let Some(spec) = &spec {
        splice(spec, &section, around, report);
    }
    Drawn {
        name: entry.key,
        spec,
        ends: placed,
    }
}

fn sources(ends: Vec<End>) -> Vec<SourceSpec> {
    let source = |end: End| SourceSpec {
        endpoint: end.written.endpoint,
        on_eof: end.written.on_eof,
    };
    ends.into_iter().map(source).collect()
}

fn destinations(ends: Vec<End>, section: &Section<'_>, report: &mut Report<'_>) -> Vec<DestinationSpec> {
    let of_route = watermarks(section, report).unwrap_or(DEFAULT);
    let when_full = section.or("when-full", Choice(WhenFull::Block), report).0;
    let destination = |end: End| {
        let Watermarks { high, low } = end.flow.watermarks.unwrap_or(of_route);
        DestinationSpec {
            endpoint: end.written.endpoint,
            high_watermark: high,
            low_watermark: low,
            when_full: end.flow.when_full.unwrap_or(when_full),
            when_gone: end.written.when_gone,
        }
    };
    ends.into_iter().map(destination).collect()
}

fn max_record(section: &Section<'_>, report: &mut Report<'_>) -> u64 {
    const DEFAULT: u64 = 64 << 10;
    const MOST: u64 = 1 << 30;
    match section.field("max-record", report) {
        Field::Given(Size(0), at) => {
            report.error(
                at,
                "`max-record` is 0: no byte is in it",
                "give it at least 1, or take it out",
            );
            DEFAULT
        }
        Field::Given(Size(size), at) if size > MOST => {
            report.error(
                at,
                format!("`max-record` is {size} bytes: so much of one record cannot be held in memory"),
                "give it at most 1GiB; longer records go out in parts",
            );
            DEFAULT
        }
        Field::Given(Size(size), _) => size,
        _ => DEFAULT,
    }
}

/// What each destination gets; only records can be dealt out.
fn distribution(section: &Section<'_>, report: &mut Report<'_>) -> Distribution {
    let framing = section.entry("framing").and_then(|entry| entry.value.text());
    let records = framing.is_some_and(|framing| framing != Framing::Bytes.as_str());
    match section.field("distribution", report) {
        Field::Given(Choice(Distribution::Balance), at) if !records => {
            let message =
                "`distribution` = \"balance\" deals out records, and with `framing` = \"bytes\" there are none";
            report.error(
                at,
                message,
                "set framing = \"lines\" or \"nul\", or take `distribution` out",
            );
            Distribution::Broadcast
        }
        Field::Given(Choice(value), _) => value,
        _ => Distribution::Broadcast,
    }
}

/// `path = "splice"` promises that no byte comes to user space: not every route can.
fn splice(route: &RouteSpec, section: &Section<'_>, around: &Surroundings<'_>, report: &mut Report<'_>) {
    let Some(entry) = section.entry("path").filter(|_| route.path == PathChoice::Splice) else {
        return;
    };
    let ends = route
        .from
        .iter()
        .map(|from| &from.endpoint)
        .chain(route.to.iter().map(|to| &to.endpoint));
    let sources: usize = route.from.iter().map(|from| around.count(&from.endpoint)).sum();
    let stuck = ends.into_iter().find(|end| !endpoint::capabilities(end).spliceable);
    let reason = if route.framing != Framing::Bytes {
        format!("`framing` = \"{}\" looks into the bytes", route.framing)
    } else if sources > 1 {
        "several sources are mixed in user space".to_owned()
    } else if let Some(end) = stuck {
        format!("{end} is no pipe")
    } else if route.to.iter().any(|to| to.when_full != WhenFull::Block) {
        "dropping needs the bytes in user space".to_owned()
    } else {
        return;
    };
    let message = format!("`path` = \"splice\" cannot be here: {reason}");
    report.error(
        entry.value.place(),
        message,
        "set path = \"auto\", which splices where it can, or change the route",
    );
}
