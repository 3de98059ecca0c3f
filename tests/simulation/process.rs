//! The life of a process against a world of children that execute or not, exit when they like, ignore signals, leave
//! others behind, and cannot be killed.

use std::time::Duration;

use sluiced::decide::process::{Action, Event, Facts, KILL_GRACE, Process, Step};
use sluiced::decide::restart::Jitter;
use sluiced::model::{
    EventDetail, Exit, Fault, Moment, Name, OutputPolicy, ProcessSpec, ProcessState, Readiness, Restart, StartLimit,
    StopSignal, SuccessExit,
};

use crate::random::{Random, seeds};

const STEPS: u32 = 400;
/// The most that a child asks for.
const EXTENSION: Duration = Duration::from_secs(20);

fn spec(random: &mut Random) -> ProcessSpec {
    let notifies = random.one_in(2);
    let restarts = [Restart::Always, Restart::OnFailure, Restart::Never];
    ProcessSpec {
        name: Name::new("p").unwrap(),
        command: vec!["p".to_owned()],
        working_directory: None,
        environment: Vec::new(),
        clear_environment: false,
        user: None,
        group: None,
        umask: None,
        no_new_privileges: false,
        limits: Vec::new(),
        nice: None,
        autostart: true,
        instances: None,
        restart: restarts[random.below(3) as usize],
        success_exit: vec![SuccessExit::Code(0)],
        restart_delay: Duration::from_millis(random.below(200)),
        restart_delay_max: Duration::from_secs(1 + random.below(30)),
        start_limit: StartLimit {
            burst: random.below(5) as u32,
            interval: Duration::from_secs(random.below(20)),
        },
        stop_signal: StopSignal {
            number: 15,
            name: "SIGTERM".to_owned(),
        },
        stop_timeout: Duration::from_millis(random.below(10_000)),
        ready: if notifies {
            Readiness::Notify
        } else {
            Readiness::Spawned
        },
        ready_timeout: Duration::from_millis(1 + random.below(10_000)),
        watchdog: (notifies && random.one_in(2)).then(|| Duration::from_millis(1 + random.below(5000))),
        keep_stdin: true,
        stdout: OutputPolicy::Log,
        stderr: OutputPolicy::Log,
    }
}

/// The child that is not reaped.
struct Child {
    life: u64,
    pid: i32,
    executed: bool,
    /// It has said that it is ready.
    said_ready: bool,
    /// When it last said that it is alive, or that it is ready.
    heard: Moment,
    killed: bool,
}

struct World {
    seed: u64,
    random: Random,
    spec: ProcessSpec,
    process: Process,
    now: Moment,
    child: Option<Child>,
    /// Before there is a child: its user is looked up for this life.
    looking_up: Option<u64>,
    /// Others of the group have outlived it.
    left_behind: bool,
    /// And do so whatever is sent to them.
    immortal: bool,
    input_spent: bool,
    /// Its end was told and its pipes are closed.
    closed: bool,
    /// Its end was told, and it was not revived since.
    ended: bool,
    /// It was told as started and not yet as exited.
    told_running: Option<i32>,
    /// When the stop that is under way began; none after a command to kill at once.
    asked_at: Option<Moment>,
    /// Somebody wanted it since it last came to rest, or it runs.
    wanted: bool,
    history: Vec<String>,
}

impl World {
    fn new(seed: u64) -> World {
        let mut random = Random::new(seed);
        World {
            seed,
            spec: spec(&mut random),
            random,
            process: Process::default(),
            now: Moment(1_000_000),
            child: None,
            looking_up: None,
            left_behind: false,
            immortal: false,
            input_spent: false,
            closed: false,
            ended: false,
            told_running: None,
            asked_at: None,
            wanted: false,
            history: Vec::new(),
        }
    }

    #[track_caller]
    fn hold(&self, holds: bool, what: &str) {
        assert!(
            holds,
            "{what}\nSIMULATION_SEED={}\n{:#?}\n{}",
            self.seed,
            self.process,
            self.history[self.history.len().saturating_sub(20)..].join("\n")
        );
    }

