//! `when-full = "drop-newest"` and `"drop-oldest"`: a destination that holds nobody back, and what it gives up.

use std::collections::BTreeSet;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::support::{
    Background, Daemon, Deadline, FifoReader, FifoWriter, Monitor, Numbered, PATIENCE, Pattern, Shown, Taken, Tally,
    pause_briefly, runs, scale, stories, until,
};

stories!(
    drop_newest_keeps_the_oldest,
    drop_oldest_keeps_the_newest,
    who_keeps_up_loses_nothing,
    two_stuck_of_thirteen,
    nobody_reads_it_yet,
    a_reader_that_comes_back_gets_whole_records,
    a_consumer_that_is_frozen_holds_nobody,
    a_consumer_that_is_stopped_holds_nobody,
    a_consumer_that_is_down_without_its_stdin_holds_nobody,
    a_long_record_is_cut_and_never_glued,
    an_endless_record_costs_no_memory,
    a_stuck_destination_costs_no_memory,
    a_pair_of_events_a_second,
    dropping_ends_with_its_destination,
    a_drain_counts_what_it_gives_up,
    a_blocking_destination_still_holds_the_route,
    a_file_gets_whole_records,
);

const KIB: u64 = 1024;
const PAGE: u64 = 4096;
const HIGH: u64 = 64 * KIB;
const POLICIES: [&str; 2] = ["drop-newest", "drop-oldest"];

fn destination(daemon: &Daemon, index: usize) -> Shown {
    daemon.route("a").destination(index)
}

fn is_dropping(route: &Shown, index: usize) -> bool {
    route.destination(index).int("droppedBytes") > 0
}

/// What must be true of a destination with a policy in any look: bounded, and it is no reason to pause.
fn is_bounded(destination: &Shown, longest: u64) {
    assert!(
        destination.int("queuedBytes") <= destination.int("highWatermark") + longest,
        "the queue is not bounded: {destination}"
    );
}

/// Looks at the route until a part of the story has ended; each look checks the law.
fn look_until_done<T: Send + 'static>(daemon: &Daemon, work: Background<T>, check: impl Fn(&Shown)) -> T {
    let mut looks = 0;
    while !work.is_done() || looks == 0 {
        check(&daemon.route("a"));
        looks += 1;
    }
    work.done()
}

// --- What is kept ---------------------------------------------------------------------------------------------------

/// A destination with a policy whose reader does not read. Records are pages, so that its pipe holds exactly so many,
/// and the queue after it, too.
struct Kept {
    daemon: Daemon,
    monitor: Monitor,
    reader: FifoReader,
    writer: FifoWriter,
    shape: Numbered,
    written: u64,
}

impl Kept {
    fn with(policy: &str, framing: &str) -> Kept {
        let daemon = Daemon::start(&format!(
            "[route.a]\nfrom = {{ fifo = \"in\", on-eof = \"close\" }}\nframing = \"{framing}\"\n\
             to = {{ fifo = \"out\", when-full = \"{policy}\" }}\n"
        ));
        let shape = Numbered::lines(PAGE as usize, PAGE as usize).ended_by(if framing == "nul" { 0 } else { b'\n' });
        let kept = Kept {
            monitor: daemon.monitor(),
            reader: FifoReader::open(daemon.fifo("out")),
            writer: FifoWriter::open(daemon.fifo("in")),
            daemon,
            shape,
            written: 0,
        };
        kept.daemon.wait_for("route.a", "flowing");
        kept
    }

    /// One after the other: each is a read of its own, and has gone as far as it can before the next.
    fn push_each(&mut self, count: u64) {
        for _ in 0..count {
            self.shape.write(&mut self.writer, self.written..self.written + 1);
            self.written += 1;
            let accepted = self.written * PAGE;
            let route = self.daemon.wait_accepted("a", accepted);
            assert_eq!(
                (route.state(), route.int("acceptedBytes")),
                ("flowing", accepted),
                "{route}"
            );
        }
    }

    fn push_at_once(&mut self, count: u64) {
        self.shape.write(&mut self.writer, self.written..self.written + count);
        self.written += count;
        self.daemon.wait_accepted("a", self.written * PAGE);
    }

    /// Reads it all and gives back what came, and how the destination was before that.
    fn read_all(mut self) -> (Shown, Vec<u64>, Shown, Monitor, u64) {
        let full = self.daemon.route("a");
        assert_eq!(full.state(), "flowing", "{full}");
        assert_eq!(self.monitor_count("dropping_started"), 1);
        drop(self.writer);
        let numbers = self.shape.to_end_in_background(self.reader).done();
        let end = self.daemon.wait_for("route.a", "closed");
        self.monitor.wait_for("route_closed", "route:a");
        self.daemon.finish();
        (
            full.destination(0),
            numbers,
            end.destination(0),
            self.monitor,
            self.written,
        )
    }

