//! Process groups. A group outlives its leader, and the kernel keeps its number from being used again only while it has
//! a member: so it is named by the leader's pidfd where the kernel can do that (Linux 6.9), which also holds after the
//! leader was reaped.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::{fs, ptr};

use nix::errno::Errno;
use nix::libc;

use super::stat;

/// linux/pidfd.h, since 6.9.
const PIDFD_SIGNAL_PROCESS_GROUP: u32 = 1 << 2;

/// pidfd_send_signal(2).
pub(super) fn send(pidfd: BorrowedFd<'_>, number: i32, flags: u32) -> Result<(), Errno> {
    let no_info = ptr::null::<libc::siginfo_t>();
    let pidfd = pidfd.as_raw_fd();
    // SAFETY: the kernel makes the siginfo itself when it is given a null pointer.
    let result = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd, number, no_info, flags) };
    Errno::result(result).map(drop)
}

/// Signals the group of the child with this pidfd and number.
pub(super) fn signal(pidfd: BorrowedFd<'_>, pgid: i32, leader_reaped: bool, number: i32) -> Result<(), Errno> {
    match send(pidfd, number, PIDFD_SIGNAL_PROCESS_GROUP) {
        Err(Errno::EINVAL | Errno::ENOSYS) => signal_by_number(pgid, leader_reaped, number),
        other => other,
    }
}

/// For older kernels. While the leader is not reaped its number is its own. Later the number cannot be given to a new
/// process as long as the group has a member: when there is a process of that number, the group has gone.
pub(super) fn signal_by_number(pgid: i32, leader_reaped: bool, number: i32) -> Result<(), Errno> {
    // -1 and 0 mean everybody and ourselves (kill(2)).
    if pgid <= 1 || (leader_reaped && kill(pgid, 0) != Err(Errno::ESRCH)) {
        return Err(Errno::ESRCH);
    }
    kill(-pgid, number)
}

fn kill(target: i32, number: i32) -> Result<(), Errno> {
    // SAFETY: kill touches no memory.
    Errno::result(unsafe { libc::kill(target, number) }).map(drop)
}

/// The running processes of these groups, each with its group. `None` without /proc. Looks at every process of the
/// system, once, however many groups there are: for the rare case that somebody has outlived a leader.
#[must_use]
pub fn group_members(groups: &[i32]) -> Option<Vec<Member>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        // A process may go between the two reads.
        let Ok(stat) = fs::read(format!("/proc/{pid}/stat")) else {
            continue;
        };
        if let Some(group) = runs_in(&stat)
            && groups.contains(&group)
        {
            found.push(Member { group, pid });
        }
    }
    Some(found)
}

/// A running process of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// The group's number: its leader's process id.
    pub group: i32,
    pid: i32,
}

impl Member {
    /// Whether it has the pipe with this inode open, as far as /proc lets us see. Reads links only, which never waits
    /// for a file system.
    #[must_use]
    pub fn holds(self, pipe: u64) -> bool {
        holds(self.pid, pipe)
    }
}

/// The same of any process.
#[must_use]
pub fn holds(pid: i32, pipe: u64) -> bool {
    let wanted = format!("pipe:[{pipe}]");
    let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return false;
    };
    descriptors
        .flatten()
        .any(|entry| fs::read_link(entry.path()).is_ok_and(|link| link.as_os_str() == wanted.as_str()))
}

/// A pidfd of any process.
#[must_use]
pub fn hold(pid: i32) -> Option<OwnedFd> {
    // SAFETY: pidfd_open touches no memory.
    let result = Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) }).ok()?;
    let number = i32::try_from(result).ok()?;
    // SAFETY: the kernel has just made this descriptor (close-on-exec) for us, and nothing else owns it.
    Some(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Sends a signal to the process that a pidfd holds.
pub fn signal_held(pidfd: BorrowedFd<'_>, number: i32) -> Result<(), Errno> {
    send(pidfd, number, 0)
}

/// The group of a process, unless it is a zombie (which an init may leave for long). proc_pid_stat(5):
/// `pid (any name) state ppid pgrp …`.
fn runs_in(stat: &[u8]) -> Option<i32> {
    let mut fields = stat::fields(stat);
    match fields.next()? {
        "Z" | "X" => None,
        _ => fields.nth(1)?.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::runs_in;

    #[test]
    fn a_name_may_hold_anything() {
        assert_eq!(runs_in(b"7 (a) R 1 (b) S 1 42 42 0"), Some(42));
        assert_eq!(runs_in(b"7 (\xff) S 1 43 42 0"), Some(43));
        assert_eq!(runs_in(b"7 (x) Z 1 42 42 0"), None);
        assert_eq!(runs_in(b"garbage"), None);
        assert_eq!(runs_in(b"7 (x)"), None);
    }
}
