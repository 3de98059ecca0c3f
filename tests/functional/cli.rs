//! `sluicectl`: its verbs, its words and its exit codes.

use std::io::Write;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::{
    Background, Daemon, FifoReader, FifoWriter, Pattern, output_of, program, sluicectl, stories, until,
};

stories!(
    exit_codes,
    what_cannot_be_executed_is_told_once,
    a_reply_without_an_end_is_no_reply,
    an_empty_name_is_a_usage_error,
    the_socket_is_found,
    pause_and_resume,
    a_paused_route_says_why,
    a_backing_off_process_says_when,
    processes_are_driven,
    json_is_one_line_a_reply,
    drain_waits_or_does_not,
    events_follow,
    config_and_shutdown,
);

const PLAIN: &str = "
    [process.p]
    command = [$PEER, \"hold\"]

    [route.a]
    from = \"fifo:in\"
    to = \"fifo:out\"
    ";

/// 0 ok, 1 refused or failed, 2 usage, 3 no daemon, 4 no such route or process.
fn exit_codes() {
    let daemon = Daemon::start(PLAIN);
    for arguments in [
        &["status"] as &[&str],
        &["routes"],
        &["processes"],
        &["status", "a"],
        &["status", "p"],
    ] {
        daemon.ctl(arguments).expect_code(0);
    }
    let finished = daemon.ctl(&["signal", "p", "SIGNONSENSE"]);
    assert!(finished.code == 1 || finished.code == 2, "{finished:?}");
    for arguments in [
        &[] as &[&str],
        &["nonsense"],
        &["pause"],
        &["pause", "a", "b"],
        &["--nonsense", "status"],
    ] {
        daemon.ctl(arguments).expect_code(2);
    }
    for verb in ["pause", "resume", "drain", "start", "stop", "restart", "status"] {
        let finished = daemon.ctl(&[verb, "nope"]).expect_code(4);
        assert!(finished.stderr.contains("nope"), "{verb}: {finished:?}");
    }
    daemon.ctl(&["signal", "nope", "SIGTERM"]).expect_code(4);
    // A route is no process, and the other way round.
    daemon.ctl(&["pause", "p"]).expect_code(4);
    daemon.ctl(&["stop", "a"]).expect_code(4);
    let finished = sluicectl(Path::new("/nonexistent/control.sock"), &["status"]).expect_code(3);
    assert!(finished.stderr.contains("/nonexistent/control.sock"), "{finished:?}");
}

/// A verb that needs a name never means "all" when the name is empty.
fn an_empty_name_is_a_usage_error() {
    let daemon = Daemon::start(PLAIN);
    daemon.wait_for("process.p", "ready");
    for verb in ["pause", "resume", "drain", "start", "stop", "restart"] {
        let finished = daemon.ctl(&[verb, ""]);
        assert!(finished.code == 2 || finished.code == 4, "{verb}: {finished:?}");
    }
    let finished = daemon.ctl(&["signal", "", "SIGKILL"]);
    assert!(finished.code == 2 || finished.code == 4, "{finished:?}");
    daemon.wait_for("process.p", "ready");
    assert!(!daemon.route("a").reasons().contains(&"operator".to_owned()));
}

/// `--socket`, else `$SLUICED_SOCKET`, else the first that exists.
fn the_socket_is_found() {
    let daemon = Daemon::start(PLAIN);
    let run = |name: &str, value: &Path| {
        let mut command = std::process::Command::new(program("sluicectl"));
        output_of(command.env_remove("SLUICED_SOCKET").env(name, value).args(["routes"]))
    };
    run("SLUICED_SOCKET", &daemon.place().socket()).expect_code(0);
    run("SLUICED_SOCKET", Path::new("/nonexistent")).expect_code(3);
    // $XDG_RUNTIME_DIR/sluiced/control.sock
    std::os::unix::fs::symlink("run", daemon.file("sluiced")).expect("a symlink");
    assert!(
        run("XDG_RUNTIME_DIR", daemon.place().home())
            .expect_code(0)
            .stdout
            .contains('a')
    );
}

fn pause_and_resume() {
    let daemon = Daemon::start(PLAIN);
    let _reader = FifoReader::open(daemon.fifo("out"));
    daemon.wait_for("route.a", "flowing");
    daemon.ctl(&["pause", "a"]).expect_code(0);
    daemon.ctl(&["pause", "a"]).expect_code(0);
    assert!(daemon.route("a").paused_only_for("operator"));
    daemon.ctl(&["resume", "a"]).expect_code(0);
    assert_eq!(daemon.route("a").state(), "flowing");
}

/// A readable table: the reason, and since when.
fn a_paused_route_says_why() {
    let daemon = Daemon::start(&format!("[daemon]\ndrain-timeout = \"100ms\"\n{PLAIN}"));
    let _never_reads = FifoReader::open(daemon.fifo("out"));
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    writer.write_until(Pattern::new(1), || daemon.route("a").paused_only_for("backpressure"));
    for arguments in [&["status"] as &[&str], &["routes"], &["status", "a"]] {
        let said = daemon.ctl(arguments).expect_code(0).stdout;
        assert!(
            said.contains("paused") && said.contains("backpressure"),
            "{arguments:?}: {said}"
        );
    }
}

fn a_backing_off_process_says_when() {
    let daemon = Daemon::start("[process.p]\ncommand = [$PEER, \"exit 7\"]\nrestart-delay = \"25s\"\n");
    daemon.wait_for("process.p", "backing_off");
    let said = daemon.ctl(&["processes"]).expect_code(0).stdout;
    let tells = ["backing", "exit 7", "s"].into_iter().all(|word| said.contains(word));
    assert!(tells, "{said}");
}

fn processes_are_driven() {
    let daemon = Daemon::start(PLAIN);
    let first = daemon.pid_of("p");
    daemon.ctl(&["restart", "p"]).expect_code(0);
    assert_ne!(daemon.pid_of("p"), first);
    daemon.ctl(&["stop", "p"]).expect_code(0);
    assert_eq!(daemon.process("p").state(), "stopped");
    daemon.ctl(&["start", "p"]).expect_code(0);
    let pid = daemon.pid_of("p");
    daemon.ctl(&["signal", "p", "SIGKILL"]).expect_code(0);
    daemon.wait_until("process.p", "another", |process| {
        process
            .maybe_int("pid")
            .is_some_and(|other| other != u64::from(pid.unsigned_abs()))
    });
}

/// `--json`: each reply's parameters, one line.
fn json_is_one_line_a_reply() {
    let daemon = Daemon::start(PLAIN);
    let parse = |arguments: &[&str]| -> Value {
        let said = daemon.ctl(arguments).expect_code(0).stdout;
        assert_eq!(said.lines().count(), 1, "{said}");
        serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
    };
    assert_eq!(parse(&["--json", "routes"])["routes"][0]["name"], "a");
    assert_eq!(parse(&["--json", "processes"])["processes"][0]["name"], "p");
    assert_eq!(parse(&["--json", "pause", "a"]), json!({ "changed": true }));
    assert_eq!(parse(&["--json", "pause", "a"]), json!({ "changed": false }));
}

fn drain_waits_or_does_not() {
    let daemon = Daemon::start(PLAIN);
    let mut reader = FifoReader::open(daemon.fifo("out"));
    FifoWriter::open(daemon.fifo("in")).write_all(b"last");
    daemon.ctl(&["--no-wait", "drain", "a"]).expect_code(0);
    assert_eq!(reader.read_to_end(), b"last");
    daemon.wait_for("route.a", "closed");
    daemon.ctl(&["resume", "a"]).expect_code(0);
    daemon.ctl(&["drain", "a"]).expect_code(0);
    assert_eq!(daemon.route("a").state(), "closed");
}

/// `events` tells the state of all and ends; `events --follow` goes on until the daemon has gone.
fn events_follow() {
    let daemon = Daemon::start(PLAIN);
    let socket = daemon.place().socket();
    let once = daemon.ctl(&["--json", "events"]).expect_code(0).stdout;
    assert!(once.contains("snapshot"), "{once}");
    // Not in the daemon's directory: that goes first.
    let home = tempfile::tempdir().expect("a directory");
    let told = home.path().join("events");
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", "exec \"$0\" --socket \"$1\" --json events --follow > \"$2\""]);
    shell.arg(program("sluicectl")).arg(socket).arg(&told);
    let following = crate::support::Background::run(move || output_of(&mut shell));
    let said = || std::fs::read_to_string(&told).unwrap_or_default();
    until(
        || said().contains("snapshot").then_some(()),
        || "nothing is told".to_owned(),
    );
    daemon.ctl(&["pause", "a"]).expect_code(0);
    daemon.ctl(&["resume", "a"]).expect_code(0);
    daemon.ctl(&["stop", "p"]).expect_code(0);
    daemon.finish();
    following.done();
    let said = said();
    assert!(
        said.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()),
        "{said}"
    );
    assert!(said.contains("process_stopped"), "{said}");
}

