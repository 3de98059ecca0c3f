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
    let is_it =
        |cause: &Shown| cause.text("subject") == subject && says.iter().all(|part| cause.text("text").contains(part));
    until(
        || Some(explain(daemon, route)).filter(|causes| causes.last().is_some_and(is_it)),
        || format!("{subject} does not say {says:?}: {:#?}", explain(daemon, route)),
    )
}

/// Fills a route until it is paused for backpressure, and all that feeds it.
fn fill(daemon: &Daemon, fifo: &str, route: &str) -> FifoWriter {
    let mut writer = FifoWriter::open(daemon.fifo(fifo));
    writer.write_until(Pattern::new(1), || daemon.route(route).paused_only_for("backpressure"));
    writer
}

fn cat(name: &str) -> String {
    format!("[process.{name}]\ncommand = [$PEER, \"cat\"]\n")
}

/// s6's and Kafka's operators: the stage that is stuck is never the one that is seen first.
fn a_chain_of_five_routes_names_the_process_at_its_end() {
    let mut config = String::from(
        "[daemon]\ndrain-timeout = \"200ms\"\n[process.last]\ncommand = [$PEER, \"exit 7\"]\nrestart-delay = \"25s\"\n\
         restart-delay-max = \"25s\"\n[route.r1]\nfrom = \"fifo:in\"\nto = \"process:p1.stdin\"\n",
    );
    for i in 1..=4 {
        let to = if i == 4 {
            "last".to_owned()
        } else {
            format!("p{}", i + 1)
        };
        config.push_str(&cat(&format!("p{i}")));
        let next = i + 1;
        config.push_str(&format!(
            "[route.r{next}]\nfrom = \"process:p{i}.stdout\"\nto = \"process:{to}.stdin\"\n"
        ));
    }
    let daemon = Daemon::start(&config);
    daemon.wait_for("process.last", "backing_off");
    let _writer = fill(&daemon, "in", "r1");
    let causes = root(
        &daemon,
        "r1",
        "process:last",
        &["backing off", "exited with code 7", "started again in "],
    );
    let chain = [
        "route:r1",
        "process:p1",
        "route:r2",
        "process:p2",
        "route:r3",
        "process:p3",
        "route:r4",
        "process:p4",
        "route:r5",
        "process:last",
    ];
    assert_eq!(subjects(&causes), chain, "{causes:#?}");
    assert!(causes[0].text("text").contains("p1.stdin is full ("), "{}", causes[0]);
    assert!(causes[0].maybe_int("sinceUSec").is_some() && causes[9].maybe_int("sinceUSec").is_some());

    let said = daemon.ctl(&["why", "r1"]).expect_code(0).stdout;
    assert_eq!(said.lines().count(), 10, "{said}");
    assert!(
        said.starts_with("r1 is paused: p1.stdin is full (") && said.contains(" since "),
        "{said}"
    );
    let last = said.lines().last().unwrap_or_default();
    assert!(
        last.starts_with("→ last is backing off: it exited with code 7"),
        "{said}"
    );
    let said = daemon.ctl(&["--json", "why", "r1"]).expect_code(0).stdout;
    let told: Value = serde_json::from_str(&said).expect("one line of JSON");
    assert_eq!(told["causes"][9]["subject"], "process:last");
    let status = daemon.ctl(&["status", "r1"]).expect_code(0).stdout;
    assert!(status.contains("\n  why: last is backing off"), "{status}");
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
    let mut writer = fill(&daemon, "in", "a");
    let path = daemon.fifo("out").display().to_string();
    let causes = root(&daemon, "a", "route:b", &["no reader at", &path]);
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
    let _writer = fill(&daemon, "in", "a");
    let causes = root(
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
    let _writer = fill(&daemon, "in", "a");
    let causes = root(&daemon, "a", "process:c", &["frozen", "state T"]);
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
    let causes = root(
        &daemon,
        "a",
        "process:p",
        &["is stopped by an operator", "sluicectl start p"],
    );
    assert!(causes[0].text("text").contains("no reader at p.stdin"), "{}", causes[0]);
    let causes = root(&daemon, "b", "process:p", &["is stopped by an operator"]);
    assert!(
        causes[0].text("text").contains("nothing comes from p.stdout"),
        "{}",
        causes[0]
    );
    daemon.ctl(&["start", "p"]).expect_code(0);
    root(&daemon, "b", "route:a", &["nothing to read", "no writer yet at"]);
}

fn a_process_that_cannot_be_executed() {
    let daemon = Daemon::start(
        "[daemon]\ndrain-timeout = \"200ms\"\n[process.c]\ncommand = [\"$DIR/no-such-program\"]\n\
         [route.a]\nfrom = \"fifo:in\"\nto = \"process:c.stdin\"\n",
    );
    daemon.wait_for("process.c", "failed");
    let causes = root(
        &daemon,
        "a",
        "process:c",
        &["has failed", "no-such-program", "sluicectl start c"],
    );
    assert!(
        causes[0].text("text").contains("a flows, but nobody reads c.stdin"),
        "{}",
        causes[0]
    );
    let _writer = fill(&daemon, "in", "a");
    let causes = root(&daemon, "a", "process:c", &["has failed", "no-such-program"]);
    assert!(causes[0].text("text").contains("c.stdin is full ("), "{}", causes[0]);
}

/// Two that each write more than they read, into each other.
fn a_cycle_is_told_as_a_cycle() {
    let daemon = Daemon::start(
        "[daemon]\ndrain-timeout = \"200ms\"\n[process.p]\ncommand = [$PEER, \"write 8000000\", \"hold\"]\nstop-timeout = \"1s\"\n\
         [process.q]\ncommand = [$PEER, \"write 8000000\", \"hold\"]\nstop-timeout = \"1s\"\n\
         [route.there]\nfrom = \"process:p.stdout\"\nto = \"process:q.stdin\"\n\
         [route.back]\nfrom = \"process:q.stdout\"\nto = \"process:p.stdin\"\n",
    );
    let causes = root(&daemon, "there", "route:there", &["this is a cycle"]);
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

fn a_full_disk() {
    let daemon =
        Daemon::start("[daemon]\ndrain-timeout = \"200ms\"\n[route.a]\nfrom = \"fifo:in\"\nto = \"file:/dev/full\"\n");
    FifoWriter::open(daemon.fifo("in")).write_all(b"no room for this");
    root(&daemon, "a", "route:a", &["file:/dev/full cannot go on", "ENOSPC"]);
    let _writer = fill(&daemon, "in", "a");
    root(
        &daemon,
        "a",
        "route:a",
        &["is paused", "file:/dev/full cannot go on", "ENOSPC"],
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
