//! How a writer comes to rest: between two system calls, with all that has left the pipe either in the file and counted, or
//! known here.
//!
//! It never sleeps in a read(2). So one that waits for bytes is at rest as it is, and needs no waking: before it reads, it
//! has to ask.

use std::sync::{Arc, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use super::{Outcome, Progress, State};
use crate::endpoint::ends::{OpenError, Reached};
use crate::endpoint::file::target::Target;

/// What there is to know of a writer at rest.
#[derive(Clone, Debug)]
pub(in crate::endpoint::file) struct Resting {
    pub outcome: Outcome,
    pub target: Option<Arc<Target>>,
    /// As in `State`.
    pub within: bool,
    pub written: Reached,
    pub trouble: Option<Arc<str>>,
    /// Taken out of the pipe, and not written.
    pub rest: Bytes,
    /// The file is to be opened anew, and is not yet.
    pub reopens: bool,
    /// What is not written is dropped.
    pub stop: bool,
}

impl State {
    /// Whoever waits for the rest, if it has come.
    pub(super) fn freezer_at_rest(&mut self) -> Option<Waker> {
        self.freezer.take_if(|_| self.at_rest.is_some())
    }
}

impl Progress {
    /// Brings the writer to rest; ready when it is. A file that is just being opened is not waited for: nothing was written to
    /// it. Whoever waits for a reopening is told `put_off`.
    pub(in crate::endpoint::file) fn poll_freeze(&self, cx: &mut Context<'_>, put_off: OpenError) -> Poll<()> {
        let mut state = self.lock();
        let first = state.frozen.is_none();
        if first {
            state.reopening.put_off(&put_off);
            state.frozen = Some(put_off);
        }
        let at_rest = state.at_rest.is_some();
        state.freezer = (!at_rest).then(|| cx.waker().clone());
        drop(state);
        if first {
            // It may pause before the next try.
            self.told.notify_all();
        }
        if at_rest { Poll::Ready(()) } else { Poll::Pending }
    }

    /// It goes on.
    pub(in crate::endpoint::file) fn thaw(&self) {
        self.change(|state| {
            (state.frozen, state.freezer) = (None, None);
            None
        });
    }

    /// The writer wants to read. False: it was told to stop.
    pub(in crate::endpoint::file) fn may_read(&self) -> bool {
        !self.rested(&[]).stop
    }

    /// The writer waits for bytes.
    pub(in crate::endpoint::file) fn waits(&self) {
        let mut state = self.lock();
        state.at_rest = Some(Bytes::new());
        let waker = state.freezer_at_rest();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Rests for as long as it is to, with this in hand. Then the writer is at work, or told to stop.
    pub(super) fn rested(&self, in_hand: &[u8]) -> MutexGuard<'_, State> {
        let mut state = self.lock();
        if state.frozen.is_some() && !state.stop {
            state.at_rest = Some(Bytes::copy_from_slice(in_hand));
            let waker = state.freezer_at_rest();
            drop(state);
            if let Some(waker) = waker {
                waker.wake();
            }
            let frozen = |state: &mut State| state.frozen.is_some() && !state.stop;
            let waited = self.told.wait_while(self.lock(), frozen);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
        state.at_rest = None;
        state
    }

    /// All of it, as of one moment.
    pub(in crate::endpoint::file) fn resting(&self) -> Resting {
        let state = self.lock();
        Resting {
            outcome: state.outcome.clone(),
            target: state.target.clone(),
            within: state.within,
            written: state.written,
            trouble: state.trouble.clone(),
            rest: state.at_rest.clone().unwrap_or_default(),
            reopens: state.reopening.is_under_way(),
            stop: state.stop,
        }
    }

    /// A writer that goes on where one in the daemon's last life came to rest: the file is open.
    pub(in crate::endpoint::file) fn go_on(
        &self,
        target: Target,
        within: bool,
        trouble: Option<Arc<str>>,
        rest: Bytes,
    ) {
        self.change(|state| {
            state.outcome = Outcome::Writing;
            (state.within, state.trouble) = (within, trouble);
            // Known here until the writer has begun.
            state.at_rest = Some(rest);
            state.target.replace(Arc::new(target))
        });
    }
}
