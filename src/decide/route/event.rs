//! What happens to a route, and what is to be done about it.

use super::phase::DestinationRule;
use crate::model::{CloseCause, Moment};

/// What has happened to a route. Numbers are places in the lists of sources and destinations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A source's descriptor is there.
    SourceOpened(usize),
    /// A source has nothing to open now: its process does not run.
    SourceWaits(usize),
    /// The first byte or hang-up of a source was seen.
    SourceActive(usize),
    /// A source is at its end, or failed.
    SourceEnded(usize, CloseCause),
    /// A source that is drained holds no more of what stood in it.
    SourceDry(usize),
    /// A source that has ended can run again.
    SourceRevived(usize),
    /// A destination is open and somebody reads it.
    DestinationOpened(usize),
    /// Nobody reads a destination, and nobody has since it was opened.
    DestinationAwaitsReader(usize),
    /// The reader of a destination has left.
    DestinationGone(usize),
    /// The reader of a destination has left and none will come.
    DestinationGoneForGood(usize),
    /// A destination is above its high watermark, or its pipe is full (true); it takes again (false).
    DestinationFull(usize, bool),
    /// A destination that drains has written out everything.
    DestinationFlushed(usize),
    /// A destination failed.
    DestinationFailed(usize, CloseCause),
    /// A destination that has ended can be written again.
    DestinationRevived(usize),
    /// A source is added to the route, behind the others.
    SourceJoins,
    /// A source is taken out of the route: what stands in it is read first.
    SourceLeaves(usize),
    /// The time for that is over.
    SourceLeavesNow(usize),
    /// A destination is added to the route, behind the others.
    DestinationJoins(DestinationRule),
    /// A destination is taken out of the route: what was accepted is written first.
    DestinationLeaves(usize),
    /// A reload is about to add sources or destinations, or to close it (true): it is not at its end before that; it is over
    /// (false).
    Changing(bool),
    /// Destinations that are about to join are to get what is read from now on (true); they are there (false).
    Awaits(bool),
    /// Something else holds for a destination.
    DestinationRuled(usize, DestinationRule),
    /// The operator pauses.
    Pause,
    /// The operator resumes, or reopens a drained route.
    Resume,
    /// The rate limit is used up (true) or has room again (false).
    RateSpent(bool),
    /// Every source is in the middle of a long record whose destination has more than enough (true); not all are (false).
    Held(bool),
    /// Read what stands in the sources now, write it out, close; by this deadline.
    Drain(Moment),
    /// Drop everything now.
    Abort(CloseCause),
    /// The deadline of a drain has come.
    DeadlineReached,
}

/// What is to be done. The order is the order in which to do it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// A source is over: its one terminal event. With `keep`, its descriptor stays open and unread, so that its writer
    /// gets no EPIPE.
    EndSource {
        /// Which.
        source: usize,
        /// Why.
        cause: CloseCause,
        /// Leave the descriptor open.
        keep: bool,
    },
    /// From now on read only what stands in this source, then report `SourceDry`.
    DrainSource(usize),
    /// A destination is over: its one terminal event. What is queued for it is dropped and counted.
    EndDestination {
        /// Which.
        destination: usize,
        /// Why.
        cause: CloseCause,
    },
    /// Every endpoint has been tried.
    Opened,
    /// Every endpoint has ended.
    Closed,
}
