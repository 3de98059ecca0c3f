//! Another config for a daemon that runs: what changed is done, what did not is not touched.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::support::{Background, Checker, Daemon, FifoReader, FifoWriter, Pattern, Shown, Taken, stories};

stories!(
    what_did_not_change_is_not_touched,
    no_key_of_something_touches_anything_else,
    a_bad_config_changes_nothing,
    a_dry_run_changes_nothing,
    what_needs_a_restart_is_refused_by_name,
    sighup_reloads,
    routes_open_and_close,
    settings_of_a_route_change_while_it_flows,
    settings_of_a_process_change_while_it_runs,
    a_changed_command_is_a_restart_that_loses_nothing,
    destinations_join_and_leave_while_the_others_flow,
    one_destination_takes_the_place_of_another_without_a_gap,
    nobody_joins_in_the_middle_of_a_long_record,
    a_route_at_its_end_runs_again_for_a_new_source,
    extra_descriptors_come_with_a_restart,
    sources_join_and_leave,
    instances_grow_and_shrink,
    a_renamed_route_keeps_the_pipes,
    an_output_goes_from_the_log_to_a_route_and_back,
    a_chain_is_taken_down_with_its_data,
    a_stuck_reader_holds_a_reload_up_no_longer_than_the_drain_timeout,
    reloads_at_once_are_all_answered,
    a_shutdown_does_not_wait_for_a_reload,
);

const TWO: &str = r#"
    [process.p]
    command = [$PEER, "cat"]

    [route.in]
    from = "fifo:in"
    to = "process:p.stdin"

    [route.out]
    from = "process:p.stdout"
    to = "fifo:out"
    "#;

fn generation(daemon: &Daemon) -> u64 {
    daemon
        .call("GetStatus", json!({}))
        .expect("GetStatus")
        .int("generation")
}

fn last_error(daemon: &Daemon) -> String {
    let status = daemon.call("GetStatus", json!({})).expect("GetStatus");
    status.text_or_empty("lastReloadError").to_owned()
}

/// What has counted until now, without what only tells how full something is.
fn counters(route: &Shown) -> Vec<u64> {
    let mut counters = vec![route.int("acceptedBytes"), route.int("pauses")];
    for source in route.list("sources") {
        counters.extend([source.int("bytes"), source.int("opens")]);
    }
    for destination in route.list("destinations") {
        counters.extend([destination.int("bytes"), destination.int("opens")]);
    }
    counters
}

fn what_did_not_change_is_not_touched() {
    let daemon = Daemon::start(TWO);
    let mut reader = FifoReader::open(daemon.fifo("out"));
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    writer.write_all(b"before\n");
    assert_eq!(reader.read_exact(7), b"before\n");
    let pid = daemon.pid_of("p");
    let before = (counters(&daemon.route("in")), counters(&daemon.route("out")));
    let mut monitor = daemon.monitor();
    assert_eq!(daemon.reload(&format!("# a comment\n{TWO}")), [""; 0]);
    let added = "\n[route.more]\nfrom = \"fifo:more\"\nto = \"null\"\n";
    assert_eq!(daemon.reload(&format!("{TWO}{added}")), ["open route:more"]);
    assert_eq!(daemon.reload(TWO), ["close route:more"]);
    assert_eq!(daemon.pid_of("p"), pid);
    assert_eq!((counters(&daemon.route("in")), counters(&daemon.route("out"))), before);
    writer.write_all(b"after\n");
    assert_eq!(reader.read_exact(6), b"after\n");
    assert_eq!(generation(&daemon), 4);
    let told = monitor.wait_for("reloaded", "daemon");
    assert_eq!(told.object("detail").int("generation"), 2);
    let shown = daemon.call("GetConfig", json!({})).expect("GetConfig");
    assert!(!shown.list("files")[0].text("text").contains("# a comment"));
}

/// The pipes of a process, as the kernel numbers them.
fn pipes(pid: i32) -> Vec<String> {
    let link = |number| std::fs::read_link(format!("/proc/{pid}/fd/{number}")).expect("a descriptor");
    (0..3).map(|number| link(number).display().to_string()).collect()
}

