//! What a reload has to do: from the config that runs and the one that is wanted to the steps between them, each with its
//! reason. What is in no step is not touched. Pure; `daemon::reload` carries the steps out.
//!
//! The steps of one stage may be done at the same time; a stage begins when the one before it is over. The order loses
//! nothing: who is new runs before somebody writes to it; who goes is first told to end, with the data: a process before
//! the routes that take its output are closed, and after those that feed it are drained.

mod keys;
mod order;
mod route;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::model::{Config, EndpointSpec, Name, OutputPolicy, ProcessId, ProcessSpec, RouteSpec, Stream, Subject};

/// What is done to something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A route begins.
    Open,
    /// A route is drained and ends.
    Close,
    /// Settings change while it runs; its counters go on.
    Retune,
    /// An endpoint joins a route or leaves it; the others go on.
    Rewire,
    /// A process begins.
    Start,
    /// A process is stopped and started with its new settings, if it is meant to run.
    Restart,
    /// A process is stopped for good.
    Stop,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Open => "open",
            Kind::Close => "close",
            Kind::Retune => "retune",
            Kind::Rewire => "rewire",
            Kind::Start => "start",
            Kind::Restart => "restart",
            Kind::Stop => "stop",
        })
    }
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What.
    pub kind: Kind,
    /// To whom.
    pub subject: Subject,
    /// Why.
    pub reason: String,
    /// Those of one number may be done at the same time.
    pub stage: usize,
}

/// Keys that have changed and cannot while the daemon runs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} needs a restart of the daemon", .0.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", "))]
pub struct NeedsRestart(pub Vec<&'static str>);

/// Tells the stream of a process that an endpoint is.
pub type StreamOf = fn(&EndpointSpec) -> Option<(&ProcessId, Stream)>;

/// The steps from `running` to `wanted`, in order.
pub fn plan(running: &Config, wanted: &Config, stream_of: StreamOf) -> Result<Vec<Step>, NeedsRestart> {
    let fixed = keys::that_need_a_restart(running, wanted);
    if !fixed.is_empty() {
        return Err(NeedsRestart(fixed));
    }
    let mut plan = Plan {
        before: Side::of(running, stream_of),
        after: Side::of(wanted, stream_of),
        steps: Vec::new(),
        stage: 0,
    };
    if let Some(reason) = keys::changed_words(&keys::of_daemon(running, wanted)) {
        plan.step(Kind::Retune, Subject::Daemon, reason);
    }
    plan.make();
    Ok(plan.steps)
}

/// A config by names.
struct Side<'c> {
    processes: BTreeMap<ProcessId, &'c ProcessSpec>,
    /// In config order.
    ids: Vec<ProcessId>,
    routes: BTreeMap<&'c Name, &'c RouteSpec>,
    /// In config order.
    names: Vec<&'c Name>,
    /// The streams of each process that routes have.
    streams: BTreeMap<ProcessId, BTreeSet<Stream>>,
    /// The route of each endpoint that can be in one only.
    places: BTreeMap<String, &'c Name>,
    stream_of: StreamOf,
}

impl<'c> Side<'c> {
    fn of(config: &'c Config, stream_of: StreamOf) -> Side<'c> {
        let mut side = Side {
            processes: BTreeMap::new(),
            ids: Vec::new(),
            routes: BTreeMap::new(),
            names: Vec::new(),
            streams: BTreeMap::new(),
            places: BTreeMap::new(),
            stream_of,
        };
        for process in &config.processes {
            for id in process.ids() {
                side.processes.insert(id.clone(), process);
                side.ids.push(id);
            }
        }
        for route in &config.routes {
            side.routes.insert(&route.name, route);
            side.names.push(&route.name);
            for endpoint in route::endpoints(route) {
                side.places.insert(endpoint.to_string(), &route.name);
                if let Some((process, stream)) = stream_of(endpoint) {
                    side.streams.entry(process.clone()).or_default().insert(stream);
                }
            }
        }
        side
    }

    fn streams(&self, process: &ProcessId) -> BTreeSet<Stream> {
        self.streams.get(process).cloned().unwrap_or_default()
    }

    fn process_of(&self, endpoint: &EndpointSpec) -> Option<ProcessId> {
        (self.stream_of)(endpoint).map(|(process, _)| process.clone())
    }
}

struct Plan<'c> {
    before: Side<'c>,
    after: Side<'c>,
    steps: Vec<Step>,
    stage: usize,
}

