//! What a reload does about a change of each key. `src/decide/reload/` decides; `tests/functional/reload.rs` shows it done.

use std::collections::BTreeSet;

use sluiced::config::shape;
use sluiced::decide::reload::{NeedsRestart, plan};
use sluiced::endpoint::stream_of;

use super::good;

/// `KIND SUBJECT (STAGE): REASON`, without the path of the runtime directory.
fn steps(running: &str, wanted: &str) -> Vec<String> {
    let steps = plan(&good(running), &good(wanted), stream_of).unwrap();
    let shown = steps
        .iter()
        .map(|step| format!("{} {}: {}", step.kind, step.subject, step.reason));
    shown.map(|step| step.replace("/run/sluiced/", "")).collect()
}

/// The stages, each with its kinds and subjects.
fn stages(running: &str, wanted: &str) -> Vec<Vec<String>> {
    let steps = plan(&good(running), &good(wanted), stream_of).unwrap();
    let mut stages: Vec<Vec<String>> = Vec::new();
    let mut last = None;
    for step in &steps {
        if last.replace(step.stage) != Some(step.stage) {
            stages.push(Vec::new());
        }
        let shown = format!("{} {}", step.kind, step.subject).replace("/run/sluiced/", "");
        stages.last_mut().unwrap().push(shown);
    }
    stages
}

#[test]
fn what_did_not_change_is_in_no_step() {
    let text =
        "[process.a]\ncommand = [\"cat\"]\ninstances = 2\n[route.r]\nfrom = \"process:a.stdout\"\nto = \"fifo:b\"\n";
    assert_eq!(steps(text, text), [""; 0]);
    assert_eq!(steps(text, &format!("# a comment\n\n{text}")), [""; 0]);
    let turned =
        "[route.r]\nto = \"fifo:b\"\nfrom = \"process:a.stdout\"\n[process.a]\ninstances = 2\ncommand = [\"cat\"]\n";
    assert_eq!(steps(text, turned), [""; 0], "the order of tables means nothing");
}

#[test]
fn every_key_of_a_process() {
    let table = [
        ("command", "command = [\"cat\", \"-u\"]", "restart"),
        ("working-directory", "working-directory = \"/tmp\"", "restart"),
        ("environment", "environment = { A = \"1\" }", "restart"),
        ("clear-environment", "clear-environment = true", "restart"),
        ("user", "user = \"nobody\"", "restart"),
        ("group", "group = \"nogroup\"", "restart"),
        ("umask", "umask = \"0077\"", "restart"),
        ("no-new-privileges", "no-new-privileges = true", "restart"),
        ("limits", "limits = { nofile = 64 }", "restart"),
        ("nice", "nice = 3", "restart"),
        ("ready", "ready = \"notify\"", "restart"),
        ("autostart", "autostart = false", "retune"),
        ("restart", "restart = \"on-failure\"", "retune"),
        ("success-exit", "success-exit = [3]", "retune"),
        ("restart-delay", "restart-delay = \"1ms\"", "retune"),
        ("restart-delay-max", "restart-delay-max = \"1min\"", "retune"),
        ("start-limit", "start-limit = { burst = 0 }", "retune"),
        ("stop-signal", "stop-signal = \"SIGINT\"", "retune"),
        ("stop-timeout", "stop-timeout = \"1s\"", "retune"),
        ("ready-timeout", "ready-timeout = \"1s\"", "retune"),
        ("keep-stdin", "keep-stdin = false", "retune"),
        ("stdout", "stdout = \"null\"", "retune"),
        ("stderr", "stderr = \"null\"", "retune"),
    ];
    let mut known: BTreeSet<&str> = table.iter().map(|(key, ..)| *key).collect();
    known.extend(["watchdog", "instances"]);
    assert_eq!(known, shape::PROCESS.keys.iter().copied().collect::<BTreeSet<_>>());
    for (key, line, kind) in table {
        let plain = "[process.a]\ncommand = [\"cat\"]\n";
        let changed = match key {
            "command" => format!("[process.a]\n{line}\n"),
            _ => format!("{plain}{line}\n"),
        };
        let expected = [format!("{kind} process:a: {key} has changed")];
        assert_eq!(steps(plain, &changed), expected, "{key}");
        assert_eq!(steps(&changed, plain), expected, "{key} back");
    }
    let notifies = "[process.a]\ncommand = [\"cat\"]\nready = \"notify\"\n";
    assert_eq!(
        steps(notifies, &format!("{notifies}watchdog = \"1s\"")),
        ["retune process:a: watchdog has changed"]
    );
}

