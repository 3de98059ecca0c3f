//! The pipes of a life before its fork: where there is a store, no byte enters them before they are in it.

use std::task::{Context, Poll};

use super::driver::Driver;
use super::streams::{Ends, Streams};
use crate::decide::process::Event;
use crate::sys::process::Identity;

/// Made, and on their way into the store.
pub(super) struct Pipes {
    pub(super) life: u64,
    identity: Identity,
    ends: Ends,
}

impl Pipes {
    pub(super) fn new(life: u64, identity: Identity, ends: Ends) -> Pipes {
        Pipes { life, identity, ends }
    }

    /// Ready when all of them are there. `streams` has those that are kept over lives.
    pub(super) fn poll_stored(&mut self, streams: &mut Streams, cx: &mut Context<'_>) -> Poll<()> {
        let mut ready = streams.poll_stored(cx).is_ready();
        for lending in &mut self.ends.lend {
            ready &= lending.kept.poll(cx).is_ready();
        }
        if ready { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Driver {
    /// The life can be forked.
    pub(super) fn stored(&mut self) -> Option<Event> {
        let Pipes { life, identity, ends } = self.pipes.take()?;
        self.spawned(life, |driver| driver.fork(life, identity, ends).map(Some))
    }
}
