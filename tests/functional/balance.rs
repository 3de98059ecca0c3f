//! `distribution = "balance"`: each record to one destination.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::support::{
    Background, Daemon, Deadline, FifoReader, FifoWriter, Numbered, PATIENCE, Shown, Taken, Tally, came_exactly_once,
    pause_briefly, runs, stories, until,
};

stories!(
    each_record_goes_to_one,
    ties_go_in_turn,
    the_least_queued_gets_the_next,
    a_frozen_worker_holds_no_other,
    a_reader_that_does_not_read_gets_no_more_than_its_watermark,
    one_that_ends_for_good_hands_over_what_it_had_not_begun,
    what_is_handed_over_waits_for_the_end_of_a_long_record,
    all_of_them_full_is_backpressure,
    nobody_there_is_no_reader,
    one_that_comes_gets_its_share,
    workers_that_are_down_are_no_reader,
    long_lines_stay_whole,
    parts_of_a_record_stay_together,
    a_last_line_without_its_end_goes_to_one,
    a_drain_hands_everything_out,
    an_abort_counts_the_record_that_it_gives_up,
    paused_and_resumed_nothing_is_lost,
    a_killed_worker_keeps_what_it_had_not_read,
    bursts_under_a_rate_arrive_whole,
);

const KIB: u64 = 1024;
const HIGH: u64 = 64 * KIB;
/// What is read at once.
const CHUNK: u64 = 64 * KIB;

/// A balance of FIFOs `w0` …, each with these settings.
fn config(workers: usize, settings: &str, route: &str) -> String {
    let to: Vec<String> = (0..workers)
        .map(|index| format!("{{ fifo = \"w{index}\"{settings} }}"))
        .collect();
    format!(
        "[daemon]\ndrain-timeout = \"2s\"\n[route.a]\nfrom = {{ fifo = \"in\", on-eof = \"close\" }}\n\
         to = [{}]\nframing = \"lines\"\ndistribution = \"balance\"\n{route}\n",
        to.join(", ")
    )
}

/// A pool of four that record what they get by splice(2).
const POOL: &str = r#"
    [process.w]
    command = ["sh", "-c", "exec \"$@\" \"record $DIR/record-$SLUICED_INSTANCE\"", "sh", $PEER]
    instances = 4
    restart-delay = "1ms"
    restart-delay-max = "1ms"

    [route.a]
    from = { fifo = "in", on-eof = "close" }
    to = "process:w.stdin"
    framing = "lines"
    distribution = "balance"
    "#;

fn readers(daemon: &Daemon, count: usize) -> Vec<FifoReader> {
    let readers: Vec<_> = (0..count)
        .map(|index| FifoReader::open(daemon.fifo(&format!("w{index}"))))
        .collect();
    daemon.wait_until("route.a", "open everywhere", |route| {
        route.list("destinations").iter().all(|one| one.state() == "open")
    });
    readers
}

/// In each look every destination is bounded; the law is checked by the look itself. With all of them full, what was
/// read already has to go somewhere: a chunk.
fn looks(daemon: &Daemon, longest: u64) -> Shown {
    let route = daemon.route("a");
    for destination in route.list("destinations") {
        let bound = destination.int("highWatermark") + CHUNK + longest;
        assert!(
            destination.int("queuedBytes") <= bound,
            "the queue is not bounded: {destination}"
        );
    }
    route
}

fn looks_until_done<T: Send + 'static>(daemon: &Daemon, work: Background<T>, longest: u64) -> T {
    while !work.is_done() {
        looks(daemon, longest);
    }
    work.done()
}

/// What the counters say of each destination is what came out of it.
fn counted(shape: Numbered, route: &Shown, parts: &[Vec<u64>]) {
    let total: u64 = parts.iter().map(|part| part.len() as u64).sum();
    assert_eq!(route.int("acceptedRecords"), total, "{route}");
    for (destination, part) in route.list("destinations").iter().zip(parts) {
        assert_eq!(destination.int("records"), part.len() as u64, "{destination}");
        assert_eq!(
            destination.int("bytes"),
            shape.length_of(part.iter().copied()),
            "{destination}"
        );
        assert_eq!(destination.int("droppedBytes"), 0, "{destination}");
    }
}

