//! The descriptor store of the real systemd: the service is killed with full pipes, and its next life reads on.
//! docs/design/0014.

use std::time::Duration;

use serde_json::json;

use crate::Story;
use crate::lab::Lab;
use crate::service::Service;
use crate::support::{Dice, FifoReader, FifoWriter, Life, check_lives, let_pass, scale, until};

pub const STORIES: &[Story] = &[
    (
        "killed_with_full_pipes_nothing_is_lost",
        killed_with_full_pipes_nothing_is_lost,
    ),
    (
        "killed_between_three_nothing_is_doubled",
        killed_between_three_nothing_is_doubled,
    ),
    (
        "restarted_under_traffic_nothing_is_lost",
        restarted_under_traffic_nothing_is_lost,
    ),
    ("bytes_in_fifos_and_pauses_survive", bytes_in_fifos_and_pauses_survive),
    ("the_store_does_not_grow", the_store_does_not_grow),
    ("the_store_may_be_switched_off", the_store_may_be_switched_off),
];

/// So often that systemd would give it up.
const OFTEN: &str = "[Unit]\nStartLimitIntervalSec=0\n[Service]\nRestartSec=100ms\n";
const HOME: &str = "/var/lib/sluiced";

/// A producer that never stops and consumers that are slower, each with a record of its own.
pub fn config(consumers: &[&str]) -> String {
    let mut text = format!(
        "[daemon]\ndrain-timeout = \"20s\"\n[process.producer]\ncommand = [$PEER, \"produce {HOME}/life\"]\n\
         [route.a]\nfrom = \"process:producer.stdout\"\npath = \"splice\"\n"
    );
    let to: Vec<String> = consumers
        .iter()
        .map(|name| format!("\"process:{name}.stdin\""))
        .collect();
    text.push_str(&format!("to = [{}]\n", to.join(", ")));
    for name in consumers {
        text.push_str(&format!(
            "[process.{name}]\ncommand = [$PEER, \"record-slowly {HOME}/{name} 20000 2\"]\n"
        ));
    }
    text
}

/// Nothing of another story.
fn clean(lab: &Lab) {
    lab.told(&["sh", "-c", &format!("rm -f {HOME}/*")]);
}

pub fn stored(service: &Service<'_>) -> u64 {
    service.property("NFileDescriptorStore").parse().expect("a number")
}

fn flows(service: &Service<'_>) {
    let before = service.route("a").int("acceptedBytes");
    service.wait_until(
        |service| service.route("a"),
        "flowing",
        |route| route.int("acceptedBytes") > before,
    );
}

/// Kills it so many times, now the main process alone and now all of them, and waits each time until it is back.
fn killed(service: &Service<'_>, times: u64, seed: u64) {
    let mut dice = Dice::new(seed);
    for restarts in 1..=times {
        flows(service);
        let_pass(Duration::from_millis(dice.below(200)));
        match dice.below(2) {
            0 => service.systemctl(&["kill", "--kill-whom=main", "-s", "KILL"]),
            _ => service.systemctl(&["kill", "-s", "KILL"]),
        }
        service.wait_property("NRestarts", &restarts.to_string());
        service.wait_property("ActiveState", "active");
        assert_eq!(service.call("GetStatus", json!({})).int("life"), restarts + 1);
    }
    flows(service);
}

/// Stops it, and holds what the consumers have recorded against what the producer's lives have written.
pub fn ends_whole(lab: &Lab, service: &Service<'_>, consumers: &[&str]) {
    service.systemctl(&["stop"]);
    assert_eq!(service.property("Result"), "success");
    assert_eq!(stored(service), 0);
    let lives = Life::all(lab.file(&format!("{HOME}/life")));
    let records: Vec<Vec<u8>> = consumers
        .iter()
        .map(|name| std::fs::read(lab.file(&format!("{HOME}/{name}"))).expect("a record"))
        .collect();
    check_lives(&records[0], &lives);
    let lengths: Vec<usize> = records.iter().map(Vec::len).collect();
    assert!(
        records.iter().all(|record| *record == records[0]),
        "they differ: {lengths:?} bytes"
    );
}

fn killed_with_full_pipes_nothing_is_lost(lab: &Lab) {
    clean(lab);
    let service = Service::with(lab, &config(&["slow"]));
    service.drop_in(OFTEN);
    service.start();
    assert!(stored(&service) > 0);
    killed(&service, 5 * scale(), 1);
    ends_whole(lab, &service, &["slow"]);
}

