//! How the server ends.

use std::sync::atomic::Ordering;
use std::time::Duration;

use sluiced::sys::clock;

use crate::backend::{Running, until};

#[test]
fn connections_end_cleanly_when_the_server_stops() {
    let mut server = Running::start();
    let (mut idle, mut monitor, mut waiting, mut partial) =
        (server.connect(), server.connect(), server.connect(), server.connect());
    idle.call("GetStatus", "{}");
    monitor.begin_more("Monitor", r#"{"subjects":["daemon"]}"#);
    monitor.reply();
    waiting.begin("StopProcess", r#"{"name":"web"}"#);
    partial.send(b"{");
    until("a call waits", || server.knobs.waiting.load(Ordering::SeqCst) == 1);
    idle.call("Shutdown", "{}");
    let begin = clock::now();
    server.stop.cancel();
    assert_eq!(monitor.reply()["parameters"]["kind"], "stopping");
    monitor.closed();
    idle.closed();
    partial.closed();
    assert_eq!(waiting.error(), "io.sluiced.Relay.Busy");
    waiting.closed();
    server.ended();
    assert!(clock::now().since(begin) < Duration::from_secs(3));
    assert!(!server.path().exists());
}

#[test]
fn a_reply_under_way_is_still_written() {
    let mut server = Running::start();
    server.knobs.more_routes.store(2000, Ordering::SeqCst);
    let mut client = server.connect();
    client.begin("ListRoutes", "{}");
    // A first byte shows that the reply is being written.
    let mut first = [0];
    nix::sys::socket::recv(
        std::os::fd::AsRawFd::as_raw_fd(client.stream()),
        &mut first,
        nix::sys::socket::MsgFlags::MSG_PEEK,
    )
    .unwrap();
    server.stop.cancel();
    assert_eq!(client.reply()["parameters"]["routes"].as_array().unwrap().len(), 2002);
    client.closed();
    server.ended();
}
