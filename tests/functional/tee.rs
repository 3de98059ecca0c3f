//! One source of bytes and several destinations by tee(2): the same bytes, whatever the readers do and the kernel says.

use std::time::Duration;

use serde_json::json;

use crate::support::{
    Background, Checker, Daemon, Deadline, FifoReader, FifoWriter, PATIENCE, Pattern, Shown, Taken, pause_briefly,
    piece_size, scale, stories, until,
};

stories!(
    bulk_goes_by_tee,
    splice_with_several_destinations_is_always_tee,
    pieces_of_every_size_through_small_pipes,
    each_small_write_is_forwarded_at_once,
    small_and_bulky_traffic_in_turn,
    a_reader_that_leaves_and_comes_back,
    a_reader_that_leaves_for_good,
    the_others_hold_all_that_a_stuck_one_was_accepted_for,
    a_drain_gives_all_the_same,
    paused_and_resumed_all_get_the_same,
    a_consumer_beside_fifos,
    a_file_beside_fifos_goes_by_copy,
    writers_that_come_and_go,
    a_full_tee_costs_nothing,
    bursts_under_a_rate_reach_all,
    no_faster_than_the_rate_to_all,
);

fn to(count: usize, settings: &str) -> String {
    let names: Vec<String> = (0..count)
        .map(|index| format!("{{ fifo = \"out{index}\"{settings} }}"))
        .collect();
    names.join(", ")
}

/// `in` to `out0` …; open until its writer has gone, or for ever.
pub(crate) fn config(count: usize, settings: &str, path: &str, closes: bool) -> String {
    let end = if closes { "close" } else { "reopen" };
    format!(
        "[daemon]\ndrain-timeout = \"2s\"\n[route.a]\nfrom = {{ fifo = \"in\", on-eof = \"{end}\" }}\n\
         to = [{}]\npath = \"{path}\"\n",
        to(count, settings)
    )
}

pub(crate) fn open(daemon: &Daemon, count: usize) -> Vec<FifoReader> {
    let readers: Vec<_> = (0..count)
        .map(|index| FifoReader::open(daemon.fifo(&format!("out{index}"))))
        .collect();
    daemon.wait_for("route.a", "flowing");
    readers
}

fn to_end(reader: FifoReader, pattern: Pattern) -> Background<u64> {
    let mut reader = reader;
    Background::run(move || reader.check_to_end(&mut Checker::new(pattern)))
}

/// Reads so much and gives the reader back.
pub(crate) fn up_to(mut reader: FifoReader, mut checker: Checker, bytes: u64) -> Background<(FifoReader, Checker)> {
    Background::run(move || {
        reader.check_up_to(&mut checker, bytes);
        (reader, checker)
    })
}

pub(crate) fn write(mut writer: FifoWriter, pattern: Pattern, bytes: u64) -> Background<FifoWriter> {
    Background::run(move || {
        writer.write_pattern(pattern, bytes);
        writer
    })
}

/// Every size around a page and a pipe, nothing at all among them.
pub(crate) fn write_pieces(mut writer: FifoWriter, pattern: Pattern, bytes: u64) -> Background<FifoWriter> {
    Background::run(move || {
        let end = writer.written() + bytes;
        let mut round = 0;
        while writer.written() < end {
            let left = end - writer.written();
            let piece = pattern.bytes(writer.written(), left.min(piece_size(round) as u64) as usize);
            writer.try_write(&[]).expect("nothing at all");
            writer.write_all(&piece);
            round += 1;
        }
        writer
    })
}

fn looks_until_done<T: Send + 'static>(daemon: &Daemon, work: Background<T>) -> T {
    while !work.is_done() {
        daemon.route("a");
    }
    work.done()
}

pub(crate) fn all_have(route: &Shown, bytes: u64) {
    assert_eq!(route.int("acceptedBytes"), bytes, "{route}");
    for destination in route.list("destinations") {
        let counters = (
            destination.int("bytes"),
            destination.int("queuedBytes"),
            destination.int("droppedBytes"),
        );
        assert_eq!(counters, (bytes, 0, 0), "{destination}");
    }
}

