//! `distribution = "balance"`: each record to the open destination with the least queued.

use super::backlog::Batch;
use super::route::RelayedRoute;
use super::source::Tie;
use super::turn::TURN;
use crate::decide::dropping::Dropped;
use crate::decide::route::Event;
use crate::framing::Unit;

/// However little room there is, so much is read of a source that may be read.
const LEAST: usize = 512;

impl RelayedRoute {
    /// Whether what is read from a source has somewhere to go.
    pub(super) fn may_deal(&self, i: usize) -> bool {
        match self.sources[i].tie {
            // The parts of a begun record go on for a while, whatever its destination does.
            Some(Tie::To(to)) => {
                let destination = &self.destinations[to];
                destination.takeable() <= destination.backlog.most(destination.mark.high())
            }
            Some(Tie::Lost(_)) => true,
            None => (0..self.destinations.len()).any(|to| self.machine.gets_a_share(to) && !self.is_tied(to, i)),
        }
    }

    /// How much may be read of a source so that for each record of it there is somebody who has room.
    pub(super) fn room_to_deal(&self, i: usize) -> usize {
        let there = (0..self.destinations.len()).filter(|to| self.machine.gets_a_share(*to) && !self.is_tied(*to, i));
        let room = there.map(|to| {
            let destination = &self.destinations[to];
            destination
                .mark
                .high()
                .saturating_add(1)
                .saturating_sub(destination.queued())
        });
        let room = room
            .fold(0, u64::saturating_add)
            .saturating_sub(self.sources[i].framer.partial());
        usize::try_from(room).unwrap_or(usize::MAX).max(LEAST)
    }

    /// Whether another source is in the middle of a record to it.
    pub(super) fn is_tied(&self, to: usize, by_other_than: usize) -> bool {
        let others = self.sources.iter().enumerate();
        others
            .filter(|(i, _)| *i != by_other_than)
            .any(|(_, source)| source.tie == Some(Tie::To(to)))
    }

    /// Deals out records, and writes what can be written.
    pub(super) fn deal(&mut self, i: usize, batch: &Batch<'_>) {
        self.deal_units(i, batch);
        // What ends now ends behind all of the batch.
        for to in 0..self.destinations.len() {
            let written = self.destinations[to].flush(TURN);
            self.written(to, written);
        }
    }

    fn deal_units(&mut self, i: usize, batch: &Batch<'_>) {
        let mut at = 0;
        let mut filled = false;
        for unit in batch.units() {
            let tie = self.sources[i].tie;
            let to = match tie {
                Some(Tie::To(to)) => Ok(to),
                Some(Tie::Lost(to)) => Err(to),
                None => {
                    if !std::mem::replace(&mut filled, true) {
                        self.fill_shares(i);
                    }
                    self.next_to_deal_to(i)
                }
            };
            match to {
                Ok(to) => {
                    self.sources[i].tie = (!unit.last).then_some(Tie::To(to));
                    self.deal_one(to, batch, at, unit);
                }
                Err(to) => {
                    // The beginning of one that was begun was counted as the record.
                    let begins = self.sources[i].tie.is_none();
                    self.sources[i].tie = (!unit.last).then_some(Tie::Lost(to));
                    self.destinations[to].drop_more(Dropped {
                        bytes: unit.len as u64,
                        records: u64::from(begins),
                    });
                }
            }
            at += unit.len;
        }
    }

    fn deal_one(&mut self, to: usize, batch: &Batch<'_>, at: usize, unit: Unit) {
        let dropped = self.destinations[to].take_share(&batch.chunk, at, unit);
        self.tell_dropped(to, dropped);
        if unit.last {
            self.shares.put(to, self.destinations[to].queued());
        }
    }

    /// The one with the least queued of those that take; in turn, where several have as little. `Err`: everybody has
    /// ended, and it is lost with this one.
    fn next_to_deal_to(&mut self, i: usize) -> Result<usize, usize> {
        if let Some(to) = self.take_share() {
            return Ok(to);
        }
        // What was just dealt out may be written at once. An error comes again at the end of the deal.
        for destination in &mut self.destinations {
            let _ = destination.flush(TURN);
        }
        self.fill_shares(i);
        let takes = |route: &RelayedRoute, to: usize| route.machine.gets_a_share(to);
        let is_there = |route: &RelayedRoute, to: usize| !route.machine.destination(to).has_ended();
        self.take_share()
            .or_else(|| self.least_queued(i, takes))
            .or_else(|| self.least_queued(i, is_there))
            .ok_or(self.last_dealt)
    }

