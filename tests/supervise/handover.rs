//! An upgrade as a process sees it: it comes to rest, and either goes on or is taken back in the daemon's next life. Here
//! both lives are in one process, and the first stays at rest.

use std::sync::Arc;
use std::time::Duration;

use nix::unistd::{Pid, getpgid};
use sluiced::model::{EventDetail, Exit, OutputPolicy, ProcessState, Readiness, Restart, Stream};
use sluiced::supervise::{Command, Notice, Wiring};
use sluiced::sys::orphans::Orphan;
use sluiced::sys::parcel::Packed;
use sluiced::sys::process as sys;
use tokio::sync::oneshot;

use super::rig::{Rig, a_life_elsewhere, alone, spec, until};
use super::{both, stdin, stdout};

#[test]
fn at_rest_nothing_happens_and_afterwards_everything() {
    alone(async {
        let mut spec = spec("read -r line; echo \"$line\"; exit 5");
        spec.restart = Restart::Never;
        spec.stdout = OutputPolicy::Log;
        let (mut rig, log) = Rig::logged(spec, stdin());
        rig.until(ProcessState::Ready).await;
        let (packed, thaw) = rig.freeze().await;
        let pid = rig.handle.snapshot().pid.unwrap();
        rig.write(b"to the log\n");
        rig.until_true("a zombie", || sys::state(pid) == Some('Z')).await;
        a_life_elsewhere().await;
        rig.drain_notices();
        assert_eq!(rig.kinds(), ["process_started", "process_ready"]);
        assert!(!log.text().contains("to the log"), "{}", log.text());
        assert_eq!(rig.handle.state(), ProcessState::Ready);
        drop((packed, thaw));
        rig.until(ProcessState::Finished).await;
        assert_eq!(rig.handle.snapshot().last_exit, Some(Exit::Code(5)));
        rig.until_true("logged", || log.text().contains("to the log")).await;
        rig.end().await;
    });
}

#[test]
fn the_same_child_goes_on_and_its_exit_is_told_once() {
    alone(async {
        let mut spec = spec("read -r line; exit 7");
        spec.restart = Restart::Never;
        let mut rig = Rig::start(spec, both());
        rig.until(ProcessState::Ready).await;
        rig.upgrade_at_rest().await;
        rig.upgrade_at_rest().await;
        assert!(rig.signal(0).await.is_err() && rig.signal(18).await.is_ok());
        rig.write(b"go\n");
        rig.until(ProcessState::Finished).await;
        assert_eq!(rig.handle.snapshot().last_exit, Some(Exit::Code(7)));
        assert_eq!(
            rig.kinds(),
            ["process_started", "process_ready", "process_exited", "process_stopped"]
        );
        assert_eq!((rig.lent(Stream::Stdin), rig.lent(Stream::Stdout)), (1, 1));
        rig.end().await;
    });
}

#[test]
fn an_exit_between_the_two_lives_is_not_missed() {
    alone(async {
        let mut spec = spec("read -r line; kill -SEGV $$");
        spec.restart = Restart::Never;
        let mut rig = Rig::start(spec, stdin());
        rig.until(ProcessState::Ready).await;
        let (packed, thaw) = rig.freeze().await;
        let pid = rig.handle.snapshot().pid.unwrap();
        rig.write(b"go\n");
        rig.until_true("a zombie", || sys::state(pid) == Some('Z')).await;
        rig.go_on(packed, thaw);
        rig.until(ProcessState::Finished).await;
        let exit = rig.handle.snapshot().last_exit.unwrap().to_string();
        assert!(exit.starts_with("killed by SIGSEGV"), "{exit}");
        rig.end().await;
    });
}

#[test]
fn a_line_that_was_begun_before_is_ended_after_it() {
    alone(async {
        let mut spec = spec("printf 'begun '; read -r line; echo ended; echo next; exec sleep 100");
        spec.stdout = OutputPolicy::Log;
        let (mut rig, log) = Rig::logged(spec, stdin());
        rig.until(ProcessState::Ready).await;
        let is_begun = |packed: Packed| packed.into_parts().2.iter().any(|begun| &begun[..] == b"begun ");
        rig.until_packed("begun", is_begun).await;
        rig.upgrade_at_rest().await;
        rig.write(b"go\n");
        rig.until_true("logged", || log.text().contains("next")).await;
        let text = log.text();
        assert_eq!(text.matches("begun").count(), 1, "{text}");
        assert!(text.contains("stdout: begun ended "), "{text}");
        rig.end().await;
    });
}

