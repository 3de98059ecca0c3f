//! What only all tables together show: routes to what is not there, and endpoints that two routes want.

use std::collections::HashMap;

use super::nearest;
use super::place::Place;
use super::process::Declared;
use super::report::Report;
use super::route::Drawn;
use crate::endpoint;
use crate::model::ProcessId;

/// How many missing processes get a suggestion: with thousands of them the mistake is another.
const MOST_SUGGESTIONS: usize = 100;

pub(super) fn check(processes: &[Declared<'_>], routes: &[Drawn<'_>], report: &mut Report<'_>) {
    presence(processes, routes, report);
    uniqueness(routes, report);
}

fn presence(processes: &[Declared<'_>], routes: &[Drawn<'_>], report: &mut Report<'_>) {
    let declared: HashMap<&str, &Declared<'_>> = processes.iter().map(|process| (process.name, process)).collect();
    let mut missing = 0;
    for (endpoint, at) in routes.iter().flat_map(|route| &route.ends) {
        let Some((id, _)) = endpoint::stream_of(endpoint) else {
            continue;
        };
        match declared.get(id.name.as_str()) {
            Some(process) => instance(id, process, *at, report),
            None if report.may_hide(id.name.as_str()) => {}
            None => {
                missing += 1;
                let likely = nearest::likely(id.name.as_str(), declared.keys().copied());
                let help = match likely.filter(|_| missing <= MOST_SUGGESTIONS) {
                    Some(likely) => format!("did you mean `{likely}`?"),
                    None => format!("write a table [process.{}], or name another process", id.name),
                };
                report.error(*at, format!("there is no process `{}`", id.name), help);
            }
        }
    }
}

fn instance(id: &ProcessId, process: &Declared<'_>, at: Place, report: &mut Report<'_>) {
    let Some(instance) = id.instance else { return };
    if !process.has_instances {
        let message = format!("the process `{}` has no instances, so there is no `{id}`", id.name);
        report.error(
            at,
            message,
            format!("write process:{}, without the @{instance}", id.name),
        );
        return;
    }
    let count = process.spec.as_ref().and_then(|spec| spec.instances);
    if let Some(count) = count.filter(|count| instance > *count) {
        let message = format!("there is no `{id}`: the process `{}` has {count} instances", id.name);
        report.error(at, message, "name another, or raise `instances`");
    }
}

fn uniqueness(routes: &[Drawn<'_>], report: &mut Report<'_>) {
    let mut first: HashMap<String, (&str, Place)> = HashMap::new();
    for route in routes {
        for (endpoint, at) in &route.ends {
            let Some(identity) = endpoint::identity(endpoint) else {
                continue;
            };
            let Some((other, place)) = first.get(&identity) else {
                first.insert(identity, (route.name, *at));
                continue;
            };
            let place = report.name(*place);
            let message = if *other == route.name {
                format!("{endpoint} is in this route already, at {place}")
            } else {
                format!("{endpoint} is in the route `{other}` already, at {place}")
            };
            report.error(
                *at,
                message,
                "an endpoint belongs to one route, once: take one of the two out",
            );
        }
    }
}
