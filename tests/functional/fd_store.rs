//! SIGKILL of the daemon and everything beneath it, while the service manager keeps its pipes: with `path = "splice"` nothing
//! is lost and nothing doubled. docs/design/0014.

use std::rc::Rc;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::support::{
    Background, Checker, Daemon, Dice, FifoReader, FifoWriter, Life, Manager, Pattern, Place, check_lives, let_pass,
    scale, stories, try_lives,
};

stories!(
    the_checker_of_lives_says_what_is_lost_or_doubled,
    what_the_peer_produces_is_what_it_notes,
    from_process_to_process,
    from_process_to_three,
    from_fifo_to_fifo,
    from_fifo_to_three_fifos,
    killed_in_an_upgrade_and_after_it,
    killed_again_before_it_is_ready,
);

/// The harness against itself: without a gap, in order, each at least as long as it is noted.
fn the_checker_of_lives_says_what_is_lost_or_doubled() {
    let life = |number, noted| Life { number, noted };
    let of = |number: u64, length: usize| Pattern::new(number).bytes(0, length);
    let lives = [life(1, 900), life(2, 0), life(3, 3), life(4, 0), life(5, 70_000)];
    let whole = |lengths: [usize; 5]| {
        (1..)
            .zip(lengths)
            .flat_map(|(number, length)| of(number, length))
            .collect()
    };
    for lengths in [
        [900, 0, 3, 0, 70_000],
        [1000, 5, 3, 1, 70_001],
        [100_000, 100_000, 7, 100_000, 100_000],
    ] {
        let stream: Vec<u8> = whole(lengths);
        let found = try_lives(&stream, &lives).unwrap_or_else(|fault| panic!("{lengths:?}: {fault}"));
        assert_eq!(found.iter().sum::<u64>(), stream.len() as u64);
    }
    let good: Vec<u8> = whole([1000, 0, 50, 0, 80_000]);
    let cut = |from: usize, upto: usize| [&good[..from], &good[upto..]].concat();
    let doubled = |from: usize, upto: usize| [&good[..upto], &good[from..]].concat();
    for bad in [
        whole([899, 0, 3, 0, 70_000]),
        whole([900, 0, 3, 0, 69_999]),
        whole([900, 0, 0, 0, 70_000]),
        cut(10, 11),
        cut(40_000, 41_000),
        doubled(500, 501),
        doubled(40_000, 41_000),
        [of(1, 900), of(5, 70_000), of(3, 3)].concat(),
        [&good[..], b"foreign"].concat(),
    ] {
        assert!(try_lives(&bad, &lives).is_err(), "{} bytes", bad.len());
    }
}

fn what_the_peer_produces_is_what_it_notes() {
    let daemon = Daemon::start(
        "[process.p]\ncommand = [$PEER, \"produce $DIR/life\"]\nrestart-delay = \"1ms\"\n\
         [process.c]\ncommand = [$PEER, \"record-slowly $DIR/record 30000 1\"]\n\
         [route.a]\nfrom = \"process:p.stdout\"\nto = \"process:c.stdin\"\n",
    );
    for restarts in 1..=4 {
        let before = daemon.route("a").int("acceptedBytes");
        daemon.wait_accepted("a", before + 100_000);
        kill(Pid::from_raw(daemon.pid_of("p")), Signal::SIGKILL).expect("a producer to kill");
        daemon.wait_until("process.p", "restarted", |process| process.int("restarts") == restarts);
    }
    daemon.signal(Signal::SIGTERM);
    let place = Rc::clone(daemon.shared_place());
    daemon.expect_end_then(0, || {
        let lives = Life::all(place.file("life"));
        assert!(lives.len() >= 4, "{lives:?}");
        check_lives(&read(&place, "record"), &lives);
    });
}

fn kills() -> u64 {
    6 * scale()
}

/// Lets it work for a while, kills it and everything beneath it, and begins its next life; so many times.
fn die(manager: &Manager, mut daemon: Daemon, seed: u64) -> Daemon {
    let mut dice = Dice::new(seed);
    for _ in 0..kills() {
        let_pass(Duration::from_millis(dice.below(150)));
        let place = manager.kill_all(daemon);
        daemon = manager.restart(place);
    }
    daemon
}

/// An orderly end, after which nothing is stored any more; and a last look at what is in its directory.
pub(crate) fn end(manager: &Manager, daemon: Daemon, look: impl FnOnce(&Place)) {
    daemon.routes();
    daemon.signal(Signal::SIGTERM);
    let place = Rc::clone(daemon.shared_place());
    daemon.expect_end_then(0, || look(&place));
    manager.wait("empty", |manager| manager.stored().is_empty());
}

