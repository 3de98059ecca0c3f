//! The table: every cell of state × event has its place, so that a new event does not compile until somebody has
//! thought about it in each state. What a cell does is in `moves`.

use super::{Event, Facts, Process, State, Step, Then};
use crate::model::{Fault, ProcessSpec};

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
        use State::{BackingOff, Failed, Finished, Ready, Starting, Stopped, Stopping, Waiting};
        match (state, event) {
            (Stopped, Event::Start | Event::Restart) => self.start_by_hand(Stopped),
            (Stopped, Event::Await) => self.wait(),
            (Stopped, Event::Proceed | Event::Stop) => Stopped,
            (Stopped, Event::BeginShutdown | Event::Shutdown { .. }) => self.close_at_rest(Stopped),
            (Stopped, Event::InputEnded) => Stopped,
            (Stopped, Event::Spawned { .. } | Event::NotSpawned { .. } | Event::Executed { .. }) => Stopped,
            (Stopped, Event::Ready { .. } | Event::Alive { .. } | Event::Hung { .. }) => Stopped,
            (Stopped, Event::Extend { .. } | Event::Exited { .. } | Event::GroupGone | Event::Due) => Stopped,

            (Waiting, Event::Start | Event::Restart) => self.start_by_hand(Waiting),
            (Waiting, Event::Await) => Waiting,
            (Waiting, Event::Proceed) => self.start(),
            (Waiting, Event::Stop) => self.rest(),
            (Waiting, Event::BeginShutdown | Event::Shutdown { .. }) => self.finish_at_shutdown(),
            (Waiting, Event::InputEnded) => Waiting,
            (Waiting, Event::Spawned { .. } | Event::NotSpawned { .. } | Event::Executed { .. }) => Waiting,
            (Waiting, Event::Ready { .. } | Event::Alive { .. } | Event::Hung { .. }) => Waiting,
            (Waiting, Event::Extend { .. } | Event::Exited { .. } | Event::GroupGone | Event::Due) => Waiting,

            (Starting(start), Event::Start | Event::Await | Event::Proceed) => Starting(start),
            (Starting(start), Event::Stop) => self.ask(Some(start.life), Then::Rest),
            (Starting(start), Event::Restart) => self.restart(Starting(start), start.life),
            (Starting(start), Event::BeginShutdown) => self.begin_shutdown(Starting(start)),
            (Starting(start), Event::Shutdown { kill }) => self.shut_down(start.life, kill),
            (Starting(start), Event::InputEnded) => Starting(start),
            (Starting(start), Event::Spawned { pid, .. }) => self.spawned_to_start(start, pid),
            (Starting(_), Event::NotSpawned { text, transient, .. }) => self.not_executed(text, transient),
            (Starting(start), Event::Executed { .. }) => self.executed(start),
            (Starting(start), Event::Ready { .. }) => self.ready(start),
            (Starting(start), Event::Alive { .. }) => Starting(start),
            (Starting(start), Event::Hung { .. }) => self.fault(start.life, Fault::Triggered),
            (Starting(start), Event::Extend { by, .. }) => self.extend_start(start, by),
            (Starting(start), Event::Exited { exit, transient, .. }) => self.exited(start.life, exit, transient),
            (Starting(start), Event::GroupGone) => Starting(start),
            (Starting(start), Event::Due) => self.not_ready(start),

            (Ready(run), Event::Start | Event::Await | Event::Proceed) => Ready(run),
            (Ready(run), Event::Stop) => self.ask(Some(run.life), Then::Rest),
            (Ready(run), Event::Restart) => self.restart(Ready(run), run.life),
            (Ready(run), Event::BeginShutdown) => self.begin_shutdown(Ready(run)),
            (Ready(run), Event::Shutdown { kill }) => self.shut_down(run.life, kill),
            (Ready(run), Event::InputEnded) => Ready(run),
            (Ready(run), Event::Spawned { .. } | Event::NotSpawned { .. } | Event::Executed { .. }) => Ready(run),
            (Ready(run), Event::Ready { .. }) => Ready(run),
            (Ready(run), Event::Alive { .. }) => self.alive(run),
            (Ready(run), Event::Hung { .. }) => self.fault(run.life, Fault::Triggered),
            (Ready(run), Event::Extend { .. }) => Ready(run),
            (Ready(run), Event::Exited { exit, transient, .. }) => self.exited(run.life, exit, transient),
            (Ready(run), Event::GroupGone) => Ready(run),
            (Ready(run), Event::Due) => self.silent(run),

            (BackingOff { due }, Event::Start | Event::Restart) => self.start_by_hand(BackingOff { due }),
            (BackingOff { due }, Event::Await | Event::Proceed) => BackingOff { due },
            (BackingOff { .. }, Event::Stop) if self.facts.group_lives => self.ask(None, Then::Rest),
            (BackingOff { .. }, Event::Stop) => self.rest(),
            (BackingOff { .. }, Event::BeginShutdown | Event::Shutdown { .. }) => self.finish_at_shutdown(),
            (BackingOff { due }, Event::InputEnded) => self.unless_spent(BackingOff { due }),
            (BackingOff { due }, Event::Spawned { .. } | Event::NotSpawned { .. }) => BackingOff { due },
            (BackingOff { due }, Event::Executed { .. } | Event::Exited { .. } | Event::GroupGone) => {
                BackingOff { due }
            }
            (BackingOff { due }, Event::Ready { .. } | Event::Alive { .. }) => BackingOff { due },
            (BackingOff { due }, Event::Hung { .. } | Event::Extend { .. }) => BackingOff { due },
            (BackingOff { due }, Event::Due) => self.retry(due),

            (Stopping(stop), Event::Start | Event::Restart) => self.redirect(stop, Then::Start),
            (Stopping(stop), Event::Await | Event::Proceed) => Stopping(stop),
            (Stopping(stop), Event::Stop) => self.redirect(stop, Then::Rest),
            (Stopping(stop), Event::BeginShutdown) => self.hurry(stop, false),
            (Stopping(stop), Event::Shutdown { kill }) => self.hurry(stop, kill),
            (Stopping(stop), Event::InputEnded) => Stopping(stop),
            (Stopping(stop), Event::Spawned { pid, .. }) => self.spawned_while_stopping(stop, pid),
            (Stopping(stop), Event::NotSpawned { text, .. }) => self.stopped_unspawned(stop, text),
            (Stopping(stop), Event::Executed { .. }) => self.executed_while_stopping(stop),
            (Stopping(stop), Event::Ready { .. } | Event::Alive { .. } | Event::Hung { .. }) => Stopping(stop),
            (Stopping(stop), Event::Extend { by, .. }) => self.extend_stop(stop, by),
            (Stopping(stop), Event::Exited { exit, .. }) => self.exited_while_stopping(stop, exit),
            (Stopping(stop), Event::GroupGone) => self.group_gone(stop),
            (Stopping(stop), Event::Due) => self.escalate(stop),

            (Finished, Event::Start | Event::Restart) => self.start_by_hand(Finished),
            (Finished, Event::Await | Event::Proceed | Event::Stop) => Finished,
            // Its pipes were closed and its end was told when it finished.
            (Finished, Event::BeginShutdown | Event::Shutdown { .. }) => self.begin_shutdown(Finished),
            (Finished, Event::InputEnded) => Finished,
            (Finished, Event::Spawned { .. } | Event::NotSpawned { .. } | Event::Executed { .. }) => Finished,
            (Finished, Event::Ready { .. } | Event::Alive { .. } | Event::Hung { .. }) => Finished,
            (Finished, Event::Extend { .. } | Event::Exited { .. } | Event::GroupGone | Event::Due) => Finished,

            (Failed { text }, Event::Start | Event::Restart) => self.start_by_hand(Failed { text }),
            (Failed { text }, Event::Await | Event::Proceed | Event::Stop) => Failed { text },
            (Failed { text }, Event::BeginShutdown | Event::Shutdown { .. }) => self.close_at_rest(Failed { text }),
            (Failed { text }, Event::InputEnded) => Failed { text },
            (Failed { text }, Event::Spawned { .. } | Event::NotSpawned { .. }) => Failed { text },
            (Failed { text }, Event::Executed { .. } | Event::Exited { .. }) => Failed { text },
            (Failed { text }, Event::Ready { .. } | Event::Alive { .. }) => Failed { text },
            (Failed { text }, Event::Hung { .. } | Event::Extend { .. }) => Failed { text },
            (Failed { text }, Event::GroupGone | Event::Due) => Failed { text },
        }
    }
}
