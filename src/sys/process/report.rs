//! What a child said before it could become its program, in words.

use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::{ffi::OsStr, io};

use nix::errno::Errno;
use nix::libc;

use super::Attempt;
use super::child::{HEAD, Report, Task};

mod standing;

/// Where a new child is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// It has become its program (or was killed before it could).
    Executed,
    /// It could not, and exits.
    Failed(ExecError),
}

/// Why a child did not become its program.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExecError {
    /// In no directory of PATH.
    #[error("cannot execute {program:?}: no such program in PATH ({path}); install it, or give its full path")]
    NotInPath {
        /// As configured.
        program: String,
        /// What was searched.
        path: String,
    },
    /// Not at its path.
    #[error("cannot execute {path:?}: no such file{relative}; correct `command`")]
    NoSuchFile {
        /// As configured.
        path: String,
        /// What a relative path is relative to.
        relative: String,
    },
    /// No x bit.
    #[error("cannot execute {0:?}: it is not executable; `chmod +x` it")]
    NotExecutable(String),
    /// EACCES for another reason.
    #[error(
        "cannot execute {path:?}{as_user}: permission denied, by the file's mode, a directory on the way, a file system \
         mounted noexec, or a security module"
    )]
    Denied {
        /// The program's path.
        path: String,
        /// As whom, where that is not the daemon's user.
        as_user: String,
    },
    /// A directory.
    #[error("cannot execute {0:?}: it is a directory; name a program in it")]
    Directory(String),
    /// Neither file nor directory.
    #[error("cannot execute {0:?}: it is not a regular file")]
    NotAFile(String),
    /// A script's `#!`.
    #[error("cannot execute {path:?}: its interpreter {interpreter:?} {trouble}; correct its first line")]
    Interpreter {
        /// The script.
        path: String,
        /// From its first line.
        interpreter: String,
        /// What is wrong with it.
        trouble: &'static str,
    },
    /// An ELF file's PT_INTERP.
    #[error(
        "cannot execute {0:?}: the dynamic loader that it names does not exist; it was built for another system or \
         library"
    )]
    Loader(String),
    /// ENOEXEC.
    #[error(
        "cannot execute {0:?}: exec format error: neither a program for this machine nor a script with a first line such \
         as #!/bin/sh"
    )]
    Format(String),
    /// E2BIG.
    #[error("cannot execute {0:?}: argument list too long (arguments and environment together); shorten them")]
    TooLong(String),
    /// EAGAIN of execve(2): RLIMIT_NPROC is held against a user that the child has become (setuid(2)).
    #[error(
        "cannot execute {path:?}{as_user}: that user runs as many processes as the limit nproc allows; raise \
         `limits.nproc`, or run less"
    )]
    TooManyProcesses {
        /// The program's path.
        path: String,
        /// As whom.
        as_user: String,
    },
    /// chdir(2).
    #[error("cannot enter working-directory {path:?}{as_user}: {}; {advice}", .errno.desc())]
    WorkingDirectory {
        /// As configured.
        path: String,
        /// As whom, where that is not the daemon's user.
        as_user: String,
        /// Why.
        errno: Errno,
        /// What to do.
        advice: &'static str,
    },
    /// Limits, nice value, user, groups, privileges.
    #[error("cannot {tried}: {}; {advice}", .errno.desc())]
    Standing {
        /// What was tried, on what.
        tried: String,
        /// Why not.
        errno: Errno,
        /// What to do.
        advice: String,
    },
    /// Anything else.
    #[error("cannot {what} for {program:?}: {}", .errno.desc())]
    Other {
        /// What was tried.
        what: &'static str,
        /// The program or its path.
        program: String,
        /// Why.
        errno: Errno,
    },
}

impl ExecError {
    /// Whether it may pass by itself, so that trying again later makes sense.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            ExecError::TooManyProcesses { .. } => true,
            ExecError::Standing { errno, .. } | ExecError::Other { errno, .. } => matches!(
                errno,
                Errno::EAGAIN
                    | Errno::ENOMEM
                    | Errno::EMFILE
                    | Errno::ENFILE
                    | Errno::ETXTBSY
                    | Errno::EINTR
                    | Errno::EIO
            ),
            _ => false,
        }
    }
}

