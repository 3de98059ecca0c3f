//! Several destinations, several sources, several routes.

use crate::support::{Checker, Daemon, FifoReader, FifoWriter, Pattern, stories};

stories!(
    destinations_get_the_same_bytes,
    a_full_device_ends_alone,
    a_file_destination_is_appended_to,
    several_sources_into_one_destination,
    stdout_and_stderr_into_one_destination,
    a_stuck_route_holds_no_other_back,
    null_takes_everything,
);

/// GNU tee tests: 1, 2, 12 and 13 outputs, identical byte for byte.
fn destinations_get_the_same_bytes() {
    for count in [1_usize, 2, 12, 13] {
        let names: Vec<String> = (0..count).map(|index| format!("\"fifo:out{index}\"")).collect();
        let daemon = Daemon::start(&format!(
            "[route.a]\nfrom = {{ fifo = \"in\", on-eof = \"close\" }}\nto = [{}]\n",
            names.join(", ")
        ));
        let (pattern, length) = (Pattern::new(count as u64), 3_000_017);
        let readers: Vec<_> = (0..count)
            .map(|index| FifoReader::to_end_in_background(daemon.fifo(&format!("out{index}")), pattern))
            .collect();
        FifoWriter::in_background(daemon.fifo("in"), pattern, length).done();
        for reader in readers {
            assert_eq!(reader.done(), length);
        }
        let route = daemon.wait_for("route.a", "closed");
        assert!(
            route
                .list("destinations")
                .iter()
                .all(|destination| destination.int("bytes") == length),
            "{route}"
        );
        daemon.finish();
    }
}

/// GNU tee tests/tee/tee.sh: one output is /dev/full; the others complete, one error is told.
fn a_full_device_ends_alone() {
    let daemon = Daemon::start(
        r#"
        [route.a]
        from = { fifo = "in", on-eof = "close" }
        to = ["fifo:out", "file:/dev/full", "file:$DIR/copy"]
        "#,
    );
    let mut monitor = daemon.monitor();
    let (pattern, length) = (Pattern::new(22), 5_000_000);
    let reader = FifoReader::to_end_in_background(daemon.fifo("out"), pattern);
    FifoWriter::in_background(daemon.fifo("in"), pattern, length).done();
    assert_eq!(reader.done(), length);
    let route = daemon.wait_for("route.a", "closed");
    let full = route.destination(1);
    assert_eq!(full.text("closeCause"), "io_error:ENOSPC", "{full}");
    assert_eq!(full.state(), "failed", "{full}");
    monitor.wait_for("route_closed", "route:a");
    monitor.wait_for("endpoint_closed", "route:a/file:/dev/full");
    assert_eq!(
        monitor.count("endpoint_closed", "route:a/file:/dev/full"),
        1,
        "{:?}",
        monitor.kinds()
    );
    daemon.wait_for_log("/dev/full");
    let lines = daemon.log().lines().filter(|line| line.contains("/dev/full")).count();
    assert!(
        (1..=3).contains(&lines),
        "{lines} lines tell of /dev/full:\n{}",
        daemon.log()
    );
    let copy = std::fs::read(daemon.file("copy")).expect("the copy");
    assert_eq!(copy.len() as u64, length);
    Checker::new(pattern).feed(&copy);
}

/// Shell `>>`: what was in the file stays; a new one gets mode 0640.
fn a_file_destination_is_appended_to() {
    use std::os::unix::fs::PermissionsExt;
    let builder = Daemon::config(
        r#"
        [route.a]
        from = { fifo = "in", on-eof = "close" }
        to = ["file:$DIR/old", "file:$DIR/new"]
        "#,
    );
    let daemon = builder.with_file("old", "before\n").start();
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    writer.write_all(b"after\n");
    drop(writer);
    daemon.wait_for("route.a", "closed");
    assert_eq!(
        std::fs::read_to_string(daemon.file("old")).expect("the old file"),
        "before\nafter\n"
    );
    assert_eq!(
        std::fs::read_to_string(daemon.file("new")).expect("the new file"),
        "after\n"
    );
    let mode = std::fs::metadata(daemon.file("new"))
        .expect("the new file")
        .permissions()
        .mode();
    assert_eq!(mode & 0o7777, 0o640);
}