#[test]
fn instances_grow_and_shrink_and_the_others_are_not_touched() {
    let text = |line: &str| {
        format!(
            "[process.a]\ncommand = [\"cat\"]\n{line}\n[route.r]\nfrom = \"process:a.stdout\"\nto = \"fifo:b\"\n\
             [route.s]\nfrom = \"fifo:c\"\nto = \"process:a.stdin\"\n"
        )
    };
    let grown = [
        vec!["start process:a@3"],
        vec!["rewire route:r/process:a@3.stdout", "rewire route:s/process:a@3.stdin"],
    ];
    assert_eq!(stages(&text("instances = 2"), &text("instances = 3")), grown);
    let shrunk = [
        vec!["rewire route:s/process:a@3.stdin"],
        vec!["stop process:a@3"],
        vec!["rewire route:r/process:a@3.stdout"],
    ];
    assert_eq!(stages(&text("instances = 3"), &text("instances = 2")), shrunk);
    let named = stages(&text(""), &text("instances = 1"));
    assert_eq!(named[0], ["start process:a@1"]);
    assert!(named.concat().contains(&"stop process:a".to_owned()), "{named:?}");
}

#[test]
fn every_key_of_a_route() {
    let plain = "framing = \"lines\"";
    let table = [
        ("framing", "framing = \"nul\"", vec!["close route:r", "open route:r"]),
        (
            "max-record",
            "max-record = \"1KiB\"",
            vec!["close route:r", "open route:r"],
        ),
        (
            "distribution",
            "distribution = \"balance\"",
            vec!["close route:r", "open route:r"],
        ),
        ("path", "path = \"copy\"", vec!["close route:r", "open route:r"]),
        ("rate-limit", "rate-limit = \"1KiB/s\"", vec!["retune route:r"]),
        ("start-paused", "start-paused = true", vec!["retune route:r"]),
        (
            "low-watermark",
            "high-watermark = \"64KiB\"\nlow-watermark = \"1KiB\"",
            vec!["retune route:r/fifo:b"],
        ),
        (
            "high-watermark",
            "high-watermark = \"1MiB\"\nlow-watermark = \"16KiB\"",
            vec!["retune route:r/fifo:b"],
        ),
        (
            "when-full",
            "when-full = \"drop-oldest\"",
            vec!["retune route:r/fifo:b"],
        ),
    ];
    let mut known: BTreeSet<&str> = table.iter().map(|(key, ..)| *key).collect();
    known.extend(["from", "to"]);
    assert_eq!(known, shape::ROUTE.keys.iter().copied().collect::<BTreeSet<_>>());
    let of = |lines: &str| format!("[route.r]\nfrom = \"fifo:a\"\nto = \"fifo:b\"\n{lines}\n");
    for (key, lines, expected) in table {
        let changed = if key == "framing" {
            of(lines)
        } else {
            of(&format!("{plain}\n{lines}"))
        };
        assert_eq!(stages(&of(plain), &changed).concat(), expected, "{key}");
        for step in steps(&of(plain), &changed) {
            assert!(step.ends_with(&format!(": {key} has changed")), "{step}");
        }
        assert_eq!(stages(&changed, &of(plain)).concat(), expected, "{key} back");
    }
}

