//! Several sources into one route: with records none is torn or interleaved, each source keeps its order, none starves.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::support::{
    Background, Daemon, Dice, FifoReader, FifoWriter, LineChecker, Lines, Taken, check_records, stories,
};

stories!(
    four_writers_of_lines,
    writers_that_come_and_go,
    stdout_and_stderr_of_one_process,
    the_stdout_of_four_instances,
    a_trickle_of_lines_gets_through_a_flood,
    a_trickle_of_bytes_gets_through_two_floods,
    ends_of_every_kind,
    half_a_line_holds_no_other_source_back,
    a_last_half_line_stands_before_what_comes_next,
    bytes_of_several_sources_for_several_destinations,
    lines_of_several_sources_for_several_destinations,
    a_consumer_that_is_killed_reads_on,
);

/// `{ fifo = "NAME", on-eof = "close" }` of each, in a list.
fn fifos(names: &[&str]) -> String {
    let ends: Vec<String> = names
        .iter()
        .map(|name| format!("{{ fifo = \"{name}\", on-eof = \"close\" }}"))
        .collect();
    format!("[{}]", ends.join(", "))
}

/// Four writers, lines of up to 200 KiB cut anywhere: every line whole, each writer's order kept, whether max-record holds
/// the longest back until it is whole or lets nearly all of them out in parts.
fn four_writers_of_lines() {
    const COUNT: u64 = 150;
    const NAMES: [&str; 4] = ["w", "x", "y", "z"];
    for most in [256 << 10, 64 << 10, 100] {
        let daemon = Daemon::start(&format!(
            "[route.a]\nfrom = {}\nto = \"fifo:out\"\nframing = \"lines\"\nmax-record = {most}\n",
            fifos(&NAMES)
        ));
        let reader = FifoReader::lines_in_background(daemon.fifo("out"));
        let lines: Vec<Lines> = NAMES
            .into_iter()
            .zip(1..)
            .map(|(name, seed)| Lines::new(name, 200 << 10, seed))
            .collect();
        let writers: Vec<_> = NAMES
            .into_iter()
            .zip(lines.clone())
            .map(|(name, lines)| lines.in_background(daemon.fifo(name), COUNT))
            .collect();
        writers.into_iter().for_each(Background::done);
        let counts = reader.done();
        assert!(NAMES.iter().all(|name| counts[*name] == COUNT), "{counts:?}");
        let route = daemon.closed_with("a", &[COUNT; 4]);
        for (source, lines) in route.list("sources").iter().zip(lines) {
            assert_eq!(source.oversized(), lines.longer_than(most, COUNT), "{most}: {route}");
        }
        daemon.finish();
    }
}

/// `cmd >> fifo`, again and again, from several sides: writers leave in the middle of their lines, and others go on there.
fn writers_that_come_and_go() {
    const COUNT: u64 = 150;
    const NAMES: [&str; 3] = ["x", "y", "z"];
    let daemon = Daemon::start(
        "[route.a]\nfrom = [\"fifo:x\", \"fifo:y\", \"fifo:z\"]\nto = \"fifo:out\"\nframing = \"lines\"\n\
         max-record = \"2KiB\"\n",
    );
    let reader = FifoReader::lines_in_background(daemon.fifo("out"));
    let writers: Vec<_> = NAMES
        .into_iter()
        .zip(11..)
        .map(|(name, seed)| {
            let path = daemon.fifo(name);
            Background::run(move || {
                let stream = Lines::new(name, 5_000, seed).bytes(0, COUNT);
                let (mut dice, mut rest) = (Dice::new(seed), &stream[..]);
                while !rest.is_empty() {
                    let (piece, later) = rest.split_at((1 + dice.below(4000) as usize).min(rest.len()));
                    FifoWriter::open(&path).write_all(piece);
                    rest = later;
                }
                stream.len() as u64
            })
        })
        .collect();
    let written = writers.into_iter().map(Background::done).sum();
    daemon.wait_accepted("a", written);
    assert!(daemon.changes("DrainRoute", json!({ "name": "a" })));
    let counts = reader.done();
    assert!(NAMES.iter().all(|name| counts[*name] == COUNT), "{counts:?}");
    daemon.closed_with("a", &[COUNT; 3]);
}

