//! What systemd is told (sd_notify(3)).

use std::os::unix::net::UnixDatagram;

use serde_json::json;

use crate::support::{Daemon, PATIENCE, stories};

stories!(
    ready_and_stopping_are_told,
    a_reload_is_told_from_its_beginning_to_its_end,
    a_manager_that_does_not_read_is_not_waited_for
);

/// systemd.service(5), Type=notify: READY=1 when the control socket answers, STOPPING=1 when it stops, STATUS= in words.
fn ready_and_stopping_are_told() {
    let builder = Daemon::config(
        r#"
        [process.p]
        command = ["sh", "-c", "echo [$NOTIFY_SOCKET]"]
        restart = "never"

        [route.a]
        from = "process:p.stdout"
        to = "file:$DIR/out"
        "#,
    );
    let path = builder.place().file("notify");
    let socket = UnixDatagram::bind(&path).expect("a notify socket");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let daemon = builder
        .environment("NOTIFY_SOCKET", &path.display().to_string())
        .start();
    let wait_for = |line: &str| {
        let mut told = String::new();
        while !told.lines().any(|other| other == line) {
            let mut datagram = [0; 4096];
            let count = socket
                .recv(&mut datagram)
                .unwrap_or_else(|error| panic!("no {line} ({error}): {told}"));
            told.push_str(&String::from_utf8_lossy(&datagram[..count]));
            told.push('\n');
        }
        told
    };
    let told = wait_for("READY=1");
    assert!(told.contains("STATUS="), "{told}");
    daemon.wait_for("route.a", "closed");
    // The children are not the daemon, and cannot speak for it.
    assert_eq!(std::fs::read_to_string(daemon.file("out")).expect("the output"), "[]\n");
    daemon.signal(nix::sys::signal::Signal::SIGTERM);
    wait_for("STOPPING=1");
    daemon.expect_end(0);
}

/// systemd.service(5), Type=notify-reload: RELOADING=1 with MONOTONIC_USEC of no earlier than the signal, then READY=1, also
/// when nothing could be changed.
fn a_reload_is_told_from_its_beginning_to_its_end() {
    let text = "[route.a]\nfrom = \"fifo:in\"\nto = \"null\"\n";
    let builder = Daemon::config(text);
    let path = builder.place().file("notify");
    let socket = UnixDatagram::bind(&path).expect("a notify socket");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let daemon = builder
        .environment("NOTIFY_SOCKET", &path.display().to_string())
        .start();
    let next_with = |what: &str| loop {
        let mut datagram = [0; 4096];
        let count = socket.recv(&mut datagram).expect("a message");
        let text = String::from_utf8_lossy(&datagram[..count]).into_owned();
        if text.lines().any(|line| line == what) {
            return text;
        }
    };
    next_with("READY=1");
    for (text, refused) in [
        (format!("{text}rate-limit = \"1MiB/s\"\n"), false),
        ("[route.\n".to_owned(), true),
    ] {
        daemon.rewrite(&text);
        let before = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).expect("a clock");
        daemon.signal(nix::sys::signal::Signal::SIGHUP);
        let told = next_with("RELOADING=1");
        let at = told.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC="));
        let at: u128 = at.expect("a time").parse().expect("a number");
        assert!(at >= std::time::Duration::from(before).as_micros(), "{told}");
        let told = next_with("READY=1");
        assert_eq!(told.contains("the last reload was refused: "), refused, "{told}");
    }
    daemon.finish();
}

/// unix(7): a datagram socket that nobody reads is full after net.unix.max_dgram_qlen messages, and send(2) waits.
fn a_manager_that_does_not_read_is_not_waited_for() {
    let builder = Daemon::config("[route.a]\nfrom = \"fifo:in\"\nto = \"fifo:out\"\n");
    let path = builder.place().file("notify");
    let socket = UnixDatagram::bind(&path).expect("a notify socket");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let filler = UnixDatagram::unbound().expect("a socket");
    filler.set_nonblocking(true).expect("a socket that does not wait");
    let mut full = 0;
    while filler.send_to(b"full", &path).is_ok() {
        full += 1;
    }
    let daemon = builder
        .environment("NOTIFY_SOCKET", &path.display().to_string())
        .environment("WATCHDOG_USEC", "20000")
        .start();
    for _ in 0..20 {
        assert!(daemon.changes("PauseRoute", json!({ "name": "a" })));
        assert!(daemon.changes("ResumeRoute", json!({ "name": "a" })));
    }
    let read = || {
        let mut datagram = [0; 4096];
        let count = socket.recv(&mut datagram).expect("a message");
        String::from_utf8_lossy(&datagram[..count]).into_owned()
    };
    (0..full).for_each(|_| assert_eq!(read(), "full"));
    while !read().contains("READY=1") {}
    while !read().contains("WATCHDOG=1") {}
    daemon.finish();
}
