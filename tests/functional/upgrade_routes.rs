//! Routes that are in the middle of something when the daemon is upgraded: each goes on with it.

use serde_json::json;

use crate::support::{
    Background, Checker, Daemon, FifoReader, FifoWriter, Numbered, Pattern, Taken, Tally, came_exactly_once, runs,
    stories, until,
};

stories!(
    a_pause_goes_on_being_counted,
    what_is_queued_to_a_stuck_reader,
    an_operators_pause,
    start_paused_is_for_the_first_life,
    a_partial_line,
    a_long_record_that_is_begun,
    a_drain_goes_on,
    a_drain_keeps_its_deadline,
    a_route_that_is_closed_stays_so,
    a_drained_route_can_be_resumed,
    what_was_dropped_stays_counted,
    a_balance_keeps_its_shares,
    destinations_that_came_by_a_reload,
    what_was_only_put_in_another_order,
);

/// Both ends are at rest, whatever the way.
fn is_full(daemon: &Daemon) -> bool {
    daemon.route("a").paused_only_for("backpressure")
}

/// asyncio's write buffer: what was accepted is in user space.
fn what_is_queued_to_a_stuck_reader() {
    for (path, to) in [
        ("copy", "\"fifo:out\""),
        ("copy", "[\"fifo:out\", \"null\"]"),
        ("splice", "[\"fifo:out\", \"fifo:other\"]"),
        ("auto", "\"fifo:out\""),
    ] {
        let daemon = Daemon::start(&format!(
            "[route.a]\nfrom = {{ fifo = \"in\", on-eof = \"close\" }}\nto = {to}\npath = \"{path}\"\n\
             high-watermark = \"1MiB\"\n"
        ));
        let pattern = Pattern::new(81);
        let mut reader = FifoReader::open(daemon.fifo("out"));
        let other = to
            .contains("other")
            .then(|| FifoReader::to_end_in_background(daemon.fifo("other"), pattern));
        let mut writer = FifoWriter::open(daemon.fifo("in"));
        writer.write_until(pattern, || is_full(&daemon));
        if path == "copy" {
            let queued = daemon.route("a").destination(0).int("queuedBytes");
            assert!(queued >= 1 << 20, "{queued}");
        }
        daemon.wait_until("route.a", "taken by the other reader", |route| {
            other.is_none() || route.destination(1).int("kernelBytes") == 0
        });
        daemon.upgrade_at_rest(&["route.a"]);
        daemon.upgrade_at_rest(&["route.a"]);
        let mut checker = Checker::new(pattern);
        let upto = writer.written();
        reader.check_up_to(&mut checker, upto / 2);
        daemon.upgrade();
        reader.check_up_to(&mut checker, upto);
        writer.write_pattern(pattern, 10_000);
        let total = writer.written();
        drop(writer);
        assert_eq!(reader.check_to_end(&mut checker), total, "{path} {to}");
        other.into_iter().for_each(|other| assert_eq!(other.done(), total));
        daemon.wait_for("route.a", "closed");
        daemon.finish();
    }
}

/// A reload that only puts endpoints in another order has nothing to do, and what is packed goes by the old one.
fn what_was_only_put_in_another_order() {
    let text = |from: &str, to: &str| format!("[route.a]\nfrom = [{from}]\nto = [{to}]\nframing = \"lines\"\n");
    let daemon = Daemon::start(&text(
        "\"fifo:in\", \"fifo:in2\"",
        "\"fifo:out\", \"null\", \"fifo:other\"",
    ));
    let mut readers = ["out", "other"].map(|name| FifoReader::open(daemon.fifo(name)));
    let mut writers = ["in", "in2"].map(|name| FifoWriter::open(daemon.fifo(name)));
    let line = [&[b'x'; 99][..], b"\n"].concat();
    let mut written = 0;
    while !is_full(&daemon) {
        for writer in &mut writers {
            written += writer.try_write(&line).unwrap_or(0);
        }
    }
    for (from, to) in [
        ("\"fifo:in2\", \"fifo:in\"", "\"fifo:other\", \"fifo:out\", \"null\""),
        ("\"fifo:in\", \"fifo:in2\"", "\"null\", \"fifo:out\", \"fifo:other\""),
    ] {
        assert_eq!(daemon.reload(&text(from, to)), Vec::<String>::new());
        daemon.upgrade_at_rest(&["route.a"]);
    }
    for reader in &mut readers {
        assert!(reader.read_exact(written).chunks(100).all(|read| read == line));
    }
    assert_eq!(daemon.route("a").int("acceptedBytes"), written as u64);
}

