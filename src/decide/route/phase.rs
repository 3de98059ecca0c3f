//! Where a route and each of its endpoints is.

use serde::{Deserialize, Serialize};

use crate::model::{CloseCause, DestinationState, Moment, SourceState};

/// Where the route as a whole is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Its sources are read, or will be.
    Running,
    /// No new byte is taken but what stood in the sources; what was accepted is written out.
    Draining {
        /// Somebody asked, rather than the sources having come to their end.
        by_hand: bool,
        /// Then the rest is dropped and counted.
        deadline: Option<Moment>,
    },
    /// Every endpoint has ended.
    Closed,
}

/// Where a source is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SourcePhase {
    /// Not tried yet.
    Unopened,
    /// No byte and no hang-up seen yet.
    Waiting,
    /// Seen.
    Open,
    /// Only what stands in it is read.
    Draining,
    /// Over.
    Ended(CloseCause),
    /// Over, by an error.
    Failed(CloseCause),
}

impl SourcePhase {
    /// Whether it is over.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.cause().is_some()
    }

    /// Why it is over.
    #[must_use]
    pub fn cause(&self) -> Option<&CloseCause> {
        match self {
            SourcePhase::Ended(cause) | SourcePhase::Failed(cause) => Some(cause),
            SourcePhase::Unopened | SourcePhase::Waiting | SourcePhase::Open | SourcePhase::Draining => None,
        }
    }

    /// As shown.
    #[must_use]
    pub fn state(&self) -> SourceState {
        match self {
            SourcePhase::Unopened | SourcePhase::Waiting => SourceState::Waiting,
            SourcePhase::Open | SourcePhase::Draining => SourceState::Open,
            SourcePhase::Ended(_) => SourceState::Ended,
            SourcePhase::Failed(_) => SourceState::Failed,
        }
    }
}

/// What the config says of a destination, as far as it decides about the route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DestinationRule {
    /// `when-full = "block"`: full or gone, it pauses the route.
    pub blocks: bool,
    /// `when-gone = "close"`.
    pub close_when_gone: bool,
}

/// Where a destination is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DestinationPhase {
    /// Not tried yet, or its process is not there yet.
    Unopened,
    /// Somebody reads it.
    Open {
        /// Above its high watermark, or its pipe is full.
        full: bool,
    },
    /// Nobody reads it; the next reader is waited for.
    Gone,
    /// The sources have ended; what was accepted is written out.
    Draining {
        /// Nobody reads it just now.
        gone: bool,
    },
    /// Over.
    Closed(CloseCause),
    /// Over, by an error.
    Failed(CloseCause),
}

impl DestinationPhase {
    /// Whether it is over.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.cause().is_some()
    }

    /// Why it is over.
    #[must_use]
    pub fn cause(&self) -> Option<&CloseCause> {
        match self {
            DestinationPhase::Closed(cause) | DestinationPhase::Failed(cause) => Some(cause),
            DestinationPhase::Unopened
            | DestinationPhase::Open { .. }
            | DestinationPhase::Gone
            | DestinationPhase::Draining { .. } => None,
        }
    }

    /// Whether it is full.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self, DestinationPhase::Open { full: true })
    }

    /// Whether it was tried, and nobody reads it now.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        matches!(self, DestinationPhase::Gone | DestinationPhase::Draining { gone: true })
    }

    /// Whether it takes bytes of the route.
    #[must_use]
    pub fn takes(&self) -> bool {
        matches!(self, DestinationPhase::Open { .. } | DestinationPhase::Gone)
    }

    /// Whether it takes bytes of the route, or will.
    #[must_use]
    pub fn is_to_take(&self) -> bool {
        self.takes() || matches!(self, DestinationPhase::Unopened)
    }

    /// As shown.
    #[must_use]
    pub fn state(&self) -> DestinationState {
        match self {
            DestinationPhase::Unopened | DestinationPhase::Gone => DestinationState::Waiting,
            DestinationPhase::Open { .. } => DestinationState::Open,
            DestinationPhase::Draining { .. } => DestinationState::Draining,
            DestinationPhase::Closed(_) => DestinationState::Closed,
            DestinationPhase::Failed(_) => DestinationState::Failed,
        }
    }
}
