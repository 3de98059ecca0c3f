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

#[test]
fn every_setting_of_an_endpoint() {
    let anew = vec!["close route:r", "open route:r"];
    let source = |settings: &str| format!("[route.r]\nfrom = {{ fifo = \"a\"{settings} }}\nto = \"fifo:b\"\n");
    let to = |settings: &str| format!("[route.r]\nfrom = \"fifo:a\"\nto = {{ fifo = \"b\"{settings} }}\n");
    for setting in [
        "on-eof = \"hold\"",
        "create = false",
        "mode = \"0644\"",
        "owner = \"root\"",
        "group = \"root\"",
        "pipe-size = \"1MiB\"",
    ] {
        let changed = source(&format!(", {setting}"));
        assert_eq!(stages(&source(""), &changed).concat(), anew, "{setting}");
    }
    for setting in ["create = false", "mode = \"0644\"", "pipe-size = \"1MiB\""] {
        assert_eq!(
            stages(&to(""), &to(&format!(", {setting}"))).concat(),
            anew,
            "{setting}"
        );
    }
    for setting in [
        "when-gone = \"close\"",
        "when-full = \"drop-newest\"",
        "high-watermark = \"1MiB\"",
    ] {
        let changed = to(&format!(", {setting}"));
        assert_eq!(
            stages(&to(""), &changed).concat(),
            ["retune route:r/fifo:b"],
            "{setting}"
        );
    }
}

#[test]
fn what_needs_a_restart_of_the_daemon_is_refused_and_the_rest_of_the_top_is_not() {
    let plain = "[daemon]\nrelay-threads = 2\nruntime-directory = \"/run/sluiced\"\n";
    let table = [
        ("[daemon]\nrelay-threads = 3\n", vec!["daemon.relay-threads"]),
        (
            "[daemon]\nrelay-threads = 2\nruntime-directory = \"/run/x\"\n",
            vec!["daemon.runtime-directory", "control.socket"],
        ),
        (
            "[daemon]\nrelay-threads = 2\n[control]\nsocket = \"x\"\n",
            vec!["control.socket"],
        ),
        (
            "[daemon]\nrelay-threads = 2\n[control]\nmode = \"0660\"\n",
            vec!["control.mode"],
        ),
    ];
    for (wanted, keys) in table {
        assert_eq!(
            plan(&good(plain), &good(wanted), stream_of),
            Err(NeedsRestart(keys)),
            "{wanted}"
        );
    }
    let refused = plan(&good(plain), &good("[daemon]\nrelay-threads = 9\n"), stream_of).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "`daemon.relay-threads` needs a restart of the daemon"
    );
    assert_eq!(
        steps(
            plain,
            &format!("{plain}drain-timeout = \"1s\"\nlog-level = \"debug\"\n")
        ),
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
