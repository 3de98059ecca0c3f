//! `framing = "lines"` and `"nul"`: a record is whole, passes as it is, and is counted once.

use nix::sys::signal::Signal;
use serde_json::json;

use crate::support::{
    Background, Daemon, FifoReader, FifoWriter, LineChecker, Lines, Shown, Taken, check_records, make_fifo, stories,
};

stories!(
    a_line_goes_on_when_it_is_whole,
    every_byte_passes_as_it_is,
    with_nul_a_newline_is_a_byte_like_others,
    lines_of_every_length,
    one_byte_more_than_max_record_is_over_long,
    an_over_long_record_goes_out_as_it_comes,
    lines_cut_anywhere,
    what_is_counted_fits_what_has_passed,
    the_last_line_needs_no_end,
    half_a_line_is_continued_by_the_next_writer,
    half_a_line_is_continued_by_the_next_life,
    half_a_line_waits_for_a_resume,
    a_drain_hands_on_half_a_line,
    the_end_of_the_daemon_hands_on_half_a_line,
    half_a_line_is_no_loss_when_all_is_done,
    every_destination_counts_the_same_records,
);

/// One FIFO to another; the source has this `on-eof`, the route these settings.
fn config(on_eof: &str, settings: &str) -> String {
    format!(
        "[route.a]\nfrom = {{ fifo = \"in\", on-eof = \"{on_eof}\" }}\nto = \"fifo:out\"\n{settings}\n{}",
        Daemon::MARKER
    )
}

/// Sends pieces through such a route to the end; gives back what came out, and the route as it was then.
fn through(settings: &str, pieces: &[&[u8]]) -> (Vec<u8>, Shown) {
    let daemon = Daemon::start(&config("close", settings));
    let mut reader = FifoReader::open(daemon.fifo("out"));
    let reader = Background::run(move || reader.read_to_end());
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    for piece in pieces {
        writer.write_all(piece);
    }
    drop(writer);
    let out = reader.done();
    let route = daemon.wait_for("route.a", "closed");
    check_records(&route).expect("a route at rest");
    assert_eq!(route.source(0).int("partialBytes"), 0, "{route}");
    daemon.finish();
    (out, route)
}

/// Waits until the source has been read so far, and all that is accepted is written; gives back the route then.
fn at_rest(daemon: &Daemon, read: u64) -> Shown {
    let route = daemon.wait_until("route.a", &format!("at rest after {read} bytes"), |route| {
        route.source(0).int("bytes") == read && route.destination(0).int("queuedBytes") == 0
    });
    check_records(&route).expect("a route at rest");
    route
}

/// `acceptedRecords`, the source's `records` and `partialBytes`.
fn counts(route: &Shown) -> (u64, u64, u64) {
    let source = route.source(0);
    (
        route.int("acceptedRecords"),
        source.int("records"),
        source.int("partialBytes"),
    )
}

/// grep --line-buffered: what is whole goes on at once, what is not waits.
fn a_line_goes_on_when_it_is_whole() {
    let daemon = Daemon::start(&config("reopen", "framing = \"lines\""));
    let mut reader = FifoReader::open(daemon.fifo("out"));
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    assert_eq!(daemon.route("a").text("framing"), "lines");
    writer.write_all(b"one\ntw");
    assert_eq!(reader.read_exact(4), b"one\n");
    let route = at_rest(&daemon, 6);
    assert_eq!(counts(&route), (1, 1, 2), "{route}");
    assert_eq!(route.int("acceptedBytes"), 4, "{route}");
    assert_eq!(route.destination(0).int("records"), 1, "{route}");
    daemon.marker();
    assert_eq!(reader.try_read(100), Taken::Nothing);
    writer.write_all(b"o");
    assert_eq!(counts(&at_rest(&daemon, 7)), (1, 1, 3));
    writer.write_all(b"\n");
    assert_eq!(reader.read_exact(4), b"two\n");
    assert_eq!(counts(&at_rest(&daemon, 8)), (2, 2, 0));
    writer.write_all(b"\n");
    assert_eq!(reader.read_exact(1), b"\n");
    let route = at_rest(&daemon, 9);
    assert_eq!(counts(&route), (3, 3, 0), "an empty line is one: {route}");
    assert_eq!(route.destination(0).int("records"), 3, "{route}");
}

