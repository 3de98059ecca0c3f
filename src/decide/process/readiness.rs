//! When a life counts as ready, and what comes of one that is not in time or no longer says that it is alive.

use std::time::Duration;

use super::table::Turn;
use super::{Life, Run, Start, State, Stop, Then};
use crate::model::{EventDetail, Exit, Fault, Readiness};

impl Turn<'_> {
    pub(super) fn wait(&mut self) -> State {
        if self.process.shutting_down {
            return State::Stopped;
        }
        self.step.changed = true;
        State::Waiting
    }

    pub(super) fn spawned_to_start(&mut self, start: Start, pid: i32) -> State {
        let life = self.spawned(start.life, pid);
        let ready_by = Some(self.facts.now + self.spec.ready_timeout);
        State::Starting(Start { life, ready_by })
    }

    pub(super) fn executed(&mut self, start: Start) -> State {
        if self.spec.ready == Readiness::Spawned {
            return self.ready(start);
        }
        let life = self.tell_started(start.life);
        State::Starting(Start { life, ..start })
    }

    /// Word of it may overtake the word that it was executed.
    pub(super) fn ready(&mut self, start: Start) -> State {
        let life = self.tell_started(start.life);
        self.tell(EventDetail::ProcessReady);
        self.process.ready_life = self.process.lives;
        self.alive(Run { life, alive_by: None })
    }

    pub(super) fn alive(&mut self, run: Run) -> State {
        let alive_by = self.spec.watchdog.map(|every| self.facts.now + every);
        State::Ready(Run { alive_by, ..run })
    }

    pub(super) fn extend_start(&mut self, start: Start, by: Duration) -> State {
        let ready_by = start.ready_by.map(|ready_by| ready_by.max(self.facts.now + by));
        State::Starting(Start { ready_by, ..start })
    }

    /// The daemon's own end is not put off: it has a deadline for all.
    pub(super) fn extend_stop(&mut self, stop: Stop, by: Duration) -> State {
        if stop.killed || self.process.shutting_down {
            return State::Stopping(stop);
        }
        let deadline = stop.deadline.max(self.facts.now + by);
        State::Stopping(Stop { deadline, ..stop })
    }

    pub(super) fn not_ready(&mut self, start: Start) -> State {
        match start.ready_by {
            Some(ready_by) if self.facts.now >= ready_by => {
                self.fault(start.life, Fault::NotReady(self.spec.ready_timeout))
            }
            _ => State::Starting(start),
        }
    }

    pub(super) fn silent(&mut self, run: Run) -> State {
        match (run.alive_by, self.spec.watchdog) {
            (Some(alive_by), Some(every)) if self.facts.now >= alive_by => self.fault(run.life, Fault::Silent(every)),
            _ => State::Ready(run),
        }
    }

    pub(super) fn fault(&mut self, life: Life, fault: Fault) -> State {
        self.ask_for(Some(life), Then::Policy, Some(fault))
    }

    /// The stop for a fault is over.
    pub(super) fn after_fault(&mut self, fault: Option<Fault>) -> State {
        let exit = match self.process.last_exit.clone() {
            // What could not even be forked, while it was being given up.
            Some(Exit::NotExecuted(text)) => return self.not_executed(text, true),
            Some(exit) => exit,
            None => Exit::NotExecuted("nobody knows how it ended".to_owned()),
        };
        let ran = match (fault, self.process.started_at) {
            // However long it had: it has not begun to run.
            (Some(Fault::NotReady(_)) | None, _) | (_, None) => Duration::ZERO,
            (Some(Fault::Silent(_) | Fault::Triggered), Some(since)) => self.facts.now.since(since),
        };
        self.after(&exit, ran)
    }
}
