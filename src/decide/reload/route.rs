//! What becomes of each route.

use std::collections::BTreeMap;

use super::{Side, keys};
use crate::model::{EndpointSpec, Name, PathChoice, RouteSpec, Subject};

/// As it is shown: it may be in any number of routes.
const NULL: &str = "null";

/// By route.
#[derive(Debug, Default)]
pub(super) struct Changes<'c> {
    pub(super) close: BTreeMap<&'c Name, String>,
    pub(super) open: BTreeMap<&'c Name, String>,
    /// Of a route or of one endpoint of it: the keys that change while it runs.
    pub(super) retune: Vec<(Subject, Vec<&'static str>)>,
    /// Endpoints that leave, and those that join and are nobody else's before.
    pub(super) early: BTreeMap<&'c Name, Vec<(Subject, String)>>,
    /// Endpoints that join and that another route has to give up first.
    pub(super) late: BTreeMap<&'c Name, Vec<(Subject, String)>>,
}

/// All ends of a route.
pub(super) fn endpoints(route: &RouteSpec) -> impl Iterator<Item = &EndpointSpec> {
    let sources = route.from.iter().map(|source| &source.endpoint);
    sources.chain(route.to.iter().map(|destination| &destination.endpoint))
}

pub(super) fn changes<'c>(before: &Side<'c>, after: &Side<'c>) -> Changes<'c> {
    let mut changes = Changes::default();
    for (name, route) in &before.routes {
        match after.routes.get(name) {
            None => {
                changes
                    .close
                    .insert(name, "it is not in the config any more".to_owned());
            }
            Some(wanted) => changes.of(name, route, wanted, before),
        }
    }
    for name in after.routes.keys() {
        if !before.routes.contains_key(name) {
            changes.open.insert(name, "it is new in the config".to_owned());
        }
    }
    changes
}

impl<'c> Changes<'c> {
    fn of(&mut self, name: &'c Name, running: &'c RouteSpec, wanted: &'c RouteSpec, before: &Side<'c>) {
        let (mut anew, live) = keys::of_route(running, wanted);
        let mut retuned = vec![(Subject::Route(name.clone()), live)];
        for source in &running.from {
            let shown = source.endpoint.to_string();
            let same = wanted.from.iter().find(|other| other.endpoint.to_string() == shown);
            if same.is_some_and(|other| other != source) {
                anew.push("a source's settings");
            }
        }
        for destination in &running.to {
            let shown = destination.endpoint.to_string();
            let Some(other) = wanted.to.iter().find(|other| other.endpoint.to_string() == shown) else {
                continue;
            };
            let (settings, live) = keys::of_destination(destination, other);
            if !settings.is_empty() {
                anew.push("a FIFO's settings");
            }
            retuned.push((Subject::Endpoint(name.clone(), shown.into()), live));
        }
        let (leave, join) = (without(running, wanted), without(wanted, running));
        let rewired = !leave.is_empty() || !join.is_empty();
        let reason = match keys::changed_words(&anew) {
            Some(reason) => Some(reason),
            None if !rewired => None,
            None => whole(running, wanted),
        };
        if let Some(reason) = reason {
            self.close.insert(name, reason.clone());
            self.open.insert(name, reason);
            return;
        }
        self.retune.extend(retuned);
        self.rewire(name, &leave, &join, before);
    }

    fn rewire(&mut self, name: &'c Name, leave: &[String], join: &[String], before: &Side<'c>) {
        let subject = |end: &String| Subject::Endpoint(name.clone(), end.as_str().into());
        for end in leave {
            let left = (subject(end), "it is taken out of the route".to_owned());
            self.early.entry(name).or_default().push(left);
        }
        for end in join {
            match before.places.get(end).filter(|_| end != NULL) {
                None => {
                    let joined = (subject(end), "it is added to the route".to_owned());
                    self.early.entry(name).or_default().push(joined);
                }
                Some(other) => {
                    let moved = (subject(end), format!("it is added to the route, from route:{other}"));
                    self.late.entry(name).or_default().push(moved);
                }
            }
        }
    }
}

/// The ends of `route` that are not at the same side of `other`.
fn without(route: &RouteSpec, other: &RouteSpec) -> Vec<String> {
    let (from, to) = ends(route);
    let (other_from, other_to) = ends(other);
    let sources = from.into_iter().filter(|end| !other_from.contains(end));
    let destinations = to.into_iter().filter(|end| !other_to.contains(end));
    sources.chain(destinations).collect()
}

fn ends(route: &RouteSpec) -> (Vec<String>, Vec<String>) {
    (
        route.from.iter().map(|source| source.endpoint.to_string()).collect(),
        route.to.iter().map(|to| to.endpoint.to_string()).collect(),
    )
}

/// Why a route whose ends change has to be opened anew as a whole.
fn whole(running: &RouteSpec, wanted: &RouteSpec) -> Option<String> {
    let (from, to) = ends(running);
    let (other_from, other_to) = ends(wanted);
    let keeps = |some: &[String], others: &[String]| some.iter().any(|end| others.contains(end));
    let twice = |ends: &[String]| ends.iter().filter(|end| *end == NULL).count() > 1;
    if running.path == PathChoice::Splice {
        Some("its endpoints have changed, and with path = \"splice\" it is opened anew as a whole".to_owned())
    } else if !keeps(&from, &other_from) {
        Some("none of its sources is left".to_owned())
    } else if !keeps(&to, &other_to) {
        Some("none of its destinations is left".to_owned())
    } else if twice(&to) || twice(&other_to) {
        Some("its endpoints have changed, and it has `null` more than once".to_owned())
    } else {
        None
    }
}