/// libuv test-ipc and cat: all bytes of each source, each in its own order.
fn several_sources_into_one_destination() {
    let daemon = Daemon::start(
        r#"
        [route.a]
        from = [{ fifo = "x", on-eof = "close" }, { fifo = "y", on-eof = "close" }, { fifo = "z", on-eof = "close" }]
        to = "fifo:out"
        "#,
    );
    let mut reader = FifoReader::open(daemon.fifo("out"));
    let writers: Vec<_> = ["x", "y", "z"]
        .into_iter()
        .zip(0_u8..)
        .map(|(name, tag)| {
            let path = daemon.fifo(name);
            crate::support::Background::run(move || FifoWriter::open(path).write_all(&tagged(tag)))
        })
        .collect();
    let all = reader.read_to_end();
    writers.into_iter().for_each(crate::support::Background::done);
    for tag in 0..3 {
        let own: Vec<u8> = all.iter().copied().filter(|byte| byte >> 6 == tag).collect();
        assert!(own == tagged(tag), "source {tag}: {} bytes, or not in order", own.len());
    }
    let route = daemon.wait_for("route.a", "closed");
    assert_eq!(route.list("sources").len(), 3);
}

/// A million bytes that say whose they are in their upper bits.
fn tagged(tag: u8) -> Vec<u8> {
    let mut bytes = Pattern::new(u64::from(tag)).bytes(0, 1_000_000);
    bytes.iter_mut().for_each(|byte| *byte = (*byte & 0x3f) | (tag << 6));
    bytes
}

/// Shell `cmd 2>&1 | …`: both streams of one process arrive.
fn stdout_and_stderr_into_one_destination() {
    let daemon = Daemon::start(
        r#"
        [process.p]
        command = [$PEER, "say out 1", "complain err 1", "say out 2", "complain err 2"]
        restart = "never"

        [route.a]
        from = ["process:p.stdout", "process:p.stderr"]
        to = "fifo:out"
        "#,
    );
    let text = String::from_utf8(FifoReader::open(daemon.fifo("out")).read_to_end()).expect("text");
    let of = |word: &str| text.lines().filter(|line| line.starts_with(word)).collect::<Vec<_>>();
    assert_eq!(text.len(), 4 * 6, "{text:?}");
    assert_eq!((of("out"), of("err")), (vec!["out 1", "out 2"], vec!["err 1", "err 2"]));
    daemon.wait_for("route.a", "closed");
}

/// Vector and Fluent Bit issues on head-of-line blocking: one route is stuck for good, the other does not notice.
fn a_stuck_route_holds_no_other_back() {
    let daemon = Daemon::start(
        r#"
        [daemon]
        drain-timeout = "200ms"

        [route.stuck]
        from = "fifo:stuck-in"
        to = "fifo:stuck-out"

        [route.free]
        from = "fifo:in"
        to = "fifo:out"
        "#,
    );
    let _never_reads = FifoReader::open(daemon.fifo("stuck-out"));
    let mut writer = FifoWriter::open(daemon.fifo("stuck-in"));
    writer.write_until(Pattern::new(1), || {
        daemon.route("stuck").paused_only_for("backpressure")
    });
    let (pattern, length) = (Pattern::new(28), 32 * 1024 * 1024);
    let reader = FifoReader::in_background(daemon.fifo("out"), pattern, length);
    FifoWriter::in_background(daemon.fifo("in"), pattern, length).done();
    reader.done();
    assert!(daemon.route("stuck").paused_only_for("backpressure"));
}

/// Shell `> /dev/null`.
fn null_takes_everything() {
    let daemon = Daemon::start("[route.a]\nfrom = { fifo = \"in\", on-eof = \"close\" }\nto = { null = true }\n");
    FifoWriter::in_background(daemon.fifo("in"), Pattern::new(1), 3_000_000).done();
    let route = daemon.wait_for("route.a", "closed");
    assert_eq!(route.destination(0).text("name"), "null");
    assert_eq!(route.destination(0).int("bytes"), 3_000_000);
}
