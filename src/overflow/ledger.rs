use std::collections::VecDeque;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::{Rule, make_room};
use crate::framing::Unit;

/// Chunks without records are counted together up to this many bytes: a queue of single bytes needs no ledger of its size.
const TOGETHER: u32 = 512;

/// The records of one destination's queue, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    entries: VecDeque<Entry>,
    queued: u64,
    /// A byte of the oldest record has left.
    begun: bool,
    newest: Newest,
    /// Chunks rather than records.
    chunks: bool,
    dropped: Dropped,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    len: u32,
    end: End,
}

/// Whether a record ends with an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum End {
    No,
    Whole,
    /// The middle of the record was dropped; it has been counted.
    Torn,
}

/// What becomes of the rest of the newest record, while its parts are still coming.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Newest {
    /// It has ended.
    #[default]
    Ended,
    Kept,
    /// Its beginning was accepted, its middle is dropped, and its terminator is to follow.
    Torn,
    Refused,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Dropped {
    bytes: u64,
    records: u64,
    /// Of `bytes`, those that were queued.
    queued: u64,
}

/// What became of what was offered, apart from what is kept of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admission {
    /// Now take so many bytes out of the queue, behind those of a begun record (`begun_bytes`).
    pub cut: u64,
    /// How much was dropped by it in all.
    pub bytes: u64,
    /// The same in records.
    pub records: u64,
}

/// Records that were not begun, taken out for somebody else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handed {
    /// In order; the last may want its end. With each, whether its record has lost its middle, and was counted for it.
    pub units: Vec<(Unit, bool)>,
    /// Bytes of a begun record in front of them, which nobody else can use.
    pub begun: u64,
    /// Records lost with those bytes: one, unless it was counted before or there are none.
    pub records: u64,
}

impl Ledger {
    /// An empty queue of records, or of chunks.
    #[must_use]
    pub fn new(chunks: bool) -> Ledger {
        Ledger {
            chunks,
            ..Ledger::default()
        }
    }

    /// Bytes in the queue.
    #[must_use]
    pub fn queued(&self) -> u64 {
        self.queued
    }

    /// Whether what comes next can be written at once, if there is nothing in the queue.
    #[must_use]
    pub fn passes(&self) -> bool {
        self.entries.is_empty() && matches!(self.newest, Newest::Ended | Newest::Kept)
    }

