//! Stopping in the direction of the data.

use nix::sys::signal::Signal;
use serde_json::json;

use crate::support::{Checker, Daemon, FifoReader, FifoWriter, Pattern, stories, until};

stories!(
    sigterm_drains_producers_into_consumers,
    sigint_does_the_same,
    the_shutdown_call_does_the_same,
    consumers_see_the_end_before_any_signal,
    bytes_that_a_fifo_reader_takes_late_arrive,
    the_deadline_counts_what_is_left,
    a_second_call_does_not_hurry,
    a_second_signal_hurries,
    a_cycle_is_stopped,
);

const CHAIN: &str = r#"
    [process.producer]
    command = [$PEER, "stream-until SIGTERM $DIR/written"]

    [process.middle]
    command = ["cat"]

    [process.consumer]
    command = [$PEER, "record $DIR/record", "tell $DIR/end eof"]

    [route.a]
    from = "process:producer.stdout"
    to = "process:middle.stdin"

    [route.b]
    from = "process:middle.stdout"
    to = "process:consumer.stdin"
    "#;

/// systemd stops everything at once and loses what is on its way; here producers stop first, and what they wrote until
/// then is in the record to the last byte.
fn chain(stop: impl Fn(&Daemon)) {
    let daemon = Daemon::config(CHAIN).start();
    daemon.wait_accepted("b", 5_000_000);
    let (written, record, end) = (daemon.file("written"), daemon.file("record"), daemon.file("end"));
    stop(&daemon);
    let mut daemon = daemon;
    let ending = daemon.ending();
    assert_eq!(
        (ending.status.as_str(), ending.left.len()),
        ("code 0", 0),
        "{ending:?}\n{}",
        daemon.log()
    );
    let written = std::fs::read_to_string(written).expect("how much was written");
    let record = std::fs::read(record).expect("the record");
    assert_eq!(record.len().to_string(), written.trim(), "{}", daemon.log());
    Checker::new(Pattern::new(1)).feed(&record);
    assert_eq!(std::fs::read_to_string(end).expect("the consumer's last word"), "eof\n");
}

fn sigterm_drains_producers_into_consumers() {
    chain(|daemon| daemon.signal(Signal::SIGTERM));
}

fn sigint_does_the_same() {
    chain(|daemon| daemon.signal(Signal::SIGINT));
}

fn the_shutdown_call_does_the_same() {
    chain(|daemon| {
        daemon.call("Shutdown", json!({})).expect("Shutdown");
    });
}

/// A consumer with a routed stdin first gets EOF and may exit by itself: no signal is sent to it.
fn consumers_see_the_end_before_any_signal() {
    let daemon = Daemon::start(
        r#"
        [process.consumer]
        command = [$PEER, "on SIGTERM exit 9", "tell $DIR/up x", "sink", "tell $DIR/end eof"]

        [route.a]
        from = "fifo:in"
        to = "process:consumer.stdin"
        "#,
    );
    let (up, end) = (daemon.file("up"), daemon.file("end"));
    until(|| up.exists().then_some(()), || "the consumer is not up".to_owned());
    let mut monitor = daemon.monitor();
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    writer.write_all(b"some");
    daemon.wait_accepted("a", 4);
    daemon.signal(Signal::SIGTERM);
    monitor.wait_for("stopping", "daemon");
    daemon.expect_end_then(0, || {
        assert_eq!(
            std::fs::read_to_string(&end).expect("the consumer's last word"),
            "eof\n"
        );
    });
}

/// What stands in a destination's FIFO when the daemon goes is the reader's, if it holds the FIFO open.
fn bytes_that_a_fifo_reader_takes_late_arrive() {
    let daemon = Daemon::start("[route.a]\nfrom = \"fifo:in\"\nto = \"fifo:out\"\n");
    let mut reader = FifoReader::open(daemon.fifo("out"));
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    let pattern = Pattern::new(14);
    writer.write_pattern(pattern, 20_000);
    daemon.wait_accepted("a", 20_000);
    daemon.signal(Signal::SIGTERM);
    daemon.expect_end(0);
    assert_eq!(reader.check_to_end(&mut Checker::new(pattern)), 20_000);
}

