//! The driver of a process with real children: what the daemon is told, and what is left behind (nothing).
#![allow(clippy::unwrap_used)]

#[path = "supervise/handover.rs"]
mod handover;
#[path = "supervise/rig.rs"]
mod rig;

use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

use rig::{Rig, alone, spec};
use sluiced::model::{EventDetail, Exit, OutputPolicy, ProcessState, Restart, Stream};
use sluiced::supervise::{Command, Notice, Wiring};
use sluiced::sys::process as sys;

fn stdin() -> Wiring {
    Wiring {
        inputs: vec![Stream::Stdin],
        outputs: Vec::new(),
        waits: false,
    }
}

fn stdout() -> Wiring {
    Wiring {
        inputs: Vec::new(),
        outputs: vec![Stream::Stdout],
        waits: false,
    }
}

fn both() -> Wiring {
    Wiring {
        inputs: vec![Stream::Stdin],
        outputs: vec![Stream::Stdout],
        waits: false,
    }
}

#[test]
fn a_life_is_told_from_start_to_exit() {
    alone(async {
        let mut spec = spec("echo out; exit 7");
        spec.restart = Restart::Never;
        let mut rig = Rig::start(spec, stdout());
        rig.until(ProcessState::Finished).await;
        assert_eq!(
            rig.kinds(),
            ["process_started", "process_ready", "process_exited", "process_stopped"]
        );
        assert_eq!(rig.output(Stream::Stdout, 1).await, "out\n");
        let snapshot = rig.handle.snapshot();
        assert_eq!(
            (snapshot.last_exit, snapshot.pid, snapshot.restarts),
            (Some(Exit::Code(7)), None, 0)
        );
        let lent = rig.lent_at(Stream::Stdout);
        let exited = rig.position(|notice| matches!(notice, Notice::Exited { life: 1, .. }));
        let ended = rig.position(|notice| matches!(notice, Notice::Ended { finished: true, .. }));
        assert!(lent.is_some() && lent <= exited && exited < ended);
        rig.end().await;
    });
}

#[test]
fn what_a_child_leaves_unread_goes_to_its_successor() {
    alone(async {
        // Reads one line unbuffered, as read(1) of a shell does, and dies.
        let mut spec = spec("read -r line; echo \"got $line\"; test \"$line\" != 3 || sleep 100");
        spec.restart_delay = Duration::from_millis(1);
        spec.start_limit.burst = 0;
        let mut rig = Rig::start(spec, both());
        rig.until(ProcessState::Ready).await;
        rig.write(b"1\n2\n3\nrest");
        for life in 1..=2 {
            assert_eq!(rig.output(Stream::Stdout, life).await, format!("got {life}\n"));
        }
        rig.until_life(3).await;
        rig.until(ProcessState::Ready).await;
        rig.until_unread("rest".len()).await;
        assert_eq!(rig.lent(Stream::Stdin), 1, "a kept stdin is lent once");
        assert_eq!(rig.handle.snapshot().restarts, 2);
        assert!(rig.stop().await);
        rig.until(ProcessState::Stopped).await;
        assert_eq!(rig.unread(), 4, "a stopped process keeps its stdin");
        rig.end().await;
    });
}

#[test]
fn an_ended_input_is_read_out_by_successors_and_then_finishes_it() {
    alone(async {
        let mut spec = spec("read -r line && echo \"got $line\"");
        spec.restart_delay = Duration::from_millis(1);
        spec.start_limit.burst = 0;
        let mut rig = Rig::start(spec, both());
        rig.until(ProcessState::Ready).await;
        rig.write(b"1\n2\n");
        rig.end_input();
        rig.until(ProcessState::Finished).await;
        assert_eq!(rig.handle.snapshot().restarts, 1);
        assert_eq!(rig.output(Stream::Stdout, 2).await, "got 2\n");
        let ended = |notice: &Notice| matches!(notice, Notice::Ended { finished: true, unread, .. } if unread == &[(Stream::Stdin, 0)]);
        assert!(rig.position(ended).is_some());

        // By hand it starts again, with a new stdin.
        assert!(rig.start_it().await);
        rig.until(ProcessState::Ready).await;
        assert_eq!(rig.lent(Stream::Stdin), 2);
        rig.write(b"again\n");
        rig.end_input();
        rig.until(ProcessState::Finished).await;
        assert_eq!(rig.output(Stream::Stdout, 3).await, "got again\n");
        rig.end().await;
    });
}

