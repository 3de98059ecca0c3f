//! A FIFO that a route writes.
//!
//! While nobody reads it, its write end is kept, unregistered. That end alone keeps the bytes in the FIFO alive and lets
//! a reader's open(2) return, so that inotify tells of it (IN_OPEN comes only after open(2) has returned); POLLERR on it
//! says that nobody reads. A first write end can be had without a reader only while an O_RDWR descriptor, which is a
//! reader itself, is open for a moment. fifo(7), inotify(7), poll(2).

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::task::{Context, Poll};

use nix::fcntl::OFlag;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::place::{self, Retry, Sought};
use crate::endpoint::Side;
use crate::endpoint::ends::{Claim, Destination, DestinationOpening, GivenBack, OpenError, Surroundings};
use crate::model::FifoSpec;
use crate::store::{Claimed, Kept, Meaning};
use crate::sys::fifo::{Found, Identity};
use crate::sys::parcel::{self, Parcel, Slot, Unpacking};
use crate::sys::watch::Watch;
use crate::sys::{pipe, poll};
use crate::transport::{Growth, SavedGrowth, WriteEnd};

/// A FIFO as a destination.
#[derive(Debug)]
pub struct FifoDestination {
    spec: FifoSpec,
    place: String,
    around: Surroundings,
    state: State,
    claim: Option<Claim>,
    /// A write end of it outlives the daemon.
    kept: Kept,
    /// The end that a dead life of the daemon has left.
    left: Option<Claimed>,
    watch: Option<Watch>,
    retry: Retry,
    told: bool,
    trouble: Option<Arc<str>>,
    /// What was done to its size, while no end of it is in use.
    growth: Growth,
}

#[derive(Debug)]
enum State {
    Unopened,
    /// Somebody reads it, and it is not in the store yet.
    Keeping(WriteEnd),
    /// The relay has the end.
    Lent,
    /// Nobody reads it. The write end, where one could be opened.
    NoReader(Option<Arc<OwnedFd>>),
    Over,
}

/// As it goes into the daemon's next life. The watch does not: `poll_open` looks before it waits, so whoever has opened the
/// FIFO between the two lives is seen.
#[derive(Debug, Serialize, Deserialize)]
struct Packed {
    state: PackedState,
    claim: Option<Identity>,
    told: bool,
    #[serde(default)]
    deposit: Option<u64>,
    trouble: Option<String>,
    #[serde(default)]
    growth: SavedGrowth,
}

#[derive(Debug, Serialize, Deserialize)]
enum PackedState {
    Unopened,
    Keeping(Slot),
    Lent,
    NoReader(Option<Slot>),
    Over,
}

impl FifoDestination {
    /// `place` names it in messages.
    #[must_use]
    pub fn new(spec: FifoSpec, place: String, around: Surroundings) -> FifoDestination {
        let left = around.store.claim(&Meaning::FifoDestination(spec.path.clone())).pop();
        FifoDestination {
            spec,
            place,
            around,
            state: State::Unopened,
            claim: None,
            kept: Kept::No,
            left,
            watch: None,
            retry: Retry::default(),
            told: false,
            trouble: None,
            growth: Growth::default(),
        }
    }

    fn failed(&self, what: &str, error: &io::Error) -> OpenError {
        OpenError::new(format!("cannot {what} {}", self.spec.path.display()), error)
    }

    /// A first write end, with or without a reader; `None`: it has to be tried again.
    fn first(&mut self) -> Result<Option<Arc<OwnedFd>>, OpenError> {
        let Sought::Found(found) = place::seek(&self.spec)? else {
            self.trouble = Some(place::absent(&self.spec));
            return Ok(None);
        };
        self.trouble = None;
        place::claim(&self.spec, &found, &mut self.claim, &self.around, &self.place)?;
        if let Some((end, deposit)) = place::left(&self.spec, &found, self.left.take()) {
            self.kept = Kept::Yes(deposit);
            return Ok(Some(Arc::new(end)));
        }
        // By which another route had it until now: with it, what stands unread in it.
        if let Some((end, deposit)) = self.around.taken.take(found.identity(), Side::Destination) {
            place::size(&self.spec, &end);
            let keep = || Kept::put(&self.around.store, self.meaning(), &[end.as_fd()]);
            self.kept = deposit.map_or_else(keep, Kept::Yes);
            return Ok(Some(end));
        }
        let end = self.write_end(&found)?.map(Arc::new);
        if let Some(end) = &end {
            place::size(&self.spec, end);
            self.kept = Kept::put(&self.around.store, self.meaning(), &[end.as_fd()]);
        }
        Ok(end)
    }

