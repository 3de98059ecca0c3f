//! A relay thread: a current-thread runtime that owns some routes.

use std::io;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio::task::LocalSet;

use super::cell::RouteCell;
use super::handover::as_packed;
use super::message::{Brought, Command, Commands, Reports};
use super::route::{self, RelayedRoute};
use crate::endpoint::ends::{Surroundings, Taken};
use crate::model::RouteSpec;
use crate::store::Store;
use crate::sys::parcel::Unpacked;
use crate::sys::scheduling;
use crate::sys::watch::Openings;

/// A thread that relays.
#[derive(Debug)]
pub struct RelayThread {
    tasks: Option<mpsc::UnboundedSender<Task>>,
    thread: Option<std::thread::JoinHandle<()>>,
    /// FIFOs, over all threads.
    pub taken: Arc<Taken>,
}

enum Task {
    Relay(NewRoute),
    /// Answered when the thread comes to it.
    Ping(oneshot::Sender<()>),
}

struct NewRoute {
    spec: Arc<RouteSpec>,
    cell: RouteCell,
    commands: Commands,
    brought: Brought,
    /// What the daemon's last life has left of it.
    packed: Option<Unpacked>,
}

/// What the control plane holds of a route.
#[derive(Clone, Debug)]
pub struct RouteHandle {
    /// Its config.
    pub spec: Arc<RouteSpec>,
    /// Its snapshot.
    pub cell: RouteCell,
    commands: mpsc::UnboundedSender<Box<Command>>,
}

impl RouteHandle {
    /// The same route with other settings.
    #[must_use]
    pub fn with(&self, spec: Arc<RouteSpec>) -> RouteHandle {
        RouteHandle { spec, ..self.clone() }
    }

    /// Tells the route something. Never waits.
    pub fn send(&self, command: Command) {
        // The task is gone only when the daemon ends, or when a reload has closed the route.
        let _ = self.offer(command);
    }

    /// The same; gives the command back where nobody hears it any more.
    pub fn offer(&self, command: Command) -> Option<Command> {
        self.commands.send(Box::new(command)).err().map(|unheard| *unheard.0)
    }
}

impl RelayThread {
    /// Starts a thread that owns no route yet.
    pub fn start(number: usize, taken: Arc<Taken>, store: Store, reports: Reports) -> io::Result<RelayThread> {
        let (tasks, new_tasks) = mpsc::unbounded_channel();
        let theirs = Arc::clone(&taken);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()?;
        let thread = std::thread::Builder::new()
            .name(format!("relay-{number}"))
            .spawn(move || {
                // A writer that goes on writing, and a reader that goes on reading, leave more to do at once than one that is
                // interrupted for each piece. Refused, it is only slower.
                let _ = scheduling::batch();
                LocalSet::new().block_on(&runtime, own(new_tasks, (theirs, store), reports));
            })?;
        Ok(RelayThread {
            tasks: Some(tasks),
            thread: Some(thread),
            taken,
        })
    }

    /// Gives a route to the thread.
    pub fn relay(&self, spec: Arc<RouteSpec>) -> RouteHandle {
        self.begin(spec, Brought::default(), None)
    }

    /// The same with what its endpoints bring from other routes.
    pub fn relay_on(&self, spec: Arc<RouteSpec>, brought: Brought) -> RouteHandle {
        self.begin(spec, brought, None)
    }

    /// Gives a route to the thread that goes on where the daemon's last life has left it ([`Command::Freeze`]). Where that
    /// cannot be, it begins anew, and the log says why.
    pub fn restore(&self, spec: Arc<RouteSpec>, packed: Unpacked) -> RouteHandle {
        let spec = as_packed(spec, &packed);
        self.begin(spec, Brought::default(), Some(packed))
    }

    fn begin(&self, spec: Arc<RouteSpec>, brought: Brought, packed: Option<Unpacked>) -> RouteHandle {
        let cell = RouteCell::new(&spec);
        let (commands, commands_out) = mpsc::unbounded_channel();
        let new = NewRoute {
            spec: Arc::clone(&spec),
            cell: cell.clone(),
            commands: commands_out,
            brought,
            packed,
        };
        self.send(Task::Relay(new));
        RouteHandle { spec, cell, commands }
    }

    /// Resolves when the thread has come round to it: it is alive.
    pub fn ping(&self) -> oneshot::Receiver<()> {
        let (pong, answer) = oneshot::channel();
        self.send(Task::Ping(pong));
        answer
    }

    fn send(&self, task: Task) {
        if let Some(tasks) = &self.tasks {
            // The thread ends only when this sender is dropped.
            let _ = tasks.send(task);
        }
    }
}

impl Drop for RelayThread {
    /// The thread ends when no more routes can come and each one was told to stop.
    fn drop(&mut self) {
        self.tasks = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn own(mut new_tasks: mpsc::UnboundedReceiver<Task>, (taken, store): (Arc<Taken>, Store), reports: Reports) {
    let openings = Openings::new();
    if let Err(error) = &openings {
        tracing::warn!("no inotify instance is to be had, so readers of FIFOs are looked for every second: {error}");
    }
    let openings = openings.ok();
    if let Some(openings) = openings.clone() {
        tokio::task::spawn_local(async move {
            if let Err(error) = openings.run().await {
                tracing::error!("watching FIFOs for readers failed: {error}");
            }
        });
    }
    let around = Surroundings { openings, taken, store };
    let scratch = route::scratch();
    let mut running = tokio::task::JoinSet::new();
    while let Some(task) = new_tasks.recv().await {
        match task {
            Task::Relay(NewRoute {
                spec,
                cell,
                commands,
                brought,
                packed,
            }) => {
                let mut route = RelayedRoute::new(spec, cell, commands, reports.clone(), &around, scratch.clone());
                route.begin_with(brought);
                if let Some(packed) = packed {
                    route = route.restored(packed);
                }
                // Those that have been closed meanwhile.
                while running.try_join_next().is_some() {}
                running.spawn_local(Box::new(route).run());
            }
            Task::Ping(pong) => {
                // Nobody waits any more: the answer came too late.
                let _ = pong.send(());
            }
        }
    }
    while running.join_next().await.is_some() {}
}