    fn fill_shares(&mut self, i: usize) {
        let mut shares = std::mem::take(&mut self.shares);
        let there = (0..self.destinations.len()).filter(|to| self.machine.gets_a_share(*to) && !self.is_tied(*to, i));
        shares.fill(there.map(|to| (to, self.destinations[to].queued())));
        self.shares = shares;
    }

    fn take_share(&mut self) -> Option<usize> {
        let destinations = &self.destinations;
        let to = self.shares.take(|to, queued| queued <= destinations[to].mark.high())?;
        self.last_dealt = to;
        Some(to)
    }

    fn least_queued(&mut self, i: usize, which: impl Fn(&RelayedRoute, usize) -> bool) -> Option<usize> {
        let count = self.destinations.len();
        let mut least: Option<(u64, usize)> = None;
        for step in 1..=count {
            let to = (self.last_dealt + step) % count;
            let queued = self.destinations[to].queued();
            if least.is_none_or(|(other, _)| queued < other) && which(self, to) && !self.is_tied(to, i) {
                least = Some((queued, to));
            }
        }
        let (_, to) = least?;
        self.last_dealt = to;
        Some(to)
    }

    /// The last record of a source that is over, or the end of one that was dealt out in parts.
    pub(super) fn finish_dealing(&mut self, i: usize, tie: Option<Tie>, batch: &Batch<'_>) {
        match tie {
            Some(Tie::To(to)) => self.finish_for(to, batch),
            Some(Tie::Lost(_)) => {}
            None => self.deal_units(i, batch),
        }
    }

    /// A destination has ended: what it had not begun goes to the others, unless that goes on with it in another route.
    pub(super) fn hand_over(&mut self, from: usize, goes_on: bool) {
        let to_others = (0..self.destinations.len()).any(|to| !self.machine.destination(to).has_ended());
        let tied = self.sources.iter().position(|source| source.tie == Some(Tie::To(from)));
        if let Some(i) = tied {
            self.sources[i].tie = Some(Tie::Lost(from));
        }
        if !to_others || goes_on {
            return;
        }
        let (handed, lost) = self.destinations[from].backlog.hand_over();
        self.destinations[from].drop_more(lost);
        let whole = handed
            .iter()
            .rposition(|(unit, _)| unit.last)
            .map_or(0, |last| last + 1);
        // The parts of one record go to one destination.
        let mut begun = None;
        let mut lost_one = false;
        for (at, (unit, bytes)) in handed.into_iter().enumerate() {
            let heir = begun.or_else(|| self.heir(at < whole));
            match heir {
                Some(to) if self.is_in_a_record(to) => self.destinations[to].backlog.push_behind(bytes, unit),
                Some(to) => self.destinations[to].backlog.push_handed(&bytes, unit),
                None => self.destinations[from].drop_more(Dropped {
                    bytes: unit.len as u64,
                    records: 0,
                }),
            }
            begun = heir.filter(|_| !unit.last);
            // All others are in the middle of a record, and nobody can wait for the end of this one.
            lost_one |= heir.is_none();
        }
        self.destinations[from].drop_more(Dropped {
            bytes: 0,
            records: u64::from(lost_one),
        });
        if let (Some(i), Some(to)) = (tied, begun) {
            self.sources[i].tie = Some(Tie::To(to));
        }
    }

    /// Who gets a record that somebody else cannot get any more. A whole one can wait for the end of another.
    fn heir(&mut self, whole: bool) -> Option<usize> {
        let nobody = self.sources.len();
        let takes = |route: &RelayedRoute, to: usize| route.machine.gets_a_share(to);
        let is_there = |route: &RelayedRoute, to: usize| !route.machine.destination(to).has_ended();
        self.least_queued(nobody, takes)
            .or_else(|| self.least_queued(nobody, is_there))
            .or_else(|| (0..self.destinations.len()).find(|to| whole && is_there(self, *to)))
    }

    /// Whether some source is in the middle of a record to it.
    fn is_in_a_record(&self, to: usize) -> bool {
        self.is_tied(to, self.sources.len())
    }

    /// Whether every source waits for the destination that its long record goes to.
    pub(super) fn look_at_ties(&mut self) {
        if self.sources.iter().any(|source| source.tie.is_some()) || self.is_held {
            let open = |i: &usize| !self.machine.source(*i).has_ended();
            let mut sources = (0..self.sources.len()).filter(open);
            let held = sources.clone().next().is_some() && sources.all(|i| !self.may_deal(i));
            self.is_held = held;
            self.tell(&Event::Held(held));
        }
    }
}