fn records_of_the_pool(daemon: &Daemon, shape: Numbered) -> Vec<Vec<u64>> {
    (1..=4)
        .map(|instance| {
            daemon.wait_for(&format!("process.w@{instance}"), "finished");
            shape.in_file(daemon.file(&format!("record-{instance}")))
        })
        .collect()
}

/// GNU parallel --round-robin --pipe: every record once, each worker's in order, whatever ends them.
fn each_record_goes_to_one() {
    for (framing, end) in [("lines", b'\n'), ("nul", 0)] {
        let config = config(4, "", "").replace("framing = \"lines\"", &format!("framing = \"{framing}\""));
        let daemon = Daemon::start(&config);
        let shape = Numbered::lines(8, 5000).ended_by(end);
        let (readers, count) = (readers(&daemon, 4), 4000);
        let parts: Vec<_> = readers
            .into_iter()
            .map(|reader| shape.to_end_in_background(reader))
            .collect();
        let mut writer = FifoWriter::open(daemon.fifo("in"));
        let feeder = Background::run(move || shape.write_cut(&mut writer, 0..count));
        looks_until_done(&daemon, feeder, 5000);
        let parts: Vec<_> = parts.into_iter().map(Background::done).collect();
        came_exactly_once(&parts, 0..count);
        for part in &parts {
            runs(part);
            assert!(!part.is_empty(), "one got nothing");
        }
        let route = daemon.wait_for("route.a", "closed");
        assert_eq!(route.text("distribution"), "balance");
        assert_eq!(route.int("acceptedBytes"), shape.length_of(0..count), "{route}");
        counted(shape, &route, &parts);
        daemon.finish();
    }
}

/// HAProxy leastconn: who has as little as others is served in turn.
fn ties_go_in_turn() {
    let daemon = Daemon::start(&config(4, "", ""));
    let shape = Numbered::lines(8, 100);
    let mut readers = readers(&daemon, 4);
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    let mut tallies: Vec<Tally> = (0..4).map(|_| Tally::new(shape)).collect();
    for number in 0..40 {
        shape.write(&mut writer, number..number + 1);
        daemon.wait_until("route.a", "at an empty queue", |route| {
            let written: u64 = route.list("destinations").iter().map(|one| one.int("bytes")).sum();
            written == shape.length_of(0..=number)
        });
    }
    for (index, (reader, tally)) in readers.iter_mut().zip(&mut tallies).enumerate() {
        tally.read_records(reader, 10);
        let first = tally.numbers()[0];
        let expected: Vec<u64> = (0..10).map(|round| first % 4 + round * 4).collect();
        assert_eq!(tally.numbers(), expected, "destination {index}");
    }
}

/// One that has something queued gets nothing while another has nothing.
fn the_least_queued_gets_the_next() {
    let daemon = Daemon::start(&config(2, "", ""));
    let shape = Numbered::lines(1000, 3000);
    let mut both = readers(&daemon, 2);
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    let mut reads = Tally::new(shape);
    let mut stuck_at = None;
    for number in 0..300 {
        shape.write(&mut writer, number..number + 1);
        let route = daemon.wait_accepted("a", shape.length_of(0..=number));
        // Only the second is read, and it has nothing queued at the next record.
        until(
            || {
                reads.take_what_is_there(&mut both[1]);
                (daemon.route("a").destination(1).int("queuedBytes") == 0).then_some(())
            },
            || "the one that is read is not written to".to_owned(),
        );
        let stuck = route.destination(0);
        let held = stuck.int("bytes") + stuck.int("queuedBytes");
        if let Some(before) = stuck_at {
            assert_eq!(held, before, "it got more while the other had nothing: {route}");
        } else if daemon.route("a").destination(0).int("queuedBytes") > 0 {
            stuck_at = Some(held);
        }
    }
    let held = stuck_at.expect("one that is full");
    assert!(held <= 64 * KIB + 2 * 3000, "{held} bytes went to who does not read");
    drop(writer);
    let first = shape.to_end_in_background(both.remove(0));
    reads.read_to_end(&mut both[0]);
    came_exactly_once(&[first.done(), reads.finish()], 0..300);
}

fn signal(daemon: &Daemon, process: &str, signal: Signal) {
    kill(Pid::from_raw(daemon.pid_of(process)), signal).expect("a worker to signal");
}