/// pausedUSec, and the moment since when.
fn a_pause_goes_on_being_counted() {
    let daemon = Daemon::start("[route.a]\nfrom = \"fifo:in\"\nto = \"fifo:out\"\n");
    let reader = FifoReader::open(daemon.fifo("out"));
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    // A pause that is over at once is not counted.
    let counted = || is_full(&daemon) && daemon.route("a").int("pauses") == 1;
    writer.write_until(Pattern::new(85), counted);
    let mut last = daemon.route("a");
    for _ in 0..3 {
        daemon.upgrade_at_rest(&["route.a"]);
        let route = daemon.route("a");
        assert!(route.int("pausedUSec") > last.int("pausedUSec"), "{last}\n{route}");
        assert_eq!(route.int("pauses"), 1, "{route}");
        last = route;
    }
    drop((writer, reader));
}

fn an_operators_pause() {
    let daemon = Daemon::start("[route.a]\nfrom = \"fifo:in\"\nto = \"fifo:out\"\n");
    let mut reader = FifoReader::open(daemon.fifo("out"));
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    assert!(daemon.changes("PauseRoute", json!({ "name": "a" })));
    writer.write_all(b"unread");
    daemon.wait_until("route.a", "paused", |route| {
        let open = route.destination(0).state() == "open";
        open && route.paused_only_for("operator") && route.source(0).maybe_int("kernelBytes") == Some(6)
    });
    daemon.upgrade_at_rest(&["route.a"]);
    assert!(!daemon.changes("PauseRoute", json!({ "name": "a" })));
    assert!(!daemon.route("a").source(0).flag("isReading"));
    assert_eq!(reader.try_read(10), Taken::Nothing);
    assert!(daemon.changes("ResumeRoute", json!({ "name": "a" })));
    assert_eq!(reader.read_exact(6), b"unread");
    daemon.upgrade();
    assert!(daemon.route("a").reasons().is_empty());
}

/// It says how a route begins, and an upgrade is no beginning.
fn start_paused_is_for_the_first_life() {
    let daemon = Daemon::start("[route.a]\nfrom = \"fifo:in\"\nto = \"fifo:out\"\nstart-paused = true\n");
    let mut reader = FifoReader::open(daemon.fifo("out"));
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    daemon.wait_until("route.a", "paused", |route| {
        route.paused_only_for("operator") && route.destination(0).state() == "open"
    });
    daemon.upgrade_at_rest(&["route.a"]);
    writer.write_all(b"one");
    assert!(daemon.changes("ResumeRoute", json!({ "name": "a" })));
    assert_eq!(reader.read_exact(3), b"one");
    daemon.upgrade();
    writer.write_all(b"two");
    assert_eq!(reader.read_exact(3), b"two");
}

fn a_partial_line() {
    let daemon = Daemon::start(
        "[route.a]\nfrom = [{ fifo = \"in\", on-eof = \"close\" }, { fifo = \"other\", on-eof = \"close\" }]\nto = \"fifo:out\"\nframing = \"lines\"\n",
    );
    let mut reader = FifoReader::open(daemon.fifo("out"));
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    let mut other = FifoWriter::open(daemon.fifo("other"));
    let half = vec![b'h'; 30_000];
    writer.write_all(&half);
    daemon.wait_until("route.a", "holding half a line", |route| {
        route.source(0).int("partialBytes") == 30_000
    });
    daemon.upgrade_at_rest(&["route.a"]);
    other.write_all(b"whole\n");
    assert_eq!(reader.read_exact(6), b"whole\n");
    daemon.upgrade();
    writer.write_all(b"end\n");
    assert_eq!(reader.read_exact(30_004), [&half[..], b"end\n"].concat());
    writer.write_all(b"no newline");
    daemon.wait_until("route.a", "holding half a line", |route| {
        route.source(0).int("partialBytes") == 10
    });
    daemon.upgrade();
    drop((writer, other));
    let rest = reader.read_to_end();
    assert_eq!(rest, b"no newline");
}

