//! When a life is ready, and what comes of one that is not in time or falls silent.

use super::*;

/// One that has to say so, and has 30 s for it; with a watchdog of 5 s.
fn notifying() -> Story {
    let mut story = Story::new();
    story.spec.ready = Readiness::Notify;
    story.spec.watchdog = Some(Duration::from_secs(5));
    story.on(Event::Start);
    story.on(Event::Spawned { life: 1, pid: 7 });
    story
}

fn killed(story: &mut Story) -> Step {
    let life = story.process.lives;
    story.on(Event::Exited {
        life,
        exit: Exit::Signal {
            name: "SIGABRT".to_owned(),
            core_dumped: false,
        },
        transient: false,
    })
}

#[test]
fn it_is_ready_when_it_says_so() {
    let mut story = notifying();
    assert_eq!(actions(&story.on(Event::Executed { life: 1 })), "started");
    assert_eq!(story.process.shown(), ProcessState::Starting);
    assert_eq!(story.process.ready_life, 0);
    assert_eq!(actions(&story.on(Event::Ready { life: 1 })), "ready");
    assert_eq!(story.process.shown(), ProcessState::Ready);
    assert_eq!(story.process.ready_life, 1);
    assert_eq!(actions(&story.on(Event::Ready { life: 1 })), "");
}

#[test]
fn word_of_it_may_overtake_the_word_that_it_was_executed() {
    let mut story = notifying();
    assert_eq!(actions(&story.on(Event::Ready { life: 1 })), "started ready");
    assert_eq!(actions(&story.on(Event::Executed { life: 1 })), "");
    story.on(Event::Stop);
    assert_eq!(actions(&story.on(Event::Executed { life: 1 })), "");

    let mut story = notifying();
    story.on(Event::Stop);
    assert_eq!(actions(&story.on(Event::Executed { life: 1 })), "started", "told once");
    assert_eq!(actions(&story.on(Event::Ready { life: 1 })), "");
}

#[test]
fn one_that_is_not_ready_in_time_is_stopped_and_counts_as_an_early_exit() {
    let mut story = notifying();
    story.spec.start_limit.burst = 1;
    story.spec.start_limit.interval = Duration::from_secs(1000);
    story.spec.restart_delay_max = Duration::from_secs(20);
    story.on(Event::Executed { life: 1 });
    story.facts = at(29);
    assert_eq!(actions(&story.on(Event::Due)), "");
    story.facts = at(30);
    assert_eq!(actions(&story.on(Event::Due)), "stopping ask");
    assert!(story.process.wanted_up());
    assert_eq!(
        actions(&story.exit(0)),
        "exited backing_off",
        "early, however long it ran"
    );
    let text = story.process.last_exit.as_ref().unwrap().to_string();
    assert_eq!(text, "not ready in time (ready-timeout: 30 s); exit 0");

    story.on(Event::Start);
    story.on(Event::Spawned { life: 2, pid: 8 });
    for _ in 0..2 {
        let life = story.process.lives;
        story.facts = Facts {
            now: story.process.due().unwrap(),
            ..story.facts
        };
        story.on(Event::Due);
        story.exit(0);
        if let Some(due) = story.process.due() {
            story.facts.now = due;
            story.on(Event::Due);
            story.on(Event::Spawned { life: life + 1, pid: 9 });
        }
    }
    let State::Failed { text } = &story.process.state else {
        panic!("{:?}", story.process.state);
    };
    assert!(text.contains("2 times") && text.contains("not ready in time"), "{text}");
}

#[test]
fn what_comes_before_the_fork_is_not_its_time() {
    let mut story = Story::new();
    story.spec.ready = Readiness::Notify;
    story.on(Event::Start);
    assert_eq!(story.process.due(), None);
    story.facts = at(1000);
    assert_eq!(actions(&story.on(Event::Due)), "");
    story.on(Event::Spawned { life: 1, pid: 7 });
    assert_eq!(story.process.due(), Some(Moment(1030 * SECOND)));
    assert_eq!(story.process.started_at, Some(Moment(1000 * SECOND)));
    story.on(Event::Executed { life: 1 });
    story.spec.start_limit.burst = 0;
    assert_eq!(actions(&story.exit(1)), "exited backing_off");
    let soon = Moment(1000 * SECOND) + story.spec.restart_delay;
    assert_eq!(story.process.due(), Some(soon));
    story.facts.now = soon;
    story.on(Event::Due);
    story.facts = at(2000);
    story.on(Event::Spawned { life: 2, pid: 8 });
    story.exit(1);
    let doubled = Moment(2000 * SECOND) + story.spec.restart_delay * 2;
    assert_eq!(story.process.due(), Some(doubled), "an early exit all the same");
}

