//! What one life of the daemon leaves in the store is there for the next: bytes of the dead, pauses, the daemon's own
//! counters. docs/design/0014.

use serde_json::json;

use crate::fd_store::{end, read};
use crate::support::{Checker, Client, Daemon, FifoReader, FifoWriter, Manager, Pattern, Taken, stories, until};

stories!(
    full_pipes_of_processes_that_do_not_read,
    what_a_dead_producer_has_written_comes_before_its_successors,
    an_extra_descriptor_is_kept,
    what_a_dead_consumer_has_not_read_is_its_successors,
    bytes_in_fifos_survive,
    an_operators_pause_is_restored,
    the_daemons_own_counters_go_on,
    an_upgrade_between_two_deaths,
    the_passed_control_socket_is_not_confused_with_the_store,
);

/// Neither a byte of the input nor one of the output moves while they are killed.
fn full_pipes_of_processes_that_do_not_read() {
    let manager = Manager::new();
    let daemon = manager.start(
        r#"
        [process.p]
        command = ["sh", "-c", "[ -e $DIR/go ] || exec sleep 1000; exec cat"]

        [route.in]
        from = "fifo:in"
        to = "process:p.stdin"
        path = "splice"

        [route.out]
        from = "process:p.stdout"
        to = "fifo:out"
        path = "splice"
        "#,
    );
    let pattern = Pattern::new(106);
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    writer.write_until(pattern, || daemon.route("in").paused_only_for("backpressure"));
    let written = writer.written();
    let mut daemon = daemon;
    for _ in 0..3 {
        let place = manager.kill_all(daemon);
        daemon = manager.restart(place);
        daemon.wait_until("route.in", "full as before", |route| {
            route.paused_only_for("backpressure")
        });
    }
    let place = manager.kill_all(daemon);
    std::fs::write(place.file("go"), "").expect("a file");
    let daemon = manager.restart(place);
    let mut reader = FifoReader::open(daemon.fifo("out"));
    let mut checker = Checker::new(pattern);
    reader.check_up_to(&mut checker, written);
    writer.write_pattern(pattern, 10_000);
    reader.check_up_to(&mut checker, written + 10_000);
    end(&manager, daemon, |_| ());
}

/// Bytes never change order: what stands in the dead one's pipe goes first.
fn what_a_dead_producer_has_written_comes_before_its_successors() {
    let manager = Manager::new();
    let mut daemon = manager.start(
        r#"
        [process.p]
        command = [$PEER, "write 30000", "tell $DIR/written x", "hold"]

        [route.a]
        from = "process:p.stdout"
        to = "fifo:out"
        path = "splice"
        start-paused = true
        "#,
    );
    let written = |daemon: &Daemon| std::fs::read(daemon.file("written")).map_or(0, |told| told.len() / 2);
    for life in 1..=3 {
        until(
            || (written(&daemon) == life).then_some(()),
            || format!("life {life} of the producer has not written"),
        );
        let place = manager.kill_all(daemon);
        daemon = manager.restart(place);
    }
    let mut reader = FifoReader::open(daemon.fifo("out"));
    daemon.changes("ResumeRoute", json!({ "name": "a" }));
    let life = Pattern::new(1).bytes(0, 30_000);
    for number in 1..=4 {
        assert!(
            reader.read_exact(30_000) == life,
            "life {number} is torn, or in another's place"
        );
    }
    daemon.wait_until("route.a", "empty", |route| {
        route.source(0).maybe_int("kernelBytes") == Some(0)
    });
    assert_eq!(reader.try_read(1), Taken::Nothing);
    end(&manager, daemon, |_| ());
}

fn an_extra_descriptor_is_kept() {
    let manager = Manager::new();
    let daemon = manager.start(
        r#"
        [process.p]
        command = ["sh", "-c", "[ -e $DIR/go ] || exec sleep 1000; exec cat <&5 >&4"]

        [route.in]
        from = { fifo = "in", on-eof = "close" }
        to = "process:p.fd5"
        path = "splice"

        [route.out]
        from = "process:p.fd4"
        to = "fifo:out"
        path = "splice"
        "#,
    );
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    writer.write_all(b"for the next one");
    daemon.wait_until("route.in", "unread", |route| {
        route.destination(0).maybe_int("kernelBytes") == Some(16)
    });
    let place = manager.kill_all(daemon);
    std::fs::write(place.file("go"), "").expect("a file");
    let daemon = manager.restart(place);
    let mut reader = FifoReader::open(daemon.fifo("out"));
    assert_eq!(reader.read_exact(16), b"for the next one");
    drop(writer);
    assert_eq!(reader.read_to_end(), b"");
    daemon.wait_for("route.in", "closed");
    end(&manager, daemon, |_| ());
}

