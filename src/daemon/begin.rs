//! Starts the relay threads, the routes and the processes, or goes on with those of the last life.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::basis::StartError;
use super::handover::Running;
use super::plant::Plant;
use super::state::{Daemon, Means, Past};
use super::wiring::Wiring;
use crate::endpoint::ends::Taken;
use crate::model::{Config, ProcessId, ProcessSpec, ProcessState};
use crate::relay::{RelayThread, RouteHandle};
use crate::supervise::{self, Orphans};
use crate::sys::clock;

/// How long the routes may take to try their endpoints before processes are started all the same.
const BEGINNING: Duration = Duration::from_secs(5);

/// Everything of a config, from the beginning or from where the last life has left it.
pub(super) async fn begin(
    config: Config,
    exit_when_done: bool,
    means: Means,
    (past, mut running): (Past, Option<Running>),
) -> Result<Rc<Daemon>, StartError> {
    let taken = Arc::new(Taken::default());
    let threads: Vec<RelayThread> = (0..config.daemon.relay_threads)
        .map(|number| {
            let (taken, store) = (Arc::clone(&taken), means.store.clone());
            RelayThread::start(number, taken, store, means.reports.clone())
        })
        .collect::<io::Result<_>>()
        .map_err(|error| StartError::Io("start a relay thread", error))?;
    let threaded = std::iter::zip(&config.routes, threads.iter().cycle());
    let routes: Vec<RouteHandle> = threaded
        .map(|(route, thread)| {
            let packed = running.as_mut().and_then(|all| all.route(route.name.as_str()));
            let spec = Arc::clone(route);
            match packed {
                Some(packed) => thread.restore(spec, packed),
                None => thread.relay(spec),
            }
        })
        .collect();
    begun(&threads, &routes).await;
    let ids = config.processes.iter().flat_map(ProcessSpec::ids).collect();
    let wiring = Wiring::new(ids, config.routes.iter().map(|route| &**route));
    let mut processes = Vec::new();
    for spec in &config.processes {
        let spec = Arc::new(spec.clone());
        for id in spec.ids() {
            processes.push(Rc::new(process(&spec, id, &wiring, &means, running.as_mut())));
        }
    }
    if routes.iter().all(|route| route.cell.has_begun()) {
        super::store::give_up_unclaimed(&means.store, running.is_some());
    }
    let plant = Plant::new(Rc::new(config), routes, processes);
    let daemon = Rc::new(Daemon::new(plant, exit_when_done, threads, means, past));
    if let Some(running) = running {
        for report in running.reports {
            daemon.hear_route(report);
        }
        daemon.start_waiting();
        return Ok(daemon);
    }
    for process in &daemon.plant().processes {
        if matches!(process.state(), ProcessState::Stopped | ProcessState::Waiting) {
            daemon.tell_down(process.id());
        }
    }
    daemon.start_waiting();
    Ok(daemon)
}

fn process(
    spec: &Arc<ProcessSpec>,
    id: ProcessId,
    wiring: &Wiring,
    means: &Means,
    running: Option<&mut Running>,
) -> supervise::Handle {
    let (wired, means) = (wiring.of_process(&id), &means.supervise);
    let Some(packed) = running.and_then(|all| all.process(&id.to_string())) else {
        return supervise::start(Arc::clone(spec), id, wired, means);
    };
    let restored = supervise::restore(Arc::clone(spec), id.clone(), wired.clone(), means, packed);
    restored.unwrap_or_else(|error| {
        tracing::error!(
            process = %id,
            "process:{id}: begun anew, since it cannot go on where the daemon's last life has left it: {error}"
        );
        supervise::start(Arc::clone(spec), id, wired, means)
    })
}

/// Waits until every route has tried its endpoints once: whoever is started or served from now on finds the FIFOs in
/// their places.
async fn begun(threads: &[RelayThread], routes: &[RouteHandle]) {
    let patience = clock::now() + BEGINNING;
    for thread in threads {
        // A thread that ends at once has said why, and its routes are waited for below.
        let _ = thread.ping().await;
    }
    while !routes.iter().all(|route| route.cell.has_begun()) && clock::now() < patience {
        clock::sleep_until(clock::now() + Duration::from_millis(1)).await;
    }
}

/// Where there are cgroups nobody escapes, and orphans are init's as ever. `again`: they came to an earlier life, too.
pub(super) fn orphans(have_cgroups: bool, again: bool) -> Option<Orphans> {
    let adopt = || {
        if again {
            Orphans::adopt_again()
        } else {
            Orphans::adopt()
        }
    };
    let adopted = (!have_cgroups).then(adopt)?;
    let told = adopted.inspect_err(|error| tracing::warn!("what leaves its process group will not be found: {error}"));
    told.ok()
}
