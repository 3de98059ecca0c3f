//! Endpoints join a route and leave it while the others go on; a route is closed for good.
//!
//! Who joins gets what is accepted from then on; who leaves at the same time gets everything before, and is drained. So
//! when one endpoint takes the place of another there is neither a gap nor an overlap. Between two parts of a long record
//! nobody joins or leaves: that would tear it.

use std::sync::Arc;

use memchr::memchr;

use super::cell::{fresh_destination, fresh_source};
use super::destination::{Destination, Leaves};
use super::message::{Brought, Command, Leave, Left, Queued};
use super::retune::rule;
use super::route::RelayedRoute;
use super::source::{Source, Tie};
use crate::decide::route::{Event, Phase};
use crate::endpoint;
use crate::framing;
use crate::model::{CloseCause, Distribution, Moment, RouteSpec};
use crate::sys::clock;

/// How far a route is with what a reload wants of it.
#[derive(Debug)]
pub(super) enum Rewiring {
    /// Nothing.
    No,
    /// Somebody is in the middle of a long record.
    Waits(Box<Waiting>),
    /// Some leave.
    Leaving(Leave, Vec<Left>),
    /// The whole route ends.
    Closing(Leave),
}

/// What is to be done when the long record is at its end.
#[derive(Debug)]
pub(super) struct Waiting {
    spec: Arc<RouteSpec>,
    leave: Leave,
    brought: Brought,
    /// About endpoints that join.
    put_off: Vec<Command>,
}

/// What sources that have left have given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Removed {
    /// As far as it was accepted.
    pub bytes: u64,
    pub records: u64,
}

impl Rewiring {
    /// When those that leave are given up. A close is a drain, and the machine knows of its deadline.
    pub fn deadline(&self) -> Option<Moment> {
        match self {
            Rewiring::Waits(waiting) => Some(waiting.leave.deadline),
            Rewiring::Leaving(leave, _) => Some(leave.deadline),
            Rewiring::No | Rewiring::Closing(_) => None,
        }
    }
}

impl RelayedRoute {
    /// Whether somebody is about to leave.
    pub(super) fn is_left(&self) -> bool {
        self.sources.iter().any(|source| source.leaves)
            || self.destinations.iter().any(|destination| destination.leaves.is_some())
    }

    pub(super) fn begin_closing(&mut self, leave: Leave) {
        for source in &mut self.sources {
            source.goes_on = leave.go_on.contains(&source.name);
        }
        for destination in &mut self.destinations {
            if leave.go_on.contains(&destination.name) {
                destination.leaves = Some(Leaves::GivenBack(None));
            }
        }
        self.tell(&Event::Drain(leave.deadline));
        self.rewiring = Rewiring::Closing(leave);
    }

    /// Whether it is about to go.
    pub(super) fn is_closing(&self) -> bool {
        matches!(self.rewiring, Rewiring::Closing(_))
    }

    pub(super) fn begin_rewiring(&mut self, spec: Arc<RouteSpec>, leave: Leave, brought: Brought) {
        self.rewiring = Rewiring::Waits(Box::new(Waiting {
            spec,
            leave,
            brought,
            put_off: Vec::new(),
        }));
        self.go_on_rewiring();
    }

    /// About an endpoint that is not in the route: yet, where it is about to join; else any more.
    pub(super) fn put_off(&mut self, command: Command) {
        if let Rewiring::Waits(waiting) = &mut self.rewiring {
            waiting.put_off.push(command);
        }
    }

    /// What another route has still owed to the destinations of this one, and then what it has read of records that the
    /// sources are in the middle of.
    pub(super) fn begin_with(&mut self, brought: Brought) {
        let Brought { mut begun, mut queued } = brought;
        for i in 0..self.destinations.len() {
            if let Some(queued) = queued.remove(&self.destinations[i].name) {
                self.go_on_with(i, queued);
            }
        }
        for i in 0..self.sources.len() {
            if let Some(bytes) = begun.remove(&self.sources[i].name) {
                let source = &mut self.sources[i];
                source.bytes += bytes.len() as u64;
                let ends = framing::terminator(self.spec.framing).is_none_or(|end| memchr(end, &bytes).is_some());
                if ends {
                    self.hand_on(i, &bytes);
                } else {
                    source.framer.hold(bytes.len());
                    source.partial = bytes;
                }
            }
        }
    }