/// The acceptance of balance: one of four is SIGSTOPped; every record is worked once, the other three go on, and after
/// SIGCONT it takes part again.
fn a_frozen_worker_holds_no_other() {
    let daemon = Daemon::start(POOL);
    let shape = Numbered::lines(10, 3000);
    let writer = FifoWriter::open(daemon.fifo("in"));
    (1..=4).for_each(|instance| {
        daemon.wait_for(&format!("process.w@{instance}"), "ready");
    });
    let writer = looks_until_done(&daemon, shape.in_background(writer, 0..1000), 3000);
    signal(&daemon, "w@2", Signal::SIGSTOP);
    let writer = looks_until_done(&daemon, shape.in_background(writer, 1000..4000), 3000);
    daemon.wait_until("route.a", "done but for the frozen one", |route| {
        let queued = |index: usize| route.destination(index).int("queuedBytes");
        route.int("acceptedBytes") == shape.length_of(0..4000) && queued(0) + queued(2) + queued(3) == 0
    });
    let frozen = looks(&daemon, 3000).destination(1);
    let held = frozen.int("bytes") + frozen.int("queuedBytes");
    signal(&daemon, "w@2", Signal::SIGCONT);
    let writer = looks_until_done(&daemon, shape.in_background(writer, 4000..6000), 3000);
    daemon.wait_until("route.a", "shared with the one that was frozen", |route| {
        route.destination(1).int("bytes") > held
    });
    drop(writer);
    let route = daemon.wait_for("route.a", "closed");
    let parts = records_of_the_pool(&daemon, shape);
    came_exactly_once(&parts, 0..6000);
    parts.iter().for_each(|part| drop(runs(part)));
    counted(shape, &route, &parts);
}

/// The same with FIFOs: it gets its pipe and its queue full, the others all the rest.
fn a_reader_that_does_not_read_gets_no_more_than_its_watermark() {
    for settings in ["", ", high-watermark = \"8KiB\""] {
        let daemon = Daemon::start(&config(4, settings, ""));
        let shape = Numbered::lines(10, 3000);
        let mut all = readers(&daemon, 4);
        let mut stuck = all.remove(2);
        let others: Vec<_> = all
            .into_iter()
            .map(|reader| shape.to_end_in_background(reader))
            .collect();
        let writer = FifoWriter::open(daemon.fifo("in"));
        let writer = looks_until_done(&daemon, shape.in_background(writer, 0..4000), 3000);
        let route = daemon.wait_until("route.a", "done but for the stuck one", |route| {
            let queued = |index: usize| route.destination(index).int("queuedBytes");
            route.int("acceptedBytes") == shape.length_of(0..4000) && queued(0) + queued(1) + queued(3) == 0
        });
        let one = route.destination(2);
        let held = one.int("bytes") + one.int("queuedBytes");
        assert!(held <= 64 * KIB + one.int("highWatermark") + 3000, "{one}");
        drop(writer);
        let mut tally = Tally::new(shape);
        tally.read_to_end(&mut stuck);
        let mut parts: Vec<_> = others.into_iter().map(Background::done).collect();
        parts.insert(2, tally.finish());
        came_exactly_once(&parts, 0..4000);
        counted(shape, &daemon.wait_for("route.a", "closed"), &parts);
        daemon.finish();
    }
}

/// Its reader leaves for good: what it had not begun is the others'; the rest of a begun one is dropped and counted.
fn one_that_ends_for_good_hands_over_what_it_had_not_begun() {
    for max_record in ["64KiB", "1KiB"] {
        let daemon = Daemon::start(&config(
            2,
            ", when-gone = \"close\"",
            &format!("max-record = \"{max_record}\""),
        ));
        let shape = Numbered::lines(1000, 3000);
        let count = 300;
        let mut both = readers(&daemon, 2);
        let mut stays = both.remove(1);
        let feeder = shape.in_background(FifoWriter::open(daemon.fifo("in")), 0..count);
        let full = daemon.wait_until("route.a", "full", |route| route.paused_only_for("backpressure"));
        assert!(
            (0..2).all(|index| full.destination(index).int("queuedBytes") > 3000),
            "{full}"
        );
        drop(both);
        let route = daemon.wait_until("route.a", "rid of one", |route| {
            route.destination(0).state() == "closed"
        });
        let gone = route.destination(0);
        assert_eq!(
            (gone.text("closeCause"), gone.int("queuedBytes")),
            ("peer_gone", 0),
            "{gone}"
        );
        assert!(
            gone.int("droppedBytes") < 3000,
            "no more than the rest of one record: {gone}"
        );
        let mut tally = Tally::new(shape);
        let reading = Background::run(move || {
            tally.read_to_end(&mut stays);
            tally.finish()
        });
        drop(feeder.done());
        let numbers = reading.done();
        let end = daemon.wait_for("route.a", "closed");
        let mut sorted = numbers.clone();
        sorted.sort_unstable();
        assert!(runs(&sorted).len() <= 60 && sorted.len() == numbers.len(), "{sorted:?}");
        // What is missing went into the pipe of the one that is gone, or is the rest of a record that had.
        let missing = (0..count).filter(|number| sorted.binary_search(number).is_err());
        let gone = end.destination(0);
        assert_eq!(
            shape.length_of(missing),
            gone.int("bytes") + gone.int("droppedBytes"),
            "{gone}"
        );
        assert_eq!(end.destination(1).int("bytes"), shape.length_of(numbers), "{end}");
        daemon.finish();
    }
}