    fn monitor_count(&mut self, kind: &str) -> usize {
        let name = destination(&self.daemon, 0).text("name").to_owned();
        let subject = format!("route:a/{name}");
        self.monitor.wait_for(kind, &subject);
        self.monitor.count(kind, &subject)
    }
}

/// Counters, event and bytes tell the same.
fn tells_what_was_dropped(framing: &str, numbers: &[u64], end: &Shown, monitor: &mut Monitor, written: u64) {
    let dropped = written - numbers.len() as u64;
    assert_eq!(end.int("droppedBytes"), dropped * PAGE, "{end}");
    assert_eq!(end.int("bytes"), numbers.len() as u64 * PAGE, "{end}");
    let subject = format!("route:a/{}", end.text("name"));
    let event = monitor.wait_for("dropping_ended", &subject);
    assert_eq!(event.object("detail").int("bytes"), dropped * PAGE, "{event}");
    assert_eq!(monitor.count("dropping_started", &subject), 1, "{:?}", monitor.kinds());
    assert_eq!(monitor.count("dropping_ended", &subject), 1, "{:?}", monitor.kinds());
    if framing != "bytes" {
        assert_eq!(end.int("droppedRecords"), dropped, "{end}");
        assert_eq!(end.int("records"), numbers.len() as u64, "{end}");
        assert_eq!(event.object("detail").int("records"), dropped, "{event}");
    }
}

/// syslog-ng and Vector, `drop_newest`: what came first is kept; a record is accepted whenever the queue was not above
/// the high watermark before it.
fn drop_newest_keeps_the_oldest() {
    for framing in ["lines", "nul", "bytes"] {
        let mut kept = Kept::with("drop-newest", framing);
        kept.push_each(80);
        kept.push_at_once(400);
        let (full, numbers, end, mut monitor, written) = kept.read_all();
        let in_pipe = full.int("bytes") / PAGE;
        assert_eq!(
            full.int("queuedBytes"),
            HIGH + PAGE,
            "one record above high, and no more: {full}"
        );
        assert_eq!(runs(&numbers), vec![0..in_pipe + HIGH / PAGE + 1], "{framing}");
        tells_what_was_dropped(framing, &numbers, &end, &mut monitor, written);
    }
}

/// Fluent Bit and GStreamer's leaky queue, downstream: what came last is kept; what is in the pipe is not taken back.
fn drop_oldest_keeps_the_newest() {
    for framing in ["lines", "nul", "bytes"] {
        let mut kept = Kept::with("drop-oldest", framing);
        kept.push_each(80);
        kept.push_at_once(400);
        // Again one by one, so that chunks are as small as records.
        kept.push_each(40);
        let (full, numbers, end, mut monitor, written) = kept.read_all();
        let (in_pipe, queued) = (full.int("bytes") / PAGE, full.int("queuedBytes") / PAGE);
        assert!((HIGH / PAGE..=HIGH / PAGE + 1).contains(&queued), "it is full: {full}");
        assert_eq!(runs(&numbers), vec![0..in_pipe, written - queued..written], "{framing}");
        tells_what_was_dropped(framing, &numbers, &end, &mut monitor, written);
    }
}

/// Dropping is for who does not keep up: bursts of no more than the high watermark, each read before the next.
fn who_keeps_up_loses_nothing() {
    for policy in POLICIES {
        for framing in ["lines", "bytes"] {
            let daemon = Daemon::start(&format!(
                "[route.a]\nfrom = \"fifo:in\"\nto = \"fifo:out\"\nframing = \"{framing}\"\nwhen-full = \"{policy}\"\n"
            ));
            let shape = Numbered::lines(1000, 3000);
            let mut reader = FifoReader::open(daemon.fifo("out"));
            let mut writer = FifoWriter::open(daemon.fifo("in"));
            daemon.wait_for("route.a", "flowing");
            assert_eq!(destination(&daemon, 0).text("whenFull"), policy);
            let mut tally = Tally::new(shape);
            for burst in 0..100 {
                shape.write(&mut writer, burst * 20..(burst + 1) * 20);
                tally.read_records(&mut reader, (burst as usize + 1) * 20);
            }
            assert_eq!(runs(&tally.finish()), vec![0..2000]);
            assert_eq!(destination(&daemon, 0).int("droppedBytes"), 0);
            daemon.finish();
        }
    }
}

/// The acceptance of fan-out: thirteen destinations, two of them stuck, one with each policy; the others get all of it
/// meanwhile, and each is accounted for in every look.
fn two_stuck_of_thirteen() {
    for framing in ["lines", "bytes"] {
        thirteen(framing);
    }
}

