//! What is in the store, when, and for how long; and a store that is not what it should be. docs/design/0014.

use std::io::Write;
use std::os::fd::OwnedFd;
use std::time::Duration;

use nix::fcntl::OFlag;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::support::{Daemon, Deadline, FifoReader, FifoWriter, Manager, PATIENCE, stories, until};

stories!(
    nothing_stored_is_polled,
    an_orderly_end_leaves_nothing,
    where_the_store_is_off_nothing_is_stored,
    an_old_manager_does_not_say_how_much_it_stores,
    peers_that_come_and_go_add_nothing,
    restarts_add_nothing,
    what_a_reload_takes_away_is_taken_out,
    what_is_not_in_the_next_config_is_taken_out,
    an_unknown_descriptor_is_taken_out,
    a_process_is_not_started_before_its_pipes_are_kept,
    a_barrier_that_never_comes_holds_up_for_a_moment,
    a_manager_that_never_reads,
    what_a_busy_manager_has_not_heard_is_told_again,
    a_journal_is_renewed_only_when_that_is_heard,
    a_large_store_is_emptied_in_order,
    a_store_that_is_full,
    a_line_of_the_journal_that_is_cut,
    a_journal_that_is_garbage,
    a_consumer_sees_its_end_all_the_same,
    a_producer_gets_epipe_all_the_same,
);

/// One of everything that is stored.
const ALL: &str = r#"
    [process.p]
    command = [$PEER, "cat"]

    [process.q]
    command = ["sh", "-c", "exec cat <&3 >&4"]

    [route.in]
    from = "fifo:in"
    to = "process:p.stdin"

    [route.between]
    from = ["process:p.stdout", "process:p.stderr"]
    to = "process:q.fd3"

    [route.tee]
    from = "process:q.fd4"
    to = ["fifo:out", "fifo:two"]
    path = "splice"
    "#;

struct Ends {
    writer: FifoWriter,
    readers: [FifoReader; 2],
}

impl Ends {
    fn open(daemon: &Daemon) -> Ends {
        Ends {
            readers: ["out", "two"].map(|name| FifoReader::open(daemon.fifo(name))),
            writer: FifoWriter::open(daemon.fifo("in")),
        }
    }

    fn carry(&mut self, bytes: &[u8]) {
        self.writer.write_all(bytes);
        for reader in &mut self.readers {
            assert_eq!(reader.read_exact(bytes.len()), bytes);
        }
    }
}

fn end(manager: &Manager, daemon: Daemon) {
    daemon.finish();
    manager.wait("empty", |manager| manager.stored().is_empty());
}

/// systemd#12086
fn nothing_stored_is_polled() {
    let manager = Manager::new();
    let daemon = manager.start(ALL);
    let mut ends = Ends::open(&daemon);
    ends.carry(b"through all of it\n");
    manager.settle();
    let stored = manager.stored();
    assert!(stored.iter().filter(|kept| kept.is_pipe).count() >= 10, "{stored:#?}");
    let polled: Vec<_> = stored.iter().filter(|kept| kept.is_pipe && kept.is_polled).collect();
    assert!(polled.is_empty(), "{polled:#?}");
    assert!(
        stored.iter().any(|kept| kept.name.starts_with("journal")),
        "{stored:#?}"
    );
    end(&manager, daemon);
}

fn an_orderly_end_leaves_nothing() {
    let manager = Manager::new();
    let daemon = manager.start(ALL);
    Ends::open(&daemon).carry(b"some");
    daemon.changes("StopProcess", json!({ "name": "q" }));
    end(&manager, daemon);
    let daemon = manager.start(ALL);
    let place = manager.kill_all(daemon);
    assert!(!manager.stored().is_empty());
    let daemon = manager.restart(place);
    end(&manager, daemon);
}

/// FDSTORE=0: by whoever does not want it, since systemd without FileDescriptorStoreMax= does not say so.
fn where_the_store_is_off_nothing_is_stored() {
    let manager = Manager::new();
    let daemon = manager.run(manager.config(ALL).environment("FDSTORE", "0"));
    Ends::open(&daemon).carry(b"some");
    daemon.finish();
    manager.settle();
    let stores = manager
        .messages()
        .into_iter()
        .filter(|message| message.says("FDSTORE=1"));
    assert_eq!(stores.count(), 0);
    assert!(manager.times_ready() > 0);
}

