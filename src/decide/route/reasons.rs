//! Which reasons not to read follow from where the destinations are.

use super::phase::{DestinationPhase, DestinationRule};
use crate::model::Distribution;

/// The gate's reasons that are derived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Derived {
    pub starting: bool,
    pub no_reader: bool,
    pub full: bool,
}

/// With `broadcast`, each destination that blocks has to take. With `balance` one is enough, whatever the others do.
pub(super) fn derive(distribution: Distribution, destinations: &[(DestinationRule, DestinationPhase)]) -> Derived {
    let share = |(rule, phase): &(DestinationRule, DestinationPhase)| takes_a_share(*rule, phase);
    if distribution == Distribution::Balance && destinations.iter().any(share) {
        return Derived::default();
    }
    let counts = |rule: &DestinationRule| rule.blocks || distribution == Distribution::Balance;
    let mut derived = Derived::default();
    for (_, phase) in destinations.iter().filter(|(rule, _)| counts(rule)) {
        derived.starting |= matches!(phase, DestinationPhase::Unopened);
        derived.no_reader |= matches!(phase, DestinationPhase::Gone);
        derived.full |= matches!(phase, DestinationPhase::Open { full: true });
    }
    derived
}

/// Whether a destination of a `balance` route takes records now. One that may drop them takes them in any case, once it
/// was tried.
pub(super) fn takes_a_share(rule: DestinationRule, phase: &DestinationPhase) -> bool {
    match phase {
        DestinationPhase::Open { full } => !full || !rule.blocks,
        DestinationPhase::Gone => !rule.blocks,
        DestinationPhase::Unopened
        | DestinationPhase::Draining { .. }
        | DestinationPhase::Closed(_)
        | DestinationPhase::Failed(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::CloseCause;
    use DestinationPhase::{Closed, Gone, Open, Unopened};

    const BLOCK: DestinationRule = DestinationRule {
        blocks: true,
        close_when_gone: false,
    };
    const DROP: DestinationRule = DestinationRule {
        blocks: false,
        close_when_gone: false,
    };

    fn derived(starting: bool, no_reader: bool, full: bool) -> Derived {
        Derived {
            starting,
            no_reader,
            full,
        }
    }

    #[test]
    fn all_have_to_take_or_one() {
        const FREE: DestinationPhase = Open { full: false };
        const FULL: DestinationPhase = Open { full: true };
        let table = [
            // (destinations, broadcast, balance)
            (
                vec![(BLOCK, FREE), (BLOCK, FREE)],
                derived(false, false, false),
                derived(false, false, false),
            ),
            (
                vec![(BLOCK, FREE), (BLOCK, FULL)],
                derived(false, false, true),
                derived(false, false, false),
            ),
            (
                vec![(BLOCK, FULL), (BLOCK, FULL)],
                derived(false, false, true),
                derived(false, false, true),
            ),
            (
                vec![(BLOCK, FULL), (BLOCK, Gone)],
                derived(false, true, true),
                derived(false, true, true),
            ),
            (
                vec![(BLOCK, Unopened), (BLOCK, FREE)],
                derived(true, false, false),
                derived(false, false, false),
            ),
            (
                vec![(BLOCK, Unopened), (BLOCK, Gone)],
                derived(true, true, false),
                derived(true, true, false),
            ),
            (
                vec![(BLOCK, FULL), (BLOCK, Closed(CloseCause::PeerGone))],
                derived(false, false, true),
                derived(false, false, true),
            ),
            (
                vec![(DROP, FULL), (DROP, Unopened)],
                derived(false, false, false),
                derived(false, false, false),
            ),
            (
                vec![(DROP, Gone), (BLOCK, FULL)],
                derived(false, false, true),
                derived(false, false, false),
            ),
            (
                vec![(DROP, Unopened), (BLOCK, FULL)],
                derived(false, false, true),
                derived(true, false, true),
            ),
        ];
        for (destinations, broadcast, balance) in table {
            assert_eq!(
                derive(Distribution::Broadcast, &destinations),
                broadcast,
                "{destinations:?}"
            );
            assert_eq!(
                derive(Distribution::Balance, &destinations),
                balance,
                "{destinations:?}"
            );
        }
    }
}