/// Tables within a key of a process: each key of them is a change of that key.
#[test]
fn every_key_of_a_table_of_a_process() {
    let text = |line: &str| format!("[process.a]\ncommand = [\"cat\"]\n{line}\n");
    for key in shape::LIMITS.keys {
        let changed = text(&format!("limits = {{ {key} = 64 }}"));
        assert_eq!(
            steps(&text(""), &changed),
            ["restart process:a: limits has changed"],
            "{key}"
        );
    }
    for (key, value) in [("burst", "7"), ("interval", "\"7s\"")] {
        assert!(shape::START_LIMIT.keys.contains(&key) && shape::START_LIMIT.keys.len() == 2);
        let changed = text(&format!("start-limit = {{ {key} = {value} }}"));
        assert_eq!(
            steps(&text(""), &changed),
            ["retune process:a: start-limit has changed"],
            "{key}"
        );
    }
}

#[test]
fn every_setting_of_an_endpoint() {
    let anew = vec!["close route:r", "open route:r"];
    let retuned = vec!["retune route:r/fifo:b"];
    let source = |settings: &str| format!("[route.r]\nfrom = {{ fifo = \"a\"{settings} }}\nto = \"fifo:b\"\n");
    let to = |settings: &str| format!("[route.r]\nfrom = \"fifo:a\"\nto = {{ fifo = \"b\"{settings} }}\n");
    // Of every kind, at either side: `None` where it has no meaning there.
    let table = [
        ("on-eof", "\"hold\"", Some(&anew), None),
        ("create", "false", Some(&anew), Some(&anew)),
        ("mode", "\"0644\"", Some(&anew), Some(&anew)),
        ("owner", "\"root\"", Some(&anew), Some(&anew)),
        ("group", "\"root\"", Some(&anew), Some(&anew)),
        ("pipe-size", "\"1MiB\"", Some(&anew), Some(&anew)),
        ("when-gone", "\"close\"", None, Some(&retuned)),
        ("when-full", "\"drop-newest\"", None, Some(&retuned)),
        ("high-watermark", "\"1MiB\"", None, Some(&retuned)),
        ("low-watermark", "\"1KiB\"", None, Some(&retuned)),
    ];
    let mut known: BTreeSet<&str> = table.iter().map(|(key, ..)| *key).collect();
    // The kinds: another endpoint.
    known.extend(["process", "fifo", "file", "null"]);
    assert_eq!(known, shape::ENDPOINT.keys.iter().copied().collect::<BTreeSet<_>>());
    for (key, value, at_source, at_destination) in table {
        let setting = format!(", {key} = {value}");
        if let Some(expected) = at_source {
            assert_eq!(stages(&source(""), &source(&setting)).concat(), *expected, "{key}");
            assert_eq!(stages(&source(&setting), &source("")).concat(), *expected, "{key} back");
        }
        if let Some(expected) = at_destination {
            assert_eq!(stages(&to(""), &to(&setting)).concat(), *expected, "{key}");
            assert_eq!(stages(&to(&setting), &to("")).concat(), *expected, "{key} back");
        }
    }
}