    /// Called between two turns.
    pub(super) fn go_on_rewiring(&mut self) {
        let now = clock::now();
        match std::mem::replace(&mut self.rewiring, Rewiring::No) {
            Rewiring::No => {}
            Rewiring::Waits(waiting) => {
                let torn = self.holder.is_some() && self.spec.distribution == Distribution::Broadcast;
                if torn && now < waiting.leave.deadline {
                    self.rewiring = Rewiring::Waits(waiting);
                } else {
                    let Waiting {
                        spec,
                        leave,
                        brought,
                        put_off,
                    } = *waiting;
                    self.rewire(spec, leave, brought);
                    put_off.into_iter().for_each(|command| self.obey(command));
                    self.go_on_rewiring();
                }
            }
            Rewiring::Leaving(leave, mut left) => {
                if now >= leave.deadline {
                    self.give_up_leaving();
                }
                self.let_go(&mut left);
                if self.is_left() {
                    self.rewiring = Rewiring::Leaving(leave, left);
                } else {
                    self.choose_path_anew();
                    self.untold.changed = true;
                    self.publish();
                    // Whoever asked may have gone, with the daemon: then the pipes go, too.
                    let _ = leave.reply.send(left);
                }
            }
            closing @ Rewiring::Closing(_) => {
                self.rewiring = closing;
                if *self.machine.phase() == Phase::Closed {
                    self.close();
                }
            }
        }
    }

    fn close(&mut self) {
        // A pipe that was lent just now goes on with the others.
        self.hear_no_more();
        self.obey_all();
        let mut left = Vec::new();
        for i in 0..self.sources.len() {
            self.give_source_back(i, &mut left);
        }
        for i in 0..self.destinations.len() {
            self.give_destination_back(i, &mut left);
        }
        self.stop = true;
        self.untold.changed = true;
        self.publish();
        // The next route may want the same FIFOs as soon as it hears of this.
        self.sources.clear();
        self.destinations.clear();
        if let Rewiring::Closing(leave) = std::mem::replace(&mut self.rewiring, Rewiring::No) {
            let _ = leave.reply.send(left);
        }
    }

    fn rewire(&mut self, spec: Arc<RouteSpec>, leave: Leave, brought: Brought) {
        let sources: Vec<String> = spec.from.iter().map(|source| source.endpoint.to_string()).collect();
        let destinations: Vec<String> = spec.to.iter().map(|to| to.endpoint.to_string()).collect();
        let broadcast = self.spec.distribution == Distribution::Broadcast;
        let (had_sources, had_destinations) = (self.sources.len(), self.destinations.len());
        self.join(&spec);
        for i in 0..had_sources {
            if !sources.contains(&String::from(&*self.sources[i].name)) {
                self.sources[i].leaves = true;
                self.sources[i].goes_on = leave.go_on.contains(&self.sources[i].name);
            }
        }
        for i in 0..had_destinations {
            let destination = &mut self.destinations[i];
            if destinations.contains(&String::from(&*destination.name)) {
                continue;
            }
            destination.leaves = Some(match leave.go_on.contains(&destination.name) {
                true => Leaves::GivenBack(None),
                false => Leaves::Closed,
            });
            if broadcast {
                destination.upto.get_or_insert(self.accepted);
            }
        }
        self.spec = spec;
        self.arrange(&sources, &destinations);
        // Without a fast path as long as somebody leaves.
        self.choose_path_anew();
        self.rewiring = Rewiring::Leaving(leave, Vec::new());
        self.begin_with(brought);
        // Who leaves for good is to be read yet.
        let to_read = self.sources.iter().any(|source| source.leaves && !source.goes_on);
        let awaits = matches!(&self.rewiring, Rewiring::Leaving(leave, _) if leave.others_come && !to_read);
        self.tell(&Event::Awaits(awaits));
        for i in 0..self.destinations.len() {
            if self.destinations[i].leaves.is_some() {
                self.tell(&Event::DestinationLeaves(i));
            }
        }
        for i in 0..self.sources.len() {
            if self.sources[i].leaves {
                self.tell(&Event::SourceLeaves(i));
            }
        }
        self.reopen_revived();
    }

