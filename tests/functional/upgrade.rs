//! An upgrade: the same process executes its binary again, and whoever looks from outside sees nothing of it but the life.
//! docs/design/0013.

use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::support::{
    Background, Client, Daemon, FifoReader, FifoWriter, Monitor, PATIENCE, Shown, program, sluiced, stories, until,
};

stories!(
    the_next_life_is_the_same_process,
    sluicectl_upgrades,
    sigusr2_upgrades,
    the_callers_connection_goes_on,
    a_oneway_call_upgrades_too,
    others_see_a_clean_end,
    nobody_is_refused_during_twenty_upgrades,
    sluicectl_gets_its_answer_all_the_same,
    the_binary_that_stands_there_now_is_executed,
    an_upgrade_never_reloads,
    the_generation_goes_on,
    the_lock_is_kept,
    the_arguments_are_kept,
    descriptors_do_not_grow,
    children_get_nothing_of_it,
);

const RELAY: &str = r#"
    [process.p]
    command = [$PEER, "hold"]
    instances = 2

    [process.q]
    command = [$PEER, "cat"]

    [route.in]
    from = "fifo:in"
    to = "process:q.stdin"

    [route.out]
    from = ["process:q.stdout", "process:p@2.stdout"]
    to = "fifo:out"
    "#;

const PROCESSES: [&str; 3] = ["p@1", "p@2", "q"];

fn status(daemon: &Daemon) -> Shown {
    daemon.call("GetStatus", json!({})).expect("GetStatus")
}

fn pids(daemon: &Daemon) -> [i32; 3] {
    PROCESSES.map(|name| daemon.pid_of(name))
}

fn bytes_cross(daemon: &Daemon, reader: &mut FifoReader, writer: &mut FifoWriter) {
    writer.write_all(b"some bytes\n");
    assert_eq!(reader.read_exact(11), b"some bytes\n", "{}", daemon.log());
}

/// Same pid, same children, same counters; once, and again.
fn the_next_life_is_the_same_process() {
    let daemon = Daemon::start(RELAY);
    let mut reader = FifoReader::open(daemon.fifo("out"));
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    bytes_cross(&daemon, &mut reader, &mut writer);
    let (before, children) = (status(&daemon), pids(&daemon));
    assert_eq!(before.int("life"), 1);
    let processes = PROCESSES.map(|name| format!("process.{name}"));
    for life in [2, 3] {
        daemon.upgrade_at_rest(&processes.each_ref().map(String::as_str));
        let after = status(&daemon);
        assert_eq!(after.int("life"), life);
        for same in ["pid", "generation", "version", "configPaths", "routes", "processes"] {
            assert_eq!(before.field(same), after.field(same), "{same}");
        }
        let begun = [&before, &after].map(|status| status.int("startedAtUSec"));
        assert!(begun[1] + 1_000_000 >= begun[0], "{before}\n{after}");
        assert_eq!(pids(&daemon), children);
        bytes_cross(&daemon, &mut reader, &mut writer);
    }
    daemon.wait_until("route.out", "with all its bytes", |route| {
        route.int("acceptedBytes") == 33
    });
}

fn sluicectl_upgrades() {
    let daemon = Daemon::start(RELAY);
    let told = daemon.ctl(&["upgrade"]).expect_code(0);
    assert!(told.stdout.contains('2'), "which life it is: {told:?}");
    let told = daemon.ctl(&["--json", "upgrade"]).expect_code(0);
    let told: Value = serde_json::from_str(&told.stdout).expect("one line of JSON");
    assert_eq!(told, json!({ "pid": daemon.pid(), "life": 3 }));
    assert_eq!(daemon.life(), 3);
}

fn sigusr2_upgrades() {
    let daemon = Daemon::start(RELAY);
    let children = pids(&daemon);
    daemon.signal(Signal::SIGUSR2);
    daemon.wait_for_life(2);
    assert_eq!(pids(&daemon), children);
    daemon.signal(Signal::SIGUSR2);
    daemon.wait_for_life(3);
}

fn the_callers_connection_goes_on() {
    let daemon = Daemon::start(RELAY);
    let mut client = daemon.client();
    for life in [2, 3, 4] {
        let reply = client.call("Upgrade", json!({})).expect("Upgrade");
        assert_eq!(reply.0, json!({ "pid": daemon.pid(), "life": life }));
        assert_eq!(
            client.call("GetStatus", json!({})).expect("GetStatus").int("life"),
            life
        );
    }
    let error = client
        .call("PauseRoute", json!({ "name": "nope" }))
        .expect_err("no such route");
    assert_eq!(error.name, "io.sluiced.Relay.NoSuchRoute");
    assert_eq!(client.call_more("ListRoutes", json!({})).expect("routes").len(), 2);
    Monitor::subscribe(client, &[]);
}

