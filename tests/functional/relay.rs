//! One source, one destination: what goes in comes out.

use nix::sys::signal::Signal;

use crate::support::{Checker, Daemon, FifoReader, FifoWriter, Pattern, stories};

stories!(
    one_then_four_bytes_then_the_end_once,
    each_write_is_forwarded_at_once,
    writes_of_awkward_sizes_by_copy,
    writes_of_awkward_sizes_by_splice,
    writes_of_awkward_sizes_by_auto,
    a_long_stream_by_copy,
    a_long_stream_by_splice,
    a_long_stream_by_auto,
    traffic_that_changes_its_kind,
    signal_storms_in_the_middle_of_a_stream,
);

/// CPython test_asyncio/test_events.py, test_read_pipe: 1 then 4 bytes, then EOF and connection_lost, once.
fn one_then_four_bytes_then_the_end_once() {
    let daemon = Daemon::start(
        r#"
        [route.a]
        from = { fifo = "in", on-eof = "close" }
        to = "fifo:out"
        "#,
    );
    let mut monitor = daemon.monitor();
    let mut reader = FifoReader::open(daemon.fifo("out"));
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    writer.write_all(b"1");
    assert_eq!(reader.read_exact(1), b"1");
    writer.write_all(b"2345");
    drop(writer);
    assert_eq!(reader.read_to_end(), b"2345");
    let route = daemon.wait_for("route.a", "closed");
    assert_eq!(route.int("acceptedBytes"), 5);
    let (source, destination) = (route.source(0), route.destination(0));
    assert_eq!((source.state(), source.text("closeCause")), ("ended", "eof"));
    assert_eq!(
        (destination.state(), destination.text("closeCause")),
        ("closed", "drained")
    );
    assert_eq!(destination.int("bytes"), 5);
    monitor.wait_for("route_closed", "route:a");
    let ends = [
        format!("route:a/{}", source.text("name")),
        format!("route:a/{}", destination.text("name")),
    ];
    for end in &ends {
        monitor.wait_for("endpoint_closed", end);
        assert_eq!(monitor.count("endpoint_closed", end), 1, "{:?}", monitor.kinds());
    }
}

/// pv and tee: unbuffered, `echo 1; sleep; echo 2`; an idle "a" without a newline, too.
fn each_write_is_forwarded_at_once() {
    for path in ["auto", "copy", "splice"] {
        let daemon = Daemon::start(&format!(
            "[route.a]\nfrom = \"fifo:in\"\nto = \"fifo:out\"\npath = \"{path}\"\n"
        ));
        let mut reader = FifoReader::open(daemon.fifo("out"));
        let mut writer = FifoWriter::open(daemon.fifo("in"));
        for piece in [b"1\n".as_slice(), b"2\n", b"a", b"b", b"\0"] {
            writer.write_all(piece);
            // Nothing is written until this has arrived: it was not held back for more.
            assert_eq!(reader.read_exact(piece.len()), piece, "path {path}");
        }
        daemon.finish();
    }
}

const AWKWARD: [usize; 12] = [0, 1, 2, 4095, 4096, 4097, 8191, 65535, 65536, 65537, 131_073, 1_000_003];

/// coreutils tests/tee and POSIX pipe(7): sizes around PIPE_BUF and the capacity.
fn awkward_sizes(path: &str) {
    let daemon = Daemon::start(&format!(
        "[route.a]\nfrom = \"fifo:in\"\nto = \"fifo:out\"\npath = \"{path}\"\n"
    ));
    let pattern = Pattern::new(26);
    let total = 3 * AWKWARD.iter().sum::<usize>() as u64;
    let reader = FifoReader::in_background(daemon.fifo("out"), pattern, total);
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    for _ in 0..3 {
        for size in AWKWARD {
            writer.write_all(&pattern.bytes(writer.written(), size));
        }
    }
    reader.done();
    let route = daemon.wait_accepted("a", total);
    assert_eq!(route.int("acceptedBytes"), total);
    if path != "auto" {
        assert_eq!(route.text("path"), path);
    }
    daemon.finish();
}

fn writes_of_awkward_sizes_by_copy() {
    awkward_sizes("copy");
}

fn writes_of_awkward_sizes_by_splice() {
    awkward_sizes("splice");
}

fn writes_of_awkward_sizes_by_auto() {
    awkward_sizes("auto");
}

/// uvloop test_pipes.py: 32 MiB and more through one pipe.
fn long_stream(path: &str) {
    let daemon = Daemon::start(&format!(
        "[route.a]\nfrom = {{ fifo = \"in\", on-eof = \"close\" }}\nto = \"fifo:out\"\npath = \"{path}\"\n"
    ));
    let (pattern, length) = (Pattern::new(32), 48 * 1024 * 1024 + 13);
    let reader = FifoReader::to_end_in_background(daemon.fifo("out"), pattern);
    let writer = FifoWriter::in_background(daemon.fifo("in"), pattern, length);
    while !writer.is_done() {
        // The law of accounting is checked in every look.
        daemon.route("a");
    }
    writer.done();
    assert_eq!(reader.done(), length);
    assert_eq!(daemon.wait_for("route.a", "closed").int("acceptedBytes"), length);
    daemon.finish();
}

fn a_long_stream_by_copy() {
    long_stream("copy");
}

fn a_long_stream_by_splice() {
    long_stream("splice");
}

fn a_long_stream_by_auto() {
    long_stream("auto");
}

/// Small writes, then bulk, then small ones: the mechanism may change, the bytes may not.
fn traffic_that_changes_its_kind() {
    let daemon = Daemon::start("[route.a]\nfrom = \"fifo:in\"\nto = \"fifo:out\"\n");
    let pattern = Pattern::new(9);
    let mut reader = FifoReader::open(daemon.fifo("out"));
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    let mut checker = Checker::new(pattern);
    for round in 0..6 {
        for _ in 0..300 {
            let size = 1 + (round * 37) % 100;
            writer.write_all(&pattern.bytes(writer.written(), size));
        }
        reader.check_up_to(&mut checker, writer.written());
        let bulk = writer.written() + 4 * 1024 * 1024;
        let beside = crate::support::Background::run(move || {
            writer.write_pattern(pattern, 4 * 1024 * 1024);
            writer
        });
        reader.check_up_to(&mut checker, bulk);
        writer = beside.done();
    }
}

/// tokio tests/signal_*.rs and supervisors' bug lists: signals that come in crowds while bytes flow.
fn signal_storms_in_the_middle_of_a_stream() {
    let daemon = Daemon::start("[route.a]\nfrom = { fifo = \"in\", on-eof = \"close\" }\nto = \"fifo:out\"\n");
    let (pattern, length) = (Pattern::new(27), 24 * 1024 * 1024);
    let reader = FifoReader::to_end_in_background(daemon.fifo("out"), pattern);
    let writer = FifoWriter::in_background(daemon.fifo("in"), pattern, length);
    while !writer.is_done() {
        for signal in [Signal::SIGHUP, Signal::SIGCHLD, Signal::SIGWINCH, Signal::SIGCONT] {
            daemon.signal(signal);
        }
        daemon.route("a");
    }
    writer.done();
    assert_eq!(reader.done(), length);
    daemon.wait_for("route.a", "closed");
}
