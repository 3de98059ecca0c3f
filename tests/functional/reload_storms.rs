//! Reloads in great number, of many things at once, and of what is stuck.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::support::{
    Background, Checker, Daemon, Deadline, FifoReader, FifoWriter, Lines, Numbered, PATIENCE, Pattern, Taken, Tally,
    each_once, pause_briefly, require_tmpfs, scale, stories, until,
};

stories!(
    from_one_instance_to_fifty_and_back,
    an_output_flips_between_the_log_and_a_route,
    two_routes_change_ends_under_load,
    files_of_a_config_directory_come_and_go,
    a_config_of_thousands_of_mistakes_holds_nobody_up,
    the_destination_that_a_long_record_goes_to_is_taken_out,
    a_file_on_a_full_disk_is_taken_out,
    a_second_signal_hurries_a_shutdown_that_a_reload_holds_up,
    hundreds_of_hangups_leave_nothing_behind,
);

/// Each record once, whoever had it, and all processes that are not wanted any more are gone.
fn from_one_instance_to_fifty_and_back() {
    let records = Numbered::lines(60, 400);
    let count = 20_000 * scale().min(20);
    let text = |instances: u64| {
        format!(
            "[daemon]\ndrain-timeout = \"25s\"\n\
             [process.w]\ncommand = [$PEER, \"pass\"]\ninstances = {instances}\n\
             [route.in]\nfrom = \"fifo:in\"\nto = \"process:w.stdin\"\nframing = \"lines\"\ndistribution = \"balance\"\n\
             [route.out]\nfrom = \"process:w.stdout\"\nto = \"fifo:out\"\nframing = \"lines\"\n"
        )
    };
    let daemon = Daemon::start(&text(1));
    let mut reader = FifoReader::open(daemon.fifo("out"));
    let wanted = records.length_of(0..count);
    let reading = Background::run(move || {
        let mut tally = Tally::new(records);
        while tally.bytes() < wanted {
            match reader.read_some(1 << 20) {
                Taken::Bytes(piece) => tally.feed(&piece),
                other => panic!("{other:?} after {} bytes", tally.bytes()),
            }
        }
        tally.finish()
    });
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    let first = daemon.pid_of("w@1");
    let before = daemon.probe().descriptors().len();
    let steps = [50, 1, 50, 7, 33, 1];
    let share = count / steps.len() as u64;
    for (turn, instances) in steps.into_iter().enumerate() {
        let begin = share * turn as u64;
        let end = if turn + 1 == steps.len() { count } else { begin + share };
        let writing = records.in_background(writer, begin..end);
        daemon.reload(&text(instances));
        assert_eq!(daemon.pid_of("w@1"), first);
        assert_eq!(daemon.probe().children().len() as u64, instances);
        daemon.routes();
        writer = writing.done();
    }
    each_once(reading.done(), &(0..count)).unwrap_or_else(|fault| panic!("{fault}"));
    until(
        || (daemon.probe().descriptors().len() <= before).then_some(()),
        || format!("of {before} there are {:#?}", daemon.probe().descriptors()),
    );
}

/// Each line is in the one or in the other, once. Short ones: their pipe is read whole.
fn an_output_flips_between_the_log_and_a_route() {
    const LINES: u64 = 400;
    let text = |routed: bool| {
        let route = "[route.a]\nfrom = \"process:p.stdout\"\nto = \"file:$DIR/out\"\nframing = \"lines\"\n";
        format!(
            "[process.p]\ncommand = [\"sh\", \"-c\", \"i=0; while [ $i -lt {LINES} ]; do echo line-$i-; i=$((i+1)); sleep 0.002; done; \
             exec sleep 1000\"]\nrestart = \"never\"\n{}",
            if routed { route } else { "" }
        )
    };
    let daemon = Daemon::start(&text(false));
    let pid = daemon.pid_of("p");
    let out = || std::fs::read_to_string(daemon.file("out")).unwrap_or_default();
    let mut routed = false;
    let last = format!("line-{}-", LINES - 1);
    until(
        || {
            routed = !routed;
            daemon.reload(&text(routed));
            (out().contains(&last) || daemon.log().contains(&last)).then_some(())
        },
        || "the last line has not come".to_owned(),
    );
    assert_eq!(daemon.pid_of("p"), pid);
    for number in 0..LINES {
        let line = format!("line-{number}-");
        let times = out().matches(&line).count() + daemon.log().matches(&line).count();
        assert_eq!(times, 1, "{line} in\n{}\nand\n{}", out(), daemon.log());
    }
    assert!(
        out()
            .lines()
            .all(|line| line.starts_with("line-") && line.ends_with('-'))
    );
}

