//! What /proc tells about the daemon from outside.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::clock;

/// The daemon's process, looked at from outside.
#[derive(Clone, Copy, Debug)]
pub struct Probe {
    pid: i32,
}

impl Probe {
    /// Of this process.
    pub fn new(pid: i32) -> Probe {
        Probe { pid }
    }

    fn proc(self, name: &str) -> PathBuf {
        format!("/proc/{}/{name}", self.pid).into()
    }

    /// CPU time (user and system) of all its threads: schedstat's nanoseconds, else stat's ticks.
    pub fn cpu_time(self) -> Duration {
        self.cpu_time_by_thread().unwrap_or_else(|| self.cpu_time_by_ticks())
    }

    fn cpu_time_by_thread(self) -> Option<Duration> {
        let mut nanos = 0;
        for task in std::fs::read_dir(self.proc("task")).ok()? {
            let text = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
            nanos += text.split_whitespace().next()?.parse::<u64>().ok()?;
        }
        (nanos > 0).then(|| Duration::from_nanos(nanos))
    }

    fn cpu_time_by_ticks(self) -> Duration {
        let fields = stat_fields(self.pid).unwrap_or_default();
        let ticks = |index: usize| {
            fields
                .get(index)
                .and_then(|field| field.parse::<u64>().ok())
                .unwrap_or(0)
        };
        let per_second = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK)
            .ok()
            .flatten()
            .unwrap_or(100);
        Duration::from_millis((ticks(11) + ticks(12)) * 1000 / per_second.unsigned_abs())
    }

    /// The share of one core that it uses over a window in which the story leaves it alone.
    ///
    /// The one measurement for which time has to pass; it is the daemon's own CPU time, so a busy machine only makes
    /// it smaller.
    pub fn cpu_share_over(self, window: Duration) -> f64 {
        let before = self.cpu_time();
        clock::let_pass(window);
        let used = self.cpu_time().saturating_sub(before);
        used.as_secs_f64() / window.as_secs_f64()
    }

    /// Its resident memory in bytes (VmRSS); 0 when it has gone.
    pub fn resident(self) -> u64 {
        let text = std::fs::read_to_string(self.proc("status")).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        kib.unwrap_or(0) * 1024
    }

    /// Its open descriptors and what they are.
    pub fn descriptors(self) -> BTreeMap<i32, String> {
        let Ok(entries) = std::fs::read_dir(self.proc("fd")) else {
            return BTreeMap::new();
        };
        let described = entries.flatten().filter_map(|entry| {
            let number = entry.file_name().to_str()?.parse().ok()?;
            let target = std::fs::read_link(entry.path()).ok()?;
            Some((number, target.display().to_string()))
        });
        described.collect()
    }

    /// How many threads it has.
    pub fn threads(self) -> usize {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.pid));
        tasks.map_or(0, Iterator::count)
    }

    /// Its children, by their parent's id, with their state letter (`Z` for a zombie).
    pub fn children(self) -> Vec<(i32, char)> {
        children_of(self.pid)
    }
}

/// All processes whose parent is `pid`, with their state letter.
pub fn children_of(pid: i32) -> Vec<(i32, char)> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    let children = entries.flatten().filter_map(|entry| {
        let child: i32 = entry.file_name().to_str()?.parse().ok()?;
        let fields = stat_fields(child)?;
        let is_child = fields.get(1)?.parse::<i32>().ok()? == pid;
        is_child.then(|| (child, fields[0].chars().next().unwrap_or('?')))
    });
    children.collect()
}

/// All processes beneath `pid`, whatever is between.
pub fn beneath(pid: i32) -> Vec<i32> {
    let mut found: Vec<i32> = children_of(pid).into_iter().map(|(child, _)| child).collect();
    let deeper: Vec<i32> = found.iter().flat_map(|child| beneath(*child)).collect();
    found.extend(deeper);
    found
}

/// The process group of a process.
pub fn group_of(pid: i32) -> Option<i32> {
    stat_fields(pid)?.get(2)?.parse().ok()
}

/// What /proc/PID/stat says after the command's name: state, parent, group … (proc_pid_stat(5), from field 3 on).
fn stat_fields(pid: i32) -> Option<Vec<String>> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let after_name = &text[text.rfind(')')? + 1..];
    Some(after_name.split_whitespace().map(str::to_owned).collect())
}