fn killed_between_three_nothing_is_doubled(lab: &Lab) {
    clean(lab);
    let consumers = ["one", "two", "three"];
    let service = Service::with(lab, &config(&consumers));
    service.drop_in(OFTEN);
    service.start();
    killed(&service, 5 * scale(), 2);
    ends_whole(lab, &service, &consumers);
}

/// In order: the first life delivers all of its bytes, and the next begins.
fn restarted_under_traffic_nothing_is_lost(lab: &Lab) {
    clean(lab);
    let service = Service::started(lab, &config(&["slow"]));
    for _ in 0..3 {
        flows(&service);
        let before = service.pid();
        service.systemctl(&["restart"]);
        assert_ne!(service.pid(), before);
        assert_eq!(service.property("ActiveState"), "active");
        assert_eq!(service.call("GetStatus", json!({})).int("life"), 1);
    }
    flows(&service);
    ends_whole(lab, &service, &["slow"]);
}

/// Nobody has the FIFO open while it is down, but systemd.
fn bytes_in_fifos_and_pauses_survive(lab: &Lab) {
    let service = Service::with(
        lab,
        "[route.held]\nfrom = \"fifo:held-in\"\nto = \"fifo:held-out\"\npath = \"splice\"\n\
         [route.written]\nfrom = \"fifo:in\"\nto = [\"fifo:out\", \"fifo:two\"]\npath = \"splice\"\n",
    );
    service.drop_in(OFTEN);
    service.start();
    let file = |name: &str| lab.file(&format!("/run/sluiced/{name}"));
    service.call("PauseRoute", json!({ "name": "held" }));
    let readers = ["out", "two"].map(|name| FifoReader::open(file(name)));
    FifoWriter::open(file("held-in")).write_all(b"its writer has gone");
    FifoWriter::open(file("in")).write_all(b"its readers have gone");
    service.wait_until(
        |service| service.route("written"),
        "written",
        |route| route.list("destinations").iter().all(|one| one.int("bytes") == 21),
    );
    drop(readers);
    for restarts in ["1", "2"] {
        service.systemctl(&["kill", "-s", "KILL"]);
        service.wait_property("NRestarts", restarts);
        service.wait_property("ActiveState", "active");
    }
    for name in ["out", "two"] {
        assert_eq!(FifoReader::open(file(name)).read_exact(21), b"its readers have gone");
    }
    let mut reader = FifoReader::open(file("held-out"));
    assert_eq!(service.route("held").reasons(), ["operator"]);
    service.call("ResumeRoute", json!({ "name": "held" }));
    assert_eq!(reader.read_exact(19), b"its writer has gone");
}

fn the_store_does_not_grow(lab: &Lab) {
    clean(lab);
    let service = Service::with(lab, &config(&["slow"]));
    service.drop_in(OFTEN);
    service.start();
    flows(&service);
    let first = stored(&service);
    assert!(first >= 3, "{first} descriptors of two processes");
    for round in 1..=3_u64 {
        for _ in 0..5 {
            service.call("RestartProcess", json!({ "name": "slow" }));
            service.call("RestartProcess", json!({ "name": "producer" }));
        }
        lab.told(&["sluicectl", "upgrade"]);
        flows(&service);
        service.systemctl(&["kill", "-s", "KILL"]);
        service.wait_property("NRestarts", &round.to_string());
        service.wait_property("ActiveState", "active");
        flows(&service);
        until(
            || (stored(&service) <= first).then_some(()),
            || format!("first {first} were stored, now {}", stored(&service)),
        );
    }
    ends_whole(lab, &service, &["slow"]);
}

/// FileDescriptorStoreMax=0: systemd says nothing of it to the daemon, and drops what it is given.
fn the_store_may_be_switched_off(lab: &Lab) {
    clean(lab);
    let service = Service::with(lab, &config(&["slow"]));
    service.drop_in("[Service]\nFileDescriptorStoreMax=0\n");
    service.start();
    flows(&service);
    assert_eq!(stored(&service), 0);
    service.call("RestartProcess", json!({ "name": "slow" }));
    flows(&service);
    ends_whole(lab, &service, &["slow"]);
}