    fn on(&mut self, event: Event) -> Step {
        let facts = Facts {
            now: self.now,
            jitter: Jitter::new(self.random.below(201) as i16 - 100),
            input_spent: self.input_spent,
            group_lives: self.left_behind,
        };
        let before = self.process.shown();
        let was_shutting_down = self.process.shutting_down;
        let what = format!("{event:?}");
        let by_command = matches!(event, Event::Await | Event::Start | Event::Stop | Event::Restart);
        let (by_stop, by_kill) = (event == Event::Stop, event == Event::Shutdown { kill: true });
        let step = self.process.on(&self.spec, event, facts);
        self.history.push(format!(
            "{} {before}: {what} → {}: {:?}",
            self.now.0,
            self.process.shown(),
            step.actions
        ));
        if by_command {
            self.hold(step.changed || step.actions.is_empty(), "an action without a change");
            self.wanted |= step.changed && !by_stop;
        }
        if by_kill {
            self.asked_at = None;
        }
        self.hold(
            !was_shutting_down || self.process.shutting_down,
            "shutdown is forgotten",
        );
        for action in step.actions.clone() {
            self.act(action);
        }
        self.check();
        step
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Spawn { life } => self.spawn(life),
            // After SIGABRT the rest of the group is asked, and has no longer for it.
            Action::Ask => {
                self.asked_at.get_or_insert(self.now);
                self.give_up_look_up();
            }
            Action::Abort => {
                self.hold(self.child.is_some(), "SIGABRT to nobody");
                self.hold(self.spec.ready == Readiness::Notify, "SIGABRT to one that says nothing");
                self.asked_at = Some(self.now);
            }
            Action::Kill => self.kill(),
            Action::Tell(detail) => self.told(&detail),
            Action::End { close } => {
                self.hold(self.child.is_none(), "its end is told while it runs");
                self.hold(!self.closed, "its end is told twice");
                self.closed = close;
                self.ended = true;
            }
            Action::Revive => {
                self.hold(self.ended, "what has not ended is revived");
                self.ended = false;
            }
        }
    }

    fn spawn(&mut self, life: u64) {
        self.hold(self.child.is_none() && self.looking_up.is_none(), "two at once");
        self.hold(!self.process.shutting_down, "a start during shutdown");
        self.hold(self.wanted, "a start that nobody wants");
        self.hold(life == self.process.lives, "a life of another number");
        self.hold(!self.ended, "a start of what has ended and is not revived");
        self.closed = false;
        self.asked_at = None;
        if self.input_spent {
            self.input_spent = false;
        }
        if self.random.one_in(4) {
            self.looking_up = Some(life);
        } else {
            self.fork(life);
        }
    }

    fn look_up(&mut self) {
        if let Some(life) = self.looking_up.take() {
            self.fork(life);
        }
    }

    fn fork(&mut self, life: u64) {
        if self.random.one_in(8) {
            let transient = !self.random.one_in(3);
            let text = "no".to_owned();
            self.on(Event::NotSpawned { life, text, transient });
            return;
        }
        let pid = i32::try_from(life).unwrap() + 100;
        self.child = Some(Child {
            life,
            pid,
            executed: false,
            said_ready: false,
            heard: self.now,
            killed: false,
        });
        self.on(Event::Spawned { life, pid });
    }

    fn kill(&mut self) {
        let patient = self
            .asked_at
            .is_none_or(|asked| self.now.since(asked) >= self.spec.stop_timeout);
        self.hold(patient, "killed before stop-timeout");
        if let Some(child) = &mut self.child {
            child.killed = true;
        }
        self.left_behind &= self.immortal;
        self.give_up_look_up();
    }

    fn give_up_look_up(&mut self) {
        if let Some(life) = self.looking_up.take() {
            let text = "stopped before it began".to_owned();
            let transient = true;
            self.on(Event::NotSpawned { life, text, transient });
        }
    }

    fn told(&mut self, detail: &EventDetail) {
        match detail {
            EventDetail::ProcessStarted { pid } => {
                self.hold(self.told_running.is_none(), "started twice");
                self.told_running = Some(*pid);
            }
            EventDetail::ProcessExited { pid, .. } => {
                self.hold(self.told_running == Some(*pid), "an exit of nobody who started");
                self.told_running = None;
            }
            EventDetail::ProcessReady => {
                self.hold(self.told_running.is_some(), "ready before it started");
                let child = self.child.as_ref();
                let said = self.spec.ready == Readiness::Spawned || child.is_some_and(|child| child.said_ready);
                self.hold(said, "ready, and it has not said so");
            }
            EventDetail::ProcessBackingOff { next_start_in } => {
                self.asked_at = None;
                self.hold(*next_start_in <= self.spec.restart_delay_max, "too long a delay");
            }
            EventDetail::ProcessStopped | EventDetail::ProcessFailed { .. } => {
                self.hold(self.told_running.is_none(), "stopped but never exited");
                self.wanted = false;
                self.asked_at = None;
            }
            EventDetail::ProcessStopping { fault, .. } => self.blamed(*fault),
            other => panic!("{other:?}"),
        }
    }

    /// It is ended for a fault of its own, and has had its time.
    fn blamed(&self, fault: Option<Fault>) {
        let Some(child) = &self.child else { return };
        let silent = self.now.since(child.heard);
        match fault {
            // Told again with SIGKILL, when it is longer ago.
            Some(Fault::NotReady(time)) => {
                self.hold(time == self.spec.ready_timeout && silent >= time, "given up too early");
            }
            Some(Fault::Silent(time)) => {
                self.hold(Some(time) == self.spec.watchdog, "another watchdog");
                self.hold(child.said_ready && silent >= time, "bitten too early");
            }
            Some(Fault::Triggered) | None => {}
        }
    }

    fn check(&self) {
        let state = self.process.shown();
        // Between a spawn and its answer the machine already counts on the child.
        let pid = self.process.life().and_then(|life| life.pid);
        self.hold(
            pid.is_none() || pid == self.child.as_ref().map(|child| child.pid),
            "a child that is not there",
        );
        let nobody = self.child.is_none() && self.looking_up.is_none();
        self.hold(!self.process.at_rest() || nobody, "at rest, and runs");
        let timed = match state {
            ProcessState::Starting => self.child.is_some(),
            ProcessState::BackingOff | ProcessState::Stopping => true,
            ProcessState::Ready => self.spec.watchdog.is_some(),
            _ => false,
        };
        self.hold(
            self.process.due().is_some() == timed,
            "a state without its deadline, or one too many",
        );
        if let Some(due) = self.process.due() {
            let longest = self.spec.stop_timeout.max(self.spec.restart_delay_max).max(KILL_GRACE);
            // A stop at the daemon's end is not put off, also not by what was granted before.
            let extension = match state {
                ProcessState::Stopping if self.process.shutting_down => Duration::ZERO,
                _ => EXTENSION.max(self.spec.ready_timeout),
            };
            let longest = longest.max(extension).max(self.spec.watchdog.unwrap_or_default());
            self.hold(due <= self.now + longest, "a deadline too far away");
        }
        if self.process.shutting_down {
            let idle = matches!(state, ProcessState::BackingOff | ProcessState::Waiting);
            self.hold(!idle, "it backs off or waits during shutdown");
            self.hold(
                !self.process.at_rest() || self.closed,
                "at rest during shutdown, and its end not told",
            );
        }
        self.hold(
            state != ProcessState::Finished || self.closed,
            "finished, and its pipes open",
        );
        let executed = self
            .child
            .as_ref()
            .is_some_and(|child| child.executed || child.said_ready);
        self.hold(state != ProcessState::Ready || executed, "ready before it is executed");
        self.hold(
            state != ProcessState::Ready || self.process.ready_life == self.process.lives,
            "ready, and not known to be",
        );
    }

    fn exit(&mut self) {
        let Some(child) = self.child.take() else { return };
        if !child.executed && !child.said_ready && !child.killed && self.random.one_in(2) {
            let transient = self.random.one_in(2);
            let exit = Exit::NotExecuted("no".to_owned());
            self.on(Event::Exited {
                life: child.life,
                exit,
                transient,
            });
            return;
        }
        if !child.executed {
            // The driver reads the status before the exit.
            self.child = Some(Child {
                executed: true,
                ..child
            });
            self.on(Event::Executed { life: child.life });
            self.child = None;
        }
        self.immortal = self.random.one_in(10);
        self.left_behind |= !child.killed && self.random.one_in(4) || self.immortal;
        let exit = Exit::Code(self.random.below(2) as i32);
        self.on(Event::Exited {
            life: child.life,
            exit,
            transient: false,
        });
    }

    fn execute(&mut self) {
        let Some(child) = &mut self.child else { return };
        if !child.executed {
            child.executed = true;
            let life = child.life;
            self.on(Event::Executed { life });
        }
    }

    /// Something that it says; each in any phase, also before the word that it was executed.
    fn say(&mut self) {
        let what = self.random.below(8);
        let by = Duration::from_millis(self.random.below(10_000)).min(EXTENSION);
        let (now, state) = (self.now, self.process.shown());
        let Some(child) = &mut self.child else { return };
        if self.spec.ready != Readiness::Notify {
            return;
        }
        let life = child.life;
        match what {
            0..=2 => {
                if state == ProcessState::Starting {
                    child.heard = now;
                }
                child.said_ready = true;
                self.on(Event::Ready { life });
            }
            3..=5 => {
                if state == ProcessState::Ready {
                    child.heard = now;
                }
                self.on(Event::Alive { life });
            }
            6 => drop(self.on(Event::Extend { life, by })),
            _ => drop(self.on(Event::Hung { life })),
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        if self.process.due().is_some_and(|due| due <= self.now) {
            self.on(Event::Due);
        }
    }

    fn late(&mut self) {
        let life = self.process.lives.saturating_sub(1 + self.random.below(3));
        let before = self.process.clone();
        let exit = Exit::Code(1);
        for event in [
            Event::Executed { life },
            Event::Ready { life },
            Event::Hung { life },
            Event::Spawned { life, pid: 9 },
            Event::Exited {
                life,
                exit: exit.clone(),
                transient: false,
            },
        ] {
            if life != self.process.lives {
                let step = self.process.on(&self.spec, event, self.quiet());
                self.hold(step == Step::default() && self.process == before, "late word is heard");
            }
        }
    }

    fn quiet(&self) -> Facts {
        Facts {
            now: self.now,
            jitter: Jitter::default(),
            input_spent: self.input_spent,
            group_lives: self.left_behind,
        }
    }

    fn step(&mut self) {
        match self.random.below(32) {
            24..=27 => self.say(),
            28 => drop(self.on(Event::Proceed)),
            29..=31 => self.look_up(),
            0..=2 => drop(self.on(Event::Start)),
            3..=4 => drop(self.on(Event::Stop)),
            5..=6 => drop(self.on(Event::Restart)),
            7..=11 => self.execute(),
            12..=15 => self.exit(),
            16 if self.left_behind && !self.immortal => {
                self.left_behind = false;
                self.on(Event::GroupGone);
            }
            17 => {
                self.input_spent = true;
                self.on(Event::InputEnded);
            }
            18 => self.late(),
            19 => drop(self.on(Event::Due)),
            20 if self.process.due().is_some() => {
                let rest = self.process.due().unwrap().since(self.now);
                self.pass(rest);
            }
            _ => {
                let time = Duration::from_millis(self.random.below(3000));
                self.pass(time);
            }
        }
    }

    /// From anywhere shutdown comes to an end, with children that go only when they are killed.
    fn shut_down(&mut self) {
        self.on(Event::BeginShutdown);
        self.give_up_look_up();
        for _ in 0..10 {
            self.step();
        }
        let kill = self.random.one_in(2);
        self.on(Event::Shutdown { kill });
        for _ in 0..20 {
            if self.child.as_ref().is_some_and(|child| child.killed) {
                self.exit();
            }
            if let Some(due) = self.process.due() {
                let rest = due.since(self.now);
                self.pass(rest);
            }
        }
        self.hold(self.process.at_rest() && self.closed, "shutdown never ends");
    }
}

#[test]
fn a_process_keeps_its_rules_whatever_happens() {
    for seed in seeds(3000) {
        let mut world = World::new(seed);
        let waits = world.random.one_in(2);
        world.on(if waits { Event::Await } else { Event::Start });
        for _ in 0..STEPS {
            world.step();
        }
        world.shut_down();
    }
}
