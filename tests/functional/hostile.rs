//! The control socket: who means it ill costs nobody anything.

use std::time::Duration;

use serde_json::json;

use crate::support::{Client, Daemon, Deadline, FifoReader, FifoWriter, PATIENCE, Pattern, stories, until};

stories!(
    a_thousand_malformed_requests,
    three_hundred_idle_connections,
    more_connections_than_it_takes,
    a_monitor_that_never_reads,
    a_message_without_an_end,
    a_message_in_pieces,
    clients_that_vanish,
    a_call_that_waits_blocks_nobody,
    few_descriptors,
);

const PLAIN: &str = "[route.a]\nfrom = \"fifo:in\"\nto = \"fifo:out\"\n";

/// The best of a few: a busy machine may be slow once, a wedged daemon always is.
fn answers_quickly(daemon: &Daemon) {
    let best = (0..20).map(|_| {
        let clock = Deadline::within(PATIENCE);
        daemon.call("GetStatus", json!({})).expect("GetStatus");
        clock.elapsed()
    });
    let best = best.min().expect("twenty tries");
    assert!(best.as_millis() < 50, "the next GetStatus takes {best:?}");
}

/// Descriptors go back to what they were.
fn descriptors_return(daemon: &Daemon, before: usize) {
    let now = || daemon.probe().descriptors().len();
    until(
        || (now() <= before).then_some(()),
        || format!("{before} descriptors before, now {:#?}", daemon.probe().descriptors()),
    );
}

fn quiet(daemon: &Daemon) -> usize {
    daemon.call("GetStatus", json!({})).expect("GetStatus");
    daemon.probe().descriptors().len()
}

const MALFORMED: [&[u8]; 10] = [
    b"\0",
    b"{\0",
    b"null\0",
    b"[]\0",
    b"{}\0",
    b"{\"method\":5}\0",
    b"{\"method\":\"\"}\0",
    b"{\"method\":\"GetStatus\"}\0",
    b"\xff\xfe{\"method\":\"io.sluiced.Relay.GetStatus\"}\0",
    b"{\"method\":\"io.sluiced.Relay.GetStatus\",\"parameters\":[[[[[[[[[[[]]]]]]]]]]]}\0",
];

/// An error or the end of the connection for each, and an answer for the next who asks properly.
fn a_thousand_malformed_requests() {
    let daemon = Daemon::start(PLAIN);
    let before = quiet(&daemon);
    for round in 0..100 {
        for (number, message) in MALFORMED.iter().enumerate() {
            let mut client = daemon.client();
            // It may have closed already; that is an answer, too.
            let _ = client.send_raw(message);
            if round == 0 {
                let answer = client.receive_within(&Deadline::within(PATIENCE));
                assert!(answer.is_some(), "no answer and no end to malformed request {number}");
            }
        }
    }
    answers_quickly(&daemon);
    descriptors_return(&daemon, before + 1);
}

fn three_hundred_idle_connections() {
    let daemon = Daemon::start(PLAIN);
    let before = quiet(&daemon);
    let mut idle: Vec<Client> = (0..300).map(|_| daemon.client()).collect();
    answers_quickly(&daemon);
    // They are served, too, when they speak up.
    for client in &mut idle {
        client.call("GetStatus", json!({})).expect("GetStatus");
    }
    drop(idle);
    descriptors_return(&daemon, before + 1);
}

/// At least 512 at once; beyond the bound, whatever becomes of the others, those who are in are served.
fn more_connections_than_it_takes() {
    let daemon = Daemon::start(PLAIN);
    let before = quiet(&daemon);
    let mut served: Vec<Client> = (0..512).map(|_| daemon.client()).collect();
    for client in &mut served {
        client.call("GetStatus", json!({})).expect("GetStatus");
    }
    let beyond: Vec<_> = (0..300).map(|_| Client::connect(&daemon.place().socket())).collect();
    served[511].call("GetStatus", json!({})).expect("GetStatus");
    drop((beyond, served));
    answers_quickly(&daemon);
    descriptors_return(&daemon, before + 1);
}

