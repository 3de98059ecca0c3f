//! `fd3` … `fd9`: pipes that a child inherits under a number.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::support::{Background, Checker, Daemon, FifoReader, FifoWriter, Pattern, sluiced, stories};

stories!(
    a_filter_from_fd3_to_fd4,
    a_child_gets_the_descriptors_of_its_routes_and_no_others,
    what_one_life_left_in_fd3_is_the_next_ones,
    without_keep_stdin_each_life_has_its_own,
    a_child_finishes_when_all_its_inputs_have_ended,
    an_input_that_nobody_reads_holds_no_other_back,
    instances_have_their_own,
    a_descriptor_has_one_direction,
);

/// Shell `3<in 4>out`, and the end of file that both have to pass.
fn a_filter_from_fd3_to_fd4() {
    const LENGTH: u64 = 16 * 1024 * 1024 + 5;
    for path in ["auto", "copy", "splice"] {
        let daemon = Daemon::start(&format!(
            r#"
            [process.p]
            command = ["sh", "-c", "cat <&3 >&4"]

            [route.in]
            from = {{ fifo = "in", on-eof = "close" }}
            to = "process:p.fd3"
            path = "{path}"

            [route.out]
            from = "process:p.fd4"
            to = "fifo:out"
            path = "{path}"
            "#
        ));
        let reader = FifoReader::to_end_in_background(daemon.fifo("out"), Pattern::new(61));
        FifoWriter::in_background(daemon.fifo("in"), Pattern::new(61), LENGTH).done();
        assert_eq!(reader.done(), LENGTH);
        let out = daemon.wait_for("route.out", "closed");
        assert_eq!(out.source(0).text("name"), "process:p.fd4");
        assert_eq!(out.source(0).int("bytes"), LENGTH);
        assert_eq!(daemon.route("in").destination(0).int("bytes"), LENGTH);
        assert_eq!(daemon.wait_for("process.p", "finished").int("restarts"), 0);
        daemon.finish();
    }
}

/// systemd's LISTEN_FDS and every supervisor's leak list: blocking, in its direction, and nothing besides.
fn a_child_gets_the_descriptors_of_its_routes_and_no_others() {
    let daemon = Daemon::start(
        r#"
        [process.p]
        command = ["sh", "-c", "for n in 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30; do if [ -e /proc/$$/fd/$n ]; then echo $n $(readlink /proc/$$/fd/$n) $(grep flags /proc/$$/fdinfo/$n); fi; done > '$DIR/told'"]
        restart = "never"
        stdout = "null"

        [process.other]
        command = ["sh", "-c", "cat <&5 >&6"]

        [route.a]
        from = "fifo:in"
        to = ["process:p.fd9", "process:other.fd5"]

        [route.b]
        from = ["process:p.fd3", "process:other.fd6", "process:p.fd7"]
        to = "null"
        "#,
    );
    daemon.wait_for("process.p", "finished");
    let told = std::fs::read_to_string(daemon.file("told")).expect("what it told");
    let (mut numbers, mut pipes) = (Vec::new(), Vec::new());
    for line in told.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        numbers.push(words[0]);
        if words[1].starts_with("pipe:") {
            let flags = i32::from_str_radix(words[3], 8).expect("octal flags");
            assert_eq!(flags & nix::libc::O_NONBLOCK, 0, "non-blocking: {told}");
            pipes.push((words[0], flags & nix::libc::O_ACCMODE));
        } else if words[0] == "0" {
            assert_eq!(words[1], "/dev/null", "{told}");
        }
    }
    // 10 is the shell's own copy of what it redirects.
    numbers.retain(|number| *number != "10");
    pipes.retain(|(number, _)| *number != "10");
    assert_eq!(numbers, ["0", "1", "2", "3", "7", "9"], "{told}");
    let (read, write) = (nix::libc::O_RDONLY, nix::libc::O_WRONLY);
    assert_eq!(pipes, [("2", write), ("3", write), ("7", write), ("9", read)], "{told}");
}

