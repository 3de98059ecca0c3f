//! The fast path to several destinations: rounds of tee(2) and splice(2), no byte in user space.
//!
//! tee(2) always begins at the head of the source and takes nothing from it, so what one destination has of the head and
//! another has not can only be evened out while neither has been given away. Each destination has a *staging pipe*
//! for that. A *round* brings the same bytes into all of them, which are empty when it begins: it tees into the smallest
//! first, as much of that into each other, and at last splices into the largest. Only this last call takes bytes from the
//! source. Until then a round may stop anywhere, go on, or be given up, and nothing is lost, doubled or accepted. When
//! it is over, each destination is flushed from its staging pipe at its own pace.

use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use nix::errno::Errno;

use super::BULKY;
use super::end::{ReadEnd, WriteEnd};
use super::splice::{Call, Moved, call, obstacle};
use crate::model::Name;
use crate::store::{Kept, Store};
use crate::sys::pipe;

mod handover;
mod keeping;

pub use handover::SavedTee;
use keeping::Keeping;

/// The smallest and largest staging pipes that are asked for.
const CAPACITY: std::ops::RangeInclusive<u64> = 4096..=1024 * 1024;

/// What a round did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TeeMoved {
    /// It is over: so many bytes, at least one, have left the source and stand in each staging pipe.
    Bytes(usize),
    /// There is nothing to read now.
    Nothing,
    /// Every writer has left and nothing is left to read: an end of file.
    End,
    /// This destination's staging pipe is not empty: flush it first.
    Busy(usize),
    /// A staging pipe is not in the store yet (`poll_kept`).
    Unkept,
    /// tee(2) or splice(2) does not work here, or there is no pipe to be had. Nothing has left the source. The round goes
    /// on with the next call, unless it is abandoned.
    Refused(Errno),
}

/// The staging pipes of a route with several destinations, and the round that fills them.
#[derive(Debug)]
pub struct Tee {
    lanes: Vec<Lane>,
    /// Of the round that has begun and is not over. Weak: a source is closed by whoever drops it, with a round or not.
    source: Option<Weak<OwnedFd>>,
    calls: Calls,
    /// By which the pipes outlive the daemon.
    keeping: Option<Keeping>,
    /// Room for two lists of lanes, so that a round allocates nothing.
    members: Vec<usize>,
    lacking: Vec<usize>,
}

/// One destination's.
#[derive(Debug)]
struct Lane {
    wanted: u64,
    /// Made when it is first needed.
    staging: Option<Staging>,
}

#[derive(Debug)]
struct Staging {
    read: OwnedFd,
    write: OwnedFd,
    capacity: u64,
    /// Brought by a round that is over. These are accepted, and come first.
    bytes: u64,
    /// Behind them stand so many that the source has still: this lane's part of a pending round, or what is too much of
    /// one that was over with less. Such a pipe is not used again.
    ahead: u64,
    kept: Kept,
}

/// The system calls; tests have others.
#[derive(Clone, Copy, Debug)]
struct Calls {
    tee: Call,
    splice: Call,
}

impl Calls {
    const KERNEL: Calls = Calls {
        tee: |from, to, most| pipe::tee(from, to, most),
        splice: |from, to, most| pipe::splice(from, to, most),
    };
}

impl Tee {
    /// One staging pipe for each destination, of at most so many bytes. How large it is in the end is
    /// the kernel's answer, and a round brings no more than the smallest takes.
    #[must_use]
    pub fn new(capacities: impl IntoIterator<Item = u64>) -> Tee {
        let lane = |most: u64| Lane {
            // The kernel rounds up to a power of two.
            wanted: 1 << most.clamp(*CAPACITY.start(), *CAPACITY.end()).ilog2(),
            staging: None,
        };
        Tee {
            lanes: capacities.into_iter().map(lane).collect(),
            source: None,
            calls: Calls::KERNEL,
            keeping: None,
            members: Vec::new(),
            lacking: Vec::new(),
        }
    }

