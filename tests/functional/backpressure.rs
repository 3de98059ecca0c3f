//! Pausing and resuming, by the destination and by the operator.

use serde_json::json;

use crate::support::{Background, Checker, Daemon, FifoReader, FifoWriter, Pattern, Shown, Taken, stories};

stories!(
    a_reader_that_stops_pauses_its_route_and_no_other,
    a_slow_destination_pauses_for_all,
    pausing_and_resuming_twice_acts_once,
    a_closed_route_stays_closed,
    start_paused_reads_nothing,
    a_paused_source_learns_of_the_hang_up,
    an_operators_pause_outlives_backpressure,
    a_consumer_that_reads_again_is_fed_again,
);

fn pause(daemon: &Daemon, route: &str) -> bool {
    daemon.changes("PauseRoute", json!({ "name": route }))
}

fn resume(daemon: &Daemon, route: &str) -> bool {
    daemon.changes("ResumeRoute", json!({ "name": route }))
}

/// asyncio's flow control and GNU Radio chains: one reader stops; its route says why it is paused, the others run on,
/// and the accounting is exact in every look meanwhile.
fn a_reader_that_stops_pauses_its_route_and_no_other() {
    for path in ["copy", "splice", "auto"] {
        let daemon = Daemon::start(&format!(
            "[route.slow]\nfrom = \"fifo:slow-in\"\nto = \"fifo:slow-out\"\npath = \"{path}\"\n\
             [route.fast]\nfrom = \"fifo:in\"\nto = \"fifo:out\"\npath = \"{path}\"\n"
        ));
        let pattern = Pattern::new(8);
        let mut stopped = FifoReader::open(daemon.fifo("slow-out"));
        let mut writer = FifoWriter::open(daemon.fifo("slow-in"));
        let is_full = |route: &Shown| route.paused_only_for("backpressure");
        let total = writer.write_until(pattern, || is_full(&daemon.route("slow")));
        let route = daemon.route("slow");
        assert!(!route.source(0).flag("isReading"), "{route}");
        assert!(route.maybe_int("pausedSinceUSec").is_some(), "{route}");

        let length = 24 * 1024 * 1024;
        let reader = FifoReader::in_background(daemon.fifo("out"), pattern, length);
        let feeder = FifoWriter::in_background(daemon.fifo("in"), pattern, length);
        let mut looks = 0;
        while !feeder.is_done() {
            let routes = daemon.routes();
            assert!(is_full(&routes[0]), "{}", routes[0]);
            looks += 1;
        }
        assert!(looks > 0);
        feeder.done();
        reader.done();
        let after = daemon.route("slow");
        assert!(
            is_full(&after) && after.int("acceptedBytes") == route.int("acceptedBytes"),
            "{after}"
        );

        let mut checker = Checker::new(pattern);
        stopped.check_up_to(&mut checker, total);
        let route = daemon.wait_for("route.slow", "flowing");
        assert!(route.source(0).flag("isReading"), "{route}");
        daemon.finish();
    }
}

/// tee(1): the slowest output sets the pace of all.
fn a_slow_destination_pauses_for_all() {
    let daemon = Daemon::start("[route.a]\nfrom = \"fifo:in\"\nto = [\"fifo:fast\", \"fifo:slow\"]\n");
    let pattern = Pattern::new(4);
    let mut fast = FifoReader::open(daemon.fifo("fast"));
    let mut slow = FifoReader::open(daemon.fifo("slow"));
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    let (mut of_fast, mut of_slow) = (Checker::new(pattern), Checker::new(pattern));
    let total = writer.write_until(pattern, || {
        while let Taken::Bytes(piece) = fast.try_read(65536) {
            of_fast.feed(&piece);
        }
        daemon.route("a").paused_only_for("backpressure")
    });
    let beside = Background::run(move || {
        fast.check_up_to(&mut of_fast, total);
        fast
    });
    slow.check_up_to(&mut of_slow, total);
    let _still_there = beside.done();
    daemon.wait_for("route.a", "flowing");
}

/// CPython test_unix_events.py: pause_reading and resume_reading twice; is_reading.
fn pausing_and_resuming_twice_acts_once() {
    let config = format!("[route.a]\nfrom = \"fifo:in\"\nto = \"fifo:out\"\n{}", Daemon::MARKER);
    let daemon = Daemon::start(&config);
    let mut reader = FifoReader::open(daemon.fifo("out"));
    daemon.wait_for("route.a", "flowing");
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    assert!(pause(&daemon, "a"));
    assert!(!pause(&daemon, "a"));
    let route = daemon.route("a");
    assert!(
        route.paused_only_for("operator") && !route.source(0).flag("isReading"),
        "{route}"
    );
    writer.write_all(b"held");
    daemon.marker();
    assert_eq!(daemon.route("a").int("acceptedBytes"), 0);
    assert_eq!(reader.try_read(1), Taken::Nothing);
    assert!(resume(&daemon, "a"));
    assert!(!resume(&daemon, "a"));
    assert_eq!(reader.read_exact(4), b"held");
    assert!(daemon.route("a").source(0).flag("isReading"));
}

