//! What becomes of a record that comes when a destination has its fill: one file a policy. Pure.
//!
//! The `Ledger` knows the records of a destination's queue by their lengths, and which of them may still be dropped: those
//! that are held whole. A record of which a byte has left is finished, whatever comes, unless it is so long that it
//! would fill the memory: then its middle is dropped and its terminator kept, so that the next record stands on its own.
#![forbid(unsafe_code)]

mod block;
mod drop_newest;
mod drop_oldest;
mod ledger;

pub use ledger::{Admission, Handed, Ledger};

use crate::model::WhenFull;

/// What holds for one destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The policy.
    pub policy: WhenFull,
    /// A record is accepted whenever no more than this was queued, in bytes.
    pub high: u64,
    /// Queued for the same destination elsewhere (in a staging pipe), in bytes.
    pub elsewhere: u64,
    /// How far a record that was accepted may grow beyond `high` in parts, in bytes.
    pub grace: u64,
}

impl Rule {
    fn has_room(&self, queued: u64) -> bool {
        queued + self.elsewhere <= self.high
    }

    /// By how much a record that was accepted may grow yet.
    fn room_to_grow(&self, queued: u64) -> u64 {
        match self.policy {
            WhenFull::Block => u64::MAX,
            WhenFull::DropNewest | WhenFull::DropOldest => self
                .high
                .saturating_add(self.grace)
                .saturating_sub(queued + self.elsewhere),
        }
    }
}

/// Whether a new record is accepted, after what the policy drops for it.
fn make_room(ledger: &mut Ledger, rule: &Rule) -> bool {
    match rule.policy {
        WhenFull::Block => block::make_room(),
        WhenFull::DropNewest => drop_newest::make_room(ledger, rule),
        WhenFull::DropOldest => drop_oldest::make_room(ledger, rule),
    }
}

#[cfg(test)]
mod tests;
