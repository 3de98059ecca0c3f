//! `instances = N`: a pool of one program, with a number each.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::support::{
    Background, Checker, Daemon, FifoReader, FifoWriter, Monitor, Pattern, Shown, check_law, stories, until,
};

stories!(
    a_broadcast_reaches_every_instance,
    what_instances_write_comes_together,
    an_instance_that_dies_is_restarted_alone,
    a_name_means_all_and_a_number_one,
    a_signal_to_all_reaches_those_that_run,
    one_instance_is_an_instance,
    each_may_have_a_route_of_its_own,
    a_pool_as_a_pipeline_is_exit_0,
    an_instance_that_fails_is_exit_1,
    one_of_a_finished_pool_is_started_alone,
    a_finished_pool_is_started_together,
    a_finished_pipeline_is_started_one_by_one,
    two_large_pools_stop_in_order,
);

const NAMES: [&str; 3] = ["w@1", "w@2", "w@3"];

fn pids(daemon: &Daemon) -> [i32; 3] {
    NAMES.map(|name| daemon.pid_of(name))
}

fn restarts(daemon: &Daemon) -> [u64; 3] {
    NAMES.map(|name| daemon.process(name).int("restarts"))
}

/// tee(1), and n children of one FIFO: each gets all of it.
fn a_broadcast_reaches_every_instance() {
    const LENGTH: u64 = 8 * 1024 * 1024 + 17;
    let daemon = Daemon::start(
        r#"
        [process.w]
        command = ["sh", "-c", "cat > '$DIR/record'-$SLUICED_INSTANCE"]
        instances = 3

        [route.a]
        from = { fifo = "in", on-eof = "close" }
        to = { process = "w.stdin", high-watermark = "8KiB" }
        "#,
    );
    FifoWriter::in_background(daemon.fifo("in"), Pattern::new(51), LENGTH).done();
    let route = daemon.wait_for("route.a", "closed");
    for (destination, name) in route.list("destinations").iter().zip(NAMES) {
        assert_eq!(destination.text("name"), format!("process:{name}.stdin"));
        assert_eq!(destination.int("bytes"), LENGTH, "{destination}");
        assert_eq!(
            (destination.int("highWatermark"), destination.int("lowWatermark")),
            (8192, 2048)
        );
    }
    assert_eq!(route.list("destinations").len(), 3);
    for name in NAMES {
        // They are restarted always: it is the end of their input that finishes them.
        assert_eq!(
            daemon.wait_for(&format!("process.{name}"), "finished").int("restarts"),
            0
        );
        let record = std::fs::read(daemon.file(&name.replace("w@", "record-"))).expect("the record");
        Checker::new(Pattern::new(51)).feed(&record);
        assert_eq!(record.len() as u64, LENGTH, "{name}");
    }
}

/// xargs -P: several writers, one reader; nothing is lost, and each one's own order is kept.
fn what_instances_write_comes_together() {
    const LENGTH: u64 = 3_000_000;
    let daemon = Daemon::start(
        r#"
        [process.w]
        command = ["sh", "-c", "exec tr '\\000-\\377' \"[\\\\00$SLUICED_INSTANCE*]\""]
        instances = 3

        [route.a]
        from = { fifo = "in", on-eof = "close" }
        to = "process:w.stdin"

        [route.b]
        from = "process:w.stdout"
        to = "fifo:out"
        "#,
    );
    let reader = {
        let path = daemon.fifo("out");
        Background::run(move || FifoReader::open(path).read_to_end())
    };
    FifoWriter::in_background(daemon.fifo("in"), Pattern::new(52), LENGTH).done();
    let all = reader.done();
    let route = daemon.wait_for("route.b", "closed");
    assert_eq!(route.int("acceptedBytes"), 3 * LENGTH);
    assert_eq!(route.destination(0).int("bytes"), 3 * LENGTH);
    for (index, name) in NAMES.into_iter().enumerate() {
        let source = route.source(index);
        assert_eq!(source.text("name"), format!("process:{name}.stdout"));
        assert_eq!(source.int("bytes"), LENGTH, "{source}");
        let own = all.iter().filter(|byte| usize::from(**byte) == index + 1).count();
        assert_eq!(own as u64, LENGTH, "{name}");
    }
    assert_eq!(all.len() as u64, 3 * LENGTH);
}