pub(crate) fn read(place: &Place, name: &str) -> Vec<u8> {
    std::fs::read(place.file(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// A producer that never stops, a consumer that is slower: both pipes are full at each death.
fn from_process_to_process() {
    let manager = Manager::new();
    let daemon = manager.start(
        r#"
        [daemon]
        drain-timeout = "20s"

        [process.producer]
        command = [$PEER, "produce $DIR/life"]

        [process.consumer]
        command = [$PEER, "record-slowly $DIR/record 20000 2"]

        [route.a]
        from = "process:producer.stdout"
        to = "process:consumer.stdin"
        path = "splice"
        "#,
    );
    let daemon = die(&manager, daemon, 101);
    assert_eq!(daemon.life(), kills() + 1);
    end(&manager, daemon, |place| {
        let lives = Life::all(place.file("life"));
        assert!(lives.len() as u64 > kills() / 2, "{lives:?}");
        check_lives(&read(place, "record"), &lives);
    });
}

/// A round that was cut is over or never was: nobody has more of it than another.
fn from_process_to_three() {
    let manager = Manager::new();
    let daemon = manager.start(
        r#"
        [daemon]
        drain-timeout = "20s"

        [process.producer]
        command = [$PEER, "produce $DIR/life"]

        [process.slow]
        command = [$PEER, "record-slowly $DIR/record-slow 20000 2"]

        [process.fast]
        command = [$PEER, "record $DIR/record-fast"]

        [route.a]
        from = "process:producer.stdout"
        to = ["process:slow.stdin", "process:fast.stdin", "fifo:out"]
        path = "splice"
        "#,
    );
    let mut reader = FifoReader::open(daemon.fifo("out"));
    let reading = Background::run(move || reader.read_to_end());
    let daemon = die(&manager, daemon, 102);
    end(&manager, daemon, |place| {
        let out = reading.done();
        check_lives(&out, &Life::all(place.file("life")));
        for name in ["record-slow", "record-fast"] {
            let other = read(place, name);
            let at = out.iter().zip(&other).position(|(one, other)| one != other);
            assert!(
                out == other,
                "{name}: {} bytes of {}, apart at {at:?}",
                other.len(),
                out.len()
            );
        }
    });
}

/// Peers that live on: they write and read the same stream through all lives.
fn fifo_to(count: usize, seed: u64) {
    let to: Vec<String> = (0..count).map(|index| format!("\"fifo:out{index}\"")).collect();
    let manager = Manager::new();
    let daemon = manager.start(&format!(
        "[route.a]\nfrom = \"fifo:in\"\nto = [{}]\npath = \"splice\"\nrate-limit = \"4MiB/s\"\n",
        to.join(", ")
    ));
    let (pattern, length) = (Pattern::new(seed), kills() * 500_000);
    let readers: Vec<_> = (0..count)
        .map(|index| FifoReader::in_background(daemon.fifo(&format!("out{index}")), pattern, length))
        .collect();
    let writing = FifoWriter::in_background(daemon.fifo("in"), pattern, length);
    let daemon = die(&manager, daemon, seed);
    // Whoever gets what it should not leaves, and then the writer gets nowhere: the cause first.
    readers.into_iter().for_each(Background::done);
    writing.done();
    end(&manager, daemon, |_| ());
}

fn from_fifo_to_fifo() {
    fifo_to(1, 103);
}

fn from_fifo_to_three_fifos() {
    fifo_to(3, 104);
}

/// What goes over the execve(2) is in the store as well, at every moment of it.
fn killed_in_an_upgrade_and_after_it() {
    let manager = Manager::new();
    let mut daemon = manager.start(
        "[route.a]\nfrom = \"fifo:in\"\nto = [\"fifo:out\", \"fifo:two\"]\npath = \"splice\"\nrate-limit = \"4MiB/s\"\n",
    );
    let (pattern, length) = (Pattern::new(106), kills() * 500_000);
    let readers = ["out", "two"].map(|name| FifoReader::in_background(daemon.fifo(name), pattern, length));
    let writing = FifoWriter::in_background(daemon.fifo("in"), pattern, length);
    let mut dice = Dice::new(106);
    for round in 0..2 * kills() {
        let mut client = daemon.client();
        client.send_call("Upgrade", &json!({}), &[]);
        // Somewhere within it, or when the next life has worked for a while.
        if round % 3 == 0 {
            client.reply().expect("Upgrade");
        }
        let_pass(Duration::from_millis(dice.below(90)));
        let place = manager.kill_all(daemon);
        daemon = manager.restart(place);
    }
    // Whoever gets what it should not leaves, and then the writer gets nowhere: the cause first.
    readers.into_iter().for_each(Background::done);
    writing.done();
    end(&manager, daemon, |_| ());
}

/// Deaths in the middle of a beginning: what was passed is not lost by it.
fn killed_again_before_it_is_ready() {
    let manager = Manager::new();
    let mut daemon = manager.start(
        "[route.a]\nfrom = { fifo = \"in\", on-eof = \"close\" }\nto = [\"fifo:out\", \"fifo:two\"]\npath = \"splice\"\n",
    );
    let pattern = Pattern::new(105);
    let mut reader = FifoReader::open(daemon.fifo("out"));
    let mut two = FifoReader::open(daemon.fifo("two"));
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    writer.write_until(pattern, || daemon.route("a").paused_only_for("backpressure"));
    let mut dice = Dice::new(105);
    for _ in 0..4 * kills() {
        let place = manager.kill_all(daemon);
        daemon = manager.launch(manager.again(place));
        let_pass(Duration::from_millis(dice.below(40)));
    }
    let place = manager.kill_all(daemon);
    let daemon = manager.restart(place);
    let both = Background::run(move || {
        let mut checkers = [Checker::new(pattern); 2];
        let [first, second] = &mut checkers;
        let one = Background::run({
            let mut first = *first;
            move || two.check_to_end(&mut first)
        });
        (reader.check_to_end(second), one.done())
    });
    writer.write_pattern(pattern, 100_000);
    let total = writer.written();
    drop(writer);
    assert_eq!(both.done(), (total, total));
    daemon.wait_for("route.a", "closed");
    end(&manager, daemon, |_| ());
}
