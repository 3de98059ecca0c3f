//! Stop, and the deaths that nobody has asked for.

use crate::Story;
use crate::lab::Lab;
use crate::service::Service;
use crate::support::{Checker, Pattern};

pub const STORIES: &[Story] = &[
    ("a_stop_delivers_what_is_in_flight", a_stop_delivers_what_is_in_flight),
    (
        "a_restart_delivers_what_is_in_flight",
        a_restart_delivers_what_is_in_flight,
    ),
    ("killed_alone_it_comes_back", killed_alone_it_comes_back),
    ("killed_with_all_it_comes_back", killed_with_all_it_comes_back),
];

/// A consumer that does not read before it is let, behind a producer that has written more than its pipe takes.
const IN_FLIGHT: &str = "
    [daemon]
    drain-timeout = \"30s\"
    [process.producer]
    command = [$PEER, \"write 120000\", \"hold\"]
    [process.consumer]
    command = [
        \"sh\", \"-c\", \"trap '' TERM; until [ -e open ]; do sleep 0.05; done; exec cat >> taken\",
    ]
    working-directory = \"/var/lib/sluiced\"
    [route.a]
    from = \"process:producer.stdout\"
    to = \"process:consumer.stdin\"
    ";

/// Ends it by that verb of systemctl while the consumer does not read, and lets it read only then.
fn in_flight_until<'l>(lab: &'l Lab, verb: &str) -> Service<'l> {
    let service = Service::with(lab, IN_FLIGHT);
    for name in ["taken", "open"] {
        let _ = std::fs::remove_file(lab.file(&format!("/var/lib/sluiced/{name}")));
    }
    service.start();
    service.wait_until(
        |service| service.route("a"),
        "full",
        |route| route.paused_only_for("backpressure"),
    );
    service.systemctl(&["--no-block", verb]);
    service.wait_message("daemon: stopping");
    lab.write("/var/lib/sluiced/open", "");
    service
}

/// What arrived is what was written, from its beginning on; how much of it.
fn taken(lab: &Lab) -> u64 {
    let taken = std::fs::read(lab.file("/var/lib/sluiced/taken")).unwrap_or_default();
    let mut checker = Checker::new(Pattern::new(1));
    checker.feed(&taken);
    checker.offset()
}

/// KillMode=mixed: the daemon alone is asked, and stops its children in the direction of the data.
fn a_stop_delivers_what_is_in_flight(lab: &Lab) {
    let service = in_flight_until(lab, "stop");
    service.wait_property("ActiveState", "inactive");
    assert_eq!(service.property("Result"), "success");
    assert_eq!(service.property("ExecMainStatus"), "0");
    assert_eq!(taken(lab), 120_000);
}

fn a_restart_delivers_what_is_in_flight(lab: &Lab) {
    let service = in_flight_until(lab, "restart");
    let first = service.wait_message("daemon: stopping");
    service.wait_message("Stopped sluiced.service");
    service.wait_property("ActiveState", "active");
    assert_ne!(service.pid(), first.text("_PID"));
    // The producer of the next life begins its pattern anew.
    let taken = std::fs::read(lab.file("/var/lib/sluiced/taken")).expect("what was taken");
    assert!(
        taken.starts_with(&Pattern::new(1).bytes(0, 120_000)),
        "{} bytes",
        taken.len()
    );
}

const CHILDREN: &str = "
    [process.p]
    command = [$PEER, \"hold\"]
    [process.q]
    command = [\"sh\", \"-c\", \"trap '' TERM HUP; setsid sleep 1000 & wait\"]
    stop-timeout = \"300ms\"
    ";

fn comes_back_after(lab: &Lab, kill: &[&str]) {
    let service = Service::started(lab, CHILDREN);
    let ready = |service: &Service<'_>, name: &str| {
        service
            .wait_until(
                |service| service.process(name),
                "ready",
                |process| process.state() == "ready",
            )
            .int("pid")
    };
    let (p, q) = (ready(&service, "p"), ready(&service, "q"));
    let first = service.pid();
    service.systemctl(kill);
    service.wait_property("NRestarts", "1");
    service.wait_property("ActiveState", "active");
    assert_ne!(service.pid(), first);
    assert!(!service.lives(p) && !service.lives(q), "{p} or {q} lives on");
    assert_ne!((ready(&service, "p"), ready(&service, "q")), (p, q));
    assert_eq!(service.cgroups(), ["process-p.1", "process-q.1", "supervisor"]);
    lab.told(&["sluicectl", "status"]);
}

fn killed_alone_it_comes_back(lab: &Lab) {
    comes_back_after(lab, &["kill", "--kill-whom=main", "-s", "KILL"]);
}

fn killed_with_all_it_comes_back(lab: &Lab) {
    comes_back_after(lab, &["kill", "-s", "KILL"]);
}