#[test]
fn a_late_word_about_an_earlier_input_does_not_end_the_new_one() {
    alone(async {
        let mut spec = spec("cat >/dev/null");
        spec.restart = Restart::Never;
        spec.keep_stdin = false;
        let mut rig = Rig::start(spec, stdin());
        rig.until(ProcessState::Ready).await;
        rig.end_input();
        rig.until(ProcessState::Finished).await;
        assert!(rig.start_it().await);
        rig.until(ProcessState::Ready).await;
        rig.handle.send(Command::InputEnded {
            stream: Stream::Stdin,
            life: 1,
        });
        assert_eq!(rig.lent(Stream::Stdin), 2, "without keep-stdin each life is lent one");
        rig.end().await;
    });
}

#[test]
fn flags_that_one_life_sets_on_its_stdin_do_not_reach_the_next() {
    alone(async {
        let script = "import os,sys,fcntl\n\
            flags=fcntl.fcntl(0,fcntl.F_GETFL)\n\
            print(flags&os.O_NONBLOCK,flush=True)\n\
            fcntl.fcntl(0,fcntl.F_SETFL,flags|os.O_NONBLOCK)\n";
        let mut spec = spec("");
        spec.command = ["python3", "-c", script].map(str::to_owned).to_vec();
        spec.restart_delay = Duration::from_millis(1);
        let mut rig = Rig::start(spec, both());
        rig.until_life(3).await;
        for life in 1..=2 {
            assert_eq!(rig.output(Stream::Stdout, life).await, "0\n");
        }
        rig.end().await;
    });
}

#[test]
fn whoever_ignores_the_stop_signal_is_killed_with_its_group() {
    alone(async {
        let mut spec = spec("trap '' TERM; sh -c 'trap \"\" TERM; echo up; while :; do sleep 1; done' & wait; wait");
        spec.stop_timeout = Duration::from_millis(200);
        let mut rig = Rig::start(spec, stdout());
        rig.until(ProcessState::Ready).await;
        rig.until_output(Stream::Stdout, 1, "up\n").await;
        assert!(rig.stop().await);
        rig.until(ProcessState::Stopped).await;
        assert_eq!(rig.output(Stream::Stdout, 1).await, "up\n");
        assert_eq!(
            rig.handle.snapshot().last_exit.unwrap().to_string(),
            "killed by SIGKILL"
        );
        rig.end().await;
    });
}

#[test]
fn the_group_is_killed_although_its_leader_went_at_once() {
    alone(async {
        let mut spec = spec("sh -c 'trap \"\" TERM; echo up; while :; do sleep 1; done' & wait");
        spec.stop_timeout = Duration::from_millis(200);
        let mut rig = Rig::start(spec, stdout());
        rig.until(ProcessState::Ready).await;
        rig.until_output(Stream::Stdout, 1, "up\n").await;
        assert!(rig.stop().await);
        rig.until(ProcessState::Stopped).await;
        // EOF: nobody is left that could write.
        assert_eq!(rig.output(Stream::Stdout, 1).await, "up\n");
        assert_eq!(
            rig.handle.snapshot().last_exit.unwrap().to_string(),
            "killed by SIGTERM"
        );
        rig.end().await;
    });
}

#[test]
fn a_child_that_is_halted_stops_all_the_same() {
    alone(async {
        let mut rig = Rig::start(
            spec("trap 'exit 5' TERM; echo up; while :; do sleep 0.01; done"),
            stdout(),
        );
        rig.until(ProcessState::Ready).await;
        rig.until_output(Stream::Stdout, 1, "up\n").await;
        rig.signal(19).await.unwrap();
        let pid = rig.handle.snapshot().pid.unwrap();
        rig.until_true("halted", || {
            std::fs::read_to_string(format!("/proc/{pid}/stat"))
                .unwrap()
                .contains(") T ")
        })
        .await;
        assert!(rig.stop().await);
        rig.until(ProcessState::Stopped).await;
        assert_eq!(rig.handle.snapshot().last_exit, Some(Exit::Code(5)));
        rig.end().await;
    });
}

#[test]
fn commands_count_once_and_in_any_phase() {
    alone(async {
        let mut spec = spec("sleep 100");
        spec.autostart = false;
        let mut rig = Rig::start(spec, stdin());
        assert!(!rig.stop().await);
        assert!(rig.start_it().await);
        assert!(!rig.start_it().await);
        // Starting: told to stop before it can have executed, and to start again before it is gone.
        assert!(rig.stop().await);
        assert!(!rig.stop().await);
        assert!(rig.start_it().await);
        rig.until_life(2).await;
        rig.until(ProcessState::Ready).await;
        assert!(rig.restart().await);
        rig.until_life(3).await;
        rig.until(ProcessState::Ready).await;
        assert!(rig.signal(0).await.is_err() && rig.signal(99).await.is_err());
        assert!(rig.stop().await);
        rig.until(ProcessState::Stopped).await;
        assert!(rig.signal(15).await.unwrap_err().contains("does not run"));
        rig.end().await;
    });
}

