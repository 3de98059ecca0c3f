//! When a process is ready, and who is started before whom.

use std::cell::Cell;
use std::fs::OpenOptions;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};

use nix::libc::O_NONBLOCK;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User};
use serde_json::json;

use crate::support::{Daemon, FifoWriter, make_fifo, require_root, require_tool, stories};

stories!(
    a_producer_is_not_started_before_its_consumer_is_ready,
    a_newline_on_a_descriptor,
    a_chain_is_started_from_its_end,
    a_consumer_that_cannot_run_holds_nobody_up,
    a_consumer_that_is_tried_again_is_waited_for,
    in_a_cycle_nobody_waits,
    a_start_by_hand_does_not_wait_for_others,
    a_start_is_answered_when_it_is_ready,
    status_is_shown,
    who_is_not_ready_in_time_is_stopped,
    more_time_to_be_ready,
    a_descriptor_closed_without_a_newline,
    a_silent_process_is_restarted,
    a_frozen_process_is_restarted,
    strangers_are_refused_and_relatives_are_not,
    garbage_and_descriptors_are_harmless,
    one_that_talks_without_end_costs_no_memory,
    more_time_to_stop_is_no_more_time_at_the_end,
    what_a_child_finds_in_its_environment,
    another_user_says_that_it_is_ready,
    a_look_up_of_its_user_is_not_its_time,
);

/// By which a story lets a peer go on.
const GATE: &str = r#"
    [route.gate]
    from = "fifo:gate-in"
    to = "fifo:gate"
"#;

fn start(config: &str) -> Daemon {
    Daemon::start(&format!("{GATE}{config}"))
}

fn open_gate(daemon: &Daemon) {
    FifoWriter::open(daemon.fifo("gate-in")).write_all(b"x");
}

fn told(daemon: &Daemon, name: &str) -> String {
    std::fs::read_to_string(daemon.file(name)).unwrap_or_default()
}

/// Waits until the log, which is written behind what it tells of, has the last of these, and finds all in this order.
fn in_order(daemon: &Daemon, texts: &[&str]) {
    daemon.wait_for_log(texts[texts.len() - 1]);
    let log = daemon.log();
    let mut from = 0;
    for text in texts {
        let at = log[from..].find(text);
        from += at.unwrap_or_else(|| panic!("{text:?} is not where it belongs in\n{log}"));
    }
}

/// systemd's After=, along the routes: by the order of what they write, and of what is told.
fn late_consumer(ready: &str, step: &str) {
    let daemon = start(&format!(
        r#"
        [process.producer]
        command = [$PEER, "tell $DIR/order producer", "hold"]

        [process.consumer]
        command = [$PEER, "tell $DIR/order consumer", "await $DIR/run/gate", "tell $DIR/order ready", "{step}", "sink"]
        ready = "{ready}"

        [route.a]
        from = "process:producer.stdout"
        to = "process:consumer.stdin"
        "#
    ));
    let mut monitor = daemon.monitor();
    daemon.wait_until("process.consumer", "told", |_| told(&daemon, "order") == "consumer\n");
    assert_eq!(daemon.process("consumer").state(), "starting");
    let producer = daemon.process("producer");
    assert_eq!((producer.state(), producer.text("wanted")), ("waiting", "up"));
    assert_eq!(producer.maybe_int("startedAtUSec"), None, "{producer}");
    assert_eq!(daemon.route("a").state(), "opening");
    let why = daemon.ctl(&["why", "a"]).expect_code(0).stdout;
    assert!(
        why.contains("producer waits for consumer, which is downstream of it"),
        "{why}"
    );
    assert!(why.contains("consumer is starting"), "{why}");
    open_gate(&daemon);
    monitor.wait_for("process_ready", "process:producer");
    assert_eq!(
        monitor.count("process_ready", "process:consumer"),
        1,
        "before the producer's"
    );
    daemon.wait_until("process.producer", "told", |_| {
        told(&daemon, "order") == "consumer\nready\nproducer\n"
    });
    in_order(
        &daemon,
        &[
            "process:consumer: started",
            "process:consumer: ready",
            "process:producer: started",
        ],
    );
    daemon.wait_until("route.a", "open", |route| route.state() != "opening");
}

fn a_producer_is_not_started_before_its_consumer_is_ready() {
    late_consumer("notify", "notify READY=1");
}

/// s6's notification-fd.
fn a_newline_on_a_descriptor() {
    late_consumer("fd:3", "notify-fd 3");
}

