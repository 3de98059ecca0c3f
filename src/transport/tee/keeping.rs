//! Staging pipes that outlive the daemon: both ends are in the store, and a page of shared memory has what cannot be read off
//! the pipes. Killed between any two instructions, what stands in them is delivered once by the next life.
//!
//! The page: number 0 is 0, or 1 and the place of the lane that is filled last by the pending round; then for each lane the
//! number of its deposit, and how many bytes at the end of its pipe are not to be delivered. A pipe whose number is not
//! in the page is dead. docs/design/0014.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::task::{Context, Poll};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use serde::{Deserialize, Serialize};

use super::Staging;
use crate::model::Name;
use crate::store::{Claimed, Kept, Meaning, Store};
use crate::sys::parcel::{Parcel, Slot, Unpacking};
use crate::sys::pipe;
use crate::sys::shared::{Page, SLOTS};

const PENDING: usize = 0;
/// For so many pipes a page has room.
const PLACES: usize = (SLOTS - 1) / 2;

fn number_of(lane: usize) -> usize {
    1 + 2 * lane
}

fn ahead_of(lane: usize) -> usize {
    2 + 2 * lane
}

/// A staging pipe of a dead life, and its place in the page.
struct Found {
    staging: Staging,
    place: usize,
}

/// By which the staging pipes of a route are kept.
#[derive(Debug)]
pub(super) struct Keeping {
    store: Store,
    route: Name,
    /// Of the destinations, as shown.
    lanes: Vec<String>,
    /// From the first round on.
    page: Option<Page>,
    deposit: Kept,
}

/// The page on its way to the daemon's next life.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SavedKeeping {
    page: Option<Slot>,
    deposit: Option<u64>,
}

impl Keeping {
    /// `None` where there is no store, or a page has no room for so many lanes.
    pub(super) fn new(store: &Store, route: &Name, lanes: Vec<String>) -> Option<Keeping> {
        if !store.is_there() {
            return None;
        }
        if ahead_of(lanes.len()) >= SLOTS {
            let count = lanes.len();
            tracing::warn!(%route, "route:{route}: the staging pipes of {count} destinations will not outlive this daemon: they are too many");
            return None;
        }
        Some(Keeping {
            store: store.clone(),
            route: route.clone(),
            lanes,
            page: None,
            deposit: Kept::No,
        })
    }

    /// There is a page from now on. Not before it is needed: of two pages, a next life would have to guess.
    pub(super) fn open(&mut self) -> io::Result<()> {
        if self.page.is_none() {
            let page = Page::make("sluiced-round")?;
            self.deposit = Kept::put(&self.store, Meaning::Round(self.route.clone()), &[page.as_fd()]);
            self.page = Some(page);
        }
        Ok(())
    }

    fn get(&self, slot: usize) -> u64 {
        self.page.as_ref().map_or(0, |page| page.get(slot))
    }

    fn set(&self, slot: usize, number: u64) {
        if let Some(page) = &self.page {
            page.set(slot, number);
        }
    }

    /// The page of a dead life.
    fn claim_page(&mut self) {
        for Claimed { mut ends, deposit } in self.store.claim(&Meaning::Round(self.route.clone())) {
            match ends.pop().map(Page::open) {
                Some(Ok(page)) => (self.page, self.deposit) = (Some(page), Kept::Yes(deposit)),
                Some(Err(error)) => {
                    let route = &self.route;
                    tracing::warn!(%route, "route:{route}: the page of its last round cannot be read: {error}");
                }
                None => {}
            }
        }
    }

    /// What a dead life has left in the staging pipes, for each lane.
    pub(super) fn claim(&mut self) -> Vec<Option<Staging>> {
        self.claim_page();
        let mut found = self.find();
        self.settle(&mut found);
        let places: Vec<Option<usize>> = found
            .iter()
            .map(|found| found.as_ref().map(|found| found.place))
            .collect();
        self.put_in_place(&places);
        let some = |found: Found| (found.staging.bytes > 0).then_some(found.staging);
        found.into_iter().map(|found| found.and_then(some)).collect()
    }

    /// The pipes, by lane, and where in the page each is.
    fn find(&self) -> Vec<Option<Found>> {
        let mut found: Vec<Option<Found>> = (0..self.lanes.len()).map(|_| None).collect();
        for (i, name) in self.lanes.iter().enumerate() {
            for claimed in self.store.claim(&Meaning::Lane(self.route.clone(), name.clone())) {
                let Some(place) = self.lane_of(claimed.deposit.number()) else {
                    continue;
                };
                let Some(mut staging) = Staging::claimed(claimed) else {
                    continue;
                };
                let there = pipe::unread(&staging.read);
                staging.ahead = self.get(ahead_of(place)).min(there);
                staging.bytes = there - staging.ahead;
                found[i] = Some(Found { staging, place });
            }
        }
        found
    }

