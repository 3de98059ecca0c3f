//! Carries word between supervisors, relays and those who listen.

use std::collections::BTreeSet;

use super::state::Daemon;
use crate::endpoint::{self, Side, ends::Lent};
use crate::model::{EndpointSpec, ProcessId, ProcessState, RouteState};
use crate::relay::{Command, Report};
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
            } => {
                let lent = Lent { life, end };
                let output = self.wiring.outputs(&process).find(|(output, _)| *output == stream);
                let input = self.wiring.inputs(&process).find(|(input, _)| *input == stream);
                match (output, input) {
                    (Some((_, (route, i))), _) => self.routes[route].send(Command::LendSource(i, lent)),
                    (None, Some((_, (route, i)))) => self.routes[route].send(Command::LendDestination(i, lent)),
                    // Not lent to anybody: the end is dropped.
                    (None, None) => {}
                }
            }
            Notice::Exited {
                process,
                life,
                pid,
                output_deadline: deadline,
            } => {
                for (_, (route, source)) in self.wiring.outputs(&process) {
                    let told = Command::SourceExited {
                        source,
                        life,
                        pid,
                        deadline,
                    };
                    self.routes[route].send(told);
                    self.routes[route].send(Command::SourceDown(source, false));
                }
                for (_, (route, i)) in self.wiring.inputs(&process) {
                    self.routes[route].send(Command::DestinationDown(i, false, 0));
                }
            }
            Notice::Ended {
                process,
                finished,
                unread,
            } => self.process_ended(&process, finished, &unread),
            Notice::Revived(process) => self.revive_routes_of(&process),
            Notice::Changed(process) => self.process_changed(&process),
        }
    }

    /// A failed process may be started by hand, so its streams wait; unless nobody is going to.
    fn process_ended(&self, process: &ProcessId, finished: bool, unread: &[(crate::model::Stream, u64)]) {
        let for_good = finished || self.exit_when_done || self.stopping.borrow().is_some();
        for (_, (route, i)) in self.wiring.outputs(process) {
            self.routes[route].send(Command::SourceDown(i, for_good));
        }
        for (stream, (route, i)) in self.wiring.inputs(process) {
            let unread = unread
                .iter()
                .find(|(of, _)| *of == stream)
                .map_or(0, |(_, bytes)| *bytes);
            self.routes[route].send(Command::DestinationDown(i, for_good, unread));
        }
        self.note_ended(process);
        self.changed();
    }

    fn process_changed(&self, process: &ProcessId) {
        let stopped = self
            .wiring
            .place(process)
            .is_some_and(|place| self.processes[place].state() == ProcessState::Stopped);
        // While the daemon stops, it has told of its end for good, and that is not taken back.
        if stopped && self.stopping.borrow().is_none() {
            self.tell_down(process);
        }
        self.start_waiting();
        self.changed();
    }

    /// A process that does not run and is not about to: its routes have tried it.
    pub fn tell_down(&self, process: &ProcessId) {
        for (_, (route, i)) in self.wiring.outputs(process) {
            self.routes[route].send(Command::SourceDown(i, false));
        }
        for (_, (route, i)) in self.wiring.inputs(process) {
            self.routes[route].send(Command::DestinationDown(i, false, 0));
        }
    }

    /// A route tells something that must not be lost.
    pub fn hear_route(&self, report: Report) {
        match report {
            Report::DestinationEnded {
                route,
                destination,
                life,
            } => {
                let Some(handle) = self.route(route.as_str()) else {
                    return;
                };
                let spec = &handle.spec.to[destination];
                if let Some((process, stream)) = endpoint::stream_of(&spec.endpoint)
                    && let Some(place) = self.wiring.place(process)
                {
                    self.processes[place].send(supervise::Command::InputEnded { stream, life });
                }
            }
            Report::KillGroup { process, life } => {
                if let Some(place) = self.wiring.place(&process) {
                    self.processes[place].send(supervise::Command::KillGroup { life });
                }
            }
            Report::Changed(_) => {}
        }
        self.changed();
    }

    /// A process that had ended is started by hand: its routes are opened again. An end that was told and has not come
    /// yet is taken back first, so that it cannot come between this and what is lent next.
    fn revive_routes_of(&self, process: &ProcessId) {
        let ends = self.wiring.outputs(process).chain(self.wiring.inputs(process));
        let routes: BTreeSet<usize> = ends.map(|(_, (route, _))| route).collect();
        let sides: Vec<(usize, Side)> = routes
            .into_iter()
            .flat_map(|route| SIDES.map(|side| (route, side)))
            .filter(|(route, side)| self.is_closed(*route) || self.waits_anew.borrow().contains(&(*route, *side)))
            .collect();
        self.tell_down(process);
        for (_, (route, i)) in self.wiring.outputs(process) {
            self.routes[route].send(Command::ReviveSource(i));
        }
        for (_, (route, i)) in self.wiring.inputs(process) {
            self.routes[route].send(Command::ReviveDestination(i));
        }
        for (route, side) in sides {
            self.tell_absent(route, side, self.wiring.place(process));
        }
    }

    /// Whether a route is closed, so that reopening it opens every end of it anew.
    pub fn is_closed(&self, route: usize) -> bool {
        self.routes[route].cell.with(|cell| cell.state == RouteState::Closed)
    }

    /// A closed route was reopened by hand.
    pub fn tell_all_absent(&self, route: usize) {
        for side in SIDES {
            self.tell_absent(route, side, None);
        }
    }

    /// A reopened route waits for all of its processes anew (it was opened for the one at the place `revived`). Those
    /// that have finished are not coming: where another end of the same side is there, it does not wait for them. Where
    /// none is, it waits for the whole side: somebody may start that next, and then the others of it are told.
    fn tell_absent(&self, route: usize, side: Side, revived: Option<usize>) {
        let absent = |end: &EndpointSpec| {
            let place = self.wiring.place(endpoint::stream_of(end)?.0)?;
            match self.processes[place].state() {
                _ if revived == Some(place) || self.is_coming(place) => None,
                ProcessState::Finished => Some(true),
                ProcessState::Failed => Some(self.exit_when_done),
                ProcessState::Stopped => Some(false),
                _ => None,
            }
        };
        let relay = &self.routes[route];
        let ends: Vec<Option<bool>> = match side {
            Side::Source => relay.spec.from.iter().map(|end| absent(&end.endpoint)).collect(),
            Side::Destination => relay.spec.to.iter().map(|end| absent(&end.endpoint)).collect(),
        };
        let nobody = ends.iter().all(|absent| *absent == Some(true));
        if nobody {
            self.waits_anew.borrow_mut().insert((route, side));
        } else {
            self.waits_anew.borrow_mut().remove(&(route, side));
        }
        for (i, absent) in ends.into_iter().enumerate() {
            let for_good = absent.map(|for_good| for_good && !nobody);
            match (for_good, side) {
                (None, _) => {}
                (Some(for_good), Side::Source) => relay.send(Command::SourceDown(i, for_good)),
                (Some(for_good), Side::Destination) => relay.send(Command::DestinationDown(i, for_good, 0)),
            }
        }
    }
}
