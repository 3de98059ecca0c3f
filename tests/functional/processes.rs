//! Supervised children: how they are watched, restarted and stopped.

use std::collections::BTreeMap;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::support::{Daemon, Deadline, FifoWriter, PATIENCE, Probe, Shown, stories, until};

stories!(
    a_hundred_children_exit_together,
    restart_says_what_happens_next,
    backing_off_is_shown,
    what_ignores_sigterm_is_killed_with_its_group,
    a_stop_takes_stop_timeout_and_not_much_more,
    a_stopped_child_is_stopped_all_the_same,
    signals_are_passed_on,
    restart_starts_another,
    started_again_the_moment_it_ends,
    who_waits_for_what_another_undoes_is_told,
);

/// libuv test-spawn and CPython's child watchers: SIGCHLD coalesces; each exit code is its own.
fn a_hundred_children_exit_together() {
    let mut config = String::from("[route.gate]\nfrom = \"fifo:gate-in\"\nto = \"fifo:gate\"\n");
    for number in 0..100 {
        // read takes byte by byte up to a newline: a hundred newlines at once let all of them go.
        config.push_str(&format!(
            "[process.p{number}]\ncommand = [\"sh\", \"-c\", \"read x < '$DIR/run/gate'; exit {number}\"]\n\
             restart = \"never\"\n"
        ));
    }
    let daemon = Daemon::start(&config);
    let up = |number: u32| daemon.wait_for(&format!("process.p{number}"), "ready");
    (0..100).for_each(|number| drop(up(number)));
    FifoWriter::open(daemon.fifo("gate-in")).write_all(&[b'\n'; 100]);
    let exits = until(
        || {
            let shown = daemon
                .call("ListProcesses", json!({}))
                .expect("ListProcesses")
                .list("processes");
            let codes: BTreeMap<String, u64> = shown.iter().filter_map(code_of).collect();
            (codes.len() == 100).then_some(codes)
        },
        || "not all have finished".to_owned(),
    );
    for number in 0..100 {
        assert_eq!(exits[&format!("p{number}")], number);
    }
    assert!(daemon.probe().children().is_empty(), "{:?}", daemon.probe().children());
}

fn code_of(process: &Shown) -> Option<(String, u64)> {
    let done = process.state() == "finished";
    done.then(|| (process.text("name").to_owned(), process.object("lastExit").int("code")))
}

/// systemd's Restart=: always, on-failure, no.
fn restart_says_what_happens_next() {
    let daemon = Daemon::start(
        r#"
        [process.always]
        command = [$PEER, "tell $DIR/always x", "exit 0"]
        restart-delay = "1ms"
        restart-delay-max = "1ms"

        [process.failing]
        command = [$PEER, "tell $DIR/failing x", "exit 1"]
        restart = "on-failure"
        restart-delay = "1ms"
        restart-delay-max = "1ms"

        [process.fine]
        command = [$PEER, "exit 3"]
        restart = "on-failure"
        success-exit = [0, 3]

        [process.killed]
        command = [$PEER, "die SIGKILL"]
        restart = "never"
        "#,
    );
    daemon.wait_until("process.always", "restarted thrice", |process| {
        process.int("restarts") >= 3
    });
    daemon.wait_until("process.failing", "restarted thrice", |process| {
        process.int("restarts") >= 3
    });
    let fine = daemon.wait_for("process.fine", "finished");
    assert_eq!((fine.int("restarts"), fine.object("lastExit").int("code")), (0, 3));
    let killed = daemon.wait_for("process.killed", "finished");
    assert_eq!(
        (killed.int("restarts"), killed.object("lastExit").text("signal")),
        (0, "SIGKILL")
    );
}

/// daemontools and s6: a child that cannot live is not restarted in a tight loop.
fn backing_off_is_shown() {
    let daemon = Daemon::start(
        r#"
        [process.p]
        command = [$PEER, "exit 1"]
        restart-delay = "20s"
        "#,
    );
    let process = daemon.wait_for("process.p", "backing_off");
    let next = process.int("nextStartInUSec");
    // With jitter.
    assert!(next > 0 && next <= 40_000_000, "{process}");
    assert_eq!(process.text("wanted"), "up");
    // By hand it starts at once, and stopping it ends the waiting.
    assert!(daemon.changes("StopProcess", json!({ "name": "p" })));
    assert_eq!(daemon.process("p").state(), "stopped");
}

/// Every supervisor: SIGTERM, stop-timeout, SIGKILL to the whole group.
fn what_ignores_sigterm_is_killed_with_its_group() {
    let daemon = Daemon::start(
        r#"
        [process.p]
        command = [$PEER, "ignore SIGTERM", "grandchild ignore SIGTERM | hold", "tell $DIR/up x", "hold"]
        stop-timeout = "200ms"
        "#,
    );
    let pid = daemon.pid_of("p");
    let up = daemon.file("up");
    until(|| up.exists().then_some(()), || "the peer is not up".to_owned());
    assert!(daemon.changes("StopProcess", json!({ "name": "p" })));
    let process = daemon.process("p");
    assert_eq!(
        (process.state(), process.object("lastExit").text("signal")),
        ("stopped", "SIGKILL"),
        "{process}"
    );
    assert_eq!(process.text("wanted"), "down");
    let group = Pid::from_raw(-pid);
    until(
        || kill(group, None).is_err().then_some(()),
        || "the group lives on".to_owned(),
    );
}

