//! A consumer dies; what it had not read is its successor's.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::support::{Background, Checker, Daemon, FifoReader, FifoWriter, Pattern, stories};

stories!(
    a_consumer_killed_at_any_time_loses_nothing,
    a_consumer_killed_while_its_stdin_is_full,
    stop_and_start_keep_the_stdin,
    a_producer_killed_is_drained_before_its_successor,
    without_keep_stdin_the_route_waits_for_a_reader,
);

fn kill_now(pid: i32) {
    kill(Pid::from_raw(pid), Signal::SIGKILL).expect("a consumer to kill");
}

/// s6's and Supervisor's wish lists: SIGKILL the consumer again and again; every byte is in its record, in order. It
/// records by splice(2), so a kill loses nothing between its read and its write.
fn a_consumer_killed_at_any_time_loses_nothing() {
    const LENGTH: u64 = 16 * 1024 * 1024;
    let daemon = Daemon::start(
        r#"
        [process.consumer]
        command = [$PEER, "record $DIR/record"]
        restart-delay = "1ms"
        restart-delay-max = "1ms"

        [route.a]
        from = { fifo = "in", on-eof = "close" }
        to = "process:consumer.stdin"
        "#,
    );
    let pattern = Pattern::new(11);
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    let mut kills = 0;
    while kills < 25 {
        let pid = daemon.pid_of("consumer");
        writer = Background::run(move || {
            writer.write_pattern(pattern, LENGTH / 32);
            writer
        })
        .done();
        kill_now(pid);
        kills += 1;
        daemon.wait_until("process.consumer", "restarted", |process| {
            process.int("restarts") >= kills
        });
    }
    writer.write_pattern(pattern, LENGTH - writer.written());
    drop(writer);
    daemon.wait_for("route.a", "closed");
    daemon.wait_for("process.consumer", "finished");
    let record = std::fs::read(daemon.file("record")).expect("the record");
    Checker::new(pattern).feed(&record);
    assert_eq!(record.len() as u64, LENGTH);
}

/// CPython test_subprocess.py, test_communicate_epipe, and supervisors' bug lists: no storm of errors, and the next
/// one reads on from where its predecessor stopped.
fn a_consumer_killed_while_its_stdin_is_full() {
    let daemon = Daemon::start(
        r#"
        [process.consumer]
        command = [$PEER, "record-some 10000 $DIR/record", "await $DIR/run/gate", "record $DIR/record"]
        restart-delay = "1ms"

        [route.gate]
        from = "fifo:gate-in"
        to = "fifo:gate"

        [route.a]
        from = { fifo = "in", on-eof = "close" }
        to = "process:consumer.stdin"
        "#,
    );
    let feeder = FifoWriter::in_background(daemon.fifo("in"), Pattern::new(12), 2_000_000);
    daemon.wait_until("route.a", "full", |route| route.paused_only_for("backpressure"));
    let lines = daemon.log().lines().count();
    kill_now(daemon.pid_of("consumer"));
    daemon.wait_until("process.consumer", "restarted", |process| {
        process.int("restarts") == 1 && process.maybe_int("pid").is_some()
    });
    // It has to take its ten thousand first: the queue moves.
    daemon.wait_until("route.a", "full again", |route| route.paused_only_for("backpressure"));
    let more = daemon.log().lines().count() - lines;
    assert!(more < 20, "{more} lines about one death:\n{}", daemon.log());
    FifoWriter::open(daemon.fifo("gate-in")).write_all(b"go");
    feeder.done();
    daemon.wait_for("route.a", "closed");
    daemon.wait_for("process.consumer", "finished");
    let record = std::fs::read(daemon.file("record")).expect("the record");
    Checker::new(Pattern::new(12)).feed(&record);
    assert_eq!(record.len(), 2_000_000);
}

/// StopProcess signals at once and keeps the stdin; StartProcess reads on.
fn stop_and_start_keep_the_stdin() {
    let daemon = Daemon::start(
        r#"
        [process.consumer]
        command = [$PEER, "record $DIR/record"]

        [route.a]
        from = { fifo = "in", on-eof = "close" }
        to = "process:consumer.stdin"
        "#,
    );
    let pattern = Pattern::new(13);
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    // Together no more than the two pipes hold, however little the first life has read.
    writer.write_pattern(pattern, 40_000);
    daemon.pid_of("consumer");
    assert!(daemon.changes("StopProcess", json!({ "name": "consumer" })));
    assert_eq!(daemon.process("consumer").state(), "stopped");
    writer.write_pattern(pattern, 20_000);
    daemon.wait_until("route.a", "holding bytes", |route| route.state() != "closed");
    assert!(daemon.changes("StartProcess", json!({ "name": "consumer" })));
    writer.write_pattern(pattern, 100_000);
    drop(writer);
    daemon.wait_for("route.a", "closed");
    daemon.wait_for("process.consumer", "finished");
    let record = std::fs::read(daemon.file("record")).expect("the record");
    Checker::new(pattern).feed(&record);
    assert_eq!(record.len(), 160_000);
}

/// A producer's pipe is drained to its end before its successor's is read: each life's bytes are whole and in turn.
fn a_producer_killed_is_drained_before_its_successor() {
    let daemon = Daemon::start(
        r#"
        [process.producer]
        command = [$PEER, "write 50000", "die SIGKILL"]
        restart-delay = "1ms"
        restart-delay-max = "1ms"

        [route.a]
        from = "process:producer.stdout"
        to = "fifo:out"
        "#,
    );
    let mut reader = FifoReader::open(daemon.fifo("out"));
    let life = Pattern::new(1).bytes(0, 50_000);
    for number in 0..15 {
        assert!(
            reader.read_exact(50_000) == life,
            "life {number} is torn, or in another's place"
        );
    }
    let beside = Background::run(move || while reader.read_some(65536) != crate::support::Taken::End {});
    daemon.changes("StopProcess", json!({ "name": "producer" }));
    daemon.finish();
    beside.done();
}

/// keep-stdin = false: a consumer that is down is a reader that has gone.
fn without_keep_stdin_the_route_waits_for_a_reader() {
    let daemon = Daemon::start(
        r#"
        [process.consumer]
        command = [$PEER, "record $DIR/record"]
        keep-stdin = false

        [route.a]
        from = { fifo = "in", on-eof = "close" }
        to = "process:consumer.stdin"
        "#,
    );
    daemon.wait_for("route.a", "flowing");
    assert!(daemon.changes("StopProcess", json!({ "name": "consumer" })));
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    writer.write_all(b"kept in the source");
    let route = daemon.wait_until("route.a", "without a reader", |route| {
        route.paused_only_for("no_reader")
    });
    assert_eq!(route.int("acceptedBytes"), 0, "{route}");
    assert!(daemon.changes("StartProcess", json!({ "name": "consumer" })));
    drop(writer);
    daemon.wait_for("route.a", "closed");
    daemon.wait_for("process.consumer", "finished");
    assert_eq!(
        std::fs::read(daemon.file("record")).expect("the record"),
        b"kept in the source"
    );
}