/// Each key in turn is changed and taken back: of a process, of a route and its ends, of the daemon. Beside them stands a
/// process between two routes, and a byte of it would be missed.
fn no_key_of_something_touches_anything_else() {
    let root = nix::unistd::geteuid().is_root();
    let process = [
        "environment = { A = \"1\" }",
        "working-directory = \"/tmp\"",
        "clear-environment = true",
        if root { "user = \"root\"" } else { "" },
        if root { "group = \"root\"" } else { "" },
        "umask = \"0077\"",
        "no-new-privileges = true",
        "limits = { nofile = 64 }",
        "nice = 3",
        "ready = \"fd:4\"\nready-timeout = \"50ms\"",
        "autostart = false",
        "restart = \"on-failure\"",
        "success-exit = [3]",
        "restart-delay = \"1ms\"",
        "restart-delay-max = \"1min\"",
        "start-limit = { burst = 0 }",
        "stop-signal = \"SIGINT\"",
        "stop-timeout = \"1s\"",
        "ready-timeout = \"1s\"",
        "keep-stdin = false",
        "stderr = \"null\"",
    ];
    let route = [
        "framing = \"nul\"",
        "max-record = \"1KiB\"",
        "distribution = \"balance\"",
        "path = \"copy\"",
        "rate-limit = \"1KiB/s\"",
        "start-paused = true",
        "high-watermark = \"1MiB\"",
        "low-watermark = \"1KiB\"",
        "when-full = \"drop-newest\"",
    ];
    let ends = [
        ("", ", when-gone = \"close\""),
        ("", ", high-watermark = \"1MiB\""),
        ("", ", pipe-size = \"1MiB\""),
        (", on-eof = \"hold\"", ""),
        (", create = false", ", create = false"),
        (", mode = \"0640\"", ", mode = \"0640\""),
    ];
    let plain = (
        String::new(),
        String::new(),
        String::new(),
        String::new(),
        String::new(),
    );
    let mut all = Vec::new();
    all.extend(process.map(|line| {
        (
            line.to_owned(),
            plain.1.clone(),
            String::new(),
            String::new(),
            String::new(),
        )
    }));
    all.extend(route.map(|line| {
        let framing = if line.contains("framing") {
            ""
        } else {
            "framing = \"lines\"\n"
        };
        (
            String::new(),
            format!("{framing}{line}"),
            String::new(),
            String::new(),
            String::new(),
        )
    }));
    all.extend(ends.map(|(from, to)| {
        (
            String::new(),
            String::new(),
            from.to_owned(),
            to.to_owned(),
            String::new(),
        )
    }));
    all.extend(["drain-timeout = \"4s\"", "log-level = \"debug\""].map(|line| {
        (
            String::new(),
            String::new(),
            String::new(),
            String::new(),
            line.to_owned(),
        )
    }));
    let text = |(process, route, from, to, daemon): &(String, String, String, String, String)| {
        let route = if route.is_empty() { "framing = \"lines\"" } else { route };
        format!(
            "[daemon]\n{daemon}\n\
             [process.p]\ncommand = [$PEER, \"cat\"]\n[route.in]\nfrom = \"fifo:in\"\nto = \"process:p.stdin\"\n\
             [route.out]\nfrom = \"process:p.stdout\"\nto = \"fifo:out\"\n\
             [process.other]\ncommand = [$PEER, \"hold\"]\n{process}\n\
             [route.other]\nfrom = [{{ fifo = \"x\"{from} }}, \"process:other.stdout\"]\n\
             to = [\"process:other.stdin\", {{ fifo = \"y\"{to} }}]\n{route}\n"
        )
    };
    let daemon = Daemon::start(&text(&plain));
    let mut reader = FifoReader::open(daemon.fifo("out"));
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    writer.write_all(b"before\n");
    assert_eq!(reader.read_exact(7), b"before\n");
    let pid = daemon.pid_of("p");
    let look = || {
        (
            daemon.pid_of("p"),
            pipes(pid),
            counters(&daemon.route("in")),
            counters(&daemon.route("out")),
        )
    };
    let before = look();
    let mut other = daemon.pid_of("other");
    for change in &all {
        for turn in [change, &plain] {
            let steps = daemon.reload(&text(turn));
            let told = steps
                .iter()
                .all(|step| step.contains(":other") || step.ends_with(" daemon"));
            assert!(told, "{change:?}: {steps:?}");
            assert!(!steps.is_empty() || *change == plain, "{change:?}");
            assert_eq!(look(), before, "{change:?}");
            let restarted = steps.iter().any(|step| step == "restart process:other");
            let now = daemon.pid_of("other");
            assert_eq!(now != other, restarted, "{change:?}: {steps:?}");
            other = now;
        }
    }
    writer.write_all(b"after\n");
    assert_eq!(reader.read_exact(6), b"after\n");
}

