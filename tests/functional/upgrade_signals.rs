//! Upgrades, reloads, signals and the end, all at once: one after the other, none lost, and none that kills.

use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::support::{
    Background, Client, Daemon, Deadline, Dice, FifoReader, FifoWriter, PATIENCE, Pattern, let_pass, stories, until,
};

stories!(
    a_reload_under_way_comes_first,
    a_reload_asked_for_meanwhile_is_done,
    a_sighup_beside_an_upgrade_is_not_lost,
    a_sigterm_beside_an_upgrade_is_not_lost,
    a_storm_of_signals_kills_nobody,
    two_callers_at_once,
    while_it_stops_it_is_refused,
    a_stop_during_the_question,
    a_child_that_ends_beside_it,
);

const RELAY: &str = "
    [process.p]
    command = [$PEER, \"hold\"]
    [route.a]
    from = { fifo = \"in\", on-eof = \"close\" }
    to = \"fifo:out\"
    ";

fn with_more(text: &str) -> String {
    format!("{text}\n[route.more]\nfrom = \"fifo:more\"\nto = \"null\"\n")
}

fn generation(daemon: &Daemon) -> u64 {
    daemon
        .call("GetStatus", json!({}))
        .expect("GetStatus")
        .int("generation")
}

/// However many of these routes there are now, where an upgrade may be under way.
fn routes_now(daemon: &Daemon) -> Option<usize> {
    let mut client = Client::connect(&daemon.place().socket()).ok()?;
    let reply = client.try_call("ListRoutes", json!({}))?.ok()?;
    Some(reply.list("routes").len())
}

fn wait_for_routes(daemon: &Daemon, count: usize) {
    until(
        || (routes_now(daemon) == Some(count)).then_some(()),
        || format!("{count} routes have not come\n{}", daemon.log()),
    );
}

/// It restarts a process that takes its time to stop: the upgrade waits for the end of that.
fn a_reload_under_way_comes_first() {
    let text = |more: &str| {
        format!(
            "[process.p]\ncommand = [$PEER, \"ignore SIGTERM\", \"tell $DIR/up x\", \"hold\"{more}]\nstop-timeout = \"1s\"\n"
        )
    };
    let daemon = Daemon::start(&text(""));
    until(
        || daemon.file("up").exists().then_some(()),
        || "it is not up".to_owned(),
    );
    let first = daemon.pid_of("p");
    daemon.rewrite(&text(", \"exit 0\""));
    let mut reloads = daemon.client();
    reloads.send_call("Reload", &json!({}), &[]);
    daemon.wait_for("process.p", "stopping");
    let mut upgrades = daemon.client();
    let upgraded = upgrades.call("Upgrade", json!({})).expect("Upgrade");
    assert_eq!(upgraded.int("life"), 2);
    let reloaded = reloads.reply().expect("Reload, which had begun before");
    assert_eq!(reloaded.int("generation"), 2);
    assert_eq!(generation(&daemon), 2);
    assert_ne!(daemon.pid_of("p"), first);
}

/// Its caller may see the end of its connection: then it asks again.
fn a_reload_asked_for_meanwhile_is_done() {
    for round in 0..5 {
        let daemon = Daemon::start(RELAY);
        daemon.rewrite(&with_more(RELAY));
        let mut upgrades = daemon.client();
        upgrades.send_call("Upgrade", &json!({}), &[]);
        let_pass(Duration::from_millis(round * 10));
        let mut reloads = daemon.client();
        let answered = reloads.try_call("Reload", json!({}));
        assert_eq!(upgrades.reply().expect("Upgrade").int("life"), 2);
        match answered {
            Some(reply) => assert_eq!(reply.expect("Reload").int("generation"), 2),
            None => drop(daemon.call("Reload", json!({})).expect("Reload")),
        }
        assert_eq!(daemon.routes().len(), 2);
        assert_eq!(daemon.life(), 2);
        daemon.finish();
    }
}

/// signal(7): what is pending stays so over execve(2), and handlers do not.
fn a_sighup_beside_an_upgrade_is_not_lost() {
    let daemon = Daemon::start(RELAY);
    let mut dice = Dice::new(91);
    let (mut life, mut routes) = (1, 1);
    for _ in 0..12 {
        routes = 3 - routes;
        daemon.rewrite(&if routes == 2 {
            with_more(RELAY)
        } else {
            RELAY.to_owned()
        });
        daemon.signal(Signal::SIGUSR2);
        let_pass(Duration::from_millis(dice.below(80)));
        daemon.signal(Signal::SIGHUP);
        wait_for_routes(&daemon, routes);
        life = daemon.wait_for_life(life + 1);
    }
    assert_eq!(life, 13);
}

fn a_sigterm_beside_an_upgrade_is_not_lost() {
    for round in 0..10 {
        let daemon = Daemon::start(RELAY);
        daemon.pid_of("p");
        daemon.signal(Signal::SIGUSR2);
        let_pass(Duration::from_millis(round * 8));
        daemon.signal(Signal::SIGTERM);
        daemon.expect_end(0);
    }
}

/// Behaviour 27: in the middle of a stream.
fn a_storm_of_signals_kills_nobody() {
    let daemon = Daemon::start(RELAY);
    let (pattern, length) = (Pattern::new(92), 4 << 20);
    let child = daemon.pid_of("p");
    let reader = FifoReader::to_end_in_background(daemon.fifo("out"), pattern);
    let writer = FifoWriter::in_background(daemon.fifo("in"), pattern, length);
    let mut dice = Dice::new(92);
    for _ in 0..300 {
        let signal = [Signal::SIGUSR2, Signal::SIGHUP, Signal::SIGCHLD, Signal::SIGUSR2];
        daemon.signal(signal[dice.below(4) as usize]);
        let_pass(Duration::from_micros(dice.below(3000)));
    }
    writer.done();
    assert_eq!(reader.done(), length);
    let life = daemon.wait_for_life(2);
    // Those that are still on their way come to their end: then one that is asked for is one more.
    let mut client = daemon.client();
    let last = until(
        || {
            let reply = client.try_call("Upgrade", json!({}));
            if reply.is_none() {
                client = daemon.client();
            }
            reply
        },
        || "it is not upgraded any more".to_owned(),
    );
    assert!(last.expect("Upgrade").int("life") > life);
    assert_eq!(daemon.pid_of("p"), child);
    daemon.wait_for("route.a", "closed");
}

/// One for all, or one after the other: whoever gets a reply gets a good one, and the others an end.
fn two_callers_at_once() {
    let daemon = Daemon::start(RELAY);
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let mut client = daemon.client();
            Background::run(move || client.try_call("Upgrade", json!({})))
        })
        .collect();
    let replies: Vec<_> = callers.into_iter().map(Background::done).collect();
    let lives = replies
        .into_iter()
        .flatten()
        .map(|reply| reply.expect("Upgrade").int("life"));
    let last = lives.max().expect("one of them is answered");
    assert!((2..=5).contains(&last), "{last}");
    assert_eq!(daemon.life(), last);
    daemon.wait_for("process.p", "ready");
}

