//! Reloads at bad moments: in the middle of records, over held or drained routes, of files that are no files, beside other
//! commands and beside a shutdown.

use std::os::unix::fs::PermissionsExt;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::support::{
    Background, CallError, Checker, Daemon, Deadline, FifoReader, FifoWriter, LineChecker, Lines, PATIENCE, Pattern,
    Shown, Taken, make_fifo, stories, until,
};

stories!(
    a_fifo_keeps_its_writer_and_its_bytes_when_its_route_is_opened_anew,
    a_fifo_keeps_its_reader_when_its_route_is_opened_anew,
    what_no_reader_has_read_is_there_after_a_rename,
    a_full_destination_is_neither_waited_for_nor_emptied_by_a_rename,
    a_process_between_two_renamed_routes_does_not_block_them,
    a_process_that_is_restarted_while_its_route_is_closed_keeps_its_new_pipes,
    an_end_of_file_that_came_before_is_still_an_end,
    a_fifo_goes_from_one_route_to_another_with_its_writer,
    who_is_fed_sees_no_end_when_its_only_producer_is_another,
    who_feeds_is_not_cut_off_when_its_only_consumer_is_another,
    a_begun_record_goes_on_in_the_next_route,
    begun_records_beyond_a_smaller_max_record_come_one_after_the_other,
    a_begun_record_of_a_process_is_not_torn_by_a_rename,
    a_long_record_in_parts_is_ended_before_its_route_is_closed,
    a_begun_record_behind_a_long_one_begins_in_the_next_route,
    a_process_that_joins_while_a_long_record_is_held_gets_its_pipe,
    what_an_operator_has_paused_or_drained_stays_so,
    a_process_that_is_never_ready_takes_no_time_from_those_that_are_drained,
    a_shutdown_in_the_middle_delivers_what_is_between_two_routes,
    a_config_that_is_no_file_is_refused_at_once,
    a_config_that_has_gone_changes_nothing,
);

fn refused(daemon: &Daemon) -> CallError {
    daemon.call("Reload", json!({})).expect_err("what cannot be a config")
}

/// Of a route that stays in all but one setting: `close` and `open`.
fn anew(number: u64) -> String {
    format!("framing = \"lines\"\nmax-record = \"{}KiB\"\n", 64 + number)
}

/// fifo(7): when all ends of a FIFO are closed, what stands in it is lost, and a writer gets EPIPE.
fn a_fifo_keeps_its_writer_and_its_bytes_when_its_route_is_opened_anew() {
    const LENGTH: u64 = 4_000_000;
    let text = |name: &str, path: &str| {
        format!(
            "[route.{name}]\nfrom = {{ fifo = \"in\", on-eof = \"close\" }}\nto = \"fifo:out\"\npath = \"{path}\"\n"
        )
    };
    let daemon = Daemon::start(&text("a", "auto"));
    let pattern = Pattern::new(11);
    let mut reader = FifoReader::open(daemon.fifo("out"));
    let reader = Background::run(move || reader.check_to_end(&mut Checker::new(pattern)));
    let writer = FifoWriter::open(daemon.fifo("in"));
    let writing = crate::tee::write(writer, pattern, LENGTH);
    for turn in 0..12 {
        let (name, path) = (["a", "b"][turn / 2 % 2], ["copy", "splice", "auto"][turn % 3]);
        assert_eq!(daemon.reload(&text(name, path)).len(), 2, "{turn}");
    }
    drop(writing.done());
    assert_eq!(reader.done(), LENGTH);
    daemon.wait_for("route.b", "closed");
}

/// Its reader sees no end of file.
fn a_fifo_keeps_its_reader_when_its_route_is_opened_anew() {
    let daemon = Daemon::start(&format!(
        "[route.a]\nfrom = \"fifo:in\"\nto = \"fifo:out\"\n{}",
        anew(0)
    ));
    let mut reader = FifoReader::open(daemon.fifo("out"));
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    for turn in 1..8 {
        writer.write_all(format!("{turn}\n").as_bytes());
        assert_eq!(reader.read_exact(2), format!("{turn}\n").as_bytes());
        let text = format!("[route.a]\nfrom = \"fifo:in\"\nto = \"fifo:out\"\n{}", anew(turn));
        assert_eq!(daemon.reload(&text), ["close route:a", "open route:a"]);
        assert_eq!(reader.try_read(10), Taken::Nothing, "neither a byte nor an end");
    }
}

