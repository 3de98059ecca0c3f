//! c: one to several.

use super::pairs::Contest;
use crate::contest::{Ends, Load, Sluiced, Tee};
use crate::support::{Plan, Table, Target};

pub fn run(plan: &Plan, table: &mut Table) {
    for sinks in [2, 3, 8] {
        let load = Load {
            sinks,
            ..Load::one(Ends::Fifos, 64 * 1024)
        };
        let contest = Contest {
            case: "c-fan-out",
            about: &format!("FIFO→{sinks} FIFOs"),
            load,
            ours: &Sluiced::PLAIN,
            theirs: &Tee,
            speed: (sinks == 3).then_some(Target::AtLeast(5.0)),
            cpu: None,
        };
        contest.hold(plan, table);
    }
}
