//! `sluicectl why` and Explain: from a route that is stuck to what has to be done.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::support::{Daemon, FifoReader, FifoWriter, Pattern, Shown, stories, until};

stories!(
    a_chain_of_five_routes_names_the_process_at_its_end,
    a_reader_that_is_not_there,
    an_operators_pause_is_found_from_afar,
    a_frozen_consumer_is_told_from_a_slow_one,
    a_stopped_process,
    a_process_that_cannot_be_executed,
    a_cycle_is_told_as_a_cycle,
    nothing_to_read_is_an_answer,
    what_flows_and_what_is_closed,
    a_full_disk,
    an_unknown_route,
);

/// The texts of the chain, root cause last.
fn explain(daemon: &Daemon, route: &str) -> Vec<Shown> {
    let reply = daemon.call("Explain", json!({ "route": route }));
    let causes = reply
        .unwrap_or_else(|error| panic!("Explain {route}: {error:?}"))
        .list("causes");
    assert!(!causes.is_empty(), "no cause of {route}");
    causes
}

fn subjects(causes: &[Shown]) -> Vec<&str> {
    causes.iter().map(|cause| cause.text("subject")).collect()
}

/// Asks until the root cause is of this subject and says all of this, and gives back the chain.
fn root(daemon: &Daemon, route: &str, subject: &str, says: &[&str]) -> Vec<Shown> {
    chain(daemon, route, "", subject, says)
}

/// The same, and the first cause says this.
fn chain(daemon: &Daemon, route: &str, first: &str, subject: &str, says: &[&str]) -> Vec<Shown> {
    until(
        || Some(explain(daemon, route)).filter(|causes| leads(causes, first, subject, says)),
        || {
            format!(
                "{route} is not {first:?} for {subject}, {says:?}: {:#?}",
                explain(daemon, route)
            )
        },
    )
}

fn leads(causes: &[Shown], first: &str, subject: &str, says: &[&str]) -> bool {
    let root = &causes[causes.len() - 1];
    causes[0].text("text").contains(first)
        && root.text("subject") == subject
        && says.iter().all(|part| root.text("text").contains(part))
}

/// Writes into a route until it is full with this as its root cause, and gives back the chain. Whoever is not stuck for
/// good takes the bytes, and more come.
fn fill(daemon: &Daemon, route: &str, subject: &str, says: &[&str]) -> (FifoWriter, Vec<Shown>) {
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    let mut causes = Vec::new();
    writer.write_until(Pattern::new(1), || {
        causes = explain(daemon, route);
        leads(&causes, "is full (", subject, says)
    });
    (writer, causes)
}

fn cat(name: &str) -> String {
    format!("[process.{name}]\ncommand = [$PEER, \"cat\"]\n")
}

/// The stage that is stuck is never the one that is seen first.
fn a_chain_of_five_routes_names_the_process_at_its_end() {
    let mut config = String::from(
        "[daemon]\ndrain-timeout = \"200ms\"\n[process.p0]\ncommand = [$PEER, \"write 100000000\"]\n\
         [process.p5]\ncommand = [$PEER, \"exit 7\"]\nrestart-delay = \"25s\"\nrestart-delay-max = \"25s\"\n",
    );
    for i in 1..=5 {
        let (from, middle) = (i - 1, if i < 5 { cat(&format!("p{i}")) } else { String::new() });
        config += &format!("{middle}[route.r{i}]\nfrom = \"process:p{from}.stdout\"\nto = \"process:p{i}.stdin\"\n");
    }
    let daemon = Daemon::start(&config);
    // The pipes fill from the end on; until they have, some of it may only be slow.
    let expected: Vec<String> = (1..=5)
        .flat_map(|i| [format!("route:r{i}"), format!("process:p{i}")])
        .collect();
    let causes = until(
        || Some(explain(&daemon, "r1")).filter(|causes| subjects(causes) == expected),
        || format!("not the whole chain: {:#?}", explain(&daemon, "r1")),
    );
    let says = ["backing off", "exited with code 7", "started again in "];
    assert!(
        leads(&causes, "r1 is paused: p1.stdin is full (", "process:p5", &says),
        "{causes:#?}"
    );
    assert!(causes[0].maybe_int("sinceUSec").is_some() && causes[9].maybe_int("sinceUSec").is_some());

    let said = until(
        || Some(daemon.ctl(&["why", "r1"]).expect_code(0).stdout).filter(|said| said.lines().count() == 10),
        || "not ten lines".to_owned(),
    );
    assert!(
        said.starts_with("r1 is paused since ") && said.contains(": p1.stdin is full ("),
        "{said}"
    );
    let last = said.lines().last().unwrap_or_default();
    assert!(
        last.starts_with("→ p5 is backing off since ") && last.contains(": it exited with code 7"),
        "{said}"
    );
    until(
        || {
            let said = daemon.ctl(&["status", "r1"]).expect_code(0).stdout;
            said.contains("\n  why: p5 is backing off").then_some(())
        },
        || "no root cause in status".to_owned(),
    );
    let said = daemon.ctl(&["--json", "why", "r5"]).expect_code(0).stdout;
    let told: Value = serde_json::from_str(&said).expect("one line of JSON");
    assert_eq!(told["causes"][1]["subject"], "process:p5");
}

