//! `rate-limit`: what a route may read in a second.

use crate::support::{
    Background, Checker, Daemon, Deadline, FifoReader, FifoWriter, PATIENCE, Pattern, stories, until,
};

stories!(
    no_faster_than_the_rate_by_copy,
    no_faster_than_the_rate_by_splice,
    bursts_of_every_size_arrive_whole,
    a_spent_rate_is_the_reason_and_pausing_goes_over_it,
);

/// pv -L and mbuffer -r: so many bytes take so long, less what 100 ms had saved. How much longer they take on a busy
/// machine says nothing; what they cost in processor time does.
fn no_faster_than_the_rate(path: &str) {
    const RATE: u64 = 4 << 20;
    const LENGTH: u64 = 8 << 20;
    let daemon = Daemon::start(&format!(
        "[route.a]\nfrom = \"fifo:in\"\nto = \"fifo:out\"\nrate-limit = \"4MiB/s\"\npath = \"{path}\"\n"
    ));
    let pattern = Pattern::new(31);
    let mut reader = FifoReader::open(daemon.fifo("out"));
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    daemon.wait_for("route.a", "flowing");
    let clock = Deadline::within(PATIENCE);
    let writing = Background::run(move || writer.write_pattern(pattern, LENGTH));
    reader.check_up_to(&mut Checker::new(pattern), LENGTH);
    let took = clock.elapsed().as_secs_f64();
    writing.done();
    let least = LENGTH as f64 / RATE as f64 - 0.1;
    assert!(
        took >= least * 0.95,
        "{LENGTH} bytes in {took} s, {least} s at the least"
    );
    let cpu = daemon.probe().cpu_time().as_secs_f64();
    assert!(
        cpu < took / 2.0,
        "{cpu} s of processor time in {took} s: it does not wait, it spins"
    );
}

fn no_faster_than_the_rate_by_copy() {
    no_faster_than_the_rate("copy");
}

fn no_faster_than_the_rate_by_splice() {
    no_faster_than_the_rate("splice");
}

/// pv's tests of -L: bursts of 1 byte, 1 KiB and 1 MiB; the same bytes come out.
fn bursts_of_every_size_arrive_whole() {
    let daemon = Daemon::start("[route.a]\nfrom = \"fifo:in\"\nto = \"fifo:out\"\nrate-limit = \"8MiB/s\"\n");
    let pattern = Pattern::new(32);
    let mut reader = FifoReader::open(daemon.fifo("out"));
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    let mut checker = Checker::new(pattern);
    let mut total = 0;
    for burst in [1, 1024, 1 << 20, 1, 4097, 65_536, 3] {
        let writing = Background::run(move || {
            writer.write_all(&pattern.bytes(total, burst as usize));
            writer
        });
        total += burst;
        reader.check_up_to(&mut checker, total);
        writer = writing.done();
    }
    daemon.wait_accepted("a", total);
}

fn a_spent_rate_is_the_reason_and_pausing_goes_over_it() {
    let daemon = Daemon::start("[route.a]\nfrom = \"fifo:in\"\nto = \"null\"\nrate-limit = \"1KiB/s\"\n");
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    writer.write_all(&[7; 60_000]);
    daemon.wait_until("route.a", "paused for its rate", |route| {
        route.paused_only_for("rate_limit")
    });
    assert!(daemon.changes("PauseRoute", serde_json::json!({ "name": "a" })));
    let before = until(
        || {
            let route = daemon.route("a");
            route.paused_only_for("operator").then(|| route.int("acceptedBytes"))
        },
        || "the rate's own pause has not ended under the operator's".to_owned(),
    );
    assert_eq!(daemon.route("a").int("acceptedBytes"), before);
    assert!(daemon.changes("ResumeRoute", serde_json::json!({ "name": "a" })));
    daemon.wait_accepted("a", before + 1);
}
