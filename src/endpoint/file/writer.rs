//! The thread that carries a staging pipe's bytes into a file.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::endpoint::ends::OpenError;
use crate::sys::errno;
use crate::transport::CHUNK;

/// A thread that writes a file needs no more than this.
const STACK: usize = 128 * 1024;
/// How long a full disk is waited for before the next try; doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Where a writer stands.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    /// The file is being opened.
    Opening,
    /// It is open.
    Writing,
    /// It could not be opened, or not be written for good.
    Failed(OpenError),
    /// The pipe is at its end and everything is written.
    Done,
}

/// What the writer and the relay tell each other. The lock is held for a few instructions only.
#[derive(Debug)]
pub(super) struct Progress {
    state: Mutex<State>,
    stopped: Condvar,
}

#[derive(Debug)]
struct State {
    outcome: Outcome,
    /// Bytes in the file. Never falls.
    written: u64,
    /// Bytes that a write(2) has in its hands now.
    in_hand: u64,
    stop: bool,
    trouble: Option<Arc<str>>,
    changed: bool,
    waker: Option<Waker>,
}

impl Default for Progress {
    fn default() -> Progress {
        let state = State {
            outcome: Outcome::Opening,
            written: 0,
            in_hand: 0,
            stop: false,
            trouble: None,
            changed: false,
            waker: None,
        };
        Progress {
            state: Mutex::new(state),
            stopped: Condvar::new(),
        }
    }
}

impl Progress {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn outcome(&self) -> Outcome {
        self.lock().outcome.clone()
    }

    pub(super) fn written(&self) -> u64 {
        self.lock().written
    }

    pub(super) fn trouble(&self) -> Option<Arc<str>> {
        self.lock().trouble.clone()
    }

    pub(super) fn register(&self, waker: &Waker) {
        self.lock().waker = Some(waker.clone());
    }

    pub(super) fn poll_changed(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if std::mem::take(&mut state.changed) {
            return Poll::Ready(());
        }
        state.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Nothing is begun any more; what a write(2) has in its hands counts as written.
    pub(super) fn stop(&self) {
        let mut state = self.lock();
        state.stop = true;
        state.written += std::mem::take(&mut state.in_hand);
        drop(state);
        self.stopped.notify_all();
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let waker = {
            let mut state = self.lock();
            change(&mut state);
            state.changed = true;
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Takes `count` bytes in hand; false when it was told to stop.
    fn begin(&self, count: usize) -> bool {
        let mut state = self.lock();
        if !state.stop {
            state.in_hand = count as u64;
        }
        !state.stop
    }

    /// A write(2) ended: so many of the bytes in hand are in the file. After a stop they have been counted already.
    fn end(&self, count: usize, trouble: Option<Arc<str>>) {
        self.change(|state| {
            state.in_hand = 0;
            if !state.stop {
                state.written += count as u64;
            }
            state.trouble = trouble;
        });
    }

    /// Waits for a while; false when it was told to stop meanwhile.
    fn pause(&self, pause: Duration) -> bool {
        let state = self.lock();
        let waited = self.stopped.wait_timeout_while(state, pause, |state| !state.stop);
        !waited.unwrap_or_else(PoisonError::into_inner).0.stop
    }
}

/// Starts the thread. It ends when the pipe is at its end, when it is told to stop, or when the file cannot be written.
pub(super) fn start(path: PathBuf, from: OwnedFd, progress: Arc<Progress>) -> io::Result<()> {
    let name = format!("file {}", path.file_name().unwrap_or_default().to_string_lossy());
    let name: String = name.chars().filter(|c| *c != '\0').take(15).collect();
    std::thread::Builder::new()
        .name(name)
        .stack_size(STACK)
        .spawn(move || {
            // Closed only after the outcome is known: whoever gets EPIPE by it finds the reason.
            let mut from = File::from(from);
            let outcome = match open(&path) {
                Ok((file, device)) => {
                    progress.change(|state| state.outcome = Outcome::Writing);
                    carry(&path, &mut from, file, device, &progress)
                }
                Err(error) => Outcome::Failed(error),
            };
            progress.change(|state| state.outcome = outcome);
        })?;
    Ok(())
}

/// Opens for appending, making a file of mode 0640 where there is none. True: it is a character device.
fn open(path: &Path) -> Result<(File, bool), OpenError> {
    let shown = path.display();
    // O_NONBLOCK: a FIFO put in its place must not block the opening. It has no effect on a regular file.
    let flags = nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK | nix::libc::O_NOCTTY;
    let opened = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o640)
        .custom_flags(flags)
        .open(path);
    let refuse = |what: &str| {
        let text = format!("{shown} is {what}, not a file; remove it or point `file` elsewhere");
        OpenError::refused(text, "EINVAL")
    };
    let file = opened.map_err(|error| match error.raw_os_error() {
        Some(nix::libc::ELOOP) => refuse("a symbolic link"),
        Some(nix::libc::ENXIO) => refuse("a FIFO or a socket"),
        _ => OpenError::new(format!("cannot open {shown} for appending"), &error),
    })?;
    let kind = file
        .metadata()
        .map_err(|error| OpenError::new(format!("cannot look at {shown}"), &error))?
        .file_type();
    if kind.is_fifo() {
        return Err(refuse("a FIFO"));
    }
    if !kind.is_file() && !kind.is_char_device() {
        return Err(refuse("neither a regular file nor a character device"));
    }
    if kind.is_char_device() {
        crate::sys::pipe::set_nonblocking(&file, false)
            .map_err(|error| OpenError::new(format!("cannot set up {shown}"), &error))?;
    }
    Ok((file, kind.is_char_device()))
}

fn carry(path: &Path, from: &mut File, mut to: File, device: bool, progress: &Progress) -> Outcome {
    let mut buffer = vec![0; CHUNK];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Outcome::Done,
            Ok(count) => {
                if let Some(outcome) = write_out(path, &mut to, device, &buffer[..count], progress) {
                    return outcome;
                }
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => {
                return Outcome::Failed(OpenError::new(format!("cannot read what {path:?} is to get"), &error));
            }
        }
    }
}

/// Writes one chunk, however long it takes. `Some`: it is over.
///
/// A full disk is waited for: it may be emptied. A device that refuses a write will refuse the next one too.
fn write_out(path: &Path, to: &mut File, device: bool, mut chunk: &[u8], progress: &Progress) -> Option<Outcome> {
    let mut pause = FIRST_PAUSE;
    while !chunk.is_empty() {
        if !progress.begin(chunk.len()) {
            return Some(Outcome::Done);
        }
        match to.write(chunk) {
            Ok(count) if count > 0 => {
                progress.end(count, None);
                chunk = &chunk[count..];
                pause = FIRST_PAUSE;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => progress.end(0, None),
            result => {
                let error = result.err().unwrap_or_else(|| ErrorKind::WriteZero.into());
                let text = format!("cannot write {}", path.display());
                if device {
                    progress.end(0, None);
                    return Some(Outcome::Failed(OpenError::new(text, &error)));
                }
                let errno = errno::name(&error);
                let trouble = format!("{text}: {error} ({errno}); trying again, nothing is lost meanwhile");
                progress.end(0, Some(trouble.into()));
                if !progress.pause(pause) {
                    return Some(Outcome::Done);
                }
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
    None
}