#[test]
fn every_key_of_the_daemon_and_its_socket() {
    let of = |daemon: &str, control: &str| {
        let given = ["relay-threads = 2", "runtime-directory = \"/run/sluiced\""];
        let is_changed = |line: &&str| daemon.starts_with(line.split(' ').next().unwrap());
        let kept: Vec<&str> = given.into_iter().filter(|line| !is_changed(line)).collect();
        format!("[daemon]\n{}\n{daemon}\n[control]\n{control}\n", kept.join("\n"))
    };
    // `None`: while it runs.
    let daemon = [
        (
            "runtime-directory",
            "\"/run/x\"",
            Some(vec!["daemon.runtime-directory", "control.socket"]),
        ),
        ("relay-threads", "3", Some(vec!["daemon.relay-threads"])),
        ("drain-timeout", "\"1s\"", None),
        ("log-level", "\"debug\"", None),
    ];
    let control = [
        ("socket", "\"x\"", vec!["control.socket"]),
        ("mode", "\"0660\"", vec!["control.mode"]),
        // Each sets the mode as well, where that is not given.
        ("group", "\"adm\"", vec!["control.mode", "control.group"]),
        ("read-group", "\"adm\"", vec!["control.mode", "control.read-group"]),
    ];
    let known = |keys: Vec<&'static str>| keys.into_iter().collect::<BTreeSet<_>>();
    let all = |shape: &shape::Shape| shape.keys.iter().copied().collect::<BTreeSet<_>>();
    assert_eq!(
        known(daemon.iter().map(|(key, ..)| *key).collect()),
        all(&shape::DAEMON)
    );
    assert_eq!(
        known(control.iter().map(|(key, ..)| *key).collect()),
        all(&shape::CONTROL)
    );
    let plain = of("", "");
    for (key, value, refused) in daemon {
        let changed = of(&format!("{key} = {value}"), "");
        let Some(keys) = refused else {
            assert_eq!(steps(&plain, &changed), [format!("retune daemon: {key} has changed")]);
            continue;
        };
        for (running, wanted) in [(&plain, &changed), (&changed, &plain)] {
            let plan = plan(&good(running), &good(wanted), stream_of);
            assert_eq!(plan, Err(NeedsRestart(keys.clone())), "{key}");
        }
    }
    for (key, value, keys) in control {
        let changed = of("", &format!("{key} = {value}"));
        for (running, wanted) in [(&plain, &changed), (&changed, &plain)] {
            let plan = plan(&good(running), &good(wanted), stream_of);
            assert_eq!(plan, Err(NeedsRestart(keys.clone())), "{key}");
        }
    }
    for (key, value) in [("group", "adm"), ("read-group", "adm")] {
        let fixed = |group: &str| of("", &format!("mode = \"0666\"\n{group}"));
        let plan = plan(
            &good(&fixed("")),
            &good(&fixed(&format!("{key} = \"{value}\""))),
            stream_of,
        );
        let refused = plan.unwrap_err();
        assert_eq!(
            refused.to_string(),
            format!("`control.{key}` needs a restart of the daemon")
        );
    }
    assert_eq!(
        steps(&plain, &of("drain-timeout = \"1s\"\nlog-level = \"debug\"", "")),
        ["retune daemon: drain-timeout and log-level have changed"]
    );
}

#[test]
fn consumers_come_first_and_producers_go_first() {
    let kept = "[process.k]\ncommand = [\"cat\"]\n";
    let chain = "[process.a]\ncommand = [\"cat\"]\n[process.b]\ncommand = [\"cat\"]\n[process.c]\ncommand = [\"cat\"]\n\
        [route.x]\nfrom = \"process:a.stdout\"\nto = \"process:b.stdin\"\n\
        [route.y]\nfrom = \"process:b.stdout\"\nto = \"process:c.stdin\"\n";
    let both = format!("{kept}{chain}");
    assert_eq!(
        stages(kept, &both),
        [
            vec!["start process:c", "start process:b", "start process:a"],
            vec!["open route:x", "open route:y"]
        ]
    );
    assert_eq!(
        stages(&both, kept),
        [
            vec!["stop process:a"],
            vec!["close route:x"],
            vec!["stop process:b"],
            vec!["close route:y"],
            vec!["stop process:c"],
        ]
    );
    let circle = "[process.a]\ncommand = [\"cat\"]\n[process.b]\ncommand = [\"cat\"]\n\
        [route.x]\nfrom = \"process:a.stdout\"\nto = \"process:b.stdin\"\n\
        [route.y]\nfrom = \"process:b.stdout\"\nto = \"process:a.stdin\"\n";
    assert_eq!(
        stages(&format!("{kept}{circle}"), kept),
        [
            vec!["close route:x", "close route:y"],
            vec!["stop process:a", "stop process:b"]
        ]
    );
}

