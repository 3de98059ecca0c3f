//! `file:` destinations: log rotation by `sluicectl reopen`, disks that are full, fail, or do not answer.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use crate::support::{
    Background, Builder, CallError, Checker, Daemon, FifoWriter, Pattern, Shown, make_fifo, require_tmpfs,
    require_tool, stories, until,
};

stories!(
    rotation_under_full_traffic,
    rotation_between_lines,
    a_last_line_without_newline_is_left_behind,
    many_callers_at_once,
    the_old_file_is_left_at_once,
    sluicectl_says_how_many,
    a_directory_that_has_gone,
    what_is_no_file_is_refused,
    a_file_that_has_ended_is_not_reopened,
    a_full_disk_loses_nothing,
    a_full_file_is_left_for_a_new_one,
    a_failing_disk_is_tried_again,
    what_a_failing_disk_never_took_is_counted,
    a_write_that_hangs_holds_nobody_up,
    an_opening_that_hangs_holds_nobody_up,
    records_that_a_device_refuses_are_dropped,
);

/// One route from a FIFO into a file.
const ONE: &str = "
    [daemon]
    drain-timeout = \"300ms\"
    [route.a]
    from = { fifo = \"in\", on-eof = \"close\" }
    to = \"file:$DIR/out\"
    ";

fn reopen(daemon: &Daemon) -> Result<u64, CallError> {
    let reply = daemon.call("ReopenFiles", json!({}));
    reply.map(|reply| reply.int("reopened"))
}

fn refusal(daemon: &Daemon) -> String {
    let error = reopen(daemon).expect_err("a refusal");
    assert_eq!(error.name, "io.sluiced.Relay.Failed");
    error.parameters.text("text").to_owned()
}

fn rename(daemon: &Daemon, from: &str, to: &str) {
    std::fs::rename(daemon.file(from), daemon.file(to)).expect("renaming a file");
}

fn read(path: impl AsRef<Path>) -> Vec<u8> {
    let path = path.as_ref();
    std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Waits until the file has exactly this.
fn wait_for_text(path: impl AsRef<Path>, text: &str) {
    until(
        || (std::fs::read(&path).ok()? == text.as_bytes()).then_some(()),
        || {
            format!(
                "{} has {:?}, not {text:?}",
                path.as_ref().display(),
                std::fs::read(&path)
            )
        },
    );
}

/// Whether `$DIR/NAME` is open in the daemon.
fn has_open(daemon: &Daemon, name: &str) -> bool {
    let descriptors = std::fs::read_dir(format!("/proc/{}/fd", daemon.pid())).expect("its descriptors");
    let mut targets = descriptors.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    targets.any(|target| target == daemon.file(name))
}

fn wait_written(daemon: &Daemon, bytes: u64) -> Shown {
    daemon.wait_until("route.a", "written", |route| route.destination(0).int("bytes") == bytes)
}

/// logrotate(8), without copytruncate: rename, tell the daemon, and what comes then is in the new file.
fn rotation_under_full_traffic() {
    const ROTATIONS: usize = 50;
    let daemon = Daemon::start(ONE);
    let pattern = Pattern::new(91);
    let enough = Arc::new(AtomicBool::new(false));
    let (path, stop) = (daemon.fifo("in"), Arc::clone(&enough));
    let writer = Background::run(move || {
        let mut writer = FifoWriter::open(path);
        while !stop.load(Ordering::Relaxed) {
            writer.write_pattern(pattern, 100_003);
        }
        writer.written()
    });
    let mut old = Vec::new();
    for number in 0..ROTATIONS {
        let length = || std::fs::metadata(daemon.file("out")).map_or(0, |file| file.len());
        until(|| (length() > 0).then_some(()), || "nothing is written".to_owned());
        let name = format!("out.{number}");
        rename(&daemon, "out", &name);
        assert_eq!(reopen(&daemon), Ok(1));
        // The reply means that the old file has its last byte.
        let old_length = std::fs::metadata(daemon.file(&name)).expect("the old file").len();
        old.push((name, old_length));
    }
    enough.store(true, Ordering::Relaxed);
    let length = writer.done();
    daemon.wait_for("route.a", "closed");
    let mut checker = Checker::new(pattern);
    for (name, length) in old {
        let bytes = read(daemon.file(&name));
        assert_eq!(bytes.len() as u64, length, "{name} has grown since");
        checker.feed(&bytes);
    }
    checker.feed(&read(daemon.file("out")));
    assert_eq!(checker.offset(), length);
}

/// A line is in one file, whole, whichever source it is from.
fn rotation_between_lines() {
    let daemon = Daemon::start(
        r#"
        [route.a]
        from = [{ fifo = "x", on-eof = "close" }, { fifo = "y", on-eof = "close" }]
        to = "file:$DIR/out"
        framing = "lines"
        "#,
    );
    let enough = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = ["x", "y"]
        .map(|name| {
            let (path, stop) = (daemon.fifo(name), Arc::clone(&enough));
            Background::run(move || {
                let mut writer = FifoWriter::open(path);
                let mut number = 0;
                while !stop.load(Ordering::Relaxed) {
                    // From a few bytes to several pages, so that the pipes are full in the middle of a line.
                    let filling = "-".repeat(number * 7919 % 20_000);
                    writer.write_all(format!("{name} {number} {filling}\n").as_bytes());
                    number += 1;
                }
                number
            })
        })
        .into_iter()
        .collect();
    let mut names = Vec::new();
    for number in 0..20 {
        let length = || std::fs::metadata(daemon.file("out")).map_or(0, |file| file.len());
        until(|| (length() > 0).then_some(()), || "nothing is written".to_owned());
        names.push(format!("out.{number}"));
        rename(&daemon, "out", &names[number]);
        assert_eq!(reopen(&daemon), Ok(1));
    }
    enough.store(true, Ordering::Relaxed);
    let written: Vec<usize> = writers.into_iter().map(Background::done).collect();
    daemon.wait_for("route.a", "closed");
    names.push("out".to_owned());
    let mut next = [0, 0];
    for name in names {
        let text = String::from_utf8(read(daemon.file(&name))).expect("text");
        assert!(text.is_empty() || text.ends_with('\n'), "{name} ends in a line");
        for line in text.lines() {
            let mut words = line.split(' ');
            let source = usize::from(words.next() == Some("y"));
            let number: usize = words.next().and_then(|word| word.parse().ok()).expect("a number");
            assert_eq!(number, next[source], "in {name}");
            assert_eq!(words.next().map(str::len), Some(number * 7919 % 20_000), "in {name}");
            next[source] += 1;
        }
    }
    assert_eq!(next.to_vec(), written);
}

/// Its end may never come: it is waited for a little, and then what comes is in the new file.
fn a_last_line_without_newline_is_left_behind() {
    let daemon = Daemon::start(
        r#"
        [route.a]
        from = [{ fifo = "x", on-eof = "close" }, "fifo:y"]
        to = "file:$DIR/out"
        framing = "lines"
        "#,
    );
    FifoWriter::open(daemon.fifo("x")).write_all(b"one\ntwo");
    wait_for_text(daemon.file("out"), "one\ntwo");
    rename(&daemon, "out", "old");
    assert_eq!(reopen(&daemon), Ok(1));
    FifoWriter::open(daemon.fifo("y")).write_all(b"three\n");
    wait_for_text(daemon.file("out"), "three\n");
    wait_for_text(daemon.file("old"), "one\ntwo");
}

/// Each is answered, the bytes are in order, and no thread is left.
fn many_callers_at_once() {
    let daemon = Daemon::start(ONE);
    let (pattern, length) = (Pattern::new(96), 3_000_017);
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    let threads = || {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", daemon.pid()));
        tasks.expect("its threads").count()
    };
    daemon.wait_for("route.a", "flowing");
    let before = threads();
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let mut client = daemon.client();
            Background::run(move || {
                for _ in 0..20 {
                    let reply = client.call("ReopenFiles", json!({})).expect("a reply");
                    assert_eq!(reply.int("reopened"), 1);
                }
            })
        })
        .collect();
    writer.write_pattern(pattern, length);
    clients.into_iter().for_each(Background::done);
    until(
        || (threads() == before).then_some(()),
        || format!("{} threads, {before} before", threads()),
    );
    drop(writer);
    daemon.wait_for("route.a", "closed");
    let mut checker = Checker::new(pattern);
    checker.feed(&read(daemon.file("out")));
    assert_eq!(checker.offset(), length);
}