/// Longer than max-record: its parts go out uninterrupted, whoever else has something to say.
fn a_long_record_that_is_begun() {
    let daemon = Daemon::start(
        "[route.a]\nfrom = [\"fifo:in\", \"fifo:other\"]\nto = [\"fifo:out\", \"fifo:two\"]\nframing = \"lines\"\nmax-record = \"1KiB\"\n",
    );
    let mut readers = ["out", "two"].map(|name| FifoReader::open(daemon.fifo(name)));
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    let mut other = FifoWriter::open(daemon.fifo("other"));
    writer.write_all(&[b'x'; 5000]);
    for reader in &mut readers {
        assert_eq!(reader.read_exact(4000), [b'x'; 4000], "it goes out in parts");
    }
    other.write_all(b"other\n");
    daemon.upgrade();
    daemon.upgrade();
    writer.write_all(b"xx\n");
    for reader in &mut readers {
        let rest = reader.read_exact(1003 + 6);
        let expected = [&[b'x'; 1002][..], b"\nother\n"].concat();
        assert_eq!(rest, expected, "{}", String::from_utf8_lossy(&rest));
    }
    let route = daemon.wait_accepted("a", 5009);
    assert_eq!(route.source(0).oversized(), 1, "{route}");
}

fn draining(timeout: u64) -> (Daemon, FifoReader, u64) {
    let daemon = Daemon::start("[route.a]\nfrom = \"fifo:in\"\nto = \"fifo:out\"\npath = \"copy\"\n");
    let pattern = Pattern::new(82);
    let reader = FifoReader::open(daemon.fifo("out"));
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    writer.write_until(pattern, || is_full(&daemon));
    let drain = json!({ "name": "a", "timeoutUSec": timeout, "wait": false });
    assert!(daemon.changes("DrainRoute", drain));
    let route = daemon.wait_for("route.a", "draining");
    // What stands in the source now is drained, too.
    let total = writer.written();
    (daemon, reader, total.max(route.int("acceptedBytes")))
}

fn a_drain_goes_on() {
    let (daemon, mut reader, written) = draining(60_000_000);
    daemon.upgrade();
    assert_eq!(daemon.route("a").state(), "draining");
    let read = reader.check_to_end(&mut Checker::new(Pattern::new(82)));
    let route = daemon.wait_for("route.a", "closed");
    assert_eq!(route.destination(0).text("closeCause"), "drained", "{route}");
    assert_eq!(
        (read, route.destination(0).int("bytes")),
        (route.int("acceptedBytes"), read)
    );
    assert!(read <= written);
}

fn a_drain_keeps_its_deadline() {
    let (daemon, reader, _) = draining(1_500_000);
    daemon.upgrade();
    let route = daemon.wait_for("route.a", "closed");
    let one = route.destination(0);
    assert_eq!(one.text("closeCause"), "drain_timeout", "{route}");
    assert!(one.int("droppedBytes") > 0, "{route}");
    drop(reader);
}

fn a_route_that_is_closed_stays_so() {
    let daemon = Daemon::start(
        "[route.a]\nfrom = { fifo = \"in\", on-eof = \"close\" }\nto = [\"fifo:out\", { fifo = \"gone\", when-gone = \"close\" }]\n",
    );
    let mut reader = FifoReader::open(daemon.fifo("out"));
    let gone = FifoReader::open(daemon.fifo("gone"));
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    writer.write_all(b"some");
    assert_eq!(reader.read_exact(4), b"some");
    drop(gone);
    daemon.wait_until("route.a", "without one", |route| {
        route.destination(1).state() == "closed"
    });
    daemon.upgrade_at_rest(&["route.a"]);
    writer.write_all(b"more");
    drop(writer);
    assert_eq!(reader.read_to_end(), b"more");
    let route = daemon.wait_for("route.a", "closed");
    assert_eq!(route.source(0).text("closeCause"), "eof");
    daemon.upgrade_at_rest(&["route.a"]);
    assert!(
        !daemon.changes("ResumeRoute", json!({ "name": "a" })),
        "by its end of file"
    );
}

/// ResumeRoute reopens a drained route; its source has kept what came meanwhile.
fn a_drained_route_can_be_resumed() {
    let daemon = Daemon::start("[route.a]\nfrom = \"fifo:in\"\nto = \"fifo:out\"\n");
    let mut reader = FifoReader::open(daemon.fifo("out"));
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    writer.write_all(b"one");
    assert_eq!(reader.read_exact(3), b"one");
    assert!(daemon.changes("DrainRoute", json!({ "name": "a" })));
    daemon.wait_for("route.a", "closed");
    assert_eq!(reader.read_to_end(), b"");
    writer.write_all(b"two");
    daemon.upgrade();
    assert_eq!(daemon.route("a").state(), "closed");
    writer.write_all(b"three");
    assert!(daemon.changes("ResumeRoute", json!({ "name": "a" })));
    assert_eq!(reader.read_exact(8), b"twothree");
}

