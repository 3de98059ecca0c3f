//! Who gets the next record of a `balance` route: the destination that has the least queued, and of several that have as
//! little the one that has waited longest for one.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// The destinations that may get a record, in the order in which they do. Finding the next costs the logarithm of their
/// number.
#[derive(Debug, Default)]
pub struct Shares {
    next: BinaryHeap<Reverse<Share>>,
    dealt: u64,
    /// By destination: when it got a record last.
    last: Vec<u64>,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Share {
    queued: u64,
    last: u64,
    to: usize,
}

impl Shares {
    /// Begins anew with these: (destination, bytes queued).
    pub fn fill(&mut self, with: impl Iterator<Item = (usize, u64)>) {
        self.next.clear();
        for (to, queued) in with {
            self.put(to, queued);
        }
    }

    /// The next that has room, by (destination, bytes queued). It is taken out until it is put back; so are those before it
    /// that have none, until everything is filled in anew.
    pub fn take(&mut self, has_room: impl Fn(usize, u64) -> bool) -> Option<usize> {
        while let Some(Reverse(share)) = self.next.pop() {
            if has_room(share.to, share.queued) {
                self.dealt += 1;
                self.last[share.to] = self.dealt;
                return Some(share.to);
            }
        }
        None
    }

    /// Puts one back, with what is queued for it now.
    pub fn put(&mut self, to: usize, queued: u64) {
        if self.last.len() <= to {
            self.last.resize(to + 1, 0);
        }
        let last = self.last[to];
        self.next.push(Reverse(Share { queued, last, to }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Deals records of one length to all that are filled in; who got them.
    fn deal(shares: &mut Shares, queued: &mut [u64], records: usize, len: u64, high: u64) -> Vec<usize> {
        shares.fill(queued.iter().copied().enumerate());
        let mut got = Vec::new();
        for _ in 0..records {
            let Some(to) = shares.take(|_, queued| queued <= high) else {
                break;
            };
            queued[to] += len;
            shares.put(to, queued[to]);
            got.push(to);
        }
        got
    }

    #[test]
    fn the_least_queued_is_next_and_ties_go_in_turn() {
        let mut shares = Shares::default();
        let table: [(&mut [u64], &[usize]); 4] = [
            (&mut [0, 0, 0], &[0, 1, 2, 0, 1, 2, 0]),
            // The next deal goes on behind the last one.
            (&mut [0, 0, 0], &[1, 2, 0, 1, 2, 0, 1]),
            (&mut [25, 0, 9], &[1, 2, 1, 2, 1, 0, 2]),
            (&mut [95, 90, 101], &[1, 0, 1]),
        ];
        for (queued, got) in table {
            let shown = format!("{queued:?}");
            assert_eq!(deal(&mut shares, queued, 7, 10, 100), got, "{shown}");
        }
    }

    #[test]
    fn who_is_not_put_back_gets_nothing() {
        let mut shares = Shares::default();
        shares.fill([(3, 0), (5, 0)].into_iter());
        let first = shares.take(|_, _| true);
        assert_eq!(
            (first, shares.take(|_, _| true), shares.take(|_, _| true)),
            (Some(3), Some(5), None)
        );
    }
}
