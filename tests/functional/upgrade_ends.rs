//! Ends of routes over an upgrade: who was there is still there, who left has still left, who comes is let in.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::support::{Checker, Daemon, FifoReader, FifoWriter, Pattern, Shown, stories};

stories!(
    no_end_is_opened_anew,
    a_fifo_without_a_reader_keeps_its_bytes,
    an_unread_stdin_is_the_successors,
    a_writer_that_left_before_it,
    a_writer_that_leaves_and_comes_back,
    a_reader_that_comes_after_it,
);

/// open(2) of a FIFO is seen by its peers: by a reader that counts its writers, by inotify; and in `opens`.
fn no_end_is_opened_anew() {
    let daemon = Daemon::start("[route.a]\nfrom = \"fifo:in\"\nto = [\"fifo:out\", \"file:$DIR/copy\", \"null\"]\n");
    let mut reader = FifoReader::open(daemon.fifo("out"));
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    writer.write_all(b"x");
    assert_eq!(reader.read_exact(1), b"x");
    let opens = || {
        let route = daemon.route("a");
        let ends = [route.list("sources"), route.list("destinations")].concat();
        ends.iter().map(|end| end.int("opens")).collect::<Vec<_>>()
    };
    let before = opens();
    daemon.upgrade();
    daemon.upgrade();
    assert_eq!(opens(), before);
}

fn a_fifo_without_a_reader_keeps_its_bytes() {
    for path in ["auto", "copy", "splice"] {
        let daemon = Daemon::start(&format!(
            "[route.a]\nfrom = \"fifo:in\"\nto = [\"fifo:out\", \"fifo:never\"]\npath = \"{path}\"\n\
             [route.b]\nfrom = \"fifo:in-b\"\nto = \"fifo:out-b\"\npath = \"{path}\"\n"
        ));
        let readers = ["out", "never", "out-b"].map(|name| FifoReader::open(daemon.fifo(name)));
        let pattern = Pattern::new(83);
        for name in ["in", "in-b"] {
            let mut writer = FifoWriter::open(daemon.fifo(name));
            writer.write_pattern(pattern, 20_000);
        }
        for route in ["a", "b"] {
            daemon.wait_until(&format!("route.{route}"), "written", |route| {
                route.list("destinations").iter().all(|one| one.int("bytes") == 20_000)
            });
        }
        drop(readers);
        for route in ["route.a", "route.b"] {
            daemon.wait_until(route, "without a reader", |route| route.paused_only_for("no_reader"));
        }
        daemon.upgrade_at_rest(&["route.a", "route.b"]);
        for name in ["out", "never", "out-b"] {
            let mut reader = FifoReader::open(daemon.fifo(name));
            reader.check_up_to(&mut Checker::new(pattern), 20_000);
        }
        daemon.finish();
    }
}

fn kernel_bytes(route: &Shown) -> u64 {
    route.destination(0).maybe_int("kernelBytes").unwrap_or(0)
}

/// keep-stdin: the pipe is the process's, not a life's of the daemon.
fn an_unread_stdin_is_the_successors() {
    let daemon = Daemon::start(
        r#"
        [process.consumer]
        command = [$PEER, "record-some 10000 $DIR/record", "await $DIR/run/gate", "record $DIR/record"]
        restart-delay = "1ms"

        [route.gate]
        from = "fifo:gate-in"
        to = "fifo:gate"

        [route.a]
        from = { fifo = "in", on-eof = "close" }
        to = "process:consumer.stdin"
        "#,
    );
    let pattern = Pattern::new(84);
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    writer.write_pattern(pattern, 50_000);
    let unread = |route: &Shown| kernel_bytes(route) == 40_000;
    daemon.wait_until("route.a", "unread", unread);
    let pid = daemon.pid_of("consumer");
    daemon.upgrade_at_rest(&["route.a", "process.consumer"]);
    kill(Pid::from_raw(pid), Signal::SIGKILL).expect("a consumer to kill");
    daemon.wait_until("route.a", "read on", |route| kernel_bytes(route) == 30_000);
    daemon.upgrade();
    FifoWriter::open(daemon.fifo("gate-in")).write_all(b"x");
    writer.write_pattern(pattern, 100_000);
    drop(writer);
    daemon.wait_for("route.a", "closed");
    daemon.wait_for("process.consumer", "finished");
    let record = std::fs::read(daemon.file("record")).expect("the record");
    Checker::new(pattern).feed(&record);
    assert_eq!(record.len(), 150_000);
}

