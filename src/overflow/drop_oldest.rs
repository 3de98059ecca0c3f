//! `drop-oldest`: what has waited longest goes first.

use super::{Ledger, Rule};

pub(super) fn make_room(ledger: &mut Ledger, rule: &Rule) -> bool {
    while !rule.has_room(ledger.queued()) {
        if !ledger.drop_oldest() {
            // All that is left was begun, or stands elsewhere.
            return false;
        }
    }
    true
}