fn thirteen(framing: &str) {
    let to: Vec<String> = (0..13)
        .map(|index| match index {
            0 => "{ fifo = \"out0\", when-full = \"drop-newest\" }".to_owned(),
            7 => "{ fifo = \"out7\", when-full = \"drop-oldest\" }".to_owned(),
            _ => format!("\"fifo:out{index}\""),
        })
        .collect();
    let daemon = Daemon::start(&format!(
        "[route.a]\nfrom = {{ fifo = \"in\", on-eof = \"close\" }}\nframing = \"{framing}\"\nto = [{}]\n",
        to.join(", ")
    ));
    let shape = Numbered::lines(10, 3000);
    let count = 3000 * scale();
    let length = shape.length_of(0..count);
    let open = |index: usize| FifoReader::open(daemon.fifo(&format!("out{index}")));
    let mut stuck = [open(0), open(7)];
    let others = (0..13).filter(|index| ![0, 7].contains(index));
    let others: Vec<_> = others.map(|index| fed(open(index), shape, length)).collect();
    daemon.wait_for("route.a", "flowing");
    let writer = shape.in_background(FifoWriter::open(daemon.fifo("in")), 0..count);
    let longest = if framing == "lines" { 3000 } else { 256 * KIB };
    let writer = look_until_done(&daemon, writer, |route| {
        [0, 7]
            .iter()
            .for_each(|&index| is_bounded(&route.destination(index), longest));
    });
    // The source's end has not come: each has all that there is, while two are stuck.
    let mut still_there = Vec::new();
    for other in others {
        let (reader, numbers) = look_until_done(&daemon, other, |_| {});
        assert_eq!(runs(&numbers), vec![0..count]);
        still_there.push(reader);
    }
    let route = daemon.wait_accepted("a", length);
    assert!(is_dropping(&route, 0) && is_dropping(&route, 7), "{route}");
    drop(writer);
    if framing == "lines" {
        let [newest, oldest] = &mut stuck;
        let (mut of_newest, mut of_oldest) = (Tally::new(shape), Tally::new(shape));
        read_both(&mut [(newest, &mut of_newest), (oldest, &mut of_oldest)]);
        kept_are_the_oldest(shape, &of_newest.finish());
        kept_are_the_newest(shape, &of_oldest.finish(), count);
    } else {
        // Whole chunks as they were read: pieces of the stream, wherever they were cut.
        for reader in &mut stuck {
            reader.read_to_end();
        }
    }
    let route = daemon.wait_for("route.a", "closed");
    if framing == "lines" {
        assert_eq!(route.int("acceptedRecords"), count);
        for index in [0, 7] {
            let one = route.destination(index);
            assert_eq!(one.int("records") + one.int("droppedRecords"), count, "{one}");
        }
    }
    daemon.finish();
}

/// A reader that has read so many bytes, and stays; and the records in them.
type Fed = (FifoReader, Vec<u64>);

fn fed(mut reader: FifoReader, shape: Numbered, length: u64) -> Background<Fed> {
    Background::run(move || {
        let mut tally = Tally::new(shape);
        while tally.bytes() < length {
            match reader.read_some(64 * 1024) {
                Taken::Bytes(piece) => tally.feed(&piece),
                Taken::Nothing => {}
                Taken::End => panic!("the end after {} of {length} bytes", tally.bytes()),
            }
        }
        (reader, tally.finish())
    })
}

/// Two readers to their ends, neither of them waiting for the other.
fn read_both(both: &mut [(&mut FifoReader, &mut Tally); 2]) {
    let deadline = Deadline::within(PATIENCE);
    let mut ended = BTreeSet::new();
    while ended.len() < 2 {
        for (index, (reader, tally)) in both.iter_mut().enumerate() {
            if tally.take_what_is_there(reader) {
                ended.insert(index);
            }
        }
        assert!(!deadline.passed(), "no end has come");
        pause_briefly();
    }
}

/// A pipe that was full may still take the end of a page: no more than that comes after the first gap.
fn kept_are_the_oldest(shape: Numbered, numbers: &[u64]) {
    let runs = runs(numbers);
    let first = runs.first().expect("records");
    assert_eq!(first.start, 0);
    assert!(shape.length_of(first.clone()) > HIGH, "{runs:?}");
    let after = shape.length_of(runs[1..].iter().cloned().flatten());
    assert!(
        after <= 2 * PAGE + shape.longest(),
        "{after} bytes were kept that came later: {runs:?}"
    );
}

/// What is in the pipe is the oldest; all that was in the queue is the newest.
fn kept_are_the_newest(shape: Numbered, numbers: &[u64], count: u64) {
    let runs = runs(numbers);
    let (first, last) = (runs.first().expect("records"), runs.last().expect("records"));
    assert_eq!((first.start, last.end), (0, count), "{runs:?}");
    let newest = shape.length_of(last.clone());
    assert!(
        newest > HIGH - 2 * shape.longest() - 2 * PAGE,
        "{newest} bytes of the newest: {runs:?}"
    );
    let between = runs.get(1..runs.len() - 1).unwrap_or_default();
    let between = shape.length_of(between.iter().cloned().flatten());
    assert!(
        between <= 2 * PAGE + shape.longest(),
        "{between} bytes of neither: {runs:?}"
    );
}