fn a_bad_config_changes_nothing() {
    let daemon = Daemon::start(TWO);
    let mut monitor = daemon.monitor();
    daemon.rewrite(&TWO.replace("fifo:out", "fife:out").replace("fifo:in", "fife:in"));
    let error = daemon.call("Reload", json!({})).expect_err("a bad config");
    assert_eq!(error.name, "io.sluiced.Relay.InvalidConfig");
    let diagnostics = error.parameters.list("diagnostics");
    assert_eq!(diagnostics.len(), 2, "{diagnostics:?}");
    assert!(diagnostics[0].int("line") > 0 && !diagnostics[0].text("help").is_empty());
    monitor.wait_for("reload_failed", "daemon");
    assert_eq!(generation(&daemon), 1);
    let shown = last_error(&daemon);
    assert!(shown.contains("fife") && shown.ends_with("(and 1 more)"), "{shown}");
    let told = daemon.ctl(&["reload"]);
    assert_eq!(told.code, 1);
    assert!(
        told.stderr.contains("fife") && told.stderr.contains("help:"),
        "{}",
        told.stderr
    );
    let shown = daemon.call("GetConfig", json!({})).expect("GetConfig");
    assert!(!shown.list("files")[0].text("text").contains("fife"), "as running");
    assert_eq!(daemon.route("in").state(), "flowing");
    assert_eq!(daemon.reload(TWO), [""; 0]);
    assert_eq!(last_error(&daemon), "");
    assert_eq!(generation(&daemon), 2);
}

fn a_dry_run_changes_nothing() {
    let daemon = Daemon::start(TWO);
    daemon.rewrite(&TWO.replace("\"cat\"", "\"cat\", \"exit 0\""));
    let shown = daemon.ctl(&["reload", "--dry-run"]);
    assert_eq!(shown.code, 0, "{}", shown.stderr);
    assert_eq!(shown.stdout, "restart process:p: command has changed\n");
    assert_eq!(generation(&daemon), 1);
    daemon.rewrite("[route.x]\n");
    assert_eq!(daemon.ctl(&["reload", "--dry-run"]).code, 1);
    assert_eq!(last_error(&daemon), "", "nobody wanted it to be applied");
    daemon.rewrite(TWO);
    assert_eq!(daemon.ctl(&["reload", "--dry-run"]).stdout, "nothing would be done\n");
    assert_eq!(daemon.ctl(&["reload"]).stdout, "generation 2\n");
    assert_eq!(
        daemon.ctl(&["--json", "reload"]).stdout,
        "{\"generation\":3,\"steps\":[]}\n"
    );
    assert_eq!(daemon.ctl(&["--no-wait", "reload"]).stdout, "generation 4\n");
}

fn what_needs_a_restart_is_refused_by_name() {
    let daemon = Daemon::start("[daemon]\nrelay-threads = 2\n[route.a]\nfrom = \"fifo:in\"\nto = \"null\"\n");
    daemon.rewrite("[daemon]\nrelay-threads = 3\n[control]\nmode = \"0660\"\n");
    let error = daemon.call("Reload", json!({})).expect_err("what cannot be changed");
    assert_eq!(error.name, "io.sluiced.Relay.Failed");
    let text = error.parameters.text("text");
    assert!(
        text.contains("`daemon.relay-threads`, `control.mode` needs a restart"),
        "{text}"
    );
    assert_eq!(last_error(&daemon), text);
    assert_eq!(daemon.routes().len(), 1, "the route is still there");
}

fn sighup_reloads() {
    let daemon = Daemon::start(TWO);
    let mut monitor = daemon.monitor();
    daemon.rewrite(&format!("{TWO}\n[route.more]\nfrom = \"fifo:more\"\nto = \"null\"\n"));
    daemon.signal(Signal::SIGHUP);
    monitor.wait_for("reloaded", "daemon");
    assert_eq!(daemon.routes().len(), 3);
    daemon.rewrite("[route.");
    daemon.signal(Signal::SIGHUP);
    monitor.wait_for("reload_failed", "daemon");
    daemon.wait_for_log("reload refused");
    assert_eq!(daemon.routes().len(), 3);
}