/// GNU tee, 2 to 13 outputs: identical; path = "auto" takes tee(2) once the traffic is bulky.
fn bulk_goes_by_tee() {
    for count in [2, 3, 12, 13] {
        let daemon = Daemon::start(&config(count, "", "auto", true));
        let (pattern, length) = (Pattern::new(count as u64), (8 << 20) * scale() + 17);
        let readers: Vec<_> = open(&daemon, count)
            .into_iter()
            .map(|reader| to_end(reader, pattern))
            .collect();
        let writer = FifoWriter::open(daemon.fifo("in"));
        // It is bulky for as long as it takes to see it.
        let feeder = write(writer, pattern, length);
        let seen = until(
            || {
                let by_tee = daemon.route("a").text("path") == "tee";
                (by_tee || feeder.is_done()).then_some(by_tee)
            },
            || "the writer has not come to its end".to_owned(),
        );
        drop(looks_until_done(&daemon, feeder));
        for reader in readers {
            assert_eq!(reader.done(), length);
        }
        let route = daemon.wait_for("route.a", "closed");
        all_have(&route, length);
        assert!(seen, "{count} destinations were not written by tee(2): {route}");
        daemon.finish();
    }
}

/// path = "splice": never a byte in user space, whatever is written; it is tee(2) from the first byte on.
fn splice_with_several_destinations_is_always_tee() {
    for count in [2, 3, 12, 13] {
        let daemon = Daemon::start(&config(count, "", "splice", true));
        let (pattern, length) = (Pattern::new(count as u64), 1_500_017);
        let readers = open(&daemon, count);
        assert_eq!(daemon.route("a").text("path"), "tee");
        let readers: Vec<_> = readers.into_iter().map(|reader| to_end(reader, pattern)).collect();
        let feeder = write_pieces(FifoWriter::open(daemon.fifo("in")), pattern, length);
        while !feeder.is_done() {
            let route = daemon.route("a");
            assert_eq!(route.text("path"), "tee", "{route}");
        }
        drop(feeder.done());
        for reader in readers {
            assert_eq!(reader.done(), length);
        }
        all_have(&daemon.wait_for("route.a", "closed"), length);
        daemon.finish();
    }
}

/// coreutils' and Go's pipe tests: 0, 1, 4095 … 65,537 bytes at a time; pipes of one page and of a few.
fn pieces_of_every_size_through_small_pipes() {
    for path in ["auto", "splice"] {
        let outs: Vec<String> = ["4KiB", "8KiB", "64KiB", "256KiB"]
            .iter()
            .enumerate()
            .map(|(index, size)| format!("{{ fifo = \"out{index}\", pipe-size = \"{size}\" }}"))
            .collect();
        let daemon = Daemon::start(&format!(
            "[route.a]\nfrom = {{ fifo = \"in\", on-eof = \"close\", pipe-size = \"32KiB\" }}\n\
             to = [{}]\npath = \"{path}\"\n",
            outs.join(", ")
        ));
        let (pattern, length) = (Pattern::new(26), 3_000_011);
        // Each takes other pieces than the rest.
        let readers: Vec<_> = open(&daemon, 4)
            .into_iter()
            .zip([65_536, 5000, 1000, 4096])
            .map(|(reader, limit)| in_pieces(reader, pattern, limit))
            .collect();
        let feeder = write_pieces(FifoWriter::open(daemon.fifo("in")), pattern, length);
        drop(looks_until_done(&daemon, feeder));
        for reader in readers {
            assert_eq!(reader.done(), length);
        }
        all_have(&daemon.wait_for("route.a", "closed"), length);
        daemon.finish();
    }
}

fn in_pieces(mut reader: FifoReader, pattern: Pattern, limit: usize) -> Background<u64> {
    Background::run(move || {
        let mut checker = Checker::new(pattern);
        loop {
            match reader.read_some(limit) {
                Taken::Bytes(piece) => checker.feed(&piece),
                Taken::Nothing => {}
                Taken::End => return checker.offset(),
            }
        }
    })
}