/// systemd 252 has a store, and no variable for it.
fn an_old_manager_does_not_say_how_much_it_stores() {
    let manager = Manager::new().taciturn();
    let daemon = manager.start(ALL);
    Ends::open(&daemon).carry(b"some");
    manager.settle();
    assert!(!manager.stored().is_empty());
    end(&manager, daemon);
}

/// What is stored when everything has been carried and heard.
fn settled(manager: &Manager) -> Vec<String> {
    manager.settle();
    manager.names()
}

fn as_many_as(manager: &Manager, before: &[String]) {
    until(
        || (settled(manager).len() <= before.len()).then_some(()),
        || format!("{} were stored, now {:?}", before.len(), manager.names()),
    );
}

/// A FIFO is deposited once, however often its end is opened anew.
fn peers_that_come_and_go_add_nothing() {
    let manager = Manager::new();
    let daemon = manager.start(
        "[route.a]\nfrom = \"fifo:in\"\nto = \"fifo:out\"\n\
         [route.b]\nfrom = \"fifo:in-b\"\nto = [\"fifo:out-b\", \"fifo:two\"]\npath = \"splice\"\n",
    );
    let carry = |number: u8| {
        for (from, to) in [("in", &["out"][..]), ("in-b", &["out-b", "two"])] {
            let mut readers: Vec<_> = to.iter().map(|name| FifoReader::open(daemon.fifo(name))).collect();
            FifoWriter::open(daemon.fifo(from)).write_all(&[number; 100]);
            readers
                .iter_mut()
                .for_each(|reader| assert_eq!(reader.read_exact(100), [number; 100]));
        }
    };
    carry(0);
    let before = settled(&manager);
    assert!(!before.is_empty());
    (1..=100).for_each(carry);
    as_many_as(&manager, &before);
    end(&manager, daemon);
}

fn restarts_add_nothing() {
    let manager = Manager::new();
    let daemon = manager.start(&ALL.replace(
        "command = [$PEER, \"cat\"]",
        "command = [$PEER, \"cat\"]\nrestart-delay = \"1ms\"\nrestart-delay-max = \"1ms\"\nstart-limit = { burst = 0, interval = \"10s\" }",
    ));
    let mut ends = Ends::open(&daemon);
    ends.carry(b"some");
    let before = settled(&manager);
    assert!(!before.is_empty());
    for restarts in 1..=50 {
        let pid = daemon.pid_of("p");
        kill(Pid::from_raw(pid), Signal::SIGKILL).expect("a child to kill");
        daemon.wait_until("process.p", "restarted", |process| {
            process.int("restarts") == restarts && process.maybe_int("pid").is_some()
        });
    }
    ends.carry(b"more");
    as_many_as(&manager, &before);
    end(&manager, daemon);
}

fn what_a_reload_takes_away_is_taken_out() {
    let manager = Manager::new();
    let daemon = manager.start("");
    let before = settled(&manager);
    for _ in 0..2 {
        daemon.reload(ALL);
        Ends::open(&daemon).carry(b"some");
        assert!(settled(&manager).len() > before.len() + 10);
        daemon.reload("");
        as_many_as(&manager, &before);
    }
    end(&manager, daemon);
}

/// A route that is renamed loses nothing; what has no place any more is told, and is not kept for ever.
fn what_is_not_in_the_next_config_is_taken_out() {
    let with = "[route.gone]\nfrom = \"fifo:gone-in\"\nto = \"fifo:gone-out\"\npath = \"splice\"\n";
    let kept = |name: &str| {
        format!("[route.{name}]\nfrom = \"fifo:in\"\nto = \"fifo:out\"\npath = \"splice\"\nstart-paused = true\n")
    };
    let manager = Manager::new();
    let daemon = manager.start(&format!("{with}{}", kept("old")));
    FifoWriter::open(daemon.fifo("in")).write_all(b"kept");
    FifoWriter::open(daemon.fifo("gone-in")).write_all(b"lost");
    manager.settle();
    let all = manager.stored().len();
    let place = manager.kill_all(daemon);
    let daemon = manager.restart_with(place, &kept("new"));
    daemon.wait_for_log("gone-in");
    until(
        || (settled(&manager).len() < all).then_some(()),
        || format!("what belongs to nothing is kept: {:?}", manager.names()),
    );
    let mut reader = FifoReader::open(daemon.fifo("out"));
    daemon.changes("ResumeRoute", json!({ "name": "new" }));
    assert_eq!(reader.read_exact(4), b"kept");
    end(&manager, daemon);
}

