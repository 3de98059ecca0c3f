//! a: bulk.

use super::pairs::Contest;
use crate::contest::{Bare, Contestant, Ends, Filter, Load, S6, Sluiced};
use crate::support::{Plan, Table, Target};

const WRITE: usize = 64 * 1024;

const LARGE_FIFOS: Sluiced = Sluiced {
    called: "sluiced, pipe-size 1 MiB",
    route: "",
    fifo: ", pipe-size = \"1MiB\"",
    base: None,
};

/// Whom, and the least speed and the most CPU time by theirs.
type Rival = (&'static dyn Contestant, Option<f64>, Option<f64>);

const RIVALS: &[Rival] = &[
    (&Bare { size: None }, Some(1.8), None),
    (&Bare { size: Some(1 << 20) }, Some(0.9), None),
    (&Filter::CAT, Some(2.5), Some(0.2)),
    (&Filter::PV, Some(1.8), Some(0.35)),
    (&Filter::SOCAT, Some(2.5), None),
    (&Filter::MBUFFER, None, None),
];

pub fn run(plan: &Plan, table: &mut Table) {
    for (ends, about) in [(Ends::Processes, "process→process"), (Ends::Fifos, "FIFO→FIFO")] {
        for (rival, speed, cpu) in RIVALS {
            hold(plan, table, ends, about, &Sluiced::PLAIN, (*rival, *speed, *cpu));
        }
    }
    // Other settings, and what else holds a pipe for a pair of processes: for comparison, without an aim.
    let (processes, fifos) = ((Ends::Processes, "process→process"), (Ends::Fifos, "FIFO→FIFO"));
    hold(
        plan,
        table,
        processes.0,
        processes.1,
        &Sluiced::PLAIN,
        (&S6, None, None),
    );
    let large = &Bare { size: Some(1 << 20) };
    hold(plan, table, fifos.0, fifos.1, &LARGE_FIFOS, (large, None, None));
}

fn hold(plan: &Plan, table: &mut Table, ends: Ends, about: &str, ours: &Sluiced, rival: Rival) {
    let (theirs, speed, cpu) = rival;
    let contest = Contest {
        case: "a-bulk",
        about,
        load: Load::one(ends, WRITE),
        ours,
        theirs,
        speed: speed.map(Target::AtLeast),
        cpu: cpu.map(Target::AtMost),
    };
    contest.hold(plan, table);
}