/// Shell `(echo 1; sleep 1; echo 2) | tee …`: what is written comes out, and is not kept for more to come.
fn each_small_write_is_forwarded_at_once() {
    for path in ["auto", "splice"] {
        let daemon = Daemon::start(&config(3, "", path, false));
        let mut readers = open(&daemon, 3);
        let mut writer = FifoWriter::open(daemon.fifo("in"));
        let pattern = Pattern::new(20);
        let mut checkers = [Checker::new(pattern); 3];
        for round in 0..300 {
            // Single bytes for the most part: a slot each, more than a pipe has.
            writer.write_pattern(pattern, if round % 10 == 9 { 5000 } else { 1 });
            for (reader, checker) in readers.iter_mut().zip(&mut checkers) {
                reader.check_up_to(checker, writer.written());
            }
        }
        all_have(&daemon.wait_accepted("a", writer.written()), writer.written());
        daemon.finish();
    }
}

/// path = "auto" goes from one to the other and back; nothing is lost or doubled where it does.
fn small_and_bulky_traffic_in_turn() {
    let daemon = Daemon::start(&config(3, "", "auto", true));
    let pattern = Pattern::new(21);
    let readers: Vec<_> = open(&daemon, 3)
        .into_iter()
        .map(|reader| to_end(reader, pattern))
        .collect();
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    for _ in 0..6 {
        writer = until_path(&daemon, writer, pattern, "tee", 256 * 1024);
        writer = until_path(&daemon, writer, pattern, "copy", 100);
    }
    let length = writer.written();
    drop(writer);
    for reader in readers {
        assert_eq!(reader.done(), length);
    }
    all_have(&daemon.wait_for("route.a", "closed"), length);
}

/// Writes pieces of this size until the route goes by that path. Small ones are taken before the next is written.
fn until_path(daemon: &Daemon, mut writer: FifoWriter, pattern: Pattern, path: &str, piece: u64) -> FifoWriter {
    let deadline = Deadline::within(PATIENCE);
    loop {
        let feeder = write(writer, pattern, piece);
        writer = looks_until_done(daemon, feeder);
        if piece < 4096 {
            daemon.wait_accepted("a", writer.written());
        }
        let route = daemon.route("a");
        if route.text("path") == path {
            return writer;
        }
        assert!(
            !deadline.passed(),
            "with pieces of {piece} bytes it does not go by {path}: {route}"
        );
    }
}

/// Its place is kept: its next reader reads on where it stopped, and meanwhile the others are held, no byte further
/// than it was accepted.
fn a_reader_that_leaves_and_comes_back() {
    for path in ["auto", "splice"] {
        let daemon = Daemon::start(&config(3, "", path, true));
        let pattern = Pattern::new(12);
        let mut readers = open(&daemon, 3);
        let mut comes_and_goes = readers.remove(1);
        let others: Vec<_> = readers.into_iter().map(|reader| to_end(reader, pattern)).collect();
        let length = 4_000_003;
        let feeder = write(FifoWriter::open(daemon.fifo("in")), pattern, length);
        let mut checker = Checker::new(pattern);
        for upto in [1, 70_001, 500_000, 500_001, 1_234_567, 3_000_000] {
            comes_and_goes.check_up_to(&mut checker, upto);
            drop(comes_and_goes);
            let route = daemon.wait_until("route.a", "without one reader", |route| {
                route.reasons().contains(&"no_reader".to_owned())
            });
            assert_eq!(route.destination(1).state(), "waiting", "{route}");
            comes_and_goes = FifoReader::open(daemon.fifo("out1"));
        }
        let last = Background::run(move || comes_and_goes.check_to_end(&mut checker));
        drop(looks_until_done(&daemon, feeder));
        assert_eq!(last.done(), length);
        for other in others {
            assert_eq!(other.done(), length);
        }
        all_have(&daemon.wait_for("route.a", "closed"), length);
        daemon.finish();
    }
}

