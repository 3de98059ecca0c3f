//! What a destination has still to get: the bytes, and what is known of the records that they are.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::decide::dropping::Dropped;
use crate::framing::{Unit, Units};
use crate::model::{DestinationSpec, Framing, RouteSpec, WhenFull};
use crate::overflow::{Handed, Ledger, Rule};
use crate::sys::parcel::{Blob, Parcel, Unpacking};
use crate::transport::{Chunk, Queue};

/// With `block`, a record that is dealt out in parts may grow beyond the high watermark by so many times `max-record`.
const GRACE: u64 = 16;

/// What goes on from a source at once: some records, or a part of one, or bytes that are none.
#[derive(Debug)]
pub(super) struct Batch<'a> {
    pub chunk: Chunk<'a>,
    pub terminator: Option<u8>,
    /// The last byte is the end of a record.
    pub ended: bool,
    /// How many records end in it.
    pub records: u64,
}

impl Batch<'_> {
    pub fn units(&self) -> Units<'_> {
        Units::new(self.chunk.head_len(), self.chunk.body(), self.terminator, self.ended)
    }
}

/// A destination's queue.
#[derive(Debug)]
pub(super) struct Backlog {
    queue: Queue,
    /// Where it matters which bytes are one record.
    ledger: Option<Ledger>,
    /// Whole records that somebody else had: they come behind the one whose parts are still coming.
    behind: Vec<(Unit, Bytes)>,
    policy: WhenFull,
    grace: u64,
}

/// A backlog on its way to the daemon's next life. Its policy is the config's.
#[derive(Serialize, Deserialize)]
pub(super) struct SavedBacklog {
    queue: Blob,
    ledger: Option<Ledger>,
    /// With each, whether its record ends with it.
    behind: Vec<(Blob, bool)>,
}

/// What a destination has still to get when it goes on in another route.
#[derive(Debug)]
pub(super) struct Owed {
    queue: Queue,
    ledger: Option<Ledger>,
}

impl Owed {
    pub fn bytes(&self) -> u64 {
        self.queue.bytes()
    }

    /// Those that are counted when they have left.
    pub fn records(&self) -> u64 {
        self.ledger.as_ref().map_or(0, Ledger::records)
    }
}

/// What became of a batch that could not be written at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Kept {
    /// Records in the part that had been written.
    pub written: u64,
    pub dropped: Dropped,
}

impl Backlog {
    pub fn new(route: &RouteSpec, destination: &DestinationSpec) -> Backlog {
        let chunks = route.framing == Framing::Bytes;
        let ledger = (!chunks || destination.when_full != WhenFull::Block).then(|| Ledger::new(chunks));
        Backlog {
            queue: Queue::default(),
            ledger,
            behind: Vec::new(),
            policy: destination.when_full,
            grace: match destination.when_full {
                WhenFull::Block => route.max_record.saturating_mul(GRACE),
                WhenFull::DropNewest | WhenFull::DropOldest => route.max_record,
            },
        }
    }

    pub fn policy(&self) -> WhenFull {
        self.policy
    }

    /// Another policy holds from now on. What is queued already is delivered.
    pub fn retune(&mut self, route: &RouteSpec, destination: &DestinationSpec) {
        let fresh = Backlog::new(route, destination);
        (self.policy, self.grace) = (fresh.policy, fresh.grace);
        if let (None, Some(mut ledger)) = (&self.ledger, fresh.ledger) {
            if let Ok(len @ 1..) = usize::try_from(self.queue.bytes()) {
                ledger.push_begun(Unit { len, last: true });
            }
            self.ledger = Some(ledger);
        }
    }

    pub fn bytes(&self) -> u64 {
        self.queue.bytes()
    }