fn config_and_shutdown() {
    let daemon = Daemon::start(PLAIN);
    let text = std::fs::read_to_string(daemon.place().config()).expect("the config");
    let said = daemon.ctl(&["config"]).expect_code(0).stdout;
    assert!(said.contains(text.trim()), "{said}");
    daemon.ctl(&["shutdown"]).expect_code(0);
    daemon.expect_end(0);
}

fn what_cannot_be_executed_is_told_once() {
    let daemon = Daemon::start("[process.p]\ncommand = [\"/nonexistent/program\"]\n");
    daemon.wait_for("process.p", "failed");
    let shown = daemon.ctl(&["processes"]).expect_code(0).stdout;
    assert_eq!(shown.matches("/nonexistent/program").count(), 1, "{shown}");
}

/// Whatever listens on the socket: the memory that it can make `sluicectl` take is bounded.
fn a_reply_without_an_end_is_no_reply() {
    let home = tempfile::tempdir().expect("a directory");
    let path = home.path().join("socket");
    let listener = std::os::unix::net::UnixListener::bind(&path).expect("a socket");
    let server = Background::run(move || {
        let (mut client, _) = listener.accept().expect("a client");
        while client.write_all(&[b'x'; 1 << 16]).is_ok() {}
    });
    let error = sluicectl(&path, &["status"]).expect_code(1).stderr;
    assert!(error.contains("longer than"), "{error}");
    server.done();
}