/// The route that is new begins at zero, where nothing was left to be written.
fn routes_open_and_close() {
    let text = |framing: &str| format!("[route.a]\nfrom = \"fifo:in\"\nto = \"fifo:out\"\nframing = \"{framing}\"\n");
    let daemon = Daemon::start(&text("bytes"));
    let mut reader = FifoReader::open(daemon.fifo("out"));
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    writer.write_all(b"one\n");
    assert_eq!(reader.read_exact(4), b"one\n");
    assert_eq!(daemon.reload(&text("lines")), ["close route:a", "open route:a"]);
    assert_eq!(daemon.route("a").int("acceptedBytes"), 0);
    assert_eq!(daemon.route("a").text("framing"), "lines");
    drop((writer, reader));
    assert_eq!(daemon.reload(""), ["close route:a"]);
    assert_eq!(daemon.routes().len(), 0);
}

fn settings_of_a_route_change_while_it_flows() {
    // More than the queue and three pipes of any size hold.
    const LENGTH: u64 = 8_000_000;
    let text =
        |settings: &str| format!("[route.a]\nfrom = \"fifo:in\"\nto = [\"fifo:out\", \"fifo:two\"]\n{settings}\n");
    let daemon = Daemon::start(&text("high-watermark = \"16KiB\""));
    let pattern = Pattern::new(5);
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    let mut other = FifoReader::open(daemon.fifo("two"));
    let mut reader = FifoReader::open(daemon.fifo("out"));
    let full = |daemon: &Daemon| daemon.route("a").paused_only_for("backpressure");
    let other = Background::run(move || other.check_up_to(&mut Checker::new(pattern), LENGTH));
    let held = writer.write_until(pattern, || full(&daemon));
    let accepted = daemon.route("a").int("acceptedBytes");
    assert_eq!(
        daemon.reload(&text("high-watermark = \"1MiB\"")),
        ["retune route:a/fifo:out", "retune route:a/fifo:two"]
    );
    let more = writer.write_until(pattern, || full(&daemon));
    assert!(more > held + 500_000, "{held}, then {more}");
    assert!(daemon.route("a").int("acceptedBytes") > accepted + 500_000);
    assert_eq!(daemon.route("a").destination(0).int("highWatermark"), 1 << 20);
    let steps = daemon.reload(&text("high-watermark = \"1MiB\"\nwhen-full = \"drop-newest\""));
    assert_eq!(steps.len(), 2, "{steps:?}");
    daemon.wait_until("route.a", "not paused", |route| route.reasons().is_empty());
    assert_eq!(daemon.reload(&text("high-watermark = \"1MiB\"")).len(), 2);
    let rated = "high-watermark = \"1MiB\"\nrate-limit = \"1KiB/s\"";
    assert_eq!(daemon.reload(&text(rated)), ["retune route:a"]);
    let taking = Background::run(move || {
        loop {
            if let Taken::End = reader.read_some(65536) {
                break;
            }
        }
    });
    // There has to be something that may not be read: what stood there may be dropped already.
    writer.write_until(pattern, || {
        daemon.route("a").reasons().contains(&"rate_limit".to_owned())
    });
    assert_eq!(daemon.reload(&text("high-watermark = \"1MiB\"")), ["retune route:a"]);
    writer.write_pattern(pattern, LENGTH - writer.written());
    other.done();
    assert_eq!(daemon.reload("").len(), 1);
    taking.done();
}

/// success-exit, restart and stop-signal are asked for at the end of a life.
fn settings_of_a_process_change_while_it_runs() {
    let text = |settings: &str| format!("[process.p]\ncommand = [$PEER, \"hold\"]\n{settings}\n");
    let daemon = Daemon::start(&text("restart = \"always\""));
    daemon.wait_for("process.p", "ready");
    let pid = daemon.pid_of("p");
    let settings = "restart = \"on-failure\"\nkeep-stdin = true\nsuccess-exit = [\"SIGUSR1\"]";
    assert_eq!(daemon.reload(&text(settings)), ["retune process:p"]);
    assert_eq!(daemon.pid_of("p"), pid);
    kill(Pid::from_raw(pid), Signal::SIGUSR1).expect("a signal");
    daemon.wait_for("process.p", "finished");
}

