//! Upgrades that cannot be: up to the execve(2) nothing changes, and the caller is told why. And the flag by which a binary
//! is asked whether it can go on. docs/design/0013.

use std::process::Command;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::support::{Daemon, Deadline, FifoReader, FifoWriter, PATIENCE, Place, output_of, program, stories, until};

stories!(
    one_that_says_no,
    one_that_cannot_be_executed,
    one_that_is_no_daemon,
    one_that_is_not_there,
    one_that_dies_of_the_question,
    one_that_does_not_answer,
    one_that_does_not_stop_talking,
    a_signal_is_refused_as_well,
    garbage_is_no_handover,
    a_version_that_is_not_known,
    no_descriptor_is_no_handover,
);

const RELAY: &str = r#"
    [process.p]
    command = [$PEER, "cat"]

    [route.in]
    from = "fifo:in"
    to = "process:p.stdin"

    [route.out]
    from = "process:p.stdout"
    to = "fifo:out"
    "#;

/// Longest that a binary may think about it, and what comes to that on a busy machine.
const LIMIT: u64 = 20;

fn script(place: &Place, text: &str, mode: &str) {
    place.replace_binary("printf '%s' \"$1\" > \"$3\" && chmod \"$2\" \"$3\"", &[text, mode]);
}

fn copy(place: &Place, from: &str) {
    place.replace_binary("cp \"$1\" \"$2\"", &[from]);
}

/// With another binary in its place it refuses, and plumbs on; with its own again it is upgraded. What it has said.
fn refused(replace: impl FnOnce(&Place)) -> String {
    let daemon = Daemon::config(RELAY).with_own_binary().start();
    let mut reader = FifoReader::open(daemon.fifo("out"));
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    let mut crosses = |bytes: &[u8]| {
        writer.write_all(bytes);
        assert_eq!(reader.read_exact(bytes.len()), bytes);
    };
    crosses(b"before");
    let mut monitor = daemon.monitor();
    let child = daemon.pid_of("p");
    replace(daemon.place());
    let clock = Deadline::within(PATIENCE);
    let mut caller = daemon.client();
    caller.send_call("Upgrade", &json!({}), &[]);
    crosses(b"while it is asked");
    assert_eq!(daemon.life(), 1);
    let error = caller.reply().expect_err("an upgrade that cannot be");
    assert!(clock.elapsed().as_secs() < LIMIT, "{:?}", clock.elapsed());
    assert_eq!(error.name, "io.sluiced.Relay.Failed", "{error:?}");
    crosses(b"after");
    assert_eq!(daemon.life(), 1);
    assert_eq!(daemon.pid_of("p"), child);
    // Neither hung up on nor left with a child that nobody reaps.
    assert!(daemon.changes("PauseRoute", json!({ "name": "in" })));
    assert!(daemon.changes("ResumeRoute", json!({ "name": "in" })));
    monitor.wait_for("route_resumed", "route:in");
    let children = || daemon.probe().children();
    until(
        || (children().len() == 1).then_some(()),
        || format!("other children are left: {:?}", children()),
    );
    let text = error.parameters.text("text").to_owned();
    assert!(!text.is_empty());
    copy(daemon.place(), &program("sluiced").display().to_string());
    assert_eq!(daemon.upgrade(), 2);
    crosses(b"at last");
    text
}

fn one_that_says_no() {
    let text = refused(|place| script(place, "#!/bin/sh\necho 'from the future: xyzzy' >&2\nexit 78\n", "755"));
    assert!(text.contains("from the future: xyzzy"), "{text}");
}

fn one_that_cannot_be_executed() {
    refused(|place| script(place, "#!/bin/sh\nexit 0\n", "644"));
    refused(|place| script(place, "neither a script nor a program\n", "755"));
    refused(|place| script(place, "#!/nowhere/interpreter\n", "755"));
}

/// It does not know the flag.
fn one_that_is_no_daemon() {
    refused(|place| copy(place, "/bin/false"));
    refused(|place| script(place, "#!/bin/sh\necho 'usage: no such flag' >&2\nexit 2\n", "755"));
}

