//! What a file's writer, its relay and a reopening tell each other.
//!
//! A reopening puts a new target beside the one that is written; it takes its place between two write(2)s, at the end
//! of a record where that can be had. Neither waits for the other: the writer may be asleep or stuck in a write.
//! What is at rest stays as it is, so that the relay can pack it.

mod reopening;
mod rest;

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;

use self::reopening::Reopening;
pub(super) use self::rest::Resting;
use super::target::Target;
use crate::endpoint::ends::{OpenError, Reached};

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

/// The lock is held for a few instructions only, and for a look through one chunk while a new target waits for the end
/// of a record. No file is closed under it: that may take as long as the disk likes.
#[derive(Debug)]
pub(super) struct Progress {
    state: Mutex<State>,
    /// A stop, a new target in place, another wish to reopen, a freeze or a thaw.
    told: Condvar,
    /// The byte that ends a record, where there are records.
    record_end: Option<u8>,
}

#[derive(Debug)]
struct State {
    outcome: Outcome,
    /// What the next write(2) goes to.
    target: Option<Arc<Target>>,
    /// What has begun in the target has not ended in it: a record, or without records a chunk.
    within: bool,
    /// How many targets have taken the place of another.
    swaps: u64,
    /// What is in the file. Never falls.
    written: Reached,
    /// What a write(2) has in its hands now.
    in_hand: Reached,
    stop: bool,
    trouble: Option<Arc<str>>,
    changed: bool,
    waker: Option<Waker>,
    reopening: Reopening,
    /// The writer is to be at rest, and whoever wants the file to be opened anew is told this.
    frozen: Option<OpenError>,
    /// Told when it is.
    freezer: Option<Waker>,
    /// It is at rest: what it has taken out of the pipe and not written, which is nothing while it waits for bytes. `None`:
    /// it reads or writes.
    at_rest: Option<Bytes>,
}

/// What a write(2) is to do.
#[derive(Debug)]
pub(super) struct Begun {
    pub target: Arc<Target>,
    /// How much of the chunk.
    pub count: usize,
    /// For `pause`.
    pub swaps: u64,
}

/// What ended a pause.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Paused {
    /// Its time is over.
    Over,
    /// Another target is in place.
    Swapped,
    /// It is to rest; the next `begin` waits for the thaw.
    Frozen,
    /// It was told to stop.
    Stopped,
}

impl State {
    fn is_over(&self) -> bool {
        self.stop || matches!(self.outcome, Outcome::Failed(_) | Outcome::Done)
    }
}

impl Progress {
    /// `record_end`: the byte that ends a record, where there are records.
    pub(super) fn new(record_end: Option<u8>) -> Progress {
        let state = State {
            outcome: Outcome::Opening,
            target: None,
            within: false,
            swaps: 0,
            written: Reached::default(),
            in_hand: Reached::default(),
            stop: false,
            trouble: None,
            changed: false,
            waker: None,
            reopening: Reopening::default(),
            frozen: None,
            freezer: None,
            at_rest: Some(Bytes::new()),
        };
        Progress {
            state: Mutex::new(state),
            told: Condvar::new(),
            record_end,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn outcome(&self) -> Outcome {
        self.lock().outcome.clone()
    }

    pub(super) fn written(&self) -> Reached {
        self.lock().written
    }

    fn count(&self, bytes: &[u8]) -> Reached {
        let ends = self.record_end.map(|end| memchr::memchr_iter(end, bytes).count());
        Reached {
            bytes: bytes.len() as u64,
            records: ends.unwrap_or(0) as u64,
        }
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
        let in_hand = std::mem::take(&mut state.in_hand);
        state.written.add(in_hand);
        let unwanted = state.reopening.forget();
        drop(state);
        self.told.notify_all();
        drop(unwanted);
    }

    /// The file is open for the first time.
    pub(super) fn opened(&self, target: Target) {
        self.change(|state| {
            state.outcome = Outcome::Writing;
            state.target = Some(Arc::new(target));
            None
        });
    }

    /// The writer ends.
    pub(super) fn over(&self, outcome: Outcome) {
        let mut next = None;
        self.change(|state| {
            state.outcome = outcome;
            state.at_rest = Some(Bytes::new());
            next = state.reopening.forget();
            state.target.take()
        });
    }

    /// Changes something, and puts a new target in place if it may be now. The old one is closed without the lock.
    fn change(&self, change: impl FnOnce(&mut State) -> Option<Arc<Target>>) {
        let mut state = self.lock();
        let old = (change(&mut state), state.swap());
        state.changed = true;
        let wakers = (state.waker.take(), state.freezer_at_rest());
        drop(state);
        self.told.notify_all();
        [wakers.0, wakers.1].into_iter().flatten().for_each(Waker::wake);
        drop(old);
    }

    /// Takes a chunk, or as much of it as goes into the same target, in hand; rests before that while it is to. `None`: it
    /// was told to stop.
    pub(super) fn begin(&self, chunk: &[u8]) -> Option<Begun> {
        let in_hand = self.count(chunk);
        let mut state = self.rested(chunk);
        let target = Arc::clone(state.target.as_ref().filter(|_| !state.stop)?);
        let waited_for = self.record_end.filter(|_| state.reopening.next.is_some());
        let ends = waited_for.and_then(|end| memchr::memchr(end, chunk));
        let count = ends.map_or(chunk.len(), |at| at + 1);
        state.in_hand = match ends {
            None => in_hand,
            Some(at) => Reached {
                bytes: at as u64 + 1,
                records: 1,
            },
        };
        let swaps = state.swaps;
        Some(Begun { target, count, swaps })
    }

    /// A write(2) ended: these of the bytes in hand are in the file. After a stop they have been counted already.
    pub(super) fn end(&self, begun: Begun, written: &[u8], trouble: Option<Arc<str>>) {
        let written_now = self.count(written);
        self.change(|state| {
            state.in_hand = Reached::default();
            if !state.stop {
                state.written.add(written_now);
            }
            state.trouble = trouble;
            if let Some(last) = written.last() {
                state.within = match self.record_end {
                    Some(end) => *last != end,
                    None => written.len() < begun.count,
                };
            }
            None
        });
        // It may have been replaced meanwhile: then this closes it.
        drop(begun);
    }

    /// Waits for a while since `swaps`.
    pub(super) fn pause(&self, pause: Duration, swaps: u64) -> Paused {
        let state = self.lock();
        let unchanged = |state: &mut State| !state.stop && state.swaps == swaps && state.frozen.is_none();
        let waited = self.told.wait_timeout_while(state, pause, unchanged);
        let state = waited.unwrap_or_else(PoisonError::into_inner).0;
        match (state.stop, state.swaps == swaps) {
            (true, _) => Paused::Stopped,
            (false, false) => Paused::Swapped,
            (false, true) if state.frozen.is_some() => Paused::Frozen,
            (false, true) => Paused::Over,
        }
    }
}

#[cfg(test)]
mod rest_tests;
#[cfg(test)]
mod tests;