impl Plan<'_> {
    fn step(&mut self, kind: Kind, subject: Subject, reason: String) {
        self.steps.push(Step {
            kind,
            subject,
            reason,
            stage: self.stage,
        });
    }

    fn next_stage(&mut self) {
        if self.steps.last().is_some_and(|step| step.stage == self.stage) {
            self.stage += 1;
        }
    }

    fn make(&mut self) {
        let changes = route::changes(&self.before, &self.after);
        let (early, late): (Vec<ProcessId>, Vec<ProcessId>) = (self.after.ids.clone().into_iter())
            .filter(|id| self.before.processes.contains_key(id))
            .partition(|id| self.before.streams(id).is_subset(&self.after.streams(id)));
        self.retune_processes(&early);
        self.retune_routes(&changes);
        self.next_stage();
        self.start();
        self.restart(&early);
        self.take_down(&changes);
        self.next_stage();
        self.retune_processes(&late);
        self.restart(&late);
        self.next_stage();
        self.bring_up(&changes);
    }

    fn retune_processes(&mut self, ids: &[ProcessId]) {
        for id in ids {
            let reasons = self.changes_of(id);
            if reasons.restart.is_empty()
                && let Some(reason) = reasons.retune()
            {
                self.step(Kind::Retune, Subject::Process(id.clone()), reason);
            }
        }
    }

    /// Each of them after those that it feeds.
    fn restart(&mut self, ids: &[ProcessId]) {
        for id in order::consumers_first(&self.after) {
            if let Some(reason) = self.changes_of(&id).restart().filter(|_| ids.contains(&id)) {
                self.step(Kind::Restart, Subject::Process(id), reason);
            }
        }
    }

    fn start(&mut self) {
        for id in order::consumers_first(&self.after) {
            if !self.before.processes.contains_key(&id) {
                self.step(Kind::Start, Subject::Process(id), "it is new in the config".to_owned());
            }
        }
    }

    /// What a process that stays has to be told.
    fn changes_of(&self, id: &ProcessId) -> keys::Changes {
        let (Some(before), Some(after)) = (self.before.processes.get(id), self.after.processes.get(id)) else {
            return keys::Changes::default();
        };
        let mut changes = keys::of_process(before, after);
        let (had, has) = (self.before.streams(id), self.after.streams(id));
        for stream in had.symmetric_difference(&has) {
            let gained = has.contains(stream);
            let was_null = match stream {
                Stream::Stdin | Stream::Fd(_) => true,
                Stream::Stdout => before.stdout == OutputPolicy::Null,
                Stream::Stderr => before.stderr == OutputPolicy::Null,
            };
            let extra = matches!(stream, Stream::Fd(_));
            match gained {
                true if extra => changes.restart.push(format!("a route has its {stream} now")),
                true if was_null => changes
                    .restart
                    .push(format!("its {stream} was /dev/null, and a route has it now")),
                true => changes.retune.push(format!("a route has its {stream} now")),
                false if extra => changes.restart.push(format!("no route has its {stream} any more")),
                false => changes.retune.push(format!("no route has its {stream} any more")),
            }
        }
        changes
    }

    fn retune_routes(&mut self, changes: &route::Changes<'_>) {
        for (subject, keys) in &changes.retune {
            if let Some(reason) = keys::changed_words(keys) {
                self.step(Kind::Retune, subject.clone(), reason);
            }
        }
    }

    /// Everything that ends, with the data.
    fn take_down(&mut self, changes: &route::Changes<'_>) {
        let removed: BTreeSet<ProcessId> = (self.before.ids.iter())
            .filter(|id| !self.after.processes.contains_key(id))
            .cloned()
            .collect();
        let routes: Vec<&Name> = (self.before.names.iter().copied())
            .filter(|name| changes.close.contains_key(name) || changes.early.contains_key(name))
            .collect();
        for level in order::with_the_data(&self.before, &removed, &routes) {
            self.next_stage();
            for node in level {
                match node {
                    order::Node::Process(id) => {
                        let reason = "it is not in the config any more".to_owned();
                        self.step(Kind::Stop, Subject::Process(id), reason);
                    }
                    order::Node::Route(name) => self.take_down_route(&name, changes),
                }
            }
        }
    }

    fn take_down_route(&mut self, name: &Name, changes: &route::Changes<'_>) {
        if let Some(reason) = changes.close.get(name) {
            self.step(Kind::Close, Subject::Route(name.clone()), reason.clone());
        }
        for (subject, reason) in changes.early.get(name).into_iter().flatten() {
            self.step(Kind::Rewire, subject.clone(), reason.clone());
        }
    }

    fn bring_up(&mut self, changes: &route::Changes<'_>) {
        for name in self.after.names.clone() {
            if let Some(reason) = changes.open.get(name) {
                self.step(Kind::Open, Subject::Route(name.clone()), reason.clone());
            }
            for (subject, reason) in changes.late.get(name).into_iter().flatten() {
                self.step(Kind::Rewire, subject.clone(), reason.clone());
            }
        }
    }
}