/// Vector and Fluent Bit issues on CRLF, NUL and invalid UTF-8 in logs.
fn every_byte_passes_as_it_is() {
    let mut stream = b"\n\n\r\n\0\n\r\r\n\xff\xfe\n a\0b \r\n\xc3\n\xe2\x82\n\xed\xa0\x80\n\x1b[0m\n\n\t \n".to_vec();
    for byte in 0..=255_u8 {
        stream.extend([byte, byte, b'x', b'\n']);
    }
    let lines = stream.iter().filter(|byte| **byte == b'\n').count() as u64;
    let bytewise: Vec<&[u8]> = stream.chunks(1).collect();
    for pieces in [vec![&stream[..]], bytewise] {
        let (out, route) = through("framing = \"lines\"", &pieces);
        assert_eq!(out, stream);
        assert_eq!(counts(&route), (lines, lines, 0), "{route}");
        assert_eq!(route.source(0).oversized(), 0, "{route}");
    }
}

/// find -print0, xargs -0.
fn with_nul_a_newline_is_a_byte_like_others() {
    let (out, route) = through("framing = \"nul\"", &[b"a\nb\0\0", b"\n", b"\r\n\xff\0c\n"]);
    assert_eq!(out, b"a\nb\0\0\n\r\n\xff\0c\n");
    assert_eq!(route.text("framing"), "nul");
    assert_eq!(counts(&route), (4, 4, 0), "{route}");
}

/// Behaviours of coreutils' and Go's line readers at the sizes of their buffers and of a pipe.
fn lines_of_every_length() {
    const LENGTHS: [usize; 12] = [0, 1, 4095, 4096, 4097, 65534, 65535, 65536, 65537, 0, 1 << 20, 1];
    let mut stream = Vec::new();
    for (length, byte) in LENGTHS.into_iter().zip(b'a'..) {
        stream.resize(stream.len() + length, byte);
        stream.push(b'\n');
    }
    let lines = LENGTHS.len() as u64;
    for (settings, over) in [("", 2), ("max-record = \"2MiB\"", 0), ("max-record = 1", 8)] {
        for chunk in [stream.len(), 65536, 4097] {
            let pieces: Vec<&[u8]> = stream.chunks(chunk).collect();
            let (out, route) = through(&format!("framing = \"lines\"\n{settings}"), &pieces);
            assert!(out == stream, "{settings}: {} of {} bytes", out.len(), stream.len());
            assert_eq!(counts(&route), (lines, lines, 0), "{settings}: {route}");
            assert_eq!(route.source(0).oversized(), over, "{settings}: {route}");
        }
    }
}

/// The end of a record is no part of what max-record bounds.
fn one_byte_more_than_max_record_is_over_long() {
    let daemon = Daemon::start(&config("reopen", "framing = \"lines\"\nmax-record = \"1KiB\""));
    let mut reader = FifoReader::open(daemon.fifo("out"));
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    writer.write_all(&[b'x'; 1024]);
    let route = at_rest(&daemon, 1024);
    assert_eq!(
        (route.int("acceptedBytes"), counts(&route)),
        (0, (0, 0, 1024)),
        "{route}"
    );
    daemon.marker();
    assert_eq!(reader.try_read(100), Taken::Nothing);
    writer.write_all(b"\n");
    assert_eq!(reader.read_exact(1025).last(), Some(&b'\n'));
    let route = at_rest(&daemon, 1025);
    assert_eq!((counts(&route), route.source(0).oversized()), ((1, 1, 0), 0), "{route}");
    writer.write_all(&[b'y'; 1025]);
    assert_eq!(reader.read_exact(1025), [b'y'; 1025]);
    let route = daemon.wait_accepted("a", 2050);
    assert_eq!(route.source(0).int("partialBytes"), 0, "{route}");
    writer.write_all(b"\n");
    assert_eq!(reader.read_exact(1), b"\n");
    let route = at_rest(&daemon, 2051);
    assert_eq!((counts(&route), route.source(0).oversized()), ((2, 2, 0), 1), "{route}");
    assert_eq!(route.destination(0).int("records"), 2, "{route}");
}

