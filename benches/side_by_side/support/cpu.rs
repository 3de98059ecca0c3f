//! CPU time of one process.

use std::fs;
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};

use super::clock::{Deadline, pause};

/// So long without running means that it waits for something.
const ASLEEP: Duration = Duration::from_millis(30);

/// Nanoseconds of all threads that it has, exact. proc_pid_schedstat(5)
pub fn of(process: u32) -> u64 {
    let tasks = fs::read_dir(format!("/proc/{process}/task"))
        .into_iter()
        .flatten()
        .flatten();
    tasks
        .filter_map(|task| {
            let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
            text.split_whitespace().next()?.parse::<u64>().ok()
        })
        .sum()
}

/// Seconds of a process that has ended and was not waited for, without its children; in ticks of the kernel's.
pub fn of_zombie(process: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: u64 = fields
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    let hertz = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK)
        .ok()
        .flatten()
        .unwrap_or(100);
    ticks as f64 / hertz as f64
}

/// Whether it has ended and was not waited for.
pub fn is_zombie(process: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.rsplit(')')
        .next()
        .is_some_and(|rest| rest.trim_start().starts_with('Z'))
}

/// Seconds of all children that were waited for.
pub fn of_reaped() -> f64 {
    getrusage(UsageWho::RUSAGE_CHILDREN).map_or(0.0, |usage| {
        [usage.user_time(), usage.system_time()]
            .iter()
            .map(|time| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6)
            .sum()
    })
}

/// Waits until a process that was started has done its preparations and sleeps; a few seconds at most.
pub fn settle(process: u32) {
    let deadline = Deadline::within(Duration::from_secs(5));
    let mut before = of(process);
    loop {
        pause(ASLEEP);
        let now = of(process);
        if now == before || deadline.passed() {
            return;
        }
        before = now;
    }
}
