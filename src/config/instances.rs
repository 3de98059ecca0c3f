//! `process:NAME.STREAM` of a process with instances means that stream of all of them, in order.

use std::collections::HashMap;
use std::sync::Arc;

use crate::endpoint;
use crate::model::{DestinationSpec, EndpointSpec, Name, ProcessId, ProcessSpec, RouteSpec, SourceSpec};

/// The routes with an entry for each instance, each with the settings of the entry that meant it.
pub(super) fn drawn(routes: Vec<Arc<RouteSpec>>, processes: &[ProcessSpec]) -> Vec<Arc<RouteSpec>> {
    let with_instances = processes.iter().filter(|process| process.instances.is_some());
    let instances: HashMap<&Name, Vec<ProcessId>> =
        with_instances.map(|process| (&process.name, process.ids())).collect();
    let instances_of = |endpoint: &EndpointSpec| {
        let (process, _) = endpoint::stream_of(endpoint)?;
        instances.get(&process.name)
    };
    let each = |endpoint: &EndpointSpec| match instances_of(endpoint) {
        Some(ids) => endpoint::of_each_instance(endpoint, ids),
        None => vec![endpoint.clone()],
    };
    let sources = |from: &SourceSpec| {
        let from = from.clone();
        let ends = each(&from.endpoint);
        let one = move |endpoint| SourceSpec {
            endpoint,
            ..from.clone()
        };
        ends.into_iter().map(one)
    };
    let destinations = |to: &DestinationSpec| {
        let to = to.clone();
        let ends = each(&to.endpoint);
        let one = move |endpoint| DestinationSpec { endpoint, ..to.clone() };
        ends.into_iter().map(one)
    };
    let route = |route: Arc<RouteSpec>| {
        let mut ends = (route.from.iter().map(|from| &from.endpoint)).chain(route.to.iter().map(|to| &to.endpoint));
        if !ends.any(|end| instances_of(end).is_some()) {
            return route;
        }
        Arc::new(RouteSpec {
            from: route.from.iter().flat_map(sources).collect(),
            to: route.to.iter().flat_map(destinations).collect(),
            ..(*route).clone()
        })
    };
    routes.into_iter().map(route).collect()
}