/// Each of two consumers gets what either producer gives, in turn; whole lines, in each one's order.
fn two_routes_change_ends_under_load() {
    const LINES: u64 = 2000;
    let text = |swapped: bool| {
        let (first, second) = if swapped { ("two", "one") } else { ("one", "two") };
        format!(
            "[process.one]\ncommand = [$PEER, \"pass\"]\n[process.two]\ncommand = [$PEER, \"pass\"]\n\
             [route.a]\nfrom = \"fifo:a\"\nto = \"process:{first}.stdin\"\nframing = \"lines\"\n\
             [route.b]\nfrom = \"fifo:b\"\nto = \"process:{second}.stdin\"\nframing = \"lines\"\n\
             [route.c]\nfrom = \"process:one.stdout\"\nto = [\"null\", \"fifo:{first}\"]\nframing = \"lines\"\n\
             [route.d]\nfrom = \"process:two.stdout\"\nto = [\"null\", \"fifo:{second}\"]\nframing = \"lines\"\n"
        )
    };
    let daemon = Daemon::start(&text(false));
    let pids = ["one", "two"].map(|name| daemon.pid_of(name));
    // What is in a process just then comes out at the other end; all that was written comes out at the one or the other.
    let deadline = Deadline::within(PATIENCE * 3);
    let all = ["a", "b"].map(|tag| Lines::new(tag, 3000, 3).bytes(0, LINES).len() as i64);
    let left = Arc::new(AtomicI64::new(all.iter().sum()));
    let readers = ["one", "two"].map(|name| {
        let mut reader = FifoReader::open(daemon.fifo(name));
        let left = Arc::clone(&left);
        Background::run(move || {
            let mut all = Vec::new();
            while left.load(Ordering::SeqCst) > 0 {
                match reader.try_read(1 << 20) {
                    Taken::Bytes(piece) => {
                        left.fetch_sub(piece.len() as i64, Ordering::SeqCst);
                        all.extend(piece);
                    }
                    Taken::Nothing => pause_briefly(),
                    Taken::End => panic!("the end after {} bytes", all.len()),
                }
                assert!(!deadline.passed(), "{} bytes are missing", left.load(Ordering::SeqCst));
            }
            (reader, all)
        })
    });
    let writers = ["a", "b"].map(|tag| {
        let lines = Lines::new(tag, 3000, 3);
        let mut writer = FifoWriter::open(daemon.fifo(tag));
        Background::run(move || {
            writer.write_all(&lines.bytes(0, LINES));
            writer
        })
    });
    let mut swapped = false;
    while !writers.iter().all(Background::is_done) {
        swapped = !swapped;
        daemon.reload(&text(swapped));
    }
    let _writers = writers.map(Background::done);
    // Which of the two had a line depends on when; each came once, whole.
    let [(_one, first), (_two, second)] = readers.map(Background::done);
    assert_eq!(["one", "two"].map(|name| daemon.pid_of(name)), pids);
    let mut counts = std::collections::BTreeMap::new();
    for line in first
        .split_inclusive(|byte| *byte == b'\n')
        .chain(second.split_inclusive(|byte| *byte == b'\n'))
    {
        *counts.entry(line.to_vec()).or_insert(0) += 1;
    }
    for tag in ["a", "b"] {
        let lines = Lines::new(tag, 3000, 3);
        for number in 0..LINES {
            assert_eq!(counts.remove(&lines.line(number)), Some(1), "line {number} of {tag}");
        }
    }
    assert!(counts.is_empty(), "{} lines that nobody wrote", counts.len());
}

/// Editors and configuration management write, rename and remove while others reload.
fn files_of_a_config_directory_come_and_go() {
    let builder = Daemon::config("[route.base]\nfrom = \"fifo:base\"\nto = \"null\"\n");
    let directory = builder.place().file("conf.d");
    std::fs::create_dir(&directory).expect("a directory");
    let argument = directory.display().to_string();
    std::fs::write(
        directory.join("0.toml"),
        "[route.first]\nfrom = \"fifo:first\"\nto = \"null\"\n",
    )
    .expect("a file");
    let daemon = builder.argument("--config").argument(&argument).start();
    daemon.wait_for("route.base", "flowing");
    let writing = Background::run(move || {
        for round in 0..400_u32 {
            let name = directory.join(format!("{}.toml", round % 7));
            let text = format!(
                "[route.r{}]\nfrom = \"fifo:r{}\"\nto = \"null\"\n",
                round % 7,
                round % 7
            );
            match round % 5 {
                0 | 1 => drop(std::fs::write(&name, text)),
                2 => drop(std::fs::remove_file(&name)),
                3 => drop(std::fs::write(&name, "[route.")),
                _ => {
                    let fresh = directory.join(".new");
                    std::fs::write(&fresh, text).expect("a file");
                    std::fs::rename(&fresh, &name).expect("renaming it");
                }
            }
        }
        for entry in std::fs::read_dir(&directory).expect("the directory").flatten() {
            std::fs::remove_file(entry.path()).expect("removing it");
        }
        std::fs::write(
            directory.join("last.toml"),
            "[route.last]\nfrom = \"fifo:last\"\nto = \"null\"\n",
        )
        .expect("a file");
    });
    while !writing.is_done() {
        let _ = daemon.call("Reload", json!({}));
        daemon.routes();
    }
    writing.done();
    daemon.call("Reload", json!({})).expect("the last one is good");
    let names: Vec<String> = daemon
        .routes()
        .iter()
        .map(|route| route.text("name").to_owned())
        .collect();
    assert_eq!(names, ["base", "last"]);
}

