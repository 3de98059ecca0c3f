//! Peers of FIFOs that come and go.

use std::collections::BTreeSet;

use crate::support::{
    Background, Checker, Daemon, Deadline, FifoReader, FifoWriter, PATIENCE, Pattern, Taken, pause_briefly, stories,
    until,
};

stories!(
    reader_first_or_writer_first_many_times,
    a_reader_that_leaves_while_idle_is_noticed,
    a_reader_that_leaves_for_good_closes_the_destination,
    bytes_wait_for_the_next_reader,
    a_full_route_whose_reader_leaves_waits,
    a_full_route_whose_reader_leaves_closes,
    twenty_writes_after_the_reader_left,
    ten_thousand_writers_and_a_reader_that_comes_back,
);

const PLAIN: &str = "[route.a]\nfrom = \"fifo:in\"\nto = \"fifo:out\"\n";
const CLOSING: &str = "[route.a]\nfrom = \"fifo:in\"\nto = { fifo = \"out\", when-gone = \"close\" }\n";

/// fifo(7): whoever comes first, the data arrives.
fn reader_first_or_writer_first_many_times() {
    let daemon = Daemon::start(PLAIN);
    for round in 0..60_u32 {
        let word = round.to_be_bytes();
        let mut reader;
        if round % 2 == 0 {
            reader = FifoReader::open(daemon.fifo("out"));
            FifoWriter::open(daemon.fifo("in")).write_all(&word);
        } else {
            FifoWriter::open(daemon.fifo("in")).write_all(&word);
            reader = FifoReader::open(daemon.fifo("out"));
        }
        assert_eq!(reader.read_exact(4), word, "round {round}");
    }
}

/// CPython test_unix_events.py, write pipe: the peer's close is seen without a write.
fn a_reader_that_leaves_while_idle_is_noticed() {
    let daemon = Daemon::start(PLAIN);
    daemon.wait_until("route.a", "without a reader", |route| {
        route.paused_only_for("no_reader")
    });
    for _ in 0..5 {
        let reader = FifoReader::open(daemon.fifo("out"));
        daemon.wait_for("route.a", "flowing");
        drop(reader);
        let route = daemon.wait_until("route.a", "without a reader", |route| {
            route.paused_only_for("no_reader")
        });
        assert_eq!(route.destination(0).state(), "waiting", "{route}");
        assert!(!route.source(0).flag("isReading"), "{route}");
    }
}

/// The same with `when-gone = "close"`: the route ends, and so does its source.
fn a_reader_that_leaves_for_good_closes_the_destination() {
    let daemon = Daemon::start(CLOSING);
    let mut monitor = daemon.monitor();
    let reader = FifoReader::open(daemon.fifo("out"));
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    daemon.wait_for("route.a", "flowing");
    drop(reader);
    let route = daemon.wait_for("route.a", "closed");
    let destination = route.destination(0);
    assert_eq!(
        (destination.state(), destination.text("closeCause")),
        ("closed", "peer_gone")
    );
    let subject = format!("route:a/{}", destination.text("name"));
    monitor.wait_for("route_closed", "route:a");
    assert_eq!(monitor.count("endpoint_closed", &subject), 1, "{:?}", monitor.kinds());
    let refused = until(
        || writer.try_write(b"x").err(),
        || "the source is still read".to_owned(),
    );
    assert_eq!(refused.raw_os_error(), Some(nix::libc::EPIPE));
}

/// What one reader left in the FIFO is the next one's, and what was written meanwhile comes after it.
fn bytes_wait_for_the_next_reader() {
    let daemon = Daemon::start(PLAIN);
    let pattern = Pattern::new(2);
    let mut checker = Checker::new(pattern);
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    for _ in 0..20 {
        let mut reader = FifoReader::open(daemon.fifo("out"));
        daemon.wait_for("route.a", "flowing");
        writer.write_pattern(pattern, 5000);
        // A part is read; the rest stays in the pipe when this reader goes.
        let upto = checker.offset() + 3000;
        reader.check_up_to(&mut checker, upto);
        daemon.wait_accepted("a", writer.written());
        drop(reader);
        daemon.wait_until("route.a", "without a reader", |route| {
            route.paused_only_for("no_reader")
        });
        let mut reader = FifoReader::open(daemon.fifo("out"));
        reader.check_up_to(&mut checker, writer.written());
    }
}

