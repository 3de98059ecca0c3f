//! The life of one supervised process: which phase it is in, and what each event does to it. Pure; depends on `model`
//! and `decide::restart` only. `docs/lifecycle.md` has the same table in words; `supervise` carries the actions out.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::restart::{Backoff, Jitter};
use crate::model::{EventDetail, Exit, Fault, Moment, ProcessSpec, ProcessState, SuccessExit};

mod moves;
mod readiness;
mod table;
#[cfg(test)]
pub(crate) mod tests;

/// How long after SIGKILL the rest of a group is waited for, and how often a leader that does not die is killed again.
pub const KILL_GRACE: Duration = Duration::from_secs(2);

/// One run of the program, from fork to reap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Life {
    /// From the fork on.
    pub pid: Option<i32>,
    /// When it was forked; until then, when it was begun.
    pub since: Moment,
    /// It has become its program, and was told as started.
    pub told: bool,
}

/// A life that is not ready yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// Which.
    pub life: Life,
    /// When it has to be ready; from the fork on. What comes before that is not its time: its user is looked up, and as
    /// often as a look-up that hangs were given up, another thread would hang in the next.
    pub ready_by: Option<Moment>,
}

/// A life that is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Which.
    pub life: Life,
    /// With a watchdog: when it has to have said the next WATCHDOG=1.
    pub alive_by: Option<Moment>,
}

/// What comes when a stop is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Then {
    /// `stopped`.
    Rest,
    /// A new life.
    Start,
    /// What comes after an exit that nobody has asked for.
    Policy,
}

/// A stop under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    /// The process that was started; `None` once it is reaped and only others of its group are left.
    pub leader: Option<Life>,
    /// When SIGKILL is due, or after it the next look.
    pub deadline: Moment,
    /// SIGKILL was sent.
    pub killed: bool,
    /// What comes next.
    pub then: Then,
    /// Nobody has asked for it: it is stopped for this.
    pub fault: Option<Fault>,
}

/// Where a process is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// Down: never started, or stopped by an operator.
    Stopped,
    /// For those that it feeds to be ready.
    Waiting,
    /// Forked, or about to be; not ready.
    Starting(Start),
    /// It runs, and is ready.
    Ready(Run),
    /// It exited and starts again at `due`.
    BackingOff {
        /// When.
        due: Moment,
    },
    /// It was told to stop.
    Stopping(Stop),
    /// By policy it runs no more.
    Finished,
    /// Not before somebody starts it by hand.
    Failed {
        /// Why.
        text: String,
    },
}

/// What happens to a process. The number is that of the life it is about: one of an earlier life is ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Start it when those that it feeds are ready.
    Await,
    /// They are, or will not be.
    Proceed,
    /// Start it, unless it runs.
    Start,
    /// Stop it, and leave it down.
    Stop,
    /// Stop it if it runs, and start it.
    Restart,
    /// No life begins any more.
    BeginShutdown,
    /// Stop it for good; at once with `kill`.
    Shutdown {
        /// SIGKILL now.
        kill: bool,
    },
    /// A stream into it has ended for good.
    InputEnded,
    /// It was forked.
    Spawned {
        /// Of which life.
        life: u64,
        /// Its process id.
        pid: i32,
    },
    /// There is no child.
    NotSpawned {
        /// Of which life.
        life: u64,
        /// What was tried, on what, and what to do.
        text: String,
        /// It may pass by itself.
        transient: bool,
    },
    /// It has become its program.
    Executed {
        /// Of which life.
        life: u64,
    },
    /// It says that it is ready.
    Ready {
        /// Of which life.
        life: u64,
    },
    /// It says that it is not hung.
    Alive {
        /// Of which life.
        life: u64,
    },
    /// It says that it is as good as hung.
    Hung {
        /// Of which life.
        life: u64,
    },
    /// It wants more time to be ready, or to stop.
    Extend {
        /// Of which life.
        life: u64,
        /// From now on.
        by: Duration,
    },
    /// It has exited and is reaped.
    Exited {
        /// Of which life.
        life: u64,
        /// How.
        exit: Exit,
        /// With [`Exit::NotExecuted`]: it may pass by itself.
        transient: bool,
    },
    /// After the exit: nobody of its group is left.
    GroupGone,
    /// The moment of [`Process::due`] may be there.
    Due,
}

/// What is known besides the event.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// The time.
    pub now: Moment,
    /// For the next delay.
    pub jitter: Jitter,
    /// It has inputs, all have ended for good, and none holds an unread byte.
    pub input_spent: bool,
    /// Others of a life's group run on after its exit.
    pub group_lives: bool,
}

/// What is to be done, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Begin this life, and answer with `Spawned` or `NotSpawned`.
    Spawn {
        /// Its number.
        life: u64,
    },
    /// Send stop-signal and then SIGCONT to its group, also to what is left of earlier ones.
    Ask,
    /// Send SIGKILL to the same.
    Kill,
    /// Send SIGABRT and then SIGCONT to the process itself.
    Abort,
    /// Tell the world.
    Tell(EventDetail),
    /// It had ended and is started by hand: what ended with it opens again. Comes before the life.
    Revive,
    /// No more lives (until an operator starts it); with `close` the kept input pipes are given up.
    End {
        /// By policy or at shutdown, and not because it failed.
        close: bool,
    },
}