/// A child whose peer reads fd3 as its stdin.
const RECORDS_FD3: &str = r#"command = ["sh", "-c", "exec \"$@\" <&3 3<&-", "sh", $PEER, "record $DIR/record"]"#;

/// As with stdin: what a consumer had not read when it died is its successor's.
fn what_one_life_left_in_fd3_is_the_next_ones() {
    const LENGTH: u64 = 4 * 1024 * 1024;
    let daemon = Daemon::start(&format!(
        r#"
        [process.p]
        {RECORDS_FD3}
        restart-delay = "1ms"
        restart-delay-max = "1ms"

        [route.a]
        from = {{ fifo = "in", on-eof = "close" }}
        to = "process:p.fd3"
        "#
    ));
    let pattern = Pattern::new(63);
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    for kills in 1..=10 {
        let pid = daemon.pid_of("p");
        writer = Background::run(move || {
            writer.write_pattern(pattern, LENGTH / 16);
            writer
        })
        .done();
        kill(Pid::from_raw(pid), Signal::SIGKILL).expect("a consumer to kill");
        daemon.wait_until("process.p", "restarted", |process| process.int("restarts") >= kills);
    }
    assert!(daemon.changes("StopProcess", json!({ "name": "p" })));
    assert!(daemon.changes("StartProcess", json!({ "name": "p" })));
    writer.write_pattern(pattern, LENGTH - writer.written());
    drop(writer);
    daemon.wait_for("route.a", "closed");
    daemon.wait_for("process.p", "finished");
    let record = std::fs::read(daemon.file("record")).expect("the record");
    Checker::new(pattern).feed(&record);
    assert_eq!(record.len() as u64, LENGTH);
}

fn without_keep_stdin_each_life_has_its_own() {
    let daemon = Daemon::start(&format!(
        r#"
        [process.p]
        {RECORDS_FD3}
        keep-stdin = false

        [route.a]
        from = {{ fifo = "in", on-eof = "close" }}
        to = "process:p.fd3"
        "#
    ));
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    daemon.wait_for("route.a", "flowing");
    daemon.changes("StopProcess", json!({ "name": "p" }));
    daemon.wait_until("route.a", "without a reader", |route| {
        route.paused_only_for("no_reader")
    });
    writer.write_all(b"for the next one");
    daemon.changes("StartProcess", json!({ "name": "p" }));
    drop(writer);
    daemon.wait_for("route.a", "closed");
    daemon.wait_for("process.p", "finished");
    assert_eq!(
        std::fs::read(daemon.file("record")).expect("the record"),
        b"for the next one"
    );
}

/// One input at its end is no reason not to be started again for the other; with `keep-stdin` and without.
fn a_child_finishes_when_all_its_inputs_have_ended() {
    for keep in ["true", "false"] {
        let daemon = Daemon::start(&format!(
            r#"
            [process.p]
            command = ["sh", "-c", "cat; IFS= read -r line <&3; echo \"$line\""]
            keep-stdin = {keep}
            restart-delay = "1ms"
            restart-delay-max = "1ms"
            start-limit = {{ burst = 0 }}

            [route.in]
            from = {{ fifo = "in", on-eof = "close" }}
            to = "process:p.stdin"

            [route.side]
            from = {{ fifo = "side", on-eof = "close" }}
            to = "process:p.fd3"

            [route.out]
            from = "process:p.stdout"
            to = "file:$DIR/out"
            "#
        ));
        let mut side = FifoWriter::open(daemon.fifo("side"));
        let mut writer = FifoWriter::open(daemon.fifo("in"));
        writer.write_all(b"once\n");
        drop(writer);
        daemon.wait_for("route.in", "closed");
        for count in 1..=3 {
            side.write_all(b"again\n");
            daemon.wait_until("process.p", "restarted", |process| process.int("restarts") >= count);
        }
        drop(side);
        daemon.wait_for("route.side", "closed");
        daemon.wait_for("process.p", "finished");
        daemon.wait_for("route.out", "closed");
        let out = std::fs::read_to_string(daemon.file("out")).expect("what it said");
        assert!(out.starts_with("once\nagain\nagain\nagain\n"), "{out:?}");
        daemon.finish();
    }
}