#[test]
fn a_flood_comes_to_rest_and_goes_on_being_counted() {
    alone(async {
        let mut spec = spec("exec yes");
        spec.stdout = OutputPolicy::Log;
        let (mut rig, log) = Rig::logged(spec, Wiring::default());
        rig.until_true("flooded", || log.text().lines().count() > 100).await;
        for _ in 0..20 {
            let (packed, thaw) = rig.freeze().await;
            let before = log.text().len();
            a_life_elsewhere().await;
            assert_eq!(log.text().len(), before);
            drop((packed, thaw));
        }
        rig.upgrade().await;
        rig.until_true("left out", || log.text().contains("lines left out"))
            .await;
        let shown = |text: &str| text.lines().filter(|line| line.contains("stdout: y ")).count();
        let text = log.text();
        let first_second = text.split("lines left out").next().unwrap();
        assert!(shown(first_second) <= 1000, "{}", shown(first_second));
        rig.end().await;
    });
}

#[test]
fn what_is_left_unread_goes_to_a_successor_in_the_next_life() {
    alone(async {
        let mut spec = spec("read -r line; echo \"got $line\"; test \"$line\" != 2 || sleep 100");
        spec.restart_delay = Duration::from_millis(1);
        let mut rig = Rig::start(spec, both());
        rig.until(ProcessState::Ready).await;
        let (packed, thaw) = rig.freeze().await;
        rig.write(b"1\n2\nrest");
        rig.go_on(packed, thaw);
        for life in 1..=2 {
            rig.until_output(Stream::Stdout, life, &format!("got {life}\n")).await;
        }
        rig.until_unread("rest".len()).await;
        assert_eq!(rig.lent(Stream::Stdin), 1, "a kept stdin is lent once");
        assert!(rig.stop().await);
        rig.until(ProcessState::Stopped).await;
        rig.upgrade_at_rest().await;
        assert_eq!(rig.unread(), 4, "a stopped process keeps its stdin");
        rig.end_input();
        assert!(rig.start_it().await);
        rig.until_life(3).await;
        assert_eq!(rig.output(Stream::Stdout, 3).await, "got rest\n");
        rig.until(ProcessState::Finished).await;
        rig.end().await;
    });
}

#[test]
fn one_that_backs_off_starts_when_it_would_have() {
    alone(async {
        let mut spec = spec("exit 3");
        spec.restart_delay = Duration::from_millis(300);
        spec.start_limit.burst = 1;
        let mut rig = Rig::start(spec, stdin());
        rig.until(ProcessState::BackingOff).await;
        let due = rig.handle.snapshot().next_start_at.unwrap();
        rig.upgrade_at_rest().await;
        assert_eq!(rig.handle.snapshot().next_start_at, Some(due));
        // The early exit before it counts.
        rig.until(ProcessState::Failed).await;
        let snapshot = rig.handle.snapshot();
        assert_eq!(snapshot.restarts, 1);
        assert!(snapshot.started_at.unwrap() >= due);
        rig.upgrade_at_rest().await;
        rig.end().await;
    });
}

#[test]
fn a_stop_goes_on_to_the_same_deadline() {
    alone(async {
        let script = "trap '' TERM; sh -c 'trap \"\" TERM; echo up; while :; do sleep 1; done' & wait; wait";
        let mut spec = spec(script);
        spec.stop_timeout = Duration::from_millis(500);
        let mut rig = Rig::start(spec, stdout());
        rig.until_output(Stream::Stdout, 1, "up\n").await;
        assert!(rig.stop().await);
        rig.until(ProcessState::Stopping).await;
        rig.upgrade_at_rest().await;
        rig.until(ProcessState::Stopped).await;
        assert_eq!(rig.output(Stream::Stdout, 1).await, "up\n");
        let exit = rig.handle.snapshot().last_exit.unwrap();
        assert_eq!(exit.to_string(), "killed by SIGKILL");
        let stops = rig.kinds().iter().filter(|kind| **kind == "process_stopping").count();
        assert_eq!(stops, 2, "asked once, killed once: {:?}", rig.kinds());
        rig.end().await;
    });
}

#[test]
fn what_a_life_has_left_behind_is_killed_all_the_same() {
    alone(async {
        let mut spec = spec("sh -c 'trap \"\" TERM; echo up; while :; do sleep 1; done' & exit 0");
        spec.restart = Restart::Never;
        spec.stop_timeout = Duration::from_millis(300);
        let mut rig = Rig::start(spec, stdout());
        rig.until(ProcessState::Finished).await;
        rig.until_output(Stream::Stdout, 1, "up\n").await;
        rig.upgrade_at_rest().await;
        rig.handle.send(Command::BeginShutdown);
        rig.upgrade().await;
        rig.handle.stopped().await;
        assert_eq!(rig.output(Stream::Stdout, 1).await, "up\n");
        // It has no one left to answer.
        let (reply, answer) = oneshot::channel();
        let (_thaw, thawed) = oneshot::channel();
        rig.handle.send(Command::Freeze { reply, thaw: thawed });
        assert!(answer.await.is_err());
        assert!(
            rig.position(|notice| matches!(notice, Notice::Ended { finished: true, .. }))
                .is_some()
        );
        drop(rig);
    });
}

