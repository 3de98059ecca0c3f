//! Processes in every state when the daemon is upgraded: each goes on as it would have.

use nix::sys::signal::kill;
use nix::unistd::Pid;
use serde_json::json;

use crate::support::{Cgroup, Daemon, Deadline, FifoReader, FifoWriter, PATIENCE, stories, until};

stories!(
    a_backoff_keeps_its_due_time,
    one_that_is_being_stopped_is_still_killed,
    who_is_down_stays_down,
    exits_around_upgrades_are_all_seen,
    an_exit_that_nobody_was_there_to_see,
    one_that_is_not_ready_yet,
    a_newline_that_comes_after_it,
    a_watchdog_goes_on,
    a_watchdog_that_starves_is_noticed,
    who_waits_for_those_downstream,
    a_log_line_that_is_cut_is_one_line,
    an_extra_descriptor_goes_on,
    a_grandchild_that_keeps_the_output,
    the_leavings_of_a_process_are_still_its_own,
    its_cgroup_is_still_its_own,
    a_start_limit_counts_on,
);

/// By which a story lets a peer go on.
const GATE: &str = r#"
    [route.gate]
    from = "fifo:gate-in"
    to = "fifo:gate"
"#;

fn open_gate(daemon: &Daemon) {
    FifoWriter::open(daemon.fifo("gate-in")).write_all(b"x");
}

fn told(daemon: &Daemon, name: &str) -> String {
    std::fs::read_to_string(daemon.file(name)).unwrap_or_default()
}

fn until_gone(pid: i32) {
    until(
        || kill(Pid::from_raw(pid), None).is_err().then_some(()),
        || format!("{pid} lives on"),
    );
}

/// Neither begun anew nor forgotten.
fn a_backoff_keeps_its_due_time() {
    let daemon = Daemon::start(
        "[process.long]\ncommand = [\"sh\", \"-c\", \"exit 1\"]\nrestart-delay = \"25s\"\n\
         [process.short]\ncommand = [\"sh\", \"-c\", \"echo x >> $DIR/starts; exit 1\"]\nrestart-delay = \"1s\"\n",
    );
    let due = |state: &str| {
        let process = daemon.wait_for("process.long", state);
        process.int("nextStartInUSec")
    };
    let clock = Deadline::within(PATIENCE);
    let before = due("backing_off");
    daemon.wait_for("process.short", "backing_off");
    daemon.upgrade_at_rest(&["process.long"]);
    daemon.upgrade();
    let after = due("backing_off");
    let passed = u64::try_from(clock.elapsed().as_micros()).expect("a moment");
    assert!(
        after < before && before - after <= passed + 1000,
        "{before}, and {after} µs {passed} µs later"
    );
    daemon.wait_until("process.short", "started again", |process| process.int("restarts") >= 1);
    let starts = || (told(&daemon, "starts").lines().count() >= 2).then_some(());
    until(starts, || "it was not started again".to_owned());
}

/// stop-timeout runs on: SIGKILL still comes, and whoever waited for it asks again.
fn one_that_is_being_stopped_is_still_killed() {
    let daemon = Daemon::start(
        "[process.p]\ncommand = [$PEER, \"ignore SIGTERM\", \"tell $DIR/up x\", \"hold\"]\nstop-timeout = \"2s\"\n\
         [process.q]\ncommand = [$PEER, \"ignore SIGTERM\", \"tell $DIR/up x\", \"hold\"]\nstop-timeout = \"2s\"\n",
    );
    until(
        || (told(&daemon, "up").lines().count() == 2).then_some(()),
        || "they are not up".to_owned(),
    );
    let pids = ["p", "q"].map(|name| daemon.pid_of(name));
    let clock = Deadline::within(PATIENCE);
    let mut waits = daemon.client();
    waits.send_call("StopProcess", &json!({ "name": "p" }), &[]);
    assert!(daemon.changes("RestartProcess", json!({ "name": "q", "wait": false })));
    daemon.wait_for("process.p", "stopping");
    daemon.upgrade();
    // No reply, or one from before: but an end.
    while waits.receive().is_some() {}
    let stopped = daemon.wait_for("process.p", "stopped");
    assert!(clock.elapsed().as_secs_f64() >= 1.9, "SIGKILL came early");
    assert_eq!(stopped.object("lastExit").text("signal"), "SIGKILL");
    assert_eq!(stopped.text("wanted"), "down");
    let again = daemon.wait_until("process.q", "started again", |process| {
        process
            .maybe_int("pid")
            .is_some_and(|pid| pid != u64::from(pids[1].unsigned_abs()))
    });
    assert_eq!(again.object("lastExit").text("signal"), "SIGKILL");
    pids.into_iter().for_each(until_gone);
}

