//! Records longer than `max-record` from one of several sources: they go out in parts, and the others wait for their end,
//! however that comes.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::support::{Daemon, FifoReader, FifoWriter, Shown, Taken, make_fifo, stories};

stories!(
    an_over_long_record_is_not_interrupted,
    why_tells_who_is_waited_for,
    the_end_of_a_source_ends_its_over_long_record,
    a_writer_that_leaves_does_not_end_an_over_long_record,
    a_death_for_good_ends_an_over_long_record,
    the_next_life_goes_on_with_an_over_long_record,
    a_drain_ends_an_over_long_record,
    a_drain_ends_who_waited_in_front,
    an_abort_counts_each_record_once,
    what_nobody_was_left_for_is_no_beginning,
    an_abort_within_an_over_long_record_is_not_held_up,
);

/// What y has written while x is within its record.
const WAITING: &[u8] = b"first of y\nsecond of y\nthird of y\n";
/// How much of x's record has gone out by then.
const BEGUN: usize = 5000;

/// A route of two sources: `x` has begun a record of more than max-record, and three lines of `y` wait for its end.
struct Within {
    daemon: Daemon,
    out: FifoReader,
    y: FifoWriter,
}

impl Within {
    /// `from` is x as an endpoint, `config` what else it needs, `begin` writes the first [`BEGUN`] bytes of its record.
    fn begun<T>(from: &str, config: &str, begin: impl FnOnce(&Daemon) -> T) -> (Within, T) {
        let daemon = Daemon::start(&format!(
            r#"
            [route.a]
            from = [{from}, {{ fifo = "y", on-eof = "close" }}]
            to = "fifo:out"
            framing = "lines"
            max-record = "1KiB"
            {config}
            {}
            "#,
            Daemon::MARKER
        ));
        let mut out = FifoReader::open(daemon.fifo("out"));
        let begun = begin(&daemon);
        assert_eq!(out.read_exact(BEGUN), [b'x'; BEGUN]);
        daemon.wait_accepted("a", BEGUN as u64);
        let mut y = FifoWriter::open(daemon.fifo("y"));
        y.write_all(WAITING);
        let mut within = Within { daemon, out, y };
        within.y_waits();
        (within, begun)
    }

    fn of_fifo(on_eof: &str) -> (Within, FifoWriter) {
        let from = format!("{{ fifo = \"x\", on-eof = \"{on_eof}\" }}");
        Within::begun(&from, "", |daemon| {
            let mut x = FifoWriter::open(daemon.fifo("x"));
            x.write_all(&[b'x'; BEGUN]);
            x
        })
    }

    fn y_waits(&mut self) {
        self.daemon.marker();
        assert_eq!(self.out.try_read(100), Taken::Nothing, "a record of x was interrupted");
    }

    /// Waits until x's end has come in this state of its.
    fn x_is(&self, what: &str, holds: impl Fn(&Shown) -> bool) {
        self.daemon.wait_until("route.a", what, |route| holds(&route.source(0)));
    }

    /// The rest of x's record comes, then what has waited, then what y still writes; one record of x, over-long, and four
    /// of y.
    fn goes_on_with(mut self, rest: &[u8], end: impl FnOnce(&Daemon)) {
        assert_eq!(self.out.read_exact(rest.len()), rest);
        assert_eq!(self.out.read_exact(WAITING.len()), WAITING);
        self.y.write_all(b"fourth of y\n");
        assert_eq!(self.out.read_exact(12), b"fourth of y\n");
        drop(self.y);
        end(&self.daemon);
        assert_eq!(self.out.read_to_end(), b"");
        let route = self.daemon.closed_with("a", &[1, 4]);
        assert_eq!(
            (route.source(0).oversized(), route.source(1).oversized()),
            (1, 0),
            "{route}"
        );
    }
}

/// It goes out in parts, with nothing between them, however long its writer takes.
fn an_over_long_record_is_not_interrupted() {
    let (mut within, mut x) = Within::of_fifo("close");
    for part in [1, 1023, 1024, 1025, 60_000] {
        x.write_all(&vec![b'x'; part]);
        assert_eq!(within.out.read_exact(part), vec![b'x'; part]);
        within.y_waits();
    }
    x.write_all(b"end\n");
    within.goes_on_with(b"end\n", |_| drop(x));
}