/// when-gone = "close": one after the other leaves in the middle; the last gets all of it.
fn a_reader_that_leaves_for_good() {
    for path in ["auto", "splice"] {
        let daemon = Daemon::start(&config(3, ", when-gone = \"close\"", path, true));
        let pattern = Pattern::new(13);
        let mut readers = open(&daemon, 3).into_iter();
        let mut next = || readers.next().expect("a reader");
        let (first, stays, third) = (next(), to_end(next(), pattern), next());
        let length = 6_000_001;
        let feeder = write(FifoWriter::open(daemon.fifo("in")), pattern, length);
        let first = up_to(first, Checker::new(pattern), 1_000_000);
        drop(up_to(third, Checker::new(pattern), 1_000_000).done());
        daemon.wait_until("route.a", "rid of the third", |route| {
            route.destination(2).state() == "closed"
        });
        let (first, checker) = first.done();
        drop(up_to(first, checker, 2_500_001).done());
        drop(looks_until_done(&daemon, feeder));
        assert_eq!(stays.done(), length);
        let route = daemon.wait_for("route.a", "closed");
        for (index, least) in [(0, 2_500_001), (2, 1_000_000)] {
            let gone = route.destination(index);
            assert_eq!(gone.text("closeCause"), "peer_gone", "{gone}");
            assert!((least..length).contains(&gone.int("uptoBytes")), "{gone}");
        }
        assert_eq!(route.destination(1).int("bytes"), length, "{route}");
        daemon.finish();
    }
}

/// tee(1), one output stuck: it holds the route, and the others can read all that was accepted. Nothing waits in a
/// place where only the stuck one could let it go.
fn the_others_hold_all_that_a_stuck_one_was_accepted_for() {
    for path in ["auto", "splice", "copy"] {
        for stuck_at in 0..3 {
            let daemon = Daemon::start(&config(3, "", path, true));
            let pattern = Pattern::new(14);
            let mut readers = open(&daemon, 3);
            let mut stuck = readers.remove(stuck_at);
            let feeder = write(FifoWriter::open(daemon.fifo("in")), pattern, 3_000_000);
            let mut both: Vec<_> = readers
                .into_iter()
                .map(|reader| (reader, Checker::new(pattern)))
                .collect();
            let route = until(
                || {
                    for (reader, checker) in &mut both {
                        while let Taken::Bytes(piece) = reader.try_read(65_536) {
                            checker.feed(&piece);
                        }
                    }
                    // Still paused, and no byte further, in a second look after the others were read.
                    let route = daemon.route("a");
                    let held = route.paused_only_for("backpressure");
                    let all = both
                        .iter()
                        .all(|(_, checker)| checker.offset() == route.int("acceptedBytes"));
                    (held && all).then_some(route)
                },
                || format!("the others do not get what was accepted: {}", daemon.route("a")),
            );
            assert!(!feeder.is_done() && route.int("acceptedBytes") > 0, "{route}");
            let one = route.destination(stuck_at);
            assert!(one.int("queuedBytes") <= one.int("highWatermark") + 256 * 1024, "{one}");
            let both: Vec<_> = both
                .into_iter()
                .map(|(mut reader, mut checker)| Background::run(move || reader.check_to_end(&mut checker)))
                .collect();
            let stuck = Background::run(move || stuck.check_to_end(&mut Checker::new(pattern)));
            drop(looks_until_done(&daemon, feeder));
            assert_eq!(stuck.done(), 3_000_000);
            both.into_iter().for_each(|one| assert_eq!(one.done(), 3_000_000));
            daemon.wait_for("route.a", "closed");
            daemon.finish();
        }
    }
}

/// In the middle of bulk: each ends with all that was accepted, and they are the same.
fn a_drain_gives_all_the_same() {
    for path in ["auto", "splice"] {
        let daemon = Daemon::start(&config(3, "", path, false));
        let pattern = Pattern::new(15);
        let readers: Vec<_> = open(&daemon, 3)
            .into_iter()
            .map(|reader| to_end(reader, pattern))
            .collect();
        let mut writer = FifoWriter::open(daemon.fifo("in"));
        writer.write_pattern(pattern, 2_000_000);
        // It goes on writing until nobody reads any more; what is in its pipe then was not accepted.
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let feeder = Background::run(move || {
            while stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
                let piece = pattern.bytes(writer.written(), 10_000);
                if writer.try_write(&piece).expect("a source that stays open") == 0 {
                    pause_briefly();
                }
            }
            writer
        });
        assert!(daemon.changes("DrainRoute", json!({ "name": "a", "timeoutUSec": 20_000_000 })));
        let route = daemon.wait_for("route.a", "closed");
        let accepted = route.int("acceptedBytes");
        assert!(accepted >= 1_900_000, "{route}");
        all_have(&route, accepted);
        for reader in readers {
            assert_eq!(reader.done(), accepted);
        }
        for destination in route.list("destinations") {
            assert_eq!(destination.text("closeCause"), "drained", "{destination}");
        }
        drop(stop);
        feeder.done();
        daemon.finish();
    }
}