/// The answer tells of a part of them, and meanwhile others are answered.
fn a_config_of_thousands_of_mistakes_holds_nobody_up() {
    let text = "[route.a]\nfrom = \"fifo:in\"\nto = \"null\"\n";
    let daemon = Daemon::start(text);
    let wrong: String = (0..4_000)
        .map(|number| format!("[route.a{number}]\nfram = \"x\"\n"))
        .collect();
    daemon.rewrite(&wrong);
    let mut client = daemon.client();
    client.send_call("Reload", &json!({}), &[]);
    let deadline = Deadline::within(PATIENCE);
    let reply = loop {
        let asked = Deadline::within(PATIENCE);
        daemon.route("a");
        assert!(
            asked.elapsed() < Duration::from_secs(5),
            "a query has waited for {:?}",
            asked.elapsed()
        );
        if let Some(reply) = client.receive_within(&Deadline::within(Duration::from_millis(20))) {
            break reply.expect("a reply");
        }
        assert!(!deadline.passed(), "no reply");
    };
    assert_eq!(reply.text("error"), "io.sluiced.Relay.InvalidConfig");
    assert_eq!(daemon.reload(text), [""; 0]);
}

/// `balance`: its parts go to one destination, also to one that leaves; the next record goes to the other.
fn the_destination_that_a_long_record_goes_to_is_taken_out() {
    let text = |timeout: &str, to: &str| {
        format!(
            "[daemon]\ndrain-timeout = \"{timeout}\"\n\
             [route.a]\nfrom = [\"fifo:in\", \"fifo:other\"]\nto = [{to}]\nframing = \"lines\"\nmax-record = \"1KiB\"\n\
             distribution = \"balance\"\n"
        )
    };
    for timeout in ["20s", "300ms"] {
        let both = "\"file:$DIR/one\", \"file:$DIR/two\"";
        let daemon = Daemon::start(&text(timeout, both));
        let mut writer = FifoWriter::open(daemon.fifo("in"));
        writer.write_all(&[b'x'; 5000]);
        let tied = daemon.wait_until("route.a", "given parts", |route| {
            route.list("destinations").iter().any(|to| to.int("bytes") >= 4000)
        });
        let goes = if tied.destination(0).int("bytes") > 0 {
            "one"
        } else {
            "two"
        };
        let stays = if goes == "one" { "two" } else { "one" };
        daemon.rewrite(&text(timeout, &format!("\"file:$DIR/{stays}\"")));
        let mut client = daemon.client();
        client.send_call("Reload", &json!({}), &[]);
        let read = |name: &str| std::fs::read_to_string(daemon.file(name)).unwrap_or_default();
        if timeout == "20s" {
            daemon.wait_until("route.a", "being left", |route| {
                route.list("destinations").iter().any(|to| to.state() == "draining")
            });
            FifoWriter::open(daemon.fifo("other")).write_all(b"beside\n");
            writer.write_all(b"end\nnext\n");
            client.reply().expect("the reload");
            assert_eq!(read(goes), format!("{}end\n", "x".repeat(5000)));
            daemon.wait_until("route.a", "written", |_| read(stays).len() == 12);
            assert!(["beside\nnext\n", "next\nbeside\n"].contains(&read(stays).as_str()));
        } else {
            client.reply().expect("the reload");
            writer.write_all(b"end\nnext\n");
            daemon.wait_until("route.a", "written", |_| !read(stays).is_empty());
            assert_eq!(read(goes), "x".repeat(5000));
            assert_eq!(read(stays), "next\n", "the rest of the record is nobody's");
        }
        daemon.routes();
    }
}