/// Shell `cmd 2>&1 | …`, where both begin lines while the other has not ended its own: there it tears them.
///
/// None is over-long: within such a record on the one, a process that fills the pipe of the other would wait for itself.
fn stdout_and_stderr_of_one_process() {
    let daemon = Daemon::start(
        r#"
        [process.p]
        command = [$PEER, "lines-both 800 20000 3"]
        restart = "never"

        [route.a]
        from = ["process:p.stdout", "process:p.stderr"]
        to = "fifo:out"
        framing = "lines"
        "#,
    );
    let counts = FifoReader::lines_in_background(daemon.fifo("out")).done();
    assert_eq!((counts["out"], counts["err"]), (800, 800));
    daemon.closed_with("a", &[800, 800]);
}

/// xargs -P and make -j, without --output-sync.
fn the_stdout_of_four_instances() {
    let daemon = Daemon::start(
        r#"
        [process.w]
        command = ["sh", "-c", "exec \"$@\" \"lines 300 50000 $SLUICED_INSTANCE w$SLUICED_INSTANCE\"", "sh", $PEER]
        instances = 4
        restart = "never"

        [route.a]
        from = "process:w.stdout"
        to = "fifo:out"
        framing = "lines"
        "#,
    );
    let counts = FifoReader::lines_in_background(daemon.fifo("out")).done();
    assert!(
        ["w1", "w2", "w3", "w4"].iter().all(|tag| counts[*tag] == 300),
        "{counts:?}"
    );
    daemon.closed_with("a", &[300; 4]);
}

/// How far into the flood a trickle may have to wait: the pipe, the queue, and some turns of the flood's.
const FAIR: u64 = 3 << 19;

/// syslog-ng's and Vector's issues on a noisy source. The reader lets the flood on by its reading alone, so it is counted how
/// much of it comes between a line's writing and its arrival; no time is measured.
fn a_trickle_of_lines_gets_through_a_flood() {
    for (greatest, count, most) in [(20_000, 16_000, "64KiB"), (200 << 10, 1600, "1KiB")] {
        let daemon = Daemon::start(&format!(
            "[route.a]\nfrom = {}\nto = \"fifo:out\"\nframing = \"lines\"\nmax-record = \"{most}\"\n",
            fifos(&["flood", "trickle"])
        ));
        let mut reader = FifoReader::open(daemon.fifo("out"));
        let flood = Lines::new("flood", greatest, 1).in_background(daemon.fifo("flood"), count);
        let mut writer = FifoWriter::open(daemon.fifo("trickle"));
        let trickle = Lines::new("trickle", 100, 2);
        let mut checker = LineChecker::new();
        for number in 0..8 {
            checker.feed(&reader.read_exact(1 << 18));
            let written_at = checker.offset();
            writer.write_all(&trickle.line(number));
            while checker.count("trickle") == number {
                match reader.read_some(64 << 10) {
                    Taken::Bytes(piece) => checker.feed(&piece),
                    other => panic!("{other:?} before line {number} of the trickle"),
                }
                assert!(
                    checker.offset() - written_at < FAIR,
                    "line {number} of the trickle has not come within {FAIR} bytes of flood"
                );
            }
        }
        assert!(checker.count("flood") < count * 9 / 10, "the flood has ended too early");
        drop(writer);
        reader.check_lines_to_end(&mut checker);
        flood.done();
        let counts = checker.ended();
        assert_eq!((counts["flood"], counts["trickle"]), (count, 8));
        daemon.closed_with("a", &[count, 8]);
        daemon.finish();
    }
}

