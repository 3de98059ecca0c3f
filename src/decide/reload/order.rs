//! In which order: consumers first for what begins, with the data for what ends.

use std::collections::{BTreeMap, BTreeSet};

use super::Side;
use crate::decide::stop_order::StopOrder;
use crate::model::{EndpointSpec, Name, ProcessId};

/// Something that ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Node {
    Process(ProcessId),
    Route(Name),
}

/// All processes, each after those that it feeds, as far as there is no cycle.
pub(super) fn consumers_first(side: &Side<'_>) -> Vec<ProcessId> {
    let places: BTreeMap<&ProcessId, usize> = side.ids.iter().enumerate().map(|(i, id)| (id, i)).collect();
    let mut graph = StopOrder::new(side.ids.len());
    for name in &side.names {
        let route = side.routes[name];
        let place = |endpoint: &EndpointSpec| places.get(&side.process_of(endpoint)?).copied();
        let from: Vec<usize> = route.from.iter().filter_map(|end| place(&end.endpoint)).collect();
        let to: Vec<usize> = route.to.iter().filter_map(|end| place(&end.endpoint)).collect();
        graph.route(&from, &to);
    }
    let components = graph.cycles();
    let last_first = components.into_iter().rev().flatten();
    last_first.map(|place| side.ids[place].clone()).collect()
}

/// The removed processes and the routes that lose something, level by level: a process after the routes that feed it, a
/// route after the processes that feed it. Where they wait for each other in a circle, the routes go first.
pub(super) fn with_the_data(side: &Side<'_>, removed: &BTreeSet<ProcessId>, routes: &[&Name]) -> Vec<Vec<Node>> {
    let mut processes: Vec<ProcessId> = side.ids.iter().filter(|id| removed.contains(id)).cloned().collect();
    let mut routes: Vec<Name> = routes.iter().map(|name| (*name).clone()).collect();
    let of = |ends: Vec<&EndpointSpec>| -> BTreeSet<ProcessId> {
        ends.into_iter().filter_map(|end| side.process_of(end)).collect()
    };
    let feeding = |name: &Name| of(side.routes[name].from.iter().map(|end| &end.endpoint).collect());
    let fed = |name: &Name| of(side.routes[name].to.iter().map(|end| &end.endpoint).collect());
    let mut levels: Vec<Vec<Node>> = Vec::new();
    while !processes.is_empty() || !routes.is_empty() {
        let waiting: BTreeSet<ProcessId> = routes.iter().flat_map(&fed).collect();
        let (later, now): (Vec<_>, Vec<_>) = processes.into_iter().partition(|id| waiting.contains(id));
        processes = later;
        let mut moves = !now.is_empty();
        levels.push(now.into_iter().map(Node::Process).collect());
        let left: BTreeSet<ProcessId> = processes.iter().cloned().collect();
        let (later, now): (Vec<_>, Vec<_>) = routes.into_iter().partition(|name| !feeding(name).is_disjoint(&left));
        moves |= !now.is_empty();
        let (later, now) = if moves { (later, now) } else { (Vec::new(), later) };
        routes = later;
        levels.push(now.into_iter().map(Node::Route).collect());
    }
    levels.retain(|level| !level.is_empty());
    levels
}