/// process-compose#520: the leader may go at once, who is left of its group has stop-timeout, and no look at it comes late.
/// The best of five tries is held against the clock: a busy machine only makes it slower.
fn a_stop_takes_stop_timeout_and_not_much_more() {
    let daemon = Daemon::start(
        r#"
        [process.p]
        command = ["sh", "-c", "trap '' TERM; sleep 1000 & echo up >> $DIR/up; wait"]
        stop-timeout = "300ms"
        autostart = false

        [process.q]
        command = ["sh", "-c", "sh -c \"trap '' TERM; echo up >> $DIR/up; while :; do sleep 0.01; done\" & wait"]
        stop-timeout = "300ms"
        autostart = false
        "#,
    );
    for name in ["p", "q"] {
        let tries = (0..5).map(|_| {
            let _ = std::fs::remove_file(daemon.file("up"));
            assert!(daemon.changes("StartProcess", json!({ "name": name })));
            let group = Pid::from_raw(-daemon.pid_of(name));
            let up = daemon.file("up");
            until(|| up.exists().then_some(()), || "it is not up".to_owned());
            let clock = Deadline::within(PATIENCE);
            assert!(daemon.changes("StopProcess", json!({ "name": name })));
            until(
                || kill(group, None).is_err().then_some(()),
                || "the group lives on".to_owned(),
            );
            clock.elapsed()
        });
        let best = tries.min().expect("five tries");
        let least = Duration::from_millis(290);
        assert!((least..Duration::from_millis(500)).contains(&best), "{name}: {best:?}");
    }
}

/// SIGCONT after SIGTERM, or a stopped child never sees it.
fn a_stopped_child_is_stopped_all_the_same() {
    let daemon = Daemon::start(
        r#"
        [process.p]
        command = [$PEER, "on SIGTERM exit 0", "tell $DIR/up x", "hold"]
        stop-timeout = "60s"
        "#,
    );
    let pid = daemon.pid_of("p");
    let up = daemon.file("up");
    until(|| up.exists().then_some(()), || "the peer is not up".to_owned());
    kill(Pid::from_raw(pid), Signal::SIGSTOP).expect("SIGSTOP");
    let is_stopped = || Probe::new(daemon.pid()).children().contains(&(pid, 'T'));
    until(|| is_stopped().then_some(()), || "the peer does not stop".to_owned());
    assert!(daemon.changes("StopProcess", json!({ "name": "p" })));
    assert_eq!(daemon.process("p").object("lastExit").int("code"), 0);
}

fn signals_are_passed_on() {
    let daemon = Daemon::start(
        r#"
        [process.p]
        command = [$PEER, "on SIGUSR1 exit 7", "tell $DIR/up x", "hold"]
        restart = "never"
        "#,
    );
    let up = daemon.file("up");
    until(|| up.exists().then_some(()), || "the peer is not up".to_owned());
    let error = daemon.call("SignalProcess", json!({ "name": "p", "signal": "SIGNONSENSE" }));
    error.expect_err("no such signal");
    daemon
        .call("SignalProcess", json!({ "name": "p", "signal": "SIGUSR1" }))
        .expect("SignalProcess");
    assert_eq!(
        daemon.wait_for("process.p", "finished").object("lastExit").int("code"),
        7
    );
}

fn restart_starts_another() {
    let daemon = Daemon::start("[process.p]\ncommand = [$PEER, \"hold\"]\n");
    let first = daemon.pid_of("p");
    assert!(daemon.changes("RestartProcess", json!({ "name": "p" })));
    let second = daemon.pid_of("p");
    assert_ne!(first, second);
    assert!(
        !daemon.changes("StartProcess", json!({ "name": "p" })),
        "it runs already"
    );
    assert!(daemon.changes("StopProcess", json!({ "name": "p" })));
    assert!(!daemon.changes("StopProcess", json!({ "name": "p" })));
    assert!(daemon.changes("StartProcess", json!({ "name": "p" })));
    daemon.wait_for("process.p", "ready");
}

/// Its end and the start by hand cross on their way to the route: no life's output may fall between them.
fn started_again_the_moment_it_ends() {
    let daemon = Daemon::start(
        r#"
        [process.p]
        command = ["echo", "x"]
        restart = "never"

        [route.a]
        from = "process:p.stdout"
        to = "null"
        "#,
    );
    let mut client = daemon.client();
    let mut lives = 1;
    while lives < 400 {
        let started = client
            .call("StartProcess", json!({ "name": "p", "wait": false }))
            .expect("StartProcess");
        lives += u64::from(started.flag("changed"));
    }
    daemon.wait_for("process.p", "finished");
    // The route may still be closed from the life before, and not have heard of the last.
    daemon.wait_until("route.a", "closed, with what each life wrote", |route| {
        route.state() == "closed" && route.int("acceptedBytes") == 2 * lives
    });
}

/// A stop that somebody else turns into a start never comes to its end: whoever waits for it is told, not left waiting.
fn who_waits_for_what_another_undoes_is_told() {
    let daemon = Daemon::start(
        r#"
        [process.p]
        command = [$PEER, "ignore SIGTERM", "tell $DIR/ignores x", "hold"]
        stop-timeout = "500ms"
        "#,
    );
    // `ready` is before it ignores anything.
    let ignores = || {
        let told = daemon.file("ignores");
        until(
            || told.exists().then_some(()),
            || "it does not ignore SIGTERM yet".to_owned(),
        );
        std::fs::remove_file(told).expect("the file that it made");
    };
    ignores();
    let undone = |first: &str, second: &str, told: &str| {
        let mut waiting = daemon.client();
        waiting.send_call(first, &json!({ "name": "p" }), &[]);
        daemon.wait_for("process.p", "stopping");
        daemon.changes(second, json!({ "name": "p", "wait": false }));
        let error = waiting.reply().expect_err("an error");
        assert!(format!("{error:?}").contains(told), "{error:?}");
    };
    undone("StopProcess", "StartProcess", "somebody else has started it again");
    ignores();
    undone("RestartProcess", "StopProcess", "somebody else has stopped it");
}