fn an_unknown_descriptor_is_taken_out() {
    let manager = Manager::new();
    let (reader, writer) = nix::unistd::pipe2(OFlag::O_CLOEXEC).expect("a pipe");
    manager.put(reader, "d4711");
    manager.put(writer, "somebodys");
    let file = std::fs::File::open("/dev/null").expect("/dev/null");
    manager.put(file.into(), "journal.nonsense");
    let daemon = manager.start(ALL);
    daemon.wait_for_log("somebodys");
    Ends::open(&daemon).carry(b"some");
    until(
        || {
            let names = settled(&manager);
            let foreign = ["d4711", "somebodys", "journal.nonsense"];
            names.iter().all(|name| !foreign.contains(&&**name)).then_some(())
        },
        || format!("it is still there: {:?}", manager.names()),
    );
    end(&manager, daemon);
}

/// No byte may enter a pipe that is not kept yet: the process is not there before the barrier has passed.
fn a_process_is_not_started_before_its_pipes_are_kept() {
    let manager = Manager::new().holding_barriers();
    let daemon = manager.launch(manager.config(
        "[process.p]\ncommand = [$PEER, \"tell $DIR/up x\", \"hold\"]\n[route.a]\nfrom = \"process:p.stdout\"\nto = \"null\"\n",
    ));
    let up = daemon.file("up");
    manager.wait("asked to let a barrier pass", |manager| {
        manager.messages().iter().any(|message| message.says("BARRIER=1"))
    });
    assert!(!up.exists(), "it runs already");
    manager.release_barriers();
    until(|| up.exists().then_some(()), || "it does not run".to_owned());
    assert!(manager.stored().iter().any(|kept| kept.is_pipe));
    manager.wait_ready();
    end(&manager, daemon);
}

fn a_barrier_that_never_comes_holds_up_for_a_moment() {
    let manager = Manager::new().holding_barriers();
    let clock = Deadline::within(PATIENCE);
    let daemon = manager.start(ALL);
    let mut ends = Ends::open(&daemon);
    ends.carry(b"all the same");
    assert!(clock.elapsed() < Duration::from_secs(25), "{:?}", clock.elapsed());
    assert!(daemon.log().contains("WARN"), "{}", daemon.log());
    ends.carry(b"and again");
    drop(ends);
    daemon.finish();
}

fn a_manager_that_never_reads() {
    let manager = Manager::new().deaf();
    let clock = Deadline::within(PATIENCE);
    let daemon = manager.start(ALL);
    let mut ends = Ends::open(&daemon);
    for _ in 0..50 {
        ends.carry(b"all the same");
    }
    assert!(clock.elapsed() < Duration::from_secs(25), "{:?}", clock.elapsed());
    assert!(daemon.changes("RestartProcess", json!({ "name": "p" })));
    ends.carry(b"and again");
    drop(ends);
    daemon.finish();
}

/// Else a consumer would never see its end, and a producer no EPIPE; and nobody would ever take it out.
fn what_a_busy_manager_has_not_heard_is_told_again() {
    let routes: String = (0..30)
        .map(|i| format!("[route.r{i}]\nfrom = \"fifo:in{i}\"\nto = \"fifo:out{i}\"\n"))
        .collect();
    for upgraded in [false, true] {
        let manager = Manager::new();
        let daemon = manager.start("");
        let before = settled(&manager);
        daemon.reload(&routes);
        manager.wait("all FIFOs", |manager| manager.names().len() >= before.len() + 60);
        let mut reader = FifoReader::open(daemon.fifo("out29"));
        manager.turn_deaf();
        daemon.reload("");
        // Which of the two it is depends on how much of it the socket took: removals, or a barrier that is not answered.
        until(
            || {
                let log = daemon.log();
                let told = ["does not read what it is told", "has not answered for 2 s"];
                told.iter().any(|told| log.contains(told)).then_some(())
            },
            || "the log does not say that the manager is deaf".to_owned(),
        );
        if upgraded {
            daemon.upgrade();
        }
        manager.listen();
        assert_eq!(reader.read_to_end(), b"");
        as_many_as(&manager, &before);
        end(&manager, daemon);
    }
}

