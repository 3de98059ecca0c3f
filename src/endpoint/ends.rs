//! What a relay asks of an endpoint, whatever its kind: to open, and to say what comes after an end.
//!
//! Nothing here waits. `poll_open` returns `Pending` and wakes the relay when it is worth another try; each `Ready` is
//! told once.

#[cfg(test)]
pub(super) mod testing;

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::oneshot;

use super::Side;
use crate::model::{Moment, ProcessId};
use crate::store::{Deposit, Store};
use crate::sys::errno;
use crate::sys::fifo::{self, Identity};
use crate::sys::parcel::{Parcel, Unpacking};
use crate::sys::watch::Openings;
use crate::transport::{ReadEnd, WriteEnd};

/// Why an endpoint is not open: what was tried, on what, and what to do.
#[derive(Clone, Debug, thiserror::Error, Serialize, Deserialize)]
#[error("{text}")]
pub struct OpenError {
    /// In words.
    pub text: String,
    /// The errno's name, for `closeCause`.
    pub errno: String,
}

impl OpenError {
    /// Whether the same may well succeed in a moment: the daemon or the machine is out of descriptors or memory.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self.errno.as_str(), "EMFILE" | "ENFILE" | "ENOMEM" | "ENOBUFS")
    }

    /// An error of a system call.
    #[must_use]
    pub fn new(text: impl std::fmt::Display, error: &io::Error) -> OpenError {
        OpenError {
            text: format!("{text}: {error}"),
            errno: errno::name(error),
        }
    }

    /// Something that no system call refused but this program does.
    #[must_use]
    pub fn refused(text: impl Into<String>, errno: &str) -> OpenError {
        OpenError {
            text: text.into(),
            errno: errno.to_owned(),
        }
    }
}

/// What opening a source came to.
#[derive(Debug)]
pub enum SourceOpening {
    /// Here it is.
    Open(ReadEnd),
    /// It was tried and there is nothing to open now; its process does not run.
    Waits,
    /// There is nothing more to come.
    Ended,
}

/// What opening a destination came to.
#[derive(Debug)]
pub enum DestinationOpening {
    /// Here it is, and somebody reads it.
    Open(WriteEnd),
    /// It was tried, and nobody reads it yet.
    AwaitsReader,
    /// Nobody will ever read it (again). `close` tells what is left unread.
    GoneForGood,
}

/// How a reopening went. Dropped unanswered when the destination was closed before.
pub type Reopened = oneshot::Receiver<Result<(), OpenError>>;

/// A pipe's end that a process lends to its route.
#[derive(Debug)]
pub struct Lent {
    /// Which life of the process.
    pub life: u64,
    /// Non-blocking.
    pub end: OwnedFd,
    /// Of an output: it outlives the daemon by this.
    pub deposit: Option<Deposit>,
}

/// A pipe's end that a route gives back to whoever lent it.
#[derive(Debug)]
pub struct GivenBack {
    /// The end, as it was lent.
    pub lent: Lent,
    /// Of an output: the process of that life has exited: its id, and when its pipe is to be at its end.
    pub exited: Option<(i32, Moment)>,
}

/// What becomes of a pipe that is still open long after its process has exited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Overdue {
    /// Kill what is left of the process's group.
    KillGroup {
        /// Whose.
        process: ProcessId,
        /// Which life's.
        life: u64,
    },
    /// Read what stands in it now, then close it.
    Abandon {
        /// The process id of the life that had it.
        pid: i32,
    },
}

/// A source of any kind.
pub trait Source {
    /// Opens it, or the next pipe of it.
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<Result<SourceOpening, OpenError>>;

    /// The end of file of `end` was read. `poll_open` says what comes next.
    fn at_end(&mut self, end: ReadEnd);

    /// A new registration of the same pipe.
    fn refresh(&mut self, end: ReadEnd) -> Result<ReadEnd, OpenError>;

    /// It has ended for the route: whatever is kept is closed.
    fn close(&mut self);

    /// It is to be opened again after it had ended.
    fn revive(&mut self);

    /// Whether a drain reads to the end of file rather than what stands in it.
    fn drains_to_end(&self) -> bool {
        false
    }

