//! SIGKILL of the daemon and everything beneath it, while the service manager keeps its pipes: with `path = "splice"` nothing
//! is lost and nothing doubled. docs/design/0014.

use std::rc::Rc;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::support::{
    Background, Checker, Daemon, Dice, FifoReader, FifoWriter, Life, Manager, Pattern, Place, check_lives, let_pass,
    scale, stories,
};

stories!(
    from_process_to_process,
    from_process_to_three,
    from_fifo_to_fifo,
    from_fifo_to_three_fifos,
    killed_again_before_it_is_ready,
);

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
    writing.done();
    readers.into_iter().for_each(Background::done);
    end(&manager, daemon, |_| ());
}

fn from_fifo_to_fifo() {
    fifo_to(1, 103);
}

fn from_fifo_to_three_fifos() {
    fifo_to(3, 104);
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