fn a_changed_command_is_a_restart_that_loses_nothing() {
    const LENGTH: u64 = 2_000_000;
    let text = |step: &str| {
        format!(
            "[process.c]\ncommand = [$PEER, {step}]\n[process.other]\ncommand = [$PEER, \"hold\"]\n\
             [route.a]\nfrom = {{ fifo = \"in\", on-eof = \"close\" }}\nto = \"process:c.stdin\"\n"
        )
    };
    let daemon = Daemon::start(&text("\"record $DIR/record\""));
    let pattern = Pattern::new(7);
    let writer = FifoWriter::in_background(daemon.fifo("in"), pattern, LENGTH);
    let other = daemon.pid_of("other");
    for turn in 0..5 {
        let ignored = format!("\"ignore SIGUSR{}\", \"record $DIR/record\"", turn % 2 + 1);
        assert_eq!(daemon.reload(&text(&ignored)), ["restart process:c"]);
    }
    writer.done();
    daemon.wait_for("route.a", "closed");
    daemon.wait_for("process.c", "finished");
    let record = std::fs::read(daemon.file("record")).expect("the record");
    Checker::new(pattern).feed(&record);
    assert_eq!(record.len() as u64, LENGTH);
    assert_eq!(daemon.pid_of("other"), other);
}

fn destinations_join_and_leave_while_the_others_flow() {
    const LENGTH: u64 = 4_000_000;
    let text = |to: &str| format!("[route.a]\nfrom = {{ fifo = \"in\", on-eof = \"close\" }}\nto = [{to}]\n");
    for settings in ["", "path = \"copy\"\n"] {
        let one = format!("{}{settings}", text("\"fifo:out\""));
        let both = format!("{}{settings}", text("\"fifo:out\", \"file:$DIR/copy\""));
        let daemon = Daemon::start(&one);
        let pattern = Pattern::new(3);
        let mut reader = FifoReader::open(daemon.fifo("out"));
        let reader = Background::run(move || reader.check_to_end(&mut Checker::new(pattern)));
        let mut writer = FifoWriter::open(daemon.fifo("in"));
        let (mut copies, mut retired) = (Vec::new(), 0);
        for turn in 0..4 {
            writer.write_pattern(pattern, LENGTH / 8);
            assert_eq!(daemon.reload(&both).len(), 1);
            let from = daemon.route("a").destination(1).int("fromBytes");
            writer.write_pattern(pattern, LENGTH / 8);
            assert_eq!(daemon.reload(&one).len(), 1, "{turn}");
            let all = daemon.route("a").int("retiredBytes");
            copies.push((from, usize::try_from(all - retired).expect("a length")));
            retired = all;
        }
        drop(writer);
        assert_eq!(reader.done(), LENGTH, "{settings}");
        daemon.wait_for("route.a", "closed");
        let copy = std::fs::read(daemon.file("copy")).expect("the copy");
        let mut at = 0;
        for (from, length) in copies {
            assert!(
                copy[at..at + length] == pattern.bytes(from, length),
                "{settings}: from {from}, {length} bytes"
            );
            at += length;
        }
        assert_eq!(copy.len(), at, "{settings}");
    }
}

/// Where one ends the other begins, to the byte, and both get whole lines.
fn one_destination_takes_the_place_of_another_without_a_gap() {
    const LENGTH: u64 = 2_000_000;
    let text = |to: &str| {
        format!(
            "[route.a]\nfrom = {{ fifo = \"in\", on-eof = \"close\" }}\nto = [\"null\", \"file:$DIR/{to}\"]\npath = \"copy\"\n"
        )
    };
    let daemon = Daemon::start(&text("f0"));
    let pattern = Pattern::new(9);
    let writer = FifoWriter::in_background(daemon.fifo("in"), pattern, LENGTH);
    for turn in 1..6 {
        assert_eq!(daemon.reload(&text(&format!("f{turn}"))).len(), 2);
    }
    writer.done();
    daemon.wait_for("route.a", "closed");
    let mut all = Vec::new();
    for turn in 0..6 {
        // One that left before it was opened got nothing, and is not there.
        all.extend(std::fs::read(daemon.file(&format!("f{turn}"))).unwrap_or_default());
    }
    Checker::new(pattern).feed(&all);
    assert_eq!(all.len() as u64, LENGTH);
}