fn who_is_down_stays_down() {
    let daemon = Daemon::start(
        r#"
        [process.stopped]
        command = [$PEER, "hold"]

        [process.never]
        command = [$PEER, "hold"]
        autostart = false

        [process.finished]
        command = [$PEER, "exit 3"]
        restart = "never"

        [process.failed]
        command = ["/nowhere/nobody"]

        [process.up]
        command = [$PEER, "hold"]
        "#,
    );
    assert!(daemon.changes("StopProcess", json!({ "name": "stopped" })));
    daemon.wait_for("process.finished", "finished");
    daemon.wait_for("process.failed", "failed");
    let subjects = ["stopped", "never", "finished", "failed", "up"].map(|name| format!("process.{name}"));
    daemon.upgrade_at_rest(&subjects.each_ref().map(String::as_str));
    daemon.upgrade_at_rest(&subjects.each_ref().map(String::as_str));
    for name in ["stopped", "never", "finished"] {
        assert!(daemon.changes("StartProcess", json!({ "name": name, "wait": false })));
    }
    daemon.wait_for("process.stopped", "ready");
    daemon.wait_for("process.never", "ready");
    daemon.wait_for("process.finished", "finished");
}

/// wait(2): nobody else can reap them. One that starts and exits all the time is counted each time, through ten upgrades.
fn exits_around_upgrades_are_all_seen() {
    let daemon = Daemon::start(
        "[process.p]\ncommand = [\"sh\", \"-c\", \"echo x >> $DIR/starts; exit 4\"]\nrestart-delay = \"1ms\"\n\
         restart-delay-max = \"1ms\"\nstart-limit = { burst = 0, interval = \"10s\" }\n",
    );
    let mut last = 0;
    for _ in 0..10 {
        let process = daemon.wait_until("process.p", "started again", |process| process.int("restarts") > last);
        last = process.int("restarts");
        daemon.upgrade();
        assert!(daemon.process("p").int("restarts") >= last);
    }
    assert!(daemon.changes("StopProcess", json!({ "name": "p" })));
    let restarts = daemon.process("p").int("restarts");
    // The last may have been stopped before it could tell.
    let starts = told(&daemon, "starts").lines().count() as u64;
    assert!(
        starts == restarts || starts == restarts + 1,
        "{restarts} restarts, {starts} starts"
    );
}

/// Ten that exit at once, each with its own code, while the daemon is upgraded.
fn an_exit_that_nobody_was_there_to_see() {
    let daemon = Daemon::start(&format!(
        "{GATE}[process.p]\ncommand = [\"sh\", \"-c\", \"until [ -e $DIR/go ]; do :; done; exit $SLUICED_INSTANCE\"]\n\
         instances = 9\nrestart = \"never\"\n"
    ));
    let pids: Vec<i32> = (1..=9).map(|number| daemon.pid_of(&format!("p@{number}"))).collect();
    let mut client = daemon.client();
    client.send_call("Upgrade", &json!({}), &[]);
    std::fs::write(daemon.file("go"), "").expect("a file");
    assert!(client.reply().is_ok());
    for number in 1..=9_u64 {
        let process = daemon.wait_for(&format!("process.p@{number}"), "finished");
        assert_eq!(process.object("lastExit").int("code"), number, "{process}");
    }
    pids.into_iter().for_each(until_gone);
}

/// Its messages go to an address that it was told once.
fn one_that_is_not_ready_yet() {
    let daemon = Daemon::start(&format!(
        "{GATE}[process.p]\ncommand = [$PEER, \"notify STATUS=early\", \"await $DIR/run/gate\", \"notify READY=1\\\\nSTATUS=late\", \"hold\"]\n\
         ready = \"notify\"\n"
    ));
    daemon.wait_until("process.p", "telling", |process| {
        process.text_or_empty("statusText") == "early"
    });
    daemon.upgrade_at_rest(&["process.p"]);
    assert_eq!(daemon.process("p").state(), "starting");
    open_gate(&daemon);
    let ready = daemon.wait_for("process.p", "ready");
    assert_eq!(ready.int("restarts"), 0);
    daemon.wait_until("process.p", "telling", |process| {
        process.text_or_empty("statusText") == "late"
    });
    daemon.upgrade_at_rest(&["process.p"]);
}