/// Reads what a child has reported, without waiting: `None` when it has said nothing yet.
pub fn read_status(status: BorrowedFd<'_>, attempt: &Attempt) -> io::Result<Option<Status>> {
    let mut report = Report {
        task: 0,
        errno: 0,
        index: 0,
        mode: 0,
        head_length: 0,
        head: [0; HEAD],
    };
    let size = size_of::<Report>();
    // SAFETY: report is size bytes of plain integers, for which every bit pattern is a value, and lives on.
    let result = unsafe { libc::recv(status.as_raw_fd(), (&raw mut report).cast(), size, libc::MSG_DONTWAIT) };
    match Errno::result(result) {
        Ok(0) | Err(Errno::ECONNRESET) => Ok(Some(Status::Executed)),
        Ok(_) => Ok(Some(Status::Failed(explain(&report, attempt)))),
        Err(Errno::EAGAIN | Errno::EINTR) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

fn explain(report: &Report, attempt: &Attempt) -> ExecError {
    let errno = Errno::from_raw(report.errno);
    let other = |what| ExecError::Other {
        what,
        program: attempt.program.clone(),
        errno,
    };
    match report.task {
        task if task == Task::Group as i32 => other("make a process group"),
        task if task == Task::Descriptors as i32 => other("arrange the descriptors"),
        task if task == Task::Directory as i32 => directory_refused(attempt, errno),
        task if task == Task::Execute as i32 => explain_execute(report, attempt, errno),
        task => standing::refused(task, report.index as usize, errno, attempt),
    }
}

fn directory_refused(attempt: &Attempt, errno: Errno) -> ExecError {
    let path = attempt.directory().map(|path| path.to_string_lossy().into_owned());
    let as_user = attempt.as_user();
    let advice = match errno {
        Errno::EACCES if !as_user.is_empty() => "let that user in (its mode, and those of the directories above it)",
        _ => "create it or correct the config",
    };
    ExecError::WorkingDirectory {
        path: path.unwrap_or_default(),
        as_user,
        errno,
        advice,
    }
}

fn explain_execute(report: &Report, attempt: &Attempt, errno: Errno) -> ExecError {
    let tried = attempt.candidates.get(report.index as usize);
    let path = tried.map_or_else(|| attempt.program.clone(), |path| path.to_string_lossy().into_owned());
    let length = (report.head_length as usize).min(HEAD);
    let head = report.head.get(..length).unwrap_or_default();
    let format = report.mode & libc::S_IFMT;
    match (errno, interpreter(head)) {
        (Errno::ENOENT, _) if report.mode == 0 => nowhere(attempt),
        (Errno::ENOENT, Some(interpreter)) => ExecError::Interpreter {
            path,
            interpreter,
            trouble: "does not exist",
        },
        (Errno::ENOENT, None) => ExecError::Loader(path),
        (Errno::EACCES, _) if format == libc::S_IFDIR => ExecError::Directory(path),
        (Errno::EACCES, _) if report.mode != 0 && format != libc::S_IFREG => ExecError::NotAFile(path),
        (Errno::EACCES, _) if report.mode != 0 && report.mode & 0o111 == 0 => ExecError::NotExecutable(path),
        (Errno::EACCES, Some(interpreter)) => ExecError::Interpreter {
            path,
            interpreter,
            trouble: "may not be executed",
        },
        (Errno::EACCES, None) => ExecError::Denied {
            path,
            as_user: attempt.as_user(),
        },
        (Errno::EAGAIN, _) if attempt.standing.identity.uid.is_some() => ExecError::TooManyProcesses {
            path,
            as_user: attempt.as_user(),
        },
        (Errno::ENOEXEC, _) => ExecError::Format(path),
        (Errno::E2BIG, _) => ExecError::TooLong(path),
        (errno, _) => ExecError::Other {
            what: "execute",
            program: path,
            errno,
        },
    }
}

fn nowhere(attempt: &Attempt) -> ExecError {
    let program = attempt.program.clone();
    if let Some(path) = &attempt.searched {
        let path = path.to_string_lossy().into_owned();
        return ExecError::NotInPath { program, path };
    }
    let relative = match attempt.directory() {
        _ if program.starts_with('/') => String::new(),
        Some(directory) => format!(" (relative to working-directory {})", directory.to_string_lossy()),
        None => " (relative to the daemon's own directory)".to_owned(),
    };
    ExecError::NoSuchFile {
        path: program,
        relative,
    }
}

/// The interpreter that a script names in its first line.
fn interpreter(head: &[u8]) -> Option<String> {
    let line = head.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let word = line
        .split(|byte| matches!(byte, b' ' | b'\t'))
        .find(|word| !word.is_empty())?;
    Some(OsStr::from_bytes(word).to_string_lossy().into_owned())
}
