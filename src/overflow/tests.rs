use proptest::prelude::*;

use super::*;
use crate::framing::Unit;

fn rule(policy: WhenFull, high: u64) -> Rule {
    Rule {
        policy,
        high,
        elsewhere: 0,
        grace: 20,
    }
}

fn whole(len: usize) -> Unit {
    Unit { len, last: true }
}

fn part(len: usize) -> Unit {
    Unit { len, last: false }
}

/// (keep, cut, bytes, records)
type Told = (Vec<(usize, usize)>, u64, u64, u64);

fn admit(ledger: &mut Ledger, units: &[Unit], rule: &Rule) -> Told {
    let mut kept = Vec::new();
    let told = ledger.admit(units.iter().copied(), rule, |part| kept.push((part.start, part.end)));
    (kept, told.cut, told.bytes, told.records)
}

/// A ledger of records of 4 bytes, of which the first is begun when `begun` says so.
fn queue_of(count: usize, begun: bool) -> Ledger {
    let mut ledger = Ledger::new(false);
    for _ in 0..count {
        ledger.push(whole(4));
    }
    if begun {
        ledger.wrote(1);
    }
    ledger
}

#[test]
fn each_policy_by_its_table() {
    use WhenFull::{Block, DropNewest, DropOldest};
    let four = whole(4);
    let table: &[(WhenFull, usize, bool, &[Unit], Told)] = &[
        // (policy, records of 4 bytes queued, begun, offered, …), high is 10
        (Block, 5, false, &[four, four], (vec![(0, 8)], 0, 0, 0)),
        // Up to the one that goes beyond high.
        (DropNewest, 0, false, &[four; 5], (vec![(0, 12)], 0, 8, 2)),
        (DropNewest, 2, false, &[four, four], (vec![(0, 4)], 0, 4, 1)),
        (DropNewest, 3, false, &[four, four], (vec![], 0, 8, 2)),
        (DropNewest, 3, true, &[four], (vec![], 0, 4, 1)),
        // Back to no more than high before each.
        (DropOldest, 3, false, &[four], (vec![(0, 4)], 4, 4, 1)),
        (DropOldest, 3, false, &[four; 5], (vec![(0, 20)], 20, 20, 5)),
        (DropOldest, 0, false, &[four; 5], (vec![(0, 20)], 8, 8, 2)),
        // 3 + 4 + 4 = 11 are queued, of which 3 are begun.
        (DropOldest, 3, true, &[four; 2], (vec![(0, 8)], 8, 8, 2)),
    ];
    for (policy, queued, begun, offered, told) in table {
        let mut ledger = queue_of(*queued, *begun);
        let before = ledger.queued();
        assert_eq!(
            admit(&mut ledger, offered, &rule(*policy, 10)),
            *told,
            "{policy} {queued} {begun} {offered:?}"
        );
        let (keep, cut, ..) = told;
        let kept: usize = keep.iter().map(|(start, end)| end - start).sum();
        assert_eq!(ledger.queued(), before + kept as u64 - cut);
    }
}

#[test]
fn a_begun_record_is_never_dropped() {
    let mut ledger = Ledger::new(false);
    ledger.push(whole(30));
    assert_eq!(ledger.wrote(5), 0);
    // 25 bytes of it are above high: what comes has to go.
    let rule = rule(WhenFull::DropOldest, 10);
    assert_eq!(admit(&mut ledger, &[whole(4)], &rule), (vec![], 0, 4, 1));
    assert_eq!((ledger.begun_bytes(), ledger.queued()), (25, 25));
    assert_eq!(ledger.wrote(25), 1);
    assert_eq!(admit(&mut ledger, &[whole(4)], &rule), (vec![(0, 4)], 0, 0, 0));
}

#[test]
fn the_parts_of_an_accepted_record_are_accepted() {
    for policy in [WhenFull::DropNewest, WhenFull::DropOldest] {
        let rule = rule(policy, 10);
        let mut ledger = Ledger::new(false);
        assert_eq!(admit(&mut ledger, &[part(15)], &rule), (vec![(0, 15)], 0, 0, 0));
        assert_eq!(admit(&mut ledger, &[part(10)], &rule), (vec![(0, 10)], 0, 0, 0));
        assert_eq!(admit(&mut ledger, &[whole(3)], &rule), (vec![(0, 3)], 0, 0, 0));
        assert_eq!(ledger.wrote(28), 1);
    }
}