fn a_newline_that_comes_after_it() {
    let daemon = Daemon::start(&format!(
        "{GATE}[process.p]\ncommand = [$PEER, \"await $DIR/run/gate\", \"notify-fd 3\", \"hold\"]\nready = \"fd:3\"\n\
         [process.late]\ncommand = [$PEER, \"hold\"]\nready = \"fd:3\"\nready-timeout = \"2s\"\nrestart = \"never\"\n"
    ));
    daemon.pid_of("p");
    daemon.pid_of("late");
    daemon.upgrade();
    assert_eq!(daemon.process("p").state(), "starting");
    open_gate(&daemon);
    assert_eq!(daemon.wait_for("process.p", "ready").int("restarts"), 0);
    // Its time runs on.
    daemon.wait_until("process.late", "stopped by its timeout", |process| {
        ["finished", "failed"].contains(&process.state())
    });
}

fn a_watchdog_goes_on() {
    let daemon = Daemon::start(
        "[process.p]\ncommand = [$PEER, \"notify READY=1\", \"feed-watchdog 50 $DIR/enough\", \"hold\"]\nready = \"notify\"\nwatchdog = \"1s\"\n",
    );
    let pid = daemon.wait_for("process.p", "ready").int("pid");
    // Longer than the time that it has, in all.
    let clock = Deadline::within(PATIENCE);
    while clock.elapsed().as_millis() < 1500 {
        daemon.upgrade();
        assert_eq!(daemon.process("p").int("pid"), pid, "{}", daemon.log());
    }
    std::fs::write(daemon.file("enough"), "").expect("a file");
    daemon.wait_until("process.p", "restarted", |process| process.int("restarts") > 0);
}

fn a_watchdog_that_starves_is_noticed() {
    let daemon = Daemon::start(
        "[process.p]\ncommand = [$PEER, \"notify READY=1\", \"hold\"]\nready = \"notify\"\nwatchdog = \"1s\"\n",
    );
    daemon.wait_for("process.p", "ready");
    daemon.upgrade();
    daemon.wait_until("process.p", "restarted", |process| process.int("restarts") > 0);
}

/// A producer is not started before its consumer is ready.
fn who_waits_for_those_downstream() {
    let daemon = Daemon::start(&format!(
        r#"
        {GATE}
        [process.producer]
        command = [$PEER, "write 1000", "hold"]

        [process.consumer]
        command = [$PEER, "await $DIR/run/gate", "notify READY=1", "check 1000", "tell $DIR/told all", "hold"]
        ready = "notify"

        [route.a]
        from = "process:producer.stdout"
        to = "process:consumer.stdin"
        "#
    ));
    daemon.wait_for("process.consumer", "starting");
    daemon.wait_for("process.producer", "waiting");
    daemon.upgrade_at_rest(&["process.producer", "process.consumer"]);
    open_gate(&daemon);
    daemon.wait_for("process.producer", "ready");
    until(
        || (told(&daemon, "told") == "all\n").then_some(()),
        || "not all has come".to_owned(),
    );
}

fn a_log_line_that_is_cut_is_one_line() {
    let daemon = Daemon::start(&format!(
        "{GATE}[process.p]\ncommand = [$PEER, \"text first-half-\", \"tell $DIR/up x\", \"await $DIR/run/gate\", \"say second-half\", \"hold\"]\n"
    ));
    until(
        || (told(&daemon, "up") == "x\n").then_some(()),
        || "it has not begun".to_owned(),
    );
    daemon.upgrade();
    daemon.upgrade();
    open_gate(&daemon);
    daemon.wait_for_log("second-half");
    let log = daemon.log();
    let line = log.lines().find(|line| line.contains("second-half")).expect("the line");
    assert!(line.contains("first-half-second-half"), "{log}");
}

