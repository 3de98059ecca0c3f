//! What others see of it while it runs: the journal, varlinkctl(1), cgroups, the watchdog.

use serde_json::{Value, json};

use crate::Story;
use crate::lab::Lab;
use crate::service::{CGROUP, Service};
use crate::support::until;

pub const STORIES: &[Story] = &[
    ("events_have_fields_in_the_journal", events_have_fields_in_the_journal),
    ("varlinkctl_knows_and_calls_it", varlinkctl_knows_and_calls_it),
    ("each_life_has_a_cgroup", each_life_has_a_cgroup),
    (
        "a_daemonised_grandchild_goes_with_its_process",
        a_daemonised_grandchild_goes_with_its_process,
    ),
    ("a_stuck_daemon_is_replaced", a_stuck_daemon_is_replaced),
];

const SOCKET: &str = "/run/sluiced/control.sock";

/// systemd.journal-fields(7): fields of the program's own, for `journalctl SLUICED_ROUTE=a`.
fn events_have_fields_in_the_journal(lab: &Lab) {
    let service = Service::started(
        lab,
        "[process.p]\ncommand = [$PEER, \"say spoken\", \"complain moaned\", \"exit 3\"]\nrestart = \"never\"\n\
         [route.a]\nfrom = { fifo = \"in\", on-eof = \"close\" }\nto = \"null\"\n",
    );
    let spoken = service.wait_message("spoken");
    assert_eq!(spoken.text("SLUICED_PROCESS"), "p");
    assert_eq!(spoken.text("SLUICED_STREAM"), "stdout");
    assert_eq!(service.wait_message("moaned").text("SLUICED_STREAM"), "stderr");
    let exited = service.wait_message("exit 3");
    assert_eq!(exited.text("SLUICED_PROCESS"), "p");
    // A warning; what is only news is a notice.
    assert_eq!(exited.text("PRIORITY"), "4");
    assert_eq!(exited.text("SYSLOG_IDENTIFIER"), "sluiced");
    assert_eq!(exited.text("_SYSTEMD_UNIT"), "sluiced.service");
    std::fs::write(lab.file("/run/sluiced/in"), "some").expect("a FIFO that is read");
    let closed = service.wait_message("route:a: closed");
    assert_eq!(closed.text("SLUICED_ROUTE"), "a");
    assert_eq!(closed.text("PRIORITY"), "5");
    let ended = service.wait_message("route:a/fifo:/run/sluiced/in: endpoint closed");
    assert_eq!(ended.text("SLUICED_ROUTE"), "a");
    assert_eq!(ended.text("SLUICED_ENDPOINT"), "fifo:/run/sluiced/in");
    let found = lab.told(&["journalctl", "-o", "cat", "SLUICED_PROCESS=p", "SLUICED_STREAM=stdout"]);
    assert!(found.contains("spoken"), "{found}");
}

