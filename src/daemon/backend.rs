//! What the control socket can ask of the daemon.

use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot};

use super::changes;
use super::dispatch::is_closed;
use super::handover;
use super::reload;
use super::state::Daemon;
use super::wire;
use crate::control::{Backend, Caller, Error, Subscription, types};
use crate::model::{CloseCause, ProcessSnapshot, ProcessState, RouteState};
use crate::relay::{self, RouteHandle};
use crate::supervise;
use crate::sys::clock;

/// The longest that a query waits for a relay to publish; then it tells what was published before.
const SETTLING: Duration = Duration::from_millis(40);

/// The daemon, as the control server sees it.
pub struct Control {
    /// What it asks.
    pub daemon: Rc<Daemon>,
    /// Where reloads and upgrades are asked for.
    pub changes: mpsc::UnboundedSender<changes::Request>,
    /// Told when somebody wants the daemon to stop.
    pub stop: Rc<Notify>,
}

impl Control {
    fn route(&self, name: &str) -> Result<RouteHandle, Error> {
        self.daemon
            .plant()
            .route(name)
            .cloned()
            .ok_or_else(|| Error::NoSuchRoute(name.to_owned()))
    }

    fn processes(&self, name: &str) -> Result<Vec<Rc<supervise::Handle>>, Error> {
        let processes = self.daemon.plant().processes_named(name);
        if processes.is_empty() {
            Err(Error::NoSuchProcess(name.to_owned()))
        } else {
            Ok(processes)
        }
    }

    async fn tell_route(
        &self,
        name: &str,
        command: impl FnOnce(oneshot::Sender<bool>) -> relay::Command,
    ) -> Result<bool, Error> {
        let route = self.route(name)?;
        let (reply, answer) = oneshot::channel();
        route.send(command(reply));
        answer.await.map_err(|_| {
            Error::Failed(format!(
                "route {name} is not there any more: a reload has just closed it, or the daemon stops"
            ))
        })
    }

    /// Tells each of the processes; whether anything changed.
    async fn tell_processes(
        &self,
        processes: &[Rc<supervise::Handle>],
        command: impl Fn(oneshot::Sender<bool>) -> supervise::Command,
    ) -> Result<bool, Error> {
        let answers: Vec<oneshot::Receiver<bool>> = processes
            .iter()
            .map(|process| {
                let (reply, answer) = oneshot::channel();
                process.send(command(reply));
                answer
            })
            .collect();
        let mut changed = false;
        for answer in answers {
            changed |= answer.await.map_err(|_| stopping())?;
        }
        Ok(changed)
    }

    /// One after the other: of many that come and go, there may be no moment at which all are there.
    async fn wait_for(&self, processes: &[Rc<supervise::Handle>], reached: impl Fn(&ProcessSnapshot) -> bool) {
        for process in processes {
            self.daemon.wait_until(|| reached(&process.snapshot())).await;
        }
    }

    /// Waits until each of the processes is ready, or was; an error when one will not be, or somebody stopped it before.
    async fn wait_for_start(&self, processes: &[Rc<supervise::Handle>]) -> Result<(), Error> {
        let underway = |process: &ProcessSnapshot| match process.state {
            ProcessState::Waiting | ProcessState::Starting | ProcessState::Stopping => true,
            ProcessState::BackingOff => !process.was_ready,
            ProcessState::Ready | ProcessState::Stopped | ProcessState::Finished | ProcessState::Failed => false,
        };
        self.wait_for(processes, |process| !underway(process)).await;
        for process in processes {
            let snapshot = process.snapshot();
            let why = match (snapshot.state, snapshot.last_exit) {
                (ProcessState::Failed, Some(exit)) => exit.to_string(),
                (ProcessState::Failed, None) => "it failed".to_owned(),
                (ProcessState::Finished, Some(exit)) if !snapshot.was_ready => {
                    format!("it has ended before it was ready: {exit}")
                }
                (ProcessState::Stopped, _) => "somebody else has stopped it".to_owned(),
                _ => continue,
            };
            return Err(Error::Failed(format!("process {}: {why}", snapshot.id)));
        }
        Ok(())
    }

    /// Waits until each of the processes is down; an error when somebody starts one again, for then it may never be.
    async fn wait_for_stop(&self, processes: &[Rc<supervise::Handle>]) -> Result<(), Error> {
        let down = |process: &ProcessSnapshot| {
            matches!(
                process.state,
                ProcessState::Stopped | ProcessState::Finished | ProcessState::Failed
            )
        };
        self.wait_for(processes, |process| down(process) || process.wanted_up)
            .await;
        let mut snapshots = processes.iter().map(|process| process.snapshot());
        match snapshots.find(|process| !down(process)) {
            Some(up) => Err(Error::Failed(format!(
                "process {}: somebody else has started it again",
                up.id
            ))),
            None => Ok(()),
        }
    }

