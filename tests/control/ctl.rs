//! `sluicectl` against the server.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use crate::backend::{Running, until};

fn ctl(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluicectl"));
    command
        .args(arguments)
        .env_remove("SLUICED_SOCKET")
        .env_remove("XDG_RUNTIME_DIR")
        .stdin(Stdio::null());
    command
}

fn on(server: &Running, arguments: &[&str]) -> Output {
    ctl(arguments).env("SLUICED_SOCKET", server.path()).output().unwrap()
}

fn spawn(server: &Running, arguments: &[&str]) -> Child {
    let mut command = ctl(arguments);
    command
        .env("SLUICED_SOCKET", server.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn text(output: &Output) -> String {
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn failed(output: &Output, code: i32) -> String {
    let error = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(code), "{error}");
    assert_eq!(output.stdout, b"", "what failed says nothing on stdout");
    error
}

#[test]
fn status_shows_all_or_what_was_named() {
    let server = Running::start();
    on(&server, &["pause", "ingest"]);
    let all = text(&on(&server, &["status"]));
    assert!(all.starts_with("sluiced 0.0.0, pid 7, "), "{all}");
    assert!(
        all.contains("ingest  splice     1 MiB     0 B      0 B  paused: operator since 12 s\n"),
        "{all}"
    );
    assert!(
        all.contains("web@2      -         0   -  backing off: next start in 3.2 s; last exit: exit 1\n"),
        "{all}"
    );
    let both = text(&on(&server, &["status", "web"]));
    for part in ["route web: paused", "process web@1: backing off", "process web@2: "] {
        assert!(both.contains(part), "{part}: {both}");
    }
    let one = text(&on(&server, &["status", "web@2"]));
    assert!(one.starts_with("process web@2: ") && !one.contains("web@1"), "{one}");
    let route = text(&on(&server, &["status", "ingest"]));
    assert!(route.contains("trouble: evil \\u{1b}[2J\n"), "{route}");
    assert!(!route.contains('\u{1b}'));
}

#[test]
fn the_verbs_do_what_they_say() {
    let server = Running::start();
    for (arguments, says) in [
        (&["pause", "ingest"][..], "route ingest is paused\n"),
        (&["pause", "ingest"], "route ingest was paused by an operator already\n"),
        (&["resume", "ingest"], "route ingest is resumed\n"),
        (&["resume", "ingest"], "route ingest had nothing to resume\n"),
        (&["drain", "ingest", "--abort"], "route ingest is drained and closed\n"),
        (
            &["drain", "ingest", "--no-wait", "--timeout", "5s"],
            "route ingest is being drained\n",
        ),
        (&["--no-wait", "start", "web@1"], "process web@1 is being started\n"),
        (&["--no-wait", "stop", "web"], "process web is being stopped\n"),
        (&["signal", "web", "HUP"], ""),
        (&["config"], "# /etc/a.toml\n[daemon]\n\\u{7}\n"),
        (&["reopen"], "3 files are reopened\n"),
        (&["--json", "reopen"], "{\"reopened\":3}\n"),
        (&["shutdown"], "the daemon is stopping\n"),
    ] {
        assert_eq!(text(&on(&server, arguments)), says, "{arguments:?}");
    }
}

#[test]
fn why_tells_the_chain_of_causes() {
    let server = Running::start();
    assert_eq!(
        text(&on(&server, &["why", "ingest"])),
        "ingest is paused since 12 s: web@2.stdin is full (64 KiB)\n→ web@2 is frozen\\u{1b}\n"
    );
    let told: Value = serde_json::from_str(&text(&on(&server, &["--json", "why", "ingest"]))).unwrap();
    assert_eq!(told["causes"][0]["subject"], "route:ingest");
    assert!(told["causes"][0]["sinceUSec"].is_u64(), "{told}");
    assert_eq!(
        told["causes"][1],
        json!({ "subject": "process:web@2", "text": "web@2 is frozen\u{1b}" })
    );
    failed(&on(&server, &["why", "nope"]), 4);

    let root = "  why: web@2 is frozen\\u{1b}\n";
    let status = || text(&on(&server, &["status", "ingest"]));
    assert!(!status().contains("why"), "it flows: {}", status());
    on(&server, &["pause", "ingest"]);
    assert!(status().contains(root), "{}", status());
    let shown = text(&on(&server, &["--json", "status", "ingest"]));
    assert_eq!(shown.lines().count(), 1, "{shown}");
}

#[test]
fn a_verb_waits_until_it_is_done() {
    let server = Running::start();
    let child = spawn(&server, &["stop", "web"]);
    until("it waits", || server.knobs.waiting.load(Ordering::SeqCst) == 1);
    server.knobs.release.notify_waiters();
    assert_eq!(text(&child.wait_with_output().unwrap()), "process web is stopped\n");
}

#[test]
fn json_is_one_line_a_reply() {
    let server = Running::start();
    let lines = |arguments: &[&str]| -> Vec<Value> {
        text(&on(&server, arguments))
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    };
    assert_eq!(lines(&["--json", "pause", "web"]), [json!({ "changed": true })]);
    assert_eq!(lines(&["status", "--json"]).len(), 3);
    assert_eq!(lines(&["status", "--json", "web"]).len(), 2);
    assert_eq!(lines(&["status", "--json", "web@1"]).len(), 1);
    assert_eq!(lines(&["routes", "--json"])[0]["routes"][0]["name"], "ingest");
    assert_eq!(lines(&["events", "--json"])[0]["kind"], "snapshot");
    assert_eq!(lines(&["signal", "web", "HUP", "--json"]), [json!({})]);
}

#[test]
fn the_exit_code_says_what_happened() {
    let server = Running::start();
    for (arguments, code, says) in [
        (&["pause", "nope"][..], 4, "no route \"nope\""),
        (&["stop", "nope"], 4, "no process \"nope\""),
        (&["status", "no\u{1b}pe"], 4, "no route or process \"no\\u{1b}pe\""),
        (&["restart", "web"], 1, "busy: it is stopping"),
        (&["signal", "web", "NOPE"], 1, "\"signal\" is not valid"),
        (&["events", "web"], 1, "\"subjects[0]\" is not valid"),
        (&["pause", ""], 2, ""),
        (&["pause"], 2, ""),
        (&["status", ""], 2, ""),
        (&["drain", "ingest", "--timeout", "5"], 2, ""),
        (&["no-such-verb"], 2, ""),
        (&[], 2, "Usage"),
    ] {
        let error = failed(&on(&server, arguments), code);
        assert!(error.contains(says), "{arguments:?}: {error}");
    }
    assert_eq!(on(&server, &["--help"]).status.code(), Some(0));
    assert_eq!(on(&server, &["--version"]).status.code(), Some(0));
}

#[test]
fn without_a_daemon_it_says_what_was_tried() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    let named = path.to_str().unwrap();
    let error = failed(&ctl(&["--socket", named, "status"]).output().unwrap(), 3);
    assert!(error.contains(named) && error.contains("not there"), "{error}");
    drop(UnixListener::bind(&path).unwrap());
    let error = failed(&ctl(&["status"]).env("SLUICED_SOCKET", &path).output().unwrap(), 3);
    assert!(
        error.contains(named) && error.contains("nobody listens there"),
        "{error}"
    );
    let own = directory.path().join("sluiced");
    std::fs::create_dir(&own).unwrap();
    drop(UnixListener::bind(own.join("control.sock")).unwrap());
    let error = failed(
        &ctl(&["status"])
            .env("XDG_RUNTIME_DIR", directory.path())
            .output()
            .unwrap(),
        3,
    );
    assert!(error.contains("sluiced/control.sock (nobody listens there)"), "{error}");
    assert!(
        !error.contains("/run/sluiced/"),
        "the first that exists is the one: {error}"
    );
}

fn stopping_web(socket: &Path) -> Child {
    let mut command = ctl(&["stop", "web"]);
    command.env("SLUICED_SOCKET", socket).stderr(Stdio::piped());
    command.spawn().unwrap()
}

#[test]
fn a_daemon_that_goes_away_is_noticed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    let listener = UnixListener::bind(&path).unwrap();
    let child = stopping_web(&path);
    let (mut stream, _) = listener.accept().unwrap();
    let mut request = [0; 16];
    stream.read_exact(&mut request).unwrap();
    drop(listener);
    drop(stream);
    let output = child.wait_with_output().unwrap();
    assert!(failed(&output, 3).contains("went away"));
}