/// write(2), ENOSPC: it is waited for until the drain-timeout, then what is left is dropped and counted; the route flows on.
fn a_file_on_a_full_disk_is_taken_out() {
    if !require_tmpfs() {
        return;
    }
    let text = |to: &str| {
        format!(
            "[daemon]\ndrain-timeout = \"700ms\"\n[route.a]\nfrom = \"fifo:in\"\nto = [\"fifo:out\"{to}]\npath = \"copy\"\n\
             [route.b]\nfrom = \"fifo:x\"\nto = \"file:$DIR/b\"\n"
        )
    };
    let mount = "mount -t tmpfs -o size=64k tmpfs \"$0\" && exec \"$@\"";
    let builder = Daemon::config(&text(", \"file:$DIR/disk/full\""));
    let disk = builder.place().file("disk");
    std::fs::create_dir(&disk).expect("a directory");
    let disk = disk.display().to_string();
    let wrapper = ["unshare", "-m", "--propagation", "private", "sh", "-c", mount, &disk];
    let daemon = builder.wrapped_in(&wrapper).start();
    let pattern = Pattern::new(31);
    let mut reader = FifoReader::open(daemon.fifo("out"));
    let reading = Background::run(move || reader.check_up_to(&mut Checker::new(pattern), 1_000_000));
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    writer.write_until(pattern, || daemon.route("a").paused_only_for("backpressure"));
    let mut monitor = daemon.monitor();
    daemon.rewrite(&text(""));
    let mut client = daemon.client();
    client.send_call("Reload", &json!({}), &[]);
    // Others are not held up by the thread that waits for the disk.
    FifoWriter::open(daemon.fifo("x")).write_all(b"beside");
    daemon.wait_until("route.b", "written", |route| route.destination(0).int("bytes") == 6);
    client.reply().expect("the reload");
    let told = monitor.wait_for("endpoint_closed", &format!("route:a/file:{disk}/full"));
    let told = told.object("detail");
    assert_eq!(told.text("cause"), "drain_timeout");
    assert!(told.int("droppedBytes") > 0);
    writer.write_pattern(pattern, 1_000_000 - writer.written());
    reading.done();
}

/// SIGTERM, and SIGTERM again: the first waits for what a reload drains, the second for nothing.
fn a_second_signal_hurries_a_shutdown_that_a_reload_holds_up() {
    let table = "[daemon]\ndrain-timeout = \"60s\"\n";
    let daemon = Daemon::start(&format!(
        "{table}[route.a]\nfrom = \"fifo:in\"\nto = \"fifo:out\"\npath = \"copy\"\n"
    ));
    let _reader = FifoReader::open(daemon.fifo("out"));
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    writer.write_until(Pattern::new(1), || daemon.route("a").paused_only_for("backpressure"));
    daemon.rewrite(table);
    let mut client = daemon.client();
    client.send_call("Reload", &json!({}), &[]);
    daemon.wait_for("route.a", "draining");
    daemon.signal(Signal::SIGTERM);
    // It is answered while it stops; who comes with a change is refused.
    let refused = |name| daemon.call("ResumeRoute", json!({ "name": name })).err();
    until(
        || refused("a").filter(|error| error.name.ends_with("Busy")),
        || "a daemon that stops resumes a route".to_owned(),
    );
    daemon.signal(Signal::SIGTERM);
    daemon.expect_end(0);
}

/// A stream flows meanwhile, and in the end there are as many descriptors and threads as before.
fn hundreds_of_hangups_leave_nothing_behind() {
    const LENGTH: u64 = 3_000_000;
    let text = |name: &str| {
        format!(
            "[process.p]\ncommand = [$PEER, \"pass\"]\n\
             [route.{name}]\nfrom = \"fifo:in\"\nto = \"process:p.stdin\"\n\
             [route.{name}-out]\nfrom = \"process:p.stdout\"\nto = \"fifo:out\"\n"
        )
    };
    let daemon = Daemon::start(&text("a"));
    let mut reader = FifoReader::open(daemon.fifo("out"));
    let pattern = Pattern::new(29);
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    writer.write_pattern(pattern, 1000);
    let mut checker = Checker::new(pattern);
    reader.check_up_to(&mut checker, 1000);
    daemon.wait_for("process.p", "ready");
    let before = (daemon.probe().descriptors().len(), daemon.probe().threads());
    let reading = Background::run(move || {
        reader.check_up_to(&mut checker, LENGTH);
        reader
    });
    let writing = Background::run(move || {
        writer.write_pattern(pattern, LENGTH - 1000);
        writer
    });
    for turn in 0..300_u32 {
        daemon.rewrite(&text(["a", "b"][turn as usize % 2]));
        daemon.signal(Signal::SIGHUP);
        if turn % 50 == 0 {
            daemon.routes();
        }
    }
    let _writer = writing.done();
    let _reader = reading.done();
    daemon.reload(&text("a"));
    until(
        || {
            let now = (daemon.probe().descriptors().len(), daemon.probe().threads());
            (now.0 <= before.0 && now.1 <= before.1).then_some(())
        },
        || format!("of {before:?} there are {:#?}", daemon.probe().descriptors()),
    );
}
