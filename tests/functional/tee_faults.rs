//! tee(2) and splice(2) that answer what they rarely answer, by strace's fault injection, with several destinations.

use std::time::Duration;

use crate::support::{Background, Checker, Daemon, FifoWriter, Pattern, Taken, let_pass, require_tool, stories};
use crate::tee::{all_have, config, costs_nothing, open, up_to, write, write_pieces};

stories!(
    faults_of_tee,
    faults_of_splice_on_the_way,
    faults_of_both,
    faults_now_and_then_where_nothing_may_be_copied,
    a_refusal_where_nothing_may_be_copied_is_told,
);

/// Three destinations with a fault injected into these calls; the same bytes to each, then quiet.
fn same_bytes_with(path: &str, calls: &str, fault: &str) -> Option<String> {
    if !require_tool("strace") {
        return None;
    }
    let inject = format!("inject={calls}:{fault}");
    let daemon = Daemon::config(&config(3, "", path, false))
        .under_strace(&["-e", &format!("trace={calls}"), "-e", &inject])
        .start();
    let (pattern, length) = (Pattern::new(24), 1_500_011);
    let readers: Vec<_> = open(&daemon, 3)
        .into_iter()
        .map(|reader| up_to(reader, Checker::new(pattern), length))
        .collect();
    let writer = FifoWriter::open(daemon.fifo("in"));
    let writer = write(writer, pattern, length / 2).done();
    let writer = write_pieces(writer, pattern, length - length / 2).done();
    let readers: Vec<_> = readers.into_iter().map(Background::done).collect();
    let route = daemon.wait_until("route.a", "at an empty queue", |route| {
        route.list("destinations").iter().all(|one| one.int("queuedBytes") == 0)
    });
    all_have(&route, length);
    costs_nothing(&daemon, &inject);
    // Not a byte twice.
    for (mut reader, _) in readers {
        assert_eq!(reader.try_read(1), Taken::Nothing, "{inject}");
    }
    drop(writer);
    let shown = route.text("path").to_owned();
    daemon.finish();
    Some(shown)
}

/// What a kernel, a seccomp filter or a lack of memory may answer: always, in turn, once, and after a while: also
/// in the middle of a round, where some destinations have had it and some have not.
const FAULTS: [&str; 10] = [
    "error=ENOSYS",
    "error=EINVAL",
    "error=ENOMEM",
    "error=ENOMEM:when=3+7",
    "error=EINTR:when=1+2",
    "error=EAGAIN:when=3+7",
    "error=EAGAIN:when=2+2",
    "error=EINVAL:when=2",
    "error=EINVAL:when=5+",
    "error=ENOSYS:when=6+",
];

fn faults_of(calls: &str) {
    for fault in FAULTS {
        let shown = same_bytes_with("auto", calls, fault);
        let for_good = ["error=ENOSYS", "error=EINVAL"].contains(&fault);
        assert!(!for_good || shown.is_none_or(|path| path == "copy"), "{fault}");
    }
}

fn faults_of_tee() {
    faults_of("tee");
}

fn faults_of_splice_on_the_way() {
    faults_of("splice");
}

fn faults_of_both() {
    faults_of("tee,splice");
}

fn faults_now_and_then_where_nothing_may_be_copied() {
    for calls in ["tee", "splice", "tee,splice"] {
        for fault in [
            "error=ENOMEM:when=3+7",
            "error=EINTR:when=1+2",
            "error=EAGAIN:when=3+7",
            "error=EAGAIN:when=2+2",
        ] {
            let shown = same_bytes_with("splice", calls, fault);
            assert!(shown.is_none_or(|path| path == "tee"), "{calls} {fault}");
        }
    }
}

/// path = "splice" promises that no byte is taken to user space: where the kernel refuses for good, the route waits, and
/// says why and what to do. Nothing is lost by that.
fn a_refusal_where_nothing_may_be_copied_is_told() {
    for (count, calls) in [(1, "splice"), (3, "tee"), (3, "tee,splice")] {
        if !require_tool("strace") {
            return;
        }
        let daemon = Daemon::config(&config(count, "", "splice", false))
            .under_strace(&[
                "-e",
                &format!("trace={calls}"),
                "-e",
                &format!("inject={calls}:error=EINVAL"),
            ])
            .start();
        let mut readers = open(&daemon, count);
        let mut writer = FifoWriter::open(daemon.fifo("in"));
        writer.write_all(b"stays where it is");
        let call = if count == 1 { "splice(2)" } else { "tee(2)" };
        let route = daemon.wait_until("route.a", "in trouble", |route| {
            let destinations = route.list("destinations");
            destinations.iter().any(|one| {
                let trouble = one.text_or_empty("trouble");
                [call, "EINVAL", "`path`"].iter().all(|word| trouble.contains(word))
            })
        });
        assert_eq!(route.int("acceptedBytes"), 0, "{route}");
        let route = daemon.wait_for("route.a", "paused");
        assert!(route.paused_only_for("backpressure"), "{route}");
        daemon.ctl(&["why", "a"]).expect_code(0);
        let_pass(Duration::from_millis(500));
        let lines = daemon.log().lines().filter(|line| line.contains("EINVAL")).count();
        assert!((1..=2).contains(&lines), "told {lines} times:\n{}", daemon.log());
        let share = daemon.probe().cpu_share_over(Duration::from_millis(1500));
        assert!(share < 0.05, "{:.1} % of a core for trying again", share * 100.0);
        for reader in &mut readers {
            assert_eq!(reader.try_read(1), Taken::Nothing);
        }
        daemon.finish();
    }
}
