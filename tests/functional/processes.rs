//! Supervised children: what they are given, how they are watched, how they are stopped.

use std::collections::BTreeMap;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::support::{Daemon, FifoReader, FifoWriter, Probe, Shown, Taken, stories, until};

stories!(
    a_child_gets_blocking_pipes_and_nothing_else,
    a_child_starts_with_default_signals_and_its_own_group,
    a_child_knows_its_name_and_has_the_limits_put_back,
    environment_and_working_directory,
    a_hundred_children_exit_together,
    restart_says_what_happens_next,
    backing_off_is_shown,
    a_grandchild_keeps_the_output,
    a_grandchild_that_does_not_end_is_ended,
    a_grandchild_that_left_its_group_is_abandoned,
    what_ignores_sigterm_is_killed_with_its_group,
    a_stopped_child_is_stopped_all_the_same,
    signals_are_passed_on,
    output_without_a_route_is_logged,
    restart_starts_another,
);

/// Everything that a shell can say of itself, as one process's output.
fn told(script: &str, settings: &str) -> String {
    let daemon = Daemon::start(&format!(
        r#"
        [process.p]
        command = ["sh", "-c", {script:?}]
        restart = "never"
        {settings}

        [route.i]
        from = {{ fifo = "in", on-eof = "close" }}
        to = "process:p.stdin"

        [route.o]
        from = "process:p.stdout"
        to = "file:$DIR/out"

        [route.e]
        from = "process:p.stderr"
        to = "null"
        "#
    ));
    let out = daemon.file("out");
    daemon.wait_for("process.p", "finished");
    daemon.wait_for("route.o", "closed");
    let told = std::fs::read_to_string(out).expect("what it told");
    daemon.finish();
    told
}

/// POSIX, and uvloop test_process.py: 0, 1 and 2 are blocking pipes, and there is no other descriptor.
fn a_child_gets_blocking_pipes_and_nothing_else() {
    let told = told(
        "cd /proc/$$/fd; for n in *; do echo $n $(readlink $n) $(grep flags ../fdinfo/$n); done",
        "",
    );
    let lines: Vec<Vec<&str>> = told.lines().map(|line| line.split_whitespace().collect()).collect();
    let numbers: Vec<&str> = lines.iter().map(|words| words[0]).collect();
    assert_eq!(numbers, ["0", "1", "2"], "{told}");
    for words in lines {
        assert!(words[1].starts_with("pipe:"), "{told}");
        let flags = u32::from_str_radix(words[3], 8).expect("octal flags");
        assert_eq!(flags & nix::libc::O_NONBLOCK.cast_unsigned(), 0, "non-blocking: {told}");
    }
}

/// CPython bpo-1736483 and every supervisor's list: default dispositions, an empty mask, a group of its own.
fn a_child_starts_with_default_signals_and_its_own_group() {
    // grep is a child of the shell's and gets what the shell was given.
    let told = told(
        "grep -E '^(SigBlk|SigIgn|SigCgt)' /proc/self/status; cat /proc/$$/stat; echo $$",
        "",
    );
    let mut lines = told.lines();
    for name in ["SigBlk", "SigIgn", "SigCgt"] {
        let line = lines.next().expect("a line of status");
        let mask = line.split_whitespace().nth(1).expect("a mask");
        assert!(
            line.starts_with(name) && mask.chars().all(|digit| digit == '0'),
            "{told}"
        );
    }
    let stat: Vec<&str> = lines.next().expect("stat").split_whitespace().collect();
    assert_eq!(Some(stat[4]), lines.next(), "its group is its own: {told}");
}

/// The soft limit of descriptors that the daemon raises for itself is put back.
fn a_child_knows_its_name_and_has_the_limits_put_back() {
    let told = told("echo $SLUICED_PROCESS; ulimit -Sn; ulimit -Hn", "");
    let (soft, hard) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).expect("a limit");
    let limit = |value: u64| {
        if value == u64::MAX {
            "unlimited".to_owned()
        } else {
            value.to_string()
        }
    };
    assert_eq!(told, format!("p\n{}\n{}\n", limit(soft), limit(hard)));
}

fn environment_and_working_directory() {
    let told = told(
        "echo $A-$HOME; pwd",
        "working-directory = \"/usr\"\nenvironment = { A = \"$x\" }",
    );
    assert_eq!(
        told,
        format!("$x-{}\n/usr\n", std::env::var("HOME").unwrap_or_default())
    );
    let cleared = self::told(
        "echo [$HOME] $A $SLUICED_PROCESS",
        "clear-environment = true\nenvironment = { A = \"1\" }",
    );
    assert_eq!(cleared, "[] 1 p\n");
}