/// A record without an end in sight is not held, and is one record.
fn an_over_long_record_goes_out_as_it_comes() {
    const LENGTH: usize = 3_000_000;
    let daemon = Daemon::start(&config("reopen", "framing = \"lines\"\nmax-record = \"1KiB\""));
    let mut reader = FifoReader::open(daemon.fifo("out"));
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    writer.write_all(b"short\n");
    assert_eq!(reader.read_exact(6), b"short\n");
    let writer = Background::run(move || {
        writer.write_all(&vec![b'x'; LENGTH]);
        writer
    });
    for _ in 0..LENGTH / 30_000 {
        assert!(reader.read_exact(30_000).iter().all(|byte| *byte == b'x'));
        let source = daemon.route("a").source(0);
        assert!(source.int("partialBytes") <= 1024, "{source}");
    }
    let mut writer = writer.done();
    let route = daemon.wait_accepted("a", LENGTH as u64 + 6);
    assert_eq!(route.destination(0).int("records"), 1, "its end has not come: {route}");
    writer.write_all(b"\nnext\n");
    assert_eq!(reader.read_exact(6), b"\nnext\n");
    let route = at_rest(&daemon, LENGTH as u64 + 12);
    assert_eq!((counts(&route), route.source(0).oversized()), ((3, 3, 0), 1), "{route}");
    assert_eq!(route.destination(0).int("records"), 3, "{route}");
    // One right behind the end of another, read with it in one piece, waits no more than the first.
    let behind = [&[b'y'; 5000][..], b"\n", &[b'z'; 5000]].concat();
    writer.write_all(&behind);
    assert_eq!(reader.read_exact(behind.len()), behind);
    writer.write_all(b"\n");
    assert_eq!(reader.read_exact(1), b"\n");
    let route = at_rest(&daemon, (LENGTH + 12 + behind.len() + 1) as u64);
    assert_eq!((counts(&route), route.source(0).oversized()), ((5, 5, 0), 3), "{route}");
}

/// Writers cut their lines where their buffers end; records are neither cut nor joined by that, whatever max-record is.
fn lines_cut_anywhere() {
    const COUNT: u64 = 300;
    for (framing, end) in [("lines", b'\n'), ("nul", 0)] {
        for most in [100, 64 << 10, 1 << 20] {
            let daemon = Daemon::start(&config(
                "close",
                &format!("framing = \"{framing}\"\nmax-record = {most}"),
            ));
            let mut reader = FifoReader::open(daemon.fifo("out"));
            let reader = Background::run(move || {
                let mut checker = LineChecker::ended_by(end);
                reader.check_lines_to_end(&mut checker);
                checker.ended()
            });
            let lines = Lines::new("x", 200 << 10, most as u64).ended_by(end);
            lines.clone().in_background(daemon.fifo("in"), COUNT).done();
            assert_eq!(reader.done()["x"], COUNT);
            let route = daemon.wait_for("route.a", "closed");
            check_records(&route).expect("a route at rest");
            assert_eq!(counts(&route), (COUNT, COUNT, 0), "{route}");
            assert_eq!(
                route.source(0).oversized(),
                lines.longer_than(most, COUNT),
                "{framing} {most}: {route}"
            );
            daemon.finish();
        }
    }
}

