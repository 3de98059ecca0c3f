//! What only all tables together show: routes to what is not there, and endpoints that two routes want.

use std::collections::HashMap;

use super::nearest;
use super::place::Place;
use super::process::Declared;
use super::report::Report;
use super::route::Drawn;
use crate::endpoint;
use crate::model::{EndpointSpec, ProcessId, Readiness};

/// How many missing processes get a suggestion: with thousands of them the mistake is another.
const MOST_SUGGESTIONS: usize = 100;

pub(super) fn check(processes: &[Declared<'_>], routes: &[Drawn<'_>], report: &mut Report<'_>) {
    let declared = processes.iter().map(|process| (process.name, process)).collect();
    presence(&declared, routes, report);
    uniqueness(&declared, routes, report);
    readiness(&declared, routes, report);
}

/// The descriptor by which a process tells that it is ready is no end of a route.
fn readiness(declared: &HashMap<&str, &Declared<'_>>, routes: &[Drawn<'_>], report: &mut Report<'_>) {
    for (endpoint, at) in routes.iter().flat_map(|route| &route.ends) {
        let Some((id, stream)) = endpoint::stream_of(endpoint) else {
            continue;
        };
        let process = declared.get(id.name.as_str());
        let tells = process.and_then(|process| Some((process.ready?, process.spec.as_ref()?.ready)));
        if let Some((place, Readiness::Fd(number))) = tells
            && i32::from(number) == stream.number()
        {
            let message = format!(
                "{endpoint} is what `{}` tells by that it is ready, at {}",
                id.name,
                report.name(place)
            );
            report.error(*at, message, "route another descriptor, or set `ready` to another");
        }
    }
}

fn presence(declared: &HashMap<&str, &Declared<'_>>, routes: &[Drawn<'_>], report: &mut Report<'_>) {
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

/// What takes an endpoint: the route's name, and where.
type Taken<'t> = (&'t str, Place);

/// `NAME` stands for every `NAME@I`, so that each of the two takes the other.
fn uniqueness(declared: &HashMap<&str, &Declared<'_>>, routes: &[Drawn<'_>], report: &mut Report<'_>) {
    let has_instances = |endpoint: &EndpointSpec| {
        let process = endpoint::stream_of(endpoint).and_then(|(id, _)| declared.get(id.name.as_str()));
        process.is_some_and(|process| process.has_instances)
    };
    let mut first: HashMap<String, Taken<'_>> = HashMap::new();
    // By the endpoint that means all instances: the first one that means one of them.
    let mut first_of: HashMap<String, (String, Taken<'_>)> = HashMap::new();
    for route in routes {
        for (endpoint, at) in &route.ends {
            let Some(identity) = endpoint::identity(endpoint) else {
                continue;
            };
            let all = endpoint::of_all_instances(endpoint).filter(has_instances);
            let all = all.as_ref().and_then(endpoint::identity);
            let (what, (other, place)) = if let Some(taken) = first.get(&identity) {
                (format!("{endpoint} is"), *taken)
            } else if let Some((all, taken)) = all.as_ref().and_then(|all| first.get_key_value(all)) {
                (format!("{endpoint} is one of {all}, which is"), *taken)
            } else if let Some((one, taken)) = first_of.get(&identity) {
                (format!("{endpoint} means {one} too, which is"), *taken)
            } else {
                let taken = (route.name, *at);
                if let Some(all) = all {
                    first_of.entry(all).or_insert_with(|| (identity.clone(), taken));
                }
                first.insert(identity, taken);
                continue;
            };
            let place = report.name(place);
            let message = if other == route.name {
                format!("{what} in this route already, at {place}")
            } else {
                format!("{what} in the route `{other}` already, at {place}")
            };
            report.error(
                *at,
                message,
                "an endpoint belongs to one route, once: take one of the two out",
            );
        }
    }
}
