//! What is told of an end, and when: not twice, not falsely, not too early, and always in the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::support::{Background, Client, Daemon, Deadline, FifoReader, FifoWriter, let_pass, stories};

stories!(
    what_a_consumer_leaves_is_counted_once,
    an_output_that_waits_long_is_not_abandoned,
    a_drain_ends_before_the_next_life_does,
    whoever_waits_for_a_drain_is_answered,
    a_full_cycle_does_not_wait_for_the_deadline,
    a_file_at_the_size_limit_ends_nothing,
    what_a_consumer_leaves_after_its_end_of_input_is_counted,
);

/// The daemon keeps a spare read end of the consumer's stdin, and closes it for good: the bytes in it are lost once.
fn what_a_consumer_leaves_is_counted_once() {
    for _ in 0..10 {
        let daemon = Daemon::start(
            r#"
            [process.consumer]
            command = [$PEER, "read 1000"]
            restart = "never"
            keep-stdin = true

            [route.a]
            from = "fifo:in"
            to = "process:consumer.stdin"
            start-paused = true
            "#,
        );
        FifoWriter::open(daemon.fifo("in")).write_all(&[7; 30_000]);
        assert!(daemon.changes("ResumeRoute", json!({ "name": "a" })));
        let route = daemon.wait_for("route.a", "closed");
        let destination = route.destination(0);
        assert_eq!(destination.text("closeCause"), "peer_gone", "{route}");
        assert_eq!(
            destination.maybe_int("unreadBytes").unwrap_or(0),
            destination.int("bytes") - 1000,
            "{route}"
        );
    }
}

/// Its process has exited, nobody else holds the pipe, and an operator has paused the route for longer than
/// stop-timeout: what stands in the pipe is whole.
fn an_output_that_waits_long_is_not_abandoned() {
    let daemon = Daemon::start(
        r#"
        [process.p]
        command = [$PEER, "write 1000"]
        restart = "never"
        stop-timeout = "1ms"

        [route.a]
        from = "process:p.stdout"
        to = "null"
        start-paused = true
        "#,
    );
    let mut monitor = daemon.monitor();
    daemon.wait_for("process.p", "finished");
    // stop-timeout, and what a killed group is given after it.
    let_pass(Duration::from_millis(600));
    assert!(daemon.changes("ResumeRoute", json!({ "name": "a" })));
    assert_eq!(daemon.wait_for("route.a", "closed").int("acceptedBytes"), 1000);
    monitor.wait_for("route_closed", "route:a");
    let told = monitor.kinds();
    assert!(
        !told.iter().any(|kind| kind.starts_with("output_abandoned")),
        "{told:?}"
    );
}

/// A life that has exited left something in its pipe, and its successor never stops writing: a drain takes what the one
/// left and what the other has written by then.
fn a_drain_ends_before_the_next_life_does() {
    let daemon = Daemon::start(
        r#"
        [process.p]
        command = ["sh", "-c", "if [ -e $DIR/one ]; then exec cat /dev/zero; else touch $DIR/one; echo first; fi"]

        [route.a]
        from = "process:p.stdout"
        to = "null"
        start-paused = true
        "#,
    );
    daemon.wait_until("process.p", "restarted", |process| process.int("restarts") > 0);
    daemon.wait_for("process.p", "ready");
    let call = json!({ "name": "a", "timeoutUSec": 20_000_000 });
    assert!(daemon.changes("DrainRoute", call));
    let route = daemon.route("a");
    assert_eq!(route.source(0).text("closeCause"), "drained", "{route}");
    assert_eq!(route.destination(0).text("closeCause"), "drained", "{route}");
    assert!(route.int("acceptedBytes") >= 6, "{route}");
}