fn one_that_is_not_there() {
    let text = refused(|place| std::fs::remove_file(place.file("sluiced")).expect("a binary to remove"));
    assert!(text.contains("sluiced"), "{text}");
}

fn one_that_dies_of_the_question() {
    refused(|place| script(place, "#!/bin/sh\nkill -SEGV $$\n", "755"));
}

fn one_that_does_not_answer() {
    refused(|place| script(place, "#!/bin/sh\ntrap '' TERM\nwhile :; do sleep 0.1; done\n", "755"));
}

/// Nor is what it says kept without end.
fn one_that_does_not_stop_talking() {
    let text = refused(|place| script(place, "#!/bin/sh\nexec yes 'no, and no, and no' >&2\n", "755"));
    assert!(text.len() < 64 * 1024, "{} bytes", text.len());
}

fn a_signal_is_refused_as_well() {
    let daemon = Daemon::config(RELAY).with_own_binary().start();
    let child = daemon.pid_of("p");
    script(
        daemon.place(),
        "#!/bin/sh\necho 'from the future: xyzzy' >&2\nexit 78\n",
        "755",
    );
    daemon.signal(Signal::SIGUSR2);
    daemon.wait_for_log("from the future: xyzzy");
    assert_eq!((daemon.life(), daemon.pid_of("p")), (1, child));
    let told = daemon.ctl(&["upgrade"]).expect_code(1);
    assert!(told.stderr.contains("from the future: xyzzy"), "{told:?}");
}

/// `sluiced --check-handover 3` with a file of this content open there.
fn check(content: &[u8]) -> (i32, String) {
    let place = Place::new();
    let path = place.file("handover");
    std::fs::write(&path, content).expect("a file");
    let finished = output_of(
        Command::new("sh")
            .args(["-c", "exec \"$1\" --check-handover 3 3<\"$2\"", "sh"])
            .arg(program("sluiced"))
            .arg(&path),
    );
    assert!(!finished.stderr.contains("panicked"), "{}", finished.stderr);
    (finished.code, finished.stderr)
}

fn garbage_is_no_handover() {
    let noise: Vec<u8> = (0..100_000_u32).map(|number| (number * 31 % 251) as u8).collect();
    let deep = format!("sluiced handover 1\n200000\n{}", "[".repeat(200_000));
    for content in [
        &b""[..],
        b"\n",
        b"sluiced handover 1",
        b"sluiced handover 1\n",
        b"sluiced handover 1\n5\n",
        b"sluiced handover 1\n2\n{}",
        b"sluiced handover 1\n999999999999999999\n{}",
        b"sluiced handover 1\n-1\n{}",
        b"sluiced handover 1\n4\nnull",
        b"sluiced handover 1\n2\n\xff\xfe",
        deep.as_bytes(),
        &noise,
    ] {
        let (code, told) = check(content);
        let shown = String::from_utf8_lossy(&content[..content.len().min(60)]).into_owned();
        assert_eq!(code, 78, "{shown:?}: {told}");
        assert!(!told.trim().is_empty(), "no reason: {shown:?}");
    }
}

fn a_version_that_is_not_known() {
    let (code, told) = check(b"sluiced handover 4711\n2\n{}");
    assert_eq!(code, 78);
    assert!(told.contains("4711"), "which one it is: {told}");
}

fn no_descriptor_is_no_handover() {
    for words in [
        "--check-handover 77",
        "--check-handover 3 3</",
        "--check-handover 3 3</dev/null",
        "--check-handover -1",
        "--check-handover nonsense",
        "--check-handover 99999999999999999999",
        "--check-handover 3 3<&1",
    ] {
        let line = format!("exec \"$1\" {words}");
        let finished = output_of(Command::new("sh").args(["-c", &line, "sh"]).arg(program("sluiced")));
        assert!([2, 78].contains(&finished.code), "{words}: {finished:?}");
        assert!(!finished.stderr.trim().is_empty(), "no reason: {words}");
        assert!(!finished.stderr.contains("panicked"), "{words}: {finished:?}");
    }
}
