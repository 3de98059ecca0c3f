use std::time::Duration;

use super::{Backoff, Jitter, Verdict};
use crate::decide::process::tests::spec;
use crate::model::{Moment, StartLimit};

const MS: fn(u64) -> Duration = Duration::from_millis;

/// Exits at once, `count` times, each started again after its delay.
fn delays(backoff: &mut Backoff, burst: u32, count: usize) -> Vec<Verdict> {
    let mut spec = spec();
    spec.start_limit = StartLimit {
        burst,
        interval: MS(10_000),
    };
    let mut now = Moment(0);
    let mut verdicts = Vec::new();
    for _ in 0..count {
        let verdict = backoff.exited(&spec, MS(1), now, Jitter::default());
        if let Verdict::After(delay) = verdict {
            now = now + delay;
        }
        verdicts.push(verdict);
    }
    verdicts
}

#[test]
fn delays_double_up_to_the_longest() {
    let expected = [100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000].map(|ms| Verdict::After(MS(ms)));
    assert_eq!(delays(&mut Backoff::default(), 0, 11), expected);
}

#[test]
fn one_early_exit_more_than_burst_within_the_interval_is_too_many() {
    let verdicts = delays(&mut Backoff::default(), 5, 6);
    assert_eq!(verdicts[4], Verdict::After(MS(1600)));
    assert_eq!(verdicts[5], Verdict::Limit(6));
    // Slower than the interval allows to count: never.
    let spec = spec();
    let mut backoff = Backoff::default();
    for n in 0..100 {
        let verdict = backoff.exited(&spec, MS(2000), Moment(n * 2_100_000), Jitter::default());
        assert!(matches!(verdict, Verdict::After(_)), "{n}");
    }
}

#[test]
fn a_long_run_starts_the_count_afresh() {
    let mut backoff = Backoff::default();
    delays(&mut backoff, 5, 5);
    let verdict = backoff.exited(&spec(), MS(30_000), Moment(1), Jitter::default());
    assert_eq!(verdict, Verdict::After(MS(100)));
    assert_eq!(delays(&mut backoff, 5, 1), [Verdict::After(MS(100))]);
}

#[test]
fn trouble_of_others_grows_the_delay_and_counts_for_nothing() {
    let mut backoff = Backoff::default();
    for expected in [100, 200, 400, 800] {
        assert_eq!(backoff.next(&spec(), Jitter::default()), MS(expected));
    }
    assert_eq!(
        backoff.exited(&spec(), MS(1), Moment(1), Jitter::default()),
        Verdict::After(MS(1600))
    );
}

#[test]
fn jitter_is_a_tenth_at_most_and_never_above_the_longest() {
    for (jitter, expected) in [(-5000, 90), (-100, 90), (100, 110), (i16::MAX, 110)] {
        assert_eq!(Backoff::default().next(&spec(), Jitter::new(jitter)), MS(expected));
    }
    let mut spec = spec();
    spec.restart_delay = MS(30_000);
    assert_eq!(Backoff::default().next(&spec, Jitter::new(100)), MS(30_000));
}

#[test]
fn no_delay_does_not_stay_none() {
    let mut spec = spec();
    spec.restart_delay = Duration::ZERO;
    let mut backoff = Backoff::default();
    for expected in [0, 2, 4, 8] {
        assert_eq!(backoff.next(&spec, Jitter::default()), MS(expected));
    }
}
