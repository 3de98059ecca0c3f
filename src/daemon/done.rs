//! `--exit-when-done`: when it is done, and whether it ended well.

use super::state::Daemon;
use crate::decide::process::is_success;
use crate::model::{DestinationState, Exit, ProcessState, RouteState, SourceState};

impl Daemon {
    /// Every process has finished and every route has closed.
    #[must_use]
    pub fn is_done(&self) -> bool {
        let finished = |state| matches!(state, ProcessState::Finished | ProcessState::Failed);
        let plant = self.plant();
        !self.is_reloading.get()
            && plant.processes.iter().all(|process| finished(process.state()))
            && plant
                .routes
                .iter()
                .all(|route| route.cell.with(|cell| cell.state == RouteState::Closed))
    }

    /// No process failed, no endpoint failed and no byte was lost.
    #[must_use]
    pub fn ended_well(&self) -> bool {
        let plant = self.plant();
        let processes = plant.processes.iter().all(|process| {
            let snapshot = process.snapshot();
            let spec = plant.config.processes.iter().find(|spec| spec.name == snapshot.id.name);
            let success = |exit: &Exit| spec.is_some_and(|spec| is_success(spec, exit));
            snapshot.state != ProcessState::Failed && snapshot.last_exit.as_ref().is_none_or(success)
        });
        let routes = plant.routes.iter().all(|route| {
            route.cell.with(|cell| {
                cell.sources
                    .iter()
                    .all(|source| source.state != SourceState::Failed && source.partial_bytes == 0)
                    && cell.destinations.iter().all(|destination| {
                        let lost = destination.dropped_bytes + destination.unread_bytes.unwrap_or(0);
                        destination.state != DestinationState::Failed && lost == 0
                    })
            })
        });
        processes && routes
    }
}