    /// For a next life, should this one be killed.
    fn note_operator(&self, name: &str, paused: bool) {
        let plant = self.daemon.plant();
        if let (Some(route), Some(notes)) = (plant.route(name), &self.daemon.means.notes) {
            notes.operator(&route.spec.name, paused);
        }
    }

    fn refuse_when_stopping(&self) -> Result<(), Error> {
        if self.daemon.is_to_stop() {
            Err(stopping())
        } else {
            Ok(())
        }
    }

    fn status(&self) -> types::Status {
        let (daemon, plant) = (&self.daemon, self.daemon.plant());
        let mut routes: BTreeMap<String, u64> = BTreeMap::new();
        for route in &plant.routes {
            *routes
                .entry(daemon.shown_state(&plant, route).as_str().to_owned())
                .or_default() += 1;
        }
        let mut processes: BTreeMap<String, u64> = BTreeMap::new();
        for process in &plant.processes {
            *processes.entry(process.state().as_str().to_owned()).or_default() += 1;
        }
        let age = clock::now().usec_since(daemon.started_at);
        types::Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: i32::try_from(std::process::id()).unwrap_or_default(),
            started_at_usec: clock::realtime_usec().saturating_sub(age),
            generation: daemon.generation.get(),
            life: daemon.life,
            config_paths: plant.config.files.iter().map(|file| shown_path(&file.path)).collect(),
            routes,
            processes,
            last_reload_error: daemon.last_reload_error.borrow().clone(),
        }
    }

    /// Waits until the relays have published what they are at: then all that the caller can have seen before it asked is in
    /// the snapshots. A turn takes well under a millisecond, unless the machine is busy with something else.
    async fn settle<'r>(&self, routes: impl Iterator<Item = &'r RouteHandle>) {
        let turns: Vec<(&RouteHandle, relay::Turn)> =
            routes.filter_map(|route| Some((route, route.cell.turn()?))).collect();
        let patience = clock::now() + SETTLING;
        while turns.iter().any(|(route, turn)| !route.cell.is_over(*turn)) && clock::now() < patience {
            clock::sleep_until(clock::now() + Duration::from_millis(1)).await;
        }
    }

    fn all_routes(&self) -> Vec<types::Route> {
        let plant = self.daemon.plant();
        let routes = plant.routes.iter();
        routes.map(|route| self.daemon.shown_route(&plant, route)).collect()
    }

    fn all_processes(&self) -> Vec<types::Process> {
        let plant = self.daemon.plant();
        plant.processes.iter().map(|process| wire::process(process)).collect()
    }
}

/// Whoever asks may be in another directory than the daemon.
fn shown_path(path: &Path) -> String {
    std::path::absolute(path)
        .unwrap_or_else(|_| path.to_owned())
        .display()
        .to_string()
}

fn stopping() -> Error {
    Error::Busy("the daemon is stopping".to_owned())
}

impl Backend for Control {
    async fn status(&self) -> Result<types::Status, Error> {
        Ok(self.status())
    }

    async fn list_routes(&self, name: Option<&str>) -> Result<Vec<types::Route>, Error> {
        let Some(name) = name else {
            self.settle(self.daemon.plant().routes.iter()).await;
            return Ok(self.all_routes());
        };
        let route = self.route(name)?;
        self.settle(std::iter::once(&route)).await;
        Ok(vec![self.daemon.shown_route(&self.daemon.plant(), &route)])
    }

    async fn list_processes(&self, name: Option<&str>) -> Result<Vec<types::Process>, Error> {
        let Some(name) = name else {
            return Ok(self.all_processes());
        };
        let processes = self.processes(name)?;
        Ok(processes.iter().map(|process| wire::process(process)).collect())
    }

    async fn pause_route(&self, name: &str) -> Result<bool, Error> {
        let changed = self.tell_route(name, relay::Command::Pause).await?;
        self.note_operator(name, true);
        Ok(changed)
    }

    async fn resume_route(&self, name: &str) -> Result<bool, Error> {
        self.refuse_when_stopping()?;
        let closed = Some(self.route(name)?).filter(is_closed);
        let changed = self.tell_route(name, relay::Command::Resume).await?;
        self.note_operator(name, false);
        if let Some(route) = closed.filter(|_| changed) {
            self.daemon.tell_all_absent(&route);
        }
        Ok(changed)
    }

    async fn drain_route(&self, name: &str, timeout: Option<Duration>, wait: bool) -> Result<bool, Error> {
        let timeout = timeout.unwrap_or(self.daemon.plant().config.daemon.drain_timeout);
        let changed = if timeout.is_zero() {
            self.tell_route(name, |reply| relay::Command::Abort(CloseCause::Aborted, reply))
                .await?
        } else {
            let deadline = clock::now() + timeout;
            self.tell_route(name, |reply| relay::Command::Drain(deadline, reply))
                .await?
        };
        self.note_operator(name, false);
        if wait {
            let route = self.route(name)?;
            let ended = |state| !matches!(state, RouteState::Draining);
            self.daemon
                .wait_until(|| ended(route.cell.with(|cell| cell.state)))
                .await;
        }
        Ok(changed)
    }

