//! What children write and no route takes: it goes to the log.

use serde_json::json;

use crate::support::{Daemon, Deadline, PATIENCE, stories, until};

stories!(
    output_without_a_route_is_logged,
    long_lines_do_not_flood_the_log,
    a_flood_holds_no_child_up_and_is_counted,
    each_line_is_shown_or_counted,
    a_long_line_comes_in_parts,
    what_is_no_text_is_shown_as_text,
);

/// Supervisors' logs: line by line, with the process's name; a last line without its newline, too.
fn output_without_a_route_is_logged() {
    let daemon = Daemon::start(
        r#"
        [process.talker]
        command = [$PEER, "say to-stdout", "complain to-stderr", "text no-newline"]
        restart = "never"

        [process.quiet]
        command = [$PEER, "say not-to-be-seen"]
        restart = "never"
        stdout = "null"
        "#,
    );
    daemon.wait_for("process.talker", "finished");
    daemon.wait_for("process.quiet", "finished");
    for text in ["to-stdout", "to-stderr", "no-newline"] {
        daemon.wait_for_log(text);
        let log = daemon.log();
        let line = log.lines().find(|line| line.contains(text)).expect("the line");
        assert!(line.contains("talker"), "{line}");
    }
    assert!(!daemon.log().contains("not-to-be-seen"));
}

/// So many bytes a second are shown, not only so many lines.
fn long_lines_do_not_flood_the_log() {
    let daemon = Daemon::start("[process.p]\ncommand = [\"cat\", \"/dev/zero\"]\n");
    let clock = Deadline::within(PATIENCE);
    daemon.wait_for_log("lines left out");
    let (length, seconds) = (daemon.log().len(), clock.elapsed().as_secs() as usize);
    assert!(
        length < (seconds + 2) * 2 * 1024 * 1024,
        "{length} bytes in {seconds} s"
    );
}

/// A logger that reads slowly holds up whoever writes (circus, supervisord). At a few MiB a second this would take minutes, and
/// the daemon would not answer while it reads.
fn a_flood_holds_no_child_up_and_is_counted() {
    let daemon = Daemon::config(
        "[process.p]\ncommand = [\"sh\", \"-c\", \"yes 'a line of a flood' | head -c 512M; echo end >&2\"]\nrestart = \"never\"\n",
    )
    .start();
    let clock = Deadline::within(PATIENCE / 2);
    let mut most = 0;
    until(
        || {
            most = most.max(daemon.probe().resident());
            (daemon.process("p").state() == "finished").then_some(())
        },
        || "it writes yet".to_owned(),
    );
    assert!(!clock.passed(), "the child was held up");
    daemon.wait_for_log("process:p stderr: end");
    daemon.wait_for_log("bytes that were not even read");
    assert!(most < 64 * 1024 * 1024, "{most} bytes of memory");
}

/// 5000 lines at once: what is not shown is in the counts.
fn each_line_is_shown_or_counted() {
    let daemon =
        Daemon::start("[process.p]\ncommand = [\"seq\", \"-f\", \"line-%g\", \"5000\"]\nrestart = \"never\"\n");
    daemon.wait_for("process.p", "finished");
    let accounted = || {
        let log = daemon.log();
        let shown = log.lines().filter(|line| line.contains("stdout: line-")).count();
        let counts = log.lines().filter_map(|line| line.split_once(" lines left out"));
        let left_out: usize = counts
            .filter_map(|(before, _)| before.rsplit(' ').next()?.parse::<usize>().ok())
            .sum();
        (shown + left_out == 5000).then_some(shown)
    };
    let shown = until(accounted, || "lines are neither shown nor counted".to_owned());
    assert!((1000..5000).contains(&shown), "{shown}");
}

/// 1 MiB without a newline: 64 parts of 16 KiB, each marked but the last.
fn a_long_line_comes_in_parts() {
    let daemon = Daemon::start(
        "[process.p]\ncommand = [\"sh\", \"-c\", \"head -c 1048000 /dev/zero | tr '\\\\0' x; sleep 1.2; echo; echo next\"]\n\
         restart = \"never\"\n",
    );
    daemon.wait_for_log("stdout: next");
    let log = daemon.log();
    let parts: Vec<&str> = log
        .lines()
        .filter_map(|line| line.split_once("process:p stdout: x").map(|(_, rest)| rest))
        .collect();
    assert_eq!(parts.len(), 64, "{}", log.len());
    let (last, begun) = parts.split_last().expect("parts");
    assert!(begun.iter().all(|part| part.ends_with(" [line goes on]")));
    let length: usize = parts
        .iter()
        .map(|part| part.trim_end_matches(" [line goes on]").len() + 1)
        .sum();
    assert!(!last.ends_with("goes on]") && length == 1_048_000, "{length}");
}

/// A terminal that shows the log obeys none of it, and the log stays UTF-8.
fn what_is_no_text_is_shown_as_text() {
    let daemon =
        Daemon::start("[process.p]\ncommand = [\"printf\", 'a\\000b\\033[2Jc\\377\\376d\\n']\nrestart = \"never\"\n");
    daemon.wait_for_log("process:p stdout: a\\u{0}b\\u{1b}[2Jc\u{fffd}\u{fffd}d");
    let raw = std::fs::read(daemon.place().log()).expect("the log");
    assert!(std::str::from_utf8(&raw).is_ok());
    assert!(daemon.call("GetStatus", json!({})).is_ok());
}