/// The same by bytes, wherever in the list the trickle stands among two floods.
fn a_trickle_of_bytes_gets_through_two_floods() {
    const FLOOD: usize = 16 << 20;
    for names in [["t", "x", "y"], ["x", "t", "y"], ["x", "y", "t"]] {
        let daemon = Daemon::start(&format!("[route.a]\nfrom = {}\nto = \"fifo:out\"\n", fifos(&names)));
        let mut reader = FifoReader::open(daemon.fifo("out"));
        let floods = ["x", "y"].map(|name| {
            let path = daemon.fifo(name);
            Background::run(move || FifoWriter::open(path).write_all(&vec![b'.'; FLOOD]))
        });
        let mut writer = FifoWriter::open(daemon.fifo("t"));
        for round in 0..8 {
            assert_eq!(
                reader.read_exact(1 << 18),
                vec![b'.'; 1 << 18],
                "{names:?}: round {round}"
            );
            writer.write_all(b"!");
            let mut passed = 0;
            loop {
                let Taken::Bytes(piece) = reader.read_some(64 << 10) else {
                    panic!("{names:?}: the end in round {round}");
                };
                passed += piece.len() as u64;
                assert!(
                    passed < FAIR,
                    "{names:?}: round {round}: not within {FAIR} bytes of flood"
                );
                if piece.contains(&b'!') {
                    break;
                }
            }
        }
        drop(writer);
        reader.read_to_end();
        floods.into_iter().for_each(Background::done);
        let route = daemon.wait_for("route.a", "closed");
        assert_eq!(route.int("acceptedBytes"), 2 * FLOOD as u64 + 8, "{route}");
        assert_eq!(route.maybe_int("acceptedRecords"), None, "{route}");
        daemon.finish();
    }
}

/// A FIFO, a stdout, a stderr and a descriptor of its own, into one of each kind of destination.
fn ends_of_every_kind() {
    let daemon = Daemon::start(
        r#"
        [process.both]
        command = [$PEER, "lines-both 200 20000 5"]
        restart = "never"

        [process.side]
        command = ["sh", "-c", "exec \"$@\" >&3 3>&-", "sh", $PEER, "lines 200 200000 6 side"]
        restart = "never"

        [process.checks]
        command = [$PEER, "check-lines", "tell $DIR/checked yes"]
        restart = "never"
        keep-stdin = true

        [route.a]
        from = ["process:both.stdout", { fifo = "in", on-eof = "close" }, "process:side.fd3", "process:both.stderr"]
        to = ["process:checks.stdin", "fifo:out", "null", "file:$DIR/copy"]
        framing = "lines"
        "#,
    );
    let reader = FifoReader::lines_in_background(daemon.fifo("out"));
    Lines::new("fifo", 100_000, 7)
        .in_background(daemon.fifo("in"), 200)
        .done();
    let counts = reader.done();
    assert!(
        ["out", "err", "side", "fifo"].iter().all(|tag| counts[*tag] == 200),
        "{counts:?}"
    );
    daemon.closed_with("a", &[200; 4]);
    let copy = std::fs::read(daemon.file("copy")).expect("the copy");
    assert_eq!(LineChecker::counts(&copy), counts);
    let process = daemon.wait_for("process.checks", "finished");
    assert_eq!(process.object("lastExit").int("code"), 0, "{process}");
    assert!(daemon.file("checked").exists());
}