    async fn start_process(&self, name: &str, wait: bool) -> Result<bool, Error> {
        let processes = self.processes(name)?;
        self.refuse_when_stopping()?;
        let coming = self.daemon.expect(&processes);
        let changed = self
            .tell_processes(&processes, |reply| supervise::Command::Start { reply })
            .await?;
        drop(coming);
        if wait {
            self.wait_for_start(&processes).await?;
        }
        Ok(changed)
    }

    async fn stop_process(&self, name: &str, wait: bool) -> Result<bool, Error> {
        let processes = self.processes(name)?;
        let changed = self
            .tell_processes(&processes, |reply| supervise::Command::Stop { reply })
            .await?;
        if wait {
            self.wait_for_stop(&processes).await?;
        }
        Ok(changed)
    }

    async fn restart_process(&self, name: &str, wait: bool) -> Result<bool, Error> {
        let processes = self.processes(name)?;
        self.refuse_when_stopping()?;
        let coming = self.daemon.expect(&processes);
        let changed = self
            .tell_processes(&processes, |reply| supervise::Command::Restart { reply })
            .await?;
        drop(coming);
        if wait {
            self.wait_for_start(&processes).await?;
        }
        Ok(changed)
    }

    async fn signal_process(&self, name: &str, signal: &str) -> Result<(), Error> {
        let processes = self.processes(name)?;
        let number = signal_number(signal).ok_or_else(|| Error::InvalidParameter("signal".to_owned()))?;
        let answers: Vec<oneshot::Receiver<Result<(), String>>> = processes
            .iter()
            .map(|process| {
                let (reply, answer) = oneshot::channel();
                process.send(supervise::Command::Signal { number, reply });
                answer
            })
            .collect();
        let mut refusals = Vec::new();
        for answer in answers {
            refusals.extend(answer.await.map_err(|_| stopping())?.err());
        }
        if refusals.is_empty() {
            Ok(())
        } else {
            Err(Error::Failed(refusals.join("; ")))
        }
    }

    async fn reopen_files(&self, wait: bool) -> Result<u64, Error> {
        self.daemon.reopen_files(wait).await
    }

    async fn reload(&self, dry_run: bool, wait: bool) -> Result<types::Reloaded, Error> {
        self.refuse_when_stopping()?;
        let (reply, outcome) = oneshot::channel();
        // Nobody takes it any more once the daemon stops, and then the answer says so.
        let _ = self
            .changes
            .send(changes::Request::Reload(reload::Request { dry_run, wait, reply }));
        outcome.await.map_err(|_| stopping())?
    }

    async fn upgrade(&self, caller: Option<Caller>) -> Error {
        if let Err(stopping) = self.refuse_when_stopping() {
            return stopping;
        }
        let (refused, outcome) = oneshot::channel();
        let request = handover::Request { caller, refused };
        // Nobody takes it any more once the daemon stops, and then the answer says so.
        let _ = self.changes.send(changes::Request::Upgrade(request));
        outcome.await.unwrap_or_else(|_| stopping())
    }

    async fn explain(&self, route: &str) -> Result<Vec<types::Cause>, Error> {
        self.route(route)?;
        self.settle(self.daemon.plant().routes.iter()).await;
        Ok(self.daemon.explain(route))
    }

    async fn get_config(&self) -> Result<Vec<types::ConfigFile>, Error> {
        let plant = self.daemon.plant();
        let files = plant.config.files.iter();
        Ok(files
            .map(|file| types::ConfigFile {
                path: shown_path(&file.path),
                text: file.text.clone(),
            })
            .collect())
    }

    async fn subscribe(&self) -> Result<Subscription, Error> {
        self.settle(self.daemon.plant().routes.iter()).await;
        let events = self.daemon.events.subscribe();
        let snapshot = types::Snapshot {
            status: self.status(),
            routes: self.all_routes(),
            processes: self.all_processes(),
        };
        Ok(Subscription {
            seq: self.daemon.sequence(),
            at_usec: clock::realtime_usec(),
            snapshot,
            events,
        })
    }

    async fn shutdown(&self) -> Result<(), Error> {
        // Once is enough: only a second signal hurries, not a second caller who did not know of the first.
        if !self.daemon.is_to_stop() {
            self.daemon.stop_asked.set(true);
            self.stop.notify_one();
        }
        Ok(())
    }
}

/// `SIGTERM`, `TERM`, `term` or `15`.
fn signal_number(text: &str) -> Option<i32> {
    if let Ok(number) = text.parse::<i32>() {
        return (1..=nix::libc::SIGRTMAX()).contains(&number).then_some(number);
    }
    let name = text.to_ascii_uppercase();
    let name = if name.starts_with("SIG") {
        name
    } else {
        format!("SIG{name}")
    };
    name.parse::<nix::sys::signal::Signal>()
        .ok()
        .map(|signal| signal as i32)
}
