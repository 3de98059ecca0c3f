//! What was measured, as it is shown: a line for each row at once, and all of it as Markdown at the end.

use std::fmt::Write;

use super::statistics::shorten;
use super::{Plan, Spread, Target, Unit};

/// Seconds of CPU time of the relaying process for each GB.
#[derive(Clone, Copy, Debug)]
pub struct Cpu {
    pub ours: Spread,
    pub theirs: Option<Spread>,
    pub ratio: Option<Spread>,
    pub target: Option<Target>,
}

/// One comparison, or one number that stands alone.
#[derive(Clone, Debug)]
pub struct Row {
    pub case: &'static str,
    pub load: String,
    /// As which sluiced is shown.
    pub who: String,
    pub unit: Unit,
    pub ours: Option<Spread>,
    /// Who the other one is; empty where there is none.
    pub against: String,
    pub theirs: Option<Spread>,
    /// Ours by theirs, pair by pair.
    pub ratio: Option<Spread>,
    pub target: Option<Target>,
    pub cpu: Option<Cpu>,
    /// Why there is no number.
    pub trouble: Option<String>,
    /// It was to be measured and could not be.
    pub failed: bool,
}

impl Row {
    /// With nothing measured yet.
    pub fn new(case: &'static str, load: impl Into<String>, unit: Unit) -> Row {
        Row {
            case,
            load: load.into(),
            who: "sluiced".to_owned(),
            unit,
            ours: None,
            against: String::new(),
            theirs: None,
            ratio: None,
            target: None,
            cpu: None,
            trouble: None,
            failed: false,
        }
    }

    /// Against whom.
    #[must_use]
    pub fn against(mut self, name: impl Into<String>) -> Row {
        self.against = name.into();
        self
    }

    /// What is aimed at.
    #[must_use]
    pub fn aims(mut self, target: Option<Target>) -> Row {
        self.target = target;
        self
    }

    /// Numbers of several samples that stand alone.
    #[must_use]
    pub fn alone(mut self, values: &[f64]) -> Row {
        self.ours = Spread::of(values);
        self
    }

    /// Numbers of several pairs.
    #[must_use]
    pub fn pairs(mut self, ours: &[f64], theirs: &[f64]) -> Row {
        self.ours = Spread::of(ours);
        self.theirs = Spread::of(theirs);
        self.ratio = ratio(ours, theirs);
        self
    }

    /// It could not be measured.
    #[must_use]
    pub fn failed(mut self, why: impl Into<String>) -> Row {
        self.trouble = Some(why.into());
        self.failed = true;
        self
    }

    /// The peer is not installed.
    #[must_use]
    pub fn missing(mut self, tool: &str) -> Row {
        self.trouble = Some(format!("{tool} is not installed"));
        self
    }

    /// What a target is held against.
    fn decisive(&self) -> Option<f64> {
        let spread = if self.against.is_empty() { self.ours } else { self.ratio };
        spread.map(|spread| spread.median)
    }

    fn cells(&self) -> [String; 10] {
        let or_not = |spread: Option<Spread>| spread.map_or(String::new(), |spread| spread.to_string());
        let target = |target: Option<Target>, value| target.map_or(String::new(), |target| target.shown(value));
        let cpu_ratio = self.cpu.and_then(|cpu| cpu.ratio);
        let own = match &self.trouble {
            Some(trouble) => format!("— {trouble}"),
            None => or_not(self.ours),
        };
        [
            format!("{}, {}", self.load, self.unit.shown()),
            self.who.clone(),
            own,
            self.against.clone(),
            or_not(self.theirs),
            or_not(self.ratio),
            target(self.target, self.decisive()),
            self.cpu.map_or(String::new(), |cpu| cpu.ours.to_string()),
            or_not(self.cpu.and_then(|cpu| cpu.theirs)),
            [
                or_not(cpu_ratio),
                target(self.cpu.and_then(|cpu| cpu.target), cpu_ratio.map(|ratio| ratio.median)),
            ]
            .join(" ")
            .trim()
            .to_owned(),
        ]
    }
}

/// The ratio pair by pair; nothing where a number was 0.
pub fn ratio(ours: &[f64], theirs: &[f64]) -> Option<Spread> {
    let ratios: Vec<f64> = std::iter::zip(ours, theirs)
        .filter(|(_, theirs)| **theirs > 0.0)
        .map(|(a, b)| a / b)
        .collect();
    Spread::of(&ratios)
}

/// All rows.
#[derive(Debug)]
pub struct Table {
    rows: Vec<Row>,
}

impl Table {
    /// Without any.
    pub fn begin() -> Table {
        Table { rows: Vec::new() }
    }

    /// One more, shown at once.
    pub fn add(&mut self, row: Row) {
        let [
            load,
            who,
            ours,
            against,
            theirs,
            ratio,
            target,
            cpu,
            their_cpu,
            cpu_ratio,
        ] = row.cells();
        let mut line = format!("  {load}: {who} {ours}");
        if row.trouble.is_none() && !against.is_empty() {
            let _ = write!(line, " | {against} {theirs} | ratio {ratio}");
        }
        if !target.is_empty() {
            let _ = write!(line, " | target {target}");
        }
        if !cpu.is_empty() {
            let _ = write!(line, " | CPU s/GB {cpu}");
        }
        if !their_cpu.is_empty() {
            let _ = write!(line, " by {their_cpu}: {cpu_ratio}");
        }
        println!("{line}");
        self.rows.push(row);
    }

    /// Whether there is a row of this load.
    pub fn has(&self, case: &str, load: &str, who: &str) -> bool {
        let is_that = |row: &Row| row.case == case && row.load == load && row.who == who;
        self.rows.iter().any(is_that)
    }

    /// How many rows could not be measured.
    pub fn failures(&self) -> usize {
        self.rows.iter().filter(|row| row.failed).count()
    }

    /// Everything.
    pub fn markdown(&self, plan: &Plan, machine: &str, missing: &[&str]) -> String {
        let mut text = String::from("# sluiced beside its peers\n\n");
        for line in machine.lines() {
            let _ = writeln!(text, "- {line}");
        }
        let _ = writeln!(
            text,
            "- Samples: {} pairs A B A B, about {} s each{}",
            plan.pairs,
            shorten(plan.sample.as_secs_f64()),
            if plan.quick {
                "; **quick: for a look, not for a claim**"
            } else {
                ""
            }
        );
        for tool in missing {
            let _ = writeln!(
                text,
                "- **{tool} is missing; its rows are empty** (`benches/install-peers.sh`)"
            );
        }
        text.push_str(
            "\nA number is the median, with the smallest and the largest sample. A ratio is ours by theirs, pair by pair; its \
             median counts. CPU is seconds of the relaying process (all its threads, none of the load generators) for each \
             GB that was written; with several destinations, for each GB that came in.\n",
        );
        let mut case = "";
        for row in &self.rows {
            if row.case != case {
                case = row.case;
                let _ = writeln!(text, "\n## {case}: {}\n", crate::cases::about(case));
                text.push_str("| load | who | measured | against | measured | ratio | target | CPU s/GB | its CPU s/GB | ratio of CPU |\n");
                text.push_str("|---|---|---|---|---|---|---|---|---|---|\n");
            }
            let _ = writeln!(
                text,
                "| {} |",
                row.cells().map(|cell| cell.replace('|', "\\|")).join(" | ")
            );
        }
        text
    }
}