    fn meaning(&self) -> Meaning {
        Meaning::FifoDestination(self.spec.path.clone())
    }

    fn write_end(&self, found: &Found) -> Result<Option<OwnedFd>, OpenError> {
        // A reader of our own for a moment, so that the write end opens though nobody else reads. Where we may not read
        // the FIFO, only asking again tells when somebody does.
        let _keeper = found.open_both();
        match found.open_write() {
            Ok(end) => Ok(Some(end)),
            Err(error) if error.raw_os_error() == Some(nix::libc::ENXIO) => Ok(None),
            Err(error) => Err(self.failed("open for writing", &error)),
        }
    }

    /// A write end that somebody reads, newly registered; `None`: nobody does.
    fn with_reader(&mut self, end: &Arc<OwnedFd>) -> Result<Option<WriteEnd>, OpenError> {
        if poll::now(end).no_reader {
            return Ok(None);
        }
        match pipe::reopen(end, OFlag::O_WRONLY | OFlag::O_NONBLOCK) {
            Ok(fresh) => {
                let end = WriteEnd::new(fresh).map_err(|error| self.failed("watch", &error))?;
                let end = end.with_growth(std::mem::take(&mut self.growth));
                Ok(Some(end.of_fixed_size(self.spec.pipe_size.is_some())))
            }
            // It has left again.
            Err(error) if error.raw_os_error() == Some(nix::libc::ENXIO) => Ok(None),
            Err(error) => Err(self.failed("open for writing", &error)),
        }
    }

    /// Looks whether somebody reads it.
    fn look(&mut self, kept: &mut Option<Arc<OwnedFd>>) -> Result<Option<WriteEnd>, OpenError> {
        if kept.is_none() {
            self.growth = Growth::default();
            *kept = self.first()?;
        }
        let Some(end) = kept else { return Ok(None) };
        let end = self.with_reader(end)?;
        self.trouble = None;
        Ok(end)
    }

    /// Waits for an opening of the FIFO: `Ready` to look again.
    fn poll_opening(&mut self, kept: Option<&Arc<OwnedFd>>, cx: &mut Context<'_>) -> Poll<()> {
        if self.watch.is_none()
            && let (Some(end), Some(openings)) = (kept, &self.around.openings)
            && let Ok(watch) = openings.watch(end)
        {
            // Somebody may have opened it just before the watch stood.
            self.watch = Some(watch);
            self.retry.reset();
            return Poll::Ready(());
        }
        match &self.watch {
            Some(watch) if self.trouble.is_none() => {
                watch.register(cx.waker());
                Poll::Pending
            }
            _ => self.retry.poll(cx),
        }
    }

    fn poll_reader(
        &mut self,
        mut kept: Option<Arc<OwnedFd>>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<DestinationOpening, OpenError>> {
        loop {
            match self.look(&mut kept) {
                Ok(Some(end)) => {
                    (self.watch, self.told) = (None, false);
                    self.retry.reset();
                    return self.poll_kept(end, cx);
                }
                Ok(None) => {}
                // What stands unread in a kept end is not given up for this.
                Err(error) if error.is_transient() || kept.is_some() => self.trouble = Some(error.text.into()),
                Err(error) => {
                    self.state = State::Over;
                    return Poll::Ready(Err(error));
                }
            }
            let polled = self.poll_opening(kept.as_ref(), cx);
            if polled.is_ready() {
                continue;
            }
            // The waker stands: what came between the look and it is seen by one more look.
            if let Some(end) = &kept
                && self.trouble.is_none()
                && !poll::now(end).no_reader
            {
                continue;
            }
            self.state = State::NoReader(kept);
            return match std::mem::replace(&mut self.told, true) {
                false => Poll::Ready(Ok(DestinationOpening::AwaitsReader)),
                true => Poll::Pending,
            };
        }
    }
}

impl FifoDestination {
    fn poll_kept(&mut self, end: WriteEnd, cx: &mut Context<'_>) -> Poll<Result<DestinationOpening, OpenError>> {
        if self.kept.poll(cx).is_pending() {
            self.state = State::Keeping(end);
            return Poll::Pending;
        }
        Poll::Ready(Ok(DestinationOpening::Open(end)))
    }
}

impl Destination for FifoDestination {
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<Result<DestinationOpening, OpenError>> {
        match std::mem::replace(&mut self.state, State::Lent) {
            State::Unopened => self.poll_reader(None, cx),
            State::Keeping(end) => self.poll_kept(end, cx),
            State::NoReader(kept) => self.poll_reader(kept, cx),
            state @ (State::Lent | State::Over) => {
                self.state = state;
                Poll::Pending
            }
        }
    }

