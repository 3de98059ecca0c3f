//! Too many connections, and too few descriptors.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::Ordering;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use sluiced::control::Limits;

use crate::backend::{Running, until};

#[test]
fn five_hundred_and_twelve_clients_are_served_at_once() {
    let server = Running::start();
    let mut clients: Vec<_> = (0..512).map(|_| server.connect()).collect();
    for _ in 0..2 {
        for client in &mut clients {
            client.begin("GetStatus", "{}");
        }
        for client in &mut clients {
            assert_eq!(client.reply()["parameters"]["pid"], 7);
        }
    }
}

#[test]
fn idle_connections_do_not_lock_others_out() {
    let server = Running::with(Limits {
        connections: 8,
        ..Limits::default()
    });
    let mut waiting = server.connect();
    waiting.begin("StopProcess", r#"{"name":"web"}"#);
    let mut monitor = server.connect();
    monitor.begin_more("Monitor", "{}");
    monitor.reply();
    let idle: Vec<_> = (0..100).map(|_| server.connect()).collect();
    assert_eq!(server.connect().call("GetStatus", "{}")["parameters"]["pid"], 7);
    server.connect().call("PauseRoute", r#"{"name":"ingest"}"#);
    while monitor.reply()["parameters"]["kind"] != "route_paused" {}
    server.knobs.release.notify_waiters();
    assert_eq!(waiting.reply()["parameters"]["changed"], true);
    drop(idle);
}

#[test]
fn when_all_are_busy_the_newest_is_told_so() {
    let server = Running::with(Limits {
        connections: 8,
        ..Limits::default()
    });
    let mut busy: Vec<_> = (0..8).map(|_| server.connect()).collect();
    for client in &mut busy {
        client.begin("StopProcess", r#"{"name":"web"}"#);
    }
    until("eight calls wait", || server.knobs.waiting.load(Ordering::SeqCst) == 8);
    let mut ninth = server.connect();
    assert_eq!(ninth.error(), "io.sluiced.Relay.Busy");
    ninth.closed();
    server.knobs.release.notify_waiters();
    for client in &mut busy {
        assert_eq!(client.reply()["parameters"]["changed"], true);
    }
    assert_eq!(server.connect().call("GetStatus", "{}")["parameters"]["pid"], 7);
}

/// Runs in a process of its own: it takes all descriptors that there are.
#[test]
fn running_out_of_descriptors_is_survived() {
    const ALONE: &str = "SLUICED_TEST_ALONE";
    if std::env::var_os(ALONE).is_none() {
        let name = "limits::running_out_of_descriptors_is_survived";
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env(ALONE, "1")
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        return;
    }
    let stat = File::open("/proc/self/stat").unwrap();
    let server = Running::start();
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    let (mut waiting, mut first) = (server.connect(), server.connect());
    waiting.begin("StopProcess", r#"{"name":"web"}"#);
    first.call("GetStatus", "{}");
    let taken = std::fs::read_dir("/proc/self/fd").unwrap().count() as u64;
    setrlimit(Resource::RLIMIT_NOFILE, taken + 6, hard).unwrap();
    // Both ends are in this process: the clients take what the server would need.
    let mut clients = Vec::new();
    while let Ok(stream) = std::os::unix::net::UnixStream::connect(server.path()) {
        clients.push(stream);
    }
    // The idle connections made room, one that waits did not; nothing spins: a spin would starve the first's reply.
    let before = cpu(&stat);
    let begin = sluiced::sys::clock::now();
    until("half a second", || {
        sluiced::sys::clock::now().since(begin).as_millis() > 500 || {
            pause();
            false
        }
    });
    assert!(cpu(&stat) - before < 30, "ticks: {}", cpu(&stat) - before);
    drop(clients);
    until("it accepts again", || {
        let Ok(stream) = std::os::unix::net::UnixStream::connect(server.path()) else {
            return false;
        };
        drop(stream);
        true
    });
    setrlimit(Resource::RLIMIT_NOFILE, hard.min(4096), hard).unwrap();
    assert_eq!(server.connect().call("GetStatus", "{}")["parameters"]["pid"], 7);
    server.knobs.release.notify_waiters();
    assert_eq!(waiting.reply()["parameters"]["changed"], true);
}

/// A hundredth of a second without a thread that burns it.
fn pause() {
    let _ = nix::poll::poll(&mut [], 10_u8);
}

/// Ticks that this process has used.
fn cpu(stat: &File) -> u64 {
    // proc(5): a read from the start asks anew.
    let mut text = [0; 1024];
    let length = stat.read_at(&mut text, 0).unwrap();
    let stat = String::from_utf8_lossy(&text[..length]).into_owned();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}