/// Without one, nothing in the store is of any use.
fn a_journal_is_renewed_only_when_that_is_heard() {
    let manager = Manager::new();
    let daemon = manager.start(
        "[process.p]\ncommand = [\"true\"]\nrestart = \"always\"\nrestart-delay = \"1ms\"\nrestart-delay-max = \"1ms\"\n\
         start-limit = { burst = 0, interval = \"10s\" }\n[route.a]\nto = \"null\"\n\
         from = [\"process:p.stdout\", \"process:p.stderr\", \"process:p.fd3\", \"process:p.fd4\", \"process:p.fd5\"]\n",
    );
    manager.settle();
    manager.turn_deaf();
    let before = daemon.look("process.p").int("restarts");
    daemon.wait_until("process.p", "restarted very often", |process| {
        process.int("restarts") > before + 200
    });
    manager.listen();
    daemon.reload("[route.b]\nfrom = \"fifo:in\"\nto = \"fifo:out\"\nstart-paused = true\npath = \"splice\"\n");
    manager.settle();
    FifoWriter::open(daemon.fifo("in")).write_all(b"kept");
    let place = manager.kill_all(daemon);
    let daemon = manager.restart_with(
        place,
        "[route.b]\nfrom = \"fifo:in\"\nto = \"fifo:out\"\nstart-paused = true\npath = \"splice\"\n",
    );
    let mut reader = FifoReader::open(daemon.fifo("out"));
    daemon.changes("ResumeRoute", json!({ "name": "b" }));
    assert_eq!(reader.read_exact(4), b"kept");
    end(&manager, daemon);
}

/// As fast as the manager reads.
fn a_large_store_is_emptied_in_order() {
    let routes: String = (0..1000)
        .map(|i| format!("[route.r{i}]\nfrom = \"fifo:in{i}\"\nto = \"fifo:out{i}\"\n"))
        .collect();
    let manager = Manager::new().max(4000);
    let daemon = manager.start(&routes);
    manager.wait("all FIFOs", |manager| manager.names().len() > 2000);
    end(&manager, daemon);
}

/// FileDescriptorStoreMax= is reached: systemd says nothing, and drops the rest.
fn a_store_that_is_full() {
    for most in [0, 1, 5] {
        let manager = Manager::new().max(most);
        // systemd says what it is; an old one does not.
        let manager = if most == 5 { manager.taciturn() } else { manager };
        let daemon = manager.start(ALL);
        Ends::open(&daemon).carry(b"all the same");
        manager.settle();
        assert!(manager.stored().len() <= most);
        let place = manager.kill_all(daemon);
        let daemon = manager.restart(place);
        Ends::open(&daemon).carry(b"and again");
        daemon.finish();
    }
}

fn journals(manager: &Manager) -> Vec<OwnedFd> {
    let copies = manager.copies().into_iter();
    let journals: Vec<_> = copies.filter(|(_, name)| name.starts_with("journal.")).collect();
    assert!(!journals.is_empty(), "there is no journal in {:?}", manager.names());
    journals.into_iter().map(|(descriptor, _)| descriptor).collect()
}

/// Through /proc, so that whoever shares the open file does not see its offset move.
fn opened(journal: &OwnedFd, options: &mut std::fs::OpenOptions) -> std::fs::File {
    use std::os::fd::AsRawFd;
    let path = format!("/proc/self/fd/{}", journal.as_raw_fd());
    options.open(path).expect("the journal's memory")
}

const KEPT: &str = "[route.a]\nfrom = \"fifo:in\"\nto = \"fifo:out\"\npath = \"splice\"\nstart-paused = true\n";

