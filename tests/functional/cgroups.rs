//! Where a cgroup was delegated to the daemon, each life has one of its own. cgroups(7), systemd's CGROUP_DELEGATION.

use std::process::{Command, Stdio};

use nix::sys::signal::kill;
use nix::unistd::Pid;
use serde_json::json;

use crate::support::{Cgroup, Daemon, cgroup_of, require_tool, stories, until};

stories!(
    each_life_has_a_cgroup_of_its_own,
    a_daemonised_grandchild_is_stopped_too,
    a_daemonised_grandchild_is_asked_before_it_is_killed,
    what_a_life_leaves_behind_is_killed_after_stop_timeout,
    the_next_life_is_not_killed_with_what_the_last_one_left,
    where_clone3_is_refused_the_child_goes_there_itself,
    what_was_not_delegated_is_not_divided,
    what_others_are_in_is_not_divided,
);

fn started(cgroup: &Cgroup, config: &str) -> Daemon {
    let wrapper = cgroup.wrapper();
    let words: Vec<&str> = wrapper.iter().map(String::as_str).collect();
    Daemon::config(config).wrapped_in(&words).start()
}

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
        || format!("{pid} lives on"),
    );
}

/// A grandchild that leaves group and session, as a daemon does, and whose parent exits.
fn escapes(trap: &str) -> String {
    format!(
        "setsid sh -c '(trap \\\"{trap}\\\" TERM; echo up > $DIR/up; while :; do sleep 0.01; done) > /dev/null 2>&1 & echo $! > $DIR/escaped'"
    )
}

fn each_life_has_a_cgroup_of_its_own() {
    let Some(cgroup) = Cgroup::delegated() else { return };
    let daemon = started(
        &cgroup,
        "[process.p]\ncommand = [$PEER, \"hold\"]\ninstances = 2\n[process.q]\ncommand = [$PEER, \"hold\"]\n",
    );
    let ends = |pid: i32, name: &str| {
        let found = cgroup_of(pid).expect("a cgroup");
        assert!(found.ends_with(&format!("{}/{name}", cgroup.name())), "{found}");
    };
    ends(daemon.pid(), "supervisor");
    assert!(cgroup.members("").is_empty());
    ends(daemon.pid_of("p@2"), "process-p@2.1");
    ends(daemon.pid_of("q"), "process-q.1");
    daemon.wait_until("process.q", "its processor time", |process| process.int("cpuUSec") > 0);
    let shown = daemon.ctl(&["status", "q"]);
    assert!(shown.stdout.contains("processor time"), "{}", shown.stdout);
    assert!(daemon.changes("RestartProcess", json!({ "name": "q" })));
    ends(daemon.pid_of("q"), "process-q.2");
    assert_eq!(
        cgroup.below(),
        ["process-p@1.1", "process-p@2.1", "process-q.2", "supervisor"]
    );
    daemon.finish();
    assert_eq!(cgroup.below(), ["supervisor"]);
}

/// The trap of every supervisor that knows process groups alone.
fn a_daemonised_grandchild_is_stopped_too() {
    let Some(cgroup) = Cgroup::delegated() else { return };
    let daemon = started(
        &cgroup,
        &format!(
            "[process.p]\ncommand = [\"sh\", \"-c\", \"trap '' TERM; {}; while :; do sleep 0.01; done\"]\n\
             stop-timeout = \"200ms\"\n",
            escapes("")
        ),
    );
    let escaped = written(&daemon, "escaped");
    written_up(&daemon);
    let pid = daemon.pid_of("p");
    assert!(daemon.changes("StopProcess", json!({ "name": "p" })));
    assert_eq!(daemon.process("p").object("lastExit").text("signal"), "SIGKILL");
    until_gone(pid);
    until_gone(escaped);
    until(
        || (cgroup.below() == ["supervisor"]).then_some(()),
        || format!("{:?}", cgroup.below()),
    );
}

fn written_up(daemon: &Daemon) {
    let up = daemon.file("up");
    until(|| up.exists().then_some(()), || "the grandchild is not up".to_owned());
}

