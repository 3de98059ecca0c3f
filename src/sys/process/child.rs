//! The code that runs in the child between fork(2) and execve(2). The daemon has other threads, so only
//! async-signal-safe calls are allowed here (signal-safety(7)): no allocation, no locks, no panics, no destructors.

use std::ffi::{CStr, c_char, c_int};
use std::mem::MaybeUninit;
use std::ptr;

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::SigSet;
use nix::unistd::{Pid, chdir, setpgid};

mod standing;

pub(super) use standing::Standing;

/// Descriptors 0 … 9 can be a child's.
pub(super) const ENDS: usize = 10;
/// As much of a file as the kernel looks at for `#!` (BINPRM_BUF_SIZE).
pub(super) const HEAD: usize = 256;
/// Of the highest process id.
pub(super) const PID_DIGITS: usize = 10;
/// The highest signal number, and the bytes of the kernel's signal set.
const SIGNALS: c_int = 64;
const SIGSET_BYTES: usize = 8;

/// What a child was about to do when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub(super) enum Task {
    Group = 1,
    Descriptors = 2,
    Limits = 3,
    Nice = 4,
    SupplementaryGroups = 5,
    PrimaryGroup = 6,
    User = 7,
    Directory = 8,
    Privileges = 9,
    Execute = 10,
}

/// A child's last words: a plain struct, sent in one piece. `mode` and `head` are of [`Task::Execute`].
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct Report {
    pub(super) task: i32,
    pub(super) errno: i32,
    /// Which of the plan's paths or limits.
    pub(super) index: u32,
    /// st_mode of what is there; 0 where it could not be looked at.
    pub(super) mode: u32,
    pub(super) head_length: u32,
    /// How the file begins.
    pub(super) head: [u8; HEAD],
}

/// What the child does, as pointers into memory that the parent prepared and that the fork copied.
pub(super) struct Orders<'a> {
    /// Paths to try; NUL-terminated.
    pub(super) candidates: &'a [*const c_char],
    /// Ends with a null pointer, as does `environment`.
    pub(super) arguments: &'a [*const c_char],
    pub(super) environment: &'a [*const c_char],
    pub(super) directory: Option<&'a CStr>,
    pub(super) standing: Standing<'a>,
    /// (descriptor in the child, descriptor now)
    pub(super) ends: &'a [(i32, i32)],
    /// The child's end of the status socket.
    pub(super) status: i32,
    /// Where in the environment its process id belongs: room for PID_DIGITS and a NUL; or null.
    pub(super) own_pid: *mut u8,
}

/// Becomes the program, or reports and exits. Never returns.
pub(super) fn run(orders: &Orders<'_>) -> ! {
    // The parent does the same: whoever comes first, the group exists before anybody signals it.
    if let Err(errno) = setpgid(Pid::from_raw(0), Pid::from_raw(0)) {
        fail(orders.status, Task::Group, errno);
    }
    default_signals();
    let status = match arrange(orders) {
        Ok(status) => status,
        Err((status, errno)) => fail(status, Task::Descriptors, errno),
    };
    if !gate_opens(status) {
        exit();
    }
    if let Err((task, index, errno)) = standing::take_on(&orders.standing) {
        fail_at(status, task, index, errno);
    }
    // As its user: what that one may not enter is no place for it.
    if let Some(directory) = orders.directory
        && let Err(errno) = chdir(directory)
    {
        fail(status, Task::Directory, errno);
    }
    if orders.standing.no_new_privileges
        && let Err(errno) = standing::give_up_privileges()
    {
        fail(status, Task::Privileges, errno);
    }
    tell_own_pid(orders.own_pid);
    execute(orders, status)
}

/// Writes the process id in decimal; the room behind it is zeroed.
fn tell_own_pid(to: *mut u8) {
    if to.is_null() {
        return;
    }
    let mut left = nix::unistd::getpid().as_raw().unsigned_abs();
    let mut digits = [0_u8; PID_DIGITS];
    let mut first = PID_DIGITS;
    while left > 0 && first > 0 {
        first -= 1;
        if let Some(digit) = digits.get_mut(first) {
            *digit = b'0' + (left % 10) as u8;
        }
        left /= 10;
    }
    let Some(digits) = digits.get(first..) else { return };
    // SAFETY: there is room for PID_DIGITS, in this process's own copy of what the parent has allocated.
    unsafe { ptr::copy_nonoverlapping(digits.as_ptr(), to, digits.len()) };
}

/// Every disposition to default, then the mask empty: the parent blocked everything before the fork, so that none of
/// its handlers runs here. The raw call, because the C library hides signals 32 and 33, which can be ignored too.
fn default_signals() {
    let default = [0_usize; 8];
    for signal in 1..=SIGNALS {
        // SAFETY: the zeroed words are a kernel sigaction of SIG_DFL, no flags and an empty mask, and longer than it.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                default.as_ptr(),
                ptr::null_mut::<usize>(),
                SIGSET_BYTES,
            )
        };
    }
    let _ = SigSet::empty().thread_set_mask();
}