fn a_oneway_call_upgrades_too() {
    let daemon = Daemon::start(RELAY);
    daemon.client().send_call("Upgrade", &json!({}), &["oneway"]);
    daemon.wait_for_life(2);
}

/// Whole replies, and then the end of the stream: no half message, no reset.
fn others_see_a_clean_end() {
    let daemon = Daemon::start(RELAY);
    let mut monitor = daemon.client();
    monitor.send_call("Monitor", &json!({}), &["more"]);
    assert!(monitor.receive().is_some_and(|first| first.field("error").is_null()));
    let mut idle = UnixStream::connect(daemon.place().socket()).expect("a connection");
    idle.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let mut used = daemon.client();
    assert!(
        used.call("PauseRoute", json!({ "name": "in" }))
            .expect("PauseRoute")
            .flag("changed")
    );
    daemon.upgrade();
    let mut rest = Vec::new();
    assert_eq!(idle.read_to_end(&mut rest).expect("an end of stream"), 0);
    assert_eq!(used.receive(), None);
    while let Some(message) = monitor.receive() {
        assert!(message.field("error").is_null(), "{message}");
    }
    let mut again = daemon.monitor();
    assert!(daemon.changes("ResumeRoute", json!({ "name": "in" })));
    again.wait_for("route_resumed", "route:in");
}

/// What is not answered any more ends; what comes meanwhile waits.
fn nobody_is_refused_during_twenty_upgrades() {
    let daemon = Daemon::start(RELAY);
    let over = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..3)
        .map(|_| {
            let (socket, over) = (daemon.place().socket(), Arc::clone(&over));
            Background::run(move || {
                let (mut answered, mut last) = (0, 1);
                while !over.load(Ordering::SeqCst) {
                    let client = Client::connect(&socket);
                    let mut client = client.unwrap_or_else(|error| panic!("refused: {error}"));
                    let Some(reply) = client.try_call("GetStatus", json!({})) else {
                        continue;
                    };
                    let life = reply.expect("GetStatus").int("life");
                    assert!(life >= last, "life {life} after life {last}");
                    (answered, last) = (answered + 1, life);
                }
                (answered, last)
            })
        })
        .collect();
    for life in 2..22 {
        assert_eq!(daemon.upgrade(), life);
    }
    over.store(true, Ordering::SeqCst);
    for caller in callers {
        let (answered, last) = caller.done();
        assert!(answered > 0 && last > 1, "{answered} answers, the last of life {last}");
    }
}

/// interface: other connections end cleanly and their clients retry.
fn sluicectl_gets_its_answer_all_the_same() {
    let daemon = Daemon::start(RELAY);
    let over = Arc::new(AtomicBool::new(false));
    let (socket, told) = (daemon.place().socket(), Arc::clone(&over));
    let asking = Background::run(move || {
        while !told.load(Ordering::SeqCst) {
            crate::support::sluicectl(&socket, &["status"]).expect_code(0);
        }
    });
    for _ in 0..10 {
        daemon.upgrade();
    }
    over.store(true, Ordering::SeqCst);
    asking.done();
}

/// Not the one that runs: its file may have gone.
fn the_binary_that_stands_there_now_is_executed() {
    let daemon = Daemon::config(RELAY).with_own_binary().start();
    let own = daemon.file("sluiced");
    let runs = || std::fs::metadata(format!("/proc/{}/exe", daemon.pid())).map(|exe| exe.ino());
    for _ in 0..2 {
        let before = runs().expect("what it runs");
        daemon
            .place()
            .replace_binary("cp \"$1\" \"$2\"", &[&program("sluiced").display().to_string()]);
        let now = std::fs::metadata(&own).expect("the binary").ino();
        assert_ne!(before, now);
        daemon.upgrade();
        assert_eq!(runs().expect("what it runs"), now);
    }
}

fn an_upgrade_never_reloads() {
    let daemon = Daemon::start(RELAY);
    let shown = |daemon: &Daemon| daemon.call("GetConfig", json!({})).expect("GetConfig");
    let before = shown(&daemon);
    for text in [
        "[route.\n".to_owned(),
        format!("{RELAY}\n[route.more]\nfrom = \"fifo:more\"\nto = \"null\"\n"),
    ] {
        daemon.rewrite(&text);
        daemon.upgrade();
        assert_eq!(shown(&daemon), before);
        assert_eq!(daemon.routes().len(), 2);
    }
    std::fs::remove_file(daemon.place().config()).expect("a config to remove");
    daemon.upgrade();
    assert_eq!(shown(&daemon), before);
    let more = format!("{RELAY}\n[route.more]\nfrom = \"fifo:more\"\nto = \"null\"\n");
    assert_eq!(daemon.reload(&more), ["open route:more"], "what was written meanwhile");
}