/// drain-timeout: what was accepted and could not be delivered is counted in the log, to the byte.
fn the_deadline_counts_what_is_left() {
    let daemon = Daemon::start(
        "[daemon]\ndrain-timeout = \"100ms\"\n[route.a]\nfrom = \"fifo:in\"\nto = \"fifo:out\"\npath = \"copy\"\n",
    );
    let _never_reads = FifoReader::open(daemon.fifo("out"));
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    writer.write_until(Pattern::new(1), || daemon.route("a").paused_only_for("backpressure"));
    drop(writer);
    let queued = daemon.route("a").destination(0).int("queuedBytes");
    assert!(queued > 0);
    let mut monitor = daemon.monitor();
    daemon.signal(Signal::SIGTERM);
    let closed = monitor.wait_for("route_closed", "route:a");
    let dropped = closed.object("detail").int("droppedBytes");
    assert!(dropped >= queued, "{queued} bytes were queued: {closed}");
    let log = daemon.expect_end(0);
    assert!(
        log.contains(&dropped.to_string()),
        "the log does not tell of {dropped} dropped bytes:\n{log}"
    );
}

/// Two callers who do not know of each other: the second one does not cut short what the first one drains.
fn a_second_call_does_not_hurry() {
    let daemon = Daemon::start("[route.a]\nfrom = \"fifo:in\"\nto = \"fifo:out\"\npath = \"copy\"\n");
    let mut reader = FifoReader::open(daemon.fifo("out"));
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    let pattern = Pattern::new(41);
    let total = writer.write_until(pattern, || daemon.route("a").paused_only_for("backpressure"));
    drop(writer);
    let mut monitor = daemon.monitor();
    daemon.call("Shutdown", serde_json::json!({})).expect("Shutdown");
    monitor.wait_for("stopping", "daemon");
    daemon.call("Shutdown", serde_json::json!({})).expect("Shutdown");
    assert_eq!(reader.check_to_end(&mut Checker::new(pattern)), total);
    daemon.expect_end(0);
}

/// A second SIGTERM hurries it: the deadline is far away, the end is not.
fn a_second_signal_hurries() {
    for second in [Signal::SIGTERM, Signal::SIGINT] {
        let daemon = Daemon::start(
            r#"
            [daemon]
            drain-timeout = "300s"

            [process.stubborn]
            command = [$PEER, "ignore SIGTERM", "tell $DIR/up x", "hold"]
            stop-timeout = "300s"

            [route.a]
            from = "fifo:in"
            to = "fifo:out"
            "#,
        );
        let up = daemon.file("up");
        until(|| up.exists().then_some(()), || "the peer is not up".to_owned());
        let _never_reads = FifoReader::open(daemon.fifo("out"));
        let mut writer = FifoWriter::open(daemon.fifo("in"));
        writer.write_until(Pattern::new(1), || daemon.route("a").paused_only_for("backpressure"));
        let mut monitor = daemon.monitor();
        daemon.signal(Signal::SIGTERM);
        monitor.wait_for("stopping", "daemon");
        daemon.signal(second);
        daemon.expect_end(0);
    }
}

/// A cycle has no first: it is signalled together.
fn a_cycle_is_stopped() {
    let daemon = Daemon::start(
        r#"
        [process.ping]
        command = ["sh", "-c", "echo ball; exec cat"]

        [process.pong]
        command = ["cat"]

        [route.there]
        from = "process:ping.stdout"
        to = "process:pong.stdin"

        [route.back]
        from = "process:pong.stdout"
        to = "process:ping.stdin"
        "#,
    );
    daemon.wait_accepted("back", 50);
}