/// The only other one is in the middle of an over-long record: what is handed over comes behind it, and is not lost.
fn what_is_handed_over_waits_for_the_end_of_a_long_record() {
    let config = config(
        2,
        ", when-gone = \"close\", pipe-size = 4096",
        "max-record = 4096\nhigh-watermark = \"1MiB\"",
    );
    let config = config.replace(
        "from = { fifo = \"in\", on-eof = \"close\" }",
        "from = [{ fifo = \"in\", on-eof = \"close\" }, { fifo = \"long\", on-eof = \"close\" }]",
    );
    let daemon = Daemon::start(&config);
    let shape = Numbered::lines(1000, 2000);
    let count = 100;
    let mut both: Vec<Option<FifoReader>> = readers(&daemon, 2).into_iter().map(Some).collect();
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    shape.write(&mut writer, 0..count);
    let before = daemon.wait_accepted("a", shape.length_of(0..count));
    let mut long = FifoWriter::open(daemon.fifo("long"));
    long.write_all(&[b'x'; 40_000]);
    let tied = daemon.wait_accepted("a", shape.length_of(0..count) + 40_000);
    let queued = |route: &Shown, index| route.destination(index).int("queuedBytes");
    let stays = usize::from(queued(&tied, 1) > queued(&before, 1));
    let leaves = 1 - stays;
    assert!(queued(&tied, leaves) > 20_000, "{tied}");
    both[leaves] = None;
    let route = daemon.wait_until("route.a", "rid of one", |route| {
        route.destination(leaves).state() == "closed"
    });
    let gone = route.destination(leaves);
    assert!(
        gone.int("droppedBytes") < 2000 && gone.int("droppedRecords") <= 1,
        "{route}"
    );
    assert!(queued(&route, stays) > queued(&tied, stays) + 20_000, "{route}");
    drop(writer);
    long.write_all(b"x\n");
    drop(long);
    let all = both[stays].take().expect("the one that stays").read_to_end();
    let end = daemon.wait_for("route.a", "closed");
    let mut numbers = Tally::new(shape);
    for record in all.split_inclusive(|byte| *byte == b'\n') {
        if record.starts_with(b"xx") {
            assert_eq!(record.len(), 40_002, "the long one is whole");
        } else {
            numbers.feed(record);
        }
    }
    let numbers = numbers.finish();
    let sum = |what| -> u64 { (0..2).map(|index| end.destination(index).int(what)).sum() };
    assert_eq!(sum("records") + sum("droppedRecords"), count + 1, "{end}");
    assert_eq!(numbers.len() as u64 + 1, end.destination(stays).int("records"), "{end}");
    daemon.finish();
}