/// A prompt without a newline is no reason for silence on the other side.
fn half_a_line_holds_no_other_source_back() {
    let daemon = Daemon::start(&format!(
        "[route.a]\nfrom = [\"fifo:x\", \"fifo:y\"]\nto = \"fifo:out\"\nframing = \"lines\"\n{}",
        Daemon::MARKER
    ));
    let mut reader = FifoReader::open(daemon.fifo("out"));
    let (mut x, mut y) = (FifoWriter::open(daemon.fifo("x")), FifoWriter::open(daemon.fifo("y")));
    x.write_all(b"half");
    daemon.wait_until("route.a", "within a line of x", |route| {
        route.source(0).int("partialBytes") == 4
    });
    for _ in 0..100 {
        y.write_all(b"of y\nof");
        assert_eq!(reader.read_exact(5), b"of y\n");
        y.write_all(b" y\n");
        assert_eq!(reader.read_exact(5), b"of y\n");
    }
    daemon.marker();
    assert_eq!(reader.try_read(100), Taken::Nothing);
    x.write_all(b" a line\n");
    assert_eq!(reader.read_exact(12), b"half a line\n");
    let route = daemon.wait_until("route.a", "at rest", |route| route.destination(0).int("records") == 201);
    check_records(&route).expect("a route at rest");
    assert_eq!(
        (route.source(0).int("records"), route.source(1).int("records")),
        (1, 200),
        "{route}"
    );
}

/// No byte is added: what comes after a line without its end stands right behind it. Each is counted for itself.
fn a_last_half_line_stands_before_what_comes_next() {
    let daemon = Daemon::start(&format!(
        "[route.a]\nfrom = {}\nto = \"fifo:out\"\nframing = \"lines\"\n",
        fifos(&["x", "y"])
    ));
    let mut reader = FifoReader::open(daemon.fifo("out"));
    let mut y = FifoWriter::open(daemon.fifo("y"));
    y.write_all(b"of y\nhalf");
    assert_eq!(reader.read_exact(5), b"of y\n");
    FifoWriter::open(daemon.fifo("x")).write_all(b"of x\nlast of x");
    assert_eq!(reader.read_exact(14), b"of x\nlast of x");
    daemon.wait_until("route.a", "without x", |route| route.source(0).state() == "ended");
    y.write_all(b" of y\n");
    assert_eq!(reader.read_exact(10), b"half of y\n");
    drop(y);
    assert_eq!(reader.read_to_end(), b"");
    daemon.closed_with("a", &[2, 2]);
}

/// tee(1) behind a funnel: all destinations get the same stream, each source's bytes in order.
fn bytes_of_several_sources_for_several_destinations() {
    const LENGTH: usize = 2_000_003;
    let daemon = Daemon::start(&format!(
        r#"
        [process.p]
        command = [$PEER, "write {LENGTH} 4"]
        restart = "never"

        [process.q]
        command = ["sh", "-c", "tr '\\000-\\377' '[c*]'"]

        [route.q]
        from = "process:p.stdout"
        to = "process:q.stdin"

        [route.a]
        from = [{{ fifo = "x", on-eof = "close" }}, {{ fifo = "y", on-eof = "close" }}, "process:q.stdout"]
        to = ["fifo:out1", "fifo:out2", "file:$DIR/copy", "null"]
        "#
    ));
    let readers: Vec<_> = ["out1", "out2"]
        .map(|name| {
            let mut reader = FifoReader::open(daemon.fifo(name));
            Background::run(move || reader.read_to_end())
        })
        .into();
    // The upper bit tells whose a byte is, the others where it stands.
    let of = |side: u8| -> Vec<u8> { (0..LENGTH).map(|at| (at % 31) as u8 | (side << 5)).collect() };
    let writers = [("x", 4), ("y", 5)].map(|(name, side)| {
        let (path, bytes) = (daemon.fifo(name), of(side));
        Background::run(move || FifoWriter::open(path).write_all(&bytes))
    });
    writers.into_iter().for_each(Background::done);
    let streams: Vec<Vec<u8>> = readers.into_iter().map(Background::done).collect();
    daemon.wait_for("route.a", "closed");
    let copy = std::fs::read(daemon.file("copy")).expect("the copy");
    assert!(streams.iter().all(|stream| *stream == copy), "the destinations differ");
    assert_eq!(copy.len(), 3 * LENGTH);
    for side in [4, 5] {
        let own: Vec<u8> = copy.iter().copied().filter(|byte| byte >> 5 == side).collect();
        assert!(own == of(side), "side {side}: {} bytes, or not in order", own.len());
    }
    assert_eq!(copy.iter().filter(|byte| **byte == b'c').count(), LENGTH);
}