/// CPython test_unix_events.py: paused for writing, more waits, the reader closes.
fn a_full_route_whose_reader_leaves_waits() {
    let daemon = Daemon::start(PLAIN);
    let pattern = Pattern::new(3);
    let reader = FifoReader::open(daemon.fifo("out"));
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    let total = writer.write_until(pattern, || daemon.route("a").paused_only_for("backpressure"));
    drop(reader);
    daemon.wait_until("route.a", "without a reader", |route| {
        route.reasons().contains(&"no_reader".to_owned())
    });
    let mut reader = FifoReader::open(daemon.fifo("out"));
    reader.check_up_to(&mut Checker::new(pattern), total);
    assert_eq!(
        daemon.wait_for("route.a", "flowing").destination(0).int("droppedBytes"),
        0
    );
}

fn a_full_route_whose_reader_leaves_closes() {
    let daemon = Daemon::start(&format!("{CLOSING}path = \"copy\"\n"));
    let reader = FifoReader::open(daemon.fifo("out"));
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    writer.write_until(Pattern::new(3), || daemon.route("a").paused_only_for("backpressure"));
    let queued = daemon.route("a").destination(0).int("queuedBytes");
    assert!(queued > 64 * 1024, "{queued}");
    drop(reader);
    let destination = daemon.wait_for("route.a", "closed").destination(0);
    assert_eq!(destination.text("closeCause"), "peer_gone");
    // Counted as dropped: what was queued; the kernel may take none of it any more.
    assert_eq!(destination.int("droppedBytes"), queued, "{destination}");
}

/// CPython test_unix_events.py, test_write_after_conn_lost; libuv's SIGPIPE tests: it lives on.
fn twenty_writes_after_the_reader_left() {
    let daemon = Daemon::start(PLAIN);
    let mut reader = FifoReader::open(daemon.fifo("out"));
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    writer.write_all(b"0");
    assert_eq!(reader.read_exact(1), b"0");
    drop(reader);
    for _ in 0..20 {
        writer.write_all(b"x");
        daemon.route("a");
    }
    let mut reader = FifoReader::open(daemon.fifo("out"));
    assert_eq!(reader.read_exact(20), [b'x'; 20]);
}

/// Shell loops `while :; do echo x > fifo; done`: every byte in order, and no descriptor more than before.
fn ten_thousand_writers_and_a_reader_that_comes_back() {
    const WRITERS: u64 = 10_000;
    const EACH: u64 = 24;
    let daemon = Daemon::start(PLAIN);
    let pattern = Pattern::new(10);
    let path = daemon.fifo("in");
    let writers = Background::run(move || {
        for writer in 0..WRITERS {
            FifoWriter::open(&path).write_all(&pattern.bytes(writer * EACH, EACH as usize));
        }
    });
    let mut checker = Checker::new(pattern);
    let mut before = None;
    let mut visit = 0;
    while checker.offset() < WRITERS * EACH {
        let mut reader = FifoReader::open(daemon.fifo("out"));
        let upto = (checker.offset() + WRITERS * EACH / 40).min(WRITERS * EACH);
        reader.check_up_to(&mut checker, upto);
        visit += 1;
        if visit == 10 {
            before = Some(daemon.probe().descriptors().len());
        }
    }
    writers.done();
    assert_eq!(checker.offset(), WRITERS * EACH);
    let before = before.expect("forty visits");
    let deadline = Deadline::within(PATIENCE);
    let mut seen = BTreeSet::new();
    // A descriptor more may be there for a moment; it must not stay.
    loop {
        let now = daemon.probe().descriptors();
        seen.insert(now.len());
        if now.len() <= before {
            break;
        }
        assert!(
            !deadline.passed(),
            "descriptors: {before} before, then {seen:?}: {now:#?}"
        );
        pause_briefly();
    }
    let mut reader = FifoReader::open(daemon.fifo("out"));
    assert_eq!(reader.try_read(1), Taken::Nothing, "nothing may come twice");
    assert_eq!(daemon.route("a").destination(0).int("bytes"), WRITERS * EACH);
}