/// Nobody takes any more: the source is not read, and goes on when one takes again.
fn all_of_them_full_is_backpressure() {
    let daemon = Daemon::start(&config(3, "", ""));
    let shape = Numbered::lines(100, 2000);
    let count = 1500;
    let readers = readers(&daemon, 3);
    let feeder = shape.in_background(FifoWriter::open(daemon.fifo("in")), 0..count);
    let route = daemon.wait_until("route.a", "full", |route| route.paused_only_for("backpressure"));
    assert!(!route.source(0).flag("isReading"), "{route}");
    for destination in route.list("destinations") {
        assert!(
            (HIGH - 8 * KIB..=HIGH + CHUNK + 2000).contains(&destination.int("queuedBytes")),
            "{destination}"
        );
    }
    // One is enough for it to go on.
    let mut readers = readers.into_iter();
    let mut first = readers.next().expect("a reader");
    let mut tally = Tally::new(shape);
    let deadline = Deadline::within(PATIENCE);
    while !feeder.is_done() {
        tally.take_what_is_there(&mut first);
        looks(&daemon, 2000);
        assert!(!deadline.passed(), "one reader is not enough");
    }
    drop(feeder.done());
    let others: Vec<_> = readers.map(|reader| shape.to_end_in_background(reader)).collect();
    tally.read_to_end(&mut first);
    let mut parts = vec![tally.finish()];
    parts.extend(others.into_iter().map(Background::done));
    came_exactly_once(&parts, 0..count);
    counted(shape, &daemon.wait_for("route.a", "closed"), &parts);
}

/// A FIFO without reader is no destination to give a record to; with the first reader the route flows.
fn nobody_there_is_no_reader() {
    let daemon = Daemon::start(&(config(3, "", "") + Daemon::MARKER));
    let shape = Numbered::lines(100, 2000);
    daemon.wait_until("route.a", "without a reader", |route| {
        route.paused_only_for("no_reader")
    });
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    shape.write(&mut writer, 0..10);
    daemon.marker();
    assert_eq!(daemon.route("a").int("acceptedBytes"), 0);
    let mut reader = FifoReader::open(daemon.fifo("w1"));
    let feeder = shape.in_background(writer, 10..2000);
    let mut tally = Tally::new(shape);
    tally.read_records(&mut reader, 2000);
    let route = daemon.wait_until("route.a", "flowing", |route| route.state() == "flowing");
    for index in [0, 2] {
        let other = route.destination(index);
        assert_eq!(
            (other.state(), other.int("bytes") + other.int("queuedBytes")),
            ("waiting", 0),
            "{other}"
        );
    }
    assert_eq!(runs(&tally.finish()), vec![0..2000]);
    let writer = feeder.done();
    drop(reader);
    daemon.wait_until("route.a", "without a reader", |route| {
        route.paused_only_for("no_reader")
    });
    let rest = shape.to_end_in_background(FifoReader::open(daemon.fifo("w2")));
    drop(writer);
    assert_eq!(rest.done(), Vec::<u64>::new());
    daemon.wait_for("route.a", "closed");
}

/// Readers that come later take part; one that leaves leaves its part to its next reader.
fn one_that_comes_gets_its_share() {
    let daemon = Daemon::start(&config(2, "", ""));
    let shape = Numbered::lines(10, 1000);
    let mut first = FifoReader::open(daemon.fifo("w0"));
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    let (mut of_first, mut of_second) = (Tally::new(shape), Tally::new(shape));
    shape.write(&mut writer, 0..50);
    of_first.read_records(&mut first, 50);
    let mut second = FifoReader::open(daemon.fifo("w1"));
    daemon.wait_until("route.a", "open everywhere", |route| {
        route.destination(1).state() == "open"
    });
    let writer = shape.in_background(writer, 50..150).done();
    daemon.wait_accepted("a", shape.length_of(0..150));
    of_second.feed(&second.read_exact(3001));
    drop(second);
    daemon.wait_until("route.a", "waiting", |route| route.destination(1).state() == "waiting");
    let writer = shape.in_background(writer, 150..200).done();
    daemon.wait_accepted("a", shape.length_of(0..200));
    let mut second = FifoReader::open(daemon.fifo("w1"));
    daemon.wait_until("route.a", "open again", |route| route.destination(1).state() == "open");
    drop(writer);
    let beside = Background::run(move || {
        of_first.read_to_end(&mut first);
        of_first.finish()
    });
    of_second.read_to_end(&mut second);
    let of_second = of_second.finish();
    assert!(!of_second.is_empty());
    came_exactly_once(&[beside.done(), of_second], 0..200);
    daemon.wait_for("route.a", "closed");
}