fn unread(manager: &Manager) -> Daemon {
    let daemon = manager.start(KEPT);
    FifoWriter::open(daemon.fifo("in")).write_all(b"unread");
    daemon.wait_until("route.a", "paused", |route| {
        route.source(0).maybe_int("kernelBytes") == Some(6)
    });
    daemon
}

/// A SIGKILL in the middle of a write(2): what stands before it counts.
fn a_line_of_the_journal_that_is_cut() {
    let manager = Manager::new();
    let daemon = unread(&manager);
    let place = manager.kill_all(daemon);
    for journal in journals(&manager) {
        let mut end = opened(&journal, std::fs::OpenOptions::new().append(true));
        end.write_all(b"{\"half\": of a li").expect("a write");
    }
    let daemon = manager.restart(place);
    let mut reader = FifoReader::open(daemon.fifo("out"));
    daemon.changes("ResumeRoute", json!({ "name": "a" }));
    assert_eq!(reader.read_exact(6), b"unread");
    assert_eq!(daemon.life(), 2);
    end(&manager, daemon);
}

/// It begins anew, and says so; nothing of the old store is left for ever.
fn a_journal_that_is_garbage() {
    for garbage in [&b""[..], b"\n\n\n", &[0xff; 5000], b"{}\n[]\nnull\n\"x\"\n"] {
        let manager = Manager::new();
        let daemon = unread(&manager);
        let place = manager.kill_all(daemon);
        for journal in journals(&manager) {
            opened(&journal, std::fs::OpenOptions::new().write(true).truncate(true))
                .write_all(garbage)
                .expect("a write");
        }
        let daemon = manager.restart(place);
        let mut reader = FifoReader::open(daemon.fifo("out"));
        let mut writer = FifoWriter::open(daemon.fifo("in"));
        daemon.changes("ResumeRoute", json!({ "name": "a" }));
        writer.write_all(b"new");
        // What it could not know of is gone, or is still there: never a part of it.
        let first = reader.read_exact(3);
        assert!(first == b"new" || [first, reader.read_exact(6)].concat() == b"unreadnew");
        assert!(daemon.log().contains("WARN"), "{}", daemon.log());
        end(&manager, daemon);
    }
}

/// The store's copy of the write end keeps a reader from its end of file, until it is taken out.
fn a_consumer_sees_its_end_all_the_same() {
    let manager = Manager::new();
    let daemon = manager.start(
        r#"
        [process.c]
        command = [$PEER, "record $DIR/record", "tell $DIR/ended x"]

        [route.a]
        from = { fifo = "in", on-eof = "close" }
        to = ["process:c.stdin", "fifo:out"]
        "#,
    );
    let mut reader = FifoReader::open(daemon.fifo("out"));
    FifoWriter::open(daemon.fifo("in")).write_all(b"all");
    assert_eq!(reader.read_to_end(), b"all");
    daemon.wait_for("process.c", "finished");
    daemon.wait_for("route.a", "closed");
    assert!(daemon.file("ended").exists());
    end(&manager, daemon);
}

/// And its copy of a read end keeps a producer from its EPIPE.
fn a_producer_gets_epipe_all_the_same() {
    let manager = Manager::new();
    let daemon = manager.start(
        r#"
        [process.p]
        command = [$PEER, "write 100000000"]
        restart = "never"

        [route.a]
        from = "process:p.stdout"
        to = { fifo = "out", when-gone = "close" }

        [route.b]
        from = "fifo:in"
        to = { fifo = "out-b", when-gone = "close" }
        "#,
    );
    let mut reader = FifoReader::open(daemon.fifo("out"));
    reader.read_exact(1000);
    let other = FifoReader::open(daemon.fifo("out-b"));
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    daemon.wait_until("route.b", "open", |route| route.destination(0).state() == "open");
    drop((reader, other));
    let process = daemon.wait_for("process.p", "finished");
    assert_eq!(process.object("lastExit").int("code"), 32, "EPIPE: {process}");
    daemon.wait_for("route.b", "closed");
    until(
        || writer.try_write(b"x").is_err().then_some(()),
        || "a closed source still takes bytes".to_owned(),
    );
    end(&manager, daemon);
}