    /// With pipes that outlive the daemon, where there is a store; `lanes`: the destinations, as shown. What a dead life has
    /// left in them is the first to be flushed.
    #[must_use]
    pub fn kept(mut self, store: &Store, route: &Name, lanes: Vec<String>) -> Tee {
        self.keeping = Keeping::new(store, route, lanes);
        if let Some(keeping) = &mut self.keeping {
            for (lane, left) in std::iter::zip(&mut self.lanes, keeping.claim()) {
                lane.staging = left;
            }
        }
        self
    }

    /// Ready when a staging pipe that was waited for is in the store.
    pub fn poll_kept(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut ready = self.keeping.as_mut().is_some_and(|keeping| keeping.poll(cx).is_ready());
        for staging in self.lanes.iter_mut().filter_map(|lane| lane.staging.as_mut()) {
            ready |= staging.kept.poll_come(cx).is_ready();
        }
        if ready { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Makes the pipes that are not there; false when some are not in the store yet.
    fn open(&mut self, members: &[usize]) -> io::Result<bool> {
        let mut kept = true;
        if let Some(keeping) = &mut self.keeping {
            keeping.open()?;
        }
        for i in members {
            let lane = &mut self.lanes[*i];
            let is_new = lane.open()?;
            if let (Some(keeping), Some(staging)) = (&self.keeping, &mut lane.staging) {
                if is_new {
                    keeping.keep(*i, staging);
                }
                kept &= !staging.kept.is_coming();
            }
        }
        Ok(kept && !self.keeping.as_ref().is_some_and(Keeping::is_coming))
    }

    /// Brings at most `most` bytes of the source into the staging pipe of each destination that `takes` bytes, or goes
    /// on with that. Destinations may come and go in the middle of a round.
    pub fn round(&mut self, from: &ReadEnd, most: usize, takes: impl Fn(usize) -> bool) -> TeeMoved {
        let is_same = |source: &Weak<OwnedFd>| std::ptr::eq(source.as_ptr(), Arc::as_ptr(from.descriptor()));
        if !self.source.as_ref().is_some_and(is_same) {
            self.abandon();
        }
        let mut members = std::mem::take(&mut self.members);
        members.clear();
        members.extend((0..self.lanes.len()).filter(|i| takes(*i)));
        let moved = self.round_of(from, most, &members);
        self.members = members;
        moved
    }

    fn round_of(&mut self, from: &ReadEnd, most: usize, members: &[usize]) -> TeeMoved {
        if let Some(busy) = members.iter().find(|i| self.bytes(**i) > 0) {
            return TeeMoved::Busy(*busy);
        }
        if most == 0 {
            return TeeMoved::Nothing;
        }
        match self.open(members) {
            Ok(true) => {}
            Ok(false) => return TeeMoved::Unkept,
            Err(error) => return TeeMoved::Refused(error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)),
        }
        match self.advance(from, most, members) {
            Moved::Bytes(count) => {
                if count >= BULKY {
                    from.grow();
                }
                let room = members.iter().map(|i| self.capacity(*i)).min().unwrap_or(0);
                from.set_short((count as u64) < room.min(most as u64));
                self.settle(members, count as u64);
                TeeMoved::Bytes(count)
            }
            Moved::Nothing => {
                // In the middle of a round: somebody else reads this FIFO, too.
                self.abandon();
                TeeMoved::Nothing
            }
            Moved::End => {
                self.abandon();
                TeeMoved::End
            }
            Moved::Refused(errno) => TeeMoved::Refused(errno),
            // Of a pipe whose other end is ours, and of one that is empty by our count.
            Moved::NoReader => TeeMoved::Refused(Errno::EPIPE),
            Moved::Full => TeeMoved::Refused(Errno::EAGAIN),
        }
    }

    /// Whether a round has begun and is not over. Nothing else may read the source then; abandon the round first.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        self.source.is_some()
    }

    /// Gives a pending round up. Nothing of it was accepted, and the source has it all.
    pub fn abandon(&mut self) {
        self.source = None;
        for i in 0..self.lanes.len() {
            if let (Some(keeping), ahead @ 1..) = (&self.keeping, self.ahead(i)) {
                keeping.note_ahead(i, ahead);
            }
        }
        if let Some(keeping) = &self.keeping {
            keeping.end_round();
        }
        for i in 0..self.lanes.len() {
            self.drop_if_spoilt(i);
        }
    }