fn the_generation_goes_on() {
    let daemon = Daemon::start(RELAY);
    daemon.reload(&format!("# one\n{RELAY}"));
    daemon.rewrite("[route.\n");
    daemon.call("Reload", json!({})).expect_err("a bad config");
    let error = status(&daemon).text("lastReloadError").to_owned();
    daemon.upgrade();
    assert_eq!(status(&daemon).int("generation"), 2);
    assert_eq!(status(&daemon).text_or_empty("lastReloadError"), error);
    assert_eq!(daemon.reload(RELAY), [""; 0]);
    assert_eq!(status(&daemon).int("generation"), 3);
}

/// One daemon a runtime directory, kept over an upgrade.
fn the_lock_is_kept() {
    let daemon = Daemon::start(RELAY);
    for _ in 0..2 {
        daemon.upgrade();
        let config = daemon.place().config().display().to_string();
        let second = sluiced(&["--config", &config]).expect_code(1);
        assert!(second.stderr.contains(&daemon.pid().to_string()), "{second:?}");
    }
}

/// `--exit-when-done` among them, and the environment.
fn the_arguments_are_kept() {
    let daemon = Daemon::config(
        "[process.p]\ncommand = [$PEER, \"tell-variable GIVEN $DIR/told\"]\nrestart = \"never\"\nautostart = false\n\
         [route.a]\nfrom = { fifo = \"in\", on-eof = \"close\" }\nto = \"fifo:out\"\n",
    )
    .argument("--exit-when-done")
    .environment("GIVEN", "kept")
    .start();
    let words = || std::fs::read(format!("/proc/{}/cmdline", daemon.pid())).expect("its arguments");
    let before = words();
    let mut reader = FifoReader::open(daemon.fifo("out"));
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    writer.write_all(b"one");
    daemon.upgrade();
    assert_eq!(words(), before);
    writer.write_all(b"two");
    assert!(daemon.changes("StartProcess", json!({ "name": "p" })));
    drop(writer);
    assert_eq!(reader.read_to_end(), b"onetwo");
    let told = daemon.file("told");
    daemon.expect_end_then(0, || {
        let told = std::fs::read_to_string(told).expect("the variable");
        assert!(told.starts_with("kept "), "{told}");
    });
}

fn descriptors_do_not_grow() {
    let daemon = Daemon::start(&format!(
        "{RELAY}\n[route.t]\nfrom = \"fifo:t\"\nto = [\"fifo:t0\", \"fifo:t1\"]\npath = \"splice\"\n\
         [route.f]\nfrom = \"fifo:f\"\nto = \"file:$DIR/file\"\n"
    ));
    let mut readers = ["out", "t0", "t1"].map(|name| FifoReader::open(daemon.fifo(name)));
    let mut writers = ["in", "t", "f"].map(|name| FifoWriter::open(daemon.fifo(name)));
    let through = |readers: &mut [FifoReader; 3], writers: &mut [FifoWriter; 3]| {
        writers.iter_mut().for_each(|writer| writer.write_all(b"x"));
        readers
            .iter_mut()
            .for_each(|reader| assert_eq!(reader.read_exact(1), b"x"));
    };
    through(&mut readers, &mut writers);
    let before = daemon.probe().descriptors();
    for _ in 0..20 {
        daemon.upgrade();
        through(&mut readers, &mut writers);
    }
    until(
        || (daemon.probe().descriptors().len() <= before.len()).then_some(()),
        || format!("before: {before:#?}, after: {:#?}", daemon.probe().descriptors()),
    );
}

/// Not a descriptor, not a variable, not a blocked signal: signal(7), mask and dispositions go over execve(2).
fn children_get_nothing_of_it() {
    let daemon = Daemon::start(
        r#"
        [process.p]
        command = ["sh", "-c", "{ ls /proc/$$/fd; env | grep -E 'SLUICED|LISTEN|NOTIFY|FDSTORE'; grep -E '^Sig(Blk|Ign)' /proc/self/status; echo over; } > '$DIR/told'; exec sleep 1000"]

        [process.q]
        command = ["sleep", "1000"]

        [route.a]
        from = "process:p.stdout"
        to = "process:q.stdin"
        "#,
    );
    let told = || {
        let text = std::fs::read_to_string(daemon.file("told")).unwrap_or_default();
        text.ends_with("over\n").then_some(text)
    };
    let of_a_life = || {
        let text = until(told, || "the child does not tell".to_owned());
        std::fs::remove_file(daemon.file("told")).expect("what was told");
        text
    };
    let before = of_a_life();
    let masks = |pid: i32| {
        let text = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("its status");
        let lines = text
            .lines()
            .filter(|line| ["SigBlk", "SigIgn", "SigCgt"].iter().any(|name| line.starts_with(name)));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let own = masks(daemon.pid());
    for _ in 0..2 {
        daemon.upgrade();
        assert!(daemon.changes("RestartProcess", json!({ "name": "p" })));
        assert_eq!(of_a_life(), before);
        assert_eq!(masks(daemon.pid()), own);
    }
}