    /// It is as if sources had given it that are not there any more, for this destination alone.
    fn go_on_with(&mut self, i: usize, queued: Queued) {
        let Queued { owed, framing } = queued;
        let (bytes, records) = (owed.bytes(), owed.records());
        let records = if self.has_records() { records } else { 0 };
        self.accepted += bytes;
        self.removed.bytes += bytes;
        self.accepted_records += records;
        self.removed.records += records;
        if self.spec.distribution == Distribution::Broadcast {
            let others = self.destinations.iter_mut().enumerate();
            for (_, other) in others.filter(|(j, other)| *j != i && !other.is_over()) {
                other.from += bytes;
            }
        }
        self.destinations[i]
            .backlog
            .go_on_with(owed, framing == self.spec.framing);
        self.look_at_queue(i);
        self.check_law();
    }

    /// Appends those that are new.
    fn join(&mut self, spec: &RouteSpec) {
        let records = self.has_records().then_some(0);
        for source in &spec.from {
            let shown = fresh_source(&source.endpoint, records);
            if self.sources.iter().any(|other| other.name == shown.name) {
                continue;
            }
            if let Some(kind) = endpoint::source(source, &spec.name, &self.around) {
                self.sources
                    .push(Source::new(Arc::clone(&shown.name), kind, spec, &source.endpoint));
                self.cell.lock().sources.push(shown);
                self.tell(&Event::SourceJoins);
                let i = self.sources.len() - 1;
                self.sources[i].close_cause = self.machine.source(i).cause().cloned();
            }
        }
        for destination in &spec.to {
            let shown = fresh_destination(destination, records);
            if self.destinations.iter().any(|other| other.name == shown.name) {
                continue;
            }
            let terminator = framing::terminator(spec.framing);
            let kind = endpoint::destination(destination, &spec.name, terminator, &self.around);
            let mut joined = Destination::new(Arc::clone(&shown.name), kind, spec, destination);
            joined.from = self.accepted;
            self.destinations.push(joined);
            self.cell.lock().destinations.push(shown);
            self.tell(&Event::DestinationJoins(rule(destination)));
            let i = self.destinations.len() - 1;
            if let Some(cause) = self.machine.destination(i).cause().cloned() {
                self.destinations[i].end(cause, self.accepted);
            }
        }
    }

    /// Those that stay in the config's order, those that leave behind them.
    fn arrange(&mut self, sources: &[String], destinations: &[String]) {
        let place = |wanted: &[String], name: &str| wanted.iter().position(|other| other == name).unwrap_or(usize::MAX);
        let mut from: Vec<usize> = (0..self.sources.len()).collect();
        from.sort_by_key(|i| place(sources, &self.sources[*i].name));
        let mut to: Vec<usize> = (0..self.destinations.len()).collect();
        to.sort_by_key(|i| place(destinations, &self.destinations[*i].name));
        self.pick(&from, &to);
    }

