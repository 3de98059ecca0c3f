//! What the control plane knows: the routes and processes that run, and who wants to hear of changes.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;

use super::log::LevelSetter;
use super::plant::Plant;
use super::reload::Shelf;
use super::shutdown::Stopping;
use super::store::Notes;
use crate::control::{present, types};
use crate::decide::start_order::StartOrder;
use crate::endpoint::Side;
use crate::model::{Event, EventDetail, Moment, Name, ProcessId, ProcessState, Subject};
use crate::relay::{RelayThread, Report, Reports};
use crate::store::{Known, Store};
use crate::supervise;
use crate::sys::clock;

/// Events that a Monitor may be behind.
const RING: usize = 1024;

/// By what processes are started, and the log is changed.
#[derive(Debug)]
pub struct Means {
    /// What processes have together.
    pub supervise: supervise::Means,
    /// What routes tell.
    pub reports: Reports,
    /// What outlives the daemon.
    pub store: Store,
    /// What is known of it then, where there is something.
    pub notes: Option<Notes>,
    /// `log-level`
    pub log_level: LevelSetter,
}

/// What earlier lives of the daemon have left of it.
#[derive(Clone, Debug)]
pub struct Past {
    /// The number of this life.
    pub life: u64,
    /// The number of what was applied last.
    pub generation: u64,
    /// When the first life began.
    pub started_at: Moment,
    /// The number of the last event.
    pub sequence: u64,
    /// Why the last reload was refused.
    pub last_reload_error: Option<String>,
    /// The sides of reopened routes of which nobody has come yet.
    pub waits_anew: HashSet<(Name, Side)>,
}

impl Past {
    /// None; or what is known of a dead life.
    #[must_use]
    pub fn after(known: Option<&Known>) -> Past {
        Past {
            life: known.map_or(1, |known| known.life + 1),
            generation: known.map_or(1, |known| known.generation.max(1)),
            started_at: clock::now(),
            sequence: 0,
            last_reload_error: None,
            waits_anew: HashSet::new(),
        }
    }
}

/// The control plane. All of it lives on one thread.
pub struct Daemon {
    plant: RefCell<Rc<Plant>>,
    /// `--exit-when-done`
    pub exit_when_done: bool,
    /// When the first life of this process began.
    pub started_at: Moment,
    /// 1, and one more for each upgrade and take-over.
    pub life: u64,
    /// Somebody wants the daemon to stop.
    pub stop_asked: Cell<bool>,
    /// The threads that own the routes.
    pub threads: Vec<RelayThread>,
    /// To every Monitor.
    pub events: broadcast::Sender<Arc<types::Event>>,
    /// Present from the moment the daemon is asked to stop.
    pub stopping: RefCell<Option<Stopping>>,
    /// 1, and one more for each reload.
    pub generation: Cell<u64>,
    /// Why the last reload was refused.
    pub last_reload_error: RefCell<Option<String>>,
    /// A reload is under way.
    pub is_reloading: Cell<bool>,
    /// While processes are at rest for a handover: what routes have told them.
    pub unheard: RefCell<Option<Vec<Report>>>,
    /// A reload waits for nobody any more: the daemon is to stop.
    pub reload_hurries: CancellationToken,
    /// Pipes of processes that no route has.
    pub shelf: RefCell<Shelf>,
    /// What a reload needs.
    pub means: Means,
    next_thread: Cell<usize>,
    /// As long as a process waits for those that it feeds.
    pub start_order: RefCell<Option<StartOrder>>,
    /// The sides of reopened routes of which nobody has come yet.
    pub waits_anew: RefCell<HashSet<(Name, Side)>>,
    /// The processes that somebody starts just now, and how many do.
    coming: RefCell<HashMap<ProcessId, usize>>,
    /// Counts the changes that somebody may wait for.
    changes: watch::Sender<u64>,
    sequence: Cell<u64>,
}

impl Daemon {
    /// A control plane over what was started.
    #[must_use]
    pub fn new(plant: Plant, exit_when_done: bool, threads: Vec<RelayThread>, means: Means, past: Past) -> Daemon {
        let next_thread = Cell::new(plant.routes.len());
        let start_order = RefCell::new(Some(StartOrder::new(&plant.wiring.stop_order(), plant.processes.len())));
        Daemon {
            plant: RefCell::new(Rc::new(plant)),
            exit_when_done,
            started_at: past.started_at,
            life: past.life,
            stop_asked: Cell::new(false),
            threads,
            events: broadcast::Sender::new(RING),
            stopping: RefCell::new(None),
            generation: Cell::new(past.generation),
            last_reload_error: RefCell::new(past.last_reload_error),
            is_reloading: Cell::new(false),
            unheard: RefCell::default(),
            reload_hurries: CancellationToken::new(),
            shelf: RefCell::default(),
            means,
            next_thread,
            start_order,
            waits_anew: RefCell::new(past.waits_anew),
            coming: RefCell::default(),
            changes: watch::Sender::new(0),
            sequence: Cell::new(past.sequence),
        }
    }

