//! The snapshot that a route publishes between two turns.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::model::{
    DestinationSnapshot, DestinationSpec, DestinationState, EndpointSpec, PathKind, PauseReasons, RouteState,
    SourceSnapshot, SourceState,
};
use crate::model::{RouteSnapshot, RouteSpec};

/// One route's snapshot. The relay writes it at the end of each turn; whoever asks copies it. The lock is held for a copy.
#[derive(Clone, Debug)]
pub struct RouteCell {
    snapshot: Arc<Mutex<RouteSnapshot>>,
    /// Odd while the relay is at work, and what it does may not be in the snapshot yet.
    turn: Arc<AtomicU64>,
}

/// A source of which nothing is known yet.
pub(super) fn fresh_source(endpoint: &EndpointSpec, records: Option<u64>) -> SourceSnapshot {
    SourceSnapshot {
        name: endpoint.to_string().into(),
        state: SourceState::Waiting,
        is_reading: false,
        peer_hung_up: false,
        bytes: 0,
        partial_bytes: 0,
        records,
        oversized_records: records,
        holds: false,
        opens: 0,
        close_cause: None,
        trouble: None,
        descriptor: None,
    }
}

/// A destination of which nothing is known yet.
pub(super) fn fresh_destination(spec: &DestinationSpec, records: Option<u64>) -> DestinationSnapshot {
    DestinationSnapshot {
        name: spec.endpoint.to_string().into(),
        state: DestinationState::Waiting,
        full: false,
        gone: false,
        bytes: 0,
        records,
        queued_bytes: 0,
        unread_bytes: None,
        dropped_bytes: 0,
        dropped_records: records,
        from_bytes: 0,
        upto_bytes: None,
        high_watermark: spec.high_watermark,
        low_watermark: spec.low_watermark,
        when_full: spec.when_full,
        opens: 0,
        close_cause: None,
        waits_by: None,
        trouble: None,
        descriptor: None,
    }
}

/// A piece of work that a relay was at when it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn(u64);

impl RouteCell {
    /// The cell of a route of which nothing is open yet.
    #[must_use]
    pub fn new(spec: &RouteSpec) -> RouteCell {
        let records = (spec.framing != crate::model::Framing::Bytes).then_some(0);
        let sources = spec.from.iter().map(|source| fresh_source(&source.endpoint, records));
        let destinations = spec
            .to
            .iter()
            .map(|destination| fresh_destination(destination, records));
        let snapshot = RouteSnapshot {
            name: spec.name.clone(),
            state: RouteState::Opening,
            reasons: PauseReasons::NONE,
            paused_since: None,
            pauses: 0,
            paused: std::time::Duration::ZERO,
            framing: spec.framing,
            distribution: spec.distribution,
            path: PathKind::Copy,
            accepted_bytes: 0,
            accepted_records: records,
            retired_bytes: 0,
            removed_source_bytes: 0,
            removed_source_records: records,
            sources: sources.collect(),
            destinations: destinations.collect(),
        };
        RouteCell {
            snapshot: Arc::new(Mutex::new(snapshot)),
            turn: Arc::default(),
        }
    }

    /// What the relay is at just now, if it is. Whoever waits until `is_over` finds in the snapshot all that anybody could
    /// have seen of the route before asking: a byte that a reader has got is counted.
    #[must_use]
    pub fn turn(&self) -> Option<Turn> {
        let turn = self.turn.load(Ordering::SeqCst);
        (turn % 2 == 1).then_some(Turn(turn))
    }

    /// Whether the relay has published what it was at.
    #[must_use]
    pub fn is_over(&self, turn: Turn) -> bool {
        self.turn.load(Ordering::SeqCst) != turn.0
    }

    /// Whether the relay has tried each endpoint of the route at least once: it has been through its first turn, and through
    /// its first wait, in which endpoints are opened.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.turn.load(Ordering::SeqCst) >= 4
    }

    pub(super) fn begin_turn(&self) {
        let turn = self.turn.load(Ordering::Relaxed);
        self.turn.store(turn | 1, Ordering::SeqCst);
    }

    pub(super) fn end_turn(&self) {
        let turn = self.turn.load(Ordering::Relaxed);
        self.turn.store((turn | 1) + 1, Ordering::SeqCst);
    }

    /// A copy of what was published last.
    #[must_use]
    pub fn read(&self) -> RouteSnapshot {
        self.lock().clone()
    }

    /// Looks at what was published last without copying it. `look` is quick.
    pub fn with<T>(&self, look: impl FnOnce(&RouteSnapshot) -> T) -> T {
        look(&self.lock())
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, RouteSnapshot> {
        self.snapshot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
