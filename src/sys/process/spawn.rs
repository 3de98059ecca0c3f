//! The parent's half of making a child.

use std::ffi::{CString, c_char};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Once;
use std::{fmt, ptr};

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::{SigSet, SigmaskHow};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, send, socketpair};
use nix::unistd::{Pid, setpgid};

use super::child::{self, ENDS, Orders, PID_DIGITS, Standing};
use super::{Child, Plan};
use crate::sys::cgroup::Leaf;

/// Why there is no child. All of these can pass by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpawnError {
    /// fork(2).
    #[error("cannot fork: {}{}", .0.desc(), fork_hint(*.0))]
    Fork(#[source] Errno),
    /// socketpair(2).
    #[error("cannot make the socket by which a new child reports: {}", .0.desc())]
    Status(#[source] Errno),
    /// pidfd_open(2).
    #[error("cannot open a pidfd for a new child: {}", .0.desc())]
    Pidfd(#[source] Errno),
    /// sigprocmask(2) or getrlimit(2).
    #[error("cannot prepare a fork: {}", .0.desc())]
    Prepare(#[source] Errno),
}

fn fork_hint(errno: Errno) -> &'static str {
    match errno {
        Errno::EAGAIN => {
            "; the limit of processes is reached (ulimit -u, systemd's TasksMax, or the cgroup's pids.max): raise it or \
             run less"
        }
        Errno::ENOMEM => "; free some memory, or allow overcommit (vm.overcommit_memory)",
        _ => "",
    }
}

/// A child that has been forked and waits at the gate.
pub struct Held {
    child: Child,
    status: OwnedFd,
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Held({:?})", self.child)
    }
}

impl Held {
    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.child.pid()
    }

    /// The child and the socket on which it reports ([`super::read_status`]), still to be released.
    #[must_use]
    pub fn into_parts(self) -> (Child, OwnedFd) {
        (self.child, self.status)
    }

    /// Opens the gate by the status socket of [`Held::into_parts`].
    pub fn release(status: BorrowedFd<'_>) {
        // A child that was killed at the gate is no error here: its exit will tell.
        let _ = send(
            status.as_raw_fd(),
            &[1],
            MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT,
        );
    }
}