fn what_a_dead_consumer_has_not_read_is_its_successors() {
    let manager = Manager::new();
    let mut daemon = manager.start(
        r#"
        [process.consumer]
        command = [$PEER, "record-some 10000 $DIR/record", "await $DIR/run/gate", "record $DIR/record"]

        [route.gate]
        from = "fifo:gate-in"
        to = "fifo:gate"

        [route.a]
        from = { fifo = "in", on-eof = "close" }
        to = "process:consumer.stdin"
        path = "splice"
        "#,
    );
    let pattern = Pattern::new(107);
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    writer.write_pattern(pattern, 50_000);
    for unread in [40_000, 30_000, 20_000] {
        daemon.wait_until("route.a", "unread", |route| {
            route.destination(0).maybe_int("kernelBytes") == Some(unread)
        });
        let place = manager.kill_all(daemon);
        daemon = manager.restart(place);
    }
    FifoWriter::open(daemon.fifo("gate-in")).write_all(b"x");
    writer.write_pattern(pattern, 100_000);
    drop(writer);
    daemon.wait_for("route.a", "closed");
    daemon.wait_for("process.consumer", "finished");
    end(&manager, daemon, |place| {
        let record = read(place, "record");
        Checker::new(pattern).feed(&record);
        assert_eq!(record.len(), 150_000);
    });
}

/// fifo(7): when nobody has it open any more its bytes are gone; the store has it open.
fn bytes_in_fifos_survive() {
    let manager = Manager::new();
    let daemon = manager.start(
        "[route.unread]\nfrom = \"fifo:in\"\nto = \"fifo:never\"\npath = \"splice\"\nstart-paused = true\n\
         [route.written]\nfrom = \"fifo:other\"\nto = [\"fifo:out\", \"fifo:two\"]\npath = \"splice\"\n",
    );
    let readers = ["out", "two"].map(|name| FifoReader::open(daemon.fifo(name)));
    FifoWriter::open(daemon.fifo("in")).write_all(b"its writer has gone");
    FifoWriter::open(daemon.fifo("other")).write_all(b"its readers have gone");
    daemon.wait_until("route.written", "written", |route| {
        route.list("destinations").iter().all(|one| one.int("bytes") == 21)
    });
    drop(readers);
    let mut daemon = daemon;
    for _ in 0..2 {
        let place = manager.kill_all(daemon);
        daemon = manager.restart(place);
    }
    for name in ["out", "two"] {
        let mut reader = FifoReader::open(daemon.fifo(name));
        assert_eq!(reader.read_exact(21), b"its readers have gone");
    }
    daemon.changes("ResumeRoute", json!({ "name": "unread" }));
    let mut reader = FifoReader::open(daemon.fifo("never"));
    assert_eq!(reader.read_exact(19), b"its writer has gone");
    end(&manager, daemon, |_| ());
}

fn an_operators_pause_is_restored() {
    let manager = Manager::new();
    let daemon = manager.start(
        "[route.a]\nfrom = \"fifo:in\"\nto = \"fifo:out\"\npath = \"splice\"\n\
         [route.b]\nfrom = \"fifo:in-b\"\nto = \"fifo:out-b\"\n",
    );
    let mut reader = FifoReader::open(daemon.fifo("out"));
    let mut other = FifoReader::open(daemon.fifo("out-b"));
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    let mut writer_b = FifoWriter::open(daemon.fifo("in-b"));
    for name in ["a", "b"] {
        assert!(daemon.changes("PauseRoute", json!({ "name": name })));
    }
    assert!(daemon.changes("ResumeRoute", json!({ "name": "b" })));
    writer.write_all(b"held");
    let place = manager.kill_all(daemon);
    let daemon = manager.restart(place);
    daemon.wait_until("route.a", "paused", |route| route.paused_only_for("operator"));
    writer_b.write_all(b"flows");
    assert_eq!(other.read_exact(5), b"flows", "it was resumed before");
    assert_eq!(reader.try_read(10), Taken::Nothing);
    assert!(daemon.changes("ResumeRoute", json!({ "name": "a" })));
    assert_eq!(reader.read_exact(4), b"held");
    let place = manager.kill_all(daemon);
    let daemon = manager.restart(place);
    writer.write_all(b"goes on");
    assert_eq!(reader.read_exact(7), b"goes on");
    end(&manager, daemon, |_| ());
}