/// While records flow, and while a full destination holds them up: each count is that of the ends among the bytes that it
/// stands beside, and what is accepted ends with a record.
fn what_is_counted_fits_what_has_passed() {
    const COUNT: u64 = 3000;
    let lines = Lines::new("x", 30_000, 5);
    let stream = lines.bytes(0, COUNT);
    let ends_in = |bytes: u64| memchr::memchr_iter(b'\n', &stream[..bytes as usize]).count() as u64;
    let fits = |route: &Shown| {
        let (source, destination, accepted) = (route.source(0), route.destination(0), route.int("acceptedBytes"));
        assert!(
            accepted == 0 || stream[accepted as usize - 1] == b'\n',
            "accepted in the middle of a record: {route}"
        );
        assert_eq!(counts(route).0, ends_in(accepted), "{route}");
        assert_eq!(source.int("records"), ends_in(source.int("bytes")), "{route}");
        assert_eq!(
            destination.int("records"),
            ends_in(destination.int("bytes")),
            "records written: {route}"
        );
    };
    let daemon = Daemon::start(&config("close", "framing = \"lines\"\nhigh-watermark = \"16KiB\""));
    let mut reader = FifoReader::open(daemon.fifo("out"));
    let writer = lines.clone().in_background(daemon.fifo("in"), COUNT);
    let full = daemon.wait_until("route.a", "full", |route| route.paused_only_for("backpressure"));
    fits(&full);
    assert!(
        full.destination(0).int("records") < full.int("acceptedRecords"),
        "some are queued: {full}"
    );
    let mut checker = LineChecker::new();
    for _ in 0..50 {
        checker.feed(&reader.read_exact(stream.len() / 60));
        fits(&daemon.route("a"));
    }
    reader.check_lines_to_end(&mut checker);
    writer.done();
    assert_eq!(checker.ended()["x"], COUNT);
    let route = daemon.wait_for("route.a", "closed");
    fits(&route);
    check_records(&route).expect("a route at rest");
    assert_eq!(route.destination(0).int("records"), COUNT, "{route}");
}

/// POSIX calls it an incomplete line, and every tool of coreutils hands it on.
fn the_last_line_needs_no_end() {
    for framing in ["lines", "nul"] {
        let end: &[u8] = if framing == "lines" { b"\n" } else { b"\0" };
        let settings = format!("framing = \"{framing}\"\nmax-record = 10");
        let cases: [(&[&[u8]], u64, u64); 7] = [
            (&[], 0, 0),
            (&[b"a"], 1, 0),
            (&[b"a", end], 1, 0),
            (&[end, b"b"], 2, 0),
            (&[b"a", end, b"0123456789"], 2, 0),
            (&[b"a", end, b"0123456789+"], 2, 1),
            (&[b"0123456789+", end, end], 2, 1),
        ];
        for (pieces, records, over) in cases {
            let (out, route) = through(&settings, pieces);
            assert_eq!(out, pieces.concat());
            assert_eq!(counts(&route), (records, records, 0), "{out:?}: {route}");
            assert_eq!(route.destination(0).int("records"), records, "{out:?}: {route}");
            assert_eq!(route.source(0).oversized(), over, "{out:?}: {route}");
            assert_eq!(route.source(0).text("closeCause"), "eof", "{route}");
        }
    }
    let daemon = Daemon::start(
        r#"
        [process.p]
        command = [$PEER, "say whole", "text half"]
        restart = "never"

        [route.a]
        from = "process:p.stdout"
        to = "fifo:out"
        framing = "lines"
        "#,
    );
    assert_eq!(FifoReader::open(daemon.fifo("out")).read_to_end(), b"whole\nhalf");
    assert_eq!(counts(&daemon.wait_for("route.a", "closed")), (2, 2, 0));
}