fn a_chain_is_started_from_its_end() {
    let daemon = Daemon::start(
        r#"
        [process.a]
        command = [$PEER, "hold"]
        [process.b]
        command = [$PEER, "sink"]
        [process.c]
        command = [$PEER, "sink"]
        [process.d]
        command = [$PEER, "sink"]

        [route.one]
        from = "process:a.stdout"
        to = ["process:b.stdin", "process:d.stdin"]
        [route.two]
        from = "process:b.stdout"
        to = "process:c.stdin"
        "#,
    );
    daemon.wait_for("process.a", "ready");
    in_order(
        &daemon,
        &[
            "process:c: ready",
            "process:b: started",
            "process:b: ready",
            "process:a: started",
        ],
    );
    in_order(&daemon, &["process:d: ready", "process:a: started"]);
}

/// systemd's Wants=, not its Requires=.
fn a_consumer_that_cannot_run_holds_nobody_up() {
    let daemon = Daemon::start(
        r#"
        [process.producer]
        command = [$PEER, "hold"]
        [process.failed]
        command = ["/no/such/program"]
        [process.stopped]
        command = [$PEER, "sink"]
        autostart = false
        [process.finished]
        command = [$PEER, "exit 0"]
        restart = "never"
        ready = "notify"

        [route.a]
        from = "process:producer.stdout"
        to = ["process:failed.stdin", "process:stopped.stdin", "process:finished.stdin"]
        "#,
    );
    daemon.wait_for("process.producer", "ready");
    assert_eq!(daemon.process("failed").state(), "failed");
    assert_eq!(daemon.process("stopped").state(), "stopped");
    assert_eq!(daemon.process("finished").state(), "finished");
}

fn a_consumer_that_is_tried_again_is_waited_for() {
    let daemon = Daemon::start(
        r#"
        [process.producer]
        command = [$PEER, "hold"]
        [process.consumer]
        command = ["sh", "-c", "[ -e '$DIR/tried' ] || { touch '$DIR/tried'; exit 1; }; echo >&3; exec cat"]
        ready = "fd:3"
        restart-delay = "10ms"

        [route.a]
        from = "process:producer.stdout"
        to = "process:consumer.stdin"
        "#,
    );
    daemon.wait_for("process.producer", "ready");
    in_order(
        &daemon,
        &[
            "process:consumer: next start in",
            "process:consumer: ready",
            "process:producer: started",
        ],
    );
}

fn in_a_cycle_nobody_waits() {
    let daemon = start(
        r#"
        [process.a]
        command = [$PEER, "notify READY=1", "hold"]
        ready = "notify"
        [process.b]
        command = [$PEER, "notify READY=1", "hold"]
        ready = "notify"
        [process.end]
        command = [$PEER, "await $DIR/run/gate", "notify READY=1", "sink"]
        ready = "notify"

        [route.one]
        from = "process:a.stdout"
        to = "process:b.stdin"
        [route.two]
        from = "process:b.stdout"
        to = ["process:a.stdin", "process:end.stdin"]
        "#,
    );
    daemon.wait_for_log("started in config order, and none waits for another");
    daemon.wait_for("process.end", "starting");
    assert_eq!(daemon.process("b").state(), "waiting", "b feeds one outside of it");
    open_gate(&daemon);
    daemon.wait_for("process.a", "ready");
    daemon.wait_for("process.b", "ready");
    in_order(&daemon, &["process:end: ready", "process:b: started"]);
}

fn a_start_by_hand_does_not_wait_for_others() {
    let daemon = Daemon::start(
        r#"
        [process.producer]
        command = [$PEER, "hold"]
        [process.other]
        command = [$PEER, "hold"]
        [process.consumer]
        command = [$PEER, "sink"]
        ready = "notify"

        [route.a]
        from = ["process:producer.stdout", "process:other.stdout"]
        to = "process:consumer.stdin"
        "#,
    );
    daemon.wait_for("process.consumer", "starting");
    daemon.wait_for("process.producer", "waiting");
    assert!(daemon.changes("StartProcess", json!({ "name": "producer" })));
    assert!(!daemon.changes("StartProcess", json!({ "name": "producer" })));
    assert_eq!(daemon.process("producer").state(), "ready");
    assert_eq!(daemon.process("consumer").state(), "starting");
    assert!(daemon.changes("StopProcess", json!({ "name": "other" })));
    assert_eq!(daemon.process("other").state(), "stopped");
}

