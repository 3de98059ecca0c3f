//! What a file's writer, its relay and a reopening tell each other.
//!
//! A reopening puts a new target beside the one that is written; it takes its place between two write(2)s, at the end
//! of a record where that can be had. Neither waits for the other: the writer may be asleep or stuck in a write.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::sync::oneshot;

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

/// How somebody who asked for a reopening is answered. Dropped unanswered when the file is closed before.
type Answer = oneshot::Sender<Result<(), OpenError>>;

/// The lock is held for a few instructions only, and for a look through one chunk while a new target waits for the end
/// of a record. No file is closed under it: that may take as long as the disk likes.
#[derive(Debug)]
pub(super) struct Progress {
    state: Mutex<State>,
    /// A stop, a new target in place, another wish to reopen.
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
}

#[derive(Debug, Default)]
struct Reopening {
    /// How often it was asked for.
    asked: u64,
    /// Up to which of these somebody has opened the file, or is at it.
    begun: u64,
    /// Somebody is at it.
    busy: bool,
    next: Option<Next>,
    waiting: Vec<(u64, Answer)>,
}

/// A target that is to take the place of the one that is written.
#[derive(Debug)]
struct Next {
    target: Arc<Target>,
    number: u64,
    /// In the middle of a record, too.
    anywhere: bool,
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
    /// It was told to stop.
    Stopped,
}

impl State {
    fn is_over(&self) -> bool {
        self.stop || matches!(self.outcome, Outcome::Failed(_) | Outcome::Done)
    }

    /// Puts the new target in place, if there is one and this is the moment. The old one is to be dropped without the lock.
    fn swap(&mut self) -> Option<Arc<Target>> {
        let next = self.reopening.next.as_ref()?;
        let mid_record = self.within && self.trouble.is_none() && !next.anywhere;
        if self.is_over() || self.target.is_none() || self.in_hand.bytes > 0 || mid_record {
            return None;
        }
        let next = self.reopening.next.take()?;
        self.within = false;
        self.swaps += 1;
        self.reopening.answer(next.number, || Ok(()));
        self.target.replace(next.target)
    }
}

impl Reopening {
    fn answer(&mut self, number: u64, result: impl Fn() -> Result<(), OpenError>) {
        for (_, answer) in self.waiting.extract_if(.., |(asked, _)| *asked <= number) {
            // Who asked may have given up waiting.
            let _ = answer.send(result());
        }
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
        state.reopening.waiting.clear();
        drop(state);
        self.told.notify_all();
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
            state.reopening.waiting.clear();
            next = state.reopening.next.take();
            state.target.take()
        });
    }

    /// Changes something, and puts a new target in place if it may be now. The old one is closed without the lock.
    fn change(&self, change: impl FnOnce(&mut State) -> Option<Arc<Target>>) {
        let mut state = self.lock();
        let old = (change(&mut state), state.swap());
        state.changed = true;
        let waker = state.waker.take();
        drop(state);
        self.told.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
        drop(old);
    }

    /// Takes a chunk, or as much of it as goes into the same target, in hand. `None`: it was told to stop.
    pub(super) fn begin(&self, chunk: &[u8]) -> Option<Begun> {
        let in_hand = self.count(chunk);
        let mut state = self.lock();
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
        let unchanged = |state: &mut State| !state.stop && state.swaps == swaps;
        let waited = self.told.wait_timeout_while(state, pause, unchanged);
        let state = waited.unwrap_or_else(PoisonError::into_inner).0;
        match (state.stop, state.swaps == swaps) {
            (true, _) => Paused::Stopped,
            (false, false) => Paused::Swapped,
            (false, true) => Paused::Over,
        }
    }

    /// Somebody wants the file to be opened anew. True: nobody is at it yet, so the caller is to see to it.
    pub(super) fn ask(&self, answer: Answer) -> bool {
        let mut state = self.lock();
        if state.is_over() {
            return false;
        }
        let reopening = &mut state.reopening;
        reopening.asked += 1;
        reopening.waiting.push((reopening.asked, answer));
        let first = !std::mem::replace(&mut reopening.busy, true);
        drop(state);
        self.told.notify_all();
        first
    }

    /// What is to be opened for: all that was asked for until now. `None`: nobody has asked since, and whoever asks next
    /// is to see to it.
    pub(super) fn next_asked(&self) -> Option<u64> {
        let mut state = self.lock();
        let wanted = !state.is_over() && state.reopening.asked > state.reopening.begun;
        let reopening = &mut state.reopening;
        reopening.busy = wanted;
        reopening.begun = reopening.asked;
        wanted.then_some(reopening.asked)
    }

    /// The file was opened anew: this takes its place, now or when a record has ended.
    pub(super) fn offer(&self, target: Target, number: u64) {
        let target = Arc::new(target);
        let mut held = Some(Next {
            target,
            number,
            anywhere: false,
        });
        // It holds what is not wanted, if anything, and is dropped without the lock.
        self.change(|state| {
            if !state.is_over() {
                held = std::mem::replace(&mut state.reopening.next, held.take());
            }
            None
        });
    }

    /// Waits for so long that what was offered takes its place; then it does after the next write(2), wherever that ends.
    pub(super) fn insist(&self, number: u64, patience: Duration) {
        let waits = |state: &State| {
            let reopening = &state.reopening;
            reopening.next.is_some() && reopening.asked == number && !state.is_over()
        };
        let waited = self
            .told
            .wait_timeout_while(self.lock(), patience, |state| waits(state));
        drop(waited);
        self.change(|state| {
            if let Some(next) = state.reopening.next.as_mut().filter(|next| next.number == number) {
                next.anywhere = true;
            }
            None
        });
    }

    /// The file could not be opened anew: the old one goes on being written.
    pub(super) fn refuse(&self, number: u64, error: &OpenError) {
        let mut unwanted = None;
        self.change(|state| {
            unwanted = state.reopening.next.take();
            state.reopening.answer(number, || Err(error.clone()));
            None
        });
    }
}

#[cfg(test)]
mod tests;
