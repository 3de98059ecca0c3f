//! Where a record ends: after a newline (`lines`), after a NUL (`nul`), or nowhere (`bytes`: every chunk that was read is
//! handed on as it is). Pure: what is held of a begun record is the caller's, here it is only counted.
//!
//! A record goes on in one piece unless it is longer than `max-record`: then it goes on in parts, as they come, and
//! nobody else's record may come between them. No byte is added and none is taken away.
#![forbid(unsafe_code)]

mod units;

use memchr::{memchr, memchr_iter, memrchr};
use serde::{Deserialize, Serialize};

pub use units::{Unit, Units};

use crate::model::Framing;

/// The byte that ends a record; `None`: there are no records.
#[must_use]
pub fn terminator(framing: Framing) -> Option<u8> {
    match framing {
        Framing::Bytes => None,
        Framing::Lines => Some(b'\n'),
        Framing::Nul => Some(0),
    }
}

/// What is known of one source's stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Framer {
    terminator: Option<u8>,
    max: u64,
    /// Bytes of a begun record that were not handed on yet.
    partial: u64,
    /// The begun record is longer than the most: its parts go on as they come.
    long: bool,
}

/// What is to become of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Framed {
    /// So many bytes of the chunk go on, behind all that was held. With 0, the whole chunk is held too.
    pub out: usize,
    /// How many records end in what goes on.
    pub records: u64,
    /// How many records were found to be longer than the most.
    pub oversized: u64,
    /// Whether what goes on ends with the end of a record.
    pub ended: bool,
}

impl Framed {
    /// All that was held goes on, and it is a part of a record.
    pub const PART: Framed = Framed {
        out: 0,
        records: 0,
        oversized: 0,
        ended: false,
    };
}

impl Framer {
    /// A stream of which nothing was read yet. `max`: bytes of a record without its terminator.
    #[must_use]
    pub fn new(framing: Framing, max: u64) -> Framer {
        Framer {
            terminator: terminator(framing),
            max,
            partial: 0,
            long: false,
        }
    }

    /// Bytes that are held: at most a chunk more than the most.
    #[must_use]
    pub fn partial(&self) -> u64 {
        self.partial
    }

    /// Whether a record has been handed on in part, and its end is to come before any other source's record.
    #[must_use]
    pub fn is_long(&self) -> bool {
        self.long
    }

    /// The next bytes of the stream.
    pub fn take(&mut self, chunk: &[u8]) -> Framed {
        let Some(terminator) = self.terminator else {
            return Framed {
                out: chunk.len(),
                records: 0,
                oversized: 0,
                ended: true,
            };
        };
        match memrchr(terminator, chunk) {
            Some(last) => self.take_ends(terminator, chunk, last + 1),
            None => self.take_more(chunk.len()),
        }
    }

    /// No record ends in the chunk.
    fn take_more(&mut self, length: usize) -> Framed {
        self.partial += length as u64;
        let found = !self.long && self.partial > self.max;
        self.long |= found;
        if self.long {
            self.partial = 0;
        }
        Framed {
            out: if self.long { length } else { 0 },
            records: 0,
            oversized: u64::from(found),
            ended: false,
        }
    }

    /// The last record that ends in the chunk ends at `end`.
    fn take_ends(&mut self, terminator: u8, chunk: &[u8], end: usize) -> Framed {
        let framed = Framed {
            out: end,
            records: memchr_iter(terminator, &chunk[..end]).count() as u64,
            oversized: self.oversized_in(terminator, &chunk[..end]),
            ended: true,
        };
        self.long = false;
        // However long: another source may have a record, and now is the time for it.
        self.partial = (chunk.len() - end) as u64;
        framed
    }

    /// So many bytes of a begun record, of which somebody else has read them, are held. However long: another source may have
    /// begun one, too.
    pub fn hold(&mut self, begun: usize) {
        self.partial += begun as u64;
    }

    /// Whether what is held is the beginning of a long record, and goes on now: as `Framed::PART`, and it counts as oversized.
    pub fn overdue(&mut self) -> bool {
        let overdue = !self.long && self.partial > self.max;
        if overdue {
            self.long = true;
            self.partial = 0;
        }
        overdue
    }

    fn oversized_in(&self, terminator: u8, ended: &[u8]) -> u64 {
        // It was counted when its first part went on.
        let first = memchr(terminator, ended).unwrap_or(0);
        let mut count = u64::from(!self.long && self.partial + first as u64 > self.max);
        if ended.len() as u64 > self.max {
            let mut begin = first + 1;
            for end in memchr_iter(terminator, ended).skip(1) {
                count += u64::from((end - begin) as u64 > self.max);
                begin = end + 1;
            }
        }
        count
    }

    /// The stream is over. True: what is held is the last record, handed on as it is; or the end of one that has been
    /// handed on in parts.
    pub fn finish(&mut self) -> bool {
        let unfinished = self.partial > 0 || self.long;
        self.partial = 0;
        self.long = false;
        unfinished
    }
}

#[cfg(test)]
mod tests;