/// The answer to an event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// What is to be done.
    pub actions: Vec<Action>,
    /// For a command: whether it changed anything.
    pub changed: bool,
}

/// One process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Where it is.
    pub state: State,
    /// Lives begun; the number of the last.
    pub lives: u64,
    /// Lives forked.
    pub forks: u64,
    /// When the last life was forked.
    pub started_at: Option<Moment>,
    /// How the last life ended.
    pub last_exit: Option<Exit>,
    /// The last life that was ready; 0 for none.
    pub ready_life: u64,
    /// The daemon stops.
    pub shutting_down: bool,
    backoff: Backoff,
}

impl Default for Process {
    fn default() -> Process {
        Process {
            state: State::Stopped,
            lives: 0,
            forks: 0,
            started_at: None,
            last_exit: None,
            ready_life: 0,
            shutting_down: false,
            backoff: Backoff::default(),
        }
    }
}

impl Process {
    /// Takes an event.
    pub fn on(&mut self, spec: &ProcessSpec, event: Event, facts: Facts) -> Step {
        let mut step = Step::default();
        if event.life().is_some_and(|life| life != self.lives) {
            return step;
        }
        let state = std::mem::replace(&mut self.state, State::Stopped);
        self.state = table::Turn {
            process: self,
            spec,
            facts,
            step: &mut step,
        }
        .take(state, event);
        step
    }

    /// When [`Event::Due`] is wanted.
    #[must_use]
    pub fn due(&self) -> Option<Moment> {
        match &self.state {
            State::BackingOff { due } => Some(*due),
            State::Starting(start) => start.ready_by,
            State::Ready(run) => run.alive_by,
            State::Stopping(stop) => Some(stop.deadline),
            State::Stopped | State::Waiting | State::Finished | State::Failed { .. } => None,
        }
    }

    /// Whether [`Event::GroupGone`] is wanted as soon as it is true.
    #[must_use]
    pub fn awaits_group(&self) -> bool {
        matches!(self.state, State::Stopping(Stop { leader: None, .. }))
    }

    /// Whether nothing of it runs and nothing will by itself.
    #[must_use]
    pub fn at_rest(&self) -> bool {
        matches!(self.state, State::Stopped | State::Finished | State::Failed { .. })
    }

    /// The life that is not reaped yet.
    #[must_use]
    pub fn life(&self) -> Option<Life> {
        match &self.state {
            State::Starting(start) => Some(start.life),
            State::Ready(run) => Some(run.life),
            State::Stopping(stop) => stop.leader,
            State::Stopped | State::Waiting | State::BackingOff { .. } | State::Finished | State::Failed { .. } => None,
        }
    }

    /// The state as shown.
    #[must_use]
    pub fn shown(&self) -> ProcessState {
        match &self.state {
            State::Stopped => ProcessState::Stopped,
            State::Waiting => ProcessState::Waiting,
            State::Starting(_) => ProcessState::Starting,
            State::Ready(_) => ProcessState::Ready,
            State::BackingOff { .. } => ProcessState::BackingOff,
            State::Stopping(_) => ProcessState::Stopping,
            State::Finished => ProcessState::Finished,
            State::Failed { .. } => ProcessState::Failed,
        }
    }

    /// Whether it is meant to run.
    #[must_use]
    pub fn wanted_up(&self) -> bool {
        match &self.state {
            State::Waiting | State::Starting(_) | State::Ready(_) | State::BackingOff { .. } | State::Failed { .. } => {
                true
            }
            State::Stopping(stop) => stop.then != Then::Rest,
            State::Stopped | State::Finished => false,
        }
    }
}

impl Event {
    fn life(&self) -> Option<u64> {
        match self {
            Event::Spawned { life, .. }
            | Event::NotSpawned { life, .. }
            | Event::Executed { life }
            | Event::Ready { life }
            | Event::Alive { life }
            | Event::Hung { life }
            | Event::Extend { life, .. }
            | Event::Exited { life, .. } => Some(*life),
            Event::Await
            | Event::Proceed
            | Event::Start
            | Event::Stop
            | Event::Restart
            | Event::BeginShutdown
            | Event::Shutdown { .. }
            | Event::InputEnded
            | Event::GroupGone
            | Event::Due => None,
        }
    }
}

/// Whether an exit is no failure, by `success-exit`.
#[must_use]
pub fn is_success(spec: &ProcessSpec, exit: &Exit) -> bool {
    spec.success_exit.iter().any(|success| match (success, exit) {
        (SuccessExit::Code(wanted), Exit::Code(code)) => wanted == code,
        (SuccessExit::Signal(wanted), Exit::Signal { name, .. }) => wanted == name,
        _ => false,
    })
}