#[test]
fn endpoints_join_and_leave() {
    let of = |from: &str, to: &str| format!("[route.r]\nfrom = {from}\nto = {to}\n");
    let one = of("\"fifo:a\"", "\"fifo:x\"");
    assert_eq!(
        steps(&one, &of("[\"fifo:a\", \"fifo:b\"]", "[\"fifo:y\", \"fifo:x\"]")),
        [
            "rewire route:r/fifo:b: it is added to the route",
            "rewire route:r/fifo:y: it is added to the route"
        ]
    );
    assert_eq!(
        steps(&of("\"fifo:a\"", "[\"fifo:x\", \"fifo:y\"]"), &one),
        ["rewire route:r/fifo:y: it is taken out of the route"]
    );
    assert_eq!(
        steps(&one, &of("\"fifo:b\"", "\"fifo:x\"")),
        [
            "close route:r: none of its sources is left",
            "open route:r: none of its sources is left"
        ]
    );
    let splice = |to: &str| format!("{}path = \"splice\"\n", of("\"fifo:a\"", to));
    assert_eq!(
        stages(&splice("\"fifo:x\""), &splice("[\"fifo:x\", \"fifo:y\"]")).concat(),
        ["close route:r", "open route:r"]
    );
}

#[test]
fn an_endpoint_that_moves_leaves_before_it_joins() {
    let two = |first: &str, second: &str| {
        format!("[route.a]\nfrom = \"fifo:a\"\nto = {first}\n[route.b]\nfrom = \"fifo:b\"\nto = {second}\n")
    };
    let (before, after) = (
        two("[\"fifo:x\", \"fifo:y\"]", "\"fifo:z\""),
        two("\"fifo:x\"", "[\"fifo:z\", \"fifo:y\"]"),
    );
    assert_eq!(
        stages(&before, &after),
        [vec!["rewire route:a/fifo:y"], vec!["rewire route:b/fifo:y"]]
    );
    assert!(steps(&before, &after)[1].ends_with("from route:a"));
    let renamed = |name: &str| format!("[route.{name}]\nfrom = \"fifo:a\"\nto = \"fifo:b\"\n");
    assert_eq!(
        stages(&renamed("old"), &renamed("new")),
        [vec!["close route:old"], vec!["open route:new"]]
    );
}

#[test]
fn streams_that_routes_take_or_leave() {
    let process = |line: &str, routes: &str| format!("[process.a]\ncommand = [\"cat\"]\n{line}\n{routes}");
    let (out, input) = (
        "[route.o]\nfrom = \"process:a.stdout\"\nto = \"fifo:x\"\n",
        "[route.i]\nfrom = \"fifo:y\"\nto = \"process:a.stdin\"\n",
    );
    let fd = "[route.f]\nfrom = \"process:a.fd3\"\nto = \"fifo:z\"\n";
    let of = |line: &str, before: &str, after: &str| steps(&process(line, before), &process(line, after));
    assert_eq!(of("", "", out)[0], "retune process:a: a route has its stdout now");
    assert_eq!(
        of("stdout = \"null\"", "", out)[0],
        "restart process:a: its stdout was /dev/null, and a route has it now"
    );
    assert_eq!(
        of("", out, "")[1],
        "retune process:a: no route has its stdout any more",
        "after the route is closed"
    );
    assert_eq!(
        of("", "", input)[0],
        "restart process:a: its stdin was /dev/null, and a route has it now"
    );
    assert_eq!(
        of("", input, "")[1],
        "retune process:a: no route has its stdin any more"
    );
    assert_eq!(of("", "", fd)[0], "restart process:a: a route has its fd3 now");
    assert_eq!(of("", fd, "")[1], "restart process:a: no route has its fd3 any more");
}
