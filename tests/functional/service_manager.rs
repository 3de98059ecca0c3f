//! What a service manager is told, from the first READY=1 to the last STOPPING=1 (sd_notify(3)); and that the harness's own
//! service manager is one.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, pipe2};
use serde_json::json;

use crate::support::{Client, Deadline, FifoReader, FifoWriter, Manager, Phase, send_notification, stories, until};

stories!(
    ready_comes_when_the_control_socket_answers,
    its_status_is_in_words,
    stopping_is_told,
    a_reload_is_told_good_or_bad,
    a_socket_that_is_passed_is_used_and_stays,
    an_upgrade_is_no_end,
    only_the_daemon_speaks,
    the_fake_keeps_what_it_is_given,
    the_fake_drops_what_is_hung_up,
    the_fake_passes_a_barrier_when_all_before_it_is_done,
    the_fake_passes_what_it_keeps,
    the_fake_kills_all_and_begins_anew,
);

const RELAY: &str = "
    [process.p]
    command = [$PEER, \"hold\"]
    [route.a]
    from = \"fifo:in\"
    to = \"fifo:out\"
    ";

/// systemd.service(5), Type=notify: what is ordered after it may call it.
fn ready_comes_when_the_control_socket_answers() {
    let manager = Manager::new();
    let daemon = manager.launch(manager.config(RELAY));
    manager.wait_ready();
    // At once, and without a second try.
    let mut client = Client::connect(&daemon.place().socket()).expect("a control socket");
    assert_eq!(client.call("GetStatus", json!({})).expect("GetStatus").int("life"), 1);
    assert_ne!(daemon.route("a").state(), "opening");
    assert_eq!((manager.phase(), manager.times_ready()), (Phase::Ready, 1));
}

fn its_status_is_in_words() {
    let manager = Manager::new();
    let daemon = manager.start(RELAY);
    let shows = |text: &str| manager.wait(text, |manager| manager.status_text() == text);
    shows("1 route (1 paused); 1 process (1 ready)");
    let reader = FifoReader::open(daemon.fifo("out"));
    shows("1 route (1 flowing); 1 process (1 ready)");
    daemon.changes("StopProcess", json!({ "name": "p" }));
    shows("1 route (1 flowing); 1 process (1 stopped)");
    drop(reader);
}

fn stopping_is_told() {
    let manager = Manager::new();
    let daemon = manager.start(RELAY);
    manager.wait_ready();
    daemon.signal(Signal::SIGTERM);
    manager.wait("stopping", |manager| manager.phase() == Phase::Stopping);
    daemon.expect_end(0);
    let messages = manager.messages();
    let last = messages.iter().rposition(|message| message.says("READY=1"));
    let stop = messages.iter().position(|message| message.says("STOPPING=1"));
    assert!(stop > last, "{messages:#?}");
}

/// systemd.service(5), Type=notify-reload: the reload job ends with READY=1, also when nothing was changed.
fn a_reload_is_told_good_or_bad() {
    let manager = Manager::new();
    let daemon = manager.start(RELAY);
    manager.wait_ready();
    for (text, refused) in [
        (format!("{RELAY}rate-limit = \"1MiB/s\"\n"), false),
        ("[route.\n".to_owned(), true),
        (RELAY.to_owned(), false),
    ] {
        let (before, told) = (manager.messages().len(), manager.times_ready());
        daemon.rewrite(&text);
        daemon.signal(Signal::SIGHUP);
        manager.wait("ready again", |manager| manager.times_ready() > told);
        let since = manager.messages().split_off(before);
        let of = |line: &str| since.iter().position(|message| message.says(line));
        assert!(
            of("RELOADING=1").is_some() && of("RELOADING=1") < of("READY=1"),
            "{since:#?}"
        );
        assert_eq!(manager.phase(), Phase::Ready);
        let status = manager.status_text();
        assert_eq!(status.contains("the last reload was refused: "), refused, "{status}");
    }
}

/// sd_listen_fds(3), FileDescriptorName=control.
fn a_socket_that_is_passed_is_used_and_stays() {
    let manager = Manager::new().with_control_socket();
    let daemon = manager.start(RELAY);
    let socket = daemon.place().socket();
    assert_eq!(daemon.call("GetStatus", json!({})).expect("GetStatus").int("life"), 1);
    daemon.signal(Signal::SIGTERM);
    daemon.expect_end_then(0, || assert!(socket.exists()));
}

/// The same service goes on: its status, its watchdog, its socket; nothing is said that ends a unit's activity.
fn an_upgrade_is_no_end() {
    let manager = Manager::new().with_control_socket();
    let daemon = manager.run(manager.config(RELAY).environment("WATCHDOG_USEC", "200000"));
    manager.wait_ready();
    for _ in 0..3 {
        daemon.upgrade();
        let before = manager.messages().len();
        manager.wait("fed", |manager| {
            let since = manager.messages().split_off(before);
            since.iter().any(|message| message.says("WATCHDOG=1"))
        });
        assert_eq!(manager.phase(), Phase::Ready);
    }
    daemon.changes("StopProcess", json!({ "name": "p" }));
    manager.wait("shown", |manager| {
        manager.status_text() == "1 route (1 paused); 1 process (1 stopped)"
    });
    assert!(!manager.messages().iter().any(|message| message.says("STOPPING=1")));
    daemon.finish();
}

/// NotifyAccess=main: whatever a child says is not the daemon's word, and no child knows the address, or of what was passed.
fn only_the_daemon_speaks() {
    let manager = Manager::new().with_control_socket();
    let names = ["NOTIFY_SOCKET", "FDSTORE", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"];
    let steps = names.map(|name| format!("\"tell-variable {name} $DIR/told\""));
    let daemon = manager.start(&format!(
        "[process.p]\ncommand = [$PEER, {}]\nrestart = \"never\"\n",
        steps.join(", ")
    ));
    daemon.wait_for("process.p", "finished");
    let told = std::fs::read_to_string(daemon.file("told")).expect("the variables");
    assert!(told.lines().all(|line| line.starts_with("unset ")), "{told}");
    send_notification(manager.address(), "READY=1\nSTATUS=forged", &[]).expect("a message");
    manager.settle();
    assert_ne!(manager.status_text(), "forged");
    let complaints = manager.complaints();
    assert_eq!(complaints.len(), 1, "{complaints:?}");
}

fn pipe() -> (OwnedFd, OwnedFd) {
    pipe2(OFlag::O_CLOEXEC).expect("a pipe")
}

fn tell(manager: &Manager, text: &str, descriptors: &[&OwnedFd]) {
    let numbers: Vec<i32> = descriptors.iter().map(|descriptor| descriptor.as_raw_fd()).collect();
    send_notification(manager.address(), text, &numbers).expect("a message");
}

/// systemd's service_add_fd_store(): by name, no open file twice, no more than it may.
fn the_fake_keeps_what_it_is_given() {
    let manager = Manager::new().max(5);
    let (reader, writer) = pipe();
    let copy = reader.try_clone().expect("a copy");
    tell(&manager, "FDSTORE=1\nFDNAME=d1\nFDPOLL=0", &[&reader, &writer]);
    tell(&manager, "FDSTORE=1\nFDNAME=d2\nFDPOLL=0", &[&copy]);
    tell(&manager, "FDSTORE=1", &[&pipe().1]);
    tell(&manager, "READY=1\nSTATUS=a\nFDSTORE=1\nFDNAME=d3", &[&pipe().1]);
    manager.settle();
    // The last two are hung up, and polled.
    assert_eq!((manager.phase(), manager.status_text()), (Phase::Ready, "a".to_owned()));
    manager.wait("rid of the others", |manager| manager.names() == ["d1", "d1"]);
    tell(&manager, "FDSTORE=1\nFDNAME=a:b\nFDPOLL=0", &[&pipe().0]);
    let pipes: Vec<_> = (0..4).map(|_| pipe()).collect();
    for (end, _) in &pipes {
        tell(&manager, "FDSTORE=1\nFDNAME=many\nFDPOLL=0", &[end]);
    }
    manager.settle();
    assert_eq!(manager.names(), ["d1", "d1", "many", "many", "stored"]);
    tell(&manager, "FDSTOREREMOVE=1\nFDNAME=d1", &[]);
    tell(&manager, "FDSTOREREMOVE=1\nFDNAME=nobody", &[]);
    tell(&manager, "FDSTOREREMOVE=1", &[]);
    manager.settle();
    assert_eq!(manager.names(), ["many", "many", "stored"]);
    assert!(manager.stored().iter().all(|kept| kept.is_pipe && !kept.is_polled));
    let complaints = manager.complaints();
    assert_eq!(complaints.len(), 2, "{complaints:?}");
}

fn is_hung_up(end: &OwnedFd) -> bool {
    let mut polled = [PollFd::new(end.as_fd(), PollFlags::empty())];
    poll(&mut polled, PollTimeout::ZERO) == Ok(1)
}

/// systemd#12086: what still stands in a pipe is dropped with it, without FDPOLL=0.
fn the_fake_drops_what_is_hung_up() {
    let manager = Manager::new();
    let ((first, first_writer), (second, second_writer)) = (pipe(), pipe());
    nix::unistd::write(&first_writer, b"bytes").expect("a write");
    nix::unistd::write(&second_writer, b"bytes").expect("a write");
    tell(&manager, "FDSTORE=1\nFDNAME=polled", &[&first]);
    tell(&manager, "FDSTORE=1\nFDNAME=kept\nFDPOLL=0", &[&second]);
    manager.settle();
    assert_eq!(manager.names(), ["kept", "polled"]);
    drop((first, second, first_writer, second_writer));
    manager.wait("rid of it", |manager| manager.names() == ["kept"]);
    let (copy, _) = manager.copies().remove(0);
    let mut bytes = [0; 8];
    assert_eq!(nix::unistd::read(&copy, &mut bytes), Ok(5));
}

/// sd_notify_barrier(3)
fn the_fake_passes_a_barrier_when_all_before_it_is_done() {
    let manager = Manager::new().deaf();
    let (reader, _writer) = pipe();
    // No more than the socket takes unread (net.unix.max_dgram_qlen).
    for number in 0..5 {
        let copy = pipe();
        tell(
            &manager,
            &format!("FDSTORE=1\nFDNAME=d{number}\nFDPOLL=0"),
            &[&reader, &copy.0],
        );
    }
    let barrier = manager.barrier();
    assert!(!is_hung_up(&barrier));
    manager.listen();
    let passed = || is_hung_up(&barrier).then(|| manager.stored().len());
    assert_eq!(until(passed, || "the barrier does not pass".to_owned()), 6);
    let manager = Manager::new().holding_barriers();
    let barrier = manager.barrier();
    tell(&manager, "STATUS=behind it", &[]);
    manager.wait("heard", |manager| manager.status_text() == "behind it");
    assert!(!is_hung_up(&barrier));
    manager.release_barriers();
    assert!(is_hung_up(&barrier));
    tell(&manager, "BARRIER=1\nSTATUS=x", &[&reader]);
    manager.settle();
    assert_eq!(manager.status_text(), "behind it");
    assert_eq!(manager.complaints().len(), 1);
}

/// sd_listen_fds(3): a daemon that knows nothing of them closes them, and says so.
fn the_fake_passes_what_it_keeps() {
    let manager = Manager::new();
    let (reader, writer) = pipe();
    manager.put(reader, "foreign");
    let daemon = manager.start(RELAY);
    let clock = Deadline::within(Duration::from_secs(30));
    daemon.wait_for_log("foreign");
    let mut reader = FifoReader::open(daemon.fifo("out"));
    FifoWriter::open(daemon.fifo("in")).write_all(b"bytes");
    assert_eq!(reader.read_exact(5), b"bytes");
    assert!(!clock.passed());
    // The store's own copy is still there, or was taken out.
    drop(writer);
    daemon.finish();
}

/// KillMode=mixed after the death of the main process: nobody of its cgroup outlives it, whoever has left the group.
fn the_fake_kills_all_and_begins_anew() {
    let manager = Manager::new();
    let daemon = manager.start(
        "[process.p]\ncommand = [$PEER, \"grandchild setsid | tell $DIR/told x | hold\", \"hold\"]\n\
         [route.a]\nfrom = \"process:p.stdout\"\nto = \"null\"\n",
    );
    let told = daemon.file("told");
    until(|| told.exists().then_some(()), || "no grandchild".to_owned());
    let (first, child) = (daemon.pid(), daemon.pid_of("p"));
    manager.wait_ready();
    let place = manager.kill_all(daemon);
    for pid in [first, child] {
        assert!(kill(Pid::from_raw(pid), None).is_err(), "{pid} lives on");
    }
    let daemon = manager.restart(place);
    assert_ne!(daemon.pid(), first);
    assert_ne!(daemon.pid_of("p"), child);
    manager.wait_ready();
}
