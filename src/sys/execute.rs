//! Executing a program in place of this one (execve(2)), with descriptors that stay open over it and signals that wait for the
//! new program's handlers; and what that one finds.

use std::convert::Infallible;
use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::{SigSet, SigmaskHow, Signal};

use super::errno;

/// What a daemon leaves the names of its descriptors in for its next life.
const VARIABLE: &str = "SLUICED_HANDOVER";
/// What is about the process that was started, and not about the program that it has become.
const NOT_HANDED_ON: [&str; 4] = [VARIABLE, "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PID"];

/// A file in memory alone, close-on-exec.
pub fn memory_file(name: &str) -> io::Result<File> {
    let file = memfd_create(name, MFdFlags::MFD_CLOEXEC).map_err(errno::io)?;
    Ok(File::from(file))
}

/// The path of the program that runs. What stands there may have been replaced since; that is what is executed next. Where the
/// program was called by a path of its own, it is that one: a link in it may lead elsewhere by then.
pub fn own_path() -> io::Result<PathBuf> {
    let path = std::env::current_exe()?;
    let called = std::env::args_os().next().map(PathBuf::from);
    let called = called.filter(|called| called.components().count() > 1);
    let called = called.and_then(|called| std::path::absolute(called).ok());
    let file = |path: &Path| std::fs::metadata(path).map(|found| (found.dev(), found.ino()));
    if let Some(called) = called
        && let (Ok(this), Ok(runs)) = (file(&called), file(Path::new("/proc/self/exe")))
        && this == runs
    {
        return Ok(called);
    }
    // proc_pid_exe(5): of one that was unlinked.
    let text = path.as_os_str().as_bytes();
    let replaced = text.strip_suffix(b" (deleted)");
    Ok(replaced.map_or_else(|| path.clone(), |path| OsStr::from_bytes(path).into()))
}

/// The environment for the next life, or for a look at whether there can be one.
#[must_use]
pub fn environment() -> Vec<(OsString, OsString)> {
    let all = std::env::vars_os();
    all.filter(|(name, _)| !NOT_HANDED_ON.iter().any(|other| name == other))
        .collect()
}

/// The signals that this thread has blocked.
#[must_use]
pub fn blocked_signals() -> Vec<i32> {
    let mask = SigSet::thread_get_mask().unwrap_or_else(|_| SigSet::empty());
    mask.iter().map(|signal| signal as i32).collect()
}

/// Those for which the daemon has handlers. They run on the main thread alone, so that it can hold them back: every other
/// thread has these blocked.
const HANDLED: [Signal; 5] = [
    Signal::SIGTERM,
    Signal::SIGINT,
    Signal::SIGHUP,
    Signal::SIGUSR2,
    Signal::SIGCHLD,
];

/// From now on this thread, and what it starts, gets no signal for which there are handlers. What was blocked before.
pub fn hold_back_signals() -> io::Result<Vec<i32>> {
    let before = blocked_signals();
    let mask: SigSet = HANDLED.into_iter().collect();
    mask.thread_block().map_err(errno::io)?;
    Ok(before)
}

/// From now on this thread has just these blocked. Those that have waited come at once.
pub fn block_signals(numbers: &[i32]) -> io::Result<()> {
    let mut mask = SigSet::empty();
    for signal in numbers.iter().filter_map(|number| Signal::try_from(*number).ok()) {
        mask.add(signal);
    }
    mask.thread_set_mask().map_err(errno::io)
}

/// Becomes the program at `path`, with this process's arguments. All signals are blocked then, `manifest` is what
/// [`handed_over`] finds, and `kept` stay open. Returns only with an error, and then nothing has changed.
pub fn become_program(path: &Path, manifest: &File, kept: &[OwnedFd]) -> io::Result<Infallible> {
    let text = |text: &OsStr| CString::new(text.as_bytes()).map_err(io::Error::from);
    let path = text(path.as_os_str())?;
    let arguments: Vec<CString> = std::env::args_os()
        .map(|argument| text(&argument))
        .collect::<io::Result<_>>()?;
    let number = manifest.as_raw_fd().to_string();
    let all = environment().into_iter().chain([(VARIABLE.into(), number.into())]);
    let environment: Vec<CString> = all
        .map(|(name, value)| CString::new([name.as_bytes(), b"=", value.as_bytes()].concat()).map_err(io::Error::from))
        .collect::<io::Result<_>>()?;
    let staying = || kept.iter().map(OwnedFd::as_fd).chain([manifest.as_fd()]);
    let before = SigSet::all()
        .thread_swap_mask(SigmaskHow::SIG_SETMASK)
        .map_err(errno::io)?;
    let kept = staying().try_for_each(|end| close_on_exec(end, false));
    let error = match kept {
        Ok(()) => match nix::unistd::execve(&path, &arguments, &environment) {
            Ok(never) => match never {},
            Err(errno) => errno::io(errno),
        },
        Err(error) => error,
    };
    for end in staying() {
        // It was open a moment ago.
        let _ = close_on_exec(end, true);
    }
    let _ = before.thread_set_mask();
    Err(error)
}

fn close_on_exec(end: BorrowedFd<'_>, on: bool) -> io::Result<()> {
    let flags = if on { FdFlag::FD_CLOEXEC } else { FdFlag::empty() };
    fcntl(end, FcntlArg::F_SETFD(flags)).map(drop).map_err(errno::io)
}

/// What the last life has left: its manifest. `None`: this is the first life. To be called once, first of all, as long as
/// there is one thread.
#[must_use]
pub fn handed_over() -> Option<io::Result<File>> {
    let number = std::env::var(VARIABLE).ok()?;
    // SAFETY: there is one thread, so that nobody reads the environment meanwhile.
    unsafe { std::env::remove_var(VARIABLE) };
    let wrong = || {
        let text = format!("{VARIABLE}={number} is not a descriptor; it is set by an upgrade, and by nobody else");
        io::Error::new(io::ErrorKind::InvalidInput, text)
    };
    let taken = number.parse().map_err(|_| wrong()).and_then(taken);
    Some(taken.map(File::from))
}

/// A descriptor that came over an execve(2) by its number, close-on-exec from now on. Each number may be taken once.
pub fn taken(number: RawFd) -> io::Result<OwnedFd> {
    if number <= 2 {
        let text = format!("descriptor {number} is one of the standard streams");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    // SAFETY: the borrow ends with this statement, and a number that is not open is only answered with EBADF.
    let there = fcntl(
        unsafe { BorrowedFd::borrow_raw(number) },
        FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC),
    );
    there.map_err(errno::io)?;
    // SAFETY: it is open, the last life has kept it open for this one, and whoever reads the manifest takes each once.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_executed_leaves_everything_as_it_was() {
        let manifest = memory_file("test").unwrap();
        let kept = [OwnedFd::from(memory_file("kept").unwrap())];
        let before = blocked_signals();
        let error = become_program(Path::new("/nowhere/at/all"), &manifest, &kept).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert_eq!(blocked_signals(), before);
        for end in [manifest.as_fd(), kept[0].as_fd()] {
            let flags = FdFlag::from_bits_retain(fcntl(end, FcntlArg::F_GETFD).unwrap());
            assert!(flags.contains(FdFlag::FD_CLOEXEC));
        }
    }
}