// --- Destinations that are not there --------------------------------------------------------------------------------

/// A FIFO without a reader: queued up to high, then dropped, and the others do not notice.
fn nobody_reads_it_yet() {
    for policy in POLICIES {
        let daemon = Daemon::start(&format!(
            "[route.a]\nfrom = {{ fifo = \"in\", on-eof = \"close\" }}\nframing = \"lines\"\n\
             to = [{{ fifo = \"late\", when-full = \"{policy}\" }}, \"fifo:out\"]\n"
        ));
        let shape = Numbered::lines(100, 2000);
        let count = 2000;
        let other = fed(FifoReader::open(daemon.fifo("out")), shape, shape.length_of(0..count));
        let writer = shape.in_background(FifoWriter::open(daemon.fifo("in")), 0..count);
        let writer = look_until_done(&daemon, writer, |route| is_bounded(&route.destination(0), 2000));
        let route = daemon.wait_accepted("a", shape.length_of(0..count));
        assert_eq!(
            (route.state(), route.destination(0).state()),
            ("flowing", "waiting"),
            "{route}"
        );
        assert!(is_dropping(&route, 0), "{route}");
        let late = FifoReader::open(daemon.fifo("late"));
        drop(writer);
        let kept = shape.to_end_in_background(late).done();
        let (_still_there, numbers_of_other) = other.done();
        assert_eq!(runs(&numbers_of_other), vec![0..count]);
        let bytes = shape.length_of(kept.iter().copied());
        assert!((HIGH - 2000..=HIGH + 2000).contains(&bytes), "{bytes} bytes were kept");
        let expected = match policy {
            "drop-newest" => 0..kept.len() as u64,
            _ => count - kept.len() as u64..count,
        };
        assert_eq!(runs(&kept), vec![expected], "{policy}");
        daemon.finish();
    }
}

/// Readers come and go, also in the middle of a record: together they read whole records, and nobody is held.
fn a_reader_that_comes_back_gets_whole_records() {
    for policy in POLICIES {
        let daemon = Daemon::start(&format!(
            "[route.a]\nfrom = {{ fifo = \"in\", on-eof = \"close\" }}\nframing = \"lines\"\n\
             to = [\"fifo:out\", {{ fifo = \"now-and-then\", when-full = \"{policy}\" }}]\n"
        ));
        let shape = Numbered::lines(100, 3000);
        let (rounds, each) = (10, 200);
        let count = rounds * each;
        let other = fed(FifoReader::open(daemon.fifo("out")), shape, shape.length_of(0..count));
        let mut writer = FifoWriter::open(daemon.fifo("in"));
        let mut tally = Tally::new(shape);
        for round in 0..rounds {
            let mut reader = FifoReader::open(daemon.fifo("now-and-then"));
            daemon.wait_until("route.a", "open", |route| route.destination(1).state() == "open");
            writer = shape.in_background(writer, round * each..(round + 1) * each).done();
            // It takes a piece that ends in the middle of a record, and leaves.
            tally.feed(&reader.read_exact(7001));
            drop(reader);
            daemon.wait_until("route.a", "waiting", |route| route.destination(1).state() == "waiting");
            daemon.wait_accepted("a", shape.length_of(0..(round + 1) * each));
        }
        let mut reader = FifoReader::open(daemon.fifo("now-and-then"));
        drop(writer);
        tally.read_to_end(&mut reader);
        let numbers = tally.finish();
        runs(&numbers);
        let (_still_there, numbers_of_other) = other.done();
        assert_eq!(runs(&numbers_of_other), vec![0..count]);
        let end = daemon.wait_for("route.a", "closed").destination(1);
        assert_eq!(end.int("records"), numbers.len() as u64, "{end}");
        assert_eq!(end.int("bytes"), shape.length_of(numbers), "{end}");
        assert!(end.int("droppedBytes") > 0, "{end}");
        daemon.finish();
    }
}