#[test]
fn policy_takes_a_fault_for_a_failure() {
    for (restart, expected) in [
        (Restart::Always, ProcessState::BackingOff),
        (Restart::OnFailure, ProcessState::BackingOff),
        (Restart::Never, ProcessState::Finished),
    ] {
        let mut story = notifying();
        story.spec.restart = restart;
        story.facts = at(30);
        story.on(Event::Due);
        story.exit(0);
        assert_eq!(story.process.shown(), expected, "{restart}");
    }
}

#[test]
fn more_time_to_be_ready_and_to_stop() {
    let extend = |seconds| Event::Extend {
        life: 1,
        by: Duration::from_secs(seconds),
    };
    let mut story = notifying();
    story.facts = at(20);
    story.on(extend(5));
    assert_eq!(story.process.due(), Some(Moment(30 * SECOND)), "never less");
    story.on(extend(60));
    assert_eq!(story.process.due(), Some(Moment(80 * SECOND)));
    story.on(Event::Stop);
    story.on(extend(60));
    assert_eq!(story.process.due(), Some(Moment(80 * SECOND)));
    story.on(extend(u64::MAX / 1_000_000));
    assert_eq!(story.process.due(), Some(Moment(u64::MAX)));
    for event in [Event::BeginShutdown, Event::Shutdown { kill: false }] {
        let mut story = Story {
            spec: story.spec.clone(),
            process: story.process.clone(),
            facts: story.facts,
        };
        story.on(event);
        assert_eq!(
            story.process.due(),
            Some(Moment(30 * SECOND)),
            "the daemon's end is not put off"
        );
    }

    let mut story = notifying();
    story.on(Event::Shutdown { kill: false });
    story.on(extend(60));
    assert_eq!(
        story.process.due(),
        Some(Moment(10 * SECOND)),
        "not at the daemon's end"
    );
}

#[test]
fn the_watchdog_is_off_until_it_is_ready_and_fed_by_each_word() {
    let mut story = notifying();
    story.facts = at(20);
    story.on(Event::Alive { life: 1 });
    story.on(Event::Ready { life: 1 });
    assert_eq!(story.process.due(), Some(Moment(25 * SECOND)));
    story.facts = at(24);
    story.on(Event::Alive { life: 1 });
    story.facts = at(25);
    assert_eq!(actions(&story.on(Event::Due)), "");
    story.facts = at(29);
    assert_eq!(actions(&story.on(Event::Due)), "stopping abort");
    assert_eq!(story.process.due(), Some(Moment(39 * SECOND)));
    story.facts.group_lives = true;
    assert_eq!(
        actions(&killed(&mut story)),
        "exited ask",
        "the rest of its group was not asked yet"
    );
    story.facts.group_lives = false;
    assert_eq!(actions(&story.on(Event::GroupGone)), "backing_off");
    let text = story.process.last_exit.as_ref().unwrap().to_string();
    assert_eq!(text, "watchdog: no WATCHDOG=1 for 5 s; killed by SIGABRT");
}

#[test]
fn one_that_survives_sigabrt_is_killed() {
    let mut story = notifying();
    story.on(Event::Ready { life: 1 });
    assert_eq!(actions(&story.on(Event::Hung { life: 1 })), "stopping abort");
    story.facts = at(10);
    assert_eq!(actions(&story.on(Event::Due)), "stopping kill");
    assert_eq!(actions(&story.exit(9)), "exited backing_off");
}

#[test]
fn an_operator_has_the_last_word_on_what_a_fault_leads_to() {
    let mut story = notifying();
    story.on(Event::Hung { life: 1 });
    assert!(story.on(Event::Stop).changed);
    assert_eq!(actions(&story.exit(1)), "exited stopped");
    let mut story = notifying();
    story.on(Event::Hung { life: 1 });
    assert!(story.on(Event::Start).changed);
    assert_eq!(actions(&story.exit(1)), "exited spawn");
    let mut story = notifying();
    story.on(Event::Hung { life: 1 });
    story.on(Event::BeginShutdown);
    assert_eq!(actions(&story.exit(1)), "exited stopped close");
}
