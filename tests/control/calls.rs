//! What a well-behaved client sees.

use std::sync::atomic::Ordering;

use serde_json::json;
use sluiced::control::{RELAY_IDL, SERVICE_IDL};

use crate::backend::Running;

#[test]
fn every_client_can_introspect() {
    let server = Running::start();
    let mut client = server.connect();
    client.request(r#"{"method":"org.varlink.service.GetInfo"}"#);
    let info = client.reply();
    assert_eq!(info["parameters"]["product"], "sluiced");
    assert_eq!(
        info["parameters"]["interfaces"],
        json!(["org.varlink.service", "io.sluiced.Relay"])
    );
    for (interface, idl) in [("io.sluiced.Relay", RELAY_IDL), ("org.varlink.service", SERVICE_IDL)] {
        let parameters = format!(r#"{{"interface":"{interface}"}}"#);
        client.request(&format!(
            r#"{{"method":"org.varlink.service.GetInterfaceDescription","parameters":{parameters}}}"#
        ));
        assert_eq!(client.reply(), json!({ "parameters": { "description": idl } }));
    }
    client.request(r#"{"method":"org.varlink.service.GetInterfaceDescription","parameters":{"interface":"x.y"}}"#);
    assert_eq!(client.error(), "org.varlink.service.InterfaceNotFound");
}

#[test]
fn absent_fields_are_left_out() {
    let server = Running::start();
    let mut client = server.connect();
    let status = client.call("GetStatus", "{}");
    assert!(status["parameters"].get("lastReloadError").is_none());
    assert!(status.get("continues").is_none());
    let routes = client.call("ListRoutes", r#"{"name":"ingest"}"#);
    let route = &routes["parameters"]["routes"][0];
    assert_eq!(route["name"], "ingest");
    assert!(!route.to_string().contains("null"));
}

#[test]
fn with_more_there_is_one_item_a_reply() {
    let server = Running::start();
    let mut client = server.connect();
    for (method, key, count) in [("ListRoutes", "routes", 2), ("ListProcesses", "processes", 2)] {
        client.begin_more(method, "{}");
        for index in 0..count {
            let reply = client.reply();
            assert_eq!(reply["parameters"][key].as_array().unwrap().len(), 1);
            assert_eq!(reply.get("continues"), (index + 1 < count).then_some(&json!(true)));
        }
    }
    client.begin_more("ListRoutes", r#"{"name":"nope"}"#);
    assert_eq!(
        client.reply(),
        json!({"error": "io.sluiced.Relay.NoSuchRoute", "parameters": {"name": "nope"}})
    );
    client.begin_more("GetStatus", "{}");
    assert!(client.reply().get("continues").is_none());
}

#[test]
fn a_list_is_the_same_whole_and_in_turns() {
    let server = Running::start();
    server.knobs.more_routes.store(100, Ordering::SeqCst);
    let mut client = server.connect();
    let whole = client.call("ListRoutes", "{}");
    client.begin_more("ListRoutes", "{}");
    for route in whole["parameters"]["routes"].as_array().unwrap() {
        assert_eq!(&client.reply()["parameters"]["routes"][0], route);
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let server = Running::start();
    let mut client = server.connect();
    let mut bytes = Vec::new();
    for index in 0..2000 {
        bytes.extend(
            format!("{{\"method\":\"io.sluiced.Relay.PauseRoute\",\"parameters\":{{\"name\":\"n{index}\"}}}}\0")
                .bytes(),
        );
    }
    let mut writer = client.stream().try_clone().unwrap();
    let sent = std::thread::spawn(move || std::io::Write::write_all(&mut writer, &bytes));
    for index in 0..2000 {
        assert_eq!(client.reply()["parameters"]["name"], format!("n{index}"));
    }
    sent.join().unwrap().unwrap();
}

#[test]
fn a_oneway_call_is_done_and_never_answered() {
    let server = Running::start();
    let mut client = server.connect();
    for request in [
        r#"{"method":"io.sluiced.Relay.PauseRoute","parameters":{"name":"ingest"},"oneway":true}"#,
        r#"{"method":"io.sluiced.Relay.PauseRoute","parameters":{"name":"nope"},"oneway":true}"#,
        r#"{"method":"io.sluiced.Relay.Monitor","oneway":true,"more":true}"#,
        r#"{"method":"no.Such","oneway":true}"#,
        r#"{"method":"io.sluiced.Relay.StopProcess","parameters":{"name":"web"},"oneway":true}"#,
        r#"{"method":"io.sluiced.Relay.ListRoutes","oneway":true}"#,
    ] {
        client.request(request);
    }
    // The first reply is that of the first call that wants one, and the pause was done.
    let reply = client.call("ResumeRoute", r#"{"name":"ingest"}"#);
    assert_eq!(reply, json!({ "parameters": { "changed": true } }));
}

#[test]
fn an_upgrade_that_is_refused_leaves_the_connection_as_it_was() {
    let server = Running::start();
    let mut client = server.connect();
    client.begin("Upgrade", "{}");
    assert_eq!(client.error(), "io.sluiced.Relay.Busy");
    client.begin("GetStatus", "{}");
    assert_eq!(client.reply()["parameters"]["pid"], 7);
}

#[test]
fn a_half_closed_client_gets_its_answers() {
    let server = Running::start();
    let mut client = server.connect();
    client.begin("GetStatus", "{}");
    client.begin("StopProcess", r#"{"name":"web"}"#);
    client.half_close();
    assert_eq!(client.reply()["parameters"]["pid"], 7);
    server.until("the call waits", |knobs| knobs.waiting.load(Ordering::SeqCst) == 1);
    server.knobs.release.notify_waiters();
    assert_eq!(client.reply()["parameters"]["changed"], true);
    client.closed();
}

#[test]
fn a_call_that_waits_blocks_nobody_and_ends_with_its_client() {
    let server = Running::start();
    let mut clients: Vec<_> = (0..5).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.begin("StopProcess", r#"{"name":"web"}"#);
    }
    server.until("five calls wait", |knobs| knobs.waiting.load(Ordering::SeqCst) == 5);
    // With unread bytes behind the request, half closed first, and plainly.
    clients[0].send(b"{\"method\":\"io.sluiced.Relay.GetStatus\"}\0");
    clients[1].half_close();
    clients.truncate(3);
    server.until("three calls wait", |knobs| knobs.waiting.load(Ordering::SeqCst) == 3);
    clients.clear();
    server.until("no call waits", |knobs| knobs.waiting.load(Ordering::SeqCst) == 0);
}
