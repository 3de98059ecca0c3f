//! How streams end: drain, abort, and the end that travels.

use serde_json::json;

use crate::support::{
    Background, Checker, Daemon, FifoReader, FifoWriter, Monitor, Pattern, Shown, Taken, stories, until,
};

stories!(
    a_drain_delivers_everything_to_a_slow_reader,
    a_drain_whose_reader_leaves_counts_what_is_dropped,
    a_drain_that_runs_out_of_time_counts_what_is_dropped,
    an_abort_acts_once,
    a_drain_then_an_abort_is_one_end,
    a_drained_route_can_be_resumed,
    the_end_travels_through_the_graph,
    a_last_destination_that_ends_ends_the_producer,
);

fn drain(daemon: &Daemon, timeout_usec: Option<u64>, wait: bool) -> bool {
    let mut parameters = json!({ "name": "a", "wait": wait });
    if let Some(timeout) = timeout_usec {
        parameters["timeoutUSec"] = json!(timeout);
    }
    daemon.changes("DrainRoute", parameters)
}

/// A copying route with `to`, full to the brim: (daemon, reader, writer, bytes written).
fn full(to: &str) -> (Daemon, FifoReader, FifoWriter, u64) {
    let daemon = Daemon::start(&format!("[route.a]\nfrom = \"fifo:in\"\nto = {to}\npath = \"copy\"\n"));
    let reader = FifoReader::open(daemon.fifo("out"));
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    let total = writer.write_until(Pattern::new(7), || daemon.route("a").paused_only_for("backpressure"));
    (daemon, reader, writer, total)
}

fn told_once(monitor: &mut Monitor, route: &Shown) {
    monitor.wait_for("route_closed", "route:a");
    for end in route.list("sources").iter().chain(&route.list("destinations")) {
        let subject = format!("route:a/{}", end.text("name"));
        monitor.wait_for("endpoint_closed", &subject);
        assert_eq!(monitor.count("endpoint_closed", &subject), 1, "{:?}", monitor.kinds());
    }
    assert_eq!(monitor.count("route_closed", "route:a"), 1, "{:?}", monitor.kinds());
}

/// CPython test_unix_events.py, write pipe close: what was accepted, and what stands in the source now, then EOF.
fn a_drain_delivers_everything_to_a_slow_reader() {
    let (daemon, mut reader, _writer, total) = full("\"fifo:out\"");
    let mut monitor = daemon.monitor();
    assert!(drain(&daemon, None, false));
    assert!(!drain(&daemon, None, false), "a second one changes nothing");
    assert_eq!(daemon.route("a").state(), "draining");
    let mut checker = Checker::new(Pattern::new(7));
    while checker.offset() < total {
        let upto = (checker.offset() + 1000).min(total);
        reader.check_up_to(&mut checker, upto);
    }
    assert_eq!(reader.check_to_end(&mut checker), total);
    let route = daemon.wait_for("route.a", "closed");
    let destination = route.destination(0);
    assert_eq!(destination.text("closeCause"), "drained");
    assert_eq!((destination.int("bytes"), destination.int("droppedBytes")), (total, 0));
    told_once(&mut monitor, &route);
}

fn a_drain_whose_reader_leaves_counts_what_is_dropped() {
    let (daemon, reader, _writer, _) = full("{ fifo = \"out\", when-gone = \"close\" }");
    let mut monitor = daemon.monitor();
    assert!(drain(&daemon, None, false));
    drop(reader);
    let route = daemon.wait_for("route.a", "closed");
    let destination = route.destination(0);
    assert_eq!(destination.text("closeCause"), "peer_gone", "{route}");
    assert!(destination.int("droppedBytes") > 0, "{route}");
    assert_eq!(destination.int("queuedBytes"), 0, "{route}");
    told_once(&mut monitor, &route);
}

fn a_drain_that_runs_out_of_time_counts_what_is_dropped() {
    let (daemon, _reader, _writer, _) = full("\"fifo:out\"");
    let queued = daemon.route("a").destination(0).int("queuedBytes");
    // The reply comes when it has closed.
    assert!(drain(&daemon, Some(50_000), true));
    let route = daemon.route("a");
    assert_eq!(route.state(), "closed");
    let destination = route.destination(0);
    assert_eq!(destination.text("closeCause"), "drain_timeout", "{route}");
    assert!(destination.int("droppedBytes") >= queued, "{route}");
}