    /// Whether there is more to read behind the pipe that the relay has.
    fn has_more(&self) -> bool {
        false
    }

    /// A process lends the pipe of its next life.
    fn lend(&mut self, _lent: Lent) {}

    /// The process of a life has exited; its pipe is to be at its end by the deadline.
    fn exited(&mut self, _life: u64, _pid: i32, _deadline: Moment) {}

    /// The process does not run and no start is due (false), or it will not run again (true).
    fn down(&mut self, _for_good: bool) {}

    /// It leaves the route, with what the relay has of it: the ends that were lent, oldest first. It is closed then, but for
    /// a FIFO, whose end is put by.
    fn give_back(&mut self, _end: Option<ReadEnd>) -> Vec<GivenBack> {
        self.close();
        Vec::new()
    }

    /// When to ask `overdue`.
    fn due(&self) -> Option<Moment> {
        None
    }

    /// `due` has come, and the pipe is still open. `hung_up`: nobody holds it any more, and what stands in it is all that
    /// comes.
    fn overdue(&mut self, _now: Moment, _hung_up: bool) -> Option<Overdue> {
        None
    }

    /// What keeps it from opening, in words, while it is retried.
    fn trouble(&self) -> Option<Arc<str>> {
        None
    }

    /// What the same source knows in the daemon's next life (but for the end that the relay has). Changes nothing.
    fn pack(&self, parcel: &mut Parcel) -> io::Result<Value>;

    /// Knows again what was packed. Once, before anything else. After an error it is of no use.
    fn unpack(&mut self, packed: Value, parcel: &mut Unpacking) -> io::Result<()>;
}

/// What has reached its place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reached {
    /// Bytes.
    pub bytes: u64,
    /// Records whose terminator has; one that ends without is not known here.
    pub records: u64,
}

impl Reached {
    /// So much more.
    pub fn add(&mut self, more: Reached) {
        self.bytes += more.bytes;
        self.records += more.records;
    }
}

/// A destination of any kind.
pub trait Destination {
    /// Opens it, or waits for its next reader. Asked also while it is open, since a process's next life may bring an end
    /// of its own.
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<Result<DestinationOpening, OpenError>>;

    /// The reader of `end` has left. What stands unread in it is kept for the next one, or counted: the result is what
    /// is lost for good.
    fn gone(&mut self, end: WriteEnd) -> u64;

    /// Why nobody reads it any more, where that is an error of the destination itself.
    fn failure(&self) -> Option<OpenError> {
        None
    }

    /// `poll_open` gave a new end while the relay still had `end`. The result is what is lost for good with it.
    fn replaced(&mut self, _end: WriteEnd) -> u64 {
        0
    }

    /// It has ended for the route. The result is what stands unread in a pipe that nobody reads any more.
    fn close(&mut self, end: Option<WriteEnd>) -> u64;

    /// It is to be opened again after it had ended.
    fn revive(&mut self);

    /// Bytes that stand in a pipe without reader which closing would lose.
    fn unread(&self) -> u64 {
        0
    }

    /// The write end that is kept while nobody reads it.
    fn kept(&self) -> Option<&Arc<OwnedFd>> {
        None
    }

    /// What it was given is dropped from now on, as far as it is not written yet.
    fn abort(&mut self) {}

    /// Begins to open anew what it writes to: nothing is lost, and what is not written yet goes there. `None`: there is
    /// nothing of the kind.
    fn reopen(&mut self) -> Option<Reopened> {
        None
    }

    /// How much of what it was given has reached its place; `None`: all of it, at once.
    fn written(&self) -> Option<Reached> {
        None
    }

    /// Ready when `written` or `trouble` has changed.
    fn poll_progress(&mut self, _cx: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }

    /// Of a process's input: the life with which its newest end was lent.
    fn lent_life(&self) -> Option<u64> {
        None
    }

    /// It leaves the route, with what the relay has of it: the newest end that was lent. It is closed then, but for a FIFO,
    /// whose end is put by.
    fn give_back(&mut self, end: Option<WriteEnd>) -> Option<GivenBack> {
        self.close(end);
        None
    }

    /// A process lends its input.
    fn lend(&mut self, _lent: Lent) {}