#[test]
fn what_cannot_be_executed_fails_and_leaves_nothing() {
    alone(async {
        let mut spec = spec("");
        spec.command = vec!["/no/such/program".to_owned()];
        let mut rig = Rig::start(spec, both());
        rig.until(ProcessState::Failed).await;
        assert_eq!(rig.kinds(), ["process_failed"]);
        let snapshot = rig.handle.snapshot();
        let Some(Exit::NotExecuted(text)) = snapshot.last_exit else {
            panic!("{:?}", snapshot.last_exit);
        };
        assert!(text.contains("/no/such/program") && snapshot.status_text == Some(text));
        assert!(
            rig.position(|notice| matches!(notice, Notice::Ended { finished: false, .. }))
                .is_some()
        );
        assert_eq!(rig.output(Stream::Stdout, 1).await, "");
        assert!(rig.start_it().await);
        rig.until_life(2).await;
        rig.until(ProcessState::Failed).await;
        assert_eq!(rig.lent(Stream::Stdin), 1);
        rig.end().await;
    });
}

#[test]
fn early_exits_reach_the_limit_and_a_start_forgives() {
    alone(async {
        let mut spec = spec("exit 3");
        spec.restart_delay = Duration::from_millis(1);
        let mut rig = Rig::start(spec, Wiring::default());
        rig.until(ProcessState::Failed).await;
        assert_eq!(rig.handle.snapshot().restarts, 5);
        assert!(rig.handle.snapshot().status_text.unwrap().contains("exit 3"));
        assert!(rig.start_it().await);
        rig.until_life(8).await;
        rig.end().await;
    });
}

#[test]
fn a_hundred_that_die_at_once() {
    alone(async {
        let rigs: Vec<_> = (0..100)
            .map(|code| {
                let mut spec = spec(&format!("exit {code}"));
                spec.restart = Restart::Never;
                Rig::start(spec, both())
            })
            .collect();
        for (code, mut rig) in rigs.into_iter().enumerate() {
            rig.until(ProcessState::Finished).await;
            let expected = Exit::Code(i32::try_from(code).unwrap());
            assert_eq!(rig.handle.snapshot().last_exit, Some(expected));
            rig.end().await;
        }
    });
}

#[test]
fn an_exit_is_told_while_a_grandchild_keeps_the_output() {
    alone(async {
        let mut spec = spec("sleep 100 & echo early; exit 4");
        spec.restart = Restart::Never;
        let mut rig = Rig::start(spec, stdout());
        rig.until(ProcessState::Finished).await;
        rig.until_output(Stream::Stdout, 1, "early\n").await;
        let still = sys::read(rig.end_of(Stream::Stdout, 1).as_fd(), &mut [0; 8]);
        assert_eq!(still.unwrap_err().kind(), ErrorKind::WouldBlock);
        rig.handle.send(Command::KillGroup { life: 2 });
        rig.handle.send(Command::KillGroup { life: 1 });
        assert_eq!(rig.output(Stream::Stdout, 1).await, "early\n");
        rig.end().await;
    });
}

#[test]
fn unrouted_output_that_a_grandchild_keeps_is_given_up() {
    alone(async {
        let mut spec = spec("(sleep 0.1; echo late; sleep 100) & echo early; exit 4");
        spec.restart = Restart::Never;
        spec.stdout = OutputPolicy::Log;
        spec.stop_timeout = Duration::from_millis(400);
        let (mut rig, log) = Rig::logged(spec, Wiring::default());
        rig.until(ProcessState::Finished).await;
        rig.until_event(|detail| matches!(detail, EventDetail::OutputAbandoned { stream, .. } if stream == "stdout"))
            .await;
        assert!(
            log.text().contains("early") && log.text().contains("late"),
            "{}",
            log.text()
        );
        rig.end().await;
    });
}

#[test]
fn unrouted_output_comes_line_by_line_and_a_flood_is_counted() {
    alone(async {
        let mut spec = spec("printf 'a\\033b\\n'; printf 'x %s\\n' $(seq 5000); echo err >&2; printf last");
        spec.restart = Restart::Never;
        spec.stdout = OutputPolicy::Log;
        spec.stderr = OutputPolicy::Log;
        let (mut rig, log) = Rig::logged(spec, Wiring::default());
        rig.until(ProcessState::Finished).await;
        rig.handle.send(Command::Shutdown { kill: false });
        rig.handle.stopped().await;
        let text = log.text();
        assert!(
            text.contains("a\\u{1b}b") && text.contains("WARN") && text.contains("err"),
            "{text}"
        );
        let shown = text
            .lines()
            .filter(|line| line.contains("stream=stdout") && line.contains(": x "))
            .count();
        let left_out = text
            .lines()
            .find_map(|line| line.split_once(" lines left out"))
            .unwrap()
            .0;
        let left_out: usize = left_out.rsplit(' ').next().unwrap().parse().unwrap();
        // The escaped line and "last", which has no newline, are lines as well.
        assert!(
            shown <= 1000 && shown + left_out >= 5000,
            "{shown} shown, {left_out} left out"
        );
        rig.end().await;
    });
}

