//! A FIFO that a route reads.
//!
//! It opens at once and waits for a writer. After an end of file a *new* description is opened before the old one is
//! dropped: dropping the last end of a FIFO discards what stands in it, and the reactor never forgets that the old
//! registration was hung up. fifo(7), poll(2).

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::task::{Context, Poll};

use nix::fcntl::OFlag;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::place::{self, Retry, Sought};
use crate::endpoint::Side;
use crate::endpoint::ends::{Claim, GivenBack, OpenError, Source, SourceOpening, Surroundings};
use crate::model::{FifoSpec, OnEof};
use crate::store::{Claimed, Deposit, Kept, Meaning};
use crate::sys::fifo::{self, Found, Identity};
use crate::sys::parcel::{self, Parcel, Slot, Unpacking};
use crate::sys::pipe;
use crate::transport::ReadEnd;

/// A FIFO as a source.
#[derive(Debug)]
pub struct FifoSource {
    spec: FifoSpec,
    on_eof: OnEof,
    place: String,
    around: Surroundings,
    state: State,
    claim: Option<Claim>,
    /// With `hold`: a write end of our own, so that there is no end of file.
    keeper: Option<OwnedFd>,
    /// An end of it outlives the daemon.
    kept: Kept,
    /// The end that a dead life of the daemon has left.
    left: Option<Claimed>,
    retry: Retry,
    trouble: Option<Arc<str>>,
}

#[derive(Debug)]
enum State {
    Unopened,
    /// It is not in the store yet.
    Keeping(ReadEnd),
    /// The relay has the end.
    Lent,
    /// The relay has met the end of file of this one.
    AtEnd(ReadEnd),
    Over,
}

/// As it goes into the daemon's next life. The same open file descriptions go there: whether one has seen a writer, and
/// so is hung up without one, is known by it alone. poll(2).
#[derive(Debug, Serialize, Deserialize)]
struct Packed {
    state: PackedState,
    claim: Option<Identity>,
    keeper: Option<Slot>,
    #[serde(default)]
    deposit: Option<u64>,
    trouble: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
enum PackedState {
    Unopened,
    Keeping(Slot),
    Lent,
    AtEnd(Slot),
    Over,
}

impl FifoSource {
    /// `place` names it in messages.
    #[must_use]
    pub fn new(spec: FifoSpec, on_eof: OnEof, place: String, around: Surroundings) -> FifoSource {
        let (state, claim, keeper) = (State::Unopened, None, None);
        let left = around.store.claim(&Meaning::FifoSource(spec.path.clone())).pop();
        FifoSource {
            spec,
            on_eof,
            place,
            around,
            state,
            claim,
            keeper,
            kept: Kept::No,
            left,
            retry: Retry::default(),
            trouble: None,
        }
    }

    fn open(&mut self) -> Result<Option<ReadEnd>, OpenError> {
        let Sought::Found(found) = place::seek(&self.spec)? else {
            return Ok(None);
        };
        place::claim(&self.spec, &found, &mut self.claim, &self.around, &self.place)?;
        self.open_found(&found).map(Some)
    }

    fn open_found(&mut self, found: &Found) -> Result<ReadEnd, OpenError> {
        let failed = |what: &str, error| OpenError::new(format!("cannot {what} {}", self.spec.path.display()), &error);
        let left = place::left(&self.spec, found, self.left.take());
        let (end, kept) = match left
            .map(|(end, deposit)| (end, Some(deposit)))
            .or_else(|| self.put_by(found))
        {
            // The same description: whether it has seen a writer is known by it alone.
            Some((end, Some(deposit))) => (end, Kept::Yes(deposit)),
            put_by => {
                let end = put_by.map_or_else(|| found.open_read(), |(end, _)| Ok(end));
                let end = end.map_err(|error| failed("open for reading", error))?;
                let meaning = Meaning::FifoSource(self.spec.path.clone());
                let kept = Kept::put(&self.around.store, meaning, &[end.as_fd()]);
                (end, kept)
            }
        };
        place::size(&self.spec, &end);
        let keeper = match self.on_eof {
            OnEof::Hold => Some(
                found
                    .open_write()
                    .map_err(|error| failed("hold open for writing", error))?,
            ),
            OnEof::Reopen | OnEof::Close => None,
        };
        let end = ReadEnd::new(end).map_err(|error| failed("watch", error))?;
        let end = end.of_fixed_size(self.spec.pipe_size.is_some());
        (self.keeper, self.kept) = (keeper, kept);
        Ok(end)
    }

    /// The end by which another route had it until now: with it, its writer and what stands in it.
    fn put_by(&self, found: &Found) -> Option<(OwnedFd, Option<Deposit>)> {
        let (end, deposit) = self.around.taken.take(found.identity(), Side::Source)?;
        // Whoever looks at the route that was may still have it.
        let end = Arc::try_unwrap(end).or_else(|end| end.try_clone()).ok()?;
        Some((end, deposit))
    }

    /// The FIFO that stands at the path now, if it is another one than that of `old`; else a new description of `old`.
    fn reopen(&mut self, old: &ReadEnd) -> Result<ReadEnd, OpenError> {
        if let Ok(found) = fifo::find(&self.spec.path)
            && fifo::identity(old.descriptor()).is_ok_and(|identity| identity != found.identity())
        {
            place::claim(&self.spec, &found, &mut self.claim, &self.around, &self.place)?;
            return self.open_found(&found);
        }
        self.renew(old)
    }