fn nobody_joins_in_the_middle_of_a_long_record() {
    let text = |to: &str| {
        format!(
            "[route.a]\nfrom = [\"fifo:in\", \"fifo:other\"]\nto = [\"fifo:out\"{to}]\nframing = \"lines\"\nmax-record = \"1KiB\"\n"
        )
    };
    let daemon = Daemon::start(&text(""));
    let mut reader = FifoReader::open(daemon.fifo("out"));
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    writer.write_all(&[b'x'; 5000]);
    assert_eq!(reader.read_exact(4000), [b'x'; 4000], "it goes out in parts");
    daemon.rewrite(&text(", \"file:$DIR/copy\""));
    let mut client = daemon.client();
    client.send_call("Reload", &json!({}), &[]);
    // What is asked after it is answered while it waits.
    daemon.wait_until("route.a", "as it was", |route| route.list("destinations").len() == 1);
    writer.write_all(b"end\nnext\n");
    client.reply().expect("the reload");
    writer.write_all(b"last\n");
    let written = |route: &Shown| {
        let copy = route.destination(1);
        copy.int("fromBytes") + copy.int("bytes") == 5014
    };
    daemon.wait_until("route.a", "written", written);
    let copy = std::fs::read_to_string(daemon.file("copy")).expect("the copy");
    assert!(["next\nlast\n", "last\n"].contains(&copy.as_str()), "{copy:?}");
}

/// Its consumer is started for it, too.
fn a_route_at_its_end_runs_again_for_a_new_source() {
    let text = |from: &str| format!("[route.a]\nfrom = [{from}]\nto = \"file:$DIR/out\"\n");
    let daemon = Daemon::start(&text("{ fifo = \"one\", on-eof = \"close\" }"));
    FifoWriter::open(daemon.fifo("one")).write_all(b"one");
    daemon.wait_for("route.a", "closed");
    let both = "{ fifo = \"one\", on-eof = \"close\" }, { fifo = \"two\", on-eof = \"close\" }";
    assert_eq!(daemon.reload(&text(both)), ["rewire route:a/fifo:two"]);
    FifoWriter::open(daemon.fifo("two")).write_all(b"two");
    daemon.wait_for("route.a", "closed");
    assert_eq!(std::fs::read_to_string(daemon.file("out")).expect("the file"), "onetwo");
}

fn extra_descriptors_come_with_a_restart() {
    let process = "[process.p]\ncommand = [\"sh\", \"-c\", \"echo hello >&3; exec sleep 1000\"]\n";
    let daemon = Daemon::start(process);
    let routed = format!("{process}[route.a]\nfrom = \"process:p.fd3\"\nto = \"file:$DIR/out\"\n");
    assert_eq!(daemon.reload(&routed), ["restart process:p", "open route:a"]);
    daemon.wait_until("route.a", "fed", |route| route.source(0).int("bytes") == 6);
    assert_eq!(daemon.reload(process), ["close route:a", "restart process:p"]);
}

fn sources_join_and_leave() {
    let text = |from: &str| format!("[route.a]\nfrom = [{from}]\nto = \"fifo:out\"\nframing = \"lines\"\n");
    let daemon = Daemon::start(&text("\"fifo:one\""));
    let mut reader = FifoReader::open(daemon.fifo("out"));
    let mut one = FifoWriter::open(daemon.fifo("one"));
    one.write_all(b"one\n");
    assert_eq!(reader.read_exact(4), b"one\n");
    assert_eq!(
        daemon.reload(&text("\"fifo:two\", \"fifo:one\"")),
        ["rewire route:a/fifo:two"]
    );
    let mut two = FifoWriter::open(daemon.fifo("two"));
    two.write_all(b"two\n");
    assert_eq!(reader.read_exact(4), b"two\n");
    one.write_all(b"one again\nunfinished");
    assert_eq!(reader.read_exact(10), b"one again\n");
    assert_eq!(daemon.reload(&text("\"fifo:two\"")), ["rewire route:a/fifo:one"]);
    assert_eq!(reader.read_exact(10), b"unfinished");
    let route = daemon.route("a");
    assert_eq!((route.list("sources").len(), route.int("removedSourceBytes")), (1, 24));
    assert_eq!(route.int("removedSourceRecords"), 3);
    two.write_all(b"two\n");
    assert_eq!(reader.read_exact(4), b"two\n");
}

