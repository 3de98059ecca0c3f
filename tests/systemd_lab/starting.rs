//! Start, readiness, and the ways in which there is none. systemd.service(5), systemd.socket(5).

use serde_json::json;

use crate::Story;
use crate::lab::Lab;
use crate::service::Service;

pub const STORIES: &[Story] = &[
    ("ready_means_that_it_answers", ready_means_that_it_answers),
    (
        "a_process_that_is_not_ready_holds_nobody_up",
        a_process_that_is_not_ready_holds_nobody_up,
    ),
    ("its_status_is_in_words", its_status_is_in_words),
    ("a_bad_config_is_not_tried_again", a_bad_config_is_not_tried_again),
    (
        "a_bad_command_line_is_not_tried_again",
        a_bad_command_line_is_not_tried_again,
    ),
    ("a_call_starts_it", a_call_starts_it),
    ("a_call_to_a_bad_config_is_one_try", a_call_to_a_bad_config_is_one_try),
];

const RELAY: &str = "
    [process.p]
    command = [$PEER, \"hold\"]
    [route.a]
    from = \"fifo:in\"
    to = \"fifo:out\"
    ";

fn ready_means_that_it_answers(lab: &Lab) {
    let service = Service::started(lab, RELAY);
    assert_eq!(service.property("ActiveState"), "active");
    let status = service.call("GetStatus", json!({}));
    assert_eq!(status.int("pid").to_string(), service.pid());
    // A FIFO without reader: opened, and so paused and not opening.
    assert_ne!(service.route("a").state(), "opening");
    let moment = |name: &str| service.property(name).parse::<u64>().expect("microseconds");
    let took = moment("ActiveEnterTimestampMonotonic") - moment("InactiveExitTimestampMonotonic");
    // Some 50 ms; the bound is for a machine that is busy with something else.
    assert!(took < 10_000_000, "{took} µs");
    let left = service.lab.told(&["systemctl", "list-jobs", "--no-legend"]);
    assert_eq!(left, "");
}

/// READY=1 waits for routes, and not for programs.
fn a_process_that_is_not_ready_holds_nobody_up(lab: &Lab) {
    let service = Service::started(
        lab,
        "[process.p]\ncommand = [$PEER, \"hold\"]\nready = \"notify\"\n\
         [route.a]\nfrom = \"fifo:in\"\nto = \"process:p.stdin\"\n",
    );
    assert_eq!(service.process("p").state(), "starting");
    assert_eq!(service.property("ActiveState"), "active");
}

fn its_status_is_in_words(lab: &Lab) {
    let service = Service::started(lab, RELAY);
    service.wait_property("StatusText", "1 route (1 paused); 1 process (1 ready)");
    let shown = lab.told(&["systemctl", "status", "sluiced"]);
    assert!(
        shown.contains("Status: \"1 route (1 paused); 1 process (1 ready)\""),
        "{shown}"
    );
    service.call("StopProcess", json!({ "name": "p" }));
    service.wait_property("StatusText", "1 route (1 paused); 1 process (1 stopped)");
}

/// systemd.exec(5): 78 is EX_CONFIG; RestartPreventExitStatus=.
fn a_bad_config_is_not_tried_again(lab: &Lab) {
    let service = Service::with(lab, "[process.p]\ncomand = [\"true\"]\n");
    let started = lab.run(&["systemctl", "start", "sluiced.service"]);
    assert_eq!(started.code, 1, "{started:#?}");
    // Else it would be "auto-restart" now.
    assert_eq!(service.property("SubState"), "failed");
    assert_eq!(service.property("ExecMainStatus"), "78");
    assert_eq!(service.property("NRestarts"), "0");
    service.wait_message("/etc/sluiced/sluiced.toml:2:1");
    service.wait_message("did you mean `command`?");
    service.configure(RELAY);
    service.start();
    assert_eq!(service.property("ActiveState"), "active");
}

fn a_bad_command_line_is_not_tried_again(lab: &Lab) {
    let service = Service::with(lab, RELAY);
    service.drop_in("[Service]\nExecStart=\nExecStart=sluiced --nonsense\n");
    let started = lab.run(&["systemctl", "start", "sluiced.service"]);
    assert_eq!(started.code, 1, "{started:#?}");
    assert_eq!(service.property("SubState"), "failed");
    assert_eq!(service.property("ExecMainStatus"), "2");
}

fn a_call_starts_it(lab: &Lab) {
    let service = Service::with(lab, RELAY);
    lab.told(&["systemctl", "start", "sluiced.socket"]);
    assert_eq!(service.property("ActiveState"), "inactive");
    let shown = lab.told(&["sluicectl", "status"]);
    assert!(shown.contains("no reader"), "{shown}");
    assert_eq!(service.property("ActiveState"), "active");
    // It is systemd's socket: root's, whoever the daemon is.
    assert_eq!(
        lab.told(&["stat", "-c", "%U %a", "/run/sluiced/control.sock"]),
        "root 600\n"
    );
    // While it is down the socket stays, and the next call brings it back.
    service.systemctl(&["stop"]);
    assert_eq!(service.property("ActiveState"), "inactive");
    lab.told(&["sluicectl", "status", "p"]);
    assert_eq!(service.property("ActiveState"), "active");
}

/// What has called is answered with an end, so that it is no reason to start the daemon again at once, and again, until
/// the socket itself is given up (StartLimitBurst=).
fn a_call_to_a_bad_config_is_one_try(lab: &Lab) {
    let service = Service::with(lab, "[process.p]\ncomand = [\"true\"]\n");
    lab.told(&["systemctl", "start", "sluiced.socket"]);
    let refused = lab.run(&["sluicectl", "status"]);
    assert_eq!(refused.code, 3, "{refused:#?}");
    let said = "the daemon does not start, since its config has 1 problem";
    assert!(refused.stderr.contains(said), "{refused:#?}");
    service.wait_property("ActiveState", "failed");
    assert_eq!(lab.told(&["systemctl", "is-active", "sluiced.socket"]), "active\n");
    let tries = service.messages();
    let tries = tries
        .iter()
        .filter(|message| message.contains("the config has 1 problem"));
    assert_eq!(tries.count(), 1);
    service.configure(RELAY);
    lab.told(&["sluicectl", "status"]);
    assert_eq!(service.property("ActiveState"), "active");
}