    /// Ends the pending round, if there is one. While it is noted, what is ahead is not looked at: killed in here, the next
    /// life does the same.
    fn settle(&self, found: &mut [Option<Found>]) {
        let Some(last) = usize::try_from(self.get(PENDING))
            .ok()
            .and_then(|pending| pending.checked_sub(1))
        else {
            return;
        };
        // Its pipe was empty: with bytes in it the round is over, and each has as many as that. Without, the source has
        // everything still.
        let count = found.iter().flatten().find(|found| found.place == last);
        let count = count.map_or(0, |found| found.staging.bytes + found.staging.ahead);
        for Found { staging, place } in found.iter_mut().flatten() {
            let there = staging.bytes + staging.ahead;
            staging.bytes = there.min(count);
            staging.ahead = there - staging.bytes;
            self.set(ahead_of(*place), staging.ahead);
        }
        self.set(PENDING, 0);
    }

    /// Each lane at its own place in the page, and nothing else in it; by way of the places that no lane has, so that there
    /// is no moment in which one is nowhere. `places`: where each is now.
    fn put_in_place(&self, places: &[Option<usize>]) {
        let mut spare = (0..PLACES)
            .rev()
            .filter(|place| *place >= places.len() && !places.contains(&Some(*place)));
        let moved = places
            .iter()
            .enumerate()
            .filter_map(|(i, place)| place.filter(|place| *place != i).map(|p| (i, p)));
        let moved: Vec<(usize, usize)> = moved.map(|(i, place)| (i, self.copy(place, spare.next()))).collect();
        for (i, place) in moved {
            self.copy(place, Some(i));
        }
        for place in (0..PLACES).filter(|place| places.get(*place).is_none_or(Option::is_none)) {
            self.set(number_of(place), 0);
        }
    }

    /// What is said of a pipe, at another place, too. Where it is said then.
    fn copy(&self, from: usize, to: Option<usize>) -> usize {
        let Some(to) = to else { return from };
        let (number, ahead) = (self.get(number_of(from)), self.get(ahead_of(from)));
        self.set(number_of(to), 0);
        self.set(ahead_of(to), ahead);
        self.set(number_of(to), number);
        to
    }

    fn lane_of(&self, number: u64) -> Option<usize> {
        (0..PLACES).find(|lane| self.get(number_of(*lane)) == number)
    }

    /// A new staging pipe, empty.
    pub(super) fn keep(&self, i: usize, staging: &mut Staging) {
        let meaning = Meaning::Lane(self.route.clone(), self.lanes.get(i).cloned().unwrap_or_default());
        staging.kept = Kept::put(&self.store, meaning, &[staging.read.as_fd(), staging.write.as_fd()]);
        self.set(ahead_of(i), 0);
        self.set(number_of(i), staging.kept.number().unwrap_or(0));
    }

    /// It is not used any more, whatever stands in it.
    pub(super) fn forget(&self, i: usize) {
        self.set(number_of(i), 0);
    }

    /// Before the first call of a round, or of what is left of it: this lane is to be filled last.
    pub(super) fn begin_round(&self, last: usize) {
        self.set(PENDING, 1 + last as u64);
    }

    /// So much at the end of a pipe is not to be delivered.
    pub(super) fn note_ahead(&self, i: usize, ahead: u64) {
        self.set(ahead_of(i), ahead);
    }

    /// What stands in the pipes, but for what is ahead, is to be delivered.
    pub(super) fn end_round(&self) {
        self.set(PENDING, 0);
    }

    pub(super) fn is_coming(&self) -> bool {
        self.deposit.is_coming()
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.deposit.poll_come(cx)
    }

    pub(super) fn pack(&self, parcel: &mut Parcel) -> io::Result<SavedKeeping> {
        Ok(SavedKeeping {
            page: parcel.put_some(self.page.as_ref())?,
            deposit: self.deposit.number(),
        })
    }

    /// Goes on with the page of the last life.
    pub(super) fn unpack(&mut self, saved: &SavedKeeping, parcel: &mut Unpacking) -> io::Result<()> {
        if let Some(page) = parcel.take_some(saved.page)? {
            let page = Page::open(page)?;
            let meaning = Meaning::Round(self.route.clone());
            self.deposit = Kept::again(&self.store, saved.deposit, meaning, &[page.as_fd()]);
            self.page = Some(page);
        }
        Ok(())
    }

    /// The same for a staging pipe; one that was on its way into the store is put in again.
    pub(super) fn again(&self, i: usize, number: Option<u64>, staging: &mut Staging) {
        match self.store.again(number) {
            Some(deposit) => staging.kept = Kept::Yes(deposit),
            None => self.keep(i, staging),
        }
    }
}

impl Staging {
    /// Which end is which is asked of the kernel.
    fn claimed(claimed: Claimed) -> Option<Staging> {
        let (mut read, mut write) = (None, None);
        for end in claimed.ends {
            match access(&end) {
                Some(OFlag::O_RDONLY) => read = Some(end),
                Some(OFlag::O_WRONLY) => write = Some(end),
                _ => {}
            }
        }
        let (read, write) = read.zip(write)?;
        let capacity = pipe::size(&write).ok()?;
        Some(Staging {
            read,
            write,
            capacity,
            bytes: 0,
            ahead: 0,
            kept: Kept::Yes(claimed.deposit),
        })
    }

    pub(super) fn number(&self) -> Option<u64> {
        self.kept.number()
    }
}

fn access(end: &OwnedFd) -> Option<OFlag> {
    let flags = OFlag::from_bits_retain(fcntl(end, FcntlArg::F_GETFL).ok()?);
    Some(flags & OFlag::O_ACCMODE)
}
