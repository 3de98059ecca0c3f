//! The table, cell by cell, and the rules behind it.

use std::time::Duration;

use super::*;
use crate::model::{Name, OutputPolicy, Readiness, Restart, StartLimit, StopSignal};

mod cells;
mod readiness;

pub(crate) fn spec() -> ProcessSpec {
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
        restart: Restart::Always,
        success_exit: vec![SuccessExit::Code(0), SuccessExit::Signal("SIGPIPE".to_owned())],
        restart_delay: Duration::from_millis(100),
        restart_delay_max: Duration::from_secs(30),
        start_limit: StartLimit {
            burst: 5,
            interval: Duration::from_secs(10),
        },
        stop_signal: StopSignal {
            number: 15,
            name: "SIGTERM".to_owned(),
        },
        stop_timeout: Duration::from_secs(10),
        ready: Readiness::Spawned,
        ready_timeout: Duration::from_secs(30),
        watchdog: None,
        keep_stdin: true,
        stdout: OutputPolicy::Log,
        stderr: OutputPolicy::Log,
    }
}

const SECOND: u64 = 1_000_000;

/// In each state that has data, and with a backoff that has begun.
#[test]
fn the_state_can_be_written_down() {
    let spec = spec();
    let mut process = Process::default();
    let failed = Event::NotSpawned {
        life: 1,
        text: "no memory".to_owned(),
        transient: true,
    };
    let exited = Event::Exited {
        life: 2,
        exit: Exit::Signal {
            name: "SIGSEGV".to_owned(),
            core_dumped: true,
        },
        transient: false,
    };
    let events = [
        Event::Start,
        failed,
        Event::Due,
        Event::Spawned { life: 2, pid: 7 },
        Event::Executed { life: 2 },
        Event::Hung { life: 2 },
        exited,
        Event::Stop,
    ];
    for (second, event) in (1..).zip(events) {
        process.on(&spec, event, at(second));
        let text = serde_json::to_string(&process).unwrap();
        assert_eq!(serde_json::from_str::<Process>(&text).unwrap(), process);
    }
    assert_eq!(process.state, State::Stopped);
    assert!(matches!(process.last_exit, Some(Exit::Faulted { .. })));
}

fn at(seconds: u64) -> Facts {
    Facts {
        now: Moment(seconds * SECOND),
        jitter: Jitter::default(),
        input_spent: false,
        group_lives: false,
    }
}

/// A process on which something happens, second by second.
struct Story {
    spec: ProcessSpec,
    process: Process,
    facts: Facts,
}

impl Story {
    fn new() -> Story {
        Story {
            spec: spec(),
            process: Process::default(),
            facts: at(0),
        }
    }

    fn on(&mut self, event: Event) -> Step {
        self.process.on(&self.spec, event, self.facts)
    }

    fn exit(&mut self, code: i32) -> Step {
        let life = self.process.lives;
        self.on(Event::Exited {
            life,
            exit: Exit::Code(code),
            transient: false,
        })
    }

    /// Brings a fresh one into a state, by the shortest way.
    fn in_state(name: &str) -> Story {
        let mut story = Story::new();
        let running = |story: &mut Story| {
            story.on(Event::Start);
            story.on(Event::Spawned { life: 1, pid: 7 });
        };
        match name {
            "stopped" => {}
            "waiting" => drop(story.on(Event::Await)),
            "starting" => running(&mut story),
            "ready" => {
                running(&mut story);
                story.on(Event::Executed { life: 1 });
            }
            "backing_off" => {
                running(&mut story);
                story.exit(1);
            }
            "stopping" => {
                running(&mut story);
                story.on(Event::Executed { life: 1 });
                story.on(Event::Stop);
            }
            "finished" => {
                story.spec.restart = Restart::Never;
                running(&mut story);
                story.exit(0);
                story.spec.restart = Restart::Always;
            }
            "failed" => {
                story.on(Event::Start);
                story.on(Event::NotSpawned {
                    life: 1,
                    text: "no".to_owned(),
                    transient: false,
                });
            }
            other => panic!("{other}"),
        }
        assert_eq!(story.process.shown().as_str(), name);
        story
    }
}