/// The same file: after close, resume_reading does nothing.
fn a_closed_route_stays_closed() {
    let daemon = Daemon::start("[route.a]\nfrom = { fifo = \"in\", on-eof = \"close\" }\nto = \"fifo:out\"\n");
    let mut reader = FifoReader::open(daemon.fifo("out"));
    FifoWriter::open(daemon.fifo("in")).write_all(b"x");
    assert_eq!(reader.read_to_end(), b"x");
    daemon.wait_for("route.a", "closed");
    assert!(!resume(&daemon, "a"));
    let route = daemon.route("a");
    assert_eq!(route.state(), "closed");
    assert!(!route.source(0).flag("isReading"), "{route}");
}

/// uvloop test_pipes.py: paused from the start.
fn start_paused_reads_nothing() {
    let config = format!(
        "[route.a]\nfrom = {{ fifo = \"in\", on-eof = \"close\" }}\nto = \"fifo:out\"\nstart-paused = true\n{}",
        Daemon::MARKER
    );
    let daemon = Daemon::start(&config);
    let mut reader = FifoReader::open(daemon.fifo("out"));
    daemon.wait_until("route.a", "paused by the operator alone", |route| {
        route.paused_only_for("operator")
    });
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    let pattern = Pattern::new(5);
    writer.write_pattern(pattern, 30_000);
    daemon.marker();
    let source = daemon.route("a").source(0);
    assert_eq!(source.int("bytes"), 0);
    assert!(
        source.maybe_int("kernelBytes").is_none_or(|bytes| bytes == 30_000),
        "{source}"
    );
    let beside = Background::run(move || {
        writer.write_pattern(pattern, 500_000);
    });
    assert!(resume(&daemon, "a"));
    assert_eq!(reader.check_to_end(&mut Checker::new(pattern)), 530_000);
    beside.done();
}

/// The same: paused, the writer writes and closes; nothing is lost, and the hang-up is visible meanwhile.
fn a_paused_source_learns_of_the_hang_up() {
    for path in ["copy", "splice"] {
        let daemon = Daemon::start(&format!(
            "[route.a]\nfrom = {{ fifo = \"in\", on-eof = \"close\" }}\nto = \"fifo:out\"\npath = \"{path}\"\n\
             start-paused = true\n"
        ));
        let mut reader = FifoReader::open(daemon.fifo("out"));
        let mut writer = FifoWriter::open(daemon.fifo("in"));
        assert!(!daemon.route("a").source(0).flag("peerHungUp"));
        writer.write_all(b"the last words");
        drop(writer);
        let route = daemon.wait_until("route.a", "hung up", |route| route.source(0).flag("peerHungUp"));
        assert_eq!((route.state(), route.int("acceptedBytes")), ("paused", 0), "{route}");
        assert_eq!(reader.try_read(1), Taken::Nothing);
        assert!(resume(&daemon, "a"));
        assert_eq!(reader.read_to_end(), b"the last words");
        assert_eq!(daemon.wait_for("route.a", "closed").source(0).text("closeCause"), "eof");
        daemon.finish();
    }
}

/// An automatic resume never undoes an operator's pause.
fn an_operators_pause_outlives_backpressure() {
    let daemon = Daemon::start("[route.a]\nfrom = \"fifo:in\"\nto = \"fifo:out\"\npath = \"copy\"\n");
    let pattern = Pattern::new(6);
    let mut reader = FifoReader::open(daemon.fifo("out"));
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    let total = writer.write_until(pattern, || daemon.route("a").paused_only_for("backpressure"));
    assert!(pause(&daemon, "a"));
    assert_eq!(daemon.route("a").reasons(), ["operator", "backpressure"]);
    let accepted = daemon.route("a").int("acceptedBytes");
    let mut checker = Checker::new(pattern);
    reader.check_up_to(&mut checker, accepted);
    daemon.wait_until("route.a", "paused by the operator alone", |route| {
        route.paused_only_for("operator")
    });
    assert!(resume(&daemon, "a"));
    reader.check_up_to(&mut checker, total);
    daemon.wait_for("route.a", "flowing");
}

/// Node's `child.stdin` 'drain': a consumer process that stops reading, and reads again.
fn a_consumer_that_reads_again_is_fed_again() {
    let daemon = Daemon::start(
        r#"
        [process.consumer]
        command = [$PEER, "check 4096", "await $DIR/run/gate", "check-end 5995904", "tell $DIR/verdict fine"]
        restart = "never"

        [route.gate]
        from = { fifo = "gate-in", on-eof = "close" }
        to = "fifo:gate"

        [route.a]
        from = { fifo = "in", on-eof = "close" }
        to = "process:consumer.stdin"
        "#,
    );
    let feeder = FifoWriter::in_background(daemon.fifo("in"), Pattern::new(1), 6_000_000);
    daemon.wait_until("route.a", "full", |route| route.paused_only_for("backpressure"));
    // The gate itself is a FIFO that the daemon keeps: the consumer's blocking open of it returns.
    FifoWriter::open(daemon.fifo("gate-in")).write_all(b"go");
    feeder.done();
    daemon.wait_for("route.a", "closed");
    daemon.wait_for("process.consumer", "finished");
    assert_eq!(
        std::fs::read_to_string(daemon.file("verdict")).expect("the verdict"),
        "fine\n"
    );
}