/// supervisord's numprocs: the death of one is no matter to the others, and what it had not read is its successor's.
fn an_instance_that_dies_is_restarted_alone() {
    let daemon = Daemon::start(
        r#"
        [process.w]
        command = ["sh", "-c", "exec \"$@\" \"record $DIR/record-$SLUICED_INSTANCE\"", "sh", $PEER]
        instances = 3
        restart-delay = "1ms"
        restart-delay-max = "1ms"

        [route.a]
        from = { fifo = "in", on-eof = "close" }
        to = "process:w.stdin"
        "#,
    );
    let pattern = Pattern::new(53);
    let before = pids(&daemon);
    let mut monitor = Monitor::subscribe(daemon.client(), &["process:w"]);
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    for kills in 1..=5 {
        writer = Background::run(move || {
            writer.write_pattern(pattern, 300_000);
            writer
        })
        .done();
        kill(Pid::from_raw(daemon.pid_of("w@2")), Signal::SIGKILL).expect("an instance to kill");
        daemon.wait_until("process.w@2", "restarted", |process| {
            process.int("restarts") >= kills && process.state() == "ready"
        });
    }
    let after = pids(&daemon);
    assert_eq!((after[0], after[2]), (before[0], before[2]));
    assert_ne!(after[1], before[1]);
    drop(writer);
    daemon.wait_for("route.a", "closed");
    for name in NAMES {
        daemon.wait_for(&format!("process.{name}"), "finished");
        let record = std::fs::read(daemon.file(&name.replace("w@", "record-"))).expect("the record");
        Checker::new(pattern).feed(&record);
        assert_eq!(record.len(), 1_500_000, "{name}");
        monitor.wait_for("process_exited", &format!("process:{name}"));
    }
    assert_eq!(restarts(&daemon), [0, 5, 0]);
    for name in ["w@1", "w@3"] {
        assert_eq!(monitor.count("process_started", &format!("process:{name}")), 0);
    }
}

/// supervisorctl GROUP:* and systemctl NAME@I: by the name all, by the number one.
fn a_name_means_all_and_a_number_one() {
    let daemon = Daemon::start(
        r#"
        [process.w]
        command = [$PEER, "hold"]
        instances = 3

        [process.w2]
        command = [$PEER, "hold"]
        "#,
    );
    let (first, other) = (pids(&daemon), daemon.pid_of("w2"));
    let all = daemon.call("ListProcesses", json!({ "name": "w" })).expect("the pool");
    let names: Vec<String> = all
        .list("processes")
        .iter()
        .map(|process| process.text("name").to_owned())
        .collect();
    assert_eq!(names, NAMES);
    assert_eq!(daemon.process("w@2").text("name"), "w@2");
    for unknown in ["w@4", "w@0", "w@", "w@01", "w@1@1", "w2@1", "@1"] {
        let error = daemon.call("ListProcesses", json!({ "name": unknown }));
        assert_eq!(
            error.expect_err(unknown).name,
            "io.sluiced.Relay.NoSuchProcess",
            "{unknown}"
        );
        daemon.ctl(&["restart", unknown]).expect_code(4);
    }
    assert!(daemon.changes("RestartProcess", json!({ "name": "w" })));
    let second = pids(&daemon);
    assert!(first.iter().all(|pid| !second.contains(pid)), "{first:?} {second:?}");
    daemon.ctl(&["restart", "w@2"]).expect_code(0);
    let third = pids(&daemon);
    assert_eq!((third[0], third[2]), (second[0], second[2]));
    assert_ne!(third[1], second[1]);
    assert_eq!(restarts(&daemon), [1, 2, 1]);
    assert!(daemon.changes("StopProcess", json!({ "name": "w@3" })));
    let status = daemon.call("GetStatus", json!({})).expect("GetStatus");
    assert_eq!(status.field("processes"), &json!({ "ready": 3, "stopped": 1 }));
    let told = daemon.ctl(&["status", "w"]).expect_code(0).stdout;
    for name in NAMES {
        assert_eq!(told.matches(name).count(), 1, "{told}");
    }
    assert!(!told.contains("w2"), "{told}");
    let told = daemon.ctl(&["status", "w@3"]).expect_code(0).stdout;
    assert!(told.contains("w@3") && !told.contains("w@1"), "{told}");
    assert!(
        daemon.changes("StartProcess", json!({ "name": "w" })),
        "one of them was down"
    );
    assert!(!daemon.changes("StartProcess", json!({ "name": "w" })));
    assert!(daemon.changes("StopProcess", json!({ "name": "w" })));
    for name in NAMES {
        assert_eq!(daemon.process(name).state(), "stopped");
    }
    assert_eq!(daemon.pid_of("w2"), other);
}