/// Forks a child that will get `ends` as descriptors of the given numbers (0 … 9, each once, with 0, 1 and 2 among
/// them) and nothing else. Its process group exists when this returns.
pub fn spawn(plan: &Plan, ends: &[(i32, BorrowedFd<'_>)]) -> Result<Held, SpawnError> {
    heed_exits();
    let (status, childs_status) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
        .map_err(SpawnError::Status)?;
    let candidates: Vec<_> = plan.attempt.candidates.iter().map(|path| path.as_ptr()).collect();
    let arguments = pointers(&plan.arguments);
    let mut own_pid = plan.own_pid.map(|variable| {
        let mut text = format!("{variable}=").into_bytes();
        let digits = text.len();
        text.resize(digits + PID_DIGITS + 1, 0);
        (text, digits)
    });
    let mut environment = pointers(&plan.environment);
    let mut own_digits = ptr::null_mut();
    if let Some((text, digits)) = &mut own_pid {
        let start = text.as_mut_ptr();
        own_digits = start.wrapping_add(*digits);
        environment.insert(0, start.cast_const().cast());
    }
    let ends: Vec<_> = ends
        .iter()
        .take(ENDS)
        .map(|(number, end)| (*number, end.as_raw_fd()))
        .collect();
    let wanted = &plan.attempt.standing;
    let limits = wanted.limits().map_err(SpawnError::Prepare)?;
    let standing = Standing {
        limits: &limits,
        nice: wanted.nice,
        umask: wanted.umask,
        groups: wanted.identity.groups.as_deref(),
        groups_are_held: wanted.groups_are_held(),
        gid: wanted.identity.gid,
        uid: wanted.identity.uid,
        no_new_privileges: wanted.no_new_privileges,
    };
    let orders = Orders {
        candidates: &candidates,
        arguments: &arguments,
        environment: &environment,
        directory: plan.attempt.directory(),
        standing,
        ends: &ends,
        status: childs_status.as_raw_fd(),
        own_pid: own_digits,
    };
    let pid = fork(&orders, plan.cgroup.as_deref())?;
    // EACCES: it has executed already, which it cannot; ESRCH: it was killed. It has done the same for itself.
    let _ = setpgid(Pid::from_raw(pid), Pid::from_raw(pid));
    match Child::adopt(pid) {
        Ok(child) => Ok(Held { child, status }),
        Err(errno) => {
            drop(status);
            abandon(pid);
            Err(SpawnError::Pidfd(errno))
        }
    }
}

/// The pointers, and a null pointer behind them, as execve(2) wants it.
fn pointers(texts: &[CString]) -> Vec<*const c_char> {
    texts.iter().map(|text| text.as_ptr()).chain([ptr::null()]).collect()
}

fn fork(orders: &Orders<'_>, cgroup: Option<&Leaf>) -> Result<i32, SpawnError> {
    // Until the child has put its dispositions right, a signal would run the daemon's handlers in it, and these write
    // into pipes that it shares with the daemon.
    let mask = SigSet::all()
        .thread_swap_mask(SigmaskHow::SIG_SETMASK)
        .map_err(SpawnError::Prepare)?;
    let mut result = match cgroup {
        Some(cgroup) => fork_into(cgroup),
        None => Err(Errno::ENOSYS),
    };
    // No clone3(2), or it is not allowed (systemd's RestrictNamespaces=), or not into that cgroup: it can go there itself.
    let refused = !matches!(result, Ok(_) | Err(Errno::EAGAIN | Errno::ENOMEM));
    if refused {
        // SAFETY: the child calls nothing but async-signal-safe functions, on memory that is ready, and never returns.
        result = Errno::result(unsafe { libc::fork() });
    }
    if result == Ok(0) {
        if let Some(cgroup) = cgroup.filter(|_| refused) {
            cgroup.enter();
        }
        child::run(orders);
    }
    let _ = mask.thread_set_mask();
    result.map_err(SpawnError::Fork)
}

/// linux/sched.h, since 5.7; the C library's crate has it in too narrow a type.
const CLONE_INTO_CGROUP: u64 = 1 << 33;

/// fork(2), into a cgroup: to move a child later would hold the daemon up for some milliseconds.
fn fork_into(cgroup: &Leaf) -> Result<i32, Errno> {
    let length = size_of::<libc::clone_args>();
    // SAFETY: zeros are a valid clone_args: nothing shared, no stack of its own.
    let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
    arguments.flags = CLONE_INTO_CGROUP;
    arguments.exit_signal = libc::SIGCHLD.cast_unsigned().into();
    arguments.cgroup = cgroup.as_raw_fd().cast_unsigned().into();
    // SAFETY: as for fork(2), whose handlers are not run: the child neither allocates nor locks nor starts a thread.
    let result = unsafe { libc::syscall(libc::SYS_clone3, &raw mut arguments, length) };
    Errno::result(result).map(|pid| i32::try_from(pid).unwrap_or_default())
}

/// Ends a child at the gate for which there is no pidfd. It has not run anything, so this takes no time.
fn abandon(pid: i32) {
    // SAFETY: kill touches no memory; the child is not reaped, so the number is its own.
    unsafe { libc::kill(pid, libc::SIGKILL) };
    let pid = Pid::from_raw(pid);
    while nix::sys::wait::waitpid(pid, None) == Err(Errno::EINTR) {}
}

/// With SIGCHLD ignored, which a careless parent hands down, the kernel throws exits away (sigaction(2)).
fn heed_exits() {
    static HEED: Once = Once::new();
    HEED.call_once(|| {
        // SAFETY: zeros are a valid sigaction: SIG_DFL, no flags, empty mask.
        let mut present: libc::sigaction = unsafe { std::mem::zeroed() };
        // SAFETY: present is live; a null new action only asks.
        unsafe { libc::sigaction(libc::SIGCHLD, ptr::null(), &raw mut present) };
        if present.sa_sigaction == libc::SIG_IGN {
            // SAFETY: the default disposition runs no code.
            unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
        }
    });
}
