//! The connections there are, what each is doing, and which of them has to go when there are too many. Decides only;
//! depends on `model` and tokio-util's token.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::model::Moment;

/// A write that is under way for longer may be broken off where others need its room.
const STALLED: Duration = Duration::from_secs(2);

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doing {
    /// It waits for the client's next request.
    Idle,
    /// A call runs.
    Working,
    /// Its client reads a reply, or does not.
    Writing {
        /// It holds one of the few places for long replies.
        long: bool,
    },
    /// It waits for events to tell.
    Watching,
}

#[derive(Debug)]
struct Entry {
    /// Its client has no right to ask.
    stranger: bool,
    doing: Doing,
    since: Moment,
    evict: CancellationToken,
}

/// All connections of a server.
#[derive(Debug, Default)]
pub(super) struct Table {
    next: u64,
    entries: BTreeMap<u64, Entry>,
}

impl Table {
    /// How many there are, without those that were told to go.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Tells one connection to go, so that another has room: the one that has been idle for longest, a
    /// stranger's first, else the one whose client has left a reply unread for longest. False when all others have something to do.
    pub(super) fn make_room(&mut self, now: Moment) -> bool {
        let victim = self
            .longest(|entry| entry.stranger && entry.doing == Doing::Idle)
            .or_else(|| self.longest(|entry| entry.doing == Doing::Idle))
            .or_else(|| self.longest(|entry| matches!(entry.doing, Doing::Writing { .. }) && entry.stalled(now)));
        self.evict(victim)
    }

    /// Breaks off the long reply that has been left unread for longest.
    pub(super) fn make_room_for_long_reply(&mut self, now: Moment) -> bool {
        let victim = self.longest(|entry| entry.doing == Doing::Writing { long: true } && entry.stalled(now));
        self.evict(victim)
    }

    fn longest(&self, fits: impl Fn(&Entry) -> bool) -> Option<u64> {
        let fitting = self.entries.iter().filter(|(_, entry)| fits(entry));
        fitting.min_by_key(|(id, entry)| (entry.since, **id)).map(|(id, _)| *id)
    }

    fn evict(&mut self, victim: Option<u64>) -> bool {
        let entry = victim.and_then(|id| self.entries.remove(&id));
        entry.map(|entry| entry.evict.cancel()).is_some()
    }
}

impl Entry {
    fn stalled(&self, now: Moment) -> bool {
        now.since(self.since) >= STALLED
    }
}

/// A connection's place in the table, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    table: Rc<RefCell<Table>>,
    id: u64,
    /// Cancelled when the connection has to go.
    pub(super) evicted: CancellationToken,
}

impl Seat {
    pub(super) fn take(table: &Rc<RefCell<Table>>, stranger: bool, now: Moment) -> Seat {
        let evicted = CancellationToken::new();
        let mut inner = table.borrow_mut();
        let id = inner.next;
        inner.next += 1;
        inner.entries.insert(
            id,
            Entry {
                stranger,
                doing: Doing::Idle,
                since: now,
                evict: evicted.clone(),
            },
        );
        Seat {
            table: Rc::clone(table),
            id,
            evicted,
        }
    }

    pub(super) fn does(&self, doing: Doing, now: Moment) {
        if let Some(entry) = self.table.borrow_mut().entries.get_mut(&self.id) {
            entry.doing = doing;
            entry.since = now;
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.table.borrow_mut().entries.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment(seconds * 1_000_000)
    }

    fn seats(doing: &[(Doing, u64)]) -> (Rc<RefCell<Table>>, Vec<Seat>) {
        let table = Rc::default();
        let seats = doing.iter().map(|(doing, since)| {
            let seat = Seat::take(&table, false, at(0));
            seat.does(*doing, at(*since));
            seat
        });
        let seats = seats.collect();
        (table, seats)
    }

    #[test]
    fn who_goes_when_there_is_no_room() {
        use Doing::{Idle, Watching, Working, Writing};
        let (short, long) = (Writing { long: false }, Writing { long: true });
        type Case<'a> = (&'a [(Doing, u64)], Option<usize>);
        let cases: [Case<'_>; 6] = [
            (&[(Idle, 5), (Idle, 3), (Idle, 4)], Some(1)),
            (&[(Working, 0), (Watching, 0), (Idle, 9)], Some(2)),
            (&[(long, 1), (Idle, 9)], Some(1)),
            (&[(Working, 0), (short, 7), (long, 6)], Some(2)),
            (&[(short, 9), (long, 9), (Working, 0)], None),
            (&[(Watching, 0), (Working, 0)], None),
        ];
        for (doing, victim) in cases {
            let (table, seats) = seats(doing);
            assert_eq!(table.borrow_mut().make_room(at(10)), victim.is_some(), "{doing:?}");
            let gone = seats.iter().position(|seat| seat.evicted.is_cancelled());
            assert_eq!(gone, victim, "{doing:?}");
            assert_eq!(table.borrow().len(), doing.len() - usize::from(victim.is_some()));
        }
    }

    #[test]
    fn strangers_make_room_first() {
        let table = Rc::default();
        let known = Seat::take(&table, false, at(0));
        let strangers = [1, 2].map(|second| Seat::take(&table, true, at(second)));
        assert!(table.borrow_mut().make_room(at(3)));
        assert!(strangers[0].evicted.is_cancelled() && !known.evicted.is_cancelled());
        strangers[1].does(Doing::Working, at(3));
        assert!(table.borrow_mut().make_room(at(4)));
        assert!(known.evicted.is_cancelled());
    }

    #[test]
    fn only_long_replies_go_for_long_replies() {
        let (table, seats) = seats(&[
            (Doing::Idle, 0),
            (Doing::Writing { long: false }, 0),
            (Doing::Writing { long: true }, 5),
        ]);
        assert!(!table.borrow_mut().make_room_for_long_reply(at(6)));
        assert!(table.borrow_mut().make_room_for_long_reply(at(7)));
        assert!(seats[2].evicted.is_cancelled());
        drop(seats);
        assert_eq!(table.borrow().len(), 0);
    }
}