fn instances_grow_and_shrink() {
    const LINES: u64 = 3000;
    let text = |count: u64| {
        format!(
            "[process.w]\ncommand = [$PEER, \"cat\"]\ninstances = {count}\n\
             [route.in]\nfrom = {{ fifo = \"in\", on-eof = \"close\" }}\nto = \"process:w.stdin\"\n\
             framing = \"lines\"\ndistribution = \"balance\"\n\
             [route.out]\nfrom = \"process:w.stdout\"\nto = \"file:$DIR/out\"\nframing = \"lines\"\n"
        )
    };
    let daemon = Daemon::start(&text(2));
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    let mut number = 0;
    let mut write = |writer: &mut FifoWriter| {
        for _ in 0..LINES / 5 {
            writer.write_all(format!("{number:06}\n").as_bytes());
            number += 1;
        }
    };
    write(&mut writer);
    let (first, second) = (daemon.pid_of("w@1"), daemon.pid_of("w@2"));
    for count in [4, 1, 3, 2] {
        daemon.reload(&text(count));
        write(&mut writer);
        assert_eq!(daemon.pid_of("w@1"), first);
    }
    assert_ne!(daemon.pid_of("w@2"), second, "it was stopped in between");
    drop(writer);
    daemon.wait_for("route.out", "closed");
    let out = std::fs::read_to_string(daemon.file("out")).expect("the output");
    let mut lines: Vec<&str> = out.lines().collect();
    lines.sort_unstable();
    let expected: Vec<String> = (0..LINES).map(|number| format!("{number:06}")).collect();
    assert_eq!(lines.len(), expected.len());
    assert!(lines == expected, "each line once");
}

fn a_renamed_route_keeps_the_pipes() {
    const LENGTH: u64 = 3_000_000;
    let text = |name: &str| {
        format!(
            "[process.p]\ncommand = [$PEER, \"await $DIR/run/gate\", \"write {LENGTH}\", \"hold\"]\nrestart = \"never\"\n\
             [process.c]\ncommand = [$PEER, \"record $DIR/record\"]\n\
             [route.gate]\nfrom = \"fifo:gate-in\"\nto = \"fifo:gate\"\n\
             [route.{name}]\nfrom = \"process:p.stdout\"\nto = \"process:c.stdin\"\n"
        )
    };
    let daemon = Daemon::start(&text("a0"));
    let (producer, consumer) = (daemon.pid_of("p"), daemon.pid_of("c"));
    FifoWriter::open(daemon.fifo("gate-in")).write_all(b"go");
    for turn in 1..8 {
        let steps = daemon.reload(&text(&format!("a{turn}")));
        assert_eq!(
            steps,
            [format!("close route:a{}", turn - 1), format!("open route:a{turn}")]
        );
    }
    assert_eq!((daemon.pid_of("p"), daemon.pid_of("c")), (producer, consumer));
    daemon.wait_until("route.a7", "at rest", |_| {
        std::fs::metadata(daemon.file("record")).is_ok_and(|record| record.len() == LENGTH)
    });
    Checker::new(Pattern::new(1)).feed(&std::fs::read(daemon.file("record")).expect("the record"));
}

fn an_output_goes_from_the_log_to_a_route_and_back() {
    let process = "[process.p]\ncommand = [\"sh\", \"-c\", \"while read line; do echo $line; done < $DIR/run/in\"]\n";
    let daemon = Daemon::start(&format!("{process}[route.keep]\nfrom = \"fifo:x\"\nto = \"fifo:in\"\n"));
    let kept = "[route.keep]\nfrom = \"fifo:x\"\nto = \"fifo:in\"\n";
    let routed = format!("{process}{kept}[route.a]\nfrom = \"process:p.stdout\"\nto = \"fifo:out\"\n");
    let mut writer = FifoWriter::open(daemon.fifo("x"));
    writer.write_all(b"to-the-log\n");
    daemon.wait_for_log("to-the-log");
    let pid = daemon.pid_of("p");
    assert_eq!(daemon.reload(&routed), ["retune process:p", "open route:a"]);
    let mut reader = FifoReader::open(daemon.fifo("out"));
    writer.write_all(b"to-the-route\n");
    assert_eq!(reader.read_exact(13), b"to-the-route\n");
    assert_eq!(
        daemon.reload(&format!("{process}{kept}")),
        ["close route:a", "retune process:p"]
    );
    writer.write_all(b"to-the-log-again\n");
    daemon.wait_for_log("to-the-log-again");
    assert_eq!(daemon.pid_of("p"), pid);
    assert!(!daemon.log().contains("to-the-route"));
}

