//! An upgrade, and reloads good and bad, as systemd sees them: it is the same service all along.

use serde_json::json;

use crate::Story;
use crate::lab::Lab;
use crate::service::{Service, UNIT};
use crate::support::{Background, Checker, FifoReader, FifoWriter, Pattern, until};

pub const STORIES: &[Story] = &[
    ("an_upgrade_is_no_restart", an_upgrade_is_no_restart),
    (
        "an_upgrade_in_the_middle_of_traffic",
        an_upgrade_in_the_middle_of_traffic,
    ),
    ("another_binary_is_executed", another_binary_is_executed),
    ("a_binary_that_cannot_is_refused", a_binary_that_cannot_is_refused),
    ("a_bad_reload_changes_nothing", a_bad_reload_changes_nothing),
    ("a_good_reload_is_one_job", a_good_reload_is_one_job),
];

const RELAY: &str = "
    [process.p]
    command = [$PEER, \"hold\"]
    [route.a]
    from = \"fifo:in\"
    to = \"fifo:out\"
    ";

fn life(service: &Service<'_>) -> u64 {
    service.call("GetStatus", json!({})).int("life")
}

fn child(service: &Service<'_>) -> u64 {
    let ready = |service: &Service<'_>| service.process("p");
    service
        .wait_until(ready, "ready", |process| process.state() == "ready")
        .int("pid")
}

/// A stream through the route, until it is told to end.
struct Traffic {
    writer: FifoWriter,
    reader: FifoReader,
    checker: Checker,
}

const PATTERN: Pattern = Pattern::new(5);

impl Traffic {
    fn open(lab: &Lab) -> Traffic {
        Traffic {
            reader: FifoReader::open(lab.file("/run/sluiced/out")),
            writer: FifoWriter::open(lab.file("/run/sluiced/in")),
            checker: Checker::new(PATTERN),
        }
    }

    /// Carries so many bytes while something is done.
    fn during(self, bytes: u64, work: impl FnOnce()) -> Traffic {
        let Traffic {
            mut writer,
            mut reader,
            mut checker,
        } = self;
        let upto = writer.written() + bytes;
        let writing = Background::run(move || {
            writer.write_pattern(PATTERN, bytes);
            writer
        });
        let reading = Background::run(move || {
            reader.check_up_to(&mut checker, upto);
            (reader, checker)
        });
        work();
        let writer = writing.done();
        let (reader, checker) = reading.done();
        Traffic {
            writer,
            reader,
            checker,
        }
    }
}

/// The main process is the same, and so are its watchdog, its children and their cgroups; the journal has its fields.
fn an_upgrade_is_no_restart(lab: &Lab) {
    let service = Service::started(lab, RELAY);
    let (main, p) = (service.pid(), child(&service));
    let (cgroups, began) = (service.cgroups(), service.property("ActiveEnterTimestampMonotonic"));
    for number in 2..5 {
        let fed: u64 = service
            .property("WatchdogTimestampMonotonic")
            .parse()
            .expect("microseconds");
        match number {
            2 => drop(lab.told(&["sluicectl", "upgrade"])),
            3 => drop(service.call("Upgrade", json!({}))),
            _ => service.systemctl(&["kill", "--kill-whom=main", "-s", "USR2"]),
        }
        until(
            || {
                let mut client = crate::support::Client::connect(&lab.file("/run/sluiced/control.sock")).ok()?;
                let status = client.try_call("GetStatus", json!({}))?.ok()?;
                (status.int("life") == number).then_some(())
            },
            || format!("life {number} does not come"),
        );
        assert_eq!(service.pid(), main);
        assert_eq!(service.property("ActiveState"), "active");
        assert_eq!(service.property("NRestarts"), "0");
        assert_eq!(service.property("ActiveEnterTimestampMonotonic"), began);
        assert_eq!(child(&service), p);
        assert_eq!(service.cgroups(), cgroups);
        let is_fed = || {
            let now: u64 = service.property("WatchdogTimestampMonotonic").parse().ok()?;
            (now > fed).then_some(())
        };
        until(is_fed, || "WATCHDOG=1 does not come any more".to_owned());
    }
    let told = service.wait_message("life 2");
    assert_eq!((told.text("_PID"), told.text("SYSLOG_IDENTIFIER")), (&*main, "sluiced"));
    service.call("PauseRoute", json!({ "name": "a" }));
    let paused = service.wait_message("route:a: paused: operator");
    assert_eq!((paused.text("_PID"), paused.text("SLUICED_ROUTE")), (&*main, "a"));
    service.wait_property("StatusText", "1 route (1 paused); 1 process (1 ready)");
    service.systemctl(&["stop"]);
    assert_eq!(service.property("Result"), "success");
    assert!(!service.lives(p));
}

fn an_upgrade_in_the_middle_of_traffic(lab: &Lab) {
    let service = Service::started(lab, &format!("{RELAY}\nrate-limit = \"8MiB/s\"\n"));
    let mut traffic = Traffic::open(lab);
    for number in 2..6 {
        traffic = traffic.during(2_000_000, || {
            lab.told(&["sluicectl", "upgrade"]);
            assert_eq!(life(&service), number);
        });
    }
    assert_eq!(service.route("a").int("acceptedBytes"), 8_000_000);
    // The socket is systemd's, before and after.
    assert_eq!(lab.told(&["systemctl", "is-active", "sluiced.socket"]), "active\n");
    assert_eq!(
        lab.told(&["stat", "-c", "%U %a", "/run/sluiced/control.sock"]),
        "root 600\n"
    );
    drop(traffic);
}

/// Where the README has installed it.
fn installed(lab: &Lab, service: &Service<'_>) -> String {
    let path = lab.told(&["readlink", &format!("/proc/{}/exe", service.pid())]);
    path.trim().to_owned()
}

/// As a package manager puts it there: under another name first, and then renamed.
fn put_there(lab: &Lab, from: &str, path: &str) {
    lab.told(&["cp", "--preserve=mode", from, &format!("{path}.next")]);
    lab.told(&["mv", &format!("{path}.next"), path]);
}

fn another_binary_is_executed(lab: &Lab) {
    let service = Service::started(lab, RELAY);
    let path = installed(lab, &service);
    put_there(lab, &path, &path);
    assert!(installed(lab, &service).ends_with(" (deleted)"));
    lab.told(&["sluicectl", "upgrade"]);
    assert_eq!(installed(lab, &service), path);
    assert_eq!(life(&service), 2);
}

fn a_binary_that_cannot_is_refused(lab: &Lab) {
    let service = Service::started(lab, RELAY);
    let (main, p, path) = (service.pid(), child(&service), installed(lab, &service));
    lab.told(&["cp", "--preserve=mode", &path, "/run/sluiced-as-it-was"]);
    put_there(lab, "/bin/false", &path);
    let refused = lab.run(&["sluicectl", "upgrade"]);
    put_there(lab, "/run/sluiced-as-it-was", &path);
    lab.told(&["rm", "/run/sluiced-as-it-was"]);
    assert_eq!(refused.code, 1, "{refused:#?}");
    assert!(!refused.stderr.is_empty());
    assert_eq!((service.pid(), child(&service), life(&service)), (main, p, 1));
    assert_eq!(service.property("ActiveState"), "active");
    lab.told(&["sluicectl", "upgrade"]);
    assert_eq!(life(&service), 2);
}

/// Type=notify-reload: the job ends, the service runs on as it was, and says why.
fn a_bad_reload_changes_nothing(lab: &Lab) {
    let rated = format!("{RELAY}\nrate-limit = \"8MiB/s\"\n");
    let service = Service::started(lab, &rated);
    let (main, p) = (service.pid(), child(&service));
    service.configure(&rated.replace("fifo:out", "fife:out"));
    let traffic = Traffic::open(lab).during(2_000_000, || {
        service.systemctl(&["reload"]);
        assert_eq!(service.property("ActiveState"), "active");
        let status = service.property("StatusText");
        assert!(status.contains("refused") && status.contains("fife"), "{status}");
    });
    let shown = lab.told(&["systemctl", "status", UNIT]);
    assert!(shown.contains("the last reload was refused: "), "{shown}");
    assert_eq!((service.pid(), child(&service)), (main, p));
    let status = service.call("GetStatus", json!({}));
    assert_eq!((status.int("generation"), status.int("life")), (1, 1));
    service.wait_message("reload refused");
    service.configure(&rated);
    drop(traffic.during(1_000_000, || service.systemctl(&["reload"])));
    assert!(!service.property("StatusText").contains("refused"));
    assert_eq!(service.call("GetStatus", json!({})).int("generation"), 2);
    assert_eq!(service.route("a").int("acceptedBytes"), 3_000_000);
}

/// When `systemctl reload` comes back it has been done.
fn a_good_reload_is_one_job(lab: &Lab) {
    let service = Service::started(lab, RELAY);
    let (main, p) = (service.pid(), child(&service));
    let mut traffic = Traffic::open(lab);
    for turn in 2..6 {
        let more = "[process.q]\ncommand = [$PEER, \"hold\"]\n[route.b]\nfrom = \"process:q.stdout\"\nto = \"null\"\n";
        let text = if turn % 2 == 0 {
            format!("{RELAY}\n{more}")
        } else {
            RELAY.to_owned()
        };
        service.configure(&text);
        traffic = traffic.during(500_000, || {
            service.systemctl(&["reload"]);
            let status = service.call("GetStatus", json!({}));
            assert_eq!(status.int("generation"), turn);
            let routes = service.call("ListRoutes", json!({})).list("routes");
            assert_eq!(routes.len(), if turn % 2 == 0 { 2 } else { 1 });
        });
        assert_eq!((service.pid(), child(&service)), (main.clone(), p));
    }
    drop(traffic);
}