fn a_reader_that_is_not_there() {
    let config = format!(
        "{}[route.a]\nfrom = \"fifo:in\"\nto = \"process:p.stdin\"\n[route.b]\nfrom = \"process:p.stdout\"\nto = \"fifo:out\"\n",
        cat("p")
    );
    let daemon = Daemon::start(&config);
    daemon.wait_until("route.b", "without a reader", |route| {
        route.paused_only_for("no_reader")
    });
    let path = daemon.fifo("out").display().to_string();
    let (mut writer, causes) = fill(&daemon, "a", "route:b", &["no reader at", &path]);
    assert_eq!(subjects(&causes), ["route:a", "process:p", "route:b"]);
    let mut reader = FifoReader::open(daemon.fifo("out"));
    let total = writer.written();
    reader.check_up_to(&mut crate::support::Checker::new(Pattern::new(1)), total);
    root(&daemon, "a", "route:a", &["nothing to read", "the writer of"]);
    writer.write_all(b"");
}

fn an_operators_pause_is_found_from_afar() {
    let config = format!(
        "[daemon]\ndrain-timeout = \"200ms\"\n{}[route.a]\nfrom = \"fifo:in\"\nto = \"process:p.stdin\"\n\
         [route.b]\nfrom = \"process:p.stdout\"\nto = \"null\"\nstart-paused = true\n",
        cat("p")
    );
    let daemon = Daemon::start(&config);
    let (_writer, causes) = fill(
        &daemon,
        "a",
        "route:b",
        &["paused by an operator", "sluicectl resume b"],
    );
    assert_eq!(subjects(&causes), ["route:a", "process:p", "route:b"]);
}

fn a_frozen_consumer_is_told_from_a_slow_one() {
    let daemon = Daemon::start(
        "[process.c]\ncommand = [$PEER, \"hold\"]\nstop-timeout = \"1s\"\n\
         [route.a]\nfrom = \"fifo:in\"\nto = \"process:c.stdin\"\n[daemon]\ndrain-timeout = \"200ms\"\n",
    );
    let pid = daemon.pid_of("c");
    // It flows still, and somebody should know.
    kill(Pid::from_raw(pid), Signal::SIGSTOP).expect("a consumer to freeze");
    root(&daemon, "a", "process:c", &["frozen", "state T"]);
    let (_writer, causes) = fill(&daemon, "a", "process:c", &["frozen", "state T"]);
    assert!(
        causes[0].text("text").starts_with("a is paused: c.stdin is full ("),
        "{}",
        causes[0]
    );
    kill(Pid::from_raw(pid), Signal::SIGCONT).expect("a consumer to go on");
    root(&daemon, "a", "process:c", &["runs (pid ", "reads too slowly"]);
}

fn a_stopped_process() {
    let config = format!(
        "[daemon]\ndrain-timeout = \"200ms\"\n{}keep-stdin = false\n[route.a]\nfrom = \"fifo:in\"\nto = \"process:p.stdin\"\n\
         [route.b]\nfrom = \"process:p.stdout\"\nto = \"null\"\n",
        cat("p")
    );
    let daemon = Daemon::start(&config);
    daemon.pid_of("p");
    daemon.ctl(&["stop", "p"]).expect_code(0);
    let stopped = ["is stopped by an operator", "sluicectl start p"];
    chain(&daemon, "a", "no reader at p.stdin", "process:p", &stopped);
    chain(&daemon, "b", "nothing comes from p.stdout", "process:p", &stopped);
    daemon.ctl(&["start", "p"]).expect_code(0);
    root(&daemon, "b", "route:a", &["nothing to read", "no writer yet at"]);
}

fn a_process_that_cannot_be_executed() {
    let daemon = Daemon::start(
        "[daemon]\ndrain-timeout = \"200ms\"\n[process.c]\ncommand = [\"$DIR/no-such-program\"]\n\
         [route.a]\nfrom = \"fifo:in\"\nto = \"process:c.stdin\"\n",
    );
    let says = ["has failed", "no-such-program", "sluicectl start c"];
    chain(&daemon, "a", "a flows, but nobody reads c.stdin", "process:c", &says);
    fill(&daemon, "a", "process:c", &says);
}

