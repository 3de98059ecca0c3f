//! The warden: a small parent between the story and its daemon, so that every orphan is found.
//!
//! It is a child subreaper (prctl(2)): whatever the daemon leaves behind when it exits becomes the warden's child, even
//! what was forked twice, and is reported and killed. When its stdin ends (the story is over, or the whole test run was
//! killed) it kills the daemon and everything beneath it, by id.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getpid};

use super::{Deadline, probe};

/// The first argument that makes the test executable a warden.
pub const PART: &str = "@warden";

/// How long a grandchild that was sent SIGKILL may take to vanish. The daemon's own children get no grace: it reaps them.
const GRACE: Duration = Duration::from_secs(5);

/// How the daemon ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// `code 0`, `signal SIGKILL` …
    pub status: String,
    /// Processes that it left behind, described.
    pub left: Vec<String>,
}

/// A warden, seen from the story.
pub struct Warden {
    process: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    pid: i32,
    status: Option<String>,
    left: Vec<String>,
    done: bool,
}

impl Warden {
    /// Starts `command` (the daemon, or strace around it) under a warden, with its output appended to `log`.
    pub fn start(log: &Path, command: &[String], environment: &[(String, String)]) -> Warden {
        let exe = std::env::current_exe().expect("the path of this executable");
        let mut warden = Command::new(exe);
        warden
            .arg(PART)
            .arg(log)
            .args(command)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        for name in [
            "NOTIFY_SOCKET",
            "LISTEN_FDS",
            "LISTEN_PID",
            "LISTEN_FDNAMES",
            "FDSTORE",
            "JOURNAL_STREAM",
            "SLUICED_SOCKET",
        ] {
            warden.env_remove(name);
        }
        warden.envs(environment.iter().map(|(name, value)| (name, value)));
        let mut process = warden.spawn().expect("a warden");
        let stdin = process.stdin.take();
        let stdout = process.stdout.take().expect("the warden's piped stdout");
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let first = lines.recv_timeout(super::PATIENCE).expect("the warden's first line");
        let pid = first.strip_prefix("pid ").and_then(|pid| pid.parse().ok());
        Warden {
            process,
            stdin,
            lines,
            pid: pid.unwrap_or_else(|| panic!("the warden could not start the daemon: {first}")),
            status: None,
            left: Vec::new(),
            done: false,
        }
    }

    /// The id of what it started.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// SIGKILL to everything beneath it, by id.
    pub fn kill_beneath(&self) {
        for pid in probe::beneath(self.process.id().cast_signed()) {
            // Gone by itself: as well.
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }

    /// How the daemon ended, if it has by the deadline.
    pub fn ending(&mut self, deadline: &Deadline) -> Option<Ending> {
        while !self.done {
            match self.lines.recv_timeout(deadline.left()) {
                Ok(line) => self.take(&line),
                Err(RecvTimeoutError::Timeout) => return None,
                Err(RecvTimeoutError::Disconnected) => panic!("the warden has died"),
            }
        }
        Some(Ending {
            status: self.status.clone().unwrap_or_default(),
            left: self.left.clone(),
        })
    }

    fn take(&mut self, line: &str) {
        match line.split_once(' ') {
            Some(("ended", how)) => self.status = Some(how.to_owned()),
            Some(("left", what)) => self.left.push(what.to_owned()),
            _ if line == "done" => self.done = true,
            _ => panic!("the warden says {line:?}"),
        }
    }
}

impl Drop for Warden {
    fn drop(&mut self) {
        drop(self.stdin.take());
        // It ends by itself: everything beneath it gets SIGKILL.
        let _ = self.process.wait();
    }
}

/// The warden's own main.
pub fn play(arguments: &[String]) -> ExitCode {
    let [log, command @ ..] = arguments else {
        return ExitCode::from(2);
    };
    match watch(log, command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("cannot {command:?}: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// To the story; where the whole test run was killed nobody hears it, and there is still to be cleared up.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn watch(log: &str, command: &[String]) -> std::io::Result<()> {
    nix::sys::prctl::set_child_subreaper(true)?;
    let log = OpenOptions::new().create(true).append(true).open(log)?;
    let (program, arguments) = command.split_first().ok_or(Errno::EINVAL)?;
    let mut daemon = Command::new(program);
    daemon
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log);
    let daemon = daemon.spawn()?;
    let daemon = Pid::from_raw(daemon.id().cast_signed());
    say(&format!("pid {daemon}"));
    let abandoned = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&abandoned);
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        told.store(true, Ordering::SeqCst);
        // Not reaped yet, or gone: the main thread ends the process as soon as nothing is left.
        let _ = kill(daemon, Signal::SIGKILL);
    });
    let status = wait_for(daemon)?;
    let unreaped = direct_children();
    say(&format!("ended {status}"));
    for left in unreaped {
        say(&format!("left {left}: the daemon exited before it had reaped it"));
    }
    clear(&abandoned);
    say("done");
    Ok(())
}

/// Waits for one child, reaping the orphans that come by meanwhile as init would.
fn wait_for(daemon: Pid) -> nix::Result<String> {
    loop {
        match waitpid(None, None) {
            Ok(WaitStatus::Exited(pid, code)) if pid == daemon => return Ok(format!("code {code}")),
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == daemon => return Ok(format!("signal {signal}")),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// Orphans that lead a process group: the daemon's own children, which it has to reap before it exits.
fn direct_children() -> Vec<String> {
    let orphans = probe::children_of(getpid().as_raw()).into_iter();
    let leaders = orphans.filter(|(pid, _)| probe::group_of(*pid) == Some(*pid));
    leaders.map(|(pid, state)| describe(pid, state)).collect()
}

fn describe(pid: i32, state: char) -> String {
    let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let command = String::from_utf8_lossy(&command).replace('\0', " ");
    format!("{pid} [{state}] {command}")
}

/// Waits until no orphan is left; after the grace, and at once when the story is over, it kills and reports them.
fn clear(abandoned: &AtomicBool) {
    let grace = Deadline::within(GRACE);
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Err(Errno::ECHILD) => return,
            Ok(WaitStatus::StillAlive) => {
                if grace.passed() || abandoned.load(Ordering::SeqCst) {
                    for (pid, state) in probe::children_of(getpid().as_raw()) {
                        if state != 'Z' {
                            say(&format!("left {}", describe(pid, state)));
                            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
                        }
                    }
                }
                super::pause_briefly();
            }
            _ => {}
        }
    }
}
