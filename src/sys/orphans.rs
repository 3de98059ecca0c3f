//! Descendants whose parents have exited come to the nearest subreaper (prctl(2)), and so to this daemon: they are its to
//! reap, and what has left its process group is found among them. Decides nothing.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{Pid, getpgid};

use super::process::{hold, is_supervised, signal_held};

/// From now on orphans come here. Fails, and they are init's as ever, where they could not be told: without `children` in
/// /proc, and where there are children already, of whoever became this program (a shell with jobs).
pub fn adopt() -> io::Result<()> {
    let pid = std::process::id();
    let present = fs::read_to_string(format!("/proc/self/task/{pid}/children"))?;
    if !present.is_empty() {
        let text = format!(
            "it was executed by a program that has children already: {}",
            present.trim_end()
        );
        return Err(io::Error::other(text));
    }
    Ok(nix::sys::prctl::set_child_subreaper(true)?)
}

/// The same after an execve(2) of this program, over which the attribute is kept (prctl(2)): the children that are there
/// are its own. Fails where orphans did not come here before it.
pub fn adopt_again() -> io::Result<()> {
    if nix::sys::prctl::get_child_subreaper()? {
        return Ok(());
    }
    Err(io::Error::other(
        "they did not come to the daemon before it was upgraded",
    ))
}

/// Reaps the orphans that have exited, without waiting, and tells those that run. Never touches a supervised child. To be
/// called on the thread that forks: a child that is just being forked is not known yet.
#[must_use]
pub fn reap() -> Vec<i32> {
    let Ok(threads) = fs::read_dir("/proc/self/task") else {
        return Vec::new();
    };
    let mut running = Vec::new();
    for thread in threads.flatten() {
        let children = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        let children = children.split_ascii_whitespace().filter_map(|pid| pid.parse().ok());
        running.extend(children.filter(|pid| !is_supervised(*pid) && !reap_one(*pid)));
    }
    running
}

/// Whether it has gone.
fn reap_one(pid: i32) -> bool {
    use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
    // By its own number, which nobody else can have before this.
    match waitpid(Pid::from_raw(pid), Some(WaitPidFlag::WNOHANG)) {
        Ok(WaitStatus::StillAlive) | Err(Errno::EINTR) => false,
        Ok(_) | Err(_) => true,
    }
}

/// A descendant that is nobody's child any more but the daemon's.
#[derive(Debug)]
pub struct Orphan {
    /// Its process id.
    pub pid: i32,
    /// As the kernel knows it: 15 bytes of the program's name.
    pub name: String,
    pidfd: OwnedFd,
}

impl Orphan {
    /// Holds an orphan of [`reap`], before that is called again.
    #[must_use]
    pub fn hold(pid: i32) -> Option<Orphan> {
        let name = fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
        let name = String::from_utf8_lossy(&name).trim_end().escape_debug().to_string();
        let pidfd = hold(pid)?;
        Some(Orphan { pid, name, pidfd })
    }

    /// Takes one back after an execve(2) of this program.
    #[must_use]
    pub fn again(pid: i32, name: String, pidfd: OwnedFd) -> Orphan {
        Orphan { pid, name, pidfd }
    }

    /// Its process group now.
    #[must_use]
    pub fn group(&self) -> Option<i32> {
        let group = getpgid(Some(Pid::from_raw(self.pid))).ok()?;
        self.runs().then_some(group.as_raw())
    }

    /// Whether it has not exited.
    #[must_use]
    pub fn runs(&self) -> bool {
        let mut ended = [PollFd::new(self.pidfd.as_fd(), PollFlags::POLLIN)];
        poll(&mut ended, PollTimeout::ZERO) == Ok(0)
    }

    /// Sends it a signal.
    pub fn signal(&self, number: i32) {
        let _ = signal_held(self.pidfd.as_fd(), number);
    }
}

impl AsFd for Orphan {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

/// SIGKILL to orphans that [`reap`] has just told: their numbers are theirs until they are reaped.
pub fn kill(pid: i32) {
    // SAFETY: kill touches no memory.
    unsafe { libc::kill(pid, libc::SIGKILL) };
}

/// The environment that a process was executed with. May wait for as long as the process likes (its memory is read, and it
/// can have put that on a file system of its own): never on a thread that others wait for.
#[must_use]
pub fn environment(pid: i32) -> Vec<u8> {
    fs::read(format!("/proc/{pid}/environ")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #[test]
    fn orphans_come_again_only_where_they_came_before() {
        let told = super::adopt_again().unwrap_err().to_string();
        assert!(told.contains("before it was upgraded"), "{told}");
        nix::sys::prctl::set_child_subreaper(true).unwrap();
        let again = super::adopt_again();
        nix::sys::prctl::set_child_subreaper(false).unwrap();
        again.unwrap();
    }
}