fn what_was_dropped_stays_counted() {
    for policy in ["drop-newest", "drop-oldest"] {
        let daemon = Daemon::start(&format!(
            "[route.a]\nfrom = {{ fifo = \"in\", on-eof = \"close\" }}\nto = [\"null\", \"fifo:out\"]\nframing = \"lines\"\nwhen-full = \"{policy}\"\n"
        ));
        let records = Numbered::lines(50, 500);
        let mut reader = FifoReader::open(daemon.fifo("out"));
        let mut writer = FifoWriter::open(daemon.fifo("in"));
        records.write(&mut writer, 0..3000);
        let route = daemon.wait_accepted("a", records.length_of(0..3000));
        assert!(route.destination(1).int("droppedRecords") > 0, "{route}");
        daemon.upgrade_at_rest(&["route.a"]);
        let mut tally = Tally::new(records);
        // All that was kept comes, and then the last one, for which there is room.
        until(
            || {
                tally.take_what_is_there(&mut reader);
                (daemon.route("a").destination(1).int("queuedBytes") == 0).then_some(())
            },
            || format!("the queue is not empty: {}", daemon.route("a")),
        );
        records.write(&mut writer, 3000..3001);
        drop(writer);
        tally.read_to_end(&mut reader);
        let numbers = tally.finish();
        assert_eq!(numbers.last(), Some(&3000));
        assert!(runs(&numbers).len() >= 2);
        let route = daemon.wait_for("route.a", "closed");
        let one = route.destination(1);
        assert_eq!(one.int("records"), numbers.len() as u64, "{route}");
        assert_eq!(one.int("records") + one.int("droppedRecords"), 3001, "{route}");
        daemon.finish();
    }
}

fn a_balance_keeps_its_shares() {
    let daemon = Daemon::start(
        "[route.a]\nfrom = { fifo = \"in\", on-eof = \"close\" }\nto = [\"fifo:w0\", \"fifo:w1\"]\nframing = \"lines\"\ndistribution = \"balance\"\n",
    );
    let records = Numbered::lines(20, 2000);
    let readers = ["w0", "w1"].map(|name| FifoReader::open(daemon.fifo(name)));
    let whole: Vec<u8> = (0..2000).flat_map(|number| records.record(number)).collect();
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    let mut sent = 0;
    while !is_full(&daemon) {
        sent += writer
            .try_write(&whole[sent..(sent + 3000).min(whole.len())])
            .expect("a write");
    }
    daemon.upgrade_at_rest(&["route.a"]);
    let readers = readers.map(|reader| records.to_end_in_background(reader));
    writer.write_all(&whole[sent..]);
    drop(writer);
    came_exactly_once(&readers.map(Background::done), 0..2000);
    let route = daemon.wait_for("route.a", "closed");
    let shares: u64 = route.list("destinations").iter().map(|one| one.int("records")).sum();
    assert_eq!(shares, 2000, "{route}");
}

/// fromBytes, retiredBytes and what removed sources had given belong to the law.
fn destinations_that_came_by_a_reload() {
    let text = |from: &str, to: &str| format!("[route.a]\nfrom = [{from}]\nto = [{to}]\n");
    let daemon = Daemon::start(&text("\"fifo:in\", \"fifo:old\"", "\"fifo:out\""));
    let mut reader = FifoReader::open(daemon.fifo("out"));
    let mut writers = ["in", "old"].map(|name| FifoWriter::open(daemon.fifo(name)));
    writers.iter_mut().for_each(|writer| writer.write_all(b"1234"));
    assert_eq!(reader.read_exact(8).len(), 8);
    let both = "\"fifo:out\", \"fifo:two\"";
    assert_eq!(daemon.reload(&text("\"fifo:in\"", both)).len(), 2);
    let mut two = FifoReader::open(daemon.fifo("two"));
    let [writer, _] = &mut writers;
    writer.write_all(b"5678");
    assert_eq!(
        (reader.read_exact(4), two.read_exact(4)),
        (b"5678".to_vec(), b"5678".to_vec())
    );
    daemon.upgrade_at_rest(&["route.a"]);
    let route = daemon.route("a");
    assert_eq!(
        (route.destination(1).int("fromBytes"), route.int("removedSourceBytes")),
        (8, 4)
    );
    assert_eq!(daemon.reload(&text("\"fifo:in\"", "\"fifo:out\"")).len(), 1);
    daemon.upgrade_at_rest(&["route.a"]);
    writer.write_all(b"9");
    assert_eq!(reader.read_exact(1), b"9");
}