/// killall: those that are there get it, whoever else is not.
fn a_signal_to_all_reaches_those_that_run() {
    let daemon = Daemon::start(
        r#"
        [process.w]
        command = [$PEER, "on SIGUSR1 exit 7", "tell $DIR/up x", "hold"]
        instances = 3
        restart = "never"
        "#,
    );
    let up = daemon.file("up");
    let lines = || std::fs::read_to_string(&up).unwrap_or_default().lines().count();
    until(|| (lines() == 3).then_some(()), || "not all are up".to_owned());
    daemon.ctl(&["stop", "w@1"]).expect_code(0);
    let refused = daemon.ctl(&["signal", "w", "USR1"]).expect_code(1);
    assert!(refused.stderr.contains("w@1 does not run"), "{}", refused.stderr);
    for name in ["w@2", "w@3"] {
        let process = daemon.wait_for(&format!("process.{name}"), "finished");
        assert_eq!(process.object("lastExit").int("code"), 7);
    }
    assert_eq!(daemon.process("w@1").state(), "stopped");
}

/// Given, even as 1.
fn one_instance_is_an_instance() {
    let daemon = Daemon::start(
        r#"
        [process.w]
        command = ["sh", "-c", "echo $SLUICED_PROCESS $SLUICED_INSTANCE"]
        instances = 1
        restart = "never"

        [route.a]
        from = "process:w.stdout"
        to = "file:$DIR/out"
        "#,
    );
    daemon.wait_for("process.w@1", "finished");
    let route = daemon.wait_for("route.a", "closed");
    assert_eq!(route.source(0).text("name"), "process:w@1.stdout");
    assert_eq!(
        std::fs::read_to_string(daemon.file("out")).expect("what it said"),
        "w 1\n"
    );
    // The name means all of them, which is this one.
    assert_eq!(daemon.process("w").text("name"), "w@1");
}

/// A chain of one program: each instance has its own place in it, and the end travels through.
fn each_may_have_a_route_of_its_own() {
    const LENGTH: u64 = 4_000_000;
    let daemon = Daemon::start(
        r#"
        [process.w]
        command = ["cat"]
        instances = 3

        [route.a]
        from = { fifo = "in", on-eof = "close" }
        to = "process:w@2.stdin"

        [route.b]
        from = "process:w@2.stdout"
        to = "process:w@1.stdin"

        [route.c]
        from = ["process:w@1.stdout", "process:w.stderr"]
        to = "fifo:out"
        "#,
    );
    let reader = FifoReader::in_background(daemon.fifo("out"), Pattern::new(54), LENGTH);
    FifoWriter::in_background(daemon.fifo("in"), Pattern::new(54), LENGTH).done();
    reader.done();
    daemon.wait_for("route.b", "closed");
    daemon.wait_for("process.w@2", "finished");
    daemon.wait_for("process.w@1", "finished");
    // Its stdin is /dev/null: it comes to its end again and again, and that is nobody else's matter.
    let unfed = daemon.wait_until("process.w@3", "restarted", |process| process.int("restarts") >= 1);
    assert_ne!(unfed.state(), "finished");
    assert!(!daemon.log().contains("in a cycle"), "{}", daemon.log());
}

fn closed_pool(code: &str) -> String {
    format!(
        r#"
        [process.seq]
        command = ["seq", "1", "100000"]
        restart = "never"

        [process.w]
        command = ["sh", "-c", "cat; exit {code}"]
        instances = 4
        restart = "never"

        [process.wc]
        command = ["wc", "-c"]
        restart = "never"

        [route.a]
        from = "process:seq.stdout"
        to = "process:w.stdin"

        [route.b]
        from = "process:w.stdout"
        to = "process:wc.stdin"

        [route.c]
        from = "process:wc.stdout"
        to = "file:$DIR/count"
        "#
    )
}

/// seq | tee >(cat) >(cat) >(cat) >(cat) | wc
fn a_pool_as_a_pipeline_is_exit_0() {
    let daemon = Daemon::config(&closed_pool("0")).argument("--exit-when-done").launch();
    let count = daemon.file("count");
    daemon.expect_end_then(0, || {
        let count = std::fs::read_to_string(&count).expect("the count");
        assert_eq!(count.trim(), (4 * 588_895).to_string());
    });
}

fn an_instance_that_fails_is_exit_1() {
    let config = closed_pool("$((SLUICED_INSTANCE == 3))");
    Daemon::config(&config)
        .argument("--exit-when-done")
        .launch()
        .expect_end(1);
}

fn finished_pool() -> Daemon {
    let daemon = Daemon::start(
        r#"
        [process.w]
        command = ["sh", "-c", "exec cat >> '$DIR/record'-$SLUICED_INSTANCE"]
        instances = 3

        [route.a]
        from = { fifo = "in", on-eof = "close" }
        to = "process:w.stdin"
        "#,
    );
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    writer.write_all(b"first ");
    drop(writer);
    daemon.wait_for("route.a", "closed");
    for name in NAMES {
        daemon.wait_for(&format!("process.{name}"), "finished");
    }
    daemon
}