fn paused_and_resumed_all_get_the_same() {
    for path in ["auto", "splice"] {
        let daemon = Daemon::start(&config(3, "", path, true));
        let (pattern, length) = (Pattern::new(16), 8_000_001);
        let readers: Vec<_> = open(&daemon, 3)
            .into_iter()
            .map(|reader| to_end(reader, pattern))
            .collect();
        let feeder = write_pieces(FifoWriter::open(daemon.fifo("in")), pattern, length);
        let mut changes = 0;
        while !feeder.is_done() && changes < 30 {
            assert!(daemon.changes("PauseRoute", json!({ "name": "a" })));
            let before = daemon.route("a");
            assert!(before.reasons().contains(&"operator".to_owned()), "{before}");
            assert_eq!(
                daemon.route("a").int("acceptedBytes"),
                before.int("acceptedBytes"),
                "paused"
            );
            assert!(daemon.changes("ResumeRoute", json!({ "name": "a" })));
            changes += 1;
        }
        drop(looks_until_done(&daemon, feeder));
        for reader in readers {
            assert_eq!(reader.done(), length);
        }
        all_have(&daemon.wait_for("route.a", "closed"), length);
        daemon.finish();
    }
}

/// Process substitution, `… | tee >(cmd) fifo`: a consumer's stdin is a pipe like any other.
fn a_consumer_beside_fifos() {
    let daemon = Daemon::start(
        r#"
        [process.c]
        command = [$PEER, "record $DIR/record"]

        [route.a]
        from = { fifo = "in", on-eof = "close" }
        to = ["fifo:out0", "process:c.stdin", "fifo:out1"]
        path = "splice"
        "#,
    );
    let (pattern, length) = (Pattern::new(17), 3_000_001);
    let readers: Vec<_> = open(&daemon, 2)
        .into_iter()
        .map(|reader| to_end(reader, pattern))
        .collect();
    drop(write_pieces(FifoWriter::open(daemon.fifo("in")), pattern, length).done());
    readers.into_iter().for_each(|reader| assert_eq!(reader.done(), length));
    all_have(&daemon.wait_for("route.a", "closed"), length);
    daemon.wait_for("process.c", "finished");
    let record = std::fs::read(daemon.file("record")).expect("the record");
    Checker::new(pattern).feed(&record);
    assert_eq!(record.len() as u64, length);
}

/// tee(2) is between pipes: with a file among them the route copies, and says so.
fn a_file_beside_fifos_goes_by_copy() {
    let daemon = Daemon::start(
        "[route.a]\nfrom = { fifo = \"in\", on-eof = \"close\" }\nto = [\"fifo:out0\", \"file:$DIR/copy\", \"fifo:out1\"]\n",
    );
    let (pattern, length) = (Pattern::new(18), 3_000_001);
    let readers: Vec<_> = open(&daemon, 2)
        .into_iter()
        .map(|reader| to_end(reader, pattern))
        .collect();
    let feeder = write(FifoWriter::open(daemon.fifo("in")), pattern, length);
    drop(looks_until_done(&daemon, feeder));
    readers.into_iter().for_each(|reader| assert_eq!(reader.done(), length));
    let route = daemon.wait_for("route.a", "closed");
    all_have(&route, length);
    assert_eq!(route.text("path"), "copy", "{route}");
    let copy = std::fs::read(daemon.file("copy")).expect("the copy");
    Checker::new(pattern).feed(&copy);
    assert_eq!(copy.len() as u64, length);
}

/// Writers one after the other: no end comes between them, and the stream is one.
fn writers_that_come_and_go() {
    for path in ["auto", "splice"] {
        let daemon = Daemon::start(&config(2, "", path, false));
        let pattern = Pattern::new(19);
        let mut readers = open(&daemon, 2);
        let mut checkers = [Checker::new(pattern); 2];
        let mut total = 0;
        for round in 0..40_u64 {
            let length = piece_size(round) as u64;
            let path = daemon.fifo("in");
            let begin = total;
            let writer = Background::run(move || {
                FifoWriter::open(path).write_all(&pattern.bytes(begin, length as usize));
            });
            total += length;
            for (reader, checker) in readers.iter_mut().zip(&mut checkers) {
                reader.check_up_to(checker, total);
            }
            writer.done();
        }
        all_have(&daemon.wait_accepted("a", total), total);
        daemon.finish();
    }
}

