//! Bulk over upgrades in its middle: every byte, in order, once, by every way it may take.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{
    Background, Checker, Daemon, Deadline, FifoReader, FifoWriter, Lines, Numbered, PATIENCE, Pattern,
    came_exactly_once, scale, stories,
};

stories!(
    four_routes_at_once,
    as_fast_as_it_goes,
    small_pieces_by_every_path,
    a_file_is_what_was_written,
    a_process_that_talks_all_the_time,
    a_rate_is_held_over_upgrades,
    a_hundred_routes_pause_briefly,
);

const UPGRADES: usize = 5;

fn put(mut writer: FifoWriter, bytes: Vec<u8>) -> Background<FifoWriter> {
    Background::run(move || {
        writer.write_all(&bytes);
        writer
    })
}

/// What is written between two upgrades: cut anywhere.
fn parts(whole: &[u8]) -> Vec<Vec<u8>> {
    let length = whole.len().div_ceil(UPGRADES + 1);
    whole.chunks(length).map(<[u8]>::to_vec).collect()
}

/// splice from process to process, tee to three, lines of two, each record to one of two: all of them while they are
/// held to a rate, so that every upgrade meets them within a stream.
fn four_routes_at_once() {
    const RATE: &str = "rate-limit = \"6MiB/s\"";
    let daemon = Daemon::start(&format!(
        r#"
        [process.producer]
        command = [$PEER, "stream-until SIGUSR1 $DIR/total"]
        restart = "never"

        [process.consumer]
        command = [$PEER, "record $DIR/record"]

        [route.splice]
        from = "process:producer.stdout"
        to = "process:consumer.stdin"
        path = "splice"
        {RATE}

        [route.tee]
        from = {{ fifo = "t", on-eof = "close" }}
        to = ["fifo:t0", "fifo:t1", "fifo:t2"]
        path = "splice"
        {RATE}

        [route.lines]
        from = [{{ fifo = "x", on-eof = "close" }}, {{ fifo = "y", on-eof = "close" }}]
        to = "fifo:l"
        framing = "lines"
        {RATE}

        [route.balance]
        from = {{ fifo = "b", on-eof = "close" }}
        to = ["fifo:b0", "fifo:b1"]
        framing = "lines"
        distribution = "balance"
        {RATE}
        "#
    ));
    let (pattern, records) = (Pattern::new(71), Numbered::lines(20, 4000));
    let (x, y) = (Lines::new("x", 50_000, 1), Lines::new("y", 2_000, 2));
    let length = 4 << 20;
    let mut streams: Vec<_> = [
        ("t", pattern.bytes(0, length)),
        ("x", x.bytes(0, 500)),
        ("y", y.bytes(0, 4000)),
        ("b", (0..2000).flat_map(|number| records.record(number)).collect()),
    ]
    .into_iter()
    .map(|(name, whole)| (FifoWriter::open(daemon.fifo(name)), parts(&whole)))
    .collect();
    let tees = ["t0", "t1", "t2"].map(|name| FifoReader::to_end_in_background(daemon.fifo(name), pattern));
    let lines = FifoReader::lines_in_background(daemon.fifo("l"));
    let workers = ["b0", "b1"].map(|name| records.to_end_in_background(FifoReader::open(daemon.fifo(name))));
    for turn in 0..=UPGRADES {
        let writing: Vec<_> = streams
            .into_iter()
            .map(|(writer, parts)| (put(writer, parts[turn].clone()), parts))
            .collect();
        if turn < UPGRADES {
            daemon.upgrade();
        }
        streams = writing
            .into_iter()
            .map(|(writer, parts)| (writer.done(), parts))
            .collect();
    }
    drop(streams);
    kill(Pid::from_raw(daemon.pid_of("producer")), Signal::SIGUSR1).expect("a signal to the producer");
    tees.into_iter().for_each(|tee| assert_eq!(tee.done(), length as u64));
    let lines = lines.done();
    assert_eq!((lines["x"], lines["y"]), (500, 4000));
    came_exactly_once(&workers.map(Background::done), 0..2000);
    for route in ["splice", "tee", "lines", "balance"] {
        daemon.wait_for(&format!("route.{route}"), "closed");
    }
    daemon.closed_with("lines", &[500, 4000]);
    daemon.wait_for("process.consumer", "finished");
    let total: usize = read(&daemon, "total").trim().parse().expect("how much was written");
    let record = std::fs::read(daemon.file("record")).expect("the record");
    Checker::new(Pattern::new(1)).feed(&record);
    assert_eq!(record.len(), total);
}