/// libuv test-spawn and CPython's child watchers: SIGCHLD coalesces; each exit code is its own.
fn a_hundred_children_exit_together() {
    let mut config =
        String::from("[route.gate]\nfrom = { fifo = \"gate-in\", on-eof = \"close\" }\nto = \"fifo:gate\"\n");
    for number in 0..100 {
        // They wait for one and the same byte that nobody writes: its end lets all go at once.
        config.push_str(&format!(
            "[process.p{number}]\ncommand = [\"sh\", \"-c\", \"read x < '$DIR/run/gate'; exit {number}\"]\n\
             restart = \"never\"\n"
        ));
    }
    let daemon = Daemon::start(&config);
    let gate = FifoWriter::open(daemon.fifo("gate-in"));
    daemon.wait_for("route.gate", "flowing");
    drop(gate);
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

/// golang/go#60309, cpython gh-119710: the exit is told at once, and the rest of the output still arrives.
fn a_grandchild_keeps_the_output() {
    let daemon = Daemon::start(
        r#"
        [process.p]
        command = [$PEER, "say child", "grandchild await $DIR/run/gate | say grandchild", "exit 5"]
        restart = "never"
        stop-timeout = "60s"

        [route.gate]
        from = "fifo:gate-in"
        to = "fifo:gate"

        [route.o]
        from = "process:p.stdout"
        to = "fifo:out"
        "#,
    );
    let mut monitor = daemon.monitor();
    let mut reader = FifoReader::open(daemon.fifo("out"));
    assert_eq!(reader.read_exact(6), b"child\n");
    let process = daemon.wait_until("process.p", "exited", |process| !process.field("lastExit").is_null());
    assert_eq!(process.object("lastExit").int("code"), 5);
    assert_eq!(reader.try_read(1), Taken::Nothing);
    FifoWriter::open(daemon.fifo("gate-in")).write_all(b"go");
    assert_eq!(reader.read_to_end(), b"grandchild\n");
    daemon.wait_for("route.o", "closed");
    monitor.wait_for("route_closed", "route:o");
    assert_eq!(monitor.count("output_abandoned", "process:p"), 0);
}

/// process-compose#520: the leader has gone, its group has not.
fn a_grandchild_that_does_not_end_is_ended() {
    let daemon = Daemon::start(
        r#"
        [process.p]
        command = [$PEER, "grandchild say held | hold", "exit 0"]
        restart = "never"
        stop-timeout = "300ms"

        [route.o]
        from = "process:p.stdout"
        to = "fifo:out"
        "#,
    );
    let mut reader = FifoReader::open(daemon.fifo("out"));
    assert_eq!(reader.read_to_end(), b"held\n");
    daemon.wait_for("route.o", "closed");
}

/// One that is in another session cannot be killed with the group: the pipe is closed, and that is told.
fn a_grandchild_that_left_its_group_is_abandoned() {
    let daemon = Daemon::start(
        r#"
        [process.p]
        command = [$PEER, "grandchild setsid | say held | tell $DIR/up x | await $DIR/run/gate", "exit 0"]
        restart = "never"
        stop-timeout = "300ms"

        [route.gate]
        from = "fifo:gate-in"
        to = "fifo:gate"

        [route.o]
        from = "process:p.stdout"
        to = "fifo:out"
        "#,
    );
    let mut monitor = daemon.monitor();
    let mut reader = FifoReader::open(daemon.fifo("out"));
    assert_eq!(reader.read_to_end(), b"held\n");
    daemon.wait_for("route.o", "closed");
    monitor.wait_for("output_abandoned", "process:p");
    assert_eq!(monitor.count("output_abandoned", "process:p"), 1);
    // It is nobody's any more; let it go.
    FifoWriter::open(daemon.fifo("gate-in")).write_all(b"go");
    daemon.wait_until("route.gate", "left", |route| route.paused_only_for("no_reader"));
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

/// Supervisors' logs: line by line, with the process's name; a last line without its newline, too.
fn output_without_a_route_is_logged() {
    let daemon = Daemon::start(
        r#"
        [process.talker]
        command = [$PEER, "say to-stdout", "complain to-stderr", "text no-newline"]
        restart = "never"

        [process.quiet]
        command = [$PEER, "say not-to-be-seen"]
        restart = "never"
        stdout = "null"
        "#,
    );
    daemon.wait_for("process.talker", "finished");
    daemon.wait_for("process.quiet", "finished");
    for text in ["to-stdout", "to-stderr", "no-newline"] {
        daemon.wait_for_log(text);
        let log = daemon.log();
        let line = log.lines().find(|line| line.contains(text)).expect("the line");
        assert!(line.contains("talker"), "{line}");
    }
    assert!(!daemon.log().contains("not-to-be-seen"));
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