/// Its events pile up in a bounded queue; nobody else waits, and nothing grows without bound.
fn a_monitor_that_never_reads() {
    let daemon = Daemon::start(PLAIN);
    let mut client = daemon.client();
    client.send_call("Monitor", &json!({}), &["more"]);
    let mut asker = daemon.client();
    for _ in 0..3000 {
        asker.call("PauseRoute", json!({ "name": "a" })).expect("PauseRoute");
        asker.call("ResumeRoute", json!({ "name": "a" })).expect("ResumeRoute");
    }
    answers_quickly(&daemon);
    let mut reader = FifoReader::open(daemon.fifo("out"));
    FifoWriter::in_background(daemon.fifo("in"), Pattern::new(1), 100_000).done();
    reader.check_up_to(&mut crate::support::Checker::new(Pattern::new(1)), 100_000);
    // If it reads after all, what is missing between two events was told as lost.
    let mut last = None;
    let mut overrun = false;
    while let Some(Some(message)) = client.receive_within(&Deadline::within(Duration::from_millis(500))) {
        let event = message.object("parameters");
        if event.text("kind") == "overrun" {
            assert!(event.object("detail").int("lost") > 0, "{event}");
            overrun = true;
        } else {
            let number = event.int("seq");
            let gap = last.is_some_and(|last| number != last + 1);
            assert!(!gap || overrun, "events are missing before {event}");
            (last, overrun) = (Some(number), false);
        }
    }
}

/// More than 1 MiB: refused, not collected.
fn a_message_without_an_end() {
    let daemon = Daemon::start(PLAIN);
    let before = quiet(&daemon);
    let mut client = daemon.client();
    let piece = vec![b'x'; 64 * 1024];
    let refused = (0..64).any(|_| client.send_raw(&piece).is_err());
    let ended = refused || client.receive_within(&Deadline::within(PATIENCE)).is_some();
    assert!(ended, "4 MiB without an end were taken");
    answers_quickly(&daemon);
    drop(client);
    descriptors_return(&daemon, before + 1);
}

fn a_message_in_pieces() {
    let daemon = Daemon::start(PLAIN);
    let mut client = daemon.client();
    for byte in b"{\"method\":\"io.sluiced.Relay.GetStatus\",\"parameters\":{}}" {
        client.send_raw(&[*byte]).expect("one byte");
    }
    answers_quickly(&daemon);
    client.send_raw(b"\0").expect("the last byte");
    client.reply().expect("GetStatus in pieces");
}

/// In the middle of a message, before the reply, while a Monitor runs.
fn clients_that_vanish() {
    let daemon = Daemon::start(PLAIN);
    let before = quiet(&daemon);
    for _ in 0..100 {
        daemon
            .client()
            .send_raw(b"{\"method\":\"io.slui")
            .expect("half a message");
        daemon.client().send_call("ListRoutes", &json!({}), &["more"]);
        drop(daemon.monitor());
    }
    answers_quickly(&daemon);
    descriptors_return(&daemon, before + 1);
}

/// A drain that waits for its reader: the same connection and all others go on being answered.
fn a_call_that_waits_blocks_nobody() {
    let daemon = Daemon::start(&format!("{PLAIN}path = \"copy\"\n"));
    let mut reader = FifoReader::open(daemon.fifo("out"));
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    let total = writer.write_until(Pattern::new(1), || daemon.route("a").paused_only_for("backpressure"));
    let mut waiting = daemon.client();
    waiting.send_call("DrainRoute", &json!({ "name": "a" }), &[]);
    daemon.wait_for("route.a", "draining");
    answers_quickly(&daemon);
    let mut checker = crate::support::Checker::new(Pattern::new(1));
    assert_eq!(reader.check_to_end(&mut checker), total);
    assert!(waiting.reply().expect("DrainRoute").flag("changed"));
    assert_eq!(daemon.route("a").state(), "closed");
}

/// setrlimit(2): with 64 descriptors, a hundred clients cannot all be served; the daemon lives on and neither spins.
fn few_descriptors() {
    let wrapper = ["sh", "-c", "ulimit -n 64; exec \"$0\" \"$@\""];
    let daemon = Daemon::config(PLAIN).wrapped_in(&wrapper).start();
    let mut reader = FifoReader::open(daemon.fifo("out"));
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    writer.write_all(b"before");
    assert_eq!(reader.read_exact(6), b"before");
    let crowd: Vec<_> = (0..100).map(|_| Client::connect(&daemon.place().socket())).collect();
    let share = daemon.probe().cpu_share_over(Duration::from_secs(2));
    assert!(
        share < 0.05,
        "it uses {:.1} % of a core while it has no descriptor left",
        share * 100.0
    );
    writer.write_all(b"meanwhile");
    assert_eq!(reader.read_exact(9), b"meanwhile");
    drop(crowd);
    daemon
        .call("GetStatus", json!({}))
        .expect("GetStatus after the crowd has gone");
}