fn an_extra_descriptor_goes_on() {
    let daemon = Daemon::start(
        r#"
        [process.p]
        command = ["sh", "-c", "cat <&3 >&4"]

        [route.in]
        from = "fifo:in"
        to = "process:p.fd3"

        [route.out]
        from = "process:p.fd4"
        to = "fifo:out"
        "#,
    );
    let mut reader = FifoReader::open(daemon.fifo("out"));
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    for _ in 0..3 {
        writer.write_all(b"through");
        assert_eq!(reader.read_exact(7), b"through");
        daemon.upgrade();
    }
    assert!(daemon.changes("RestartProcess", json!({ "name": "p" })));
    writer.write_all(b"again");
    assert_eq!(reader.read_exact(5), b"again");
}

/// cpython gh-119710: the exit is told at once, and the rest of the output still arrives, until its time is over.
fn a_grandchild_that_keeps_the_output() {
    let daemon = Daemon::start(&format!(
        r#"
        {GATE}
        [process.p]
        command = [$PEER, "say one", "grandchild await $DIR/run/gate | say two | hold", "exit 0"]
        restart = "never"
        stop-timeout = "2s"

        [route.a]
        from = "process:p.stdout"
        to = "fifo:out"
        "#
    ));
    let mut reader = FifoReader::open(daemon.fifo("out"));
    assert_eq!(reader.read_exact(4), b"one\n");
    daemon.wait_until("process.p", "at its end", |process| {
        process.field("lastExit").is_object()
    });
    daemon.upgrade();
    open_gate(&daemon);
    assert_eq!(reader.read_exact(4), b"two\n");
    daemon.upgrade();
    assert_eq!(reader.read_to_end(), b"");
    daemon.wait_for("route.a", "closed");
}

/// What has left its group is found all the same, by the daemon that adopts it (PR_SET_CHILD_SUBREAPER outlives execve(2)).
fn the_leavings_of_a_process_are_still_its_own() {
    let daemon = Daemon::start(
        "[process.p]\ncommand = [$PEER, \"grandchild setsid | tell-variable SLUICED_PROCESS $DIR/told | hold\", \"hold\"]\nstop-timeout = \"500ms\"\n",
    );
    let escaped = until(
        || told(&daemon, "told").split_whitespace().nth(1)?.parse::<i32>().ok(),
        || "the grandchild does not tell".to_owned(),
    );
    daemon.upgrade();
    assert!(daemon.changes("StopProcess", json!({ "name": "p" })));
    until_gone(escaped);
}

fn its_cgroup_is_still_its_own() {
    let Some(cgroup) = Cgroup::delegated() else { return };
    let wrapper = cgroup.wrapper();
    let words: Vec<&str> = wrapper.iter().map(String::as_str).collect();
    let daemon = Daemon::config(
        "[process.p]\ncommand = [$PEER, \"grandchild setsid | tell-variable SLUICED_PROCESS $DIR/told | hold\", \"hold\"]\nstop-timeout = \"500ms\"\n",
    )
    .wrapped_in(&words)
    .start();
    let escaped = until(
        || told(&daemon, "told").split_whitespace().nth(1)?.parse::<i32>().ok(),
        || "the grandchild does not tell".to_owned(),
    );
    let before = cgroup.below();
    daemon.upgrade();
    daemon.upgrade();
    assert_eq!(cgroup.below(), before);
    daemon.wait_until("process.p", "its processor time", |process| {
        process.maybe_int("cpuUSec").is_some()
    });
    assert!(daemon.changes("RestartProcess", json!({ "name": "p" })));
    until_gone(escaped);
    until(
        || (cgroup.below() == ["process-p.2", "supervisor"]).then_some(()),
        || format!("{:?}", cgroup.below()),
    );
    daemon.finish();
    assert_eq!(cgroup.below(), ["supervisor"]);
}

/// Early exits before an upgrade are early exits after it.
fn a_start_limit_counts_on() {
    let daemon = Daemon::start(&format!(
        "{GATE}[process.p]\ncommand = [$PEER, \"tell $DIR/starts x\", \"await $DIR/run/gate\", \"exit 1\"]\nrestart-delay = \"1ms\"\n\
         restart-delay-max = \"60s\"\nstart-limit = {{ burst = 3, interval = \"60s\" }}\n"
    ));
    for start in 1..=4 {
        until(
            || (told(&daemon, "starts").lines().count() == start).then_some(()),
            || format!("start {start} has not come\n{}", daemon.log()),
        );
        daemon.upgrade();
        open_gate(&daemon);
    }
    daemon.wait_for("process.p", "failed");
    assert_eq!(told(&daemon, "starts").lines().count(), 4);
}