/// Also where nothing is written: the blocks of a file that is open are not free when it is removed (unlink(2)).
fn the_old_file_is_left_at_once() {
    let daemon = Daemon::start(ONE);
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    writer.write_all(b"one");
    wait_for_text(daemon.file("out"), "one");
    rename(&daemon, "out", "old");
    assert_eq!(reopen(&daemon), Ok(1));
    until(
        || (!has_open(&daemon, "old")).then_some(()),
        || "the old file is still open".to_owned(),
    );
    assert!(has_open(&daemon, "out"));
    assert_eq!(read(daemon.file("out")), b"");
    writer.write_all(b"two");
    wait_for_text(daemon.file("out"), "two");
    wait_for_text(daemon.file("old"), "one");
}

fn sluicectl_says_how_many() {
    let daemon = Daemon::start(
        "
        [route.a]
        from = \"fifo:a\"
        to = [\"file:$DIR/one\", \"file:$DIR/two\", \"null\"]
        [route.b]
        from = \"fifo:b\"
        to = [\"file:$DIR/three\", \"fifo:out\"]
        ",
    );
    assert_eq!(daemon.ctl(&["reopen"]).expect_code(0).stdout, "3 files are reopened\n");
    let json = daemon.ctl(&["--json", "reopen"]).expect_code(0).stdout;
    assert_eq!(json, "{\"reopened\":3}\n");
    std::fs::remove_file(daemon.file("two")).expect("removing a file");
    std::os::unix::fs::symlink("one", daemon.file("two")).expect("a symbolic link");
    let said = daemon.ctl(&["reopen"]).expect_code(1);
    assert!(said.stdout.is_empty(), "{}", said.stdout);
    for part in [
        "1 of 3 files",
        &daemon.file("two").display().to_string(),
        "symbolic link",
    ] {
        assert!(said.stderr.contains(part), "{part}: {}", said.stderr);
    }
    daemon.wait_for_log("not reopened");
    let error = daemon
        .call("ReopenFiles", json!({ "name": "a" }))
        .expect_err("no such parameter");
    assert_eq!(error.name, "org.varlink.service.InvalidParameter");
    let mut client = daemon.client();
    client.send_call("ReopenFiles", &json!({}), &["oneway"]);
    client
        .call("GetStatus", json!({}))
        .expect("the next reply is of the next call");
    let none = Daemon::start("[route.a]\nfrom = \"fifo:in\"\nto = \"null\"\n");
    assert_eq!(none.ctl(&["reopen"]).expect_code(0).stdout, "no file is open\n");
}

/// open(2): ENOENT. The error is told, and the old file is written on wherever it is now.
fn a_directory_that_has_gone() {
    let builder = Daemon::config(&ONE.replace("$DIR/out", "$DIR/logs/out"));
    let logs = builder.place().file("logs");
    std::fs::create_dir(&logs).expect("a directory");
    let daemon = builder.start();
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    writer.write_all(b"one");
    wait_for_text(logs.join("out"), "one");
    rename(&daemon, "logs", "moved");
    let text = refusal(&daemon);
    for part in ["1 of 1 files", &logs.join("out").display().to_string(), "No such file"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    writer.write_all(b"two");
    wait_for_text(daemon.file("moved/out"), "onetwo");
    assert_eq!(daemon.route("a").state(), "flowing");
    std::fs::create_dir(&logs).expect("a directory");
    assert_eq!(reopen(&daemon), Ok(1));
    writer.write_all(b"three");
    wait_for_text(logs.join("out"), "three");
    wait_for_text(daemon.file("moved/out"), "onetwo");
}

/// The rules of the first opening: no symbolic link (open(2), O_NOFOLLOW), a regular file or a character device.
fn what_is_no_file_is_refused() {
    let daemon = Daemon::config(ONE).with_file("victim", "untouched").start();
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    writer.write_all(b"1");
    wait_for_text(daemon.file("out"), "1");
    rename(&daemon, "out", "old");
    let out = daemon.file("out");
    std::os::unix::fs::symlink(daemon.file("victim"), &out).expect("a symbolic link");
    assert!(refusal(&daemon).contains("is a symbolic link"));
    std::fs::remove_file(&out).expect("removing the link");
    make_fifo(&out);
    assert!(refusal(&daemon).contains("is a FIFO"));
    std::fs::remove_file(&out).expect("removing the FIFO");
    std::fs::create_dir(&out).expect("a directory");
    assert!(refusal(&daemon).contains("directory"));
    writer.write_all(b"2");
    wait_for_text(daemon.file("old"), "12");
    wait_for_text(daemon.file("victim"), "untouched");
    std::fs::remove_dir(&out).expect("removing the directory");
    assert_eq!(reopen(&daemon), Ok(1));
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(&out).expect("the new file").permissions().mode();
    assert_eq!(mode & 0o7777, 0o640);
}

fn a_file_that_has_ended_is_not_reopened() {
    let daemon = Daemon::start(&format!(
        "{ONE}\n[route.b]\nfrom = \"fifo:in-b\"\nto = \"file:/dev/full\"\n"
    ));
    assert_eq!(reopen(&daemon), Ok(2), "a device is opened anew like a file");
    FifoWriter::open(daemon.fifo("in-b")).write_all(b"no room");
    daemon.wait_for("route.b", "closed");
    assert_eq!(reopen(&daemon), Ok(1));
    FifoWriter::open(daemon.fifo("in")).write_all(b"all");
    daemon.wait_for("route.a", "closed");
    rename(&daemon, "out", "old");
    assert_eq!(reopen(&daemon), Ok(0));
    assert!(!daemon.file("out").exists());
}

/// With a small tmpfs at `$DIR/disk`, which only the daemon sees.
fn on_a_small_disk(builder: Builder) -> Daemon {
    let disk = builder.place().file("disk");
    std::fs::create_dir(&disk).expect("a directory");
    let mount = "mount -t tmpfs -o size=256k tmpfs \"$0\" && exec \"$@\"";
    let words = ["unshare", "-m", "--propagation", "private", "sh", "-c", mount];
    let disk = disk.display().to_string();
    let wrapper = [&words[..], &[&disk]].concat();
    builder.wrapped_in(&wrapper).start()
}

/// write(2), ENOSPC: told, waited for under backpressure, and not a byte is lost. A reopening leaves the old file, so
/// that removing it makes room.
fn a_full_disk_loses_nothing() {
    if !require_tmpfs() {
        return;
    }
    let daemon = on_a_small_disk(Daemon::config(&ONE.replace("$DIR/out", "$DIR/disk/out")));
    let inside = PathBuf::from(format!("/proc/{}/root{}", daemon.pid(), daemon.file("disk").display()));
    let (pattern, length) = (Pattern::new(92), 1_000_003);
    let writer = FifoWriter::in_background(daemon.fifo("in"), pattern, length);
    let mut checker = Checker::new(pattern);
    let mut full = 0;
    while checker.offset() < length {
        let route = daemon.wait_until("route.a", "in trouble, or at its end", |route| {
            let told = route.destination(0).text_or_empty("trouble").contains("ENOSPC");
            (told && route.paused_only_for("backpressure")) || route.state() == "closed"
        });
        if route.state() != "closed" {
            full += 1;
            // Later ones may still tell of the file that was left.
            let why = daemon.ctl(&["why", "a"]).expect_code(0).stdout;
            assert!(full > 1 || why.contains("ENOSPC"), "{why}");
        }
        assert_eq!(route.destination(0).int("droppedBytes"), 0);
        std::fs::rename(inside.join("out"), inside.join("old")).expect("renaming the file");
        let reopened = reopen(&daemon).expect("a file in trouble is reopened, too");
        if reopened == 0 {
            daemon.wait_for("route.a", "closed");
        }
        checker.feed(&read(inside.join("old")));
        std::fs::remove_file(inside.join("old")).expect("making room");
    }
    writer.done();
    assert!(full >= 3, "the disk was full {full} times");
    let route = daemon.wait_for("route.a", "closed");
    assert_eq!(route.destination(0).text("closeCause"), "drained");
    assert_eq!(route.destination(0).int("bytes"), length);
}

/// setrlimit(2), RLIMIT_FSIZE: the old file takes nothing more, and the next try goes to the new one at once.
fn a_full_file_is_left_for_a_new_one() {
    let daemon = Daemon::config(ONE)
        .wrapped_in(&["bash", "-c", "ulimit -f 64; exec \"$@\"", "bash"])
        .start();
    let (pattern, length) = (Pattern::new(93), 150_001);
    let writer = FifoWriter::in_background(daemon.fifo("in"), pattern, length);
    let mut checker = Checker::new(pattern);
    for full in 1..=2 {
        daemon.wait_until("route.a", "in trouble", |route| {
            let there = route.destination(0);
            there.text_or_empty("trouble").contains("EFBIG") && there.int("bytes") == full * 65536
        });
        rename(&daemon, "out", "old");
        assert_eq!(reopen(&daemon), Ok(1));
        checker.feed(&read(daemon.file("old")));
    }
    writer.done();
    let route = daemon.wait_for("route.a", "closed");
    assert_eq!(route.destination(0).text_or_empty("trouble"), "");
    checker.feed(&read(daemon.file("out")));
    assert_eq!(checker.offset(), length);
}

/// write(2), EIO: "a low-level I/O error", which may pass. The first write is well, so it is open and flows.
fn a_failing_disk_is_tried_again() {
    if !require_tool("strace") {
        return;
    }
    let failing = [
        "-P",
        "$DIR/out",
        "-e",
        "trace=write",
        "-e",
        "inject=write:error=EIO:when=2..5",
    ];
    let daemon = Daemon::config(ONE).under_strace(&failing).start();
    let (pattern, length) = (Pattern::new(94), 700_001);
    let writer = FifoWriter::in_background(daemon.fifo("in"), pattern, length);
    let route = daemon.wait_until("route.a", "in trouble", |route| {
        route.destination(0).text_or_empty("trouble").contains("EIO")
    });
    let trouble = route.destination(0).text("trouble").to_owned();
    assert!(trouble.contains("trying again"), "{trouble}");
    writer.done();
    let route = daemon.wait_for("route.a", "closed");
    assert_eq!(route.destination(0).text("closeCause"), "drained");
    daemon.wait_for_log("(EIO); trying again");
    daemon.wait_for_log("is written again");
    let mut checker = Checker::new(pattern);
    checker.feed(&read(daemon.file("out")));
    assert_eq!(checker.offset(), length);
}

/// The same for good: the route waits, and what its drain gives up is counted to the byte.
fn what_a_failing_disk_never_took_is_counted() {
    if !require_tool("strace") {
        return;
    }
    let failing = [
        "-P",
        "$DIR/out",
        "-e",
        "trace=write",
        "-e",
        "inject=write:error=EIO:when=2+",
    ];
    let daemon = Daemon::config(ONE).under_strace(&failing).start();
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    writer.write_all(b"taken");
    wait_for_text(daemon.file("out"), "taken");
    writer.write_until(Pattern::new(95), || {
        let route = daemon.route("a");
        route.paused_only_for("backpressure") && route.destination(0).text_or_empty("trouble").contains("EIO")
    });
    daemon.ctl(&["drain", "a", "--timeout", "200ms"]).expect_code(0);
    let route = daemon.wait_for("route.a", "closed");
    let there = route.destination(0);
    assert_eq!(there.text("closeCause"), "drain_timeout", "{route}");
    assert_eq!(there.int("bytes"), 5);
    assert_eq!(there.int("droppedBytes"), route.int("acceptedBytes") - 5);
    wait_for_text(daemon.file("out"), "taken");
    daemon.wait_for_log("drain_timeout");
}

/// A disk that does not come back from a write: everybody else is served, and the caller is told which file it is. What
/// the write had in its hands is in the old file, all that comes later in the new one.
fn a_write_that_hangs_holds_nobody_up() {
    if !require_tool("strace") {
        return;
    }
    // The write is done, and its return takes long.
    let slow = [
        "-P",
        "$DIR/out",
        "-e",
        "trace=write",
        "-e",
        "inject=write:delay_exit=8000000:when=1",
    ];
    let config = format!("{ONE}\n[route.b]\nfrom = \"fifo:in-b\"\nto = \"file:$DIR/other\"\n");
    let daemon = Daemon::config(&config).under_strace(&slow).start();
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    let mut other = FifoWriter::open(daemon.fifo("in-b"));
    other.write_all(b"1");
    wait_for_text(daemon.file("other"), "1");
    writer.write_all(b"one");
    wait_for_text(daemon.file("out"), "one");
    rename(&daemon, "out", "old");
    rename(&daemon, "other", "other-old");
    let mut client = daemon.client();
    client.send_call("ReopenFiles", &json!({}), &[]);
    // The other one is reopened at once, both routes are shown, and take bytes.
    until(
        || (!has_open(&daemon, "other-old")).then_some(()),
        || "the other file is not left".to_owned(),
    );
    writer.write_all(b"two");
    daemon.wait_until("route.a", "queueing", |route| {
        route.destination(0).int("queuedBytes") >= 3
    });
    other.write_all(b"2");
    wait_for_text(daemon.file("other"), "2");
    let error = client.reply().expect_err("a refusal");
    let text = error.parameters.text("text");
    for part in [
        "1 of 2 files",
        &daemon.file("out").display().to_string(),
        "has not answered",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    wait_for_text(daemon.file("out"), "two");
    wait_for_text(daemon.file("old"), "one");
    wait_written(&daemon, 6);
    assert_eq!(reopen(&daemon), Ok(2));
}

/// A disk that does not come back from an open: the old file is written on meanwhile.
fn an_opening_that_hangs_holds_nobody_up() {
    if !require_tool("strace") {
        return;
    }
    // The file is made, and the return takes long; at the start, too.
    let slow = [
        "-P",
        "$DIR/out",
        "-e",
        "trace=openat",
        "-e",
        "inject=openat:delay_exit=6000000",
    ];
    let daemon = Daemon::config(ONE).under_strace(&slow).start();
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    writer.write_all(b"one");
    wait_for_text(daemon.file("out"), "one");
    rename(&daemon, "out", "old");
    let mut client = daemon.client();
    client.send_call("ReopenFiles", &json!({}), &[]);
    until(|| daemon.file("out").exists().then_some(()), || "not tried".to_owned());
    writer.write_all(b"two");
    wait_for_text(daemon.file("old"), "onetwo");
    let error = client.reply().expect_err("a refusal");
    assert!(error.parameters.text("text").contains("has not answered"), "{error:?}");
    // It is taken when it comes all the same.
    until(
        || (!has_open(&daemon, "old")).then_some(()),
        || "the old file is still open".to_owned(),
    );
    writer.write_all(b"three");
    wait_for_text(daemon.file("out"), "three");
    wait_for_text(daemon.file("old"), "onetwo");
}

/// What a device refuses was handed over to its writer, and is no record that has left.
fn records_that_a_device_refuses_are_dropped() {
    let daemon = Daemon::start(
        r#"
        [route.a]
        from = { fifo = "in", on-eof = "close" }
        to = ["file:/dev/full", "null"]
        framing = "lines"
        "#,
    );
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    writer.write_all(&b"one line\n".repeat(50));
    let full = daemon
        .wait_until("route.a", "failed at one end", |route| {
            route.destination(0).state() == "failed"
        })
        .destination(0);
    let counts = ["bytes", "records", "droppedBytes", "droppedRecords"].map(|count| full.int(count));
    assert_eq!(counts, [0, 0, 450, 50], "{full}");
    drop(writer);
    daemon.wait_for("route.a", "closed");
}
