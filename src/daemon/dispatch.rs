//! Carries word between supervisors, relays and those who listen.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::plant::Plant;
use super::state::Daemon;
use super::wiring::End;
use crate::endpoint::{
    self, Side,
    ends::{GivenBack, Lent},
};
use crate::model::{EndpointSpec, ProcessId, ProcessState, RouteState, Stream};
use crate::relay::{Command, DestinationCommand, Report, RouteHandle, SourceCommand};
use crate::supervise::{self, Notice};

const SIDES: [Side; 2] = [Side::Source, Side::Destination];

impl Daemon {
    /// A supervised process tells something.
    pub fn hear_process(&self, notice: Notice) {
        match notice {
            Notice::Event(event) => self.tell(&event),
            Notice::Lend {
                process,
                stream,
                life,
                end,
                deposit,
            } => {
                // Its route comes with the reload that is under way. Without one the end is dropped: it is lent to nobody.
                let unheard = self.plant().lend(&process, stream, Lent { life, end, deposit });
                if let Some(lent) = unheard.filter(|_| self.is_reloading.get()) {
                    let exited = None;
                    self.shelf
                        .borrow_mut()
                        .put(&process, stream, GivenBack { lent, exited });
                }
            }
            Notice::Exited {
                process,
                life,
                pid,
                output_deadline: deadline,
            } => {
                let plant = self.plant();
                if self.is_reloading.get() {
                    self.shelf.borrow_mut().exited(&process, life, pid, deadline);
                }
                for (_, end) in plant.wiring.outputs(&process) {
                    plant.tell_source(end, SourceCommand::Exited { life, pid, deadline });
                    plant.tell_source(end, SourceCommand::Down(false));
                }
                for (_, end) in plant.wiring.inputs(&process) {
                    plant.tell_destination(end, DestinationCommand::Down(false, 0));
                }
            }
            Notice::Ended {
                process,
                finished,
                unread,
            } => self.process_ended(&process, finished, &unread),
            Notice::Revived(process) => self.revive_routes_of(&process),
            Notice::Changed(process) => self.process_changed(&process),
            // Who asked may have given up.
            Notice::Marker(heard) => drop(heard.send(())),
        }
    }

    /// A failed process may be started by hand, so its streams wait; unless nobody is going to.
    fn process_ended(&self, process: &ProcessId, finished: bool, unread: &[(Stream, u64)]) {
        let for_good = finished || self.exit_when_done || self.stopping.borrow().is_some();
        let plant = self.plant();
        for (_, end) in plant.wiring.outputs(process) {
            plant.tell_source(end, SourceCommand::Down(for_good));
        }
        for (stream, end) in plant.wiring.inputs(process) {
            let unread = unread
                .iter()
                .find(|(of, _)| *of == stream)
                .map_or(0, |(_, bytes)| *bytes);
            plant.tell_destination(end, DestinationCommand::Down(for_good, unread));
        }
        self.note_ended(process);
        self.changed();
    }

    fn process_changed(&self, process: &ProcessId) {
        let stopped = self
            .plant()
            .process(process)
            .is_some_and(|process| process.state() == ProcessState::Stopped);
        // While the daemon stops, it has told of its end for good, and that is not taken back.
        if stopped && self.stopping.borrow().is_none() {
            self.tell_down(process);
        }
        self.start_waiting();
        self.changed();
    }

    /// A process that does not run and is not about to: its routes have tried it.
    pub fn tell_down(&self, process: &ProcessId) {
        let plant = self.plant();
        for (_, end) in plant.wiring.outputs(process) {
            plant.tell_source(end, SourceCommand::Down(false));
        }
        for (_, end) in plant.wiring.inputs(process) {
            plant.tell_destination(end, DestinationCommand::Down(false, 0));
        }
    }

    /// A route tells something that must not be lost.
    pub fn hear_route(&self, report: Report) {
        let for_process = matches!(report, Report::InputEnded { .. } | Report::KillGroup { .. });
        if let Some(unheard) = self.unheard.borrow_mut().as_mut().filter(|_| for_process) {
            return unheard.push(report);
        }
        match report {
            Report::InputEnded { process, stream, life } => {
                if let Some(process) = self.plant().process(&process) {
                    process.send(supervise::Command::InputEnded { stream, life });
                }
            }
            Report::KillGroup { process, life } => {
                if let Some(process) = self.plant().process(&process) {
                    process.send(supervise::Command::KillGroup { life });
                }
            }
            Report::Changed(_) => {}
            Report::Marker(heard) => drop(heard.send(())),
        }
        self.changed();
    }

    /// A process that had ended is started by hand: its routes are opened again. An end that was told and has not come
    /// yet is taken back first, so that it cannot come between this and what is lent next.
    fn revive_routes_of(&self, process: &ProcessId) {
        let plant = self.plant();
        let ends = plant.wiring.outputs(process).chain(plant.wiring.inputs(process));
        let routes: BTreeSet<usize> = ends.map(|(_, end)| end.route).collect();
        let waits_anew = |route: &RouteHandle, side| {
            let side = (route.spec.name.clone(), side);
            is_closed(route) || self.waits_anew.borrow().contains(&side)
        };
        let sides: Vec<(&RouteHandle, Side)> = routes
            .into_iter()
            .flat_map(|route| SIDES.map(|side| (&plant.routes[route], side)))
            .filter(|(route, side)| waits_anew(route, *side))
            .collect();
        self.tell_down(process);
        for (_, end) in plant.wiring.outputs(process) {
            plant.tell_source(end, SourceCommand::Revive);
        }
        for (_, end) in plant.wiring.inputs(process) {
            plant.tell_destination(end, DestinationCommand::Revive);
        }
        for (route, side) in sides {
            self.tell_absent(route, side, Some(process));
        }
    }