fn a_chain_is_taken_down_with_its_data() {
    const LENGTH: u64 = 300_000;
    let daemon = Daemon::start(&format!(
        "[process.p]\ncommand = [$PEER, \"write {LENGTH}\", \"hold\"]\n[process.c]\ncommand = [$PEER, \"cat\"]\n\
         [process.d]\ncommand = [$PEER, \"record $DIR/record\"]\n\
         [route.a]\nfrom = \"process:p.stdout\"\nto = \"process:c.stdin\"\n\
         [route.b]\nfrom = \"process:c.stdout\"\nto = \"process:d.stdin\"\n"
    ));
    daemon.wait_until("route.a", "read", |route| route.source(0).int("bytes") == LENGTH);
    let steps = daemon.reload("");
    let expected = [
        "stop process:p",
        "close route:a",
        "stop process:c",
        "close route:b",
        "stop process:d",
    ];
    assert_eq!(steps, expected);
    assert!(daemon.probe().children().is_empty());
    let record = std::fs::read(daemon.file("record")).expect("the record");
    Checker::new(Pattern::new(1)).feed(&record);
    assert_eq!(record.len() as u64, LENGTH);
}

fn a_stuck_reader_holds_a_reload_up_no_longer_than_the_drain_timeout() {
    let daemon_table = "[daemon]\ndrain-timeout = \"300ms\"\n";
    let route = "[route.a]\nfrom = \"fifo:in\"\nto = [\"null\", \"fifo:out\"]\npath = \"copy\"\n";
    let daemon = Daemon::start(&format!("{daemon_table}{route}"));
    let _reader = FifoReader::open(daemon.fifo("out"));
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    writer.write_until(Pattern::new(1), || daemon.route("a").paused_only_for("backpressure"));
    let mut monitor = daemon.monitor();
    assert_eq!(
        daemon.reload(&format!("{daemon_table}{}", route.replace(", \"fifo:out\"", ""))),
        ["rewire route:a/fifo:out"]
    );
    let subject = format!("route:a/fifo:{}", daemon.fifo("out").display());
    let told = monitor.wait_for("endpoint_closed", &subject).object("detail");
    assert_eq!(told.text("cause"), "drain_timeout");
    assert!(told.int("droppedBytes") > 0);
    writer.write_all(&[0; 500_000]);
    assert_eq!(daemon.reload(daemon_table), ["close route:a"]);
}

/// Each is answered, with what runs then.
fn reloads_at_once_are_all_answered() {
    let daemon = Daemon::start(TWO);
    let mut clients: Vec<_> = (0..20).map(|_| daemon.client()).collect();
    for client in &mut clients {
        client.send_call("Reload", &json!({}), &[]);
    }
    let generations: Vec<u64> = (clients.iter_mut())
        .map(|client| client.reply().expect("a reload").int("generation"))
        .collect();
    let last = *generations.iter().max().expect("some");
    assert!((2..=21).contains(&last), "{generations:?}");
    assert_eq!(generation(&daemon), last);
}

fn a_shutdown_does_not_wait_for_a_reload() {
    let daemon = Daemon::start(
        "[process.slow]\ncommand = [$PEER, \"ignore SIGTERM\", \"hold\"]\nstop-timeout = \"2s\"\n\
         [process.p]\ncommand = [$PEER, \"hold\"]\n",
    );
    daemon.wait_for("process.slow", "ready");
    daemon.rewrite("[process.p]\ncommand = [$PEER, \"hold\"]\n");
    let mut client = daemon.client();
    client.send_call("Reload", &json!({}), &[]);
    daemon.wait_for("process.slow", "stopping");
    daemon.signal(Signal::SIGTERM);
    let error = client.reply().expect_err("it is stopped instead");
    assert_eq!(error.name, "io.sluiced.Relay.Busy");
    daemon.expect_end(0);
}