fn why_tells_who_is_waited_for() {
    let (within, x) = Within::of_fifo("close");
    let path = within.daemon.fifo("x");
    let why = within.daemon.ctl(&["why", "a"]).expect_code(0).stdout;
    let says = format!(
        "a flows, but fifo:{} is within a record longer than max-record, and the other sources wait for its end ({} B wait)",
        path.display(),
        WAITING.len()
    );
    assert!(why.contains(&says), "{why}");
    drop(x);
    within.goes_on_with(b"", |_| ());
}

fn the_end_of_a_source_ends_its_over_long_record() {
    let (within, x) = Within::of_fifo("close");
    drop(x);
    within.x_is("without x", |x| x.state() == "ended");
    within.goes_on_with(b"", |_| ());
    // The one that waits has come to its end before.
    let (mut within, x) = Within::of_fifo("close");
    drop(within.y);
    within.daemon.marker();
    assert_eq!(within.out.try_read(100), Taken::Nothing);
    drop(x);
    assert_eq!(within.out.read_to_end(), WAITING);
    within.daemon.closed_with("a", &[1, 3]);
}

fn a_writer_that_leaves_does_not_end_an_over_long_record() {
    for on_eof in ["reopen", "hold"] {
        let (mut within, x) = Within::of_fifo(on_eof);
        drop(x);
        if on_eof == "reopen" {
            within.x_is("opened again", |x| x.int("opens") == 2);
        }
        within.y_waits();
        let mut x = FifoWriter::open(within.daemon.fifo("x"));
        x.write_all(b"on");
        assert_eq!(within.out.read_exact(2), b"on");
        within.y_waits();
        x.write_all(b"end\n");
        within.goes_on_with(b"end\n", |daemon| {
            assert!(daemon.changes("DrainRoute", json!({ "name": "a" })));
        });
    }
}

fn a_death_for_good_ends_an_over_long_record() {
    let config = format!(
        "[process.p]\ncommand = [$PEER, \"text {}\", \"hold\"]\nrestart = \"never\"\n",
        "x".repeat(BEGUN)
    );
    let (within, pid) = Within::begun("\"process:p.stdout\"", &config, |daemon| daemon.pid_of("p"));
    kill(Pid::from_raw(pid), Signal::SIGKILL).expect("a process to kill");
    within.goes_on_with(b"", |_| ());
}

fn the_next_life_goes_on_with_an_over_long_record() {
    let config = format!(
        r#"
        [process.p]
        command = ["sh", "-c", "if mkdir '$DIR/one' 2> /dev/null; then printf {}; else exec \"$@\"; fi", "sh", $PEER,
            "await $DIR/run/gate", "say end", "hold"]
        restart-delay = "1ms"
        "#,
        "x".repeat(BEGUN)
    );
    let (mut within, ()) = Within::begun("\"process:p.stdout\"", &config, |daemon| {
        make_fifo(daemon.fifo("gate"));
    });
    let mut gate = FifoWriter::open(within.daemon.fifo("gate"));
    assert_eq!(within.daemon.process("p").int("restarts"), 1);
    within.y_waits();
    gate.write_all(b"x");
    within.goes_on_with(b"end\n", |daemon| {
        assert!(daemon.changes("DrainRoute", json!({ "name": "a" })));
    });
}

/// What is there is handed on: the record as far as it has come, then what has waited for its end.
fn a_drain_ends_an_over_long_record() {
    let (mut within, mut x) = Within::of_fifo("reopen");
    within.y.write_all(b"half of y");
    x.write_all(b"on");
    assert_eq!(within.out.read_exact(2), b"on");
    assert!(within.daemon.changes("DrainRoute", json!({ "name": "a" })));
    assert_eq!(within.out.read_to_end(), [WAITING, b"half of y"].concat());
    let route = within.daemon.closed_with("a", &[1, 4]);
    assert_eq!(route.source(0).oversized(), 1, "{route}");
}

/// A route whose first source is `y`, and whose second, `x`, has begun a record of more than max-record.
fn held_by_the_second(y: &[u8]) -> (Daemon, FifoReader, [FifoWriter; 2]) {
    let daemon = Daemon::start(
        r#"
        [route.a]
        from = ["fifo:y", "fifo:x"]
        to = "fifo:out"
        framing = "lines"
        max-record = "1KiB"
        "#,
    );
    let mut out = FifoReader::open(daemon.fifo("out"));
    let [mut y_writer, mut x] = ["y", "x"].map(|name| FifoWriter::open(daemon.fifo(name)));
    if !y.is_empty() {
        y_writer.write_all(y);
        daemon.wait_until("route.a", "with a part of y", |route| {
            route.source(0).int("partialBytes") == y.len() as u64
        });
    }
    x.write_all(&[b'x'; BEGUN]);
    assert_eq!(out.read_exact(BEGUN), [b'x'; BEGUN]);
    (daemon, out, [y_writer, x])
}