/// A consumer beside a FIFO; the story stops it, feeds, and lets it go on.
fn holds_nobody(keep_stdin: bool, stop: impl Fn(&Daemon), go_on: impl Fn(&Daemon)) {
    for policy in POLICIES {
        let daemon = Daemon::start(&format!(
            "[process.c]\ncommand = [$PEER, \"record $DIR/record\"]\nkeep-stdin = {keep_stdin}\n\
             [route.a]\nfrom = {{ fifo = \"in\", on-eof = \"close\" }}\nframing = \"lines\"\n\
             to = [{{ process = \"c.stdin\", when-full = \"{policy}\" }}, \"fifo:out\"]\n"
        ));
        let shape = Numbered::lines(100, 2000);
        let count = 2000;
        let other = fed(FifoReader::open(daemon.fifo("out")), shape, shape.length_of(0..count));
        daemon.wait_for("process.c", "ready");
        daemon.wait_for("route.a", "flowing");
        stop(&daemon);
        let writer = shape.in_background(FifoWriter::open(daemon.fifo("in")), 0..count);
        let writer = look_until_done(&daemon, writer, |route| is_bounded(&route.destination(0), 2000));
        let route = daemon.wait_accepted("a", shape.length_of(0..count));
        assert!(route.state() == "flowing" && is_dropping(&route, 0), "{route}");
        daemon.wait_until("route.a", "done with the other", |route| {
            route.destination(1).int("bytes") == shape.length_of(0..count)
        });
        go_on(&daemon);
        daemon.wait_until("route.a", "at an empty queue", |route| {
            route.destination(0).int("queuedBytes") == 0
        });
        drop(writer);
        let (_still_there, numbers_of_other) = other.done();
        assert_eq!(runs(&numbers_of_other), vec![0..count]);
        let end = daemon.wait_for("route.a", "closed").destination(0);
        daemon.wait_for("process.c", "finished");
        let numbers = shape.in_file(daemon.file("record"));
        match policy {
            "drop-newest" => kept_are_the_oldest(shape, &numbers),
            _ if keep_stdin => kept_are_the_newest(shape, &numbers, count),
            // Nothing was in a pipe.
            _ => assert_eq!(runs(&numbers), vec![count - numbers.len() as u64..count]),
        }
        assert_eq!(end.int("bytes"), shape.length_of(numbers), "{end}");
        daemon.finish();
    }
}

fn a_consumer_that_is_frozen_holds_nobody() {
    let signal = |daemon: &Daemon, signal| {
        kill(Pid::from_raw(daemon.pid_of("c")), signal).expect("a consumer to signal");
    };
    holds_nobody(
        true,
        |daemon| {
            signal(daemon, Signal::SIGSTOP);
            // On a busy machine it reads on until the signal has reached it.
            let stopped = (daemon.pid_of("c"), 'T');
            until(
                || daemon.probe().children().contains(&stopped).then_some(()),
                || "the consumer does not stop".to_owned(),
            );
        },
        |daemon| signal(daemon, Signal::SIGCONT),
    );
}

fn stop_it(daemon: &Daemon) {
    assert!(daemon.changes("StopProcess", json!({ "name": "c" })));
}

fn start_it(daemon: &Daemon) {
    assert!(daemon.changes("StartProcess", json!({ "name": "c" })));
}

fn a_consumer_that_is_stopped_holds_nobody() {
    holds_nobody(true, stop_it, start_it);
}

fn a_consumer_that_is_down_without_its_stdin_holds_nobody() {
    holds_nobody(false, stop_it, start_it);
}

// --- Records that are too long --------------------------------------------------------------------------------------

/// A record of more than max-record goes in parts, and parts are dropped: what is left of it keeps its end, so that no
/// other record is glued to it.
fn a_long_record_is_cut_and_never_glued() {
    for policy in POLICIES {
        let daemon = Daemon::start(&format!(
            "[route.a]\nfrom = {{ fifo = \"in\", on-eof = \"close\" }}\nframing = \"lines\"\nmax-record = \"4KiB\"\n\
             to = [{{ fifo = \"out\", when-full = \"{policy}\" }}, \"null\"]\n"
        ));
        let shape = Numbered::lines(100, 3000);
        let mut reader = FifoReader::open(daemon.fifo("out"));
        let mut writer = FifoWriter::open(daemon.fifo("in"));
        daemon.wait_for("route.a", "flowing");
        let long = [vec![b'L'; 500_000], vec![b'\n']].concat();
        let (rounds, each) = (12, 100);
        let mut arrived = Vec::new();
        let mut written = 0;
        for round in 0..rounds {
            // It begins now on an empty pipe, now on a full one, and is read a piece of now and then.
            if round % 3 == 0 {
                while let Taken::Bytes(piece) = reader.try_read(65536) {
                    arrived.extend(piece);
                }
            } else if let Taken::Bytes(piece) = reader.try_read(30_011) {
                arrived.extend(piece);
            }
            writer = Background::run({
                let long = long.clone();
                move || {
                    writer.write_all(&long);
                    shape.write(&mut writer, round * each..(round + 1) * each);
                    writer
                }
            })
            .done();
            written += long.len() as u64 + shape.length_of(round * each..(round + 1) * each);
            let route = daemon.wait_accepted("a", written);
            assert_eq!(route.state(), "flowing", "{route}");
            // One part above high, and the end of one that was cut.
            is_bounded(&route.destination(0), 4 * KIB + 1);
        }
        // Once there is room, what follows a cut one arrives, and is not glued to it.
        until(
            || {
                while let Taken::Bytes(piece) = reader.try_read(65536) {
                    arrived.extend(piece);
                }
                (daemon.route("a").destination(0).int("queuedBytes") == 0).then_some(())
            },
            || "the queue is not written out".to_owned(),
        );
        shape.write(&mut writer, rounds * each..rounds * each + 1);
        written += shape.length_of(rounds * each..rounds * each + 1);
        daemon.wait_accepted("a", written);
        drop(writer);
        arrived.extend(reader.read_to_end());
        let (numbers, cut) = taken_apart(shape, &arrived);
        runs(&numbers);
        assert!(
            cut > 0 && !numbers.is_empty(),
            "{cut} long ones, {} short ones",
            numbers.len()
        );
        let route = daemon.wait_for("route.a", "closed");
        assert_eq!(route.destination(0).int("bytes"), arrived.len() as u64);
        assert_eq!(route.destination(1).int("bytes"), written);
        daemon.finish();
    }
}

