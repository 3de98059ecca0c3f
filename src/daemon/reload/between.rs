//! Routes in the middle of a reload: how one was left, and how one is that some endpoints have left, or have come to.

use std::collections::{BTreeMap, HashSet};

use crate::decide::reload::{Kind, Step};
use crate::model::{
    CloseCause, Config, Name, PauseReason, RouteSnapshot, RouteSpec, RouteState, SourceSnapshot, Subject,
};

/// An operator has paused it, or drained or dropped it.
pub(super) fn is_held(route: &RouteSnapshot) -> bool {
    let by_hand = |source: &SourceSnapshot| {
        matches!(
            source.close_cause,
            // None: it is being drained, and not at its end.
            None | Some(CloseCause::Drained | CloseCause::Aborted | CloseCause::DrainTimeout)
        )
    };
    match route.state {
        RouteState::Closed | RouteState::Draining => route.sources.iter().any(by_hand),
        _ => route.reasons.contains(PauseReason::Operator),
    }
}

/// Its endpoints, as they are shown.
pub(super) fn endpoints(spec: &RouteSpec) -> impl Iterator<Item = String> {
    let sources = spec.from.iter().map(|source| source.endpoint.to_string());
    sources.chain(spec.to.iter().map(|to| to.endpoint.to_string()))
}

/// `wanted`, but with the endpoints of `current`, of which these have left, or have come.
pub(super) fn with_toggled(current: &RouteSpec, wanted: &RouteSpec, toggled: &HashSet<&str>) -> RouteSpec {
    let is_there = |has: bool, end: &str| has != toggled.contains(end);
    let mut spec = wanted.clone();
    let had: HashSet<String> = current.from.iter().map(|source| source.endpoint.to_string()).collect();
    let has: HashSet<String> = wanted.from.iter().map(|source| source.endpoint.to_string()).collect();
    spec.from
        .retain(|source| is_there(had.contains(&source.endpoint.to_string()), &source.endpoint.to_string()));
    for source in &current.from {
        let name = source.endpoint.to_string();
        if !has.contains(&name) && is_there(true, &name) {
            spec.from.push(source.clone());
        }
    }
    let had: HashSet<String> = current.to.iter().map(|to| to.endpoint.to_string()).collect();
    let has: HashSet<String> = wanted.to.iter().map(|to| to.endpoint.to_string()).collect();
    spec.to
        .retain(|to| is_there(had.contains(&to.endpoint.to_string()), &to.endpoint.to_string()));
    for to in &current.to {
        let name = to.endpoint.to_string();
        if !has.contains(&name) && is_there(true, &name) {
            spec.to.push(to.clone());
        }
    }
    spec
}

/// By route: the last stage in which destinations join it.
pub(super) fn joins(wanted: &Config, steps: &[Step]) -> BTreeMap<Name, usize> {
    let mut last = BTreeMap::new();
    for step in steps.iter().filter(|step| step.kind == Kind::Rewire) {
        let Subject::Endpoint(name, end) = &step.subject else {
            continue;
        };
        let route = wanted.routes.iter().find(|route| route.name == *name);
        let joins = |route: &RouteSpec| route.to.iter().any(|to| to.endpoint.to_string() == **end);
        if route.is_some_and(|route| joins(route)) {
            last.insert(name.clone(), step.stage);
        }
    }
    last
}