fn varlinkctl_knows_and_calls_it(lab: &Lab) {
    let service = Service::started(
        lab,
        "[process.p]\ncommand = [$PEER, \"hold\"]\n[process.q]\ncommand = [$PEER, \"hold\"]\n",
    );
    let info = lab.told(&["varlinkctl", "info", SOCKET]);
    assert!(
        info.contains("io.sluiced.Relay") && info.contains("org.varlink.service"),
        "{info}"
    );
    let idl = lab.told(&["varlinkctl", "introspect", SOCKET, "io.sluiced.Relay"]);
    assert!(idl.contains("method Monitor("), "{idl}");
    lab.write("/run/relay.varlink", &idl);
    lab.told(&["varlinkctl", "validate-idl", "/run/relay.varlink"]);
    let methods = lab.told(&["varlinkctl", "list-methods", SOCKET, "io.sluiced.Relay"]);
    assert!(methods.contains("io.sluiced.Relay.PauseRoute"), "{methods}");
    let call = |method: &str, parameters: &str| {
        lab.run(&[
            "varlinkctl",
            "call",
            "-j",
            SOCKET,
            &format!("io.sluiced.Relay.{method}"),
            parameters,
        ])
    };
    let status: Value = serde_json::from_str(&call("GetStatus", "{}").expect_code(0).stdout).expect("JSON");
    assert_eq!(status["pid"].to_string(), service.pid());
    let more = [
        "varlinkctl",
        "call",
        "-j",
        "--more",
        SOCKET,
        "io.sluiced.Relay.ListProcesses",
        "{}",
    ];
    assert_eq!(lab.told(&more).lines().count(), 2);
    let stopped = call("StopProcess", r#"{"name":"p"}"#).expect_code(0);
    assert_eq!(stopped.stdout.trim(), r#"{"changed":true}"#);
    let refused = call("StopProcess", r#"{"name":"nobody"}"#);
    assert_ne!(refused.code, 0);
    assert!(
        refused.stderr.contains("io.sluiced.Relay.NoSuchProcess"),
        "{refused:#?}"
    );
}

/// Delegate=yes, DelegateSubgroup=supervisor.
fn each_life_has_a_cgroup(lab: &Lab) {
    let service = Service::started(
        lab,
        "[process.p]\ncommand = [$PEER, \"hold\"]\ninstances = 2\n[process.q]\ncommand = [$PEER, \"hold\"]\n",
    );
    let members = |name: &str| lab.told(&["cat", &format!("{CGROUP}/{name}/cgroup.procs")]);
    assert_eq!(
        service.cgroups(),
        ["process-p@1.1", "process-p@2.1", "process-q.1", "supervisor"]
    );
    assert_eq!(members("supervisor").trim(), service.pid());
    let first = service.wait_until(
        |service| service.process("q"),
        "ready",
        |process| process.state() == "ready",
    );
    assert_eq!(members("process-q.1").trim(), first.int("pid").to_string());
    service.wait_until(
        |service| service.process("q"),
        "with processor time",
        |process| process.maybe_int("cpuUSec").is_some_and(|used| used > 0),
    );
    // The memory controller is where the host gives it to version 2.
    let has_memory = lab.read("/sys/fs/cgroup/cgroup.controllers").contains("memory");
    assert_eq!(service.process("q").maybe_int("memoryBytes").is_some(), has_memory);
    let shown = lab.told(&["sluicectl", "status", "q"]);
    assert!(
        shown.contains("processor time") && shown.contains("memory") == has_memory,
        "{shown}"
    );
    service.call("RestartProcess", json!({ "name": "q" }));
    assert_eq!(
        service.cgroups(),
        ["process-p@1.1", "process-p@2.1", "process-q.2", "supervisor"]
    );
    let shown = lab.told(&["systemctl", "status", "sluiced"]);
    assert!(shown.contains("process-p@2.1"), "{shown}");
}

/// A second fork and a session of its own: no process group finds it.
fn a_daemonised_grandchild_goes_with_its_process(lab: &Lab) {
    let _ = std::fs::remove_file(lab.file("/tmp/escaped"));
    let service = Service::started(
        lab,
        "[process.p]\ncommand = [\"sh\", \"-c\", \"(setsid sleep 1000 & echo $! > /tmp/escaped); exec sleep 1000\"]\n\
         stop-timeout = \"500ms\"\n",
    );
    let escaped: u64 = until(
        || {
            std::fs::read_to_string(lab.file("/tmp/escaped"))
                .ok()?
                .trim()
                .parse()
                .ok()
        },
        || "the grandchild has not told its id".to_owned(),
    );
    let members = lab.told(&["cat", &format!("{CGROUP}/process-p.1/cgroup.procs")]);
    assert!(members.contains(&escaped.to_string()), "{members}");
    service.call("StopProcess", json!({ "name": "p" }));
    until(
        || (!service.lives(escaped)).then_some(()),
        || format!("{escaped} lives on"),
    );
    assert_eq!(service.process("p").state(), "stopped");
    until(
        || (service.cgroups() == ["supervisor"]).then_some(()),
        || format!("{:?}", service.cgroups()),
    );
}

/// WatchdogSec=: WATCHDOG=1 does not come any more, so systemd ends it with SIGABRT, and Restart= brings it back.
fn a_stuck_daemon_is_replaced(lab: &Lab) {
    let service = Service::with(lab, "[process.p]\ncommand = [$PEER, \"hold\"]\n");
    service.drop_in("[Service]\nWatchdogSec=2s\n");
    service.start();
    let first = service.pid();
    let child = service.process("p").int("pid");
    service.systemctl(&["kill", "--kill-whom=main", "-s", "STOP"]);
    service.wait_message("Watchdog timeout");
    service.wait_property("NRestarts", "1");
    service.wait_property("ActiveState", "active");
    assert_ne!(service.pid(), first);
    assert!(!service.lives(child));
    let next = service.wait_until(
        |service| service.process("p"),
        "ready",
        |process| process.state() == "ready",
    );
    assert_ne!(next.int("pid"), child);
}