fn an_input_that_nobody_reads_holds_no_other_back() {
    const LENGTH: u64 = 8 * 1024 * 1024;
    let daemon = Daemon::start(
        r#"
        [process.p]
        command = ["cat"]
        stop-timeout = "200ms"

        [route.in]
        from = { fifo = "in", on-eof = "close" }
        to = "process:p.stdin"

        [route.side]
        from = "fifo:side"
        to = "process:p.fd3"

        [route.out]
        from = "process:p.stdout"
        to = "fifo:out"
        "#,
    );
    let mut side = FifoWriter::open(daemon.fifo("side"));
    side.write_until(Pattern::new(1), || daemon.route("side").paused_only_for("backpressure"));
    let reader = FifoReader::in_background(daemon.fifo("out"), Pattern::new(64), LENGTH);
    FifoWriter::in_background(daemon.fifo("in"), Pattern::new(64), LENGTH).done();
    reader.done();
    // Its stdin has ended and its fd3 has not: it is started again, and finds there what nobody has read.
    daemon.wait_for("route.in", "closed");
    daemon.wait_until("process.p", "restarted", |process| process.int("restarts") >= 1);
    daemon.wait_until("route.side", "full still", |route| {
        route.paused_only_for("backpressure")
    });
    let left = daemon.call("DrainRoute", json!({ "name": "side", "timeoutUSec": 0 }));
    left.expect("an abort");
    daemon.wait_for("route.side", "closed");
}

fn instances_have_their_own() {
    let daemon = Daemon::start(
        r#"
        [process.w]
        command = ["sh", "-c", "cat <&3 >&4; echo $SLUICED_INSTANCE >&4"]
        instances = 3

        [route.in]
        from = { fifo = "in", on-eof = "close" }
        to = ["process:w.fd3"]

        [route.out]
        from = "process:w.fd4"
        to = "fifo:out"
        "#,
    );
    let reader = {
        let path = daemon.fifo("out");
        Background::run(move || FifoReader::open(path).read_to_end())
    };
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    writer.write_all(b"x\n");
    drop(writer);
    let all = String::from_utf8(reader.done()).expect("text");
    let mut lines: Vec<&str> = all.split_whitespace().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["1", "2", "3", "x", "x", "x"]);
    let names = |ends: &str, route: &str| -> Vec<String> {
        let ends = daemon.route(route).list(ends);
        ends.iter().map(|end| end.text("name").to_owned()).collect()
    };
    assert_eq!(
        names("destinations", "in"),
        ["process:w@1.fd3", "process:w@2.fd3", "process:w@3.fd3"]
    );
    assert_eq!(
        names("sources", "out"),
        ["process:w@1.fd4", "process:w@2.fd4", "process:w@3.fd4"]
    );
}

/// A socket would have two; a pipe has one, and the config says which.
fn a_descriptor_has_one_direction() {
    let place = tempfile::tempdir().expect("a directory");
    let path = place.path().join("a.toml");
    let text = "[process.p]\ncommand = [\"cat\"]\n\
                [route.a]\nfrom = \"process:p.fd3\"\nto = \"null\"\n\
                [route.b]\nfrom = \"fifo:in\"\nto = \"process:p.fd3\"\n";
    std::fs::write(&path, text).expect("the config");
    let shown = path.display().to_string();
    let refused = sluiced(&["--config", &shown, "--check"]).expect_code(78);
    assert!(
        refused.stderr.contains("process:p.fd3 is in the route `a` already") && refused.stderr.contains("a.toml:4:8"),
        "{}",
        refused.stderr
    );
}