pub(crate) fn costs_nothing(daemon: &Daemon, what: &str) {
    let share = daemon.probe().cpu_share_over(Duration::from_millis(1500));
    assert!(
        share < 0.01,
        "{what}: {:.1} % of a core while nothing happens\n{}",
        share * 100.0,
        daemon.log()
    );
}

/// One stuck, with bytes waiting on both sides of it: nobody turns in a circle.
fn a_full_tee_costs_nothing() {
    for path in ["auto", "splice"] {
        let daemon = Daemon::start(&config(3, "", path, false));
        let pattern = Pattern::new(22);
        let mut readers = open(&daemon, 3);
        let mut checker = Checker::new(pattern);
        let mut writer = FifoWriter::open(daemon.fifo("in"));
        let total = writer.write_until(pattern, || {
            // The first is read, the second is not, nor the third.
            while let Taken::Bytes(piece) = readers[0].try_read(65_536) {
                checker.feed(&piece);
            }
            daemon.route("a").paused_only_for("backpressure")
        });
        costs_nothing(&daemon, "full");
        for (index, reader) in readers.iter_mut().enumerate() {
            let mut checker = if index == 0 { checker } else { Checker::new(pattern) };
            let upto = daemon.route("a").destination(index).int("bytes").min(30_000);
            let upto = upto.max(checker.offset());
            reader.check_up_to(&mut checker, upto);
        }
        drop(readers);
        daemon.wait_until("route.a", "without a reader", |route| {
            route.reasons().contains(&"no_reader".to_owned())
        });
        costs_nothing(&daemon, "full, and the readers have gone");
        assert!(total > 0);
        daemon.finish();
    }
}

/// pv's tests of -L: bursts of 1 byte, 1 KiB and 1 MiB; the same bytes come out everywhere, and are counted.
fn bursts_under_a_rate_reach_all() {
    for path in ["auto", "splice", "copy"] {
        let daemon = Daemon::start(&(config(3, "", path, true) + "rate-limit = \"8MiB/s\"\n"));
        let pattern = Pattern::new(25);
        let readers: Vec<_> = open(&daemon, 3)
            .into_iter()
            .map(|reader| to_end(reader, pattern))
            .collect();
        let mut writer = FifoWriter::open(daemon.fifo("in"));
        for burst in [1, 1024, 1 << 20, 1, 4097, 65_536, 1 << 20, 3] {
            writer = looks_until_done(&daemon, write(writer, pattern, burst));
            daemon.wait_accepted("a", writer.written());
        }
        let length = writer.written();
        drop(writer);
        for reader in readers {
            assert_eq!(reader.done(), length);
        }
        all_have(&daemon.wait_for("route.a", "closed"), length);
        daemon.finish();
    }
}

/// The rate is the route's, not each destination's: so many bytes take so long, less what 100 ms had saved.
fn no_faster_than_the_rate_to_all() {
    for path in ["auto", "splice"] {
        let daemon = Daemon::start(&(config(3, "", path, true) + "rate-limit = \"4MiB/s\"\n"));
        let (pattern, length) = (Pattern::new(23), 6 << 20);
        let readers: Vec<_> = open(&daemon, 3)
            .into_iter()
            .map(|reader| to_end(reader, pattern))
            .collect();
        let clock = Deadline::within(PATIENCE);
        drop(write(FifoWriter::open(daemon.fifo("in")), pattern, length).done());
        readers.into_iter().for_each(|reader| assert_eq!(reader.done(), length));
        let took = clock.elapsed().as_secs_f64();
        let least = 1.5 - 0.1;
        assert!(
            took >= least * 0.95,
            "{length} bytes in {took} s, {least} s at the least"
        );
        let cpu = daemon.probe().cpu_time().as_secs_f64();
        assert!(
            cpu < took / 2.0,
            "{cpu} s of processor time in {took} s: it does not wait, it spins"
        );
        daemon.finish();
    }
}
