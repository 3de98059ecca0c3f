//! What systemd is told (sd_notify(3)).

use std::os::unix::net::UnixDatagram;

use crate::support::{Daemon, PATIENCE, stories};

stories!(ready_and_stopping_are_told);

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