fn a_start_is_answered_when_it_is_ready() {
    let daemon = start(
        r#"
        [process.p]
        command = [$PEER, "await $DIR/run/gate", "notify READY=1", "hold"]
        autostart = false
        ready = "notify"

        [process.quitter]
        command = [$PEER, "exit 3"]
        autostart = false
        restart = "never"
        ready = "notify"
        "#,
    );
    let mut client = daemon.client();
    client.send_call("StartProcess", &json!({ "name": "p" }), &[]);
    daemon.wait_for("process.p", "starting");
    open_gate(&daemon);
    assert!(client.reply().expect("StartProcess").flag("changed"));
    assert_eq!(daemon.process("p").state(), "ready");

    let error = daemon
        .call("StartProcess", json!({ "name": "quitter" }))
        .expect_err("it is never ready");
    let text = error.parameters.text("text");
    assert!(text.contains("before it was ready: exit 3"), "{text}");
}

/// sd_notify(3): STATUS=
fn status_is_shown() {
    let daemon = start(
        r#"
        [process.p]
        command = [$PEER, "notify STATUS=warming up", "await $DIR/run/gate", "notify READY=1\nSTATUS=serving 3 clients", "await $DIR/run/gate", "exit 1"]
        ready = "notify"
        restart = "never"
        "#,
    );
    let says = |text: &'static str| move |process: &crate::support::Shown| process.text_or_empty("statusText") == text;
    let shown = daemon.wait_until("process.p", "warming up", says("warming up"));
    assert_eq!(shown.state(), "starting");
    open_gate(&daemon);
    let shown = daemon.wait_until("process.p", "serving", says("serving 3 clients"));
    assert_eq!(shown.state(), "ready");
    let said = daemon.ctl(&["status", "p"]).expect_code(0).stdout;
    assert!(said.contains("ready: serving 3 clients"), "{said}");
    open_gate(&daemon);
    let shown = daemon.wait_for("process.p", "finished");
    assert!(shown.field("statusText").is_null(), "it is of a life: {shown}");
}

fn who_is_not_ready_in_time_is_stopped() {
    let daemon = Daemon::start(
        r#"
        [process.p]
        command = [$PEER, "ignore SIGTERM", "tell $DIR/lives x", "grandchild ignore SIGTERM | hold", "hold"]
        ready = "notify"
        ready-timeout = "300ms"
        stop-timeout = "100ms"
        restart-delay = "1ms"
        restart-delay-max = "1ms"
        start-limit = { burst = 1, interval = "100s" }
        "#,
    );
    let failed = daemon.wait_for("process.p", "failed");
    assert_eq!(told(&daemon, "lives"), "x\nx\n");
    let exit = failed.object("lastExit");
    assert_eq!(exit.text("signal"), "SIGKILL");
    assert_eq!(
        exit.text("text"),
        "not ready in time (ready-timeout: 300 ms); killed by SIGKILL"
    );
    assert!(failed.text("statusText").contains("not ready in time"), "{failed}");
    in_order(
        &daemon,
        &[
            "process:p: not ready in time (ready-timeout: 300 ms): stopping, by SIGTERM",
            "stopping, by SIGKILL",
            "next start in",
        ],
    );
    let error = daemon
        .call("StartProcess", json!({ "name": "p" }))
        .expect_err("it is never ready");
    assert!(error.parameters.text("text").contains("not ready in time"), "{error:?}");
}

/// sd_notify(3): EXTEND_TIMEOUT_USEC. The other one shows that the time is over.
fn more_time_to_be_ready() {
    let daemon = start(
        r#"
        [process.patient]
        command = [$PEER, "notify EXTEND_TIMEOUT_USEC=3600000000", "tell $DIR/asked x", "await $DIR/run/gate", "notify READY=1", "hold"]
        ready = "notify"
        ready-timeout = "2s"

        [process.other]
        command = [$PEER, "hold"]
        autostart = false
        restart = "never"
        ready = "notify"
        ready-timeout = "2s"
        "#,
    );
    daemon.wait_until("process.patient", "asked", |_| told(&daemon, "asked") == "x\n");
    daemon
        .call("StartProcess", json!({ "name": "other" }))
        .expect_err("it is never ready");
    let patient = daemon.process("patient");
    assert_eq!((patient.state(), patient.int("restarts")), ("starting", 0));
    open_gate(&daemon);
    daemon.wait_for("process.patient", "ready");
}