/// Two that each write more than they read, into each other.
fn a_cycle_is_told_as_a_cycle() {
    let daemon = Daemon::start(
        "[daemon]\ndrain-timeout = \"200ms\"\n[process.p]\ncommand = [$PEER, \"write 8000000\", \"hold\"]\nstop-timeout = \"1s\"\n\
         [process.q]\ncommand = [$PEER, \"write 8000000\", \"hold\"]\nstop-timeout = \"1s\"\n\
         [route.there]\nfrom = \"process:p.stdout\"\nto = \"process:q.stdin\"\n\
         [route.back]\nfrom = \"process:q.stdout\"\nto = \"process:p.stdin\"\n",
    );
    let causes = chain(
        &daemon,
        "there",
        "q.stdin is full (",
        "route:there",
        &["this is a cycle"],
    );
    assert_eq!(
        subjects(&causes),
        ["route:there", "process:q", "route:back", "process:p", "route:there"]
    );
    assert!(
        causes[4]
            .text("text")
            .ends_with("route there → process q → route back → process p → route there"),
        "{}",
        causes[4]
    );
}

fn nothing_to_read_is_an_answer() {
    let config = format!(
        "{}[route.a]\nfrom = \"fifo:in\"\nto = \"process:p.stdin\"\n[route.b]\nfrom = \"process:p.stdout\"\nto = \"null\"\n\
         [route.held]\nfrom = {{ fifo = \"held\", on-eof = \"hold\" }}\nto = \"null\"\n",
        cat("p")
    );
    let daemon = Daemon::start(&config);
    let path = daemon.fifo("in").display().to_string();
    let causes = root(&daemon, "b", "route:a", &["no writer yet at", &path]);
    assert_eq!(subjects(&causes), ["route:b", "process:p", "route:a"]);
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    root(&daemon, "a", "route:a", &["the writer of", "writes nothing"]);
    writer.write_all(b"x");
    daemon.wait_until("route.b", "fed", |route| route.int("acceptedBytes") == 1);
    drop(writer);
    root(&daemon, "a", "route:a", &["no writer now at", &path]);
    // Who asked took nothing, and its keeper is no writer that anybody could know of.
    assert_eq!(daemon.route("b").int("acceptedBytes"), 1);
    root(&daemon, "held", "route:held", &["nothing comes from fifo:"]);
}

fn what_flows_and_what_is_closed() {
    let daemon = Daemon::start(
        "[process.p]\ncommand = [$PEER, \"say done\", \"exit 3\"]\nrestart = \"never\"\n\
         [route.a]\nfrom = \"process:p.stdout\"\nto = \"null\"\n[route.b]\nfrom = \"fifo:in\"\nto = \"fifo:out\"\n",
    );
    daemon.wait_for("route.a", "closed");
    let causes = root(&daemon, "a", "process:p", &["has finished", "exited with code 3"]);
    assert!(
        causes[0].text("text").contains("p.stdout has come to its end"),
        "{}",
        causes[0]
    );
    let _reader = FifoReader::open(daemon.fifo("out"));
    daemon.wait_for("route.b", "flowing");
    daemon.ctl(&["drain", "b"]).expect_code(0);
    root(
        &daemon,
        "b",
        "route:b",
        &["is closed", "it was drained", "sluicectl resume b"],
    );
}

/// A disk is waited for (the limit of a file's size stands for its end), a device is not.
fn a_full_disk() {
    let daemon = Daemon::config(
        "[daemon]\ndrain-timeout = \"200ms\"\n[route.a]\nfrom = \"fifo:in\"\nto = \"file:$DIR/record\"\n\
         [route.b]\nfrom = \"fifo:in-b\"\nto = \"file:/dev/full\"\n",
    )
    .wrapped_in(&["bash", "-c", "ulimit -f 64; exec \"$@\"", "bash"])
    .start();
    FifoWriter::open(daemon.fifo("in")).write_until(Pattern::new(1), || {
        leads(
            &explain(&daemon, "a"),
            "a is paused: file:",
            "route:a",
            &["cannot go on (", "EFBIG"],
        )
    });
    FifoWriter::open(daemon.fifo("in-b")).write_all(b"no room for this");
    root(
        &daemon,
        "b",
        "route:b",
        &["is closed", "file:/dev/full failed with ENOSPC"],
    );
}

fn an_unknown_route() {
    let daemon = Daemon::start("[route.a]\nfrom = \"fifo:in\"\nto = \"null\"\n");
    let error = daemon
        .call("Explain", json!({ "route": "nope" }))
        .expect_err("no such route");
    assert_eq!(error.name, "io.sluiced.Relay.NoSuchRoute");
    assert_eq!(error.parameters.text("name"), "nope");
    let error = daemon.call("Explain", json!({})).expect_err("no route named");
    assert_eq!(error.name, "org.varlink.service.InvalidParameter");
    for name in ["nope", "a/b", "A"] {
        let said = daemon.ctl(&["why", name]).expect_code(4);
        assert!(said.stderr.contains(name) && said.stdout.is_empty(), "{}", said.stderr);
    }
    daemon.ctl(&["why", ""]).expect_code(2);
    daemon.ctl(&["why"]).expect_code(2);
}
