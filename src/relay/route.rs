//! One route's task: obey, turn, publish, wait.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use tokio::time::Sleep;

use super::cell::RouteCell;
use super::destination::Destination;
use super::fast;
use super::handover::Freeze;
use super::message::{Command, Commands, Reports};
use super::retune;
use super::rewire::{Removed, Rewiring};
use super::source::Source;
use crate::decide::pauses::Pauses;
use crate::decide::rate::Bucket;
use crate::decide::route::{Action, DestinationRule, Event, Route};
use crate::decide::shares::Shares;
use crate::endpoint;
use crate::endpoint::ends::Surroundings;
use crate::framing;
use crate::model::{Distribution, Moment, RouteSpec};
use crate::sys::clock;
use crate::transport::{CHUNK, Chooser, Tee};

/// Where a relay thread's routes read to; used only within a turn.
pub(super) type Scratch = Rc<RefCell<Vec<u8>>>;

/// A route as its relay thread drives it.
pub(super) struct RelayedRoute {
    pub spec: Arc<RouteSpec>,
    pub machine: Route,
    pub sources: Vec<Source>,
    pub destinations: Vec<Destination>,
    pub chooser: Chooser,
    /// The staging pipes of a route with several destinations.
    pub tee: Option<Tee>,
    pub pauses: Pauses,
    pub accepted: u64,
    pub accepted_records: u64,
    /// The source in the middle of a long record: nobody else's may come in between.
    pub holder: Option<usize>,
    /// Every source is in the middle of a record whose destination has more than enough.
    pub is_held: bool,
    /// Which destination was dealt a record last.
    pub last_dealt: usize,
    /// Who gets the next record of a `balance` route.
    pub shares: Shares,
    /// Which source was read last: the next turn begins behind it.
    pub last_read: usize,
    /// `rate-limit`
    pub rate: Option<Bucket>,
    /// splice(2) is refused and copying is forbidden: not before then is it tried again.
    pub stalled_until: Option<Moment>,
    pub stall: Option<Arc<str>>,
    /// A staging pipe is on its way into the store.
    pub unkept: bool,
    pub cell: RouteCell,
    pub reports: Reports,
    pub scratch: Scratch,
    pub commands: Commands,
    /// Received while waiting.
    pub heard: Option<Command>,
    pub timer: Option<(Moment, Pin<Box<Sleep>>)>,
    pub stop: bool,
    /// Somebody wants it at rest.
    pub freezing: Option<Freeze>,
    /// How far a reload is with it.
    pub rewiring: Rewiring,
    pub retired: u64,
    /// Of sources that have left.
    pub removed: Removed,
    pub around: Surroundings,
    /// Told once the snapshot says so too: whoever hears of a change and looks, sees it.
    pub untold: Untold,
}

/// What happened since the snapshot was published last.
#[derive(Default)]
pub(super) struct Untold {
    pub events: Vec<crate::model::Event>,
    pub changed: bool,
}

/// A scratch buffer for one relay thread.
pub(super) fn scratch() -> Scratch {
    Rc::new(RefCell::new(vec![0; CHUNK]))
}

impl RelayedRoute {
    pub fn new(
        spec: Arc<RouteSpec>,
        cell: RouteCell,
        commands: Commands,
        reports: Reports,
        around: &Surroundings,
        scratch: Scratch,
    ) -> RelayedRoute {
        let names = cell.read();
        let mut sources: Vec<Source> = std::iter::zip(&spec.from, names.sources)
            .filter_map(|(source, shown)| {
                Some(Source::new(
                    shown.name,
                    endpoint::source(source, &spec.name, around)?,
                    &spec,
                    &source.endpoint,
                ))
            })
            .collect();
        // Thousands of routes have one.
        sources.shrink_to_fit();
        let destinations: Vec<Destination> = std::iter::zip(&spec.to, names.destinations)
            .map(|(destination, shown)| {
                let kind = endpoint::destination(destination, &spec.name, framing::terminator(spec.framing), around);
                Destination::new(shown.name, kind, &spec, destination)
            })
            .collect();
        let rules: Vec<DestinationRule> = spec.to.iter().map(retune::rule).collect();
        let rate = spec.rate_limit.map(|rate| Bucket::new(rate, clock::now()));
        let machine = Route::new(
            sources.len(),
            &rules,
            spec.distribution,
            around.store.operator(&spec.name).unwrap_or(spec.start_paused),
            clock::now(),
        );
        let chooser = Chooser::new(spec.path, fast::of(&spec));
        let mut route = RelayedRoute {
            tee: fast::tee(&spec, &around.store),
            spec,
            machine,
            sources,
            destinations,
            chooser,
            pauses: Pauses::default(),
            accepted: 0,
            accepted_records: 0,
            holder: None,
            is_held: false,
            last_dealt: 0,
            shares: Shares::default(),
            last_read: 0,
            rate,
            stalled_until: None,
            stall: None,
            unkept: false,
            cell,
            reports,
            scratch,
            commands,
            heard: None,
            timer: None,
            stop: false,
            freezing: None,
            rewiring: Rewiring::No,
            retired: 0,
            removed: Removed::default(),
            around: around.clone(),
            untold: Untold::default(),
        };
        route.take_staged();
        route
    }