fn records(daemon: &Daemon) -> [String; 3] {
    ["record-1", "record-2", "record-3"].map(|name| std::fs::read_to_string(daemon.file(name)).expect("a record"))
}

/// The route that is reopened for one of them does not wait for the others, which are not coming.
fn one_of_a_finished_pool_is_started_alone() {
    let daemon = finished_pool();
    assert!(daemon.changes("StartProcess", json!({ "name": "w@2" })));
    daemon.wait_until("route.a", "open for one", |route| {
        let states: Vec<String> = states(route);
        states == ["closed", "open", "closed"] && route.state() == "flowing"
    });
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    writer.write_all(b"second");
    drop(writer);
    let route = daemon.wait_for("route.a", "closed");
    daemon.wait_for("process.w@2", "finished");
    assert_eq!(records(&daemon), ["first ", "first second", "first "]);
    check_law(&route).expect("the law");
}

fn states(route: &Shown) -> Vec<String> {
    let destinations = route.list("destinations");
    destinations
        .iter()
        .map(|destination| destination.state().to_owned())
        .collect()
}

fn a_finished_pool_is_started_together() {
    let daemon = finished_pool();
    let mut monitor = daemon.monitor();
    assert!(daemon.changes("StartProcess", json!({ "name": "w" })));
    daemon.wait_for("route.a", "flowing");
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    writer.write_all(b"second");
    drop(writer);
    daemon.wait_for("route.a", "closed");
    for name in NAMES {
        daemon.wait_for(&format!("process.{name}"), "finished");
    }
    assert_eq!(records(&daemon), ["first second"; 3]);
    monitor.wait_for("route_closed", "route:a");
    for name in NAMES {
        let subject = format!("route:a/process:{name}.stdin");
        assert_eq!(monitor.count("endpoint_closed", &subject), 1, "{:?}", monitor.kinds());
    }
}

/// A reopened route waits for a side of which nobody is there: who starts the consumer may start the producer next.
fn a_finished_pipeline_is_started_one_by_one() {
    let daemon = Daemon::start(
        r#"
        [process.w]
        command = ["sh", "-c", "echo $SLUICED_INSTANCE"]
        instances = 2
        restart = "never"

        [process.c]
        command = ["sh", "-c", "exec cat >> '$DIR/record'"]

        [route.a]
        from = "process:w.stdout"
        to = "process:c.stdin"
        "#,
    );
    let finished = || {
        daemon.wait_for("route.a", "closed");
        for process in ["process.w@1", "process.w@2", "process.c"] {
            daemon.wait_for(process, "finished");
        }
        let record = std::fs::read_to_string(daemon.file("record")).expect("the record");
        let mut lines: Vec<&str> = record.lines().collect();
        lines.sort_unstable();
        lines.join(" ")
    };
    assert_eq!(finished(), "1 2");
    assert!(daemon.changes("StartProcess", json!({ "name": "c" })));
    assert!(daemon.changes("StartProcess", json!({ "name": "w@2" })));
    assert_eq!(finished(), "1 2 2");
    assert!(daemon.changes("StartProcess", json!({ "name": "c" })));
    assert!(daemon.changes("StartProcess", json!({ "name": "w" })));
    assert_eq!(finished(), "1 1 2 2 2");
    // Nobody starts the other side any more: at the shutdown that is no matter.
    assert!(daemon.changes("StartProcess", json!({ "name": "c" })));
    daemon.wait_for("process.c", "ready");
}

/// Everything between two pools, and in a cycle of them, is asked and drained in a time that is no matter.
fn two_large_pools_stop_in_order() {
    let daemon = Daemon::start(
        r#"
        [process.a]
        command = ["cat"]
        instances = 60

        [process.b]
        command = ["cat"]
        instances = 60

        [process.c]
        command = ["cat"]

        [route.in]
        from = "fifo:in"
        to = "process:a.stdin"

        [route.between]
        from = "process:a.stdout"
        to = "process:b.stdin"

        [route.out]
        from = "process:b.stdout"
        to = "process:c.stdin"

        [route.end]
        from = "process:c.stdout"
        to = "file:$DIR/out"
        "#,
    );
    daemon.wait_for("route.out", "flowing");
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    writer.write_all(&[b'x'; 1000]);
    drop(writer);
    daemon.wait_accepted("in", 1000);
    daemon.signal(Signal::SIGTERM);
    let out = daemon.file("out");
    daemon.expect_end_then(0, || {
        let out = std::fs::read(&out).expect("what came out");
        assert_eq!(out.len(), 60 * 60 * 1000, "nothing is lost on the way");
    });
}