    /// Whether no part of the newest record is still to come.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.newest == Newest::Ended
    }

    /// Everything that was offered has been written at once; `ended` as framing says.
    pub fn passed(&mut self, ended: bool) {
        self.newest = if ended { Newest::Ended } else { Newest::Kept };
        self.begun = !ended;
    }

    /// Bytes at the front that belong to a begun record.
    #[must_use]
    pub fn begun_bytes(&self) -> u64 {
        if !self.begun {
            return 0;
        }
        let end = self.entries.iter().position(|entry| entry.end != End::No);
        let count = end.map_or(self.entries.len(), |end| end + 1);
        self.entries.iter().take(count).map(|entry| u64::from(entry.len)).sum()
    }

    /// The rest of a record whose beginning was written at once.
    pub fn push_begun(&mut self, rest: Unit) {
        self.begun = true;
        self.push(rest);
    }

    /// A unit comes that is accepted in any case.
    pub fn push(&mut self, unit: Unit) {
        self.newest = if unit.last { Newest::Ended } else { Newest::Kept };
        self.enter(unit.len, if unit.last { End::Whole } else { End::No });
    }

    fn enter(&mut self, len: usize, end: End) {
        self.queued += len as u64;
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        let alone = self.begun && self.entries.len() == 1;
        match self.entries.back_mut() {
            Some(back) if self.chunks && !alone && back.len.saturating_add(len) <= TOGETHER => back.len += len,
            _ => self.entries.push_back(Entry { len, end }),
        }
    }

    /// Units come; the policy decides about each. `append` is told, in order, which parts of what is offered go into the queue.
    pub fn admit(
        &mut self,
        units: impl Iterator<Item = Unit>,
        rule: &Rule,
        mut append: impl FnMut(Range<usize>),
    ) -> Admission {
        self.dropped = Dropped::default();
        // Parts that follow each other are one.
        let mut kept_last = 0..0;
        let mut at = 0;
        for unit in units {
            let kept = self.offer(unit, rule);
            let end = at + unit.len;
            for part in [at..at + kept.front, end - kept.back..end] {
                if part.is_empty() {
                    continue;
                }
                if kept_last.end == part.start {
                    kept_last.end = part.end;
                    continue;
                }
                let before = std::mem::replace(&mut kept_last, part);
                if !before.is_empty() {
                    append(before);
                }
            }
            at = end;
        }
        if !kept_last.is_empty() {
            append(kept_last);
        }
        let dropped = std::mem::take(&mut self.dropped);
        Admission {
            cut: dropped.queued,
            bytes: dropped.bytes,
            records: dropped.records,
        }
    }

    fn offer(&mut self, unit: Unit, rule: &Rule) -> Parts {
        match self.newest {
            Newest::Ended => {
                if !make_room(self, rule) {
                    self.dropped.records += 1;
                    self.newest = Newest::Refused;
                    return self.refuse(unit);
                }
                // A record that is here as a whole is not torn.
                self.keep_or_tear(unit, rule, unit.last)
            }
            Newest::Kept => self.keep_or_tear(unit, rule, false),
            Newest::Torn | Newest::Refused => self.refuse(unit),
        }
    }

    fn keep_or_tear(&mut self, unit: Unit, rule: &Rule, in_any_case: bool) -> Parts {
        let room = rule.room_to_grow(self.queued);
        // Its terminator is kept in any case.
        if !in_any_case && (unit.len - usize::from(unit.last)) as u64 > room {
            return self.tear(unit, room);
        }
        self.push(unit);
        Parts {
            front: unit.len,
            back: 0,
        }
    }

    /// The record of a unit grows too long: from here on it is dropped, up to its terminator.
    fn tear(&mut self, unit: Unit, room: u64) -> Parts {
        let room = usize::try_from(room).unwrap_or(usize::MAX);
        // The terminator is kept in any case.
        let front = room.min(unit.len - usize::from(unit.last));
        if front > 0 {
            self.enter(front, End::No);
        }
        self.dropped.records += 1;
        self.newest = Newest::Torn;
        let rest = Unit {
            len: unit.len - front,
            last: unit.last,
        };
        let back = self.refuse(rest).back;
        Parts { front, back }
    }

    /// A unit is dropped, but for its terminator where the beginning of its record was kept.
    fn refuse(&mut self, unit: Unit) -> Parts {
        let back = usize::from(self.newest == Newest::Torn && unit.last);
        self.dropped.bytes += (unit.len - back) as u64;
        if back > 0 {
            self.enter(back, End::Torn);
        }
        if unit.last {
            self.newest = Newest::Ended;
        }
        Parts { front: 0, back }
    }

    /// Drops the oldest record that was not begun; false when there is none.
    pub(super) fn drop_oldest(&mut self) -> bool {
        let mut at = 0;
        if self.begun {
            match self.entries.iter().position(|entry| entry.end != End::No) {
                Some(end) => at = end + 1,
                None => return false,
            }
        }
        let found = at < self.entries.len();
        while let Some(entry) = self.entries.remove(at) {
            let len = u64::from(entry.len);
            self.queued -= len;
            self.dropped.bytes += len;
            self.dropped.queued += len;
            if entry.end != End::No {
                self.dropped.records += u64::from(entry.end == End::Whole);
                break;
            }
        }
        found
    }

    /// So many bytes of the queue were written: how many records have left by it.
    pub fn wrote(&mut self, mut bytes: u64) -> u64 {
        self.queued -= bytes;
        let mut records = 0;
        while let Some(front) = self.entries.front_mut() {
            let len = u64::from(front.len);
            if bytes < len {
                front.len -= u32::try_from(bytes).unwrap_or(front.len);
                self.begun |= bytes > 0;
                return records;
            }
            bytes -= len;
            records += u64::from(front.end == End::Whole);
            self.begun = front.end == End::No;
            self.entries.pop_front();
        }
        records
    }

    /// The newest record, handed on in parts, has ended without another byte: how many records have left by it.
    pub fn end_newest(&mut self) -> u64 {
        let newest = std::mem::take(&mut self.newest);
        let end = match newest {
            Newest::Ended | Newest::Refused => return 0,
            Newest::Kept => End::Whole,
            Newest::Torn => End::Torn,
        };
        match self.entries.back_mut() {
            Some(back) if back.end == End::No => {
                back.end = end;
                0
            }
            _ => {
                self.begun = false;
                u64::from(end == End::Whole)
            }
        }
    }

    /// Everything is dropped; how many records were lost by it. What comes next begins anew.
    pub fn clear(&mut self) -> u64 {
        let open = self.newest == Newest::Kept;
        let ended = self.entries.iter().filter(|entry| entry.end == End::Whole).count() as u64;
        let chunks = self.chunks;
        *self = Ledger::new(chunks);
        ended + u64::from(open)
    }

    /// All of it, for whoever goes on with it; nothing is left.
    #[must_use]
    pub fn take(&mut self) -> Ledger {
        let fresh = Ledger::new(self.chunks);
        std::mem::replace(self, fresh)
    }

    /// How many records end in the queue and have lost nothing.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.entries.iter().filter(|entry| entry.end == End::Whole).count() as u64
    }

    /// Takes out all that was not begun; the rest is lost.
    pub fn hand_over(&mut self) -> Handed {
        let begun = self.begun_bytes();
        let mut records = 0;
        if self.begun {
            let torn = self.entries.iter().map(|entry| entry.end).find(|end| *end != End::No);
            records = u64::from(torn != Some(End::Torn) && !(torn.is_none() && self.newest == Newest::Torn));
            while let Some(entry) = self.entries.pop_front() {
                if entry.end != End::No {
                    break;
                }
            }
        }
        let mut torn = self.newest == Newest::Torn;
        let unit = |entry: Entry| {
            torn = matches!(entry.end, End::Torn) || torn && entry.end == End::No;
            let unit = Unit {
                len: entry.len as usize,
                last: entry.end != End::No,
            };
            (unit, torn)
        };
        let mut units: Vec<(Unit, bool)> = self.entries.drain(..).rev().map(unit).collect();
        units.reverse();
        *self = Ledger::new(self.chunks);
        Handed { units, begun, records }
    }
}

/// So many bytes of a unit are kept, from its front and from its back.
struct Parts {
    front: usize,
    back: usize,
}