    /// What a dead life of the daemon has left in staging pipes was accepted, of sources that are no more.
    fn take_staged(&mut self) {
        for (i, destination) in self.destinations.iter_mut().enumerate() {
            destination.teed = self.tee.as_ref().map_or(0, |tee| tee.bytes(i));
            destination.sent = destination.kind.left();
        }
        let left = self.destinations.iter().map(Destination::accounted);
        let left = match self.spec.distribution {
            Distribution::Broadcast => left.max(),
            Distribution::Balance => Some(left.sum()),
        };
        let left = left.unwrap_or(0);
        (self.accepted, self.removed.bytes) = (left, left);
        for destination in &mut self.destinations {
            if self.spec.distribution == Distribution::Broadcast {
                destination.from = left - destination.accounted();
            }
        }
        self.check_law();
    }

    /// Relays until it is told to stop. Boxed, since what is moved into a task stands in it twice.
    pub async fn run(mut self: Box<Self>) {
        self.look_at_pauses();
        self.publish();
        while !self.stop {
            self.cell.begin_turn();
            self.obey_all();
            if let Some(freeze) = self.freezing.take() {
                self.rest(freeze).await;
                continue;
            }
            let more = self.turn();
            self.go_on_rewiring();
            self.look_at_pauses();
            self.publish();
            self.cell.end_turn();
            if more {
                // The other routes of this thread, and its reactor, come first.
                tokio::task::yield_now().await;
            } else if !self.stop {
                self.wait().await;
            }
        }
    }

    pub fn next_command(&mut self) -> Option<Command> {
        self.heard
            .take()
            .or_else(|| self.commands.try_recv().ok().map(|command| *command))
    }

    /// The last of the commands: whoever sends another one gets it back.
    pub fn hear_no_more(&mut self) {
        self.commands.close();
    }

    pub fn poll_command(&mut self, cx: &mut std::task::Context<'_>) -> std::task::Poll<()> {
        match self.commands.poll_recv(cx) {
            std::task::Poll::Pending => std::task::Poll::Pending,
            std::task::Poll::Ready(command) => {
                // Nobody is left to command: the daemon ends.
                self.heard = Some(command.map_or(Command::Stop, |command| *command));
                std::task::Poll::Ready(())
            }
        }
    }

    /// Tells the machine, and does what it says.
    pub fn tell(&mut self, event: &Event) -> bool {
        let mut actions: Vec<Action> = Vec::new();
        let changed = self.machine.on(event, clock::now(), &mut actions);
        for action in actions {
            self.act(action);
        }
        self.check_law();
        changed
    }

    /// The law of accounting, after every step of a debug build.
    pub fn check_law(&self) {
        if cfg!(debug_assertions) {
            let name = &self.spec.name;
            let mut accounted = self.retired;
            for destination in &self.destinations {
                accounted += destination.accounted();
                if self.spec.distribution == Distribution::Broadcast {
                    let owed = destination.upto.unwrap_or(self.accepted) - destination.from;
                    debug_assert_eq!(owed, destination.accounted(), "route {name}, {}", destination.name);
                }
            }
            if self.spec.distribution == Distribution::Balance {
                debug_assert_eq!(self.accepted, accounted, "route {name}");
            }
            let read: u64 = self.sources.iter().map(|source| source.bytes).sum();
            let partial: u64 = self.sources.iter().map(|source| source.framer.partial()).sum();
            debug_assert_eq!(self.accepted + partial, read + self.removed.bytes, "route {name}");
        }
    }
}