/// Numbers of the short records, and how many long ones came, whole or cut; panics at a line that is partly both.
fn taken_apart(shape: Numbered, arrived: &[u8]) -> (Vec<u64>, usize) {
    assert_eq!(arrived.last(), Some(&b'\n'), "the last line has its end");
    let mut tally = Tally::new(shape);
    let mut cut = 0;
    for line in arrived.split_inclusive(|byte| *byte == b'\n') {
        if line.starts_with(b"L") {
            let other = line[..line.len() - 1].iter().position(|byte| *byte != b'L');
            assert_eq!(
                other,
                None,
                "a record is glued to the {} bytes that are left of a long one",
                line.len()
            );
            assert!(line.len() <= 500_001, "two long ones are glued");
            cut += 1;
        } else {
            tally.feed(line);
        }
    }
    (tally.finish(), cut)
}

/// A source that writes no newline at all.
fn an_endless_record_costs_no_memory() {
    for policy in POLICIES {
        let (daemon, _stuck, writer) = stuck(policy, "lines");
        let feeder = Background::run(move || {
            let mut writer = writer;
            let piece = [b'x'; 65536];
            (0..512 * scale()).for_each(|_| writer.write_all(&piece));
            writer
        });
        memory_is_flat(&daemon, feeder);
        daemon.finish();
    }
}

// --- Memory ---------------------------------------------------------------------------------------------------------

fn stuck(policy: &str, framing: &str) -> (Daemon, FifoReader, FifoWriter) {
    let daemon = Daemon::start(&format!(
        "[daemon]\ndrain-timeout = \"200ms\"\n[route.a]\nfrom = \"fifo:in\"\nframing = \"{framing}\"\n\
         to = {{ fifo = \"out\", when-full = \"{policy}\" }}\n"
    ));
    let reader = FifoReader::open(daemon.fifo("out"));
    let writer = FifoWriter::open(daemon.fifo("in"));
    daemon.wait_for("route.a", "flowing");
    (daemon, reader, writer)
}

/// Once the first megabytes have gone through, it does not grow any more.
fn memory_is_flat(daemon: &Daemon, feeder: Background<FifoWriter>) {
    const SETTLED: u64 = 4 << 20;
    const SLACK: u64 = 4 << 20;
    let read = || daemon.route("a").source(0).int("bytes");
    until(
        || (read() >= SETTLED || feeder.is_done()).then_some(()),
        || "too little was read".to_owned(),
    );
    let before = daemon.probe().resident();
    assert!(before > 0);
    while !feeder.is_done() {
        let now = daemon.probe().resident();
        assert!(
            now < before + SLACK,
            "{before} bytes of memory, {now} after {} bytes",
            read()
        );
    }
    let _writer = feeder.done();
    let now = daemon.probe().resident();
    assert!(now < before + SLACK, "{before} bytes of memory, and {now} at the end");
}

/// The issue's words: a stuck destination of each policy with a source at full speed, resident memory flat.
fn a_stuck_destination_costs_no_memory() {
    for policy in POLICIES {
        for (framing, piece, pieces) in [("lines", 1000, 512), ("lines", 12, 192), ("bytes", 1000, 512)] {
            let (daemon, _stuck, mut writer) = stuck(policy, framing);
            let shape = Numbered::lines(piece, piece);
            let feeder = Background::run(move || {
                // The same records again and again: making new ones is no part of it.
                let mut records = Vec::new();
                (0..65_536 / piece as u64).for_each(|number| records.extend(shape.record(number)));
                (0..pieces * scale()).for_each(|_| writer.write_all(&records));
                writer
            });
            memory_is_flat(&daemon, feeder);
            let route = daemon.route("a");
            assert!(is_dropping(&route, 0) && route.state() == "flowing", "{route}");
            is_bounded(&route.destination(0), 256 * KIB);
            daemon.finish();
        }
    }
    // The policy that drops nothing: its source is not read.
    let (daemon, _stuck, mut writer) = stuck("block", "lines");
    writer.write_until(Pattern::new(1), || daemon.route("a").paused_only_for("backpressure"));
    let before = daemon.probe().resident();
    (0..200).for_each(|_| is_bounded(&destination(&daemon, 0), 64 * KIB + 1));
    assert!(daemon.probe().resident() < before + (2 << 20));
}