    /// What stands in a destination's staging pipe and was accepted for it.
    #[must_use]
    pub fn bytes(&self, i: usize) -> u64 {
        self.lanes[i].staging.as_ref().map_or(0, |staging| staging.bytes)
    }

    /// Splices from a destination's staging pipe to its end, without waiting. `Moved::Nothing`: nothing stands there.
    /// With `NoReader` and `Refused` the bytes stay; `unstage` gets them out where splice(2) does not.
    pub fn flush(&mut self, i: usize, to: &WriteEnd) -> Moved {
        let splice = self.calls.splice;
        let lane = &mut self.lanes[i];
        let Some(staging) = lane.staging.as_ref().filter(|staging| staging.bytes > 0) else {
            return Moved::Nothing;
        };
        let most = usize::try_from(staging.bytes).unwrap_or(usize::MAX);
        let moved = to.attempt(|output| match call(staging.read.as_fd(), output, most, splice) {
            Moved::Full => Err(ErrorKind::WouldBlock.into()),
            moved => Ok(moved),
        });
        match moved {
            Ok(Some(Moved::Bytes(count))) => {
                if count >= BULKY {
                    to.grow();
                }
                self.flushed(i, count);
                Moved::Bytes(count)
            }
            // Empty, against our count: this does not get better.
            Ok(Some(Moved::Nothing | Moved::End)) => Moved::Refused(Errno::EIO),
            Ok(Some(moved)) => moved,
            Ok(None) => Moved::Full,
            Err(error) => Moved::refused(&error),
        }
    }

    /// Reads from a destination's staging pipe, for its queue: 0 when nothing stands there.
    pub fn unstage(&mut self, i: usize, buffer: &mut [u8]) -> io::Result<usize> {
        let lane = &mut self.lanes[i];
        let Some(staging) = lane.staging.as_ref().filter(|staging| staging.bytes > 0) else {
            return Ok(0);
        };
        let most = usize::try_from(staging.bytes).map_or(buffer.len(), |bytes| bytes.min(buffer.len()));
        let count = loop {
            match nix::unistd::read(&staging.read, &mut buffer[..most]) {
                Ok(count) => break count,
                Err(Errno::EINTR) => {}
                Err(error) => return Err(crate::sys::errno::io(error)),
            }
        };
        self.flushed(i, count);
        Ok(count)
    }

    /// A destination has ended: drops its staging pipe, and tells how many accepted bytes stood there.
    pub fn clear(&mut self, i: usize) -> u64 {
        if let Some(keeping) = &self.keeping {
            keeping.forget(i);
        }
        self.lanes[i].staging.take().map_or(0, |staging| staging.bytes)
    }

    /// Everything of a round that is not done yet. The answer is that of the first call that did not move bytes, or of
    /// the last call.
    fn advance(&mut self, from: &ReadEnd, most: usize, members: &[usize]) -> Moved {
        if let Err(error) = self.find_lacking(members) {
            return Moved::refused(&error);
        }
        let Some(last) = self.lacking.pop() else {
            return Moved::Nothing;
        };
        if let Some(keeping) = &self.keeping {
            keeping.begin_round(last);
        }
        let staged = members.iter().map(|i| self.ahead(*i)).filter(|ahead| *ahead > 0);
        let mut share = staged.min().map_or(most, |staged| {
            usize::try_from(staged).map_or(most, |staged| staged.min(most))
        });
        for at in 0..self.lacking.len() {
            let i = self.lacking[at];
            match self.fill(i, from, share, self.calls.tee) {
                // Less than the others have: then the round is over with less.
                Moved::Bytes(count) => share = count,
                moved => return moved,
            }
            self.source.get_or_insert_with(|| Arc::downgrade(from.descriptor()));
        }
        self.fill(last, from, share, self.calls.splice)
    }