#[test]
fn the_parts_of_a_refused_record_are_refused() {
    let rule = rule(WhenFull::DropNewest, 10);
    let mut ledger = queue_of(3, false);
    assert_eq!(admit(&mut ledger, &[part(15)], &rule), (vec![], 0, 15, 1));
    assert_eq!(ledger.wrote(12), 3);
    // There is room again, but not for the middle of a record.
    assert!(!ledger.passes());
    assert_eq!(admit(&mut ledger, &[part(5)], &rule), (vec![], 0, 5, 0));
    assert_eq!(
        admit(&mut ledger, &[whole(2), whole(4)], &rule),
        (vec![(2, 6)], 0, 2, 0)
    );
    assert_eq!(ledger.wrote(4), 1);
}

#[test]
fn a_record_that_would_fill_the_memory_is_torn_and_keeps_its_terminator() {
    // It may grow to 30 bytes in the queue.
    for policy in [WhenFull::DropNewest, WhenFull::DropOldest] {
        let rule = rule(policy, 10);
        let mut ledger = Ledger::new(false);
        ledger.passed(false);
        assert_eq!(admit(&mut ledger, &[part(25)], &rule), (vec![(0, 25)], 0, 0, 0));
        assert_eq!(admit(&mut ledger, &[part(50)], &rule), (vec![(0, 5)], 0, 45, 1));
        assert_eq!(admit(&mut ledger, &[part(50)], &rule), (vec![], 0, 50, 0));
        assert_eq!(
            admit(&mut ledger, &[whole(6), whole(4)], &rule),
            (vec![(5, 6)], 0, 9, 1)
        );
        assert_eq!(ledger.begun_bytes(), 31);
        // It was counted as dropped; it is no record that has left.
        assert_eq!(ledger.wrote(31), 0);
        assert_eq!(admit(&mut ledger, &[whole(4)], &rule), (vec![(0, 4)], 0, 0, 0));
    }
}

#[test]
fn the_end_of_a_record_can_be_where_it_is_torn() {
    let rule = rule(WhenFull::DropOldest, 10);
    let mut ledger = Ledger::new(false);
    ledger.passed(false);
    admit(&mut ledger, &[part(28)], &rule);
    assert_eq!(
        admit(&mut ledger, &[whole(10)], &rule),
        (vec![(0, 2), (9, 10)], 0, 7, 1)
    );
    assert_eq!((ledger.wrote(31), ledger.queued()), (0, 0));
    // Not begun, and dropped for the next: nothing of it is left, and it is counted once.
    let told = admit(&mut ledger, &[part(40), whole(3)], &rule);
    assert_eq!(told, (vec![(0, 30), (42, 43)], 0, 12, 1));
    assert_eq!(admit(&mut ledger, &[whole(4)], &rule), (vec![(0, 4)], 31, 31, 0));
}

#[test]
fn a_record_of_which_nothing_is_dropped_is_not_torn() {
    for policy in [WhenFull::DropNewest, WhenFull::DropOldest] {
        let rule = rule(policy, 10);
        for last in [1, 6] {
            let mut ledger = Ledger::new(false);
            let first = 31 - last;
            assert_eq!(admit(&mut ledger, &[part(first)], &rule), (vec![(0, first)], 0, 0, 0));
            assert_eq!(admit(&mut ledger, &[whole(last)], &rule), (vec![(0, last)], 0, 0, 0));
            assert_eq!(ledger.wrote(31), 1);
        }
    }
}

#[test]
fn a_long_record_can_end_without_another_byte() {
    let rule = rule(WhenFull::DropNewest, 10);
    let mut ledger = Ledger::new(false);
    ledger.passed(false);
    assert_eq!(ledger.end_newest(), 1);
    admit(&mut ledger, &[part(5)], &rule);
    assert_eq!(ledger.end_newest(), 0);
    assert_eq!(ledger.wrote(5), 1);
    assert_eq!(ledger.end_newest(), 0);
}

#[test]
fn what_was_not_begun_can_be_handed_over() {
    let mut ledger = queue_of(3, true);
    ledger.push(part(7));
    let handed = ledger.hand_over();
    assert_eq!((handed.begun, handed.records), (3, 1));
    assert_eq!(handed.units, [(whole(4), false), (whole(4), false), (part(7), false)]);
    assert_eq!(ledger, Ledger::new(false));
    ledger.passed(false);
    assert_eq!(ledger.hand_over().records, 1);
}

