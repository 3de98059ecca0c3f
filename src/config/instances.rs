//! `process:NAME.STREAM` of a process with instances means that stream of all of them, in order.

use std::collections::HashMap;

use crate::endpoint;
use crate::model::{DestinationSpec, EndpointSpec, Name, ProcessId, ProcessSpec, RouteSpec, SourceSpec};

/// The routes with an entry for each instance, each with the settings of the entry that meant it.
pub(super) fn drawn(routes: Vec<RouteSpec>, processes: &[ProcessSpec]) -> Vec<RouteSpec> {
    let with_instances = processes.iter().filter(|process| process.instances.is_some());
    let instances: HashMap<&Name, Vec<ProcessId>> =
        with_instances.map(|process| (&process.name, process.ids())).collect();
    let each = |endpoint: &EndpointSpec| {
        let process = endpoint::stream_of(endpoint).and_then(|(process, _)| instances.get(&process.name));
        match process {
            Some(ids) => endpoint::of_each_instance(endpoint, ids),
            None => vec![endpoint.clone()],
        }
    };
    let sources = |from: SourceSpec| {
        let ends = each(&from.endpoint);
        let one = move |endpoint| SourceSpec {
            endpoint,
            ..from.clone()
        };
        ends.into_iter().map(one)
    };
    let destinations = |to: DestinationSpec| {
        let ends = each(&to.endpoint);
        let one = move |endpoint| DestinationSpec { endpoint, ..to.clone() };
        ends.into_iter().map(one)
    };
    let route = |route: RouteSpec| RouteSpec {
        from: route.from.into_iter().flat_map(sources).collect(),
        to: route.to.into_iter().flat_map(destinations).collect(),
        ..route
    };
    routes.into_iter().map(route).collect()
}