// --- What is told ---------------------------------------------------------------------------------------------------

/// Dropping begins and ends many times a second: each destination tells a pair a second, and they come in turn.
fn a_pair_of_events_a_second() {
    for policy in POLICIES {
        let daemon = Daemon::start(&format!(
            "[route.a]\nfrom = {{ fifo = \"in\", on-eof = \"close\" }}\nframing = \"lines\"\n\
             to = {{ fifo = \"out\", when-full = \"{policy}\" }}\n"
        ));
        let mut monitor = daemon.monitor();
        let mut reader = FifoReader::open(daemon.fifo("out"));
        let mut writer = FifoWriter::open(daemon.fifo("in"));
        daemon.wait_for("route.a", "flowing");
        let clock = Deadline::within(PATIENCE);
        let shape = Numbered::lines(1000, 1000);
        let mut tally = Tally::new(shape);
        let mut dropped = 0;
        for round in 0..30 {
            writer = shape.in_background(writer, round * 400..(round + 1) * 400).done();
            daemon.wait_accepted("a", (round + 1) * 400_000);
            until(
                || {
                    tally.take_what_is_there(&mut reader);
                    (destination(&daemon, 0).int("queuedBytes") == 0).then_some(())
                },
                || "the queue is not written out".to_owned(),
            );
            let now = destination(&daemon, 0).int("droppedBytes");
            assert!(now > dropped, "400,000 bytes go into no pipe and queue");
            dropped = now;
        }
        drop(writer);
        tally.read_to_end(&mut reader);
        runs(&tally.finish());
        let name = daemon
            .wait_for("route.a", "closed")
            .destination(0)
            .text("name")
            .to_owned();
        let subject = format!("route:a/{name}");
        monitor.wait_for("route_closed", "route:a");
        let seconds = clock.elapsed().as_secs() as usize;
        let (started, ended) = (
            monitor.count("dropping_started", &subject),
            monitor.count("dropping_ended", &subject),
        );
        assert!(
            started == ended && (1..=seconds + 2).contains(&started),
            "{started}, {ended} in {seconds} s"
        );
        let order: Vec<String> = monitor
            .kinds()
            .into_iter()
            .filter(|kind| kind.starts_with("dropping"))
            .collect();
        for pair in order.chunks(2) {
            assert!(
                pair[0].starts_with("dropping_started") && pair[1].starts_with("dropping_ended"),
                "{order:?}"
            );
        }
        daemon.finish();
    }
}

/// Its reader leaves for good, or the route is aborted, while it drops: the pair is complete, and before the end.
fn dropping_ends_with_its_destination() {
    for policy in POLICIES {
        for by_abort in [false, true] {
            let daemon = Daemon::start(&format!(
                "[route.a]\nfrom = \"fifo:in\"\nframing = \"lines\"\n\
                 to = {{ fifo = \"out\", when-full = \"{policy}\", when-gone = \"close\" }}\n"
            ));
            let mut monitor = daemon.monitor();
            let reader = FifoReader::open(daemon.fifo("out"));
            let shape = Numbered::lines(1000, 1000);
            let writer = shape.in_background(FifoWriter::open(daemon.fifo("in")), 0..1000).done();
            let route = daemon.wait_until("route.a", "dropping", |route| is_dropping(route, 0));
            let subject = format!("route:a/{}", route.destination(0).text("name"));
            if by_abort {
                assert!(daemon.changes("DrainRoute", json!({ "name": "a", "timeoutUSec": 0 })));
            }
            drop(reader);
            let end = daemon.wait_for("route.a", "closed").destination(0);
            let cause = if by_abort { "aborted" } else { "peer_gone" };
            assert_eq!(end.text("closeCause"), cause, "{end}");
            monitor.wait_for("route_closed", "route:a");
            let told = monitor.wait_for("dropping_ended", &subject).object("detail");
            assert!((1..=end.int("droppedBytes")).contains(&told.int("bytes")), "{told}");
            let closed = monitor.wait_for("endpoint_closed", &subject).object("detail");
            assert_eq!(closed.int("droppedBytes"), end.int("droppedBytes"), "{closed}");
            for kind in ["dropping_started", "dropping_ended", "endpoint_closed"] {
                assert_eq!(monitor.count(kind, &subject), 1, "{kind}: {:?}", monitor.kinds());
            }
            drop(writer);
            daemon.finish();
        }
    }
}