/// keep-stdin = false, and all are stopped: nothing is read until one of them is back.
fn workers_that_are_down_are_no_reader() {
    let daemon = Daemon::start(&POOL.replace("instances = 4", "instances = 4\n keep-stdin = false"));
    let shape = Numbered::lines(10, 1000);
    daemon.wait_for("route.a", "flowing");
    assert!(daemon.changes("StopProcess", json!({ "name": "w" })));
    daemon.wait_until("route.a", "without a reader", |route| {
        route.paused_only_for("no_reader")
    });
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    shape.write(&mut writer, 0..20);
    assert_eq!(daemon.route("a").int("acceptedBytes"), 0);
    assert!(daemon.changes("StartProcess", json!({ "name": "w@3" })));
    let writer = shape.in_background(writer, 20..500).done();
    let length = shape.length_of(0..500);
    let route = daemon.wait_until("route.a", "done by the third", |route| {
        route.destination(2).int("bytes") == length
    });
    assert_eq!(route.state(), "flowing", "{route}");
    drop(writer);
    daemon.wait_for("process.w@3", "finished");
    came_exactly_once(&[shape.in_file(daemon.file("record-3"))], 0..500);
}

/// Lines of up to 200 KiB, several times what a pipe holds, to readers that take odd pieces.
fn long_lines_stay_whole() {
    stay_whole("256KiB", Numbered::lines(10, 200 * 1024), 160);
}

/// Records of more than max-record go in parts: all of them to the same destination, with no other's between them.
fn parts_of_a_record_stay_together() {
    stay_whole("4KiB", Numbered::lines(100, 60_000), 400);
}

fn stay_whole(max_record: &str, shape: Numbered, count: u64) {
    let daemon = Daemon::start(&config(
        4,
        ", pipe-size = \"16KiB\"",
        &format!("max-record = \"{max_record}\""),
    ));
    let parts: Vec<_> = readers(&daemon, 4)
        .into_iter()
        .zip([1000, 4096, 70_000, 65_537])
        .map(|(mut reader, limit)| {
            Background::run(move || {
                let mut tally = Tally::new(shape);
                loop {
                    match reader.read_some(limit) {
                        Taken::Bytes(piece) => tally.feed(&piece),
                        Taken::Nothing => pause_briefly(),
                        Taken::End => return tally.finish(),
                    }
                }
            })
        })
        .collect();
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    let feeder = Background::run(move || shape.write_cut(&mut writer, 0..count));
    looks_until_done(&daemon, feeder, shape.longest());
    let parts: Vec<_> = parts.into_iter().map(Background::done).collect();
    came_exactly_once(&parts, 0..count);
    parts.iter().for_each(|part| drop(runs(part)));
    let route = daemon.wait_for("route.a", "closed");
    for (destination, part) in route.list("destinations").iter().zip(&parts) {
        assert_eq!(
            destination.int("bytes"),
            shape.length_of(part.iter().copied()),
            "{destination}"
        );
    }
}

/// The last line has no newline: it is a record all the same, and nothing is added to it.
fn a_last_line_without_its_end_goes_to_one() {
    let daemon = Daemon::start(&config(3, "", ""));
    let readers: Vec<_> = readers(&daemon, 3)
        .into_iter()
        .map(|mut reader| Background::run(move || reader.read_to_end()))
        .collect();
    FifoWriter::open(daemon.fifo("in")).write_all(b"one\ntwo\nthe last");
    let mut all: Vec<Vec<u8>> = readers.into_iter().map(Background::done).collect();
    all.sort();
    assert_eq!(all, [b"one\n".to_vec(), b"the last".to_vec(), b"two\n".to_vec()]);
    let route = daemon.wait_for("route.a", "closed");
    assert_eq!(
        (route.int("acceptedBytes"), route.int("acceptedRecords")),
        (16, 3),
        "{route}"
    );
    assert_eq!(route.source(0).int("partialBytes"), 0, "{route}");
}

/// What was accepted when it was told to drain goes out, and every destination ends.
fn a_drain_hands_everything_out() {
    let daemon = Daemon::start(&config(3, "", ""));
    let shape = Numbered::lines(100, 2000);
    let readers = readers(&daemon, 3);
    // No more than two queues and the source's pipe hold, so that all of it is written before the drain.
    let writer = shape.in_background(FifoWriter::open(daemon.fifo("in")), 0..150).done();
    let mut client = daemon.client();
    client.send_call("DrainRoute", &json!({ "name": "a", "timeoutUSec": 20_000_000 }), &[]);
    let parts: Vec<_> = readers
        .into_iter()
        .map(|reader| shape.to_end_in_background(reader))
        .collect();
    let parts: Vec<_> = parts.into_iter().map(Background::done).collect();
    assert!(client.reply().expect("DrainRoute").flag("changed"));
    came_exactly_once(&parts, 0..150);
    let route = daemon.wait_for("route.a", "closed");
    counted(shape, &route, &parts);
    for destination in route.list("destinations") {
        assert_eq!(destination.text("closeCause"), "drained", "{destination}");
    }
    drop(writer);
}

