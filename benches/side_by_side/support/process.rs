//! A process that a sample started: ended, by its id, at the latest when the sample is over.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::clock::{Deadline, pause};

/// How long one that was asked to end may take.
const GRACE: Duration = Duration::from_secs(5);

/// A child of this program. When it is dropped, it and what is below it are ended.
#[derive(Debug)]
pub struct Guard {
    name: String,
    child: Child,
    ended: bool,
}

impl Guard {
    /// Starts it.
    pub fn start(command: &mut Command) -> Result<Guard, String> {
        let name = command.get_program().to_string_lossy().into_owned();
        let child = command
            .spawn()
            .map_err(|error| format!("cannot start {name}: {error}"))?;
        Ok(Guard {
            name,
            child,
            ended: false,
        })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for an end that comes by itself; an error where it does not come in time, or is a failure.
    pub fn await_success(&mut self, within: Duration) -> Result<(), String> {
        let deadline = Deadline::within(within);
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => {
                    self.ended = true;
                    return if status.success() {
                        Ok(())
                    } else {
                        Err(format!("{} ended with {status}", self.name))
                    };
                }
                Ok(None) if deadline.passed() => return Err(format!("{} does not end", self.name)),
                Ok(None) => pause(Duration::from_millis(1)),
                Err(error) => return Err(format!("cannot wait for {}: {error}", self.name)),
            }
        }
    }

    /// What has become of it, if it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.ended || self.child.try_wait().is_ok_and(|status| status.is_some())
    }

    fn end(&mut self) -> io::Result<()> {
        if self.child.try_wait()?.is_some() {
            return Ok(());
        }
        let below = descendants(self.pid());
        let _ = kill(pid(self.pid()), Signal::SIGTERM);
        let deadline = Deadline::within(GRACE);
        let mut over = false;
        while !over && !deadline.passed() {
            over = self.child.try_wait()?.is_some();
            if !over {
                pause(Duration::from_millis(1));
            }
        }
        if !over {
            self.child.kill()?;
            self.child.wait()?;
        }
        // Whoever was below it and is still there, as the process that it was. A number may be somebody else's by now.
        for (below, began) in below {
            if started_at(below) == Some(began) {
                let _ = kill(pid(below), Signal::SIGKILL);
            }
        }
        Ok(())
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if !self.ended
            && let Err(error) = self.end()
        {
            eprintln!("side_by_side: cannot end {} ({}): {error}", self.name, self.pid());
        }
    }
}

/// A command without input and output of its own: quiet, and not reading this program's terminal.
pub fn quiet(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn pid(number: u32) -> Pid {
    Pid::from_raw(i32::try_from(number).unwrap_or(i32::MAX))
}

/// Of /proc/PID/stat: the parent and the start time. proc_pid_stat(5)
fn parent_and_start(process: u32) -> Option<(u32, u64)> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
    Some((fields.get(1)?.parse().ok()?, fields.get(19)?.parse().ok()?))
}

fn started_at(process: u32) -> Option<u64> {
    parent_and_start(process).map(|(_, began)| began)
}

fn descendants(of: u32) -> Vec<(u32, u64)> {
    let mut parents: BTreeMap<u32, Vec<(u32, u64)>> = BTreeMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(process) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        if let Some((parent, began)) = parent_and_start(process) {
            parents.entry(parent).or_default().push((process, began));
        }
    }
    let mut found = Vec::new();
    let mut open = vec![of];
    while let Some(parent) = open.pop() {
        for child in parents.get(&parent).into_iter().flatten() {
            found.push(*child);
            open.push(child.0);
        }
    }
    found
}