fn read(daemon: &Daemon, name: &str) -> String {
    std::fs::read_to_string(daemon.file(name)).unwrap_or_default()
}

/// Writes on in the pattern, in pieces of this size, until it is told to stop; then closes, and says how much it was.
fn stream(mut writer: FifoWriter, pattern: Pattern, piece: u64, over: &Arc<AtomicBool>) -> Background<u64> {
    let over = Arc::clone(over);
    Background::run(move || {
        while !over.load(Ordering::SeqCst) {
            writer.write_pattern(pattern, piece);
        }
        writer.written()
    })
}

fn goes_on_over_upgrades(path: &str, count: usize, piece: u64) {
    let to: Vec<String> = (0..count).map(|index| format!("\"fifo:out{index}\"")).collect();
    let daemon = Daemon::start(&format!(
        "[route.a]\nfrom = {{ fifo = \"in\", on-eof = \"close\" }}\nto = [{}]\npath = \"{path}\"\n",
        to.join(", ")
    ));
    let (pattern, over) = (Pattern::new(72), Arc::new(AtomicBool::new(false)));
    let readers: Vec<_> = (0..count)
        .map(|index| FifoReader::to_end_in_background(daemon.fifo(&format!("out{index}")), pattern))
        .collect();
    let writing = stream(FifoWriter::open(daemon.fifo("in")), pattern, piece, &over);
    for _ in 0..UPGRADES {
        let before = daemon.route("a").int("acceptedBytes");
        daemon.wait_accepted("a", before + 10 * piece);
        daemon.upgrade();
    }
    over.store(true, Ordering::SeqCst);
    let total = writing.done();
    readers
        .into_iter()
        .for_each(|reader| assert_eq!(reader.done(), total, "{path}, {count}"));
    let route = daemon.wait_for("route.a", "closed");
    assert_eq!(route.int("acceptedBytes"), total, "{route}");
    for destination in route.list("destinations") {
        assert_eq!((destination.int("bytes"), destination.int("droppedBytes")), (total, 0));
    }
    daemon.finish();
}

fn as_fast_as_it_goes() {
    for path in ["splice", "auto", "copy"] {
        for count in [1, 3] {
            goes_on_over_upgrades(path, count, 50_000);
        }
    }
}

fn small_pieces_by_every_path() {
    for path in ["splice", "auto", "copy"] {
        for count in [1, 3] {
            goes_on_over_upgrades(path, count, 100);
        }
    }
}

/// A file's thread has in its hands what is neither queued nor written.
fn a_file_is_what_was_written() {
    let daemon = Daemon::start(
        "[route.a]\nfrom = { fifo = \"in\", on-eof = \"close\" }\nto = \"file:$DIR/copy\"\n\
         [route.b]\nfrom = { fifo = \"lines\", on-eof = \"close\" }\nto = [\"file:$DIR/lines\", \"null\"]\nframing = \"lines\"\n",
    );
    let (pattern, over) = (Pattern::new(73), Arc::new(AtomicBool::new(false)));
    let writing = stream(FifoWriter::open(daemon.fifo("in")), pattern, 100_000, &over);
    let lines = Lines::new("z", 100_000, 3);
    let mut writer = FifoWriter::open(daemon.fifo("lines"));
    for part in parts(&lines.bytes(0, 300)).into_iter().take(UPGRADES + 1) {
        let part = put(writer, part);
        daemon.upgrade();
        writer = part.done();
    }
    drop(writer);
    over.store(true, Ordering::SeqCst);
    let total = writing.done();
    daemon.wait_for("route.a", "closed");
    daemon.wait_for("route.b", "closed");
    let copy = std::fs::read(daemon.file("copy")).expect("the copy");
    assert_eq!(copy.len() as u64, total);
    Checker::new(pattern).feed(&copy);
    assert!(std::fs::read(daemon.file("lines")).expect("the lines") == lines.bytes(0, 300));
}