/// s6: an end of file is no newline.
fn a_descriptor_closed_without_a_newline() {
    let daemon = Daemon::start(
        r#"
        [process.p]
        command = ["sh", "-c", "printf word >&4; exec 4>&-; exec sleep 1000"]
        ready = "fd:4"
        ready-timeout = "500ms"
        restart = "never"
        "#,
    );
    let shown = daemon.wait_for("process.p", "finished");
    assert_eq!(
        shown.object("lastExit").text("text"),
        "not ready in time (ready-timeout: 500 ms); killed by SIGTERM"
    );
}

/// systemd's WatchdogSec=.
fn a_silent_process_is_restarted() {
    let daemon = Daemon::start(
        r#"
        [process.p]
        command = [$PEER, "notify READY=1", "feed-watchdog 20 $DIR/silence", "hold"]
        ready = "notify"
        watchdog = "1s"
        restart = "on-failure"
        "#,
    );
    let mut monitor = daemon.monitor();
    daemon.wait_for("process.p", "ready");
    std::fs::write(daemon.file("silence"), "").expect("telling it to be silent");
    let stopping = monitor.wait_for("process_stopping", "process:p").object("detail");
    assert_eq!(stopping.text("signal"), "SIGABRT");
    assert_eq!(stopping.text("text"), "watchdog: no WATCHDOG=1 for 1 s");
    let exited = monitor
        .wait_for("process_exited", "process:p")
        .object("detail")
        .object("exit");
    assert!(
        exited
            .text("text")
            .contains("watchdog: no WATCHDOG=1 for 1 s; killed by SIGABRT"),
        "{exited}"
    );
    monitor.wait_for("process_backing_off", "process:p");
    daemon.wait_until("process.p", "restarted", |process| process.int("restarts") >= 1);
    daemon.wait_for_log("process:p: watchdog: no WATCHDOG=1 for 1 s: stopping, by SIGABRT");
}

fn a_frozen_process_is_restarted() {
    let daemon = Daemon::start(
        r#"
        [process.p]
        command = [$PEER, "notify READY=1", "feed-watchdog 20 $DIR/never", "hold"]
        ready = "notify"
        watchdog = "1s"
        "#,
    );
    daemon.wait_for("process.p", "ready");
    let pid = daemon.pid_of("p");
    kill(Pid::from_raw(pid), Signal::SIGSTOP).expect("freezing it");
    let shown = daemon.wait_until("process.p", "restarted", |process| {
        process.int("restarts") >= 1 && process.state() == "ready"
    });
    assert_eq!(shown.object("lastExit").text("signal"), "SIGABRT", "{shown}");
}

/// systemd's NotifyAccess=all, by group and descent instead of by cgroup.
fn strangers_are_refused_and_relatives_are_not() {
    let daemon = start(
        r#"
        [process.victim]
        command = [$PEER, "tell-variable NOTIFY_SOCKET $DIR/address", "await $DIR/run/gate", "grandchild setsid | notify READY=1 | notify-barrier", "hold"]
        ready = "notify"

        [process.stranger]
        command = [$PEER, "notify-elsewhere $DIR/address", "hold"]
        "#,
    );
    daemon.wait_for_log("process:victim: refused what process");
    let victim = daemon.process("victim");
    assert_eq!(victim.state(), "starting");
    assert!(victim.field("statusText").is_null(), "{victim}");
    open_gate(&daemon);
    daemon.wait_for("process.victim", "ready");
}

fn garbage_and_descriptors_are_harmless() {
    let daemon = start(
        r#"
        [process.p]
        command = [$PEER, "notify-garbage", "notify-barrier", "tell $DIR/done x", "await $DIR/run/gate", "notify READY=1", "notify-barrier", "tell $DIR/done y", "hold"]
        ready = "notify"
        "#,
    );
    daemon.wait_until("process.p", "done", |_| told(&daemon, "done") == "x\n");
    let p = daemon.process("p");
    assert_eq!((p.state(), p.int("restarts")), ("starting", 0), "{p}");
    open_gate(&daemon);
    daemon.wait_until("process.p", "done", |_| told(&daemon, "done") == "x\ny\n");
    // The barrier was passed, so what came before it has been heard.
    assert_eq!(daemon.process("p").state(), "ready");
}