    /// Puts the endpoints into this order, by their places until now; those that are not in it go.
    fn pick(&mut self, from: &[usize], to: &[usize]) {
        if let Some(tee) = &mut self.tee {
            tee.abandon();
        }
        for i in 0..self.destinations.len() {
            if self.destinations[i].teed > 0 {
                self.unstage(i);
            }
        }
        self.tee = None;
        let new_place = |order: &[usize], old: usize| order.iter().position(|i| *i == old);
        self.machine.arrange(from, to);
        self.sources = picked(std::mem::take(&mut self.sources), from);
        self.destinations = picked(std::mem::take(&mut self.destinations), to);
        {
            let mut cell = self.cell.lock();
            cell.sources = picked(std::mem::take(&mut cell.sources), from);
            cell.destinations = picked(std::mem::take(&mut cell.destinations), to);
        }
        self.holder = self.holder.and_then(|old| new_place(from, old));
        self.last_read = new_place(from, self.last_read).unwrap_or(0);
        self.last_dealt = new_place(to, self.last_dealt).unwrap_or(0);
        for source in &mut self.sources {
            source.tie = source.tie.map(|tie| match tie {
                Tie::To(old) => new_place(to, old).map_or(Tie::Lost(0), Tie::To),
                Tie::Lost(old) => Tie::Lost(new_place(to, old).unwrap_or(0)),
            });
        }
    }

    /// The time is over.
    fn give_up_leaving(&mut self) {
        for i in 0..self.sources.len() {
            if self.sources[i].leaves {
                self.tell(&Event::SourceLeavesNow(i));
            }
        }
        for i in 0..self.destinations.len() {
            if self.destinations[i].leaves.is_some() {
                self.tell(&Event::DestinationFailed(i, CloseCause::DrainTimeout));
            }
        }
    }

    /// Those that leave and have ended go.
    fn let_go(&mut self, left: &mut Vec<Left>) {
        let mut from: Vec<usize> = (0..self.sources.len()).collect();
        from.retain(|i| !(self.sources[*i].leaves && self.machine.source(*i).has_ended()));
        let mut to: Vec<usize> = (0..self.destinations.len()).collect();
        to.retain(|i| !(self.destinations[*i].leaves.is_some() && self.machine.destination(*i).has_ended()));
        if from.len() == self.sources.len() && to.len() == self.destinations.len() {
            return;
        }
        for i in 0..self.sources.len() {
            if !from.contains(&i) {
                self.give_source_back(i, left);
                let source = &self.sources[i];
                self.removed.bytes += source.bytes - source.framer.partial();
                self.removed.records += source.records;
            }
        }
        for i in 0..self.destinations.len() {
            if !to.contains(&i) {
                self.give_destination_back(i, left);
                self.retired += self.destinations[i].accounted();
            }
        }
        self.pick(&from, &to);
        self.check_law();
    }

    fn give_source_back(&mut self, i: usize, left: &mut Vec<Left>) {
        let source = &mut self.sources[i];
        let end = source.end.take();
        if source.goes_on {
            let begun = source.take_begun();
            if !begun.is_empty() {
                left.push(Left::Begun(Arc::clone(&source.name), begun));
            }
        }
        if !source.goes_on && source.stream.is_none() {
            source.kind.close();
            return;
        }
        let given_back = source.kind.give_back(end);
        if let Some((process, stream)) = source.stream.clone() {
            left.extend(given_back.into_iter().map(|given_back| Left::Pipe {
                process: process.clone(),
                stream,
                given_back,
            }));
        }
    }

    fn give_destination_back(&mut self, i: usize, left: &mut Vec<Left>) {
        let destination = &mut self.destinations[i];
        if let Some(owed) = destination.owed.take().filter(|owed| owed.bytes() > 0) {
            let framing = self.spec.framing;
            left.push(Left::Queued(Arc::clone(&destination.name), Queued { owed, framing }));
        }
        if let Some(Leaves::GivenBack(Some(given_back))) = destination.leaves.take()
            && let Some((process, stream)) = destination.stream.clone()
        {
            left.push(Left::Pipe {
                process,
                stream,
                given_back,
            });
        }
    }
}

fn picked<T>(all: Vec<T>, order: &[usize]) -> Vec<T> {
    let mut all: Vec<Option<T>> = all.into_iter().map(Some).collect();
    order.iter().filter_map(|i| all[*i].take()).collect()
}
