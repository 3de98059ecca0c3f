//! Clients that are broken, and clients that want to break something.

use std::io::Write;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sluiced::control::Limits;
use sluiced::sys::clock;

use crate::backend::{Running, sockets, until};

const MALFORMED: [&str; 12] = [
    "",
    "{",
    "nonsense",
    "[]",
    "null",
    "{}",
    r#"{"method":1}"#,
    r#"{"method":"x"}"#,
    r#"{"method":"io.sluiced.Relay.Nope"}"#,
    r#"{"method":"io.sluiced.Relay.GetStatus","parameters":{"x":1}}"#,
    r#"{"method":"io.sluiced.Relay.PauseRoute","parameters":{"name":[]}}"#,
    "{\"method\":\"io.sluiced.Relay.GetStatus\",\"parameters\":\"\u{1}\"}",
];

#[test]
fn a_malformed_request_gets_an_error_and_the_connection_goes_on() {
    let server = Running::start();
    let mut client = server.connect();
    for round in 0..1000 {
        client.request(MALFORMED[round % MALFORMED.len()]);
        client.error();
    }
    client.send(b"\xff\xfe\0");
    client.error();
    assert_eq!(client.call("GetStatus", "{}")["parameters"]["pid"], 7);
}

#[test]
fn what_is_too_long_is_told_even_to_a_client_that_sends_it_all_first() {
    let server = Running::start();
    for extra in [1, 3 << 20] {
        let mut client = server.connect();
        assert!(client.send(&vec![b' '; (1 << 20) + extra]));
        assert_eq!(client.error(), "io.sluiced.Relay.Failed");
        client.closed();
    }
    let mut client = server.connect();
    let request = br#"{"method":"io.sluiced.Relay.GetStatus"}"#;
    let mut padded = request.to_vec();
    padded.resize(1 << 20, b' ');
    padded.push(0);
    assert!(client.send(&padded));
    assert_eq!(client.reply()["parameters"]["pid"], 7);
}

#[test]
fn unfinished_messages_have_a_deadline_and_a_budget() {
    let server = Running::with(Limits {
        stall: Duration::from_millis(200),
        unfinished: 1 << 20,
        ..Limits::default()
    });
    let mut slow = server.connect();
    slow.send(b"{\"method\":");
    slow.closed();
    let mut many: Vec<_> = (0..8).map(|_| server.connect()).collect();
    for client in &mut many {
        client.send(&vec![b' '; 700_000]);
    }
    // Some are told that it is too much, some run into the deadline; nobody stays.
    for client in &mut many {
        while client.next().is_some() {}
    }
}

#[test]
fn status_comes_at_once_whatever_the_others_do() {
    let before = sockets();
    let server = Running::start();
    server.knobs.more_routes.store(5000, Ordering::SeqCst);
    let idle: Vec<_> = (0..300).map(|_| server.connect()).collect();
    let mut deaf = server.connect();
    deaf.begin_more("Monitor", "{}");
    let mut unread: Vec<_> = (0..3).map(|_| server.connect()).collect();
    for client in &mut unread {
        client.begin("ListRoutes", "{}");
    }
    let waiting: Vec<_> = (0..5).map(|_| server.connect()).collect();
    for mut client in waiting {
        client.begin("DrainRoute", r#"{"name":"ingest"}"#);
        std::mem::drop(client);
    }
    let mut noisy = server.connect();
    let mut writer = noisy.stream().try_clone().unwrap();
    let flood = std::thread::spawn(move || {
        for round in 0..1000 {
            writer
                .write_all(format!("{}\0", MALFORMED[round % MALFORMED.len()]).as_bytes())
                .unwrap();
        }
    });
    let mut asking = server.connect();
    // The first answers may come after some turns of building replies of megabytes, in a debug build.
    asking.call("GetStatus", "{}");
    let mut slowest = Duration::ZERO;
    for _ in 0..50 {
        let begin = clock::now();
        assert_eq!(asking.call("GetStatus", "{}")["parameters"]["pid"], 7);
        slowest = slowest.max(clock::now().since(begin));
        server.connect().call("PauseRoute", r#"{"name":"ingest"}"#);
    }
    println!("slowest GetStatus: {slowest:?}");
    assert!(slowest < Duration::from_millis(50), "{slowest:?}");
    for _ in 0..1000 {
        noisy.error();
    }
    flood.join().unwrap();
    drop((idle, deaf, unread, noisy, asking));
    drop(server);
    // Other tests of this process have sockets too, when it is not one process a test.
    if std::env::var_os("NEXTEST").is_some() {
        assert_eq!(sockets(), before);
    }
}

#[test]
fn replies_of_many_megabytes_are_written_quickly() {
    let server = Running::start();
    server.knobs.more_routes.store(5000, Ordering::SeqCst);
    let mut client = server.connect();
    let begin = clock::now();
    let reply = client.call("ListRoutes", "{}");
    assert_eq!(reply["parameters"]["routes"].as_array().unwrap().len(), 5002);
    println!(
        "5002 routes, {} bytes: {:?}",
        reply.to_string().len(),
        clock::now().since(begin)
    );
    client.begin_more("ListRoutes", "{}");
    let count = (1..).find(|_| client.reply().get("continues").is_none());
    assert_eq!(count, Some(5002));
}

#[test]
fn a_client_that_reads_no_reply_is_given_up() {
    let server = Running::with(Limits {
        stall: Duration::from_millis(300),
        long_replies: 2,
        ..Limits::default()
    });
    server.knobs.more_routes.store(2000, Ordering::SeqCst);
    let mut deaf: Vec<_> = (0..4).map(|_| server.connect()).collect();
    for client in &mut deaf {
        for _ in 0..10 {
            client.begin("ListRoutes", "{}");
        }
    }
    let mut client = server.connect();
    let routes = client.call("ListRoutes", "{}");
    assert_eq!(routes["parameters"]["routes"].as_array().unwrap().len(), 2002);
}

#[test]
fn unread_long_replies_make_room_for_others_before_their_deadline() {
    let server = Running::with(Limits {
        long_replies: 2,
        ..Limits::default()
    });
    server.knobs.more_routes.store(2000, Ordering::SeqCst);
    let mut deaf: Vec<_> = (0..2).map(|_| server.connect()).collect();
    for client in &mut deaf {
        client.begin("ListRoutes", "{}");
    }
    let begin = clock::now();
    let mut client = server.connect();
    client.call("ListRoutes", "{}");
    assert!(clock::now().since(begin) < Duration::from_secs(10));
}

#[test]
fn clients_that_come_and_go_leave_nothing() {
    let server = Running::start();
    for round in 0..500 {
        let mut client = server.connect();
        match round % 5 {
            0 => drop(client),
            1 => drop(client.send(b"{\"method\"")),
            2 => client.begin("GetStatus", "{}"),
            3 => client.begin_more("Monitor", "{}"),
            _ => client.begin("StopProcess", r#"{"name":"web"}"#),
        }
    }
    until("all have gone", || {
        server.connect().call("GetStatus", "{}");
        server.knobs.waiting.load(Ordering::SeqCst) == 0 && server.knobs.monitors.load(Ordering::SeqCst) == 0
    });
}