/// README: what a reader left unread waits for the next one. Nobody waits for the next one to read it.
fn what_no_reader_has_read_is_there_after_a_rename() {
    let text = |name: &str| format!("[route.{name}]\nfrom = \"fifo:in\"\nto = \"fifo:out\"\n");
    let daemon = Daemon::start(&text("a"));
    let reader = FifoReader::open(daemon.fifo("out"));
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    writer.write_all(b"unread");
    daemon.wait_until("route.a", "written", |route| route.destination(0).int("bytes") == 6);
    drop(reader);
    daemon.wait_until("route.a", "without reader", |route| route.paused_only_for("no_reader"));
    daemon.reload(&text("b"));
    writer.write_all(b", and more");
    let mut reader = FifoReader::open(daemon.fifo("out"));
    assert_eq!(reader.read_exact(16), b"unread, and more");
}

/// drain-timeout has nothing to do with it: what is queued goes on with its destination.
fn a_full_destination_is_neither_waited_for_nor_emptied_by_a_rename() {
    let text = |name: &str, more: &str| {
        format!(
            "[daemon]\ndrain-timeout = \"25s\"\n\
             [route.{name}]\nfrom = \"fifo:in\"\nto = [\"fifo:out\", \"fifo:two\"]\nframing = \"lines\"\n{more}"
        )
    };
    let lines = Lines::new("x", 3000, 5);
    for (path, more) in [
        ("", "max-record = \"8KiB\""),
        ("", "when-full = \"drop-oldest\""),
        ("", "path = \"copy\""),
    ] {
        let daemon = Daemon::start(&text("a", path));
        let mut readers = ["out", "two"].map(|name| FifoReader::open(daemon.fifo(name)));
        let mut writer = FifoWriter::open(daemon.fifo("in"));
        // Above the high watermark in user space, and the pipes are full: so far it is accepted.
        let all = lines.bytes(0, 1500);
        let mut done = 0;
        until(
            || {
                done += writer.try_write(&all[done..]).expect("a FIFO that is read");
                daemon.route("a").paused_only_for("backpressure").then_some(())
            },
            || "it is not full".to_owned(),
        );
        let queued = |route: &Shown| route.destination(0).int("queuedBytes");
        let before = queued(&daemon.route("a"));
        assert!(before > 60_000, "{before}");
        let asked = Deadline::within(PATIENCE);
        daemon.reload(&text("b", more));
        assert!(
            asked.elapsed().as_secs() < 15,
            "nobody waits for a reader that does not read"
        );
        let shown = daemon.route("b");
        // Who may lose goes on reading, and drops the oldest of what is more than its watermark.
        let dropped = shown.destination(0).int("droppedBytes");
        assert!(queued(&shown) + dropped >= before, "{shown}");
        assert!(dropped == 0 || more.contains("drop-oldest"), "{shown}");
        // What the first life had read and not written comes in front.
        for reader in &mut readers {
            let mut checker = LineChecker::new();
            while checker.offset() < before {
                match reader.read_some(65536) {
                    Taken::Bytes(piece) => checker.feed(&piece),
                    other => panic!("{other:?} after {} bytes", checker.offset()),
                }
            }
        }
        let emptied =
            readers.map(|mut reader| Background::run(move || while !matches!(reader.read_some(65536), Taken::End) {}));
        daemon.finish();
        let _ = emptied.map(Background::done);
    }
}

/// The one is drained into a process that waits for the other to be read.
fn a_process_between_two_renamed_routes_does_not_block_them() {
    const LENGTH: u64 = 1_500_000;
    let text = |turn: u64| {
        format!(
            "[daemon]\ndrain-timeout = \"25s\"\n[process.p]\ncommand = [$PEER, \"pass\"]\n\
             [route.in-{turn}]\nfrom = \"fifo:in\"\nto = \"process:p.stdin\"\npath = \"copy\"\n\
             [route.out-{turn}]\nfrom = \"process:p.stdout\"\nto = \"fifo:out\"\n"
        )
    };
    let daemon = Daemon::start(&text(0));
    let mut reader = FifoReader::open(daemon.fifo("out"));
    let pattern = Pattern::new(23);
    let writing = crate::tee::write(FifoWriter::open(daemon.fifo("in")), pattern, LENGTH);
    // Everything is full.
    daemon.wait_until("route.in-0", "full", |route| route.paused_only_for("backpressure"));
    let asked = Deadline::within(PATIENCE);
    for turn in 1..6 {
        assert_eq!(daemon.reload(&text(turn)).len(), 4);
    }
    assert!(asked.elapsed().as_secs() < 20, "the one has waited for the other");
    reader.check_up_to(&mut Checker::new(pattern), LENGTH);
    drop(writing.done());
}