/// The reply of a drain, and of the calls after it, while others keep the daemon busy with questions.
fn whoever_waits_for_a_drain_is_answered() {
    const ROUNDS: u64 = 1500;
    let daemon = Daemon::start("[route.a]\nfrom = \"fifo:in\"\nto = \"fifo:out\"\n");
    let mut reader = FifoReader::open(daemon.fifo("out"));
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    let deadline = Deadline::within(Duration::from_secs(60));
    let over = Arc::new(AtomicBool::new(false));
    let busy: Vec<_> = (0..3)
        .map(|_| {
            let (socket, over) = (daemon.place().socket(), Arc::clone(&over));
            Background::run(move || {
                let mut client = Client::connect(&socket).expect("a connection");
                while !over.load(Ordering::Relaxed) && !deadline.passed() {
                    client.call("ListRoutes", json!({})).expect("ListRoutes");
                }
            })
        })
        .collect();
    let mut client = daemon.client();
    for round in 1..=ROUNDS {
        writer.write_all(b"0123456789");
        client.call("DrainRoute", json!({ "name": "a" })).expect("DrainRoute");
        let reply = client.call("ListRoutes", json!({ "name": "a" })).expect("ListRoutes");
        let route = &reply.list("routes")[0];
        assert_eq!(
            (route.state(), route.int("acceptedBytes")),
            ("closed", round * 10),
            "{route}"
        );
        client.call("ResumeRoute", json!({ "name": "a" })).expect("ResumeRoute");
        daemon.wait_for("route.a", "flowing");
    }
    over.store(true, Ordering::Relaxed);
    for one in busy {
        one.done();
    }
    assert_eq!(reader.read_exact((ROUNDS * 10) as usize).len() as u64, ROUNDS * 10);
}

/// Both members of a cycle write, and neither reads any more: when both have ended by their signal, there is nobody to
/// wait for.
fn a_full_cycle_does_not_wait_for_the_deadline() {
    let daemon = Daemon::start(
        r#"
        [daemon]
        drain-timeout = "60s"

        [process.ping]
        command = ["cat"]

        [process.pong]
        command = ["cat"]

        [route.there]
        from = ["fifo:in", "process:pong.stdout"]
        to = "process:ping.stdin"

        [route.back]
        from = "process:ping.stdout"
        to = "process:pong.stdin"
        "#,
    );
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    let full = || {
        let (there, back) = (daemon.route("there"), daemon.route("back"));
        there.paused_only_for("backpressure") && back.paused_only_for("backpressure")
    };
    while !full() {
        let _ = writer.try_write(&[1; 65536]);
    }
    daemon.signal(Signal::SIGTERM);
    daemon.expect_end(0);
}

/// setrlimit(2): a write beyond RLIMIT_FSIZE raises SIGXFSZ, which ends a process that does not ignore it.
fn a_file_at_the_size_limit_ends_nothing() {
    let daemon = Daemon::config(
        r#"
        [daemon]
        drain-timeout = "100ms"

        [process.child]
        command = ["sh", "-c", "kill -XFSZ $$"]
        restart = "never"

        [route.a]
        from = "fifo:in"
        to = "file:$DIR/out"

        [route.b]
        from = "fifo:in-b"
        to = "fifo:out-b"
        "#,
    )
    .wrapped_in(&["bash", "-c", "ulimit -f 64; exec \"$@\"", "bash"])
    .start();
    FifoWriter::open(daemon.fifo("in")).write_all(&[1; 100_000]);
    daemon.wait_until("route.a", "in trouble", |route| {
        let trouble = route.destination(0).text_or_empty("trouble").to_owned();
        trouble.contains("EFBIG")
    });
    let exit = daemon.wait_for("process.child", "finished").object("lastExit");
    assert_eq!(exit.text("signal"), "SIGXFSZ", "the children get the default back");
    let mut reader = FifoReader::open(daemon.fifo("out-b"));
    FifoWriter::open(daemon.fifo("in-b")).write_all(b"on");
    assert_eq!(reader.read_exact(2), b"on");
}

/// It got all of its input and the end of it, and has ended without reading: with a kept stdin the daemon knows, and a
/// byte was lost.
fn what_a_consumer_leaves_after_its_end_of_input_is_counted() {
    let config = r#"
        [process.producer]
        command = [$PEER, "write 5000"]
        restart = "never"

        [process.consumer]
        command = [$PEER, "read 10", "await $DIR/run/gate"]
        restart = "never"
        keep-stdin = true

        [route.a]
        from = "process:producer.stdout"
        to = "process:consumer.stdin"

        [route.gate]
        from = { fifo = "in", on-eof = "close" }
        to = { fifo = "gate", when-gone = "close" }
        "#;
    let daemon = Daemon::config(config).argument("--exit-when-done").start();
    daemon.wait_for("route.a", "closed");
    FifoWriter::open(daemon.fifo("in")).write_all(b"g");
    let log = daemon.expect_end(1);
    assert!(log.contains("4990 left unread by a consumer"), "{log}");
}
