//! The same unit under systemd 252, which knows neither DelegateSubgroup= nor varlinkctl.

use crate::Story;
use crate::keeping;
use crate::lab::Lab;
use crate::service::{Service, UNIT};
use crate::support::{Checker, Pattern};

pub const STORIES: &[Story] = &[
    (
        "what_252_does_not_know_is_three_lines",
        what_252_does_not_know_is_three_lines,
    ),
    ("it_finds_its_cgroup_itself", it_finds_its_cgroup_itself),
    ("its_watchdog_and_its_stop_work", its_watchdog_and_its_stop_work),
    ("its_store_keeps_the_pipes_too", its_store_keeps_the_pipes_too),
    ("an_upgrade_is_no_restart", an_upgrade_is_no_restart),
];

fn what_252_does_not_know_is_three_lines(lab: &Lab) {
    let version = lab.told(&["systemctl", "--version"]);
    assert!(version.starts_with("systemd 252"), "{version}");
    let verified = lab.run(&["systemd-analyze", "verify", UNIT, "sluiced.socket"]);
    let told: Vec<&str> = verified.stderr.lines().collect();
    assert_eq!(verified.code, 0, "{verified:#?}");
    let unknown = ["notify-reload", "FileDescriptorStorePreserve", "DelegateSubgroup"];
    assert!(
        told.len() == 3 && std::iter::zip(&told, unknown).all(|(told, unknown)| told.contains(unknown)),
        "{told:#?}"
    );
}

fn it_finds_its_cgroup_itself(lab: &Lab) {
    let service = Service::started(lab, "[process.p]\ncommand = [$PEER, \"hold\"]\n");
    service.wait_property("StatusText", "no routes; 1 process (1 ready)");
    assert_eq!(service.cgroups(), ["process-p.1", "supervisor"]);
    let supervisor = lab.told(&["cat", &format!("{}/supervisor/cgroup.procs", crate::service::CGROUP)]);
    assert_eq!(supervisor.trim(), service.pid());
    // READY, STATUS and WATCHDOG come from a process below the unit's cgroup.
    service.systemctl(&["kill", "--kill-who=main", "-s", "KILL"]);
    service.wait_property("NRestarts", "1");
    service.wait_property("ActiveState", "active");
    assert_eq!(service.cgroups(), ["process-p.1", "supervisor"]);
}

fn its_watchdog_and_its_stop_work(lab: &Lab) {
    let service = Service::with(
        lab,
        "[process.p]\ncommand = [$PEER, \"write 50000\", \"hold\"]\n\
         [route.a]\nfrom = \"process:p.stdout\"\nto = \"file:/var/lib/sluiced/old\"\n",
    );
    service.drop_in("[Service]\nWatchdogSec=2s\n");
    service.start();
    service.wait_until(
        |service| service.route("a").destination(0),
        "written",
        |file| file.int("bytes") == 50_000,
    );
    let first = service.pid();
    service.systemctl(&["kill", "--kill-who=main", "-s", "STOP"]);
    service.wait_property("NRestarts", "1");
    service.wait_property("ActiveState", "active");
    assert_ne!(service.pid(), first);
    service.systemctl(&["stop"]);
    assert_eq!(service.property("Result"), "success");
    let old = std::fs::read(lab.file("/var/lib/sluiced/old")).expect("the file");
    let mut checker = Checker::new(Pattern::new(1));
    checker.feed(&old[..50_000]);
}

/// It has a store, and no $FDSTORE to say so.
fn its_store_keeps_the_pipes_too(lab: &Lab) {
    lab.told(&["sh", "-c", "rm -f /var/lib/sluiced/*"]);
    let service = Service::started(lab, &keeping::config(&["slow"]));
    for restarts in ["1", "2"] {
        service.wait_until(
            |service| service.route("a"),
            "flowing",
            |route| route.int("acceptedBytes") > 100_000,
        );
        assert!(keeping::stored(&service) > 0);
        service.systemctl(&["kill", "-s", "KILL"]);
        service.wait_property("NRestarts", restarts);
        service.wait_property("ActiveState", "active");
    }
    keeping::ends_whole(lab, &service, &["slow"]);
}

fn an_upgrade_is_no_restart(lab: &Lab) {
    let service = Service::started(lab, "[process.p]\ncommand = [$PEER, \"hold\"]\n");
    service.wait_property("StatusText", "no routes; 1 process (1 ready)");
    let (main, child) = (service.pid(), service.process("p").int("pid"));
    lab.told(&["sluicectl", "upgrade"]);
    assert_eq!((service.pid(), service.process("p").int("pid")), (main, child));
    assert_eq!(service.property("ActiveState"), "active");
    assert_eq!(service.property("NRestarts"), "0");
    assert_eq!(service.cgroups(), ["process-p.1", "supervisor"]);
}