/// Of two routes that are closed in one go the one takes its time, and the other is closed already.
fn a_process_that_is_restarted_while_its_route_is_closed_keeps_its_new_pipes() {
    let text = |name: &str, stuck: &str| {
        format!(
            "[daemon]\ndrain-timeout = \"3s\"\n\
             [process.p]\ncommand = [$PEER, \"say begun\", \"cat\"]\nkeep-stdin = false\n\
             [route.{name}-in]\nfrom = \"fifo:in\"\nto = \"process:p.stdin\"\n\
             [route.{name}-out]\nfrom = \"process:p.stdout\"\nto = \"fifo:out\"\n{stuck}"
        )
    };
    let stuck = "[route.stuck]\nfrom = \"fifo:x\"\nto = \"fifo:unread\"\npath = \"copy\"\n";
    let daemon = Daemon::start(&text("a", stuck));
    let mut reader = FifoReader::open(daemon.fifo("out"));
    assert_eq!(reader.read_exact(6), b"begun\n");
    let _unread = FifoReader::open(daemon.fifo("unread"));
    let mut writer = FifoWriter::open(daemon.fifo("x"));
    writer.write_until(Pattern::new(1), || {
        daemon.route("stuck").paused_only_for("backpressure")
    });
    daemon.rewrite(&text("b", ""));
    let mut client = daemon.client();
    client.send_call("Reload", &json!({}), &[]);
    daemon.wait_for("route.stuck", "draining");
    daemon.wait_for("route.a-out", "closed");
    daemon.wait_for("route.a-in", "closed");
    assert!(daemon.changes("RestartProcess", json!({ "name": "p" })));
    assert_eq!(
        daemon.route("stuck").state(),
        "draining",
        "the reload is still under way"
    );
    client.reply().expect("the reload");
    assert_eq!(reader.read_exact(6), b"begun\n");
    FifoWriter::open(daemon.fifo("in")).write_all(b"through\n");
    assert_eq!(reader.read_exact(8), b"through\n");
}

/// Of a writer that has gone while its route was paused.
fn an_end_of_file_that_came_before_is_still_an_end() {
    let text = |path: &str| {
        format!(
            "[route.a]\nfrom = {{ fifo = \"in\", on-eof = \"close\" }}\nto = \"fifo:out\"\npath = \"{path}\"\nstart-paused = true\n"
        )
    };
    let daemon = Daemon::start(&text("auto"));
    FifoWriter::open(daemon.fifo("in")).write_all(b"all there is");
    daemon.reload(&text("copy"));
    let mut reader = FifoReader::open(daemon.fifo("out"));
    daemon.changes("ResumeRoute", json!({ "name": "a" }));
    assert_eq!(reader.read_to_end(), b"all there is");
    daemon.wait_for("route.a", "closed");
}

fn a_fifo_goes_from_one_route_to_another_with_its_writer() {
    const LENGTH: u64 = 2_000_000;
    let text = |first: &str, second: &str| {
        format!(
            "[route.a]\nfrom = [\"fifo:x\"{first}]\nto = \"file:$DIR/a\"\npath = \"copy\"\n\
             [route.b]\nfrom = [\"fifo:y\"{second}]\nto = \"file:$DIR/b\"\npath = \"copy\"\n"
        )
    };
    let daemon = Daemon::start(&text(", \"fifo:in\"", ""));
    let pattern = Pattern::new(13);
    let writing = crate::tee::write(FifoWriter::open(daemon.fifo("in")), pattern, LENGTH);
    for turn in 0..6 {
        let steps = match turn % 2 {
            0 => daemon.reload(&text("", ", \"fifo:in\"")),
            _ => daemon.reload(&text(", \"fifo:in\"", "")),
        };
        assert_eq!(steps.len(), 2, "{steps:?}");
    }
    drop(writing.done());
    let written = |file: &str| std::fs::read(daemon.file(file)).unwrap_or_default();
    daemon.wait_until("route.a", "written", |_| {
        (written("a").len() + written("b").len()) as u64 == LENGTH
    });
    // Each byte once, in one of the two, in order.
    let whole = pattern.bytes(0, LENGTH as usize);
    let (a, b) = (written("a"), written("b"));
    let (mut at, mut in_a, mut in_b) = (0, 0, 0);
    while at < whole.len() {
        let here = |part: &[u8]| {
            std::iter::zip(part, &whole[at..])
                .take_while(|(got, want)| got == want)
                .count()
        };
        let (next_a, next_b) = (here(&a[in_a..]), here(&b[in_b..]));
        assert!(next_a.max(next_b) > 0, "the byte at {at} is not where it belongs");
        if next_a >= next_b {
            (in_a, at) = (in_a + next_a, at + next_a);
        } else {
            (in_b, at) = (in_b + next_b, at + next_b);
        }
    }
}