#[test]
fn one_that_has_left_its_group_is_still_known() {
    alone(async {
        let mut spec = spec("setsid sh -c 'trap \"\" TERM; while :; do sleep 1; done' >/dev/null & echo $!");
        spec.restart = Restart::Never;
        spec.stop_timeout = Duration::from_millis(200);
        let mut rig = Rig::start(spec, stdout());
        let pid: i32 = rig.output(Stream::Stdout, 1).await.trim().parse().unwrap();
        rig.until(ProcessState::Finished).await;
        let own_group = || getpgid(Some(Pid::from_raw(pid))).is_ok_and(|group| group.as_raw() == pid);
        rig.until_true("in a group of its own", own_group).await;
        rig.handle.send(Command::Orphaned(Orphan::hold(pid).unwrap()));
        rig.upgrade_at_rest().await;
        let before = rig.state().await;
        // It is found again, as everybody is.
        rig.handle.send(Command::Orphaned(Orphan::hold(pid).unwrap()));
        let known = |state: &serde_json::Value| state["remains"]["escaped"].as_array().unwrap().len();
        assert_eq!((known(&before), known(&rig.state().await)), (1, 1));
        let orphan = Orphan::hold(pid).unwrap();
        rig.end().await;
        until("gone", async || !orphan.runs()).await;
    });
}

#[test]
fn output_that_a_grandchild_keeps_is_given_up_in_the_next_life() {
    alone(async {
        let mut spec = spec("sleep 100 & echo early; exit 4");
        spec.restart = Restart::Never;
        spec.stdout = OutputPolicy::Log;
        spec.stop_timeout = Duration::from_millis(300);
        let (mut rig, log) = Rig::logged(spec, Wiring::default());
        rig.until(ProcessState::Finished).await;
        rig.upgrade().await;
        rig.until_event(|detail| matches!(detail, EventDetail::OutputAbandoned { stream, .. } if stream == "stdout"))
            .await;
        assert!(log.text().contains("early"));
        rig.end().await;
    });
}

#[test]
fn its_notify_socket_is_still_heard() {
    alone(async {
        let script = "import os,socket,sys\n\
            s=socket.socket(socket.AF_UNIX,socket.SOCK_DGRAM)\n\
            def say(t): s.sendto(t,'\\0'+os.environ['NOTIFY_SOCKET'][1:])\n\
            say(b'STATUS=before')\n\
            sys.stdin.readline()\n\
            say(b'READY=1')\n\
            sys.stdin.readline()\n\
            say(b'STATUS=after')\n\
            sys.stdin.readline()\n";
        let mut spec = spec("");
        spec.command = ["python3", "-c", script].map(str::to_owned).to_vec();
        spec.ready = Readiness::Notify;
        let mut rig = Rig::start(spec, stdin());
        rig.until_event(|detail| matches!(detail, EventDetail::ProcessStarted { .. }))
            .await;
        let said = || rig.handle.snapshot().status_text.as_deref() == Some("before");
        rig.until_true("before", said).await;
        // What it says meanwhile waits in the socket.
        let (packed, thaw) = rig.freeze().await;
        rig.write(b"\n");
        rig.until_unread(0).await;
        rig.go_on(packed, thaw);
        assert_eq!(rig.handle.snapshot().status_text.as_deref(), Some("before"));
        rig.until(ProcessState::Ready).await;
        rig.upgrade_at_rest().await;
        rig.write(b"\n");
        let said = || rig.handle.snapshot().status_text.as_deref() == Some("after");
        rig.until_true("after", said).await;
        rig.end().await;
    });
}

#[test]
fn its_newline_is_still_heard_and_its_time_to_be_ready_is_kept() {
    alone(async {
        let mut spec = spec("read -r line && echo >&3; exec sleep 100");
        spec.ready = Readiness::Fd(3);
        spec.ready_timeout = Duration::from_millis(500);
        spec.restart = Restart::Never;
        let mut rig = Rig::start(spec, stdin());
        rig.until_event(|detail| matches!(detail, EventDetail::ProcessStarted { .. }))
            .await;
        rig.upgrade_at_rest().await;
        rig.write(b"go\n");
        rig.until(ProcessState::Ready).await;
        assert!(rig.restart().await);
        rig.until_life(2).await;
        rig.upgrade().await;
        rig.until(ProcessState::Finished).await;
        let exit = rig.handle.snapshot().last_exit.unwrap().to_string();
        assert!(exit.starts_with("not ready in time"), "{exit}");
        rig.end().await;
    });
}

