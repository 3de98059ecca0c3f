//! Carries the steps of a reload out, stage by stage. Each stage leaves a plant that runs, so that a shutdown may come at
//! any time.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::oneshot;

use super::between::{endpoints, is_held, joins, with_toggled};
use crate::daemon::plant::Plant;
use crate::daemon::state::Daemon;
use crate::daemon::wiring::Wiring;
use crate::decide::process::KILL_GRACE;
use crate::decide::reload::{Kind, Step};
use crate::endpoint::{self, ends::GivenBack};
use crate::model::{Config, Moment, Name, ProcessId, ProcessSpec, ProcessState, RouteSpec, Stream, Subject};
use crate::relay::{self, Leave, Left, RouteHandle};
use crate::supervise::{self, Command};
use crate::sys::clock;

/// A process that cannot even be killed is not waited for longer than this.
const UNKILLABLE: Duration = Duration::from_secs(2);

/// How long a FIFO that goes on may take to be opened by its next route.
const OPENING: Duration = Duration::from_secs(2);
/// Between two looks whether they are all open.
const BETWEEN_LOOKS: Duration = Duration::from_millis(1);

/// A reload under way.
struct Reload<'d> {
    daemon: &'d Daemon,
    wanted: Rc<Config>,
    /// Where the streams belong when it is over.
    target: Wiring,
    /// The endpoints that routes have then, as they are shown.
    sources: HashSet<String>,
    destinations: HashSet<String>,
    specs: BTreeMap<ProcessId, Arc<ProcessSpec>>,
    /// By route: the last stage in which destinations join it.
    joins: BTreeMap<Name, usize>,
    /// For everybody who is waited for in this stage.
    patience: Cell<Moment>,
    /// For everything that is drained, from the first stage on that drains something.
    deadline: Cell<Option<Moment>>,
    /// Of routes that are closed: whether an operator had paused or drained them.
    held: RefCell<BTreeMap<Name, bool>>,
}

/// What a stage waits for.
type Wait<'r> = Pin<Box<dyn Future<Output = ()> + 'r>>;

pub(super) async fn apply(daemon: &Rc<Daemon>, wanted: Config, steps: &[Step]) {
    let mut specs = BTreeMap::new();
    let mut ids = Vec::new();
    for process in &wanted.processes {
        let spec = Arc::new(process.clone());
        for id in process.ids() {
            specs.insert(id.clone(), Arc::clone(&spec));
            ids.push(id);
        }
    }
    let reload = Reload {
        daemon,
        sources: (wanted.routes.iter().flat_map(|route| &route.from))
            .map(|source| source.endpoint.to_string())
            .collect(),
        // A file has a queue of its own that is written out first.
        destinations: (wanted.routes.iter().flat_map(|route| &route.to))
            .filter(|to| endpoint::capabilities(&to.endpoint).spliceable)
            .map(|to| to.endpoint.to_string())
            .collect(),
        target: Wiring::new(ids, wanted.routes.iter().map(|route| &**route)),
        joins: joins(&wanted, steps),
        patience: Cell::new(clock::now()),
        deadline: Cell::new(None),
        held: RefCell::default(),
        specs,
        wanted: Rc::new(wanted),
    };
    reload.tell_changing(steps, true);
    for stage in steps.chunk_by(|one, other| one.stage == other.stage) {
        let waits: Vec<Wait<'_>> = reload.begin(stage);
        join_all(waits).await;
        reload.forget(stage);
    }
    reload.finish();
    reload.tell_changing(steps, false);
    reload.close_put_by().await;
}