#[test]
fn a_child_that_was_left_behind_does_not_share_stdin_with_the_successor() {
    alone(async {
        // The reader outlives the shell that is killed.
        let mut spec = spec("echo up; cat; echo gone");
        spec.restart_delay = Duration::from_millis(20);
        let mut rig = Rig::start(spec, both());
        rig.until_output(Stream::Stdout, 1, "up\n").await;
        rig.signal(9).await.unwrap();
        rig.until_life(2).await;
        rig.until_output(Stream::Stdout, 2, "up\n").await;
        // EOF on the first life's output: its cat is dead.
        assert_eq!(rig.output(Stream::Stdout, 1).await, "up\n");
        rig.write(b"for the second\n");
        rig.until_output(Stream::Stdout, 2, "up\nfor the second\n").await;
        rig.end().await;
    });
}

#[test]
fn shutdown_waits_for_what_a_life_left_behind_and_kills_it_in_the_end() {
    alone(async {
        let mut spec = spec("sh -c 'trap \"\" TERM; echo up; while :; do sleep 1; done' & exit 0");
        spec.restart = Restart::Never;
        spec.stop_timeout = Duration::from_millis(300);
        let mut rig = Rig::start(spec, stdout());
        rig.until(ProcessState::Finished).await;
        rig.until_output(Stream::Stdout, 1, "up\n").await;
        rig.handle.send(Command::BeginShutdown);
        rig.handle.stopped().await;
        assert_eq!(rig.output(Stream::Stdout, 1).await, "up\n");
        rig.end().await;
    });
}

#[test]
fn shutdown_can_be_hurried() {
    alone(async {
        let mut rig = Rig::start(spec("trap '' TERM; echo up; while :; do sleep 0.01; done"), stdout());
        rig.until_output(Stream::Stdout, 1, "up\n").await;
        rig.handle.send(Command::Shutdown { kill: false });
        rig.until(ProcessState::Stopping).await;
        rig.handle.send(Command::Shutdown { kill: true });
        rig.handle.stopped().await;
        rig.drain_notices();
        let ended = rig.count(|notice| matches!(notice, Notice::Ended { finished: true, .. }));
        assert_eq!((rig.handle.snapshot().state, ended), (ProcessState::Stopped, 1));
        rig.end().await;
    });
}

#[test]
fn no_descriptor_and_no_child_is_left_by_a_driver_that_is_dropped() {
    let pid = alone(async {
        let mut rig = Rig::start(spec("trap '' TERM; echo up; sleep 100"), both());
        rig.until_output(Stream::Stdout, 1, "up\n").await;
        rig.handle.snapshot().pid.unwrap()
    });
    assert!(!Path::new(&format!("/proc/{pid}")).exists());
}

#[test]
fn running_out_of_descriptors_is_a_passing_trouble_that_leaks_nothing() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    alone(async {
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        let mut rig = Rig::start(spec("sleep 100"), both());
        rig.until(ProcessState::Ready).await;
        let open = rig::descriptors();
        // One more at a time: each of the steps of a spawn is the one that fails.
        for spare in 0..12 {
            setrlimit(Resource::RLIMIT_NOFILE, rig::highest_descriptor() + 1 + spare, hard).unwrap();
            let mut other = Rig::start(spec("sleep 100"), both());
            other
                .until_any(&[ProcessState::BackingOff, ProcessState::Ready, ProcessState::Failed])
                .await;
            setrlimit(Resource::RLIMIT_NOFILE, soft, hard).unwrap();
            assert_ne!(other.handle.snapshot().state, ProcessState::Failed);
            other.until(ProcessState::Ready).await;
            other.end().await;
            assert_eq!(rig::descriptors(), open, "with {spare} to spare");
        }
        rig.end().await;
    });
}

#[test]
fn a_flood_of_output_keeps_nobody_waiting() {
    alone(async {
        let mut flood = spec("yes");
        flood.stdout = OutputPolicy::Log;
        let (mut rig, log) = Rig::logged(flood, Wiring::default());
        rig.until(ProcessState::Ready).await;
        rig.until_true("left out", || log.text().contains("lines left out"))
            .await;
        // Others on the same thread go on meanwhile, and the child was never blocked for good.
        let mut other = Rig::start(spec("echo up; sleep 100"), stdout());
        other.until_output(Stream::Stdout, 1, "up\n").await;
        other.end().await;
        assert!(rig.stop().await);
        rig.until(ProcessState::Stopped).await;
        rig.end().await;
    });
}