/// One that has nothing left to read ends with the record that it waits for, not with the deadline.
fn a_drain_ends_who_waited_in_front() {
    let (daemon, mut out, [_y, mut x]) = held_by_the_second(b"");
    assert!(daemon.changes("PauseRoute", json!({ "name": "a" })));
    x.write_all(b"on");
    assert!(daemon.changes("DrainRoute", json!({ "name": "a" })));
    assert_eq!(out.read_to_end(), b"on");
    let route = daemon.closed_with("a", &[0, 1]);
    assert_eq!(route.source(0).text("closeCause"), "drained", "{route}");
}

/// What was held back for the end of a record is a record of its own.
fn an_abort_counts_each_record_once() {
    let (daemon, _out, _writers) = held_by_the_second(b"half of y");
    assert!(daemon.changes("DrainRoute", json!({ "name": "a", "timeoutUSec": 0 })));
    let route = daemon.wait_for("route.a", "closed");
    let out = route.destination(0);
    assert_eq!(route.int("acceptedRecords"), 2, "{route}");
    assert_eq!(out.int("records") + out.int("droppedRecords"), 2, "{route}");
    assert_eq!(out.int("droppedBytes"), 9, "{route}");
}

/// A part of a line that was read when the last reader ended is told as lost; the next stream begins with its own.
fn what_nobody_was_left_for_is_no_beginning() {
    for distribution in ["broadcast", "balance"] {
        let daemon = Daemon::start(&format!(
            r#"
            [process.p]
            command = ["sh", "-c", "head -n 1 > /dev/null; cat '$DIR/run/gate'"]
            restart = "never"
            [route.a]
            from = "fifo:in"
            to = "process:p.stdin"
            framing = "lines"
            distribution = "{distribution}"
            "#
        ));
        make_fifo(daemon.fifo("gate"));
        let mut writer = FifoWriter::open(daemon.fifo("in"));
        writer.write_all(b"one\nhalf of");
        daemon.wait_until("route.a", "with a part", |route| {
            route.source(0).int("partialBytes") == 7
        });
        drop(FifoWriter::open(daemon.fifo("gate")));
        daemon.wait_for("route.a", "closed");
        drop(writer);
        assert!(daemon.changes("StartProcess", json!({ "name": "p" })));
        let mut writer = FifoWriter::open(daemon.fifo("in"));
        writer.write_all(b"other\n");
        let route = daemon.wait_until("route.a", "with a line more", |route| {
            route.destination(0).int("records") == 2
        });
        let end = route.destination(0);
        assert_eq!((end.int("bytes"), route.int("acceptedRecords")), (10, 3), "{route}");
        assert_eq!((end.int("droppedBytes"), end.int("droppedRecords")), (7, 1), "{route}");
        drop(FifoWriter::open(daemon.fifo("gate")));
    }
}

/// Only the law is asked of what is given up, and that the next beginning is none of a record's middle.
fn an_abort_within_an_over_long_record_is_not_held_up() {
    let (mut within, x) = Within::of_fifo("reopen");
    assert!(
        within
            .daemon
            .changes("DrainRoute", json!({ "name": "a", "timeoutUSec": 0 }))
    );
    within.daemon.wait_for("route.a", "closed");
    within.out.read_to_end();
    drop(within.out);
    assert!(within.daemon.changes("ResumeRoute", json!({ "name": "a" })));
    let mut out = FifoReader::open(within.daemon.fifo("out"));
    // What y had written before may have been left in its pipe; nothing of x comes, which is still within its record.
    within.y.write_all(b"again\n");
    drop(within.y);
    within
        .daemon
        .wait_until("route.a", "without y", |route| route.source(1).state() == "ended");
    drop(x);
    assert!(within.daemon.changes("DrainRoute", json!({ "name": "a" })));
    let seen = out.read_to_end();
    assert!(seen == b"again\n" || seen == [WAITING, b"again\n"].concat(), "{seen:?}");
}