/// fifo(7): after the last writer has left, only the hang-up tells of it; it must not be forgotten, nor told twice.
fn a_writer_that_left_before_it() {
    for (end, path) in [("close", "auto"), ("close", "copy"), ("reopen", "splice")] {
        let daemon = Daemon::start(&format!(
            "[route.a]\nfrom = {{ fifo = \"in\", on-eof = \"{end}\" }}\nto = \"fifo:out\"\npath = \"{path}\"\nstart-paused = true\n"
        ));
        let mut reader = FifoReader::open(daemon.fifo("out"));
        let mut writer = FifoWriter::open(daemon.fifo("in"));
        writer.write_all(b"before");
        drop(writer);
        daemon.wait_until("route.a", "hung up", |route| {
            route.source(0).flag("peerHungUp") && route.destination(0).state() == "open"
        });
        daemon.upgrade_at_rest(&["route.a"]);
        assert!(daemon.changes("ResumeRoute", json!({ "name": "a" })));
        assert_eq!(reader.read_exact(6), b"before");
        if end == "close" {
            assert_eq!(reader.read_to_end(), b"");
            let route = daemon.wait_for("route.a", "closed");
            assert_eq!(route.source(0).text("closeCause"), "eof");
        } else {
            daemon.upgrade();
            FifoWriter::open(daemon.fifo("in")).write_all(b"after");
            assert_eq!(reader.read_exact(5), b"after");
        }
        daemon.finish();
    }
}

/// Writers that come and go around upgrades: no end comes between them, and one that never came is waited for.
fn a_writer_that_leaves_and_comes_back() {
    let daemon = Daemon::start(
        "[route.a]\nfrom = [{ fifo = \"in\", on-eof = \"reopen\" }, { fifo = \"held\", on-eof = \"hold\" }, { fifo = \"never\", on-eof = \"close\" }]\nto = \"fifo:out\"\n",
    );
    let mut reader = FifoReader::open(daemon.fifo("out"));
    for turn in 0..6_u8 {
        for name in ["in", "held"] {
            let mut writer = FifoWriter::open(daemon.fifo(name));
            writer.write_all(&[turn; 100]);
            assert_eq!(reader.read_exact(100), [turn; 100]);
            daemon.upgrade();
            writer.write_all(&[turn; 200]);
            assert_eq!(reader.read_exact(200), [turn; 200]);
        }
        daemon.upgrade();
        assert_eq!(daemon.route("a").source(2).state(), "waiting");
    }
    FifoWriter::open(daemon.fifo("never")).write_all(b"last");
    assert_eq!(reader.read_exact(4), b"last");
    daemon.wait_until("route.a", "ended by the third", |route| {
        route.source(2).state() == "ended"
    });
}

/// open(2) of a reader that blocks returns: its keeper is there in the next life, too.
fn a_reader_that_comes_after_it() {
    for path in ["auto", "copy", "splice"] {
        let daemon = Daemon::start(&format!(
            "[route.a]\nfrom = \"fifo:in\"\nto = \"fifo:out\"\npath = \"{path}\"\n"
        ));
        let mut writer = FifoWriter::open(daemon.fifo("in"));
        writer.write_all(b"waits");
        daemon.wait_until("route.a", "without a reader", |route| {
            route.paused_only_for("no_reader")
        });
        daemon.upgrade_at_rest(&["route.a"]);
        let mut reader = FifoReader::open_blocking(daemon.fifo("out"));
        assert_eq!(reader.read_exact(5), b"waits");
        drop(reader);
        daemon.wait_until("route.a", "without a reader", |route| {
            route.reasons().contains(&"no_reader".to_owned())
        });
        daemon.finish();
    }
}