/// Short names of actions, as the table shows them.
fn actions(step: &Step) -> String {
    let word = |action: &Action| match action {
        Action::Spawn { .. } => "spawn".to_owned(),
        Action::Revive => "revive".to_owned(),
        Action::Ask => "ask".to_owned(),
        Action::Kill => "kill".to_owned(),
        Action::Abort => "abort".to_owned(),
        Action::Tell(detail) => detail.kind().trim_start_matches("process_").to_owned(),
        Action::End { close: true } => "close".to_owned(),
        Action::End { close: false } => "end".to_owned(),
    };
    step.actions.iter().map(word).collect::<Vec<_>>().join(" ")
}

#[test]
fn commands_say_whether_they_changed_anything() {
    for (state, start, stop, restart) in [
        ("stopped", true, false, true),
        ("waiting", true, true, true),
        ("starting", false, true, true),
        ("ready", false, true, true),
        ("backing_off", true, true, true),
        ("stopping", true, false, true),
        ("finished", true, false, true),
        ("failed", true, false, true),
    ] {
        for (event, changed) in [(Event::Start, start), (Event::Stop, stop), (Event::Restart, restart)] {
            let mut story = Story::in_state(state);
            assert_eq!(story.on(event.clone()).changed, changed, "{event:?} in {state}");
            // A second restart finds a new life to stop where the first had nothing to wait for.
            let found_new = event == Event::Restart && !matches!(state, "starting" | "ready" | "stopping");
            assert_eq!(story.on(event.clone()).changed, found_new, "{event:?} twice in {state}");
        }
    }
}

#[test]
fn a_start_during_a_stop_waits_for_its_end() {
    let mut story = Story::in_state("stopping");
    assert!(story.on(Event::Start).changed && story.process.wanted_up());
    assert_eq!(actions(&story.exit(0)), "exited spawn");
    assert_eq!(
        (story.process.shown(), story.process.lives),
        (ProcessState::Starting, 2)
    );
}

#[test]
fn what_is_left_of_the_group_is_killed_too() {
    let mut story = Story::in_state("stopping");
    story.facts.group_lives = true;
    assert_eq!(actions(&story.exit(0)), "exited");
    assert!(story.process.awaits_group() && story.process.life().is_none());
    story.facts = at(10);
    assert_eq!(actions(&story.on(Event::Due)), "stopping kill");
    assert_eq!(actions(&story.on(Event::GroupGone)), "stopped");
    assert_eq!(story.process.shown(), ProcessState::Stopped);
}

#[test]
fn a_group_that_cannot_be_killed_is_not_waited_for() {
    let mut story = Story::in_state("stopping");
    story.facts.group_lives = true;
    story.exit(0);
    story.facts.now = Moment(10 * SECOND);
    story.on(Event::Due);
    story.facts.now = Moment(12 * SECOND);
    assert_eq!(actions(&story.on(Event::Due)), "stopped");
}

#[test]
fn a_leader_that_cannot_be_killed_is_killed_again_but_not_forgotten() {
    let mut story = Story::in_state("stopping");
    for (second, expected) in [(9, ""), (10, "stopping kill"), (11, ""), (12, "kill"), (14, "kill")] {
        story.facts.now = Moment(second * SECOND);
        assert_eq!(actions(&story.on(Event::Due)), expected, "{second}");
    }
    assert_eq!(story.process.shown(), ProcessState::Stopping);
}

#[test]
fn a_late_word_of_an_earlier_life_means_nothing() {
    let mut story = Story::in_state("backing_off");
    story.on(Event::Start);
    story.on(Event::Spawned { life: 2, pid: 8 });
    let before = story.process.clone();
    for late in [
        Event::Spawned { life: 1, pid: 9 },
        Event::Executed { life: 1 },
        Event::Exited {
            life: 1,
            exit: Exit::Code(9),
            transient: false,
        },
    ] {
        assert_eq!(story.on(late), Step::default());
        assert_eq!(story.process, before);
    }
}