/// Each change of what it says was a word to everybody: there were more of them than anybody could hear.
fn one_that_talks_without_end_costs_no_memory() {
    const SLACK: u64 = 16 << 20;
    let daemon = start(
        r#"
        [process.p]
        command = [$PEER, "notify READY=1", "await $DIR/run/gate", "notify-chatter 2000", "notify-barrier", "tell $DIR/done x", "hold"]
        ready = "notify"
        "#,
    );
    daemon.wait_for("process.p", "ready");
    let before = daemon.probe().resident();
    open_gate(&daemon);
    let most = Cell::new(before);
    daemon.wait_until("process.p", "done", |_| {
        most.set(most.get().max(daemon.probe().resident()));
        told(&daemon, "done") == "x\n"
    });
    let most = most.get();
    assert!(
        before > 0 && most < before + SLACK,
        "{before} bytes of memory, and then {most}"
    );
    assert_eq!(daemon.process("p").text("statusText"), "b");
}

/// What was granted to an operator's stop does not hold the daemon up: this ends by itself.
fn more_time_to_stop_is_no_more_time_at_the_end() {
    let daemon = start(
        r#"
        [process.p]
        command = [$PEER, "ignore SIGTERM", "notify READY=1", "await $DIR/run/gate", "notify EXTEND_TIMEOUT_USEC=18446744073709551615", "notify-barrier", "tell $DIR/done x", "hold"]
        ready = "notify"
        stop-timeout = "5s"
        "#,
    );
    daemon.wait_for("process.p", "ready");
    daemon.ctl(&["--no-wait", "stop", "p"]).expect_code(0);
    open_gate(&daemon);
    daemon.wait_until("process.p", "done", |_| told(&daemon, "done") == "x\n");
    assert_eq!(daemon.process("p").state(), "stopping");
    daemon.finish();
}

/// sd_watchdog_enabled(3): the process id is the child's own. What the daemon has been told is not its children's.
fn what_a_child_finds_in_its_environment() {
    let daemon = Daemon::config(
        r#"
        [process.notifies]
        command = [$PEER, "tell-variable WATCHDOG_PID $DIR/pid", "tell-variable WATCHDOG_USEC $DIR/usec", "notify READY=1", "hold"]
        ready = "notify"
        watchdog = "90s"

        [process.does-not]
        command = [$PEER, "tell-variable NOTIFY_SOCKET $DIR/none", "tell-variable WATCHDOG_USEC $DIR/none", "tell-variable WATCHDOG_PID $DIR/none", "sink"]

        [route.a]
        from = "process:notifies.stdout"
        to = "process:does-not.stdin"
        "#,
    )
    .environment("NOTIFY_SOCKET", "/nowhere")
    .environment("WATCHDOG_USEC", "1000000000")
    .environment("WATCHDOG_PID", "1")
    .start();
    daemon.wait_for("process.notifies", "ready");
    let (own, other) = (daemon.pid_of("notifies"), daemon.pid_of("does-not"));
    assert_eq!(told(&daemon, "pid"), format!("{own} {own}\n"));
    assert_eq!(told(&daemon, "usec"), format!("90000000 {own}\n"));
    let none = format!("unset {other}\n").repeat(3);
    daemon.wait_until("process.does-not", "told", |_| told(&daemon, "none") == none);
}

