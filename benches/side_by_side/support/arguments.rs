//! The command line.

use std::path::PathBuf;
use std::time::Duration;

const USAGE: &str = "\
usage: cargo bench --bench side_by_side -- [OPTION]…
  --quick         short samples; for a look, not for a claim
  --only CASE     only the cases whose name begins with this; may be given several times
  --list          the names of the cases
  --pairs N       pairs A B for each row, at least 1; default 7, quick 5
  --seconds S     about how long one sample takes; default 1, quick 0.2
  --base DIR      beside the sluiced in this directory (another build) instead of the peers; cases a to f
  --output PATH   where the table is written; default target/side_by_side.md
$SLUICED_BIN_DIR  where sluiced and sluicectl are taken from, if not from this build";

/// What is to be measured, and for how long.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Shorter everything.
    pub quick: bool,
    /// How many times A B.
    pub pairs: usize,
    /// About how long the load of one sample lasts.
    pub sample: Duration,
    /// Where another build is, which takes the place of the peers.
    pub base: Option<PathBuf>,
    /// Where the table goes.
    pub output: PathBuf,
    only: Vec<String>,
}

/// What the command line says.
pub enum Arguments {
    /// Measure.
    Run(Plan),
    /// Only tell something.
    Tell(String),
}

impl Arguments {
    /// Of the words behind the program's name.
    pub fn parse(words: impl Iterator<Item = String>) -> Result<Arguments, String> {
        let mut words = words;
        let (mut quick, mut by_cargo_bench) = (false, false);
        let (mut pairs, mut seconds, mut only) = (None, None, Vec::new());
        let mut base = None;
        let mut output = target().join("side_by_side.md");
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("{word} needs a value\n{USAGE}"));
            match word.as_str() {
                "--bench" => by_cargo_bench = true,
                "--quick" => quick = true,
                "--only" => only.push(value()?),
                "--pairs" => pairs = Some(number(&value()?)?),
                "--seconds" => seconds = Some(number(&value()?)?),
                "--base" => base = Some(value()?.into()),
                "--output" => output = value()?.into(),
                "--list" => return Ok(Arguments::Tell(crate::cases::list())),
                "--help" | "-h" => return Ok(Arguments::Tell(USAGE.to_owned())),
                _ => return Err(format!("what is {word:?}?\n{USAGE}")),
            }
        }
        if !by_cargo_bench {
            // `cargo test --all-targets` starts it, too.
            return Ok(Arguments::Tell(format!(
                "nothing is measured but by cargo bench\n{USAGE}"
            )));
        }
        if let Some(unknown) = only.iter().find(|part| !crate::cases::exists(part)) {
            return Err(format!("no case begins with {unknown:?}\n{}", crate::cases::list()));
        }
        let seconds = seconds.unwrap_or(if quick { 0.2 } else { 1.0 });
        let pairs = pairs.unwrap_or(if quick { 5.0 } else { 7.0 });
        Ok(Arguments::Run(Plan {
            quick,
            pairs: (pairs as usize).clamp(1, 1000),
            sample: Duration::from_secs_f64(seconds.clamp(0.05, 60.0)),
            base,
            output,
            only,
        }))
    }
}

impl Plan {
    /// Whether this case is to be run.
    pub fn wants(&self, case: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|part| case.starts_with(part.as_str()))
    }

    /// Longer than any sample of a working contestant: one that takes as long hangs.
    pub fn patience(&self) -> Duration {
        Duration::from_secs(30) + self.sample * 10
    }
}

fn number(text: &str) -> Result<f64, String> {
    let parsed: Option<f64> = text.parse().ok().filter(|number: &f64| number.is_finite());
    parsed.ok_or(format!("{text:?} is not a number"))
}

fn target() -> PathBuf {
    let directory = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(directory)
}
