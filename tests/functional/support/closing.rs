//! What every story has to keep, checked at its end.

use std::os::unix::fs::FileTypeExt;

use nix::sys::signal::Signal;

use super::{Daemon, log, until};

/// Stops a daemon that runs, and checks everything.
pub fn close(daemon: &mut Daemon) {
    daemon.closed = true;
    // Every look at the routes checks the law of accounting.
    daemon.routes();
    no_zombie(daemon);
    daemon.signal(Signal::SIGTERM);
    after_its_end(daemon, 0);
}

/// Waits for the end and checks what can be checked then.
pub fn after_its_end(daemon: &mut Daemon, code: i32) {
    let ending = daemon.ending();
    assert_eq!(
        ending.status,
        format!("code {code}"),
        "the daemon's end\n{}",
        daemon.log_tail()
    );
    assert!(
        ending.left.is_empty(),
        "the daemon left processes: {:#?}\n{}",
        ending.left,
        daemon.log_tail()
    );
    let panics = log::panics_in(&daemon.log());
    assert!(
        panics.is_empty(),
        "the daemon's log tells of a panic:\n{}",
        panics.join("\n")
    );
    nothing_left(daemon);
}

/// A child that has exited is reaped; it may just not be yet.
fn no_zombie(daemon: &Daemon) {
    let zombies = || {
        daemon
            .probe()
            .children()
            .into_iter()
            .filter(|(_, state)| *state == 'Z')
            .collect::<Vec<_>>()
    };
    until(
        || zombies().is_empty().then_some(()),
        || format!("the daemon does not reap {:?}\n{}", zombies(), daemon.log_tail()),
    );
}

/// The runtime directory may keep the lock file and FIFOs; the control socket goes with the daemon.
fn nothing_left(daemon: &Daemon) {
    let entries = std::fs::read_dir(daemon.place.runtime_directory()).expect("the runtime directory");
    for entry in entries.map(|entry| entry.expect("an entry of the runtime directory")) {
        let name = entry.file_name();
        let is_fifo = entry.file_type().is_ok_and(|kind| kind.is_fifo());
        let is_lent = name == "control.sock" && daemon.place.socket_is_lent();
        assert!(
            name == "lock" || is_fifo || is_lent,
            "the daemon left {name:?} in its runtime directory"
        );
    }
}