#[test]
fn why_it_was_not_executed_is_told_in_the_same_words() {
    alone(async {
        for attempt in 0.. {
            let mut spec = spec("");
            spec.command = vec!["no-such-program".to_owned()];
            spec.environment = vec![("PATH".to_owned(), "/no/such/directory".to_owned())];
            let mut rig = Rig::start(spec, both());
            // It is forked and does not wait for the other end to read what it says.
            let (packed, thaw) = rig.freeze().await;
            let unsaid = !packed.state["life"]["status"].is_null();
            rig.go_on(packed, thaw);
            rig.until(ProcessState::Failed).await;
            let text = rig.handle.snapshot().status_text.unwrap();
            assert!(text.contains("no such program in PATH (/no/such/directory)"), "{text}");
            assert_eq!(rig.kinds(), ["process_failed"]);
            rig.end().await;
            if unsaid {
                break;
            }
            assert!(attempt < 100, "it had always said why already");
        }
    });
}

#[test]
fn one_whose_user_is_looked_up_starts() {
    alone(async {
        for attempt in 0.. {
            let mut spec = spec("echo up; exec sleep 100");
            spec.user = Some(nix::unistd::geteuid().to_string());
            let mut rig = Rig::start(spec, both());
            let (packed, thaw) = rig.freeze().await;
            let unborn = packed.state["life"].is_null();
            rig.go_on(packed, thaw);
            rig.until(ProcessState::Ready).await;
            rig.until_output(Stream::Stdout, 1, "up\n").await;
            assert_eq!((rig.lent(Stream::Stdin), rig.handle.snapshot().restarts), (1, 0));
            rig.end().await;
            if unborn {
                break;
            }
            assert!(attempt < 100, "it was always found already");
        }
    });
}

#[test]
fn one_that_waits_and_one_that_was_never_started() {
    alone(async {
        let mut down = spec("exec sleep 100");
        down.autostart = false;
        let mut rig = Rig::start(down, both());
        rig.upgrade_at_rest().await;
        assert_eq!(rig.handle.state(), ProcessState::Stopped);
        rig.end().await;

        let waits = Wiring { waits: true, ..both() };
        let mut rig = Rig::start(spec("exec sleep 100"), waits);
        rig.upgrade_at_rest().await;
        assert_eq!(rig.handle.state(), ProcessState::Waiting);
        rig.handle.send(Command::Proceed);
        rig.until(ProcessState::Ready).await;
        rig.end().await;
    });
}

#[test]
fn a_life_keeps_the_watchdog_that_it_was_begun_with() {
    alone(async {
        let mut rig = Rig::start(spec("exec sleep 100"), stdin());
        rig.until(ProcessState::Ready).await;
        rig.spec.watchdog = Some(Duration::from_secs(1));
        let (spec, wiring) = (Arc::new(rig.spec.clone()), stdin());
        rig.handle.send(Command::Respec { spec, wiring });
        rig.upgrade_at_rest().await;
        assert!(rig.state().await["watchdog"].is_object());
        assert!(rig.restart().await);
        rig.until_life(2).await;
        assert!(rig.state().await["watchdog"].is_null());
        rig.end().await;
    });
}

#[test]
fn an_output_that_a_route_takes_meanwhile_is_lent_in_the_next_life() {
    alone(async {
        let mut logged = spec("echo early; read -r line; echo late; exec sleep 100");
        logged.stdout = OutputPolicy::Log;
        let (mut rig, log) = Rig::logged(logged, stdin());
        rig.until_true("logged", || log.text().contains("early")).await;
        // The reader may or may not have given it up when it comes to rest.
        let (spec, wiring) = (Arc::new(rig.spec.clone()), both());
        rig.handle.send(Command::Respec { spec, wiring });
        rig.wiring = both();
        rig.upgrade().await;
        rig.write(b"\n");
        rig.until_output(Stream::Stdout, 1, "late\n").await;
        rig.end().await;
    });
}

#[test]
fn what_is_not_whole_is_refused_and_leaves_nothing() {
    alone(async {
        let mut rig = Rig::start(spec("exec sleep 100"), both());
        rig.until(ProcessState::Ready).await;
        let (mut packed, thaw) = rig.freeze().await;
        packed.state["life"] = serde_json::Value::Null;
        let error = rig.restore(packed, usize::MAX).unwrap_err();
        assert!(error.to_string().contains("two things"), "{error}");
        thaw.send(()).unwrap();
        // The first is that of the child, which is taken for its own and ended.
        let (packed, _thaw) = rig.freeze().await;
        let pid = rig.handle.snapshot().pid.unwrap();
        let error = rig.restore(packed, 1).unwrap_err();
        assert!(error.to_string().contains("did not come with it"), "{error}");
        assert_eq!(sys::state(pid), None);
    });
}