/// `reopen` and `hold` make one stream of all writers: where one leaves is no end of a line.
fn half_a_line_is_continued_by_the_next_writer() {
    for on_eof in ["reopen", "hold"] {
        let daemon = Daemon::start(&config(on_eof, "framing = \"lines\""));
        let mut reader = FifoReader::open(daemon.fifo("out"));
        let path = daemon.fifo("in");
        let mut read = 0;
        for (piece, whole, records, partial) in [
            (&b"one\nha"[..], &b"one\n"[..], 1, 2),
            (b"lf", b"", 1, 4),
            (b" a line\nan", b"half a line\n", 2, 2),
            (b"other\n", b"another\n", 3, 0),
        ] {
            FifoWriter::open(&path).write_all(piece);
            assert_eq!(reader.read_exact(whole.len()), whole, "{on_eof}");
            read += piece.len() as u64;
            // It has been seen to leave, too; a held source is told of no end.
            daemon.marker();
            let route = at_rest(&daemon, read);
            assert_eq!(counts(&route), (records, records, partial), "{on_eof}: {route}");
            assert_eq!(reader.try_read(100), Taken::Nothing, "{on_eof}");
        }
        daemon.finish();
    }
}

/// A process that dies within a line and is started again: its stdout is one stream.
fn half_a_line_is_continued_by_the_next_life() {
    let daemon = Daemon::start(
        r#"
        [process.p]
        command = ["sh", "-c", "if mkdir '$DIR/one' 2> /dev/null; then printf 'zero\\none '; else exec \"$@\"; fi", "sh",
            $PEER, "await $DIR/run/gate", "say two", "hold"]
        restart-delay = "1ms"

        [route.a]
        from = "process:p.stdout"
        to = "fifo:out"
        framing = "lines"
        "#,
    );
    make_fifo(daemon.fifo("gate"));
    let mut reader = FifoReader::open(daemon.fifo("out"));
    assert_eq!(reader.read_exact(5), b"zero\n");
    daemon.wait_until("process.p", "restarted", |process| process.int("restarts") == 1);
    // The second life waits, so that the first one's output has ended.
    let mut gate = FifoWriter::open(daemon.fifo("gate"));
    assert_eq!(counts(&at_rest(&daemon, 9)), (1, 1, 4));
    assert_eq!(reader.try_read(100), Taken::Nothing);
    gate.write_all(b"x");
    assert_eq!(reader.read_exact(8), b"one two\n");
    assert_eq!(counts(&at_rest(&daemon, 13)), (2, 2, 0));
}

/// An operator's pause comes in the middle of a line, and changes nothing of it.
fn half_a_line_waits_for_a_resume() {
    let daemon = Daemon::start(&config("reopen", "framing = \"lines\""));
    let mut reader = FifoReader::open(daemon.fifo("out"));
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    writer.write_all(b"ha");
    at_rest(&daemon, 2);
    assert!(daemon.changes("PauseRoute", json!({ "name": "a" })));
    writer.write_all(b"lf\n");
    daemon.marker();
    assert_eq!(reader.try_read(100), Taken::Nothing);
    let route = daemon.route("a");
    assert_eq!(
        (counts(&route), route.source(0).int("bytes")),
        ((0, 0, 2), 2),
        "{route}"
    );
    assert!(daemon.changes("ResumeRoute", json!({ "name": "a" })));
    assert_eq!(reader.read_exact(5), b"half\n");
    assert_eq!(counts(&at_rest(&daemon, 5)), (1, 1, 0));
}

