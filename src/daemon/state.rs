//! What the control plane knows: the routes and processes that run, and who wants to hear of changes.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::sync::Arc;

use tokio::sync::{broadcast, watch};

use super::shutdown::Stopping;
use super::wiring::Wiring;
use crate::control::{present, types};
use crate::decide::start_order::StartOrder;
use crate::endpoint::Side;
use crate::model::{Config, Event, EventDetail, Moment, Name, ProcessState, Subject};
use crate::relay::{RelayThread, RouteHandle};
use crate::supervise;
use crate::sys::clock;

/// Events that a Monitor may be behind.
const RING: usize = 1024;

/// The control plane. All of it lives on one thread.
pub struct Daemon {
    /// As running.
    pub config: Config,
    /// `--exit-when-done`
    pub exit_when_done: bool,
    /// When this life began.
    pub started_at: Moment,
    /// In config order.
    pub routes: Vec<RouteHandle>,
    places: HashMap<Name, usize>,
    /// In config order.
    pub processes: Vec<supervise::Handle>,
    /// Which stream belongs where.
    pub wiring: Wiring,
    /// The threads that own the routes.
    pub threads: Vec<RelayThread>,
    /// To every Monitor.
    pub events: broadcast::Sender<Arc<types::Event>>,
    /// Present from the moment the daemon is asked to stop.
    pub stopping: RefCell<Option<Stopping>>,
    /// As long as a process waits for those that it feeds.
    pub start_order: RefCell<Option<StartOrder>>,
    /// The sides of reopened routes of which nobody has come yet.
    pub waits_anew: RefCell<HashSet<(usize, Side)>>,
    /// The processes that somebody starts just now, and how many do.
    coming: RefCell<HashMap<usize, usize>>,
    /// Counts the changes that somebody may wait for.
    changes: watch::Sender<u64>,
    sequence: Cell<u64>,
}

impl Daemon {
    /// A control plane over what was started.
    #[must_use]
    pub fn new(
        config: Config,
        exit_when_done: bool,
        wiring: Wiring,
        threads: Vec<RelayThread>,
        routes: Vec<RouteHandle>,
        processes: Vec<supervise::Handle>,
    ) -> Daemon {
        let places = routes
            .iter()
            .enumerate()
            .map(|(place, route)| (route.spec.name.clone(), place))
            .collect();
        let start_order = RefCell::new(Some(StartOrder::new(&wiring.stop_order(), processes.len())));
        Daemon {
            config,
            exit_when_done,
            started_at: clock::now(),
            routes,
            places,
            processes,
            wiring,
            threads,
            events: broadcast::Sender::new(RING),
            stopping: RefCell::new(None),
            start_order,
            waits_anew: RefCell::default(),
            coming: RefCell::default(),
            changes: watch::Sender::new(0),
            sequence: Cell::new(0),
        }
    }

    /// The route of this name.
    #[must_use]
    pub fn route(&self, name: &str) -> Option<&RouteHandle> {
        self.place_of(name).map(|place| &self.routes[place])
    }

    /// Where the route of this name stands.
    #[must_use]
    pub fn place_of(&self, name: &str) -> Option<usize> {
        let name = Name::new(name).ok()?;
        self.places.get(&name).copied()
    }

    /// The processes that a name means: `NAME@I`, or `NAME` with all its instances.
    #[must_use]
    pub fn processes_named(&self, name: &str) -> Vec<usize> {
        let matches = |process: &supervise::Handle| {
            let id = process.id();
            id.to_string() == name || (id.instance.is_some() && id.name.as_str() == name)
        };
        (0..self.processes.len())
            .filter(|place| matches(&self.processes[*place]))
            .collect()
    }

    /// Until the guard goes, these processes count as coming, whatever their state still says.
    pub fn expect<'d>(&'d self, places: &'d [usize]) -> Coming<'d> {
        let mut coming = self.coming.borrow_mut();
        for place in places {
            *coming.entry(*place).or_default() += 1;
        }
        Coming { daemon: self, places }
    }

    /// Whether somebody starts this process just now.
    pub fn is_coming(&self, place: usize) -> bool {
        self.coming.borrow().contains_key(&place)
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
        let down = |place: usize| {
            let process = self.processes[place].snapshot();
            !process.wanted_up && process.state != ProcessState::Finished
        };
        self.wiring.place(process).is_some_and(down) || self.stopping.borrow().is_some()
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
    places: &'d [usize],
}

impl Drop for Coming<'_> {
    fn drop(&mut self) {
        let mut coming = self.daemon.coming.borrow_mut();
        for place in self.places {
            if let Some(count) = coming.get_mut(place) {
                *count -= 1;
                if *count == 0 {
                    coming.remove(place);
                }
            }
        }
    }
}
