//! Carries out what the control plane commands.

use std::sync::Arc;

use super::destination::{Destination, Leaves};
use super::handover::Freeze;
use super::message::{Command, DestinationCommand, Reopening, SourceCommand};
use super::route::RelayedRoute;
use crate::decide::route::{DestinationPhase, Event, SourcePhase};
use crate::endpoint::ends::{GivenBack, Lent};

impl RelayedRoute {
    /// Up to one that lets it rest: what comes after that waits.
    pub(super) fn obey_all(&mut self) {
        while self.freezing.is_none()
            && let Some(command) = self.next_command()
        {
            self.obey(command);
        }
    }

    pub(super) fn obey(&mut self, command: Command) {
        // A caller that has gone does not hear the answer; the command holds all the same.
        match command {
            Command::Pause(reply) => self.answer(&Event::Pause, reply),
            // It is gone as soon as it is closed, and nothing of it is opened again.
            Command::Resume(reply) if self.is_closing() => {
                let _ = reply.send(false);
            }
            Command::Resume(reply) => {
                self.answer(&Event::Resume, reply);
                self.reopen_revived();
            }
            Command::Drain(deadline, reply) => self.answer(&Event::Drain(deadline), reply),
            Command::Abort(cause, reply) => self.answer(&Event::Abort(cause), reply),
            Command::Reopen(reply) => {
                let _ = reply.send(self.reopen());
            }
            Command::Source(name, command) => match self.sources.iter().position(|source| source.name == name) {
                Some(i) => self.obey_of_source(i, command),
                None => self.put_off(Command::Source(name, command)),
            },
            Command::Destination(name, command) => match self.destinations.iter().position(|to| to.name == name) {
                Some(i) => self.obey_of_destination(i, command),
                None => self.put_off(Command::Destination(name, command)),
            },
            Command::Retune(spec) => self.retune(spec),
            Command::Rewire(spec, leave, begun) => self.begin_rewiring(spec, leave, begun),
            Command::Changing(changing) => drop(self.tell(&Event::Changing(changing))),
            Command::Close(leave) => self.begin_closing(leave),
            Command::Freeze { reply, thaw } => self.freezing = Some(Freeze { reply, thaw }),
            Command::Stop => self.stop = true,
        }
    }

    fn obey_of_source(&mut self, i: usize, command: SourceCommand) {
        let begins_again = self.is_closing() && self.machine.source(i).has_ended();
        let source = &mut self.sources[i];
        match command {
            SourceCommand::Lend(lent) => {
                if begins_again {
                    // For the next route: a process that had finished was started by hand.
                    source.kind.revive();
                }
                source.put_away_what_is_empty();
                source.kind.lend(lent);
            }
            SourceCommand::Exited { life, pid, deadline } => {
                source.kind.exited(life, pid, deadline);
                self.drain_to_end(i);
            }
            SourceCommand::Down(for_good) => source.kind.down(for_good),
            SourceCommand::Revive if self.is_closing() => {}
            SourceCommand::Revive => {
                self.tell(&Event::SourceRevived(i));
                self.reopen_revived();
            }
        }
    }

    fn obey_of_destination(&mut self, i: usize, command: DestinationCommand) {
        match command {
            DestinationCommand::Lend(lent) => self.lend_destination(i, lent),
            DestinationCommand::Down(for_good, unread) => {
                let lost = self.destinations[i].kind.down(for_good, unread);
                self.destinations[i].lost_in_pipe(lost);
            }
            DestinationCommand::Revive if self.is_closing() => {}
            DestinationCommand::Revive => {
                self.tell(&Event::DestinationRevived(i));
                self.reopen_revived();
            }
        }
    }

    fn answer(&mut self, event: &Event, reply: tokio::sync::oneshot::Sender<bool>) {
        let changed = self.tell(event);
        self.look_at_pauses();
        // Whoever asks next sees it done.
        self.untold.changed = true;
        self.publish();
        let _ = reply.send(changed);
    }

    fn reopen(&mut self) -> Vec<Reopening> {
        let begin = |destination: &mut Destination| {
            Some(Reopening {
                destination: Arc::clone(&destination.name),
                reopened: destination.kind.reopen()?,
            })
        };
        self.destinations.iter_mut().filter_map(begin).collect()
    }

    fn lend_destination(&mut self, i: usize, lent: Lent) {
        if let Some(Leaves::GivenBack(given_back)) = &mut self.destinations[i].leaves
            && self.machine.destination(i).has_ended()
        {
            // The process has begun another life meanwhile.
            *given_back = Some(GivenBack { lent, exited: None });
        } else if self.machine.destination(i).has_ended() {
            // Nothing more will be written: the consumer is to see the end of its input, not to wait.
            let Lent { life, end, .. } = lent;
            drop(end);
            self.report_ended_input(i, life);
        } else {
            self.destinations[i].kind.lend(lent);
        }
    }

    /// A source that is being drained when its process exits is read to its end.
    fn drain_to_end(&mut self, i: usize) {
        let source = &mut self.sources[i];
        if matches!(self.machine.source(i), SourcePhase::Draining) && source.kind.drains_to_end() && !source.goes_on {
            source.limit = None;
            source.put_away_what_is_empty();
        }
    }

    /// Makes ready what the machine wants opened again.
    pub(super) fn reopen_revived(&mut self) {
        for i in 0..self.sources.len() {
            let source = &mut self.sources[i];
            if matches!(self.machine.source(i), SourcePhase::Unopened) && source.close_cause.take().is_some() {
                source.kind.revive();
                self.give_up_partial(i);
                let source = &mut self.sources[i];
                if source.end.is_some() {
                    // A drained one was kept open.
                    self.tell(&Event::SourceOpened(i));
                }
            }
        }
        for i in 0..self.destinations.len() {
            let destination = &mut self.destinations[i];
            if matches!(self.machine.destination(i), DestinationPhase::Unopened) && destination.close_cause.is_some() {
                destination.revive(self.accepted);
            }
        }
    }
}
