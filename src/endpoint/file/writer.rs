//! The thread that carries a staging pipe's bytes into a file.

use std::io::{self, ErrorKind, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use nix::errno::Errno;

use super::progress::{Begun, Outcome, Paused, Progress};
use super::target;
use crate::endpoint::ends::OpenError;
use crate::model::Moment;
use crate::sys::{clock, errno, poll};
use crate::transport::CHUNK;

/// A thread that writes a file needs no more than this.
const STACK: usize = 128 * 1024;
/// How long a full disk is waited for before the next try; doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How often a file's trouble is logged at most: a disk that is emptied bit by bit has some for each bit.
const BETWEEN_WARNINGS: Duration = Duration::from_secs(10);

/// What the log was told of a file that cannot be written for a while.
#[derive(Debug, Default)]
struct Told {
    at: Option<Moment>,
    /// And not yet that it is over.
    open: bool,
}

impl Told {
    fn trouble(&mut self, text: &str) {
        let now = clock::now();
        if !self.open && self.at.is_none_or(|at| now >= at + BETWEEN_WARNINGS) {
            tracing::warn!("{text}");
            *self = Told {
                at: Some(now),
                open: true,
            };
        }
    }

    fn success(&mut self, path: &Path) {
        if std::mem::take(&mut self.open) {
            tracing::info!("{} is written again", path.display());
        }
    }
}

/// A thread that waits for the disk in a relay's place.
pub(super) fn thread(path: &Path, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let name = format!("file {}", path.file_name().unwrap_or_default().to_string_lossy());
    let name: String = name.chars().filter(|c| *c != '\0').take(15).collect();
    let builder = std::thread::Builder::new().name(name).stack_size(STACK);
    builder.spawn(work).map(drop)
}

/// Starts the thread. It ends when the pipe is at its end, when it is told to stop, or when the file cannot be written.
/// `from` does not block.
pub(super) fn start(path: &Path, from: Arc<OwnedFd>, progress: Arc<Progress>) -> io::Result<()> {
    let theirs = path.to_owned();
    thread(path, move || {
        let outcome = match target::open(&theirs) {
            Ok(target) => {
                progress.opened(target);
                carry(&theirs, &from, &[], &progress)
            }
            Err(error) => Outcome::Failed(error),
        };
        progress.over(outcome);
        // Closed only after the outcome is known: whoever gets EPIPE by it finds the reason.
        drop(from);
    })
}

/// The same where a thread of the daemon's last life has come to rest, with this in hand: `progress` has the file.
pub(super) fn go_on(path: &Path, from: Arc<OwnedFd>, rest: Bytes, progress: Arc<Progress>) -> io::Result<()> {
    let theirs = path.to_owned();
    thread(path, move || {
        let outcome = carry(&theirs, &from, &rest, &progress);
        progress.over(outcome);
        drop(from);
    })
}

/// It sleeps in poll(2) rather than in read(2), which takes bytes out of the pipe when it wakes.
fn carry(path: &Path, from: &OwnedFd, rest: &[u8], progress: &Progress) -> Outcome {
    let mut told = Told::default();
    if let Some(outcome) = write_out(path, rest, progress, &mut told) {
        return outcome;
    }
    let mut buffer = vec![0; CHUNK];
    let failed = |error| Outcome::Failed(OpenError::new(format!("cannot read what {path:?} is to get"), &error));
    while progress.may_read() {
        match nix::unistd::read(from, &mut buffer) {
            Ok(0) => return Outcome::Done,
            Ok(count) => {
                if let Some(outcome) = write_out(path, &buffer[..count], progress, &mut told) {
                    return outcome;
                }
            }
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => {
                progress.waits();
                if let Err(error) = poll::until_readable(from) {
                    return failed(error);
                }
            }
            Err(error) => return failed(errno::io(error)),
        }
    }
    Outcome::Done
}

/// Writes one chunk, however long it takes. `Some`: it is over.
///
/// A full disk is waited for: it may be emptied, or the file opened anew elsewhere. A device that refuses a write will
/// refuse the next one too.
fn write_out(path: &Path, mut chunk: &[u8], progress: &Progress, told: &mut Told) -> Option<Outcome> {
    let mut pause = FIRST_PAUSE;
    while !chunk.is_empty() {
        let Some(begun) = progress.begin(chunk) else {
            return Some(Outcome::Done);
        };
        let Begun { target, count, swaps } = &begun;
        match (&target.file).write(&chunk[..*count]) {
            Ok(count) if count > 0 => {
                let (written, rest) = chunk.split_at(count);
                progress.end(begun, written, None);
                told.success(path);
                chunk = rest;
                pause = FIRST_PAUSE;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => progress.end(begun, &[], None),
            result => {
                let error = result.err().unwrap_or_else(|| ErrorKind::WriteZero.into());
                let text = format!("cannot write {}", path.display());
                if target.device {
                    progress.end(begun, &[], None);
                    return Some(Outcome::Failed(OpenError::new(text, &error)));
                }
                let errno = errno::name(&error);
                let trouble = format!("{text}: {error} ({errno}); trying again");
                told.trouble(&trouble);
                let swaps = *swaps;
                progress.end(begun, &[], Some(trouble.into()));
                pause = match progress.pause(pause, swaps) {
                    Paused::Over => (pause * 2).min(LONGEST_PAUSE),
                    Paused::Swapped => FIRST_PAUSE,
                    Paused::Frozen => pause,
                    Paused::Stopped => return Some(Outcome::Done),
                };
            }
        }
    }
    None
}
