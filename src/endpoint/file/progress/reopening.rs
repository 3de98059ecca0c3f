//! The wish to open a file anew, from when it is asked for until another target is in place.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use super::{Progress, State};
use crate::endpoint::ends::OpenError;
use crate::endpoint::file::target::Target;

/// How somebody who asked for a reopening is answered. Dropped unanswered when the file is closed before.
pub(in crate::endpoint::file) type Answer = oneshot::Sender<Result<(), OpenError>>;

#[derive(Debug, Default)]
pub(super) struct Reopening {
    /// How often it was asked for.
    asked: u64,
    /// Up to which of these somebody has opened the file, or is at it.
    begun: u64,
    /// Up to which of these it is known how it went.
    settled: u64,
    /// Somebody is at it.
    busy: bool,
    pub(super) next: Option<Next>,
    waiting: Vec<(u64, Answer)>,
}

/// A target that is to take the place of the one that is written.
#[derive(Debug)]
pub(super) struct Next {
    pub(super) target: Arc<Target>,
    pub(super) number: u64,
    /// In the middle of a record, too.
    pub(super) anywhere: bool,
}

impl Reopening {
    pub(super) fn settle(&mut self, number: u64, result: impl Fn() -> Result<(), OpenError>) {
        self.settled = self.settled.max(number);
        for (_, answer) in self.waiting.extract_if(.., |(asked, _)| *asked <= number) {
            // Who asked may have given up waiting.
            let _ = answer.send(result());
        }
    }

    /// The file is closed: nobody is answered any more.
    pub(super) fn forget(&mut self) -> Option<Next> {
        self.waiting.clear();
        self.next.take()
    }

    /// Whoever waits is told this, however it goes.
    pub(super) fn put_off(&mut self, error: &OpenError) {
        for (_, answer) in self.waiting.drain(..) {
            let _ = answer.send(Err(error.clone()));
        }
    }

    /// It was asked for, and it is not known yet how it went.
    pub(super) fn is_under_way(&self) -> bool {
        self.asked > self.settled
    }
}

impl State {
    /// Puts the new target in place, if there is one and this is the moment. The old one is to be dropped without the lock.
    pub(super) fn swap(&mut self) -> Option<Arc<Target>> {
        let next = self.reopening.next.as_ref()?;
        let mid_record = self.within && self.trouble.is_none() && !next.anywhere;
        // At rest everything stays as it may have been packed.
        let unmoved = self.frozen.is_some() || self.is_over() || self.target.is_none();
        if unmoved || self.in_hand.bytes > 0 || mid_record {
            return None;
        }
        let next = self.reopening.next.take()?;
        self.within = false;
        self.swaps += 1;
        self.reopening.settle(next.number, || Ok(()));
        self.target.replace(next.target)
    }
}

impl Progress {
    /// Somebody wants the file to be opened anew. True: nobody is at it yet, so the caller is to see to it.
    pub(in crate::endpoint::file) fn ask(&self, answer: Answer) -> bool {
        let mut state = self.lock();
        if state.is_over() {
            return false;
        }
        if let Some(error) = &state.frozen {
            let _ = answer.send(Err(error.clone()));
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
    pub(in crate::endpoint::file) fn next_asked(&self) -> Option<u64> {
        let mut state = self.lock();
        let wanted = !state.is_over() && state.reopening.asked > state.reopening.begun;
        let reopening = &mut state.reopening;
        reopening.busy = wanted;
        reopening.begun = reopening.asked;
        wanted.then_some(reopening.asked)
    }

    /// The file was opened anew: this takes its place, now or when a record has ended.
    pub(in crate::endpoint::file) fn offer(&self, target: Target, number: u64) {
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
    pub(in crate::endpoint::file) fn insist(&self, number: u64, patience: Duration) {
        let waits = |state: &State| {
            let reopening = &state.reopening;
            reopening.next.is_some() && reopening.asked == number && !state.is_over()
        };
        let waited = self
            .told
            .wait_timeout_while(self.lock(), patience, |state| waits(state));
        let (state, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        drop(state);
        if !waited.timed_out() {
            // It is in place, or will never be; or it is opened once more, and that is what is insisted on.
            return;
        }
        self.change(|state| {
            if let Some(next) = state.reopening.next.as_mut().filter(|next| next.number == number) {
                next.anywhere = true;
            }
            None
        });
    }

    /// The file could not be opened anew: the old one goes on being written.
    pub(in crate::endpoint::file) fn refuse(&self, number: u64, error: &OpenError) {
        let mut unwanted = None;
        self.change(|state| {
            unwanted = state.reopening.next.take();
            state.reopening.settle(number, || Err(error.clone()));
            None
        });
    }
}
