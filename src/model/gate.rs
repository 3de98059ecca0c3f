use serde::{Deserialize, Serialize};

use super::PauseReason;

/// A set of pause reasons. Reading is allowed when it is empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PauseReasons(u8);

impl PauseReasons {
    /// No reason.
    pub const NONE: PauseReasons = PauseReasons(0);

    const fn bit(reason: PauseReason) -> u8 {
        1 << reason as u8
    }

    /// Adds a reason; false when it was there already.
    pub fn insert(&mut self, reason: PauseReason) -> bool {
        let before = self.0;
        self.0 |= Self::bit(reason);
        self.0 != before
    }

    /// Takes a reason away; false when it was not there.
    pub fn remove(&mut self, reason: PauseReason) -> bool {
        let before = self.0;
        self.0 &= !Self::bit(reason);
        self.0 != before
    }

    /// Whether the reason is in the set.
    #[must_use]
    pub fn contains(self, reason: PauseReason) -> bool {
        self.0 & Self::bit(reason) != 0
    }

    /// Whether there is no reason.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The reasons in the order in which they are shown.
    pub fn iter(self) -> impl Iterator<Item = PauseReason> {
        PauseReason::ALL
            .into_iter()
            .filter(move |reason| self.contains(*reason))
    }
}

impl FromIterator<PauseReason> for PauseReasons {
    fn from_iter<I: IntoIterator<Item = PauseReason>>(reasons: I) -> PauseReasons {
        let mut set = PauseReasons::NONE;
        for reason in reasons {
            set.insert(reason);
        }
        set
    }
}