fn a_daemonised_grandchild_is_asked_before_it_is_killed() {
    let Some(cgroup) = Cgroup::delegated() else { return };
    let daemon = started(
        &cgroup,
        &format!(
            "[process.p]\ncommand = [\"sh\", \"-c\", \"{}; exec sleep 1000\"]\nstop-timeout = \"60s\"\n",
            escapes("echo asked > $DIR/asked; exit")
        ),
    );
    let escaped = written(&daemon, "escaped");
    written_up(&daemon);
    assert!(daemon.changes("StopProcess", json!({ "name": "p" })));
    until_gone(escaped);
    assert!(daemon.file("asked").exists());
}

/// Whatever it holds open, or not.
fn what_a_life_leaves_behind_is_killed_after_stop_timeout() {
    let Some(cgroup) = Cgroup::delegated() else { return };
    let daemon = started(
        &cgroup,
        &format!(
            "[process.p]\ncommand = [\"sh\", \"-c\", \"{}; exit 3\"]\nrestart = \"never\"\nstop-timeout = \"300ms\"\n",
            escapes("")
        ),
    );
    let escaped = written(&daemon, "escaped");
    let process = daemon.wait_for("process.p", "finished");
    assert_eq!(process.object("lastExit").int("code"), 3);
    until_gone(escaped);
    daemon.wait_for_log("killing what process");
    until(
        || (cgroup.below() == ["supervisor"]).then_some(()),
        || format!("{:?}", cgroup.below()),
    );
}

fn the_next_life_is_not_killed_with_what_the_last_one_left() {
    let Some(cgroup) = Cgroup::delegated() else { return };
    let daemon = started(
        &cgroup,
        &format!(
            "[process.p]\ncommand = [\"sh\", \"-c\", \"[ -e $DIR/up ] && exec sleep 1000; {}; exit 3\"]\n\
             restart-delay = \"1ms\"\nstop-timeout = \"300ms\"\n",
            escapes("")
        ),
    );
    let escaped = written(&daemon, "escaped");
    written_up(&daemon);
    until_gone(escaped);
    let process = daemon.wait_for("process.p", "ready");
    assert!(kill(Pid::from_raw(daemon.pid_of("p")), None).is_ok(), "{process}");
}

/// systemd's RestrictNamespaces= answers ENOSYS.
fn where_clone3_is_refused_the_child_goes_there_itself() {
    if !require_tool("strace") {
        return;
    }
    let Some(cgroup) = Cgroup::delegated() else { return };
    let [shell, option, script, name] = cgroup.wrapper();
    // strace stays outside: nobody else may be in it.
    let inside = [
        "strace",
        "-f",
        "-qq",
        "-e",
        "trace=clone3",
        "-e",
        "inject=clone3:error=ENOSYS",
        "-o",
        "/dev/null",
    ];
    let words: Vec<&str> = inside
        .into_iter()
        .chain([&*shell, &*option, &*script, &*name])
        .collect();
    let daemon = Daemon::config("[process.p]\ncommand = [\"sleep\", \"1000\"]\n")
        .wrapped_in(&words)
        .start();
    daemon.wait_for("process.p", "ready");
    let found = cgroup_of(daemon.pid_of("p")).expect("a cgroup");
    assert!(found.ends_with("/process-p.1"), "{found}");
}

/// A user's own scope, a container, a shell: nobody has said that they may be divided.
fn what_was_not_delegated_is_not_divided() {
    let Some(cgroup) = Cgroup::make() else { return };
    let daemon = started(&cgroup, "[process.p]\ncommand = [$PEER, \"hold\"]\n");
    let pid = daemon.pid_of("p");
    for one in [daemon.pid(), pid] {
        assert!(cgroup_of(one).expect("a cgroup").ends_with(cgroup.name()));
    }
    assert!(cgroup.below().is_empty());
    assert!(daemon.process("p").field("cpuUSec").is_null());
}

fn what_others_are_in_is_not_divided() {
    let Some(cgroup) = Cgroup::delegated() else { return };
    let wrapper = cgroup.wrapper();
    let mut other = Command::new(&wrapper[0])
        .args(&wrapper[1..])
        .args(["sleep", "1000"])
        .stdout(Stdio::null())
        .spawn()
        .expect("another process");
    until(
        || (!cgroup.members("").is_empty()).then_some(()),
        || "nobody is in it".to_owned(),
    );
    let daemon = started(&cgroup, "[process.p]\ncommand = [$PEER, \"hold\"]\n");
    daemon.wait_for_log(&format!("process {} is in it, too", other.id()));
    assert!(cgroup.below().is_empty());
    daemon.finish();
    let _ = other.kill();
    let _ = other.wait();
}