fn lines_of_several_sources_for_several_destinations() {
    const COUNT: u64 = 200;
    const NAMES: [&str; 3] = ["x", "y", "z"];
    const OUTS: [&str; 4] = ["out0", "out1", "out2", "out3"];
    for most in ["256KiB", "1KiB"] {
        let daemon = Daemon::start(&format!(
            r#"
            [route.a]
            from = {}
            to = ["fifo:out0", "fifo:out1", {{ fifo = "out2", high-watermark = "1KiB" }}, "fifo:out3", "file:$DIR/copy"]
            framing = "lines"
            max-record = "{most}"
            "#,
            fifos(&NAMES)
        ));
        let readers = OUTS.map(|name| {
            let mut reader = FifoReader::open(daemon.fifo(name));
            Background::run(move || reader.read_to_end())
        });
        let writers = NAMES.map(|name| Lines::new(name, 100_000, 21).in_background(daemon.fifo(name), COUNT));
        writers.into_iter().for_each(Background::done);
        let streams = readers.map(Background::done);
        daemon.closed_with("a", &[COUNT; 3]);
        let copy = std::fs::read(daemon.file("copy")).expect("the copy");
        assert!(
            streams.iter().all(|stream| *stream == copy),
            "{most}: the destinations differ"
        );
        let counts = LineChecker::counts(&copy);
        assert!(NAMES.iter().all(|name| counts[*name] == COUNT), "{counts:?}");
        daemon.finish();
    }
}

/// Its successor reads on where it stopped, in the middle of a line as likely as not.
fn a_consumer_that_is_killed_reads_on() {
    const COUNT: u64 = 400;
    const KILLS: u64 = 8;
    for most in ["128KiB", "1KiB"] {
        let daemon = Daemon::start(&format!(
            r#"
            [process.p]
            command = [$PEER, "record $DIR/record"]
            restart-delay = "1ms"
            restart-delay-max = "1ms"
            start-limit = {{ burst = 0 }}

            [route.a]
            from = {}
            to = "process:p.stdin"
            framing = "lines"
            max-record = "{most}"
            "#,
            fifos(&["x", "y"])
        ));
        // All but the last line of each: the route is not to end before the last kill.
        let streams = ["x", "y"].map(|name| Lines::new(name, 100_000, 31).bytes(0, COUNT - 1));
        let length: u64 = streams.iter().map(|stream| stream.len() as u64).sum();
        let mut streams = streams.into_iter();
        let writers = ["x", "y"].map(|name| {
            let (path, stream) = (daemon.fifo(name), streams.next().unwrap_or_default());
            Background::run(move || {
                let mut writer = FifoWriter::open(path);
                writer.write_all(&stream);
                (writer, Lines::new(name, 100_000, 31).line(COUNT - 1))
            })
        });
        for kills in 1..=KILLS {
            daemon.wait_until("route.a", "so far", |route| {
                let read: u64 = route.list("sources").iter().map(|source| source.int("bytes")).sum();
                read >= length * kills / (KILLS + 2)
            });
            let pid = daemon.pid_of("p");
            kill(Pid::from_raw(pid), Signal::SIGKILL).expect("a consumer to kill");
            daemon.wait_until("process.p", "restarted", |process| process.int("restarts") >= kills);
        }
        let last = writers.map(Background::done);
        let last = last.map(|(mut writer, line)| Background::run(move || writer.write_all(&line)));
        last.into_iter().for_each(Background::done);
        daemon.closed_with("a", &[COUNT; 2]);
        daemon.wait_for("process.p", "finished");
        let record = std::fs::read(daemon.file("record")).expect("the record");
        let counts = LineChecker::counts(&record);
        assert_eq!((counts["x"], counts["y"]), (COUNT, COUNT), "{most}");
        daemon.finish();
    }
}
