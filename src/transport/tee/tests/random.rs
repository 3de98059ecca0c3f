//! Random schedules of writes, rounds, reads, ends that come and go, and calls that fail.

use nix::errno::Errno;
use proptest::prelude::*;

use super::rig::{Rig, in_runtime};
use super::{ALL, Fate, SCRIPTED, script};

/// One in four calls does not do what it should.
fn unreliable(mut seed: u64) {
    script(move || {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        match (seed >> 33) % 28 {
            0 => Fate::Fails(Errno::EINTR),
            1 => Fate::Fails(Errno::EAGAIN),
            2 => Fate::Fails(Errno::ENOMEM),
            3 => Fate::Fails(Errno::EINVAL),
            4 => Fate::Fails(Errno::ENOSYS),
            5 => Fate::Zero,
            6 => Fate::Short(usize::try_from(seed >> 50).unwrap() + 1),
            _ => Fate::Passes,
        }
    });
}

/// One step of a random schedule.
#[derive(Clone, Debug)]
enum Step {
    Write(usize),
    WriteApart(usize),
    Round(usize),
    Flush(usize),
    Read(usize, usize),
    End(usize),
    Revive(usize),
    ReaderComesBack(usize),
    Copy(usize),
    Abandon,
}

fn step() -> impl Strategy<Value = Step> {
    let which = || 0..5usize;
    prop_oneof![
        6 => (1..200_000usize).prop_map(Step::Write),
        2 => (1..40usize).prop_map(Step::WriteApart),
        12 => prop_oneof![Just(ALL), 1..300_000usize].prop_map(Step::Round),
        12 => which().prop_map(Step::Flush),
        12 => (which(), 1..200_000usize).prop_map(|(i, most)| Step::Read(i, most)),
        1 => which().prop_map(Step::End),
        1 => which().prop_map(Step::Revive),
        1 => which().prop_map(Step::ReaderComesBack),
        2 => (1..70_000usize).prop_map(Step::Copy),
        1 => Just(Step::Abandon),
    ]
}

async fn run(rig: &mut Rig, steps: &[Step]) {
    let count = rig.readers.len();
    for step in steps {
        match *step {
            Step::Write(bytes) => rig.write(bytes).await,
            Step::WriteApart(bytes) => rig.write_apart(bytes).await,
            Step::Round(most) => drop(rig.round(most)),
            Step::Flush(i) => rig.flush(i % count),
            Step::Read(i, most) => rig.read(i % count, most),
            Step::End(i) => drop(rig.end(i % count)),
            Step::Revive(i) => rig.revive(i % count),
            Step::ReaderComesBack(i) => rig.replace_reader(i % count).await,
            Step::Copy(most) => rig.copy(most),
            Step::Abandon => rig.tee.abandon(),
        }
        rig.check_law();
        tokio::task::yield_now().await;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn each_reader_gets_exactly_the_stream(
        source in 12..=20u32,
        staging in prop::collection::vec(4096..=(1u64 << 20), 2..6),
        steps in prop::collection::vec(step(), 1..200),
        faults in prop::option::of(any::<u64>()),
    ) {
        in_runtime(async {
            let mut rig = Rig::new(1 << source, &staging).await;
            if let Some(seed) = faults {
                rig.tee.calls = SCRIPTED;
                unreliable(seed);
            }
            run(&mut rig, &steps).await;
            rig.finish().await;
        });
    }
}
