//! Snapshots as the control socket tells them, with what only the kernel knows at the time of asking.

use crate::control::{present, types};
use crate::endpoint;
use crate::model::{CloseCause, DestinationSnapshot, ProcessState, RouteState, SourceSnapshot, SourceState};
use crate::relay::RouteHandle;
use crate::supervise;
use crate::sys::{clock, pipe, poll};

use super::plant::Plant;
use super::state::Daemon;

/// This instant on both clocks.
pub(super) fn clocks() -> present::Clocks {
    present::Clocks {
        now: clock::now(),
        realtime_usec: clock::realtime_usec(),
    }
}

impl Daemon {
    /// A route as it is now.
    pub(super) fn shown_route(&self, plant: &Plant, route: &RouteHandle) -> types::Route {
        let clocks = clocks();
        let snapshot = route.cell.read();
        let mut shown = present::route(&snapshot, clocks);
        shown.state = self.shown(plant, snapshot.state, route).as_str().to_owned();
        shown.paused_usec += snapshot.paused_since.map_or(0, |since| clocks.now.usec_since(since));
        for (source, shown) in std::iter::zip(&snapshot.sources, &mut shown.sources) {
            ask_source(source, shown);
        }
        for (destination, shown) in std::iter::zip(&snapshot.destinations, &mut shown.destinations) {
            ask_destination(destination, shown);
        }
        shown
    }

    /// The state of a route as shown.
    pub(super) fn shown_state(&self, plant: &Plant, route: &RouteHandle) -> RouteState {
        self.shown(plant, route.cell.with(|cell| cell.state), route)
    }

    /// `opening` also while one of its processes starts.
    pub(super) fn shown(&self, plant: &Plant, state: RouteState, route: &RouteHandle) -> RouteState {
        match state {
            RouteState::Paused | RouteState::Flowing if waits_for_a_process(plant, route) => RouteState::Opening,
            state => state,
        }
    }
}

fn waits_for_a_process(plant: &Plant, route: &RouteHandle) -> bool {
    let sources = route.spec.from.iter().map(|source| &source.endpoint);
    let ends = sources.chain(route.spec.to.iter().map(|destination| &destination.endpoint));
    ends.filter_map(endpoint::stream_of).any(|(process, _)| {
        let starts = |state| matches!(state, ProcessState::Starting | ProcessState::Waiting);
        plant.process(process).is_some_and(|process| starts(process.state()))
    })
}

/// What stands in a source and whether its peer is there is asked of the kernel now: a paused source is not watched.
fn ask_source(source: &SourceSnapshot, shown: &mut types::Source) {
    shown.kernel_bytes = source.descriptor.as_ref().map(pipe::unread);
    shown.peer_hung_up = match &source.descriptor {
        Some(descriptor) => poll::now(descriptor).hung_up,
        None => source.close_cause == Some(CloseCause::Eof),
    };
    let seen = shown.peer_hung_up || shown.kernel_bytes.is_some_and(|bytes| bytes > 0);
    if seen && source.state == SourceState::Waiting {
        SourceState::Open.as_str().clone_into(&mut shown.state);
    }
}

fn ask_destination(destination: &DestinationSnapshot, shown: &mut types::Destination) {
    shown.kernel_bytes = destination.descriptor.as_ref().map(pipe::unread);
}

/// A process as it is now.
pub(super) fn process(process: &supervise::Handle) -> types::Process {
    let usage = process.usage();
    types::Process {
        memory_bytes: usage.memory,
        cpu_usec: usage.cpu_usec,
        ..present::process(&process.snapshot(), clocks())
    }
}