impl Reload<'_> {
    /// Processes may end before the routes that lose them for others hear of that: the ends of those are none.
    fn tell_changing(&self, steps: &[Step], changing: bool) {
        let plant = self.daemon.plant();
        let subjects = steps
            .iter()
            .filter(|step| matches!(step.kind, Kind::Close | Kind::Rewire));
        let names: BTreeSet<&Name> = subjects
            .filter_map(|step| match &step.subject {
                Subject::Route(name) | Subject::Endpoint(name, _) => Some(name),
                Subject::Daemon | Subject::Process(_) => None,
            })
            .collect();
        for name in names {
            if let Some(route) = plant.route(name.as_str()) {
                route.send(relay::Command::Changing(changing));
            }
        }
    }

    /// Begins every step of a stage.
    fn begin<'r>(&'r self, stage: &'r [Step]) -> Vec<Wait<'r>> {
        let mut waits: Vec<Wait<'r>> = Vec::new();
        self.patience.set(clock::now() + self.wanted.daemon.drain_timeout);
        let mut retuned: BTreeSet<&Name> = BTreeSet::new();
        let mut rewired: BTreeMap<&Name, HashSet<&str>> = BTreeMap::new();
        let number = stage.first().map_or(0, |step| step.stage);
        for step in stage {
            match (step.kind, &step.subject) {
                (Kind::Retune, Subject::Daemon) => self.daemon.means.log_level.set(self.wanted.daemon.log_level),
                (Kind::Retune, Subject::Process(id)) => self.respec(id),
                (Kind::Retune, Subject::Route(name) | Subject::Endpoint(name, _)) => {
                    retuned.insert(name);
                }
                (Kind::Start, Subject::Process(id)) => waits.extend(self.start(id)),
                (Kind::Restart, Subject::Process(id)) => waits.extend(self.restart(id)),
                (Kind::Stop, Subject::Process(id)) => waits.extend(self.stop(id)),
                (Kind::Open, Subject::Route(name)) => self.open(name),
                (Kind::Close, Subject::Route(name)) => waits.extend(self.close(name)),
                (Kind::Rewire, Subject::Endpoint(name, end)) => {
                    rewired.entry(name).or_default().insert(end);
                }
                // No plan has such a step.
                _ => {}
            }
        }
        retuned.into_iter().for_each(|name| self.retune(name));
        for (name, ends) in rewired {
            let others_come = self.joins.get(name).is_some_and(|last| number < *last);
            waits.extend(self.rewire(name, &ends, others_come));
        }
        waits
    }

    /// What a stage has ended is not there any more.
    fn forget(&self, stage: &[Step]) {
        let plant = self.daemon.plant();
        let gone =
            |kind: Kind, subject: &Subject| stage.iter().any(|step| step.kind == kind && step.subject == *subject);
        if !stage.iter().any(|step| matches!(step.kind, Kind::Stop | Kind::Close)) {
            return;
        }
        let mut processes = plant.processes.clone();
        // One that is still there when the daemon is to stop is stopped with the rest.
        let is_over = |state| matches!(state, ProcessState::Stopped | ProcessState::Finished);
        processes.retain(|process| {
            !gone(Kind::Stop, &Subject::Process(process.id().clone())) || (self.hurries() && !is_over(process.state()))
        });
        let mut routes = plant.routes.clone();
        routes.retain(|route| !gone(Kind::Close, &Subject::Route(route.spec.name.clone())));
        let config = Rc::clone(&plant.config);
        self.daemon.replace_plant(Plant::new(config, routes, processes));
    }

    /// What is wanted is what runs.
    fn finish(&self) {
        let plant = self.daemon.plant();
        let places: BTreeMap<&Name, usize> = (self.wanted.routes.iter().enumerate())
            .map(|(place, route)| (&route.name, place))
            .collect();
        let mut routes = plant.routes.clone();
        routes.sort_by_key(|route| places.get(&route.spec.name).copied());
        let mut processes = plant.processes.clone();
        processes.sort_by_key(|process| self.target.place(process.id()));
        self.daemon
            .replace_plant(Plant::new(Rc::clone(&self.wanted), routes, processes));
        self.daemon.start_waiting();
        let plant = self.daemon.plant();
        let left = self.daemon.shelf.borrow_mut().take_all();
        for ((id, stream), ends) in left {
            let Some(process) = plant.process(&id) else { continue };
            for GivenBack { lent, .. } in ends {
                let (life, end) = (lent.life, lent.end);
                match stream {
                    Stream::Stdin => process.send(Command::InputEnded { stream, life }),
                    Stream::Stdout | Stream::Stderr => process.send(Command::TakeOutput { stream, life, end }),
                    // It was restarted without it.
                    Stream::Fd(_) => {}
                }
            }
        }
    }

    fn hurries(&self) -> bool {
        self.daemon.reload_hurries.is_cancelled()
    }

    /// From the first stage that drains something on, whoever was waited for before.
    fn deadline(&self) -> Moment {
        let deadline = self.deadline.get().unwrap_or_else(|| self.patience.get());
        self.deadline.set(Some(deadline));
        deadline
    }

    /// When every FIFO that goes on is open again, or is not going to be.
    async fn close_put_by(&self) {
        let Some(thread) = self.daemon.threads.first() else {
            return;
        };
        let patience = clock::now() + OPENING;
        while thread.taken.has_put_by() && clock::now() < patience {
            clock::sleep_until(clock::now() + BETWEEN_LOOKS).await;
        }
        thread.taken.close_put_by();
    }

    fn wiring_of(&self, id: &ProcessId) -> supervise::Wiring {
        supervise::Wiring {
            waits: false,
            ..self.target.of_process(id)
        }
    }

    fn respec(&self, id: &ProcessId) {
        let plant = self.daemon.plant();
        if let (Some(process), Some(spec)) = (plant.process(id), self.specs.get(id)) {
            let (spec, wiring) = (Arc::clone(spec), self.wiring_of(id));
            process.send(Command::Respec { spec, wiring });
        }
    }

    fn start(&self, id: &ProcessId) -> Option<Wait<'_>> {
        if self.hurries() {
            return None;
        }
        let spec = Arc::clone(self.specs.get(id)?);
        let means = &self.daemon.means.supervise;
        let process = supervise::start(spec, id.clone(), self.wiring_of(id), means);
        let process = Rc::new(process);
        let plant = self.daemon.plant();
        let mut processes = plant.processes.clone();
        processes.push(Rc::clone(&process));
        let (config, routes) = (Rc::clone(&plant.config), plant.routes.clone());
        self.daemon.replace_plant(Plant::new(config, routes, processes));
        Some(Box::pin(self.until_up(process)))
    }

    fn restart(&self, id: &ProcessId) -> Option<Wait<'_>> {
        if self.hurries() {
            return None;
        }
        self.respec(id);
        let process = Rc::clone(self.daemon.plant().process(id)?);
        let (reply, begun) = oneshot::channel();
        process.send(Command::Renew { reply });
        Some(Box::pin(async move {
            let _ = begun.await;
            self.until_up(process).await;
        }))
    }

    /// Until it is ready, or is not going to be soon.
    async fn until_up(&self, process: Rc<supervise::Handle>) {
        let underway = |state| {
            matches!(
                state,
                ProcessState::Waiting | ProcessState::Starting | ProcessState::Stopping
            )
        };
        let up = self.daemon.wait_until(|| !underway(process.state()));
        self.until(self.patience.get(), up).await;
    }

    async fn until(&self, moment: Moment, wait: impl Future<Output = ()>) {
        tokio::select! {
            () = wait => {}
            () = clock::sleep_until(moment) => {}
            () = self.daemon.reload_hurries.cancelled() => {}
        }
    }

    /// Who is fed has had the end of its input, and may exit by itself.
    fn stop(&self, id: &ProcessId) -> Option<Wait<'_>> {
        let process = Rc::clone(self.daemon.plant().process(id)?);
        let config = Rc::clone(&self.daemon.plant().config);
        let is_fed = (config.routes.iter().flat_map(|route| &route.to))
            .filter_map(|to| endpoint::stream_of(&to.endpoint))
            .any(|(fed, _)| fed == id);
        let spec = config.processes.iter().find(|spec| spec.name == id.name);
        let stop_timeout = spec.map_or(Duration::ZERO, |spec| spec.stop_timeout);
        let deadline = self.deadline();
        Some(Box::pin(async move {
            process.send(Command::BeginShutdown);
            if is_fed {
                self.until(deadline, process.stopped()).await;
            }
            process.send(Command::Shutdown { kill: false });
            let patience = clock::now() + stop_timeout * 2 + KILL_GRACE + UNKILLABLE;
            tokio::select! {
                () = process.stopped() => {}
                () = self.daemon.reload_hurries.cancelled() => {}
                () = clock::sleep_until(patience) => {
                    tracing::warn!(process = %process.id(), "process:{}: it does not end; the reload goes on without it", process.id());
                }
            }
        }))
    }

    fn route_wanted(&self, name: &Name) -> Option<&Arc<RouteSpec>> {
        self.wanted.routes.iter().find(|route| route.name == *name)
    }

    fn replace_route(&self, handle: RouteHandle) {
        let plant = self.daemon.plant();
        let mut routes = plant.routes.clone();
        match plant.place_of(handle.spec.name.as_str()) {
            Some(place) => routes[place] = handle,
            None => routes.push(handle),
        }
        let (config, processes) = (Rc::clone(&plant.config), plant.processes.clone());
        self.daemon.replace_plant(Plant::new(config, routes, processes));
    }

    fn open(&self, name: &Name) {
        let Some(mut spec) = self.route_wanted(name).cloned() else {
            return;
        };
        // A reload is no resume, and no pause.
        if let Some(held) = self.held.borrow().get(name) {
            Arc::make_mut(&mut spec).start_paused = *held;
        }
        let brought = self.daemon.shelf.borrow_mut().take_brought(&spec);
        let handle = self.daemon.next_thread().relay_on(spec, brought);
        self.replace_route(handle.clone());
        self.daemon.lend_what_is_there(&handle, |_| true);
    }

    fn retune(&self, name: &Name) {
        let plant = self.daemon.plant();
        let (Some(handle), Some(wanted)) = (plant.route(name.as_str()), self.route_wanted(name)) else {
            return;
        };
        let spec = Arc::new(with_toggled(&handle.spec, wanted, &HashSet::new()));
        handle.send(relay::Command::Retune(Arc::clone(&spec)));
        self.replace_route(handle.with(spec));
    }

    fn rewire(&self, name: &Name, ends: &HashSet<&str>, others_come: bool) -> Option<Wait<'_>> {
        let plant = self.daemon.plant();
        let handle = plant.route(name.as_str())?;
        let spec = Arc::new(with_toggled(&handle.spec, self.route_wanted(name)?, ends));
        let (mut leave, left) = self.leave(&handle.spec);
        leave.others_come = others_come;
        let brought = self.daemon.shelf.borrow_mut().take_brought(&spec);
        handle.send(relay::Command::Rewire(Arc::clone(&spec), leave, brought));
        let before: HashSet<String> = endpoints(&handle.spec).collect();
        let handle = handle.with(spec);
        self.replace_route(handle.clone());
        self.daemon.lend_what_is_there(&handle, |end| !before.contains(end));
        Some(self.take_back(left))
    }

    fn close(&self, name: &Name) -> Option<Wait<'_>> {
        let plant = self.daemon.plant();
        let handle = plant.route(name.as_str())?;
        self.held.borrow_mut().insert(name.clone(), handle.cell.with(is_held));
        let (leave, left) = self.leave(&handle.spec);
        handle.send(relay::Command::Close(leave));
        Some(self.take_back(left))
    }

    /// What some route has in the wanted config, at the same side, goes on there.
    fn leave(&self, spec: &RouteSpec) -> (Leave, oneshot::Receiver<Vec<Left>>) {
        let (reply, left) = oneshot::channel();
        let sources = spec.from.iter().map(|source| source.endpoint.to_string());
        let destinations = spec.to.iter().map(|to| to.endpoint.to_string());
        let go_on = (sources.filter(|end| self.sources.contains(end)))
            .chain(destinations.filter(|end| self.destinations.contains(end)))
            .map(Arc::from)
            .collect();
        let leave = Leave {
            deadline: self.deadline(),
            go_on,
            others_come: false,
            reply,
        };
        (leave, left)
    }

    fn take_back(&self, left: oneshot::Receiver<Vec<Left>>) -> Wait<'_> {
        Box::pin(async move {
            // It does not answer only when it has gone, and its ends with it.
            for left in left.await.unwrap_or_default() {
                let mut shelf = self.daemon.shelf.borrow_mut();
                match left {
                    Left::Pipe {
                        process,
                        stream,
                        given_back,
                    } => shelf.put(&process, stream, given_back),
                    Left::Begun(endpoint, begun) => shelf.put_begun(endpoint, begun),
                    Left::Queued(endpoint, queued) => shelf.put_queued(endpoint, queued),
                }
            }
        })
    }
}