/// Puts the ends where the program expects them and closes everything else but the status socket, whose new number is
/// returned. In two moves: first out of the way of 0 … 9, since an end may stand where another belongs.
fn arrange(orders: &Orders<'_>) -> Result<i32, (i32, Errno)> {
    let first_free = ENDS as c_int;
    let status = move_up(orders.status, first_free).map_err(|errno| (orders.status, errno))?;
    let failed = |errno| (status, errno);
    let mut moved = [-1; ENDS];
    for (slot, (_, now)) in moved.iter_mut().zip(orders.ends) {
        *slot = move_up(*now, first_free).map_err(failed)?;
    }
    for number in 0..first_free {
        close(number);
    }
    for (now, (number, _)) in moved.iter().zip(orders.ends) {
        duplicate(*now, *number).map_err(failed)?;
    }
    if status > first_free {
        close_range(first_free, status - 1).map_err(failed)?;
    }
    close_range(status + 1, c_int::MAX).map_err(failed)?;
    Ok(status)
}

fn move_up(descriptor: i32, least: c_int) -> Result<i32, Errno> {
    // SAFETY: fcntl with an int argument touches no memory.
    Errno::result(unsafe { libc::fcntl(descriptor, libc::F_DUPFD_CLOEXEC, least) })
}

fn duplicate(from: i32, to: i32) -> Result<i32, Errno> {
    // SAFETY: dup2 touches no memory; no Rust object owns a descriptor in this process any more.
    Errno::result(unsafe { libc::dup2(from, to) })
}

fn close(descriptor: i32) {
    // SAFETY: as for dup2; closing one that is not open is an error that is meant to be ignored.
    unsafe { libc::close(descriptor) };
}

fn close_range(first: c_int, last: c_int) -> Result<(), Errno> {
    // SAFETY: as for dup2.
    Errno::result(unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) }).map(drop)
}

/// Waits for the parent's word; false when it has gone or thought better of it.
fn gate_opens(status: i32) -> bool {
    let mut word = [0_u8; 1];
    loop {
        // SAFETY: the buffer is one byte long and lives through the call.
        let count = unsafe { libc::read(status, word.as_mut_ptr().cast(), 1) };
        match Errno::result(count) {
            Ok(count) => return count == 1,
            Err(Errno::EINTR) => {}
            Err(_) => return false,
        }
    }
}

/// Tries one path after the other as execvp(3) does, but never falls back to a shell.
fn execute(orders: &Orders<'_>, status: i32) -> ! {
    let mut denied = None;
    for (index, path) in orders.candidates.iter().enumerate() {
        // SAFETY: path is NUL-terminated and both vectors end with a null pointer; the parent's copy made them so.
        unsafe { libc::execve(*path, orders.arguments.as_ptr(), orders.environment.as_ptr()) };
        match Errno::last() {
            Errno::ENOENT if look(*path).is_none() => {}
            Errno::ENOTDIR | Errno::ENODEV | Errno::ESTALE | Errno::ETIMEDOUT => {}
            Errno::EACCES => denied = denied.or(Some(index)),
            errno => fail_execute(orders, status, index, errno),
        }
    }
    match denied {
        Some(index) => fail_execute(orders, status, index, Errno::EACCES),
        None => fail(status, Task::Execute, Errno::ENOENT),
    }
}

/// st_mode of what is at `path`.
fn look(path: *const c_char) -> Option<u32> {
    let mut found = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: path is NUL-terminated, and found is as large as stat(2) writes.
    let result = unsafe { libc::stat(path, found.as_mut_ptr()) };
    if result != 0 {
        return None;
    }
    // SAFETY: stat(2) succeeded, so it has filled it in.
    Some(unsafe { found.assume_init_ref() }.st_mode)
}

/// Reports what is at the path as well. The child looks, since it has the right directory and credentials, and since a
/// file system that hangs may stop the child but not the daemon.
fn fail_execute(orders: &Orders<'_>, status: i32, index: usize, errno: Errno) -> ! {
    let mut report = Report {
        task: Task::Execute as i32,
        errno: errno as i32,
        index: index as u32,
        mode: 0,
        head_length: 0,
        head: [0; HEAD],
    };
    if let Some(path) = orders.candidates.get(index) {
        report.mode = look(*path).unwrap_or(0);
        if report.mode & libc::S_IFMT == libc::S_IFREG {
            report.head_length = read_head(*path, &mut report.head);
        }
    }
    send(status, &report)
}

fn read_head(path: *const c_char, head: &mut [u8; HEAD]) -> u32 {
    let flags = libc::O_RDONLY | libc::O_NONBLOCK | libc::O_CLOEXEC;
    // SAFETY: path is NUL-terminated.
    let file = unsafe { libc::open(path, flags) };
    if file < 0 {
        return 0;
    }
    // SAFETY: head is HEAD bytes long and lives through the call.
    let count = unsafe { libc::read(file, head.as_mut_ptr().cast(), HEAD) };
    close(file);
    u32::try_from(count).unwrap_or(0)
}

fn fail(status: i32, task: Task, errno: Errno) -> ! {
    fail_at(status, task, u32::MAX as usize, errno)
}

fn fail_at(status: i32, task: Task, index: usize, errno: Errno) -> ! {
    let report = Report {
        task: task as i32,
        errno: errno as i32,
        index: index as u32,
        mode: 0,
        head_length: 0,
        head: [0; HEAD],
    };
    send(status, &report)
}

fn send(status: i32, report: &Report) -> ! {
    let flags = libc::MSG_NOSIGNAL;
    // SAFETY: report is a plain struct without padding (five words and bytes) that lives through the call.
    unsafe { libc::send(status, ptr::from_ref(report).cast(), size_of::<Report>(), flags) };
    exit()
}

/// 127 as a shell says it; nobody but the parent's reaper sees it.
fn exit() -> ! {
    // SAFETY: _exit runs no destructors and no atexit functions.
    unsafe { libc::_exit(127) }
}