    fn gone(&mut self, end: WriteEnd) -> u64 {
        self.growth = end.part_growth();
        self.state = State::NoReader(Some(Arc::clone(end.descriptor())));
        self.told = true;
        0
    }

    fn close(&mut self, end: Option<WriteEnd>) -> u64 {
        let unread = match &end {
            Some(end) if poll::now(end.descriptor()).no_reader => pipe::unread(end.descriptor()),
            Some(_) => 0,
            None => self.unread(),
        };
        (self.watch, self.claim, self.kept) = (None, None, Kept::No);
        self.growth = Growth::default();
        self.state = State::Over;
        unread
    }

    fn give_back(&mut self, end: Option<WriteEnd>) -> Option<GivenBack> {
        let kept = match std::mem::replace(&mut self.state, State::Over) {
            State::NoReader(kept) => kept,
            State::Keeping(end) => Some(Arc::clone(end.descriptor())),
            State::Unopened | State::Lent | State::Over => None,
        };
        if let Some(end) = end.map(|end| Arc::clone(end.descriptor())).or(kept) {
            let deposit = std::mem::take(&mut self.kept).into_deposit();
            self.around.taken.put(Side::Destination, end, deposit);
        }
        (self.watch, self.claim, self.kept) = (None, None, Kept::No);
        self.growth = Growth::default();
        None
    }

    fn revive(&mut self) {
        if matches!(self.state, State::Over) {
            (self.state, self.told) = (State::Unopened, false);
        }
    }

    fn unread(&self) -> u64 {
        match &self.state {
            State::NoReader(Some(end)) => pipe::unread(end),
            State::NoReader(None) | State::Unopened | State::Keeping(_) | State::Lent | State::Over => 0,
        }
    }

    fn kept(&self) -> Option<&Arc<OwnedFd>> {
        match &self.state {
            State::NoReader(kept) => kept.as_ref(),
            State::Unopened | State::Keeping(_) | State::Lent | State::Over => None,
        }
    }

    fn waits_by(&self) -> Option<&'static str> {
        match (&self.state, &self.watch) {
            (State::NoReader(_), Some(_)) => Some("inotify"),
            (State::NoReader(_), None) => Some("polling"),
            (State::Unopened | State::Keeping(_) | State::Lent | State::Over, _) => None,
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
            State::NoReader(kept) => PackedState::NoReader(parcel.put_some(kept.as_ref())?),
            State::Over => PackedState::Over,
        };
        parcel::written(&Packed {
            state,
            claim: self.claim.as_ref().map(Claim::identity),
            told: self.told,
            deposit: self.kept.number(),
            trouble: self.trouble.as_deref().map(str::to_owned),
            growth: self.growth.saved(),
        })
    }

    fn unpack(&mut self, packed: Value, parcel: &mut Unpacking) -> io::Result<()> {
        let packed: Packed = parcel::read(packed)?;
        self.state = match packed.state {
            PackedState::Unopened => State::Unopened,
            PackedState::Keeping(end) => {
                let end = WriteEnd::new(parcel.take(end)?)?;
                State::Keeping(end.of_fixed_size(self.spec.pipe_size.is_some()))
            }
            PackedState::Lent => State::Lent,
            PackedState::NoReader(kept) => State::NoReader(parcel.take_some(kept)?.map(Arc::new)),
            PackedState::Over => State::Over,
        };
        let reclaim = |identity| self.around.taken.reclaim(identity, &self.place);
        self.claim = packed.claim.map(reclaim).transpose()?;
        self.told = packed.told;
        let of_ours = match &self.state {
            State::Keeping(end) => Some(end.descriptor()),
            State::NoReader(kept) => kept.as_ref(),
            State::Unopened | State::Lent | State::Over => None,
        };
        self.kept = match (of_ours, packed.deposit) {
            (Some(end), None) => Kept::put(&self.around.store, self.meaning(), &[end.as_fd()]),
            (_, deposit) => self.around.store.again(deposit).map_or(Kept::No, Kept::Yes),
        };
        self.trouble = packed.trouble.map(Arc::from);
        self.growth = Growth::restored(packed.growth);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