/// Over an upgrade it asks again; that there is somebody who answers is known before it waits.
#[test]
fn a_call_that_waits_is_not_asked_again_of_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    let listener = UnixListener::bind(&path).unwrap();
    let child = stopping_web(&path);
    let asked = || {
        let (stream, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        BufReader::new(&stream).read_until(0, &mut request).unwrap();
        request.pop();
        (stream, serde_json::from_slice::<Value>(&request).unwrap())
    };
    let (first, request) = asked();
    assert_eq!(request["method"], "io.sluiced.Relay.StopProcess");
    drop(first);
    let (silent, request) = asked();
    assert_eq!(request["method"], "org.varlink.service.GetInfo");
    let output = child.wait_with_output().unwrap();
    assert!(failed(&output, 3).contains("went away"));
    drop(silent);
}

#[test]
fn events_are_followed_until_the_daemon_goes() {
    let mut server = Running::start();
    let mut child = spawn(&server, &["events", "--follow", "route:ingest"]);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.next().unwrap().ends_with("Z route:ingest flowing"));
    on(&server, &["pause", "web"]);
    on(&server, &["pause", "ingest"]);
    assert!(lines.next().unwrap().ends_with("Z route:ingest route paused"));
    server.stop.cancel();
    assert_eq!(lines.next(), None);
    server.ended();
    let output = child.wait_with_output().unwrap();
    assert!(failed(&output, 3).contains("went away"));
}

#[test]
fn a_reader_that_has_seen_enough_ends_it_quietly() {
    let server = Running::start();
    server.knobs.more_routes.store(5000, Ordering::SeqCst);
    for arguments in [
        &["routes"][..],
        &["events", "--follow"],
        &["--json", "events", "--follow"],
    ] {
        let mut child = spawn(&server, arguments);
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let mut error = String::new();
        child.stderr.take().unwrap().read_to_string(&mut error).unwrap();
        assert_eq!((child.wait().unwrap().code(), &*error), (Some(0), ""), "{arguments:?}");
    }
}