    /// What runs.
    #[must_use]
    pub fn plant(&self) -> Rc<Plant> {
        Rc::clone(&self.plant.borrow())
    }

    /// From now on this runs.
    pub fn replace_plant(&self, plant: Plant) {
        let waits = self.start_order.borrow().is_some();
        *self.start_order.borrow_mut() =
            waits.then(|| StartOrder::new(&plant.wiring.stop_order(), plant.processes.len()));
        *self.plant.borrow_mut() = Rc::new(plant);
        self.changed();
    }

    /// The thread whose turn it is to get a route.
    pub fn next_thread(&self) -> &RelayThread {
        let next = self.next_thread.get();
        self.next_thread.set(next + 1);
        &self.threads[next % self.threads.len()]
    }

    /// Until the guard goes, these processes count as coming, whatever their state still says.
    pub fn expect<'d>(&'d self, processes: &'d [Rc<supervise::Handle>]) -> Coming<'d> {
        let mut coming = self.coming.borrow_mut();
        for process in processes {
            *coming.entry(process.id().clone()).or_default() += 1;
        }
        let daemon = self;
        Coming { daemon, processes }
    }

    /// Whether somebody starts this process just now.
    pub fn is_coming(&self, process: &ProcessId) -> bool {
        self.coming.borrow().contains_key(process)
    }

    /// Whether it stops, or is about to.
    #[must_use]
    pub fn is_to_stop(&self) -> bool {
        self.stopping.borrow().is_some() || self.stop_asked.get() || self.reload_hurries.is_cancelled()
    }

    /// Something has changed that somebody may wait for.
    pub fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    /// Resolves when `reached` says so.
    pub async fn wait_until(&self, reached: impl Fn() -> bool) {
        let mut changes = self.changes.subscribe();
        while !reached() {
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// Resolves at the next change.
    pub fn next_change(&self) -> impl Future<Output = ()> + use<> {
        let mut changes = self.changes.subscribe();
        async move {
            // The sender lives as long as the daemon.
            let _ = changes.changed().await;
        }
    }

    /// Tells an event to the log and to every Monitor.
    pub fn tell(&self, event: &Event) {
        super::journal::write(event, self.is_expected(event));
        let sequence = self.next_sequence();
        // Nobody listens: then nobody is told.
        let _ = self
            .events
            .send(Arc::new(present::event(event, sequence, super::wire::clocks())));
        self.changed();
    }

    /// A process that is meant to be down has ended: whatever signal ended it, nobody needs to look.
    fn is_expected(&self, event: &Event) -> bool {
        let (Subject::Process(process), EventDetail::ProcessExited { .. }) = (&event.subject, &event.detail) else {
            return false;
        };
        // What is finished by its policy was not stopped by anybody.
        let down = |process: &Rc<supervise::Handle>| {
            process.look(|process| !process.wanted_up && process.state != ProcessState::Finished)
        };
        self.plant().process(process).is_none_or(down) || self.stopping.borrow().is_some()
    }

    /// Tells an event of the daemon itself.
    pub fn tell_own(&self, detail: EventDetail) {
        let (at, subject) = (clock::now(), Subject::Daemon);
        self.tell(&Event { at, subject, detail });
    }

    /// So many events of the relays were lost: the control plane was behind. Monitors are told like of any other gap.
    pub fn tell_overrun(&self, lost: u64) {
        tracing::warn!("{lost} events of routes were not told: there were too many at once");
        let overrun = types::Event {
            seq: self.next_sequence(),
            at_usec: clock::realtime_usec(),
            kind: "overrun".to_owned(),
            subject: Subject::Daemon.to_string(),
            detail: serde_json::Map::from_iter([("lost".to_owned(), lost.into())]),
        };
        let _ = self.events.send(Arc::new(overrun));
        self.changed();
    }

    /// The number of the last event.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sequence.get()
    }

    /// Counts an event that only Monitors are told.
    fn next_sequence(&self) -> u64 {
        self.sequence.set(self.sequence.get() + 1);
        self.sequence.get()
    }
}

/// Somebody starts these processes.
pub struct Coming<'d> {
    daemon: &'d Daemon,
    processes: &'d [Rc<supervise::Handle>],
}

impl Drop for Coming<'_> {
    fn drop(&mut self) {
        let mut coming = self.daemon.coming.borrow_mut();
        for process in self.processes {
            if let Some(count) = coming.get_mut(process.id()) {
                *count -= 1;
                if *count == 0 {
                    coming.remove(process.id());
                }
            }
        }
    }
}