#[test]
fn an_input_that_is_spent_finishes_it_whatever_restart_says() {
    let mut story = Story::in_state("ready");
    story.on(Event::InputEnded);
    assert_eq!(story.process.shown(), ProcessState::Ready);
    story.facts.input_spent = true;
    assert_eq!(actions(&story.exit(1)), "exited stopped close");
    assert_eq!(story.process.shown(), ProcessState::Finished);

    let mut story = Story::in_state("backing_off");
    assert_eq!(actions(&story.on(Event::InputEnded)), "");
    story.facts.input_spent = true;
    assert_eq!(actions(&story.on(Event::InputEnded)), "stopped close");
    assert_eq!(story.process.shown(), ProcessState::Finished);
}

#[test]
fn the_policy_decides_on_an_exit() {
    let signal = |name: &str| Exit::Signal {
        name: name.to_owned(),
        core_dumped: false,
    };
    let cases = [
        (Restart::Always, Exit::Code(0), ProcessState::BackingOff),
        (Restart::OnFailure, Exit::Code(0), ProcessState::Finished),
        (Restart::OnFailure, Exit::Code(3), ProcessState::BackingOff),
        (Restart::OnFailure, signal("SIGPIPE"), ProcessState::Finished),
        (Restart::OnFailure, signal("SIGTERM"), ProcessState::BackingOff),
        (Restart::Never, Exit::Code(3), ProcessState::Finished),
    ];
    for (restart, exit, expected) in cases {
        let mut story = Story::in_state("ready");
        story.spec.restart = restart;
        let event = Event::Exited {
            life: 1,
            exit: exit.clone(),
            transient: false,
        };
        story.on(event);
        assert_eq!(story.process.shown(), expected, "{restart} {exit}");
    }
}

#[test]
fn what_cannot_be_executed_fails_until_it_is_started_by_hand() {
    let not_executed = |transient| Event::Exited {
        life: 1,
        exit: Exit::NotExecuted("no such program".to_owned()),
        transient,
    };
    let mut story = Story::in_state("starting");
    assert_eq!(actions(&story.on(not_executed(false))), "failed end");
    assert_eq!(
        story.process.last_exit,
        Some(Exit::NotExecuted("no such program".to_owned()))
    );
    assert_eq!(actions(&story.on(Event::Start)), "revive spawn");

    let mut story = Story::in_state("starting");
    assert_eq!(actions(&story.on(not_executed(true))), "backing_off");
}

#[test]
fn too_many_early_exits_fail_and_a_start_by_hand_forgives() {
    let mut story = Story::new();
    story.on(Event::Start);
    for round in 1..=6 {
        assert_eq!(story.process.lives, round);
        story.on(Event::Spawned { life: round, pid: 7 });
        story.exit(1);
        if let Some(due) = story.process.due() {
            story.facts.now = due;
            story.on(Event::Due);
        }
    }
    let State::Failed { text } = &story.process.state else {
        panic!("{:?}", story.process.state);
    };
    assert!(text.contains("6 times within 10s") && text.contains("exit 1"), "{text}");
    story.on(Event::Start);
    story.on(Event::Spawned { life: 7, pid: 7 });
    assert_eq!(actions(&story.exit(1)), "exited backing_off");
}

#[test]
fn nothing_starts_during_shutdown() {
    for state in [
        "stopped",
        "waiting",
        "starting",
        "ready",
        "backing_off",
        "stopping",
        "finished",
        "failed",
    ] {
        for command in [Event::Start, Event::Restart, Event::Await, Event::Proceed] {
            let mut story = Story::in_state(state);
            if state == "stopping" {
                story.on(Event::Start);
            }
            story.on(Event::BeginShutdown);
            let step = story.on(command);
            assert!(!step.changed && step.actions.is_empty(), "{state}");
            let step = story.exit(1);
            assert!(
                !step.actions.iter().any(|action| matches!(action, Action::Spawn { .. })),
                "{state}"
            );
            assert!(story.process.at_rest(), "{state}");
        }
    }
}