/// Counters of routes begin at zero; `life` and `generation` do not.
fn the_daemons_own_counters_go_on() {
    let text = "[process.p]\ncommand = [$PEER, \"hold\"]\n[route.a]\nfrom = \"fifo:in\"\nto = \"process:p.stdin\"\n";
    let manager = Manager::new();
    let mut daemon = manager.start(text);
    daemon.reload(&format!("# one\n{text}"));
    daemon.reload(&format!("# two\n{text}"));
    for life in [2, 3, 4] {
        let place = manager.kill_all(daemon);
        daemon = manager.restart(place);
        let status = daemon.call("GetStatus", json!({})).expect("GetStatus");
        assert_eq!((status.int("life"), status.int("generation")), (life, 3), "{status}");
        manager.wait_ready();
    }
    daemon.reload(&format!("# three\n{text}"));
    assert_eq!(daemon.upgrade(), 5);
    end(&manager, daemon, |_| ());
    // In order is in order: the next one is the first.
    let daemon = manager.start(text);
    assert_eq!(daemon.life(), 1);
}

/// The next life deposits nothing twice, forgets nothing, and its journal is still the store's.
fn an_upgrade_between_two_deaths() {
    let manager = Manager::new();
    let daemon = manager.start(
        r#"
        [process.consumer]
        command = [$PEER, "await $DIR/run/gate", "record $DIR/record"]

        [route.gate]
        from = "fifo:gate-in"
        to = "fifo:gate"

        [route.a]
        from = { fifo = "in", on-eof = "close" }
        to = ["process:consumer.stdin", "fifo:out"]
        path = "splice"
        "#,
    );
    let pattern = Pattern::new(108);
    let reader = FifoReader::to_end_in_background(daemon.fifo("out"), pattern);
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    let mut daemon = daemon;
    for round in 1..=3 {
        writer.write_pattern(pattern, 10_000);
        daemon.wait_until("route.a", "written", |route| {
            route.destination(0).maybe_int("kernelBytes") == Some(round * 10_000)
        });
        let before = manager.names();
        daemon.upgrade();
        daemon.upgrade();
        manager.settle();
        assert_eq!(
            manager.names().len(),
            before.len(),
            "{:?}, and before {before:?}",
            manager.names()
        );
        let place = manager.kill_all(daemon);
        daemon = manager.restart(place);
    }
    assert_eq!(daemon.life(), 10);
    FifoWriter::open(daemon.fifo("gate-in")).write_all(b"x");
    writer.write_pattern(pattern, 1_000_000);
    drop(writer);
    assert_eq!(reader.done(), 1_030_000);
    daemon.wait_for("process.consumer", "finished");
    end(&manager, daemon, |place| {
        let record = read(place, "record");
        Checker::new(pattern).feed(&record);
        assert_eq!(record.len(), 1_030_000);
    });
}

/// sd_listen_fds(3): sockets and stored descriptors come in one list.
fn the_passed_control_socket_is_not_confused_with_the_store() {
    let manager = Manager::new().with_control_socket();
    let daemon = manager.start("[route.a]\nfrom = \"fifo:in\"\nto = \"fifo:out\"\npath = \"splice\"\n");
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    writer.write_all(b"kept");
    let place = manager.kill_all(daemon);
    // Nobody is refused meanwhile: systemd listens.
    let mut early = Client::connect(&place.socket()).expect("systemd's socket");
    early.send_call("GetStatus", &json!({}), &[]);
    let daemon = manager.restart(place);
    assert_eq!(early.reply().expect("GetStatus").int("life"), 2);
    let mut reader = FifoReader::open(daemon.fifo("out"));
    assert_eq!(reader.read_exact(4), b"kept");
    daemon.upgrade();
    writer.write_all(b"on");
    assert_eq!(reader.read_exact(2), b"on");
    end(&manager, daemon, |_| ());
}