/// The producers before are finished when their routes are closed, or rewired, and that is not the end of the data.
fn who_is_fed_sees_no_end_when_its_only_producer_is_another() {
    let text = |name: &str, number: u64| {
        format!(
            "[process.{name}]\ncommand = [$PEER, \"say {name}\", \"hold\"]\n\
             [process.c]\ncommand = [$PEER, \"record $DIR/record\"]\n\
             [route.one]\nfrom = \"process:{name}.stdout\"\nto = \"process:c.stdin\"\n\
             [process.w]\ncommand = [$PEER, \"say w\", \"hold\"]\ninstances = {number}\n\
             [route.other]\nfrom = [\"process:w@{number}.stdout\"{}]\nto = \"fifo:out\"\nframing = \"lines\"\n",
            ", { fifo = \"end\", on-eof = \"close\" }"
        )
    };
    let daemon = Daemon::start(&text("p", 1));
    let mut reader = FifoReader::open(daemon.fifo("out"));
    drop(FifoWriter::open(daemon.fifo("end")));
    assert_eq!(reader.read_exact(2), b"w\n");
    daemon.wait_until("route.other", "at the end of one source", |route| {
        route.list("sources").iter().any(|source| source.state() == "ended")
    });
    let consumer = daemon.pid_of("c");
    let recorded = |all: &str| {
        let is_it = |_: &Shown| std::fs::read_to_string(daemon.file("record")).is_ok_and(|record| record == all);
        daemon.wait_until("process.c", "fed", is_it);
    };
    recorded("p\n");
    daemon.reload(&text("q", 2));
    assert_eq!(reader.read_exact(2), b"w\n");
    recorded("p\nq\n");
    daemon.reload(&text("r", 1));
    assert_eq!(reader.try_read(10), Taken::Nothing);
    recorded("p\nq\nr\n");
    assert_eq!(daemon.pid_of("c"), consumer);
}

/// What is read meanwhile would be nobody's.
fn who_feeds_is_not_cut_off_when_its_only_consumer_is_another() {
    const LENGTH: u64 = 3_000_000;
    let text = |first: &str, second: &str| {
        format!(
            "[route.a]\nfrom = \"fifo:in\"\nto = [{{ fifo = \"gone\", when-gone = \"close\" }}{first}]\npath = \"copy\"\n\
             [route.b]\nfrom = \"fifo:other\"\nto = [\"null\"{second}]\n"
        )
    };
    let (x, y) = (", \"file:$DIR/x\"", ", \"file:$DIR/y\"");
    let daemon = Daemon::start(&text(x, y));
    let pattern = Pattern::new(19);
    let gone = FifoReader::open(daemon.fifo("gone"));
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    daemon.wait_for("route.a", "flowing");
    drop(gone);
    daemon.wait_until("route.a", "with one destination", |route| {
        route.destination(0).state() == "closed"
    });
    let writing = Background::run(move || {
        writer.write_pattern(pattern, LENGTH);
        writer
    });
    for turn in 0..6 {
        // Each leaves the one route before it joins the other.
        let steps = if turn % 2 == 0 {
            daemon.reload(&text(y, x))
        } else {
            daemon.reload(&text(x, y))
        };
        assert_eq!(steps.len(), 4, "{steps:?}");
    }
    drop(writing.done());
    let both = || ["x", "y"].map(|file| std::fs::read(daemon.file(file)).unwrap_or_default());
    daemon.wait_until("route.a", "written", |_| {
        both().iter().map(Vec::len).sum::<usize>() as u64 == LENGTH
    });
}

