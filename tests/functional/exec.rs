//! Programs that cannot be executed.

use serde_json::json;

use crate::support::{Daemon, stories};

stories!(
    each_failure_has_its_own_words,
    a_failure_leaves_no_descriptor,
    a_finished_process_can_be_started_again,
);

/// CPython test_subprocess.py, Popen's errors: missing, not executable, no such working directory.
fn each_failure_has_its_own_words() {
    let builder = Daemon::config(
        r#"
        [process.missing]
        command = ["$DIR/nowhere"]

        [process.missing-in-path]
        command = ["no-such-program-anywhere"]

        [process.not-executable]
        command = ["$DIR/plain"]

        [process.no-directory]
        command = ["true"]
        working-directory = "$DIR/gone"

        [process.a-directory]
        command = ["/"]

        [process.fine]
        command = [$PEER, "hold"]
        "#,
    );
    let daemon = builder.with_file("plain", "not a program").start();
    let text_of = |name: &str| {
        let process = daemon.wait_for(&format!("process.{name}"), "failed");
        assert!(process.maybe_int("pid").is_none(), "{process}");
        let exit = process.object("lastExit");
        assert!(
            exit.maybe_int("code").is_none() && exit.text_or_empty("signal").is_empty(),
            "{exit}"
        );
        exit.text("text").to_owned()
    };
    let home = daemon.place().home().display().to_string();
    let expected = [
        ("missing", format!("{home}/nowhere")),
        ("missing-in-path", "no-such-program-anywhere".to_owned()),
        ("not-executable", format!("{home}/plain")),
        ("no-directory", format!("{home}/gone")),
        ("a-directory", "/".to_owned()),
    ];
    let mut texts = Vec::new();
    for (name, names) in expected {
        let text = text_of(name);
        assert!(text.contains(&names), "{name}: {text:?} does not name {names}");
        daemon.wait_for_log(&names);
        texts.push(text.replace(&names, "X"));
    }
    assert_ne!(texts[0], texts[2], "missing is not the same as not executable");
    assert_ne!(
        texts[0], texts[3],
        "a missing program is not the same as a missing directory"
    );
    daemon.wait_for("process.fine", "ready");
}

/// Trying again and again costs nothing.
fn a_failure_leaves_no_descriptor() {
    let daemon = Daemon::start(
        r#"
        [process.p]
        command = ["$DIR/nowhere"]

        [route.i]
        from = "fifo:in"
        to = "process:p.stdin"

        [route.o]
        from = "process:p.stdout"
        to = "fifo:out"
        "#,
    );
    daemon.wait_for("process.p", "failed");
    let mut counts = Vec::new();
    for _ in 0..20 {
        let reply = daemon.call("StartProcess", json!({ "name": "p" }));
        if let Err(error) = reply {
            assert!(error.name.starts_with("io.sluiced.Relay."), "{error:?}");
        }
        daemon.wait_for("process.p", "failed");
        counts.push(daemon.probe().descriptors().len());
    }
    // A connection or a pipe may just be on its way out; one for each try would be fifteen.
    let (first, last) = (counts[4], counts[19]);
    assert!(
        last <= first + 3,
        "descriptors pile up: {counts:?}: {:#?}",
        daemon.probe().descriptors()
    );
    assert!(daemon.probe().children().is_empty());
}

/// StartProcess on a finished process reopens its routes.
fn a_finished_process_can_be_started_again() {
    let daemon = Daemon::start(
        r#"
        [process.p]
        command = [$PEER, "say once more"]
        restart = "never"

        [route.o]
        from = "process:p.stdout"
        to = "file:$DIR/out"
        "#,
    );
    for round in 1..=3 {
        daemon.wait_for("process.p", "finished");
        let bytes = round * 10;
        daemon.wait_until("route.o", "closed with all its bytes", |route| {
            route.state() == "closed" && route.int("acceptedBytes") == bytes
        });
        let out = std::fs::read_to_string(daemon.file("out")).expect("the output");
        assert_eq!(
            out,
            "once more\n".repeat(usize::try_from(round).expect("a small number"))
        );
        if round < 3 {
            assert!(daemon.changes("StartProcess", json!({ "name": "p", "wait": false })));
        }
    }
}