/// What is left at a drain is a record as it is; after a resume the next one begins.
fn a_drain_hands_on_half_a_line() {
    let daemon = Daemon::start(&config("reopen", "framing = \"lines\""));
    let mut reader = FifoReader::open(daemon.fifo("out"));
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    writer.write_all(b"one\nhalf");
    assert_eq!(counts(&at_rest(&daemon, 8)), (1, 1, 4));
    assert!(daemon.changes("DrainRoute", json!({ "name": "a" })));
    let route = daemon.route("a");
    assert_eq!((route.state(), counts(&route)), ("closed", (2, 2, 0)), "{route}");
    check_records(&route).expect("a route at rest");
    assert_eq!(reader.read_to_end(), b"one\nhalf");
    drop((reader, writer));
    assert!(daemon.changes("ResumeRoute", json!({ "name": "a" })));
    let mut reader = FifoReader::open(daemon.fifo("out"));
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    writer.write_all(b"next\nand");
    assert_eq!(reader.read_exact(5), b"next\n");
    let route = daemon.wait_until("route.a", "within the next", |route| {
        route.source(0).int("partialBytes") == 3
    });
    assert_eq!(counts(&route), (3, 3, 3), "{route}");
}

fn the_end_of_the_daemon_hands_on_half_a_line() {
    let daemon = Daemon::start(
        r#"
        [route.a]
        from = ["fifo:x", "fifo:y"]
        to = "fifo:out"
        framing = "lines"
        "#,
    );
    let mut reader = FifoReader::open(daemon.fifo("out"));
    let (mut x, mut y) = (FifoWriter::open(daemon.fifo("x")), FifoWriter::open(daemon.fifo("y")));
    x.write_all(b"half of x");
    y.write_all(b"whole\nhalf of y");
    daemon.wait_until("route.a", "within both", |route| {
        route.source(0).int("partialBytes") == 9 && route.source(1).int("partialBytes") == 9
    });
    daemon.signal(Signal::SIGTERM);
    let all = String::from_utf8(reader.read_to_end()).expect("text");
    assert!(
        ["whole\nhalf of xhalf of y", "whole\nhalf of yhalf of x"].contains(&all.as_str()),
        "{all:?}"
    );
    daemon.expect_end(0);
}

fn half_a_line_is_no_loss_when_all_is_done() {
    let daemon = Daemon::config(
        r#"
        [process.p]
        command = [$PEER, "say whole", "text half"]
        restart = "never"

        [route.a]
        from = "process:p.stdout"
        to = "file:$DIR/out"
        framing = "lines"
        "#,
    )
    .argument("--exit-when-done")
    .launch();
    let out = daemon.file("out");
    daemon.expect_end_then(0, || {
        assert_eq!(std::fs::read(&out).expect("the file"), b"whole\nhalf");
    });
}

/// tee(1), by records: the same bytes and the same counts for each kind of destination.
fn every_destination_counts_the_same_records() {
    const COUNT: u64 = 500;
    let daemon = Daemon::start(
        r#"
        [process.p]
        command = [$PEER, "check-lines", "tell $DIR/checked yes"]
        restart = "never"
        keep-stdin = true

        [route.a]
        from = { fifo = "in", on-eof = "close" }
        to = ["fifo:out", "file:$DIR/copy", "process:p.stdin", "null"]
        framing = "lines"
        "#,
    );
    let reader = FifoReader::lines_in_background(daemon.fifo("out"));
    let lines = Lines::new("x", 150_000, 9);
    lines.clone().in_background(daemon.fifo("in"), COUNT).done();
    assert_eq!(reader.done()["x"], COUNT);
    let route = daemon.wait_for("route.a", "closed");
    assert_eq!(counts(&route), (COUNT, COUNT, 0), "{route}");
    assert_eq!(
        route.source(0).oversized(),
        lines.longer_than(64 << 10, COUNT),
        "{route}"
    );
    for destination in route.list("destinations") {
        assert_eq!(destination.int("records"), COUNT, "{destination}");
        assert_eq!(destination.maybe_int("droppedRecords").unwrap_or(0), 0, "{destination}");
    }
    let copy = std::fs::read(daemon.file("copy")).expect("the copy");
    assert_eq!(LineChecker::counts(&copy)["x"], COUNT);
    let process = daemon.wait_for("process.p", "finished");
    assert_eq!(process.object("lastExit").int("code"), 0, "{process}");
    assert!(daemon.file("checked").exists());
}
