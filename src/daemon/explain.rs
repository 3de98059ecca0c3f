//! What `decide::why` has to know, gathered at the time of asking: the snapshots of all that a route is connected with,
//! and what only the kernel knows.

use std::collections::BTreeSet;

use super::plant::Plant;
use super::state::Daemon;
use super::wire;
use crate::control::types;
use crate::decide::why::{self, End, Frozen, Plumbing, ProcessFacts, RouteFacts};
use crate::endpoint;
use crate::model::{EndpointSpec, Moment, OnEof, SourceSnapshot, SourceSpec};
use crate::relay::RouteHandle;
use crate::supervise;
use crate::sys::{pipe, process};

impl Daemon {
    /// The causes of a route's state, root cause last; none where there is no such route.
    pub(super) fn explain(&self, name: &str) -> Vec<types::Cause> {
        let plant = self.plant();
        let Some(route) = plant.routes.iter().position(|route| route.spec.name.as_str() == name) else {
            return Vec::new();
        };
        let clocks = wire::clocks();
        let causes = why::explain(&self.around(&plant, route, clocks.now), &plant.routes[route].spec.name);
        let shown = causes.into_iter().map(|cause| types::Cause {
            subject: cause.subject.to_string(),
            text: cause.text,
            since_usec: cause.since.map(|since| clocks.realtime_of(since)),
        });
        shown.collect()
    }

    /// Everything that is connected with a route, however far.
    fn around(&self, plant: &Plant, route: usize, now: Moment) -> Plumbing {
        let (mut routes, mut processes) = (BTreeSet::from([route]), BTreeSet::new());
        let mut to_visit = vec![route];
        while let Some(route) = to_visit.pop() {
            for place in plant.wiring.feeding[route].iter().chain(&plant.wiring.fed[route]) {
                if !processes.insert(*place) {
                    continue;
                }
                let id = &plant.wiring.processes[*place];
                for (_, end) in plant.wiring.outputs(id).chain(plant.wiring.inputs(id)) {
                    if routes.insert(end.route) {
                        to_visit.push(end.route);
                    }
                }
            }
        }
        Plumbing {
            now,
            routes: routes
                .into_iter()
                .map(|place| self.route_facts(plant, &plant.routes[place]))
                .collect(),
            processes: processes
                .into_iter()
                .map(|place| process_facts(&plant.processes[place]))
                .collect(),
        }
    }

    fn route_facts(&self, plant: &Plant, route: &RouteHandle) -> RouteFacts {
        let mut shown = route.cell.read();
        shown.state = self.shown(plant, shown.state, route);
        let sources = std::iter::zip(&route.spec.from, &shown.sources);
        let destinations = std::iter::zip(&route.spec.to, &shown.destinations);
        RouteFacts {
            rate_limit: route.spec.rate_limit,
            sources: sources.map(|(spec, shown)| source_end(spec, shown)).collect(),
            destinations: destinations
                .map(|(spec, shown)| End {
                    process: process_of(&spec.endpoint),
                    stands: shown.descriptor.as_ref().map(pipe::unread),
                    written: None,
                })
                .collect(),
            shown,
        }
    }
}

fn source_end(spec: &SourceSpec, shown: &SourceSnapshot) -> End {
    let stands = shown.descriptor.as_ref().map(pipe::unread);
    let process = process_of(&spec.endpoint);
    // The keeper of a held one is a writer like any other. What stands in it needs no other sign of a writer.
    let asks = process.is_none() && spec.on_eof != OnEof::Hold && stands == Some(0);
    End {
        written: shown.descriptor.as_ref().filter(|_| asks).and_then(pipe::has_writer),
        process,
        stands,
    }
}

fn process_of(endpoint: &EndpointSpec) -> Option<crate::model::ProcessId> {
    endpoint::stream_of(endpoint).map(|(process, _)| process.clone())
}

/// The supervisor reaps on this thread: as long as the snapshot has a process id, it is nobody else's.
fn process_facts(process: &supervise::Handle) -> ProcessFacts {
    let shown = process.snapshot();
    let frozen = match shown.pid.and_then(process::state) {
        Some('T') => Some(Frozen::Stopped),
        Some('t') => Some(Frozen::Traced),
        _ => None,
    };
    ProcessFacts { shown, frozen }
}
