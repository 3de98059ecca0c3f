//! The same unit with another user, and with more or less of a sandbox.

use serde_json::json;

use crate::Story;
use crate::lab::Lab;
use crate::service::{Service, UNIT};
use crate::support::until;

pub const STORIES: &[Story] = &[
    ("the_drop_ins_verify_without_a_word", the_drop_ins_verify_without_a_word),
    ("it_runs_as_a_user_made_for_it", it_runs_as_a_user_made_for_it),
    ("the_strict_variant_carries_bytes", the_strict_variant_carries_bytes),
    ("the_loose_variant_changes_users", the_loose_variant_changes_users),
];

const STRICT: &str = include_str!("../../systemd/sluiced.service.d/strict.conf");
const LOOSE: &str = include_str!("../../systemd/sluiced.service.d/loose.conf");

fn the_drop_ins_verify_without_a_word(lab: &Lab) {
    for text in [STRICT, LOOSE] {
        let service = Service::with(lab, "");
        service.drop_in(text);
        let verified = lab.run(&["systemd-analyze", "verify", UNIT]);
        assert_eq!((verified.code, &*verified.stdout, &*verified.stderr), (0, "", ""));
    }
}

fn identity(lab: &Lab, pid: u64) -> String {
    lab.told(&["stat", "-c", "%U", &format!("/proc/{pid}")])
}

/// systemd.exec(5), DynamicUser=.
fn it_runs_as_a_user_made_for_it(lab: &Lab) {
    let service = Service::with(
        lab,
        "[process.p]\ncommand = [\"sh\", \"-c\", \"echo one > /var/lib/sluiced/dynamic; exec sleep 1000\"]\n\
         [route.a]\nfrom = \"fifo:in\"\nto = \"null\"\n",
    );
    service.drop_in("[Service]\nDynamicUser=yes\nUser=sluiced-dynamic\nGroup=\n");
    service.start();
    let uid = lab.told(&["stat", "-c", "%u", &format!("/proc/{}", service.pid())]);
    let uid: u32 = uid.trim().parse().expect("a user id");
    assert!((61184..=65519).contains(&uid), "{uid}");
    lab.told(&["sluicectl", "status"]);
    // What it wrote is where it was told to, and the next user's later.
    service.wait_until(
        |service| service.process("p"),
        "ready",
        |process| process.state() == "ready",
    );
    until(
        || (std::fs::read(lab.file("/var/lib/sluiced/dynamic")).ok()? == b"one\n").then_some(()),
        || "nothing in /var/lib/sluiced/dynamic".to_owned(),
    );
}

/// Root, for `user` of a process.
fn the_loose_variant_changes_users(lab: &Lab) {
    let service = Service::with(lab, "[process.p]\ncommand = [\"sleep\", \"1000\"]\nuser = \"nobody\"\n");
    service.drop_in(&LOOSE.replace("#User=", "User=").replace("#Group=", "Group="));
    service.start();
    let ready = service.wait_until(
        |service| service.process("p"),
        "ready",
        |process| process.state() == "ready",
    );
    assert_eq!(identity(lab, ready.int("pid")).trim(), "nobody");
    assert_eq!(service.cgroups(), ["process-p.1", "supervisor"]);
}

fn the_strict_variant_carries_bytes(lab: &Lab) {
    let service = Service::with(
        lab,
        "[process.p]\ncommand = [$PEER, \"write 300000\", \"hold\"]\nautostart = false\n\
         [process.q]\ncommand = [$PEER, \"check 300000\", \"notify-fd 3\", \"hold\"]\nready = \"fd:3\"\n\
         [process.r]\ncommand = [\"cat\"]\n\
         [route.a]\nfrom = \"process:p.stdout\"\nto = [\"process:q.stdin\", \"file:/var/log/sluiced/strict\"]\n\
         [route.b]\nfrom = \"fifo:in\"\nto = \"process:r.stdin\"\n",
    );
    service.drop_in(STRICT);
    let exposed = lab.run(&["systemd-analyze", "security", "--threshold=10", "sluiced.service"]);
    exposed.expect_code(0);
    service.start();
    service.call("StartProcess", json!({ "name": "p" }));
    // It says so when all has come.
    service.wait_until(
        |service| service.process("q"),
        "ready",
        |process| process.state() == "ready",
    );
    assert_eq!(
        service.cgroups(),
        ["process-p.1", "process-q.1", "process-r.1", "supervisor"]
    );
    service.wait_until(
        |service| service.route("a").destination(1),
        "written",
        |file| file.int("bytes") == 300_000,
    );
    let warnings = service.journal();
    let warnings: Vec<&str> = warnings
        .iter()
        .filter(|entry| entry.text("SYSLOG_IDENTIFIER") == "sluiced" && entry.text("PRIORITY") < "5")
        .map(|entry| entry.text("MESSAGE"))
        .collect();
    assert!(warnings.is_empty(), "{warnings:#?}");
}
