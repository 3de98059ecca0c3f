//! e: each line to one of two.

use super::pairs::Contest;
use crate::contest::{Contestant, Ends, Load, Parallel, Sluiced};
use crate::load::LINE;
use crate::support::{Plan, Table, Target};

const BALANCE: Sluiced = Sluiced {
    called: "sluiced, balance",
    route: "framing = \"lines\"\ndistribution = \"balance\"",
    fifo: "",
    base: None,
};

pub fn run(plan: &Plan, table: &mut Table) {
    let rivals: [(&dyn Contestant, Option<f64>); 2] = [
        (&Parallel { round_robin: false }, Some(5.0)),
        (&Parallel { round_robin: true }, None),
    ];
    for (theirs, least) in rivals {
        let load = Load {
            sinks: 2,
            shared: true,
            ..Load::one(Ends::Processes, 655 * LINE)
        };
        let contest = Contest {
            case: "e-balance",
            about: "process→2 processes, 655 lines in a write",
            load,
            ours: &BALANCE,
            theirs,
            speed: least.map(Target::AtLeast),
            cpu: None,
        };
        contest.hold(plan, table);
    }
}
