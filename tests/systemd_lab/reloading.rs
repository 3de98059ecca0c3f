//! `systemctl reload` while bytes flow: Type=notify-reload of systemd 253 and later, and the drop-in for 252.

use serde_json::json;

use crate::Story;
use crate::lab::Lab;
use crate::service::Service;
use crate::support::{Background, Checker, FifoReader, FifoWriter, Pattern, until};

pub const STORIES: &[Story] = &[
    (
        "a_reload_is_over_when_it_is_applied",
        a_reload_is_over_when_it_is_applied,
    ),
    (
        "a_refused_reload_changes_nothing_and_says_why",
        a_refused_reload_changes_nothing_and_says_why,
    ),
    ("a_reload_is_seen_while_it_lasts", a_reload_is_seen_while_it_lasts),
];

/// Of the same unit under systemd 252, by its drop-in.
pub const OF_252: &[Story] = &[
    (
        "a_reload_is_over_when_it_is_applied",
        a_reload_is_over_when_it_is_applied,
    ),
    (
        "a_refused_reload_fails_and_says_why",
        a_refused_reload_fails_and_says_why,
    ),
];

const LENGTH: u64 = 4_000_000;

fn config(name: &str, settings: &str) -> String {
    format!(
        "[process.p]\ncommand = [$PEER, \"cat\"]\n\
         [route.in]\nfrom = {{ fifo = \"in\", on-eof = \"close\" }}\nto = \"process:p.stdin\"\n\
         [route.{name}]\nfrom = \"process:p.stdout\"\nto = \"fifo:out\"\n{settings}"
    )
}

/// A pattern through the service, from end to end, while the story does something else.
struct Stream {
    writing: Background<()>,
    reading: Background<u64>,
}

impl Stream {
    fn through(service: &Service<'_>) -> Stream {
        let fifo = |name: &str| service.lab.file(&format!("/run/sluiced/{name}"));
        let pattern = Pattern::new(41);
        let mut reader = FifoReader::open(fifo("out"));
        let reading = Background::run(move || reader.check_to_end(&mut Checker::new(pattern)));
        let mut writer = FifoWriter::open(fifo("in"));
        writer.write_pattern(pattern, LENGTH / 4);
        service.wait_until(
            |service| service.route("in"),
            "under way",
            |route| route.int("acceptedBytes") > 0,
        );
        let writing = Background::run(move || writer.write_pattern(pattern, LENGTH - LENGTH / 4));
        Stream { writing, reading }
    }

    /// All of it has come, and then the end.
    fn end(self) {
        self.writing.done();
        assert_eq!(self.reading.done(), LENGTH);
    }
}

/// systemctl(1): what comes after it finds the new config running. The routes of a process are renamed, and a byte lost by
/// that would be missed.
fn a_reload_is_over_when_it_is_applied(lab: &Lab) {
    let service = Service::started(lab, &config("out0", ""));
    let stream = Stream::through(&service);
    let (daemon, process) = (service.pid(), service.process("p").int("pid"));
    for turn in 1..6_u64 {
        service.configure(&config(&format!("out{turn}"), ""));
        service.systemctl(&["reload"]);
        let status = service.call("GetStatus", json!({}));
        assert_eq!(status.int("generation"), turn + 1, "{status}");
        assert_eq!(service.route(&format!("out{turn}")).text("name"), format!("out{turn}"));
        service.wait_property("ActiveState", "active");
        service.wait_property("SubState", "running");
    }
    stream.end();
    assert_eq!(service.pid(), daemon);
    assert_eq!(service.property("NRestarts"), "0");
    service.wait_message("reloaded: generation 6");
    assert_eq!(process, process_of(&service));
}

fn process_of(service: &Service<'_>) -> u64 {
    // It has come to its end with its input.
    let exited = service.wait_message("process:p: pid ");
    let message = exited.text("MESSAGE").to_owned();
    let pid = message
        .trim_start_matches("process:p: pid ")
        .split(|c: char| !c.is_ascii_digit())
        .next();
    pid.and_then(|pid| pid.parse().ok())
        .unwrap_or_else(|| panic!("no pid in {message:?}"))
}

fn refused(service: &Service<'_>) -> (Stream, String) {
    let stream = Stream::through(service);
    let pid = service.pid();
    service.configure(&config("out", "high-watermark = \"1 parsec\"\n"));
    (stream, pid)
}

fn nothing_has_changed(service: &Service<'_>, stream: Stream, pid: &str) {
    until(
        || {
            let text = service.property("StatusText");
            let told =
                text.contains("the last reload was refused: /etc/sluiced/sluiced.toml:") && text.contains("parsec");
            told.then_some(())
        },
        || service.property("StatusText"),
    );
    let shown = service.lab.run(&["systemctl", "status", "sluiced"]).stdout;
    assert!(shown.contains("the last reload was refused"), "{shown}");
    assert_eq!(service.property("ActiveState"), "active");
    assert_eq!(service.pid(), pid);
    assert_eq!(service.call("GetStatus", json!({})).int("generation"), 1);
    service.wait_message("reload refused");
    stream.end();
    // The next one takes it back.
    service.configure(&config("out", "high-watermark = \"128KiB\"\n"));
    service.systemctl(&["reload"]);
    until(
        || (!service.property("StatusText").contains("refused")).then_some(()),
        || service.property("StatusText"),
    );
    assert_eq!(service.call("GetStatus", json!({})).int("generation"), 2);
}

/// sd_notify(3): READY=1 ends a reload, whether or not it was refused; why is in STATUS=.
fn a_refused_reload_changes_nothing_and_says_why(lab: &Lab) {
    let service = Service::started(lab, &config("out", ""));
    let (stream, pid) = refused(&service);
    service.systemctl(&["reload"]);
    nothing_has_changed(&service, stream, &pid);
}

/// Where `systemctl reload` is a command (ExecReload=) it can fail.
fn a_refused_reload_fails_and_says_why(lab: &Lab) {
    let service = Service::started(lab, &config("out", ""));
    let (stream, pid) = refused(&service);
    let told = lab.run(&["systemctl", "reload", "sluiced.service"]);
    assert_ne!(told.code, 0, "{told:#?}");
    nothing_has_changed(&service, stream, &pid);
}

/// RELOADING=1: systemd shows it, and `systemctl reload` waits.
fn a_reload_is_seen_while_it_lasts(lab: &Lab) {
    let table = "[daemon]\ndrain-timeout = \"20s\"\n";
    let slow = format!(
        "{table}{}[process.slow]\ncommand = [$PEER, \"await /run/sluiced/gate\", \"notify READY=1\", \"hold\"]\nready = \"notify\"\n\
         [route.gate]\nfrom = \"fifo:g\"\nto = \"fifo:gate\"\n",
        config("out", "")
    );
    let without = format!(
        "{table}{}[route.gate]\nfrom = \"fifo:g\"\nto = \"fifo:gate\"\n",
        config("out", "")
    );
    let service = Service::started(lab, &without);
    let stream = Stream::through(&service);
    service.configure(&slow);
    service.systemctl(&["reload", "--no-block"]);
    service.wait_property("ActiveState", "reloading");
    until(
        || (service.call("ListProcesses", json!({})).list("processes").len() == 2).then_some(()),
        || "the new process is not begun".to_owned(),
    );
    assert_eq!(service.property("ActiveState"), "reloading");
    FifoWriter::open(lab.file("/run/sluiced/g")).write_all(b"g");
    service.wait_property("ActiveState", "active");
    assert_eq!(service.call("GetStatus", json!({})).int("generation"), 2);
    assert_eq!(service.process("slow").state(), "ready");
    stream.end();
}