    /// A route has got more ends: those of processes are lent what there is for them, or told why there is nothing.
    pub fn lend_what_is_there(&self, route: &RouteHandle, is_new: impl Fn(&str) -> bool) {
        let sources = route.spec.from.iter().map(|source| (Side::Source, &source.endpoint));
        let destinations = route.spec.to.iter().map(|to| (Side::Destination, &to.endpoint));
        for (side, end) in sources.chain(destinations) {
            let (name, stream): (Arc<str>, _) = (end.to_string().into(), endpoint::stream_of(end));
            let Some((process, stream)) = stream.filter(|_| is_new(&name)) else {
                continue;
            };
            let state = self.plant().process(process).map(|process| process.state());
            let for_good = match state {
                Some(ProcessState::Failed) => self.exit_when_done,
                state => state == Some(ProcessState::Finished),
            };
            let there = self.shelf.borrow_mut().take(process, stream);
            let down = there.is_empty() || state.is_some_and(is_at_rest);
            for GivenBack { lent, exited } in there {
                let life = lent.life;
                match side {
                    Side::Source => {
                        route.send(Command::Source(Arc::clone(&name), SourceCommand::Lend(lent)));
                        if let Some((pid, deadline)) = exited {
                            let exited = SourceCommand::Exited { life, pid, deadline };
                            route.send(Command::Source(Arc::clone(&name), exited));
                        }
                    }
                    Side::Destination => {
                        route.send(Command::Destination(Arc::clone(&name), DestinationCommand::Lend(lent)));
                    }
                }
            }
            match side {
                _ if !down => {}
                Side::Source => route.send(Command::Source(name, SourceCommand::Down(for_good))),
                Side::Destination => {
                    route.send(Command::Destination(name, DestinationCommand::Down(for_good, 0)));
                }
            }
        }
    }

    /// A closed route was reopened by hand.
    pub fn tell_all_absent(&self, route: &RouteHandle) {
        for side in SIDES {
            self.tell_absent(route, side, None);
        }
    }

    /// A reopened route waits for all of its processes anew (it was opened for `revived`). Those that have finished are not
    /// coming: where another end of the same side is there, it does not wait for them. Where none is, it waits for the
    /// whole side: somebody may start that next, and then the others of it are told.
    fn tell_absent(&self, route: &RouteHandle, side: Side, revived: Option<&ProcessId>) {
        let plant = self.plant();
        let absent = |end: &EndpointSpec| {
            let process = plant.process(endpoint::stream_of(end)?.0)?;
            match process.state() {
                _ if revived == Some(process.id()) || self.is_coming(process.id()) => None,
                ProcessState::Finished => Some(true),
                ProcessState::Failed => Some(self.exit_when_done),
                ProcessState::Stopped => Some(false),
                _ => None,
            }
        };
        let ends: Vec<&EndpointSpec> = match side {
            Side::Source => route.spec.from.iter().map(|end| &end.endpoint).collect(),
            Side::Destination => route.spec.to.iter().map(|end| &end.endpoint).collect(),
        };
        let absent: Vec<Option<bool>> = ends.iter().map(|end| absent(end)).collect();
        let nobody = absent.iter().all(|absent| *absent == Some(true));
        let whole = (route.spec.name.clone(), side);
        if nobody {
            self.waits_anew.borrow_mut().insert(whole);
        } else {
            self.waits_anew.borrow_mut().remove(&whole);
        }
        for (end, absent) in std::iter::zip(ends, absent) {
            let Some(for_good) = absent.map(|for_good| for_good && !nobody) else {
                continue;
            };
            let name = end.to_string().into();
            route.send(match side {
                Side::Source => Command::Source(name, SourceCommand::Down(for_good)),
                Side::Destination => Command::Destination(name, DestinationCommand::Down(for_good, 0)),
            });
        }
    }
}

fn is_at_rest(state: ProcessState) -> bool {
    matches!(
        state,
        ProcessState::Stopped | ProcessState::Finished | ProcessState::Failed
    )
}

/// Whether a route is closed, so that reopening it opens every end of it anew.
pub(super) fn is_closed(route: &RouteHandle) -> bool {
    route.cell.with(|cell| cell.state == RouteState::Closed)
}

impl Plant {
    /// To the route of the stream; given back where there is none, or where a reload has closed it just now.
    fn lend(&self, process: &ProcessId, stream: Stream, lent: Lent) -> Option<Lent> {
        let output = self.wiring.outputs(process).find(|(output, _)| *output == stream);
        let input = self.wiring.inputs(process).find(|(input, _)| *input == stream);
        let (end, command) = match (output, input) {
            (Some((_, end)), _) => (
                end,
                Command::Source(Arc::clone(&end.endpoint), SourceCommand::Lend(lent)),
            ),
            (None, Some((_, end))) => (
                end,
                Command::Destination(Arc::clone(&end.endpoint), DestinationCommand::Lend(lent)),
            ),
            (None, None) => return Some(lent),
        };
        match self.routes[end.route].offer(command)? {
            Command::Source(_, SourceCommand::Lend(lent)) | Command::Destination(_, DestinationCommand::Lend(lent)) => {
                Some(lent)
            }
            _ => None,
        }
    }

    /// Tells the route of a process's output something about it.
    fn tell_source(&self, end: &End, command: SourceCommand) {
        self.routes[end.route].send(Command::Source(Arc::clone(&end.endpoint), command));
    }

    /// Tells the route of a process's input something about it.
    fn tell_destination(&self, end: &End, command: DestinationCommand) {
        self.routes[end.route].send(Command::Destination(Arc::clone(&end.endpoint), command));
    }
}