    /// The process does not run (false), or will not run again, with so many bytes unread in its pipe (true). The result
    /// is what is lost by it of a destination that has been closed before.
    fn down(&mut self, _for_good: bool, _unread: u64) -> u64 {
        0
    }

    /// How it learns of a reader while there is none.
    fn waits_by(&self) -> Option<&'static str> {
        None
    }

    /// What keeps it from opening or writing, in words, while it is retried.
    fn trouble(&self) -> Option<Arc<str>> {
        None
    }

    /// Bytes that were accepted for it in a life of the daemon that was killed, and stand behind its end: they go first.
    fn left(&self) -> u64 {
        0
    }

    /// Brings what works for it elsewhere to rest, between two system calls, until `thaw`; ready when it is. Asked again and
    /// again, and `pack` comes only then.
    fn poll_freeze(&mut self, _cx: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }

    /// It goes on, whether or not it had come to rest.
    fn thaw(&mut self) {}

    /// What the same destination knows in the daemon's next life (but for the end that the relay has). Changes nothing.
    /// What is at work elsewhere is packed whole only while it is at rest.
    fn pack(&self, parcel: &mut Parcel) -> io::Result<Value>;

    /// Knows again what was packed. Once, before anything else. After an error it is of no use.
    fn unpack(&mut self, packed: Value, parcel: &mut Unpacking) -> io::Result<()>;
}

/// What the endpoints of one relay thread share.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// inotify, where it is to be had.
    pub openings: Option<Rc<Openings>>,
    /// Who has which FIFO, over all threads.
    pub taken: Arc<Taken>,
    /// What outlives the daemon.
    pub store: Store,
}

/// An end of a FIFO on its way from one route to another, and by what it outlives the daemon.
pub type PutBy = (Arc<OwnedFd>, Option<Deposit>);

/// Which FIFO is in use by which endpoint, by device and inode: two paths may be one FIFO.
#[derive(Debug, Default)]
pub struct Taken {
    by: Mutex<HashMap<Identity, String>>,
    /// Ends of FIFOs on their way from one route to another.
    put_by: Mutex<HashMap<(Identity, Side), PutBy>>,
}

/// A FIFO in use; dropping it gives it back.
#[derive(Debug)]
pub struct Claim {
    taken: Arc<Taken>,
    identity: Identity,
}

impl Taken {
    /// Takes a FIFO into use again that was in use in the daemon's last life.
    pub fn reclaim(self: &Arc<Taken>, identity: Identity, place: &str) -> io::Result<Claim> {
        self.claim(identity, place)
            .map_err(|other| io::Error::other(format!("the FIFO of {place} is in use by {other}")))
    }

    /// Takes a FIFO into use, or tells by whom it is used.
    pub fn claim(self: &Arc<Taken>, identity: Identity, place: &str) -> Result<Claim, String> {
        let mut by = self.by.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(other) = by.get(&identity) {
            return Err(other.clone());
        }
        by.insert(identity, place.to_owned());
        Ok(Claim {
            taken: Arc::clone(self),
            identity,
        })
    }
}

impl Taken {
    fn put_by(&self) -> std::sync::MutexGuard<'_, HashMap<(Identity, Side), PutBy>> {
        self.put_by.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the end of a FIFO open, so that what stands in it stays there and its peer notices nothing.
    pub fn put(&self, side: Side, end: Arc<OwnedFd>, deposit: Option<Deposit>) {
        // What is no FIFO any more that can be asked for is not kept.
        if let Ok(identity) = fifo::identity(&end) {
            self.put_by().insert((identity, side), (end, deposit));
        }
    }

    /// The end of this FIFO that was put by last.
    #[must_use]
    pub fn take(&self, identity: Identity, side: Side) -> Option<PutBy> {
        self.put_by().remove(&(identity, side))
    }

    /// Whether some are put by that nobody has taken yet.
    #[must_use]
    pub fn has_put_by(&self) -> bool {
        !self.put_by().is_empty()
    }

    /// Closes those that nobody has taken.
    pub fn close_put_by(&self) {
        let left = std::mem::take(&mut *self.put_by());
        drop(left);
    }
}

impl Claim {
    /// Which FIFO.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.identity
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.taken
            .by
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.identity);
    }
}
