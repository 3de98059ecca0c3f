//! b: small writes.

use super::pairs::Contest;
use crate::contest::{Bare, Contestant, Ends, Filter, Load, Sluiced};
use crate::support::{Plan, Table, Target};

pub fn run(plan: &Plan, table: &mut Table) {
    for write in [1, 100, 4096] {
        let rivals: [(&dyn Contestant, f64); 2] = [(&Bare { size: None }, 1.0), (&Filter::SOCAT, 1.0)];
        for (theirs, least) in rivals {
            let contest = Contest {
                case: "b-small",
                about: &format!("process→process, {write} bytes a write"),
                load: Load::one(Ends::Processes, write),
                ours: &Sluiced::PLAIN,
                theirs,
                speed: (write == 100).then_some(Target::AtLeast(least)),
                cpu: None,
            };
            contest.hold(plan, table);
        }
    }
}