/// `lines`: never torn. Half a line has been read, and goes on where the other half goes.
fn a_begun_record_goes_on_in_the_next_route() {
    let text = |name: &str, number: u64| {
        format!(
            "[route.{name}]\nfrom = [\"fifo:one\", \"fifo:two\"]\nto = \"fifo:out\"\n{}",
            anew(number)
        )
    };
    let daemon = Daemon::start(&text("a", 0));
    let mut reader = FifoReader::open(daemon.fifo("out"));
    let mut one = FifoWriter::open(daemon.fifo("one"));
    let mut two = FifoWriter::open(daemon.fifo("two"));
    for (turn, name) in ["a", "b", "b"].into_iter().enumerate() {
        let before = if turn == 2 { "b" } else { "a" };
        one.write_all(b"half of ");
        daemon.wait_until(&format!("route.{before}"), "read", |route| {
            route.source(0).int("partialBytes") == 8
        });
        daemon.reload(&text(name, turn as u64 + 1));
        two.write_all(b"a line\n");
        assert_eq!(reader.read_exact(7), b"a line\n");
        let shown = daemon.route(name);
        assert_eq!(shown.source(0).int("partialBytes"), 8, "{shown}");
        assert_eq!(shown.source(0).int("bytes"), 8, "{shown}");
        one.write_all(b"one\n");
        assert_eq!(reader.read_exact(12), b"half of one\n");
    }
}

fn begun_records_beyond_a_smaller_max_record_come_one_after_the_other() {
    let text = |record: &str| {
        format!(
            "[route.a]\nfrom = [\"fifo:one\", \"fifo:two\"]\nto = \"fifo:out\"\nframing = \"lines\"\nmax-record = \"{record}\"\n"
        )
    };
    let daemon = Daemon::start(&text("64KiB"));
    let mut reader = FifoReader::open(daemon.fifo("out"));
    let mut writers = ["one", "two"].map(|name| FifoWriter::open(daemon.fifo(name)));
    for (writer, byte) in std::iter::zip(&mut writers, [b'1', b'2']) {
        writer.write_all(&[byte; 3000]);
    }
    daemon.wait_until("route.a", "read", |route| {
        route
            .list("sources")
            .iter()
            .all(|source| source.int("partialBytes") == 3000)
    });
    assert_eq!(daemon.reload(&text("1KiB")).len(), 2);
    for writer in &mut writers {
        writer.write_all(b"\n");
    }
    let mut both = reader.read_exact(6002);
    both.retain(|byte| *byte != b'\n');
    assert!(
        both.is_sorted() || both.iter().rev().is_sorted(),
        "the one is torn by the other"
    );
}

fn a_begun_record_of_a_process_is_not_torn_by_a_rename() {
    const LINES: u64 = 3000;
    let text = |name: &str| {
        format!(
            "[process.a]\ncommand = [$PEER, \"await $DIR/run/gate-a\", \"lines {LINES} 5000 1 a\", \"hold\"]\nrestart = \"never\"\n\
             [process.b]\ncommand = [$PEER, \"await $DIR/run/gate-b\", \"lines {LINES} 5000 2 b\", \"hold\"]\nrestart = \"never\"\n\
             [route.ga]\nfrom = \"fifo:ga\"\nto = \"fifo:gate-a\"\n[route.gb]\nfrom = \"fifo:gb\"\nto = \"fifo:gate-b\"\n\
             [route.{name}]\nfrom = [\"process:a.stdout\", \"process:b.stdout\"]\nto = \"fifo:out\"\nframing = \"lines\"\n"
        )
    };
    let daemon = Daemon::start(&text("r0"));
    let mut reader = FifoReader::open(daemon.fifo("out"));
    let total = [Lines::new("a", 5000, 1), Lines::new("b", 5000, 2)]
        .iter()
        .map(|lines| lines.bytes(0, LINES).len())
        .sum();
    let reading = Background::run(move || {
        let (mut checker, mut done) = (LineChecker::new(), 0);
        while done < total {
            match reader.read_some(65536) {
                Taken::Bytes(piece) => {
                    done += piece.len();
                    checker.feed(&piece);
                }
                other => panic!("after {done} bytes {other:?}"),
            }
        }
        checker.ended()
    });
    FifoWriter::open(daemon.fifo("ga")).write_all(b"g");
    FifoWriter::open(daemon.fifo("gb")).write_all(b"g");
    for turn in 1..15 {
        assert_eq!(daemon.reload(&text(&format!("r{turn}"))).len(), 2);
    }
    let counts = reading.done();
    assert_eq!((counts["a"], counts["b"]), (LINES, LINES));
}