fn paused_and_resumed_nothing_is_lost() {
    let daemon = Daemon::start(&config(3, "", ""));
    let shape = Numbered::lines(8, 3000);
    let count = 3000;
    let parts: Vec<_> = readers(&daemon, 3)
        .into_iter()
        .map(|reader| shape.to_end_in_background(reader))
        .collect();
    let feeder = shape.in_background(FifoWriter::open(daemon.fifo("in")), 0..count);
    for _ in 0..20 {
        assert!(daemon.changes("PauseRoute", json!({ "name": "a" })));
        let before = daemon.route("a");
        assert!(!before.source(0).flag("isReading"), "{before}");
        assert_eq!(looks(&daemon, 3000).int("acceptedBytes"), before.int("acceptedBytes"));
        assert!(daemon.changes("ResumeRoute", json!({ "name": "a" })));
    }
    drop(looks_until_done(&daemon, feeder, 3000));
    let parts: Vec<_> = parts.into_iter().map(Background::done).collect();
    came_exactly_once(&parts, 0..count);
    counted(shape, &daemon.wait_for("route.a", "closed"), &parts);
}

/// What was read of a line and went to nobody is dropped as a record of somebody.
fn an_abort_counts_the_record_that_it_gives_up() {
    let daemon = Daemon::start(&config(2, "", ""));
    let _readers = readers(&daemon, 2);
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    writer.write_all(b"half of a line");
    daemon.wait_until("route.a", "with a part", |route| {
        route.source(0).int("partialBytes") == 14
    });
    assert!(daemon.changes("DrainRoute", json!({ "name": "a", "timeoutUSec": 0 })));
    let route = daemon.wait_for("route.a", "closed");
    let dropped: u64 = route
        .list("destinations")
        .iter()
        .map(|one| one.int("droppedRecords"))
        .sum();
    assert_eq!((route.int("acceptedRecords"), dropped), (1, 1), "{route}");
}

/// SIGKILL of a worker, again and again: what it had not read is its successor's, and no record is worked twice.
fn a_killed_worker_keeps_what_it_had_not_read() {
    let daemon = Daemon::start(POOL);
    let shape = Numbered::lines(10, 3000);
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    for kills in 1..=15 {
        let begin = (kills - 1) * 200;
        let feeder = shape.in_background(writer, begin..begin + 200);
        // Frozen first, it has something left to read when it dies.
        let pid = Pid::from_raw(daemon.pid_of("w@2"));
        if kills % 2 == 0 {
            kill(pid, Signal::SIGSTOP).expect("a worker to freeze");
        }
        writer = looks_until_done(&daemon, feeder, 3000);
        kill(pid, Signal::SIGKILL).expect("a worker to kill");
        daemon.wait_until("process.w@2", "restarted", |process| {
            process.int("restarts") >= kills && process.state() == "ready"
        });
    }
    drop(writer);
    let route = daemon.wait_for("route.a", "closed");
    let parts = records_of_the_pool(&daemon, shape);
    came_exactly_once(&parts, 0..3000);
    parts.iter().for_each(|part| drop(runs(part)));
    counted(shape, &route, &parts);
}

/// Bursts of one small record, of a KiB and of a MiB, under a rate.
fn bursts_under_a_rate_arrive_whole() {
    let daemon = Daemon::start(&config(3, "", "rate-limit = \"8MiB/s\""));
    let shape = Numbered::lines(1024, 1024);
    let parts: Vec<_> = readers(&daemon, 3)
        .into_iter()
        .map(|reader| shape.to_end_in_background(reader))
        .collect();
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    let mut written = 0;
    for burst in [1, 1, 1024, 1, 64, 1024, 3] {
        writer = shape.in_background(writer, written..written + burst).done();
        written += burst;
        daemon.wait_accepted("a", written * KIB);
    }
    drop(writer);
    let parts: Vec<_> = parts.into_iter().map(Background::done).collect();
    came_exactly_once(&parts, 0..written);
    counted(shape, &daemon.wait_for("route.a", "closed"), &parts);
}