fn while_it_stops_it_is_refused() {
    let daemon = Daemon::start(
        "[daemon]\ndrain-timeout = \"3s\"\n[route.a]\nfrom = \"fifo:in\"\nto = \"fifo:out\"\npath = \"copy\"\n",
    );
    let stuck = FifoReader::open(daemon.fifo("out"));
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    writer.write_until(Pattern::new(93), || daemon.route("a").paused_only_for("backpressure"));
    daemon.call("Shutdown", json!({})).expect("Shutdown");
    daemon.wait_for("route.a", "draining");
    let (name, words) = daemon.refuses_to_upgrade();
    assert!(["Busy", "Failed"].contains(&&*name), "{name}: {words}");
    assert!(!words.is_empty());
    daemon.signal(Signal::SIGUSR2);
    drop(stuck);
    daemon.expect_end(0);
}

/// The binary is still thinking about it: nobody waits for that.
fn a_stop_during_the_question() {
    let daemon = Daemon::config(RELAY).with_own_binary().start();
    let script = "printf '#!/bin/sh\\necho x > %s/asked\\nexec sleep 1000\\n' \"$1\" > \"$2\" && chmod 755 \"$2\"";
    let home = daemon.place().home().display().to_string();
    daemon.place().replace_binary(script, &[&home]);
    let mut client = daemon.client();
    client.send_call("Upgrade", &json!({}), &[]);
    let asked = daemon.file("asked");
    until(|| asked.exists().then_some(()), || "it is not asked".to_owned());
    let clock = Deadline::within(PATIENCE);
    daemon.signal(Signal::SIGTERM);
    daemon.expect_end(0);
    assert!(clock.elapsed().as_secs() < 15, "{:?}", clock.elapsed());
}

/// SIGCHLD is pending or its handler has just run.
fn a_child_that_ends_beside_it() {
    let daemon = Daemon::start(
        "[process.p]\ncommand = [$PEER, \"hold\"]\nrestart-delay = \"1ms\"\nrestart-delay-max = \"1ms\"\nstart-limit = { burst = 0, interval = \"10s\" }\n",
    );
    let mut dice = Dice::new(94);
    for restarts in 1..=15 {
        let pid = daemon.pid_of("p");
        let mut client = daemon.client();
        client.send_call("Upgrade", &json!({}), &[]);
        let_pass(Duration::from_millis(dice.below(60)));
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), Signal::SIGKILL).expect("a child to kill");
        client.reply().expect("Upgrade");
        let process = daemon.wait_until("process.p", "restarted", |process| {
            process.int("restarts") == restarts && process.maybe_int("pid").is_some()
        });
        assert_eq!(process.object("lastExit").text("signal"), "SIGKILL");
    }
}