/// Its parts were going out: nobody's line may come between them.
fn a_long_record_in_parts_is_ended_before_its_route_is_closed() {
    let text = |name: &str| {
        format!(
            "[route.{name}]\nfrom = [\"fifo:one\", \"fifo:two\"]\nto = \"fifo:out\"\nframing = \"lines\"\nmax-record = \"1KiB\"\n"
        )
    };
    let daemon = Daemon::start(&text("a"));
    let mut reader = FifoReader::open(daemon.fifo("out"));
    let mut one = FifoWriter::open(daemon.fifo("one"));
    let mut two = FifoWriter::open(daemon.fifo("two"));
    one.write_all(&[b'x'; 5000]);
    assert_eq!(reader.read_exact(5000), [b'x'; 5000]);
    two.write_all(b"between\n");
    daemon.rewrite(&text("b"));
    let mut client = daemon.client();
    client.send_call("Reload", &json!({}), &[]);
    daemon.wait_until("route.a", "being closed", |route| route.state() == "draining");
    one.write_all(b" end\nhalf of");
    client.reply().expect("the reload");
    assert_eq!(reader.read_exact(13), b" end\nbetween\n");
    one.write_all(b" another\n");
    assert_eq!(reader.read_exact(16), b"half of another\n");
}

/// Both are longer than a record may be now, and one goes out while its route is closed: the other begins in the next.
fn a_begun_record_behind_a_long_one_begins_in_the_next_route() {
    let text = |name: &str, record: &str| {
        format!(
            "[route.{name}]\nfrom = [\"fifo:one\", \"fifo:two\"]\nto = \"fifo:out\"\nframing = \"lines\"\nmax-record = \"{record}\"\n"
        )
    };
    let daemon = Daemon::start(&text("a", "64KiB"));
    let mut reader = FifoReader::open(daemon.fifo("out"));
    let mut writers = ["one", "two"].map(|name| FifoWriter::open(daemon.fifo(name)));
    for (writer, byte) in std::iter::zip(&mut writers, [b'1', b'2']) {
        writer.write_all(&[byte; 3000]);
    }
    daemon.wait_until("route.a", "read", |route| {
        route
            .list("sources")
            .iter()
            .all(|source| source.int("partialBytes") == 3000)
    });
    daemon.reload(&text("a", "1KiB"));
    let first = reader.read_exact(3000);
    assert!(first.iter().all(|byte| *byte == first[0]), "one of them goes first");
    let [mut one, mut two] = writers;
    if first[0] == b'2' {
        std::mem::swap(&mut one, &mut two);
    }
    // It is the one that was read last.
    one.write_all(b" more");
    assert_eq!(reader.read_exact(5), b" more");
    daemon.rewrite(&text("b", "1KiB"));
    let mut client = daemon.client();
    client.send_call("Reload", &json!({}), &[]);
    daemon.wait_until("route.a", "being closed", |route| route.state() == "draining");
    one.write_all(b" end\n");
    client.reply().expect("the reload");
    one.write_all(b"between\n");
    let beginning = reader.read_exact(3005);
    assert_eq!(&beginning[..5], b" end\n");
    daemon.wait_until("route.b", "going on with one of them", |route| {
        route.int("acceptedBytes") > 0
    });
    two.write_all(b" end\n");
    assert_eq!(reader.read_exact(13), b" end\nbetween\n", "it is torn");
}

/// What a route is told of an endpoint that is about to join it is not lost.
fn a_process_that_joins_while_a_long_record_is_held_gets_its_pipe() {
    let text = |process: &str, to: &str| {
        format!(
            "{process}[route.a]\nfrom = \"fifo:in\"\nto = [\"fifo:out\"{to}]\nframing = \"lines\"\nmax-record = \"1KiB\"\n"
        )
    };
    let daemon = Daemon::start(&text("", ""));
    let mut reader = FifoReader::open(daemon.fifo("out"));
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    writer.write_all(&[b'x'; 5000]);
    assert_eq!(reader.read_exact(4000), [b'x'; 4000], "it goes out in parts");
    let process = "[process.c]\ncommand = [$PEER, \"record $DIR/record\"]\n";
    daemon.rewrite(&text(process, ", \"process:c.stdin\""));
    let mut client = daemon.client();
    client.send_call("Reload", &json!({}), &[]);
    until(
        || {
            daemon
                .call("ListProcesses", json!({ "name": "c" }))
                .ok()
                .filter(|shown| shown.list("processes")[0].state() == "ready")
        },
        || "the process does not start".to_owned(),
    );
    // Its pipe is lent to the route, which waits for the end of the record: that is so once these are answered.
    for _ in 0..20 {
        daemon.route("a");
    }
    writer.write_all(b"end\nnext\n");
    client.reply().expect("the reload");
    writer.write_all(b"last\n");
    let written = |route: &Shown| {
        let to = route.destination(1);
        to.int("fromBytes") + to.int("bytes") == 5014
    };
    daemon.wait_until("route.a", "written", written);
    daemon.wait_until("process.c", "fed", |_| {
        std::fs::read_to_string(daemon.file("record")).is_ok_and(|record| record.ends_with("last\n"))
    });
    assert_eq!(daemon.process("c").state(), "ready");
}

