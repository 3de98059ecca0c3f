//! Which stream of which process belongs to which end of which route.

use std::collections::HashMap;
use std::sync::Arc;

use crate::decide::stop_order::StopOrder;
use crate::endpoint;
use crate::model::{ProcessId, RouteSpec, Stream};
use crate::supervise;

/// An end of a route.
#[derive(Clone, Debug)]
pub struct End {
    /// The place of the route.
    pub route: usize,
    /// Which of its endpoints, as shown.
    pub endpoint: Arc<str>,
}

/// The graph of what runs, by places.
#[derive(Debug, Default)]
pub struct Wiring {
    /// The children, in config order.
    pub processes: Vec<ProcessId>,
    places: HashMap<ProcessId, usize>,
    outputs: HashMap<ProcessId, Vec<(Stream, End)>>,
    inputs: HashMap<ProcessId, Vec<(Stream, End)>>,
    /// For each route: the processes that feed it.
    pub feeding: Vec<Vec<usize>>,
    /// For each route: the processes that it feeds.
    pub fed: Vec<Vec<usize>>,
}

impl Wiring {
    /// Reads the graph off the routes.
    #[must_use]
    pub fn new<'r>(processes: Vec<ProcessId>, routes: impl Iterator<Item = &'r RouteSpec>) -> Wiring {
        let places = processes
            .iter()
            .cloned()
            .enumerate()
            .map(|(place, id)| (id, place))
            .collect();
        let mut wiring = Wiring {
            processes,
            places,
            ..Wiring::default()
        };
        for (place, route) in routes.enumerate() {
            let end = |endpoint: &crate::model::EndpointSpec| End {
                route: place,
                endpoint: endpoint.to_string().into(),
            };
            let (mut feeding, mut fed) = (Vec::new(), Vec::new());
            for source in &route.from {
                if let Some((process, stream)) = endpoint::stream_of(&source.endpoint) {
                    wiring
                        .outputs
                        .entry(process.clone())
                        .or_default()
                        .push((stream, end(&source.endpoint)));
                    feeding.extend(wiring.places.get(process));
                }
            }
            for destination in &route.to {
                if let Some((process, stream)) = endpoint::stream_of(&destination.endpoint) {
                    wiring
                        .inputs
                        .entry(process.clone())
                        .or_default()
                        .push((stream, end(&destination.endpoint)));
                    fed.extend(wiring.places.get(process));
                }
            }
            wiring.feeding.push(feeding);
            wiring.fed.push(fed);
        }
        wiring
    }

    /// Where a process stands.
    #[must_use]
    pub fn place(&self, process: &ProcessId) -> Option<usize> {
        self.places.get(process).copied()
    }

    /// The outputs of a process that routes take, and where they end.
    pub fn outputs(&self, process: &ProcessId) -> impl Iterator<Item = (Stream, &End)> {
        let ends = self.outputs.get(process).into_iter().flatten();
        ends.map(|(stream, end)| (*stream, end))
    }

    /// The inputs of a process that routes feed, and where they begin.
    pub fn inputs(&self, process: &ProcessId) -> impl Iterator<Item = (Stream, &End)> {
        let ends = self.inputs.get(process).into_iter().flatten();
        ends.map(|(stream, end)| (*stream, end))
    }

    /// What the supervisor is told of it.
    #[must_use]
    pub fn of_process(&self, process: &ProcessId) -> supervise::Wiring {
        supervise::Wiring {
            inputs: self.inputs(process).map(|(stream, _)| stream).collect(),
            outputs: self.outputs(process).map(|(stream, _)| stream).collect(),
            waits: true,
        }
    }

    /// Which processes feed which.
    #[must_use]
    pub fn stop_order(&self) -> StopOrder {
        let mut order = StopOrder::new(self.processes.len());
        for (feeding, fed) in std::iter::zip(&self.feeding, &self.fed) {
            order.route(feeding, fed);
        }
        order
    }
}
