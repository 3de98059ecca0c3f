//! What leaves its process group where there are no cgroups: the daemon is the one that orphans come to (prctl(2),
//! PR_SET_CHILD_SUBREAPER).

use nix::sys::signal::kill;
use nix::unistd::Pid;
use serde_json::json;

use crate::support::{Daemon, PATIENCE, Probe, stories, until};

stories!(
    orphans_are_reaped,
    one_that_has_escaped_is_told_of_and_goes_with_its_process,
    one_that_outlives_a_life_is_told_of,
    one_that_ignores_the_signal_is_killed_at_a_stop,
    nothing_escapes_the_end_of_the_daemon,
);

/// The process id that a process of the story has written into a file.
fn written(daemon: &Daemon, name: &str) -> i32 {
    let path = daemon.file(name);
    until(
        || std::fs::read_to_string(&path).ok()?.lines().next()?.parse().ok(),
        || format!("no process id in {name}"),
    )
}

fn until_gone(pid: i32) {
    until(
        || kill(Pid::from_raw(pid), None).is_err().then_some(()),
        || format!("{pid} lives on, {PATIENCE:?} later"),
    );
}

/// A grandchild that leaves group and session, as a daemon does, and whose parent exits.
fn escapes(trap: &str) -> String {
    format!(
        "setsid sh -c '(trap \\\"{trap}\\\" TERM; echo up > $DIR/up; while :; do sleep 0.01; done) > /dev/null 2>&1 & echo $! > $DIR/escaped'"
    )
}

fn up(daemon: &Daemon) -> i32 {
    let file = daemon.file("up");
    until(|| file.exists().then_some(()), || "the grandchild is not up".to_owned());
    written(daemon, "escaped")
}

/// An init's first duty.
fn orphans_are_reaped() {
    let daemon = Daemon::start(
        "[process.p]\ncommand = [\"sh\", \"-c\", \"for i in 1 2 3 4 5 6 7 8 9; do setsid sh -c 'sleep 0.1 &'; done; \
         echo done > $DIR/up; exec sleep 1000\"]\n",
    );
    let pid = daemon.pid_of("p");
    let file = daemon.file("up");
    until(|| file.exists().then_some(()), || "not done".to_owned());
    until(
        || {
            let children = Probe::new(daemon.pid()).children();
            (children.len() == 1 && children[0].0 == pid).then_some(())
        },
        || format!("{:?}", daemon.probe().children()),
    );
    assert_eq!(daemon.process("p").state(), "ready");
}

fn one_that_has_escaped_is_told_of_and_goes_with_its_process() {
    let daemon = Daemon::start(&format!(
        "[process.p]\ncommand = [\"sh\", \"-c\", \"{}; exec sleep 1000\"]\nstop-timeout = \"60s\"\n",
        escapes("exit")
    ));
    let escaped = up(&daemon);
    assert!(daemon.changes("StopProcess", json!({ "name": "p" })));
    until_gone(escaped);
    assert!(daemon.probe().children().is_empty());
}

fn one_that_outlives_a_life_is_told_of() {
    let daemon = Daemon::start(&format!(
        "[process.p]\ncommand = [\"sh\", \"-c\", \"{}; exit 3\"]\nrestart = \"never\"\ninstances = 1\n\
         stop-timeout = \"200ms\"\n",
        escapes("")
    ));
    let escaped = up(&daemon);
    daemon.wait_for_log(&format!("pid {escaped} (sh) has left its process group and still runs"));
    // What a program starts on purpose and leaves stays until somebody says stop.
    assert!(kill(Pid::from_raw(escaped), None).is_ok());
    daemon.finish();
    until_gone(escaped);
}

fn one_that_ignores_the_signal_is_killed_at_a_stop() {
    let daemon = Daemon::start(&format!(
        "[process.p]\ncommand = [\"sh\", \"-c\", \"{}; exec sleep 1000\"]\nstop-timeout = \"200ms\"\n",
        escapes("")
    ));
    let escaped = up(&daemon);
    assert!(daemon.changes("StopProcess", json!({ "name": "p" })));
    until_gone(escaped);
    assert!(
        daemon.log().contains(&format!("pid {escaped} (sh) has left")),
        "{}",
        daemon.log()
    );
}

/// Nobody knows whose it is: it has cleared its environment. It descends from the daemon all the same.
fn nothing_escapes_the_end_of_the_daemon() {
    let script = escapes("").replace("setsid sh", "env -i PATH=/usr/bin:/bin setsid sh");
    let daemon = Daemon::start(&format!(
        "[process.p]\ncommand = [\"sh\", \"-c\", \"{script}; exec sleep 1000\"]\n"
    ));
    let escaped = up(&daemon);
    daemon.finish();
    until_gone(escaped);
}