/// An automatic resume never undoes an operator's pause, and a reload is no resume.
fn what_an_operator_has_paused_or_drained_stays_so() {
    let text = |number: u64| {
        format!(
            "[route.a]\nfrom = \"fifo:in\"\nto = \"fifo:out\"\n{}{}",
            anew(number),
            Daemon::MARKER
        )
    };
    let daemon = Daemon::start(&text(0));
    let mut reader = FifoReader::open(daemon.fifo("out"));
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    assert!(daemon.changes("PauseRoute", json!({ "name": "a" })));
    writer.write_all(b"later\n");
    daemon.reload(&text(1));
    assert!(
        daemon.route("a").reasons().contains(&"operator".to_owned()),
        "{}",
        daemon.route("a")
    );
    daemon.marker();
    assert_eq!(reader.try_read(10), Taken::Nothing);
    daemon.changes("ResumeRoute", json!({ "name": "a" }));
    assert_eq!(reader.read_exact(6), b"later\n");
    assert!(daemon.changes("DrainRoute", json!({ "name": "a" })));
    daemon.reload(&text(2));
    // Closed it would be at its end for whoever it feeds; it waits for the operator's word all the same.
    let held = daemon.wait_until("route.a", "held", |route| route.state() != "opening");
    assert!(held.reasons().contains(&"operator".to_owned()), "{held}");
    writer.write_all(b"last\n");
    daemon.marker();
    assert_eq!(reader.try_read(10), Taken::Nothing);
    assert!(daemon.changes("ResumeRoute", json!({ "name": "a" })));
    assert_eq!(reader.read_exact(5), b"last\n");
}

/// drain-timeout is for what is drained; who is waited for has had as long before.
fn a_process_that_is_never_ready_takes_no_time_from_those_that_are_drained() {
    const LENGTH: u64 = 150_000;
    let table = "[daemon]\ndrain-timeout = \"1500ms\"\n";
    let route = "[route.a]\nfrom = { fifo = \"in\", on-eof = \"close\" }\nto = \"fifo:out\"\npath = \"copy\"\nhigh-watermark = \"1MiB\"\n";
    let daemon = Daemon::start(&format!("{table}{route}"));
    let mut reader = FifoReader::open(daemon.fifo("out"));
    let pattern = Pattern::new(17);
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    writer.write_pattern(pattern, LENGTH);
    daemon.wait_accepted("a", LENGTH);
    daemon.rewrite(&format!(
        "{table}[process.p]\ncommand = [$PEER, \"hold\"]\nready = \"notify\"\nready-timeout = \"1min\"\n"
    ));
    let mut client = daemon.client();
    client.send_call("Reload", &json!({}), &[]);
    daemon.wait_for("route.a", "draining");
    reader.check_up_to(&mut Checker::new(pattern), LENGTH);
    client.reply().expect("the reload");
    assert_eq!(reader.read_some(10), Taken::End);
    assert_eq!(daemon.process("p").state(), "starting");
}

