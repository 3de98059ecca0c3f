//! What the cells of the table do.

use std::time::Duration;

use super::table::Turn;
use super::{Action, KILL_GRACE, Life, Start, State, Stop, Then, is_success};
use crate::decide::restart::{Backoff, Verdict};
use crate::model::{EventDetail, Exit, Fault, Moment, Restart};

impl Turn<'_> {
    pub(super) fn act(&mut self, action: Action) {
        self.step.actions.push(action);
    }

    pub(super) fn tell(&mut self, detail: EventDetail) {
        self.act(Action::Tell(detail));
    }

    pub(super) fn begin_shutdown(&mut self, state: State) -> State {
        self.process.shutting_down = true;
        state
    }

    /// The first word of shutdown to a process that is down: what its kept pipes hold is nobody's any more.
    pub(super) fn close_at_rest(&mut self, state: State) -> State {
        if !self.process.shutting_down {
            self.process.shutting_down = true;
            self.act(Action::End { close: true });
        }
        state
    }

    pub(super) fn start_by_hand(&mut self, state: State) -> State {
        if self.process.shutting_down {
            return state;
        }
        self.step.changed = true;
        self.process.backoff = Backoff::default();
        if matches!(state, State::Finished | State::Failed { .. }) {
            self.act(Action::Revive);
        }
        self.start()
    }

    pub(super) fn start(&mut self) -> State {
        self.process.lives += 1;
        let life = self.process.lives;
        self.act(Action::Spawn { life });
        State::Starting(Start {
            life: Life {
                pid: None,
                since: self.facts.now,
                told: false,
            },
            ready_by: None,
        })
    }

    pub(super) fn spawned(&mut self, life: Life, pid: i32) -> Life {
        self.process.forks += 1;
        let since = self.facts.now;
        self.process.started_at = Some(since);
        Life {
            pid: Some(pid),
            since,
            ..life
        }
    }

    /// Once in a life.
    pub(super) fn tell_started(&mut self, life: Life) -> Life {
        if let (Some(pid), false) = (life.pid, life.told) {
            self.tell(EventDetail::ProcessStarted { pid });
        }
        Life { told: true, ..life }
    }

    pub(super) fn tell_exited(&mut self, life: Life, exit: &Exit) {
        self.process.last_exit = Some(exit.clone());
        match (life.pid, exit) {
            // It never ran, so it has not exited either: what follows tells why.
            (_, Exit::NotExecuted(_)) | (None, _) => {}
            (Some(pid), exit) => self.tell(EventDetail::ProcessExited {
                pid,
                exit: exit.clone(),
            }),
        }
    }

    /// It has exited and nobody had told it to.
    pub(super) fn exited(&mut self, life: Life, exit: Exit, transient: bool) -> State {
        if let Exit::NotExecuted(text) = exit {
            return self.not_executed(text, transient);
        }
        self.tell_exited(life, &exit);
        self.after(&exit, self.facts.now.since(life.since))
    }

    /// What policy says after an exit that nobody has asked for, of a life of this length.
    pub(super) fn after(&mut self, exit: &Exit, ran: Duration) -> State {
        if self.process.shutting_down || self.facts.input_spent || !self.wants_restart(exit) {
            return self.finish();
        }
        let verdict = self
            .process
            .backoff
            .exited(self.spec, ran, self.facts.now, self.facts.jitter);
        match verdict {
            Verdict::After(delay) => self.back_off(delay),
            Verdict::Limit(count) => {
                let interval = self.spec.start_limit.interval;
                self.fail(format!(
                    "it ended early {count} times within {interval:?} (start-limit), the last time with {exit}; see what \
                     it printed, then start it by hand"
                ))
            }
        }
    }

    pub(super) fn not_executed(&mut self, text: String, transient: bool) -> State {
        self.process.last_exit = Some(Exit::NotExecuted(text.clone()));
        if !transient {
            return self.fail(text);
        }
        if self.process.shutting_down {
            return self.finish();
        }
        let delay = self.process.backoff.next(self.spec, self.facts.jitter);
        self.back_off(delay)
    }

    pub(super) fn wants_restart(&self, exit: &Exit) -> bool {
        match self.spec.restart {
            Restart::Always => true,
            Restart::OnFailure => !is_success(self.spec, exit),
            Restart::Never => false,
        }
    }

    pub(super) fn back_off(&mut self, delay: Duration) -> State {
        self.tell(EventDetail::ProcessBackingOff { next_start_in: delay });
        State::BackingOff {
            due: self.facts.now + delay,
        }
    }

    pub(super) fn retry(&mut self, due: Moment) -> State {
        if self.facts.now < due {
            State::BackingOff { due }
        } else if self.facts.input_spent {
            self.finish()
        } else {
            self.start()
        }
    }

    pub(super) fn unless_spent(&mut self, state: State) -> State {
        if self.facts.input_spent { self.finish() } else { state }
    }

    pub(super) fn finish(&mut self) -> State {
        self.tell(EventDetail::ProcessStopped);
        self.act(Action::End { close: true });
        State::Finished
    }

    pub(super) fn finish_at_shutdown(&mut self) -> State {
        self.process.shutting_down = true;
        self.finish()
    }

    pub(super) fn fail(&mut self, text: String) -> State {
        self.tell(EventDetail::ProcessFailed { text: text.clone() });
        self.act(Action::End {
            close: self.process.shutting_down,
        });
        State::Failed { text }
    }

    /// Down, by an operator or at shutdown. A stopped process's pipes are kept, unless nobody will start it again.
    pub(super) fn rest(&mut self) -> State {
        self.step.changed = true;
        self.tell(EventDetail::ProcessStopped);
        if self.process.shutting_down {
            self.act(Action::End { close: true });
        }
        State::Stopped
    }

    pub(super) fn ask(&mut self, leader: Option<Life>, then: Then) -> State {
        self.ask_for(leader, then, None)
    }

    pub(super) fn ask_for(&mut self, leader: Option<Life>, then: Then, fault: Option<Fault>) -> State {
        self.step.changed = true;
        let (signal, action) = match fault {
            Some(Fault::Silent(_) | Fault::Triggered) => ("SIGABRT".to_owned(), Action::Abort),
            Some(Fault::NotReady(_)) | None => (self.spec.stop_signal.name.clone(), Action::Ask),
        };
        self.tell(EventDetail::ProcessStopping { signal, fault });
        self.act(action);
        State::Stopping(Stop {
            leader,
            deadline: self.facts.now + self.spec.stop_timeout,
            killed: false,
            then,
            fault,
        })
    }

    pub(super) fn restart(&mut self, state: State, life: Life) -> State {
        if self.process.shutting_down {
            return state;
        }
        self.ask(Some(life), Then::Start)
    }

    pub(super) fn shut_down(&mut self, life: Life, kill: bool) -> State {
        self.process.shutting_down = true;
        if !kill {
            return self.ask(Some(life), Then::Rest);
        }
        self.kill(Stop {
            leader: Some(life),
            deadline: self.facts.now,
            killed: false,
            then: Then::Rest,
            fault: None,
        })
    }

    pub(super) fn kill(&mut self, stop: Stop) -> State {
        if !stop.killed {
            self.tell(EventDetail::ProcessStopping {
                signal: "SIGKILL".to_owned(),
                fault: stop.fault,
            });
        }
        self.act(Action::Kill);
        State::Stopping(Stop {
            deadline: self.facts.now + KILL_GRACE,
            killed: true,
            ..stop
        })
    }

    pub(super) fn redirect(&mut self, stop: Stop, then: Then) -> State {
        if self.process.shutting_down || stop.then == then {
            return State::Stopping(stop);
        }
        self.step.changed = true;
        State::Stopping(Stop { then, ..stop })
    }

    pub(super) fn hurry(&mut self, stop: Stop, kill: bool) -> State {
        self.process.shutting_down = true;
        // It may have asked for more than that, before.
        let deadline = match stop.killed {
            true => stop.deadline,
            false => stop.deadline.min(self.facts.now + self.spec.stop_timeout),
        };
        let stop = Stop {
            then: Then::Rest,
            deadline,
            ..stop
        };
        if kill && !stop.killed {
            self.kill(stop)
        } else {
            State::Stopping(stop)
        }
    }

    pub(super) fn spawned_while_stopping(&mut self, stop: Stop, pid: i32) -> State {
        let leader = stop.leader.map(|life| self.spawned(life, pid));
        // Nobody was there to hear the first call.
        self.act(if stop.killed { Action::Kill } else { Action::Ask });
        State::Stopping(Stop { leader, ..stop })
    }

    pub(super) fn stopped_unspawned(&mut self, stop: Stop, text: String) -> State {
        self.process.last_exit = Some(Exit::NotExecuted(text));
        self.conclude(stop)
    }

    pub(super) fn executed_while_stopping(&mut self, stop: Stop) -> State {
        let leader = stop.leader.map(|life| self.tell_started(life));
        State::Stopping(Stop { leader, ..stop })
    }

    pub(super) fn exited_while_stopping(&mut self, stop: Stop, exit: Exit) -> State {
        let exit = match stop.fault {
            Some(fault) if !matches!(exit, Exit::NotExecuted(_)) => Exit::Faulted {
                fault,
                exit: Box::new(exit),
            },
            _ => exit,
        };
        if let Some(life) = stop.leader {
            self.tell_exited(life, &exit);
        }
        if !self.facts.group_lives {
            return self.conclude(stop);
        }
        if stop.killed {
            // One that was forked while the others were being killed.
            self.act(Action::Kill);
        } else if matches!(stop.fault, Some(Fault::Silent(_) | Fault::Triggered)) {
            // SIGABRT was for the leader alone.
            self.act(Action::Ask);
        }
        State::Stopping(Stop { leader: None, ..stop })
    }

    pub(super) fn group_gone(&mut self, stop: Stop) -> State {
        match stop.leader {
            Some(_) => State::Stopping(stop),
            None => self.conclude(stop),
        }
    }

    pub(super) fn escalate(&mut self, stop: Stop) -> State {
        if self.facts.now < stop.deadline {
            return State::Stopping(stop);
        }
        match (stop.killed, stop.leader) {
            (false, _) | (true, Some(_)) => self.kill(stop),
            // Killed, and still there: in an uninterruptible wait. No reason to wait with it.
            (true, None) => self.conclude(stop),
        }
    }

    pub(super) fn conclude(&mut self, stop: Stop) -> State {
        match stop.then {
            Then::Start if !self.process.shutting_down => {
                self.process.backoff = Backoff::default();
                self.start()
            }
            Then::Policy if !self.process.shutting_down => self.after_fault(stop.fault),
            Then::Start | Then::Policy | Then::Rest => self.rest(),
        }
    }
}