    /// So many bytes wait for the end of a record that comes in parts.
    pub fn behind(&self) -> u64 {
        self.behind.iter().map(|(unit, _)| unit.len as u64).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// For one writev(2).
    pub fn queue(&self) -> &Queue {
        &self.queue
    }

    /// How far the parts of one record may make it grow, in bytes.
    pub fn most(&self, high: u64) -> u64 {
        high.saturating_add(self.grace)
    }

    /// Whether what comes can be written at once, in front of nothing.
    pub fn passes(&self) -> bool {
        self.queue.is_empty() && self.ledger.as_ref().is_none_or(Ledger::passes)
    }

    /// A batch was written at once.
    pub fn passed(&mut self, batch: &Batch<'_>) {
        if let Some(ledger) = &mut self.ledger {
            ledger.passed(batch.ended);
        }
    }

    /// Keeps what the policy accepts of a batch of which `done` bytes were written at once. `elsewhere`: what is queued
    /// for this destination behind its end.
    pub fn keep(&mut self, batch: &Batch<'_>, done: usize, high: u64, elsewhere: u64) -> Kept {
        let chunk = &batch.chunk;
        let Some(ledger) = &mut self.ledger else {
            self.queue.push(chunk, done..chunk.len());
            return Kept::default();
        };
        let mut units = batch.units();
        let (mut at, mut written) = (0, 0);
        if done > 0 {
            ledger.passed(true);
        }
        while at < done
            && let Some(unit) = units.next()
        {
            at += unit.len;
            if at > done {
                let len = at - done;
                ledger.push_begun(Unit { len, last: unit.last });
                self.queue.push(chunk, done..at);
            } else {
                written += u64::from(unit.last);
            }
        }
        let dropped = self.admit(chunk, at, units, high, elsewhere);
        Kept { written, dropped }
    }

    /// Keeps one record, or a part of one, that stands at `at` in a chunk, if the policy accepts it.
    pub fn keep_unit(&mut self, chunk: &Chunk<'_>, at: usize, unit: Unit, high: u64, elsewhere: u64) -> Dropped {
        self.admit(chunk, at, std::iter::once(unit), high, elsewhere)
    }

    fn admit(
        &mut self,
        chunk: &Chunk<'_>,
        at: usize,
        units: impl Iterator<Item = Unit>,
        high: u64,
        elsewhere: u64,
    ) -> Dropped {
        let Some(ledger) = &mut self.ledger else {
            return Dropped::default();
        };
        let rule = Rule {
            policy: self.policy,
            high,
            elsewhere,
            grace: self.grace,
        };
        let queue = &mut self.queue;
        let admission = ledger.admit(units, &rule, |kept| queue.push(chunk, at + kept.start..at + kept.end));
        self.queue.cut(ledger.begun_bytes(), admission.cut);
        self.release();
        Dropped {
            bytes: admission.bytes,
            records: admission.records,
        }
    }

    /// Keeps one record that somebody else had.
    pub fn push_handed(&mut self, bytes: &[u8], unit: Unit) {
        self.queue.push_bytes(bytes);
        if let Some(ledger) = &mut self.ledger {
            ledger.push(unit);
        }
    }

    /// Keeps a whole record, or a part of one, that somebody else had until the record that is coming has ended.
    pub fn push_behind(&mut self, bytes: Bytes, unit: Unit) {
        self.behind.push((unit, bytes));
    }

    fn release(&mut self) {
        if !self.behind.is_empty() && self.ledger.as_ref().is_none_or(Ledger::has_ended) {
            for (unit, bytes) in std::mem::take(&mut self.behind) {
                self.push_handed(&bytes, unit);
            }
        }
    }

    /// So many bytes of the queue were written: how many records have left by it.
    pub fn wrote(&mut self, bytes: usize) -> u64 {
        self.queue.advance(bytes);
        let records = self.ledger.as_mut().map_or(0, |ledger| ledger.wrote(bytes as u64));
        debug_assert!(
            self.ledger
                .as_ref()
                .is_none_or(|ledger| ledger.queued() == self.queue.bytes()),
            "the ledger and the queue are of one length"
        );
        records
    }

    /// A record that came in parts has ended without another byte: how many have left by it.
    pub fn end_newest(&mut self) -> u64 {
        let records = self.ledger.as_mut().map_or(0, Ledger::end_newest);
        self.release();
        records
    }

    /// Bytes that come before all others.
    pub fn put_in_front(&mut self, bytes: Bytes) {
        self.queue.put_in_front(bytes);
    }

    pub fn pack(&self, parcel: &mut Parcel) -> SavedBacklog {
        let behind = self.behind.iter();
        SavedBacklog {
            queue: parcel.put_bytes(self.queue.copied()),
            ledger: self.ledger.clone(),
            behind: behind
                .map(|(unit, bytes)| (parcel.put_bytes(bytes.clone()), unit.last))
                .collect(),
        }
    }

    pub fn unpack(&mut self, saved: SavedBacklog, parcel: &Unpacking) -> std::io::Result<()> {
        self.queue.put_in_front(parcel.bytes(saved.queue)?);
        // Another policy may have made one necessary, or no longer so, in the life that was.
        self.ledger = saved.ledger.or(self.ledger.take());
        for (blob, last) in saved.behind {
            let bytes = parcel.bytes(blob)?;
            let unit = Unit { len: bytes.len(), last };
            self.behind.push((unit, bytes));
        }
        Ok(())
    }

    /// Drops everything.
    pub fn clear(&mut self) -> Dropped {
        let behind = std::mem::take(&mut self.behind);
        let (bytes, records) = total(behind.iter().map(|(unit, _)| unit));
        Dropped {
            bytes: self.queue.clear() + bytes,
            records: self.ledger.as_mut().map_or(0, Ledger::clear) + records,
        }
    }

    /// Takes out all that is still to be written, for the next route of this destination. No record of it comes in parts
    /// any more: what there is of one is all that comes.
    pub fn take(&mut self) -> Owed {
        if self.ledger.as_ref().is_some_and(|ledger| !ledger.has_ended()) {
            self.end_newest();
        }
        self.release();
        Owed {
            queue: std::mem::take(&mut self.queue),
            ledger: self.ledger.as_mut().map(Ledger::take),
        }
    }

    /// What another route has still owed comes before everything else; nothing is queued yet. The ledger is only of use
    /// where that route had records, as this has, or neither has.
    pub fn go_on_with(&mut self, owed: Owed, of_the_same: bool) {
        self.queue = owed.queue;
        if let Some(ledger) = &mut self.ledger {
            match owed.ledger.filter(|_| of_the_same) {
                Some(owed) => *ledger = owed,
                None => {
                    if let Ok(len @ 1..) = usize::try_from(self.queue.bytes()) {
                        ledger.push_begun(Unit { len, last: true });
                    }
                }
            }
        }
    }

    /// Takes out the records that were not begun. What remains of a begun one is lost.
    pub fn hand_over(&mut self) -> (Vec<(Unit, Bytes)>, Dropped) {
        let Some(ledger) = &mut self.ledger else {
            return (Vec::new(), self.clear());
        };
        let Handed { units, begun, records } = ledger.hand_over();
        let lost = self.queue.take(usize::try_from(begun).unwrap_or(usize::MAX));
        let mut dropped = Dropped {
            bytes: lost.len() as u64,
            records,
        };
        let mut handed = std::mem::take(&mut self.behind);
        // The last of what is queued may want its end.
        for (unit, torn) in units {
            let bytes = self.queue.take(unit.len);
            if torn {
                dropped.bytes += unit.len as u64;
            } else {
                handed.push((unit, bytes));
            }
        }
        (handed, dropped)
    }
}

/// Bytes and whole records.
fn total<'a>(units: impl Iterator<Item = &'a Unit>) -> (u64, u64) {
    units.fold((0, 0), |(bytes, records), unit| {
        (bytes + unit.len as u64, records + u64::from(unit.last))
    })
}
