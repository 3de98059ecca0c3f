//! What a Monitor is told.

use std::sync::atomic::Ordering;
use std::time::Duration;

use sluiced::control::Limits;

use crate::backend::Running;

#[test]
fn the_snapshot_comes_first_then_what_happens() {
    let server = Running::start();
    let (mut monitor, mut client) = (server.connect(), server.connect());
    monitor.begin_more("Monitor", "{}");
    let first = monitor.reply();
    assert_eq!(first["continues"], true);
    assert_eq!(first["parameters"]["kind"], "snapshot");
    assert_eq!(first["parameters"]["detail"]["status"]["pid"], 7);
    assert_eq!(first["parameters"]["detail"]["routes"][1]["name"], "web");
    assert_eq!(first["parameters"]["detail"]["processes"][0]["name"], "web@1");
    let seq = first["parameters"]["seq"].as_u64().unwrap();
    client.call("PauseRoute", r#"{"name":"web"}"#);
    let event = monitor.reply();
    assert_eq!(event["parameters"]["kind"], "route_paused");
    assert_eq!(event["parameters"]["subject"], "route:web");
    assert_eq!(event["parameters"]["seq"].as_u64(), Some(seq + 1));
    assert_eq!(event["continues"], true);
}

#[test]
fn only_the_subjects_that_were_asked_for_are_told() {
    let server = Running::start();
    let (mut monitor, mut client) = (server.connect(), server.connect());
    monitor.begin_more("Monitor", r#"{"subjects":["route:web","process:web"]}"#);
    let detail = monitor.reply()["parameters"]["detail"].take();
    assert_eq!(detail["routes"].as_array().unwrap().len(), 1);
    assert_eq!(detail["processes"].as_array().unwrap().len(), 2);
    client.call("PauseRoute", r#"{"name":"ingest"}"#);
    client.begin("StopProcess", r#"{"name":"web@2","wait":false}"#);
    client.reply();
    assert_eq!(monitor.reply()["parameters"]["subject"], "process:web@2");
}

#[test]
fn without_more_there_is_no_monitor() {
    let server = Running::start();
    let mut client = server.connect();
    client.begin("Monitor", "{}");
    assert_eq!(client.error(), "org.varlink.service.ExpectedMore");
    client.call("GetStatus", "{}");
}

#[test]
fn a_monitor_that_does_not_read_is_told_what_it_lost() {
    // It has no deadline, unlike the reader of a reply.
    let server = Running::with(Limits {
        stall: Duration::from_millis(20),
        ..Limits::default()
    });
    let (mut monitor, mut client) = (server.connect(), server.connect());
    monitor.begin_more("Monitor", "{}");
    let mut told = monitor.reply()["parameters"]["seq"].as_u64().unwrap();
    const COUNT: u64 = 20_000;
    for _ in 0..COUNT {
        client.call("PauseRoute", r#"{"name":"web"}"#);
    }
    let (mut lost, mut seen) = (0, 0);
    while lost + seen < COUNT {
        let event = monitor.reply()["parameters"].take();
        let seq = event["seq"].as_u64().unwrap();
        if event["kind"] == "overrun" {
            let count = event["detail"]["lost"].as_u64().unwrap();
            assert_eq!(seq, told + count);
            lost += count;
        } else {
            assert_eq!(seq, told + 1);
            seen += 1;
        }
        told = seq;
    }
    assert!(lost > 0);
    client.call("ResumeRoute", r#"{"name":"web"}"#);
    assert_eq!(monitor.reply()["parameters"]["kind"], "route_resumed");
    // One that leaves while it is written to is noticed as well.
    for _ in 0..COUNT {
        client.call("PauseRoute", r#"{"name":"web"}"#);
    }
    drop(monitor);
    server.until("none", |knobs| knobs.monitors.load(Ordering::SeqCst) == 0);
}

#[test]
fn a_monitor_whose_client_leaves_ends_without_an_event() {
    let server = Running::start();
    let mut monitors: Vec<_> = (0..20).map(|_| server.connect()).collect();
    for monitor in &mut monitors {
        monitor.begin_more("Monitor", "{}");
        monitor.reply();
    }
    // Half-closed ones still read.
    monitors[0].half_close();
    server.until("twenty", |knobs| knobs.monitors.load(Ordering::SeqCst) == 20);
    monitors.truncate(10);
    server.until("ten", |knobs| knobs.monitors.load(Ordering::SeqCst) == 10);
    server.connect().call("PauseRoute", r#"{"name":"web"}"#);
    assert_eq!(monitors[0].reply()["parameters"]["kind"], "route_paused");
    monitors.clear();
    server.until("none", |knobs| knobs.monitors.load(Ordering::SeqCst) == 0);
}
