//! One child by its pidfd: signals that cannot reach another process, and its exit, taken exactly once.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;

use super::group;
use crate::model::Exit;

/// How long dropping a child that still runs waits for its SIGKILL to take effect.
const LAST_WAIT_MS: u16 = 1000;

/// A child, and after its exit what is left of its process group. The pidfd names both without the danger that the
/// kernel has given the number to somebody else. Dropping one that was not reaped kills its group and reaps it (waiting
/// for at most a second), so that no way out of the program leaves a zombie or a process without supervisor.
pub struct Child {
    pid: i32,
    pidfd: OwnedFd,
    reaped: bool,
}

impl Child {
    /// Takes a child that was forked and not yet waited for; its number is therefore still its own.
    pub(super) fn adopt(pid: i32) -> Result<Child, Errno> {
        // SAFETY: pidfd_open touches no memory.
        let result = Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })?;
        let number = i32::try_from(result).map_err(|_| Errno::EBADF)?;
        // SAFETY: the kernel has just made this descriptor (close-on-exec) for us, and nothing else owns it.
        let pidfd = unsafe { OwnedFd::from_raw_fd(number) };
        supervised().insert(pid);
        Ok(Child {
            pid,
            pidfd,
            reaped: false,
        })
    }

    /// Takes a child back after an execve(2) of this program, over which children and pidfds stay: what [`Child::pid`] and
    /// its descriptor were, and whether it was reaped.
    #[must_use]
    pub fn again(pid: i32, pidfd: OwnedFd, reaped: bool) -> Child {
        if !reaped {
            supervised().insert(pid);
        }
        Child { pid, pidfd, reaped }
    }

    /// Its process id, which is its group's number too. After the reap only a name.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Takes its exit, when it has one. Once: afterwards `None`.
    pub fn try_reap(&mut self) -> io::Result<Option<Exit>> {
        if self.reaped {
            return Ok(None);
        }
        let exit = match wait(self.pidfd.as_fd(), libc::WNOHANG) {
            Ok(None) | Err(Errno::EINTR) => return Ok(None),
            Ok(Some(exit)) => Ok(Some(exit)),
            Err(errno) => Err(errno.into()),
        };
        self.reaped = true;
        supervised().remove(&self.pid);
        exit
    }

    /// Sends a signal to the child alone. ESRCH once it is reaped.
    pub fn signal(&self, number: i32) -> Result<(), Errno> {
        group::send(self.pidfd.as_fd(), number, 0)
    }

    /// Sends a signal to its process group, whether or not the child itself still lives. ESRCH when the group is empty.
    pub fn signal_group(&self, number: i32) -> Result<(), Errno> {
        group::signal(self.pidfd.as_fd(), self.pid, self.reaped, number)
    }

    /// Whether anybody is in its group, be it a zombie. Cheap, where [`super::group_members`] looks at every process.
    #[must_use]
    pub fn group_is_there(&self) -> bool {
        self.signal_group(0) != Err(Errno::ESRCH)
    }
}

impl AsFd for Child {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

impl AsRawFd for Child {
    fn as_raw_fd(&self) -> RawFd {
        self.pidfd.as_raw_fd()
    }
}

impl fmt::Debug for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Child({}, reaped: {})", self.pid, self.reaped)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.reaped {
            return;
        }
        let _ = self.signal_group(libc::SIGKILL);
        let _ = self.signal(libc::SIGKILL);
        let mut ended = [PollFd::new(self.pidfd.as_fd(), PollFlags::POLLIN)];
        let _ = poll(&mut ended, PollTimeout::from(LAST_WAIT_MS));
        let _ = wait(self.pidfd.as_fd(), libc::WNOHANG);
        supervised().remove(&self.pid);
    }
}

/// The children for which there is a [`Child`] that has not reaped them.
static SUPERVISED: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

fn supervised() -> MutexGuard<'static, BTreeSet<i32>> {
    SUPERVISED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a [`Child`] is there to reap it: it is no orphan.
#[must_use]
pub fn is_supervised(pid: i32) -> bool {
    supervised().contains(&pid)
}

/// waitid(2) on one pidfd. Never on "any child": that would take the exits of others.
fn wait(pidfd: BorrowedFd<'_>, flags: i32) -> Result<Option<Exit>, Errno> {
    // SAFETY: all zeros is a value of this plain C struct, and what waitid(2) leaves when nothing has exited.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let number = pidfd.as_raw_fd().cast_unsigned();
    // SAFETY: info is a live siginfo_t.
    let result = unsafe { libc::waitid(libc::P_PIDFD, number, &raw mut info, libc::WEXITED | flags) };
    Errno::result(result)?;
    // SAFETY: waitid(2) has filled in the fields of SIGCHLD, or the struct is still zeroed.
    if unsafe { info.si_pid() } == 0 {
        return Ok(None);
    }
    // SAFETY: as above.
    let status = unsafe { info.si_status() };
    Ok(Some(match info.si_code {
        libc::CLD_EXITED => Exit::Code(status),
        code => Exit::Signal {
            name: signal_name(status),
            core_dumped: code == libc::CLD_DUMPED,
        },
    }))
}

/// A signal's name, `SIGTERM` or `SIGRTMIN+3`; `signal 99` for a number that has none.
#[must_use]
pub fn signal_name(number: i32) -> String {
    if let Ok(signal) = Signal::try_from(number) {
        return signal.as_str().to_owned();
    }
    let first = libc::SIGRTMIN();
    match number - first {
        0 => "SIGRTMIN".to_owned(),
        offset if offset > 0 && number <= libc::SIGRTMAX() => format!("SIGRTMIN+{offset}"),
        _ => format!("signal {number}"),
    }
}
