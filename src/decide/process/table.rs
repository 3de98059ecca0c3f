//! The table: every cell of state × event has its place, so that a new event does not compile until somebody has
//! thought about it in each state. What a cell does is in `moves`.

use super::{Event, Facts, Process, State, Step, Then};
use crate::model::ProcessSpec;

/// One event being taken.
pub(super) struct Turn<'a> {
    pub(super) process: &'a mut Process,
    pub(super) spec: &'a ProcessSpec,
    pub(super) facts: Facts,
    pub(super) step: &'a mut Step,
}

impl Turn<'_> {
    #[allow(clippy::match_same_arms, clippy::too_many_lines)] // one arm a cell: the table is the point
    pub(super) fn take(&mut self, state: State, event: Event) -> State {
        use State::{BackingOff, Failed, Finished, Ready, Starting, Stopped, Stopping};
        match (state, event) {
            (Stopped, Event::Start | Event::Restart) => self.start_by_hand(Stopped),
            (Stopped, Event::Stop) => Stopped,
            (Stopped, Event::BeginShutdown | Event::Shutdown { .. }) => self.close_at_rest(Stopped),
            (Stopped, Event::InputEnded) => Stopped,
            (Stopped, Event::Spawned { .. } | Event::NotSpawned { .. } | Event::Executed { .. }) => Stopped,
            (Stopped, Event::Exited { .. } | Event::GroupGone | Event::Due) => Stopped,

            (Starting(life), Event::Start) => Starting(life),
            (Starting(life), Event::Stop) => self.ask(Some(life), Then::Rest),
            (Starting(life), Event::Restart) => self.restart(Starting(life), life),
            (Starting(life), Event::BeginShutdown) => self.begin_shutdown(Starting(life)),
            (Starting(life), Event::Shutdown { kill }) => self.shut_down(life, kill),
            (Starting(life), Event::InputEnded) => Starting(life),
            (Starting(life), Event::Spawned { pid, .. }) => Starting(self.spawned(life, pid)),
            (Starting(_), Event::NotSpawned { text, transient, .. }) => self.not_executed(text, transient),
            (Starting(life), Event::Executed { .. }) => self.executed(life),
            (Starting(life), Event::Exited { exit, transient, .. }) => self.exited(life, exit, transient),
            (Starting(life), Event::GroupGone | Event::Due) => Starting(life),

            (Ready(life), Event::Start) => Ready(life),
            (Ready(life), Event::Stop) => self.ask(Some(life), Then::Rest),
            (Ready(life), Event::Restart) => self.restart(Ready(life), life),
            (Ready(life), Event::BeginShutdown) => self.begin_shutdown(Ready(life)),
            (Ready(life), Event::Shutdown { kill }) => self.shut_down(life, kill),
            (Ready(life), Event::InputEnded) => Ready(life),
            (Ready(life), Event::Spawned { .. } | Event::NotSpawned { .. } | Event::Executed { .. }) => Ready(life),
            (Ready(life), Event::Exited { exit, transient, .. }) => self.exited(life, exit, transient),
            (Ready(life), Event::GroupGone | Event::Due) => Ready(life),

            (BackingOff { due }, Event::Start | Event::Restart) => self.start_by_hand(BackingOff { due }),
            (BackingOff { .. }, Event::Stop) if self.facts.group_lives => self.ask(None, Then::Rest),
            (BackingOff { .. }, Event::Stop) => self.rest(),
            (BackingOff { .. }, Event::BeginShutdown | Event::Shutdown { .. }) => self.finish_at_shutdown(),
            (BackingOff { due }, Event::InputEnded) => self.unless_spent(BackingOff { due }),
            (BackingOff { due }, Event::Spawned { .. } | Event::NotSpawned { .. }) => BackingOff { due },
            (BackingOff { due }, Event::Executed { .. } | Event::Exited { .. } | Event::GroupGone) => {
                BackingOff { due }
            }
            (BackingOff { due }, Event::Due) => self.retry(due),

            (Stopping(stop), Event::Start | Event::Restart) => self.redirect(stop, Then::Start),
            (Stopping(stop), Event::Stop) => self.redirect(stop, Then::Rest),
            (Stopping(stop), Event::BeginShutdown) => self.hurry(stop, false),
            (Stopping(stop), Event::Shutdown { kill }) => self.hurry(stop, kill),
            (Stopping(stop), Event::InputEnded) => Stopping(stop),
            (Stopping(stop), Event::Spawned { pid, .. }) => self.spawned_while_stopping(stop, pid),
            (Stopping(stop), Event::NotSpawned { text, .. }) => self.stopped_unspawned(stop, text),
            (Stopping(stop), Event::Executed { .. }) => self.executed_while_stopping(stop),
            (Stopping(stop), Event::Exited { exit, .. }) => self.exited_while_stopping(stop, &exit),
            (Stopping(stop), Event::GroupGone) => self.group_gone(stop),
            (Stopping(stop), Event::Due) => self.escalate(stop),

            (Finished, Event::Start | Event::Restart) => self.start_by_hand(Finished),
            (Finished, Event::Stop) => Finished,
            // Its pipes were closed and its end was told when it finished.
            (Finished, Event::BeginShutdown | Event::Shutdown { .. }) => self.begin_shutdown(Finished),
            (Finished, Event::InputEnded) => Finished,
            (Finished, Event::Spawned { .. } | Event::NotSpawned { .. } | Event::Executed { .. }) => Finished,
            (Finished, Event::Exited { .. } | Event::GroupGone | Event::Due) => Finished,

            (Failed { text }, Event::Start | Event::Restart) => self.start_by_hand(Failed { text }),
            (Failed { text }, Event::Stop) => Failed { text },
            (Failed { text }, Event::BeginShutdown | Event::Shutdown { .. }) => self.close_at_rest(Failed { text }),
            (Failed { text }, Event::InputEnded) => Failed { text },
            (Failed { text }, Event::Spawned { .. } | Event::NotSpawned { .. }) => Failed { text },
            (Failed { text }, Event::Executed { .. } | Event::Exited { .. }) => Failed { text },
            (Failed { text }, Event::GroupGone | Event::Due) => Failed { text },
        }
    }
}
