//! `drop-newest`: what is queued stays, what comes is dropped.

use super::{Ledger, Rule};

pub(super) fn make_room(ledger: &Ledger, rule: &Rule) -> bool {
    rule.has_room(ledger.queued())
}