/// Neither way asks who it is: the address is abstract, and the descriptor's pipe belongs to the user, so that it may be
/// opened anew.
fn another_user_says_that_it_is_ready() {
    if !require_root() {
        return;
    }
    let builder = Daemon::config(
        r#"
        [process.notifies]
        command = ["$DIR/peer", "@peer", "tell-variable WATCHDOG_PID $DIR/open/pid", "tell-variable NOTIFY_SOCKET $DIR/open/address", "notify STATUS=here\nREADY=1", "hold"]
        user = "nobody"
        clear-environment = true
        no-new-privileges = true
        ready = "notify"
        watchdog = "90s"

        [process.relative]
        command = ["$DIR/peer", "@peer", "grandchild setsid | notify READY=1 | notify-barrier", "hold"]
        user = "nobody"
        ready = "notify"

        [process.writes]
        command = ["/bin/sh", "-c", "echo > /proc/self/fd/3; exec sleep 1000"]
        user = "nobody"
        ready = "fd:3"

        # Its own pipe is at another number, and is its user's as well.
        [process.both]
        command = ["/bin/sh", "-c", "echo > /dev/fd/4; exec cat <&3 > /dev/fd/5"]
        user = "nobody"
        ready = "fd:4"

        [route.in]
        from = ["process:notifies.stdout", "process:relative.stdout", "process:writes.stdout"]
        to = "process:both.fd3"

        [route.out]
        from = "process:both.fd5"
        to = "null"
        "#,
    );
    // The story's own directory is closed to others, and so may be that of the peer.
    let mode = |path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("a mode");
    let (home, open, peer) = (
        builder.place().home().to_owned(),
        builder.place().file("open"),
        builder.place().file("peer"),
    );
    std::fs::create_dir(&open).expect("a directory");
    std::fs::copy(std::env::current_exe().expect("the peer"), &peer).expect("a copy of the peer");
    mode(&home, 0o755);
    mode(&open, 0o777);
    mode(&peer, 0o755);
    let daemon = builder.start();
    for name in ["both", "notifies", "relative", "writes"] {
        daemon.wait_for(&format!("process.{name}"), "ready");
    }
    in_order(&daemon, &["process:both: ready", "process:notifies: started"]);
    assert!(!daemon.log().contains("refused"), "{}", daemon.log());
    let notifies = daemon.process("notifies");
    assert_eq!((notifies.text("statusText"), notifies.int("restarts")), ("here", 0));
    let pid = daemon.pid_of("notifies");
    assert_eq!(told(&daemon, "open/pid"), format!("{pid} {pid}\n"));
    assert!(told(&daemon, "open/address").starts_with('@'));
    let nobody = User::from_name("nobody")
        .expect("the user database")
        .expect("nobody")
        .uid;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("its status");
    assert!(
        status.contains(&format!("Uid:\t{nobody}\t{nobody}\t{nobody}\t{nobody}\n")),
        "{status}"
    );
}

/// getpwuid(3) may ask a network. Here the database is a FIFO, which nobody can open before somebody writes it, and then it
/// knows nobody, which is no matter for a number with a group. The other one, which has more time and is started later,
/// shows that the time would be over.
fn a_look_up_of_its_user_is_not_its_time() {
    if !require_root() || !require_tool("unshare") {
        return;
    }
    let builder = Daemon::config(
        r#"
        [process.producer]
        command = [$PEER, "hold"]

        [process.p]
        command = ["/bin/sh", "-c", "echo > /dev/fd/3; exec cat"]
        user = "7001"
        group = "7001"
        ready = "fd:3"
        ready-timeout = "1s"

        [process.feeds-stuck]
        command = [$PEER, "hold"]

        [process.stuck]
        command = ["cat"]
        user = "7001"
        group = "7001"

        [process.other]
        command = [$PEER, "hold"]
        autostart = false
        restart = "never"
        ready = "notify"
        ready-timeout = "2s"

        [route.a]
        from = "process:producer.stdout"
        to = "process:p.stdin"

        [route.b]
        from = "process:feeds-stuck.stdout"
        to = "process:stuck.stdin"
        "#,
    );
    let passwd = builder.place().file("passwd");
    make_fifo(&passwd);
    let script = format!("mount --bind '{}' /etc/passwd && exec \"$@\"", passwd.display());
    let daemon = builder
        .wrapped_in(&["unshare", "--mount", "sh", "-c", &script, "sh"])
        .start();
    daemon.wait_for("process.p", "starting");
    daemon.wait_for("process.stuck", "starting");
    daemon
        .call("StartProcess", json!({ "name": "other" }))
        .expect_err("it is never ready");
    let p = daemon.process("p");
    assert_eq!(
        (p.state(), p.maybe_int("pid"), p.int("restarts")),
        ("starting", None, 0),
        "{p}"
    );
    assert!(p.field("lastExit").is_null(), "{p}");
    // Whoever is stopped meanwhile holds nobody up any longer.
    assert_eq!(daemon.process("feeds-stuck").state(), "waiting");
    assert!(daemon.changes("StopProcess", json!({ "name": "stuck" })));
    daemon.wait_for("process.feeds-stuck", "ready");
    assert_eq!(daemon.process("producer").state(), "waiting");
    // The thread that looked up for that one may hang there still: the answer is given until it is heard.
    daemon.wait_until("process.p", "ready", |p| {
        let _ = OpenOptions::new().write(true).custom_flags(O_NONBLOCK).open(&passwd);
        p.state() == "ready"
    });
    daemon.wait_for("process.producer", "ready");
    in_order(&daemon, &["process:p: ready", "process:producer: started"]);
}