/// A drain writes out what is queued, or gives it up at its deadline; either way nothing is unaccounted for.
fn a_drain_counts_what_it_gives_up() {
    for policy in POLICIES {
        for reads in [false, true] {
            let daemon = Daemon::start(&format!(
                "[route.a]\nfrom = \"fifo:in\"\nframing = \"lines\"\nwhen-full = \"{policy}\"\n\
                 to = [\"fifo:out\", {{ fifo = \"other\" }}]\n"
            ));
            let shape = Numbered::lines(100, 2000);
            let mut reader = FifoReader::open(daemon.fifo("out"));
            let _stuck = FifoReader::open(daemon.fifo("other"));
            daemon.wait_for("route.a", "flowing");
            let _writer = shape.in_background(FifoWriter::open(daemon.fifo("in")), 0..1000).done();
            let length = shape.length_of(0..1000);
            let timeout = if reads { 2_000_000 } else { 200_000 };
            let mut client = daemon.client();
            client.send_call("DrainRoute", &json!({ "name": "a", "timeoutUSec": timeout }), &[]);
            let numbers = reads.then(|| {
                let mut tally = Tally::new(shape);
                tally.read_to_end(&mut reader);
                tally.finish()
            });
            let route = daemon.wait_for("route.a", "closed");
            assert_eq!(route.int("acceptedBytes"), length, "{route}");
            let (one, other) = (route.destination(0), route.destination(1));
            assert_eq!(other.text("closeCause"), "drain_timeout", "{other}");
            assert_eq!(
                one.text("closeCause"),
                if reads { "drained" } else { "drain_timeout" },
                "{one}"
            );
            for destination in [&one, &other] {
                assert_eq!(
                    destination.int("bytes") + destination.int("droppedBytes"),
                    length,
                    "{destination}"
                );
            }
            if let Some(numbers) = numbers {
                runs(&numbers);
                assert_eq!(one.int("bytes"), shape.length_of(numbers), "{one}");
            }
            drop(client);
            daemon.finish();
        }
    }
}

/// Policies are each destination's own: what one drops, another waits for.
fn a_blocking_destination_still_holds_the_route() {
    let daemon = Daemon::start(
        r#"
        [route.a]
        from = { fifo = "in", on-eof = "close" }
        to = [{ fifo = "drops" }, { fifo = "blocks", when-full = "block", high-watermark = "16KiB" }]
        framing = "lines"
        when-full = "drop-oldest"
        "#,
    );
    let shape = Numbered::lines(500, 1500);
    let count = 3000;
    let drops = FifoReader::open(daemon.fifo("drops"));
    let mut blocks = FifoReader::open(daemon.fifo("blocks"));
    let feeder = shape.in_background(FifoWriter::open(daemon.fifo("in")), 0..count);
    let route = daemon.wait_until("route.a", "full", |route| route.paused_only_for("backpressure"));
    assert_eq!(route.destination(0).text("whenFull"), "drop-oldest");
    assert_eq!(route.destination(1).text("whenFull"), "block");
    // One drops in the shadow of the other, which reads slowly.
    let mut tally = Tally::new(shape);
    while tally.bytes() < shape.length_of(0..count) {
        let missing = shape.length_of(0..count) - tally.bytes();
        tally.feed(&blocks.read_exact(missing.min(50_000) as usize));
        daemon.route("a");
    }
    drop(feeder.done());
    let numbers = shape.to_end_in_background(drops).done();
    assert_eq!(runs(&tally.finish()), vec![0..count]);
    kept_are_the_newest(shape, &numbers, count);
    assert_eq!(
        daemon.wait_for("route.a", "closed").destination(1).int("droppedBytes"),
        0
    );
}

/// A file has a queue, too; whatever of it is dropped, lines in it are whole.
fn a_file_gets_whole_records() {
    for policy in POLICIES {
        let daemon = Daemon::start(&format!(
            "[route.a]\nfrom = {{ fifo = \"in\", on-eof = \"close\" }}\nframing = \"lines\"\n\
             to = [{{ file = \"$DIR/kept\", when-full = \"{policy}\", high-watermark = \"8KiB\" }}, \"fifo:out\"]\n"
        ));
        let shape = Numbered::lines(8, 5000);
        let count = 4000;
        let other = fed(FifoReader::open(daemon.fifo("out")), shape, shape.length_of(0..count));
        let feeder = shape.in_background(FifoWriter::open(daemon.fifo("in")), 0..count);
        drop(look_until_done(&daemon, feeder, |route| {
            is_bounded(&route.destination(0), 64 * KIB);
        }));
        let (_still_there, numbers_of_other) = other.done();
        assert_eq!(runs(&numbers_of_other), vec![0..count]);
        let end = daemon.wait_for("route.a", "closed").destination(0);
        let numbers = shape.in_file(daemon.file("kept"));
        runs(&numbers);
        assert_eq!(end.int("records"), numbers.len() as u64, "{end}");
        assert_eq!(end.int("droppedRecords"), count - numbers.len() as u64, "{end}");
        assert_eq!(end.int("bytes"), shape.length_of(numbers), "{end}");
        daemon.finish();
    }
}