/// README: what a producer had written is delivered before everything is down. Its pipe is no route's just then.
fn a_shutdown_in_the_middle_delivers_what_is_between_two_routes() {
    const LENGTH: u64 = 50_000;
    let text = |name: &str, third: &str| {
        format!(
            "[daemon]\ndrain-timeout = \"10s\"\n\
             [process.p]\ncommand = [$PEER, \"await $DIR/run/gate\", \"write {LENGTH}\", \"tell $DIR/told written\", \"hold\"]\n\
             [process.x]\ncommand = [$PEER, \"hold\"]\nready = \"notify\"\n\
             [route.gate]\nfrom = \"fifo:g\"\nto = \"fifo:gate\"\n{third}\
             [route.{name}]\nfrom = \"process:p.stdout\"\nto = \"file:$DIR/out\"\n"
        )
    };
    let daemon = Daemon::start(&text("a", "[route.third]\nfrom = \"process:x.fd3\"\nto = \"null\"\n"));
    let first = daemon.pid_of("x");
    daemon.rewrite(&text("b", ""));
    let mut client = daemon.client();
    client.send_call("Reload", &json!({}), &[]);
    // Between the routes that are closed and those that are opened: it waits for its second life.
    daemon.wait_until("process.x", "begun again", |process| {
        process.maybe_int("pid").is_some_and(|pid| pid != first as u64)
    });
    FifoWriter::open(daemon.fifo("g")).write_all(b"g");
    until(
        || std::fs::read(daemon.file("told")).ok(),
        || "the producer has not written".to_owned(),
    );
    daemon.signal(Signal::SIGTERM);
    let error = client.reply().expect_err("it is stopped instead");
    assert_eq!(error.name, "io.sluiced.Relay.Busy");
    let out = daemon.file("out");
    daemon.expect_end_then(0, || {
        let out = std::fs::read(out).expect("the file");
        Checker::new(Pattern::new(1)).feed(&out);
        assert_eq!(out.len() as u64, LENGTH);
    });
}

/// A FIFO without a writer, a device without an end, a file of 100 MB, a link to itself.
fn a_config_that_is_no_file_is_refused_at_once() {
    let text = "[route.a]\nfrom = \"fifo:in\"\nto = \"null\"\n";
    let daemon = Daemon::start(text);
    let config = daemon.place().config();
    let gone = || std::fs::remove_file(&config).expect("removing the config");
    let threads = daemon.probe().threads();
    let says = |what: &str| {
        let error = refused(&daemon);
        assert_eq!(error.name, "io.sluiced.Relay.InvalidConfig", "{what}");
        let message = error.parameters.list("diagnostics")[0].text("message").to_owned();
        assert!(message.contains(what), "{message}");
        let last = daemon.call("GetStatus", json!({})).expect("GetStatus");
        assert!(last.text("lastReloadError").contains(what), "{last}");
        assert_eq!(daemon.routes().len(), 1);
    };
    gone();
    make_fifo(&config);
    says("FIFO");
    gone();
    std::os::unix::fs::symlink("/dev/zero", &config).expect("a link");
    says("more than 16 MiB");
    gone();
    std::os::unix::fs::symlink(&config, &config).expect("a link");
    says("symbolic links");
    gone();
    std::fs::create_dir(&config).expect("a directory");
    says("no *.toml");
    make_fifo(config.join("a.toml"));
    says("FIFO");
    std::fs::remove_dir_all(&config).expect("removing it");
    let large = std::fs::File::create(&config).expect("a file");
    large.set_len(100 << 20).expect("its length");
    says("more than 16 MiB");
    std::fs::write(&config, "[route.a]\nfrom = \"fifo:\0in\"\n").expect("a file");
    says("");
    std::fs::write(&config, [0_u8; 1000]).expect("a file");
    says("");
    std::fs::write(&config, b"# \xff\n").expect("a file");
    says("UTF-8");
    gone();
    assert_eq!(daemon.reload(text), [""; 0]);
    daemon.wait_until("route.a", "as before", |_| daemon.probe().threads() == threads);
}

/// The daemon goes on with what it has.
fn a_config_that_has_gone_changes_nothing() {
    let text = "[route.a]\nfrom = \"fifo:in\"\nto = \"null\"\n";
    let daemon = Daemon::start(text);
    let config = daemon.place().config();
    std::fs::remove_file(&config).expect("removing the config");
    let error = refused(&daemon);
    assert!(
        error.parameters.list("diagnostics")[0]
            .text("message")
            .contains("no such file")
    );
    for signal in [Signal::SIGHUP; 300] {
        daemon.signal(signal);
    }
    daemon.wait_for_log("reload refused");
    daemon.rewrite(text);
    if !nix::unistd::geteuid().is_root() {
        std::fs::set_permissions(&config, std::fs::Permissions::from_mode(0o000)).expect("chmod");
        let message = refused(&daemon).parameters.list("diagnostics")[0]
            .text("message")
            .to_owned();
        assert!(message.contains("denied"), "{message}");
        std::fs::set_permissions(&config, std::fs::Permissions::from_mode(0o600)).expect("chmod");
    }
    assert_eq!(daemon.reload(text), [""; 0]);
    assert_eq!(daemon.routes().len(), 1);
}