#[test]
fn a_torn_record_is_told_when_it_is_handed_over() {
    let rule = rule(WhenFull::DropNewest, 10);
    let mut ledger = Ledger::new(false);
    let torn = admit(
        &mut ledger,
        &[whole(4), part(500), part(500), whole(5), whole(2)],
        &rule,
    );
    assert_eq!(torn.3, 2, "{torn:?}");
    let units = ledger.hand_over().units;
    assert_eq!(
        (units[0], units.last().map(|(_, torn)| *torn)),
        ((whole(4), false), Some(true))
    );
    assert!(units[1..].iter().all(|(_, torn)| *torn), "{units:?}");
    admit(&mut ledger, &[part(500), part(500)], &rule);
    assert!(ledger.hand_over().units.iter().all(|(_, torn)| *torn));
}

#[test]
fn small_chunks_are_counted_together() {
    let mut ledger = Ledger::new(true);
    for _ in 0..1000 {
        ledger.push(whole(1));
    }
    let rule = rule(WhenFull::DropOldest, 100);
    assert_eq!(admit(&mut ledger, &[whole(1)], &rule), (vec![(0, 1)], 1000, 1000, 2));
}

/// A record as a simple model has it: its number and its bytes; how many of them have left.
#[derive(Clone, Debug)]
struct Held {
    len: usize,
    left: usize,
}

#[derive(Clone, Debug)]
enum Step {
    Offer(Vec<usize>),
    Write(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        prop::collection::vec(1usize..9, 1..6).prop_map(Step::Offer),
        (1usize..20).prop_map(Step::Write),
    ];
    prop::collection::vec(step, 1..60)
}

proptest! {
    /// Whole records, one after the other, each policy as the words of the contract have it.
    #[test]
    fn policies_match_a_simple_model(
        steps in steps(),
        high in 0u64..24,
        policy in prop::sample::select(vec![WhenFull::Block, WhenFull::DropNewest, WhenFull::DropOldest]),
    ) {
        let rule = rule(policy, high);
        let mut ledger = Ledger::new(false);
        let mut model: std::collections::VecDeque<Held> = std::collections::VecDeque::new();
        for step in steps {
            let queued = |model: &std::collections::VecDeque<Held>| model.iter().map(|held| held.len - held.left).sum::<usize>() as u64;
            match step {
                Step::Offer(lens) => {
                    let mut dropped = (0u64, 0u64);
                    for len in &lens {
                        if policy == WhenFull::DropOldest {
                            while queued(&model) > high {
                                let Some(at) = model.iter().position(|held| held.left == 0) else { break };
                                dropped.0 += model.remove(at).map_or(0, |held| held.len) as u64;
                                dropped.1 += 1;
                            }
                        }
                        if policy == WhenFull::Block || queued(&model) <= high {
                            model.push_back(Held { len: *len, left: 0 });
                        } else {
                            dropped.0 += *len as u64;
                            dropped.1 += 1;
                        }
                    }
                    let before = ledger.queued();
                    let mut kept = 0;
                    let told = ledger.admit(lens.iter().map(|len| whole(*len)), &rule, |part| kept += part.len() as u64);
                    prop_assert_eq!((told.bytes, told.records), dropped);
                    prop_assert_eq!(ledger.queued(), before + kept - told.cut);
                }
                Step::Write(bytes) => {
                    let bytes = bytes.min(usize::try_from(queued(&model)).unwrap());
                    let (mut rest, mut records) = (bytes, 0);
                    while rest > 0 {
                        let front = &mut model[0];
                        let now = rest.min(front.len - front.left);
                        front.left += now;
                        rest -= now;
                        if front.left == front.len {
                            model.pop_front();
                            records += 1;
                        }
                    }
                    prop_assert_eq!(ledger.wrote(bytes as u64), records);
                }
            }
            prop_assert_eq!(ledger.queued(), queued(&model));
            let begun = model.front().filter(|held| held.left > 0).map_or(0, |held| held.len - held.left);
            prop_assert_eq!(ledger.begun_bytes(), begun as u64);
        }
        prop_assert_eq!(ledger.clear(), model.len() as u64);
    }
}