/// Both of its outputs, whole lines of each, while one goes to the other process and comes back.
fn a_process_that_talks_all_the_time() {
    const COUNT: u64 = 1000 * 3;
    let daemon = Daemon::start(&format!(
        r#"
        [process.p]
        command = [$PEER, "await $DIR/run/gate", "lines-both {COUNT} 3000 5"]
        restart = "never"

        [process.filter]
        command = [$PEER, "cat"]

        [route.gate]
        from = "fifo:gate-in"
        to = "fifo:gate"

        [route.a]
        from = ["process:p.stdout", "process:p.stderr"]
        to = "process:filter.stdin"
        framing = "lines"
        rate-limit = "2MiB/s"

        [route.b]
        from = "process:filter.stdout"
        to = "fifo:out"
        "#
    ));
    let reader = FifoReader::lines_in_background(daemon.fifo("out"));
    FifoWriter::open(daemon.fifo("gate-in")).write_all(b"x");
    for turn in 1..=3 {
        daemon.wait_accepted("a", turn * 200_000);
        daemon.upgrade();
    }
    let counts = reader.done();
    assert_eq!((counts["out"], counts["err"]), (COUNT, COUNT));
    daemon.closed_with("a", &[COUNT, COUNT]);
}

/// A bucket that is full again after each upgrade would be faster.
fn a_rate_is_held_over_upgrades() {
    for path in ["splice", "copy"] {
        let daemon = Daemon::start(&format!(
            "[route.a]\nfrom = {{ fifo = \"in\", on-eof = \"close\" }}\nto = \"fifo:out\"\npath = \"{path}\"\n\
             rate-limit = \"1MiB/s\"\n"
        ));
        let (pattern, length) = (Pattern::new(74), 2 << 20);
        let reader = FifoReader::to_end_in_background(daemon.fifo("out"), pattern);
        let clock = Deadline::within(PATIENCE);
        let writing = FifoWriter::in_background(daemon.fifo("in"), pattern, length);
        for _ in 0..5 {
            daemon.upgrade();
            let route = daemon.route("a");
            assert!(
                route.int("acceptedBytes") < length,
                "it is over before the last upgrade: {route}"
            );
        }
        writing.done();
        assert_eq!(reader.done(), length);
        let took = clock.elapsed().as_secs_f64();
        // Of 2 s, what 100 ms had saved. The clock began before the first byte.
        assert!(took >= 1.9 * 0.95, "{path}: {length} bytes in {took} s");
        daemon.finish();
    }
}

/// How long a byte may be on its way from FIFO to FIFO while a hundred routes are handed over: measured, and shown.
fn a_hundred_routes_pause_briefly() {
    let routes: Vec<String> = (0..100 * scale().min(5))
        .map(|number| format!("[route.r{number}]\nfrom = \"fifo:in{number}\"\nto = \"fifo:out{number}\"\n"))
        .collect();
    let daemon = Daemon::start(&routes.join("\n"));
    let mut reader = FifoReader::open(daemon.fifo("out7"));
    let mut writer = FifoWriter::open(daemon.fifo("in7"));
    let over = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&over);
    let ping = Background::run(move || {
        let mut longest = Duration::ZERO;
        while !told.load(Ordering::SeqCst) {
            let clock = Deadline::within(PATIENCE);
            writer.write_all(b"ping");
            assert_eq!(reader.read_exact(4), b"ping");
            longest = longest.max(clock.elapsed());
        }
        longest
    });
    for _ in 0..3 {
        daemon.upgrade();
    }
    over.store(true, Ordering::SeqCst);
    let longest = ping.done();
    eprintln!(
        "{} routes: the longest pause over 3 upgrades was {longest:?}",
        routes.len()
    );
    assert!(longest < Duration::from_secs(5), "{longest:?}");
}
