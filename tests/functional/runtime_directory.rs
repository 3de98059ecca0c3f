//! One daemon a runtime directory, and what a dead one leaves there.

use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixListener;

use serde_json::json;

use crate::support::{Daemon, FifoReader, FifoWriter, sluiced, stories};

stories!(
    a_second_daemon_is_refused_and_told_who_holds_it,
    a_socket_of_a_dead_daemon_is_taken_over,
    a_socket_that_is_listened_on_is_not_taken,
    a_file_at_the_sockets_path_is_kept,
    the_socket_has_its_mode,
    fifos_of_a_dead_daemon_are_used_again,
);

const PLAIN: &str = "[route.a]\nfrom = \"fifo:in\"\nto = \"fifo:out\"\n";

/// flock(2) on `lock`: the message names the holder, and the first daemon does not notice.
fn a_second_daemon_is_refused_and_told_who_holds_it() {
    let daemon = Daemon::start(PLAIN);
    let config = daemon.place().config().display().to_string();
    let second = sluiced(&["--config", &config]).expect_code(1);
    assert!(
        second.stderr.contains(&daemon.pid().to_string()),
        "it does not name the holder: {}",
        second.stderr
    );
    let mut reader = FifoReader::open(daemon.fifo("out"));
    FifoWriter::open(daemon.fifo("in")).write_all(b"still here");
    assert_eq!(reader.read_exact(10), b"still here");
}

/// unix(7): a socket file outlives its process.
fn a_socket_of_a_dead_daemon_is_taken_over() {
    let first = Daemon::start(PLAIN);
    let place = first.killed();
    assert!(
        std::fs::metadata(place.socket())
            .expect("the old socket")
            .file_type()
            .is_socket()
    );
    let second = Daemon::config(PLAIN).at(place).start();
    assert_eq!(
        second.call("GetStatus", json!({})).expect("GetStatus").int("pid"),
        u64::from(second.pid().unsigned_abs())
    );
}

/// Somebody else listens at the socket's path: that is refused, and it stays theirs.
fn a_socket_that_is_listened_on_is_not_taken() {
    let builder = Daemon::config(PLAIN);
    let path = builder.place().socket();
    let theirs = UnixListener::bind(&path).expect("a socket");
    let mut daemon = builder.launch();
    let ending = daemon.ending();
    assert_eq!(ending.status, "code 1", "{}", daemon.log());
    assert!(daemon.log().contains("control.sock"), "{}", daemon.log());
    let client = std::os::unix::net::UnixStream::connect(&path);
    client.expect("it is still theirs");
    drop(theirs);
}

/// Not created over what is not a socket.
fn a_file_at_the_sockets_path_is_kept() {
    let builder = Daemon::config(PLAIN);
    let path = builder.place().socket();
    std::fs::write(&path, "precious").expect("a file");
    let mut daemon = builder.launch();
    let ending = daemon.ending();
    assert_eq!(ending.status, "code 1", "{}", daemon.log());
    assert!(daemon.log().contains("control.sock"), "{}", daemon.log());
    assert_eq!(std::fs::read_to_string(&path).expect("the file"), "precious");
}

/// 0600 unless `mode` says otherwise, regardless of the umask.
fn the_socket_has_its_mode() {
    let mode = |daemon: &Daemon| {
        let path = daemon.place().socket();
        std::fs::metadata(path).expect("the socket").permissions().mode() & 0o7777
    };
    let daemon = Daemon::config(PLAIN)
        .wrapped_in(&["sh", "-c", "umask 0; exec \"$0\" \"$@\""])
        .start();
    assert_eq!(mode(&daemon), 0o600);
    let daemon = Daemon::start(&format!("[control]\nmode = \"0660\"\n{PLAIN}"));
    assert_eq!(mode(&daemon), 0o660);
}

/// What stood in a FIFO whose peer lives is still there for the next daemon.
fn fifos_of_a_dead_daemon_are_used_again() {
    let first = Daemon::start(&format!("{PLAIN}start-paused = true\n"));
    let mut writer = FifoWriter::open(first.fifo("in"));
    // Someone has to hold the FIFO's read side while nobody reads: the bytes are gone otherwise (pipe(7)).
    let holder = FifoReader::open(first.fifo("in"));
    writer.write_all(b"kept");
    let place = first.killed();
    let second = Daemon::config(PLAIN).at(place).start();
    let mut reader = FifoReader::open(second.fifo("out"));
    assert_eq!(reader.read_exact(4), b"kept");
    writer.write_all(b" and on");
    assert_eq!(reader.read_exact(7), b" and on");
    drop(holder);
}
