//! What an idle daemon costs: its own CPU time and its system calls, never the wall clock.

use std::time::Duration;

use serde_json::json;

use crate::support::{Daemon, FifoReader, FifoWriter, Pattern, let_pass, require_tool, stories, until};

stories!(
    a_second_writer_that_is_idle_costs_nothing,
    a_reader_that_has_gone_costs_nothing,
    a_paused_route_whose_writer_hung_up_costs_nothing,
    a_full_route_costs_nothing,
    a_consumer_that_does_not_read_costs_nothing,
    a_hundred_idle_routes_wake_nobody,
);

/// Longer than any tick; the share is of the daemon's own CPU time.
const WINDOW: Duration = Duration::from_millis(2500);

fn costs_nothing(daemon: &Daemon) {
    let share = daemon.probe().cpu_share_over(WINDOW);
    assert!(
        share < 0.01,
        "it uses {:.1} % of a core while nothing happens\n{}",
        share * 100.0,
        daemon.log()
    );
}

/// tokio issues on reused FIFOs: after writer 1 has left, an idle writer 2 must not spin the reader.
fn a_second_writer_that_is_idle_costs_nothing() {
    let daemon = Daemon::start("[route.a]\nfrom = \"fifo:in\"\nto = \"fifo:out\"\n");
    let mut reader = FifoReader::open(daemon.fifo("out"));
    FifoWriter::open(daemon.fifo("in")).write_all(b"first");
    assert_eq!(reader.read_exact(5), b"first");
    let mut second = FifoWriter::open(daemon.fifo("in"));
    second.write_all(b"x");
    assert_eq!(reader.read_exact(1), b"x");
    costs_nothing(&daemon);
    second.write_all(b"y");
    assert_eq!(reader.read_exact(1), b"y");
}

/// POLLERR on a write end is level-triggered and cannot be masked (poll(2)).
fn a_reader_that_has_gone_costs_nothing() {
    let daemon =
        Daemon::start("[daemon]\ndrain-timeout = \"100ms\"\n[route.a]\nfrom = \"fifo:in\"\nto = \"fifo:out\"\n");
    let mut reader = FifoReader::open(daemon.fifo("out"));
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    writer.write_all(b"x");
    assert_eq!(reader.read_exact(1), b"x");
    drop(reader);
    daemon.wait_until("route.a", "without a reader", |route| {
        route.paused_only_for("no_reader")
    });
    writer.write_all(&[0; 1000]);
    costs_nothing(&daemon);
}

/// POLLHUP on a read end is level-triggered, too.
fn a_paused_route_whose_writer_hung_up_costs_nothing() {
    let daemon = Daemon::start("[route.a]\nfrom = \"fifo:in\"\nto = \"fifo:out\"\n");
    let mut reader = FifoReader::open(daemon.fifo("out"));
    daemon.wait_for("route.a", "flowing");
    assert!(daemon.changes("PauseRoute", json!({ "name": "a" })));
    FifoWriter::open(daemon.fifo("in")).write_all(b"waiting");
    daemon.wait_until("route.a", "hung up", |route| route.source(0).flag("peerHungUp"));
    costs_nothing(&daemon);
    assert!(daemon.changes("ResumeRoute", json!({ "name": "a" })));
    assert_eq!(reader.read_exact(7), b"waiting");
}

fn a_full_route_costs_nothing() {
    for path in ["copy", "splice"] {
        let daemon = Daemon::start(&format!(
            "[daemon]\ndrain-timeout = \"100ms\"\n[route.a]\nfrom = \"fifo:in\"\nto = \"fifo:out\"\npath = \"{path}\"\n"
        ));
        let _never_reads = FifoReader::open(daemon.fifo("out"));
        let mut writer = FifoWriter::open(daemon.fifo("in"));
        writer.write_until(Pattern::new(1), || daemon.route("a").paused_only_for("backpressure"));
        costs_nothing(&daemon);
        daemon.finish();
    }
}

fn a_consumer_that_does_not_read_costs_nothing() {
    let daemon = Daemon::start(
        r#"
        [daemon]
        drain-timeout = "100ms"

        [process.producer]
        command = [$PEER, "write 10000000"]

        [process.consumer]
        command = [$PEER, "hold"]

        [route.a]
        from = "process:producer.stdout"
        to = "process:consumer.stdin"
        "#,
    );
    daemon.wait_until("route.a", "full", |route| route.paused_only_for("backpressure"));
    costs_nothing(&daemon);
}

/// 100 idle routes, seen by strace: not one system call in three seconds.
fn a_hundred_idle_routes_wake_nobody() {
    if !require_tool("strace") {
        return;
    }
    let routes: String = (0..100)
        .map(|index| format!("[route.r{index}]\nfrom = \"fifo:in{index}\"\nto = \"fifo:out{index}\"\n"))
        .collect();
    let daemon = Daemon::config(&routes).under_strace(&["-e", "trace=all"]).start();
    let readers: Vec<_> = (0..100)
        .map(|index| FifoReader::open(daemon.fifo(&format!("out{index}"))))
        .collect();
    let flowing = || daemon.routes().iter().all(|route| route.state() == "flowing");
    until(|| flowing().then_some(()), || "not all routes are flowing".to_owned());
    let length = || {
        std::fs::metadata(daemon.place().trace())
            .expect("strace's output")
            .len()
    };
    // Quiet: not a line more within the window. What the last question caused may take a window to settle.
    let settled = (0..5).any(|_| {
        let before = length();
        let_pass(Duration::from_secs(3));
        length() == before
    });
    assert!(
        settled,
        "an idle daemon goes on making system calls:\n{}",
        last_lines(&daemon)
    );
    drop(readers);
}

fn last_lines(daemon: &Daemon) -> String {
    let trace = std::fs::read_to_string(daemon.place().trace()).unwrap_or_default();
    let lines: Vec<&str> = trace.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}