    fn renew(&self, old: &ReadEnd) -> Result<ReadEnd, OpenError> {
        pipe::reopen(old.descriptor(), OFlag::O_RDONLY | OFlag::O_NONBLOCK)
            .and_then(ReadEnd::new)
            .map(|end| {
                end.with_growth(old.part_growth())
                    .of_fixed_size(self.spec.pipe_size.is_some())
            })
            .map_err(|error| OpenError::new(format!("cannot open {} again", self.spec.path.display()), &error))
    }
}

impl Source for FifoSource {
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<Result<SourceOpening, OpenError>> {
        loop {
            let opened = match std::mem::replace(&mut self.state, State::Lent) {
                State::Unopened => self.open(),
                State::Keeping(end) => Ok(Some(end)),
                State::AtEnd(_) if self.on_eof == OnEof::Close => {
                    self.state = State::Over;
                    return Poll::Ready(Ok(SourceOpening::Ended));
                }
                // The old one is dropped only after the new one is open.
                State::AtEnd(old) => self
                    .reopen(&old)
                    .map(Some)
                    .inspect_err(|_| self.state = State::AtEnd(old)),
                state @ (State::Lent | State::Over) => {
                    self.state = state;
                    return Poll::Pending;
                }
            };
            let trouble = match opened {
                Ok(Some(end)) => {
                    self.trouble = None;
                    self.retry.reset();
                    if self.kept.poll(cx).is_pending() {
                        self.state = State::Keeping(end);
                        return Poll::Pending;
                    }
                    return Poll::Ready(Ok(SourceOpening::Open(end)));
                }
                Ok(None) => {
                    self.state = State::Unopened;
                    place::absent(&self.spec)
                }
                Err(error) if error.is_transient() => {
                    if let State::Lent = self.state {
                        self.state = State::Unopened;
                    }
                    error.text.into()
                }
                Err(error) => {
                    self.state = State::Over;
                    return Poll::Ready(Err(error));
                }
            };
            if self.trouble.replace(trouble).is_none() {
                return Poll::Ready(Ok(SourceOpening::Waits));
            }
            if self.retry.poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    fn at_end(&mut self, end: ReadEnd) {
        self.state = State::AtEnd(end);
    }

    fn refresh(&mut self, end: ReadEnd) -> Result<ReadEnd, OpenError> {
        self.renew(&end)
    }

    fn close(&mut self) {
        self.state = State::Over;
        self.keeper = None;
        self.claim = None;
        self.kept = Kept::No;
    }

    fn give_back(&mut self, end: Option<ReadEnd>) -> Vec<GivenBack> {
        let at_end = match std::mem::replace(&mut self.state, State::Over) {
            State::AtEnd(end) | State::Keeping(end) => Some(end),
            State::Unopened | State::Lent | State::Over => None,
        };
        if let Some(end) = end.or(at_end) {
            let deposit = std::mem::take(&mut self.kept).into_deposit();
            self.around
                .taken
                .put(Side::Source, Arc::clone(end.descriptor()), deposit);
        }
        self.close();
        Vec::new()
    }

    fn revive(&mut self) {
        if matches!(self.state, State::Over) {
            self.state = State::Unopened;
        }
    }

    fn trouble(&self) -> Option<Arc<str>> {
        self.trouble.clone()
    }

    fn pack(&self, parcel: &mut Parcel) -> io::Result<Value> {
        let state = match &self.state {
            State::Unopened => PackedState::Unopened,
            State::Keeping(end) => PackedState::Keeping(parcel.put(end.descriptor())?),
            State::Lent => PackedState::Lent,
            State::AtEnd(end) => PackedState::AtEnd(parcel.put(end.descriptor())?),
            State::Over => PackedState::Over,
        };
        parcel::written(&Packed {
            state,
            claim: self.claim.as_ref().map(Claim::identity),
            keeper: parcel.put_some(self.keeper.as_ref())?,
            deposit: self.kept.number(),
            trouble: self.trouble.as_deref().map(str::to_owned),
        })
    }

    fn unpack(&mut self, packed: Value, parcel: &mut Unpacking) -> io::Result<()> {
        let packed: Packed = parcel::read(packed)?;
        let mut again = |end| -> io::Result<ReadEnd> {
            Ok(ReadEnd::new(parcel.take(end)?)?.of_fixed_size(self.spec.pipe_size.is_some()))
        };
        self.state = match packed.state {
            PackedState::Unopened => State::Unopened,
            PackedState::Keeping(end) => State::Keeping(again(end)?),
            PackedState::Lent => State::Lent,
            PackedState::AtEnd(end) => State::AtEnd(again(end)?),
            PackedState::Over => State::Over,
        };
        let reclaim = |identity| self.around.taken.reclaim(identity, &self.place);
        self.claim = packed.claim.map(reclaim).transpose()?;
        self.keeper = parcel.take_some(packed.keeper)?;
        self.kept = match (&self.state, packed.deposit) {
            (State::Keeping(end), None) => {
                let meaning = Meaning::FifoSource(self.spec.path.clone());
                Kept::put(&self.around.store, meaning, &[end.descriptor().as_fd()])
            }
            (_, deposit) => self.around.store.again(deposit).map_or(Kept::No, Kept::Yes),
        };
        self.trouble = packed.trouble.map(Arc::from);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
