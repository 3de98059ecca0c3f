//! Two contestants on one load, in turn.

use std::time::Duration;

use crate::contest::{self, Contestant, Load, Sample, Sluiced};
use crate::support::{Cpu, Plan, Row, Spread, Table, Target, Unit, interrupt};

/// What a first run, which tells how much fits into a sample, moves; more where that is over too soon.
const FIRST: u64 = 4 << 20;
/// A run that was shorter says little.
const TELLING: f64 = 0.03;
/// No sample moves more, however fast the machine is.
const MOST: u64 = 64 << 30;

/// What is to be compared, and what is aimed at.
pub struct Contest<'a> {
    pub case: &'static str,
    /// As shown.
    pub about: &'a str,
    pub load: Load,
    pub ours: &'a Sluiced,
    pub theirs: &'a dyn Contestant,
    pub speed: Option<Target>,
    pub cpu: Option<Target>,
}

impl Contest<'_> {
    /// Measures it, as one row. Another build takes the place of all peers.
    pub fn hold(&self, plan: &Plan, table: &mut Table) {
        let Some(base) = &plan.base else {
            return self.measure_row(plan, table);
        };
        if !table.has(self.case, self.about, self.ours.called) {
            let theirs = Sluiced {
                base: Some(base.clone()),
                ..self.ours.clone()
            };
            let contest = Contest {
                theirs: &theirs,
                load: self.load.clone(),
                speed: None,
                cpu: None,
                ..*self
            };
            contest.measure_row(plan, table);
        }
    }

    fn measure_row(&self, plan: &Plan, table: &mut Table) {
        if interrupt::came() {
            return;
        }
        let mut row = Row::new(self.case, self.about, Unit::GigabytesPerSecond)
            .against(self.theirs.name())
            .aims(self.speed);
        row.who = self.ours.name();
        if let Some(tool) = self.theirs.tool().filter(|tool| !contest::has_tool(tool)) {
            table.add(row.missing(tool));
            return;
        }
        let row = match self.measure(plan) {
            Ok((ours, theirs)) => self.fill(row, &ours, &theirs),
            Err(error) => row.failed(error),
        };
        table.add(row);
    }

    fn measure(&self, plan: &Plan) -> Result<(Vec<Sample>, Vec<Sample>), String> {
        let our_load = fitting(self.ours, &self.load, plan)?;
        let their_load = fitting(self.theirs, &self.load, plan)?;
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..plan.pairs {
            ours.push(contest::run(self.ours, &our_load, plan.patience())?);
            theirs.push(contest::run(self.theirs, &their_load, plan.patience())?);
        }
        Ok((ours, theirs))
    }

    fn fill(&self, row: Row, ours: &[Sample], theirs: &[Sample]) -> Row {
        let speeds = |samples: &[Sample]| samples.iter().map(Sample::speed).collect::<Vec<f64>>();
        let costs = |samples: &[Sample]| samples.iter().filter_map(Sample::cost).collect::<Vec<f64>>();
        let (our_costs, their_costs) = (costs(ours), costs(theirs));
        let mut row = row.pairs(&speeds(ours), &speeds(theirs));
        row.cpu = Spread::of(&our_costs).map(|spread| Cpu {
            ours: spread,
            theirs: Spread::of(&their_costs),
            ratio: crate::support::ratio(&our_costs, &their_costs),
            target: self.cpu,
        });
        row
    }
}

/// As much of a load as takes a contestant about as long as a sample is to be.
fn fitting(contestant: &dyn Contestant, load: &Load, plan: &Plan) -> Result<Load, String> {
    // Of small writes so few that the first run is short; and what a pipe holds is not to matter.
    let mut bytes = FIRST.min(load.write as u64 * 100_000);
    loop {
        let patience = Duration::from_secs(60);
        let sample = contest::run(contestant, &load.of(bytes), patience)?;
        if sample.seconds >= TELLING || bytes >= MOST {
            let fitting = sample.bytes as f64 / sample.seconds * plan.sample.as_secs_f64();
            return Ok(load.of((fitting as u64).min(MOST)));
        }
        bytes *= 8;
    }
}