    /// The members that have nothing of this round yet, the smallest staging pipe first. There is at least one of them,
    /// unless there is no member: somebody has to take the bytes off the source.
    fn find_lacking(&mut self, members: &[usize]) -> io::Result<()> {
        if members.iter().all(|i| self.ahead(*i) > 0)
            && let Some(largest) = members.iter().max_by_key(|i| self.capacity(**i))
        {
            self.clear(*largest);
            if !self.open(members)? {
                // It is used before it is kept: a round that somebody has left in the middle does not wait for that.
                tracing::debug!("a staging pipe is used before the service manager keeps it");
            }
        }
        let mut lacking = std::mem::take(&mut self.lacking);
        lacking.clear();
        lacking.extend(members.iter().filter(|i| self.ahead(**i) == 0));
        lacking.sort_by_key(|i| self.capacity(*i));
        self.lacking = lacking;
        Ok(())
    }

    /// One call from the source into a staging pipe.
    fn fill(&mut self, i: usize, from: &ReadEnd, most: usize, by: Call) -> Moved {
        let lane = &mut self.lanes[i];
        let Some(staging) = &mut lane.staging else {
            return Moved::Refused(Errno::EBADF);
        };
        // After a round with less than there was room for, to ask is cheaper than to try.
        let asks = self.source.is_none() && from.was_short();
        from.set_short(false);
        let moved = from.attempt(|input| {
            let output = staging.write.as_fd();
            let known = asks.then(|| obstacle(input, output)).flatten();
            match known.unwrap_or_else(|| call(input, output, most, by)) {
                Moved::Nothing => Err(ErrorKind::WouldBlock.into()),
                moved => Ok(moved),
            }
        });
        match moved {
            Ok(Some(Moved::Bytes(count))) => {
                staging.ahead = count as u64;
                Moved::Bytes(count)
            }
            Ok(Some(moved)) => {
                if moved == Moved::Full {
                    self.clear(i);
                }
                moved
            }
            Ok(None) => Moved::Nothing,
            Err(error) => Moved::refused(&error),
        }
    }

    /// The round is over: so many bytes have left the source, and each member has as many, or more.
    fn settle(&mut self, members: &[usize], count: u64) {
        for i in members {
            if let Some(staging) = &mut self.lanes[*i].staging {
                staging.bytes = count;
                staging.ahead = staging.ahead.saturating_sub(count);
                if let Some(keeping) = &self.keeping {
                    keeping.note_ahead(*i, staging.ahead);
                }
            }
        }
        // Who left in the middle has a part of it.
        self.abandon();
    }

    /// So many bytes have left a staging pipe.
    fn flushed(&mut self, i: usize, count: usize) {
        if let Some(staging) = &mut self.lanes[i].staging {
            staging.bytes = staging.bytes.saturating_sub(count as u64);
        }
        self.drop_if_spoilt(i);
    }

    /// A pipe that holds only what was not accepted: its next bytes would come behind that.
    fn drop_if_spoilt(&mut self, i: usize) {
        let is_spoilt = |staging: &Staging| staging.bytes == 0 && staging.ahead > 0;
        if self.lanes[i].staging.as_ref().is_some_and(is_spoilt) {
            self.clear(i);
        }
    }

    fn ahead(&self, i: usize) -> u64 {
        self.lanes[i].staging.as_ref().map_or(0, |staging| staging.ahead)
    }

    fn capacity(&self, i: usize) -> u64 {
        self.lanes[i].staging.as_ref().map_or(0, |staging| staging.capacity)
    }
}

impl Lane {
    /// Whether it is new.
    fn open(&mut self) -> io::Result<bool> {
        if self.staging.is_some() {
            return Ok(false);
        }
        let (read, write) = pipe::pair()?;
        pipe::set_nonblocking(&read, true)?;
        pipe::set_nonblocking(&write, true)?;
        let capacity = match pipe::size(&write)? {
            size if size == self.wanted => size,
            // EPERM: it stays as it is, which may be two pages.
            size => pipe::set_size(&write, self.wanted).unwrap_or(size),
        };
        self.staging = Some(Staging {
            read,
            write,
            capacity,
            bytes: 0,
            ahead: 0,
            kept: Kept::No,
        });
        Ok(true)
    }
}

#[cfg(test)]
mod tests;
