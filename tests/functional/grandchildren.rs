//! A child has exited, and a grandchild holds its output open.

use std::time::Duration;

use crate::support::{Daemon, FifoReader, FifoWriter, Taken, stories};

stories!(
    a_grandchild_keeps_the_output,
    a_grandchild_that_does_not_end_is_ended,
    a_grandchild_that_left_its_group_is_abandoned,
    grandchildren_of_every_life_do_not_slow_the_daemon,
);

/// golang/go#60309, cpython gh-119710: the exit is told at once, and the rest of the output still arrives.
fn a_grandchild_keeps_the_output() {
    let daemon = Daemon::start(
        r#"
        [process.p]
        command = [$PEER, "say child", "grandchild await $DIR/run/gate | say grandchild", "exit 5"]
        restart = "never"
        stop-timeout = "60s"

        [route.gate]
        from = "fifo:gate-in"
        to = "fifo:gate"

        [route.o]
        from = "process:p.stdout"
        to = "fifo:out"
        "#,
    );
    let mut monitor = daemon.monitor();
    let mut reader = FifoReader::open(daemon.fifo("out"));
    assert_eq!(reader.read_exact(6), b"child\n");
    let process = daemon.wait_until("process.p", "exited", |process| !process.field("lastExit").is_null());
    assert_eq!(process.object("lastExit").int("code"), 5);
    assert_eq!(reader.try_read(1), Taken::Nothing);
    FifoWriter::open(daemon.fifo("gate-in")).write_all(b"go");
    assert_eq!(reader.read_to_end(), b"grandchild\n");
    daemon.wait_for("route.o", "closed");
    monitor.wait_for("route_closed", "route:o");
    assert_eq!(monitor.count("output_abandoned", "process:p"), 0);
}

/// process-compose#520: the leader has gone, its group has not.
fn a_grandchild_that_does_not_end_is_ended() {
    let daemon = Daemon::start(
        r#"
        [process.p]
        command = [$PEER, "grandchild say held | hold", "exit 0"]
        restart = "never"
        stop-timeout = "300ms"

        [route.o]
        from = "process:p.stdout"
        to = "fifo:out"
        "#,
    );
    let mut reader = FifoReader::open(daemon.fifo("out"));
    assert_eq!(reader.read_to_end(), b"held\n");
    daemon.wait_for("route.o", "closed");
}

/// One that is in another session cannot be killed with the group: the pipe is closed, and that is told.
fn a_grandchild_that_left_its_group_is_abandoned() {
    let daemon = Daemon::start(
        r#"
        [process.p]
        command = [$PEER, "grandchild setsid | say held | tell $DIR/up x | await $DIR/run/gate", "exit 0"]
        restart = "never"
        stop-timeout = "300ms"

        [route.gate]
        from = "fifo:gate-in"
        to = "fifo:gate"

        [route.o]
        from = "process:p.stdout"
        to = "fifo:out"
        "#,
    );
    let mut monitor = daemon.monitor();
    let mut reader = FifoReader::open(daemon.fifo("out"));
    assert_eq!(reader.read_to_end(), b"held\n");
    daemon.wait_for("route.o", "closed");
    monitor.wait_for("output_abandoned", "process:p");
    assert_eq!(monitor.count("output_abandoned", "process:p"), 1);
    // It is nobody's any more; let it go.
    FifoWriter::open(daemon.fifo("gate-in")).write_all(b"go");
    daemon.wait_until("route.gate", "left", |route| route.paused_only_for("no_reader"));
}

/// Who is left of a group is asked of /proc, which costs time in proportion to all processes of the system: not at every
/// event of a process whose lives leave something behind.
fn grandchildren_of_every_life_do_not_slow_the_daemon() {
    let daemon = Daemon::start(
        r#"
        [process.p]
        command = ["sh", "-c", "sleep 1000 > /dev/null 2>&1 & exit 1"]
        restart-delay = "1ms"
        restart-delay-max = "1ms"
        start-limit = { burst = 0, interval = "10s" }
        "#,
    );
    let restarted = |times| {
        daemon.wait_until("process.p", "restarted often", |process| {
            process.int("restarts") >= times
        });
        daemon.probe().cpu_time()
    };
    let before = restarted(100);
    let for_a_hundred = restarted(200) - before;
    assert!(for_a_hundred < Duration::from_secs(2), "{for_a_hundred:?} of CPU time");
}
