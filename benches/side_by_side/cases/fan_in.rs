//! d: lines from several sources to one destination.

use super::pairs::Contest;
use crate::contest::{Contestant, Ends, Filter, Load, Sluiced, SyslogNg};
use crate::load::LINE;
use crate::support::{Plan, Table, Target};

const LINES: Sluiced = Sluiced {
    called: "sluiced, lines",
    route: "framing = \"lines\"",
    fifo: "",
    base: None,
};

/// Lines in one write: one; as many as stay whole where all write into one FIFO (PIPE_BUF); as many as a producer writes
/// whose output is buffered largely. `cat` knows nothing of lines and tears the last ones.
const LINES_A_WRITE: [usize; 3] = [1, 40, 655];

pub fn run(plan: &Plan, table: &mut Table) {
    for sources in [2, 4] {
        for lines in LINES_A_WRITE {
            let rivals: [(&dyn Contestant, f64); 2] = [(&Filter::CAT, 0.8), (&SyslogNg, 10.0)];
            for (theirs, least) in rivals {
                let load = Load {
                    sources,
                    ..Load::one(Ends::Fifos, lines * LINE)
                };
                let contest = Contest {
                    case: "d-lines",
                    about: &format!("{sources} FIFOs→FIFO, lines in a write: {lines}"),
                    load,
                    ours: &LINES,
                    theirs,
                    speed: (sources == 2 && lines == 1).then_some(Target::AtLeast(least)),
                    cpu: None,
                };
                contest.hold(plan, table);
            }
        }
    }
}