/// The same file: abort twice; one connection_lost.
fn an_abort_acts_once() {
    let (daemon, _reader, _writer, _) = full("\"fifo:out\"");
    let mut monitor = daemon.monitor();
    let before = daemon.route("a");
    assert!(drain(&daemon, Some(0), true));
    assert!(!drain(&daemon, Some(0), true));
    let route = daemon.wait_for("route.a", "closed");
    assert_eq!(route.destination(0).text("closeCause"), "aborted");
    let (dropped, queued) = (
        route.destination(0).int("droppedBytes"),
        before.destination(0).int("queuedBytes"),
    );
    assert_eq!(dropped, queued, "{route}");
    told_once(&mut monitor, &route);
}

fn a_drain_then_an_abort_is_one_end() {
    let (daemon, _reader, _writer, _) = full("\"fifo:out\"");
    let mut monitor = daemon.monitor();
    assert!(drain(&daemon, None, false));
    drain(&daemon, Some(0), true);
    let route = daemon.wait_for("route.a", "closed");
    assert_eq!(route.destination(0).text("closeCause"), "aborted");
    assert!(!drain(&daemon, None, true));
    told_once(&mut monitor, &route);
}

/// A drained route keeps its source open: the producer gets no EPIPE, and its bytes come after a resume.
fn a_drained_route_can_be_resumed() {
    let daemon = Daemon::start(&format!(
        "[route.a]\nfrom = \"fifo:in\"\nto = \"fifo:out\"\n{}",
        Daemon::MARKER
    ));
    let mut reader = FifoReader::open(daemon.fifo("out"));
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    writer.write_all(b"before");
    assert_eq!(reader.read_exact(6), b"before");
    assert!(drain(&daemon, None, true));
    assert_eq!(reader.read_to_end(), b"");
    assert_eq!(daemon.route("a").state(), "closed");
    writer.write_all(b"meanwhile");
    daemon.marker();
    assert_eq!(daemon.route("a").int("acceptedBytes"), 6);
    let mut reader = FifoReader::open(daemon.fifo("out"));
    assert_eq!(reader.try_read(1), Taken::Nothing);
    assert!(daemon.changes("ResumeRoute", json!({ "name": "a" })));
    assert_eq!(reader.read_exact(9), b"meanwhile");
    writer.write_all(b"after");
    assert_eq!(reader.read_exact(5), b"after");
    daemon.wait_for("route.a", "flowing");
}

/// A shell pipeline: `printf | cat | cat > file`; each stage ends when the one before it has, restart or not.
fn the_end_travels_through_the_graph() {
    let daemon = Daemon::start(
        r#"
        [process.first]
        command = [$PEER, "write 700000"]
        restart = "never"

        [process.second]
        command = ["cat"]
        restart = "always"

        [process.third]
        command = ["cat"]
        restart = "on-failure"

        [route.a]
        from = "process:first.stdout"
        to = "process:second.stdin"

        [route.b]
        from = "process:second.stdout"
        to = "process:third.stdin"

        [route.c]
        from = "process:third.stdout"
        to = "file:$DIR/out"
        "#,
    );
    for route in ["route.a", "route.b", "route.c"] {
        daemon.wait_for(route, "closed");
    }
    for process in ["process.first", "process.second", "process.third"] {
        let process = daemon.wait_for(process, "finished");
        assert_eq!(
            (process.object("lastExit").int("code"), process.int("restarts")),
            (0, 0),
            "{process}"
        );
    }
    let out = std::fs::read(daemon.file("out")).expect("the output");
    assert_eq!(out.len(), 700_000);
    Checker::new(Pattern::new(1)).feed(&out);
}

/// `yes | head -1`: the consumer has gone for good, so the producer gets EPIPE.
fn a_last_destination_that_ends_ends_the_producer() {
    let daemon = Daemon::start(
        r#"
        [process.producer]
        command = [$PEER, "write 1000000000000"]
        restart = "never"

        [route.a]
        from = "process:producer.stdout"
        to = { fifo = "out", when-gone = "close" }
        "#,
    );
    let reader = Background::run({
        let path = daemon.fifo("out");
        move || FifoReader::open(path).read_exact(100_000)
    });
    reader.done();
    let process = daemon.wait_for("process.producer", "finished");
    assert_eq!(process.object("lastExit").int("code"), 32, "EPIPE: {process}");
    let route = daemon.wait_for("route.a", "closed");
    assert_eq!(route.destination(0).text("closeCause"), "peer_gone");
    until(
        || daemon.probe().children().is_empty().then_some(()),
        || "the producer is still there".to_owned(),
    );
}
