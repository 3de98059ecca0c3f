//! Programs that stand between two pipes: cat, pv, socat, mbuffer; tee; GNU parallel.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{Contestant, Ends, Load, Relay, pipe, start_gen, start_sink};
use crate::load::SINK;
use crate::support::Stage;

/// `gen | TOOL | sink`, or the same between two FIFOs. With several sources all of them write into its one input, which
/// keeps lines whole as long as a write is not longer than PIPE_BUF.
#[derive(Debug)]
pub struct Filter {
    pub words: &'static [&'static str],
}

impl Filter {
    pub const CAT: Filter = Filter { words: &["cat"] };
    pub const PV: Filter = Filter { words: &["pv", "-q"] };
    pub const SOCAT: Filter = Filter {
        words: &["socat", "-u", "STDIN", "STDOUT"],
    };
    pub const MBUFFER: Filter = Filter {
        words: &["mbuffer", "-q"],
    };
}

impl Contestant for Filter {
    fn name(&self) -> String {
        match self.words {
            ["socat", ..] => "socat -u".to_owned(),
            words => words.join(" "),
        }
    }

    fn tool(&self) -> Option<&'static str> {
        self.words.first().copied()
    }

    fn set_up(&self, stage: &mut Stage, load: &Load) -> Result<Relay, String> {
        let mut command = Command::new(self.words[0]);
        command.args(&self.words[1..]).stderr(Stdio::null());
        match load.ends {
            Ends::Processes => {
                let (sink_in, tool_out) = pipe()?;
                let (tool_in, gen_out) = pipe()?;
                start_sink(stage, load, 0, None, sink_in)?;
                let relay = stage.start(command.stdin(tool_in).stdout(tool_out))?;
                drop(command);
                start_gen(stage, load, 0, None, gen_out)?;
                Ok(Relay::Ends(relay))
            }
            Ends::Fifos => {
                let (input, output) = (stage.fifo("in")?, stage.fifo("out")?);
                start_sink(stage, load, 0, Some(output.clone()), Stdio::null())?;
                let relay = between(stage, &mut command, &input, &output)?;
                drop(command);
                for i in 0..load.sources {
                    start_gen(stage, load, i, Some(input.clone()), Stdio::null())?;
                }
                Ok(Relay::Ends(relay))
            }
        }
    }
}

/// Starts a command between two FIFOs, as a shell would; but the shell would wait in open(2). The input has a writer until
/// the gate is opened, and the generators have it open by then.
pub fn between(stage: &mut Stage, command: &mut Command, input: &Path, output: &Path) -> Result<usize, String> {
    let failed = |error: std::io::Error| format!("cannot open a FIFO: {error}");
    let keeper = |path: &Path| OpenOptions::new().read(true).write(true).open(path).map_err(failed);
    let (input_keeper, _output_keeper) = (keeper(input)?, keeper(output)?);
    let stdin = File::open(input).map_err(failed)?;
    let stdout = OpenOptions::new().write(true).open(output).map_err(failed)?;
    stage.keep_until_the_gate(input_keeper);
    stage.start(command.stdin(stdin).stdout(stdout))
}

/// `tee` from a FIFO into several.
#[derive(Debug)]
pub struct Tee;

impl Contestant for Tee {
    fn name(&self) -> String {
        "tee".to_owned()
    }

    fn tool(&self) -> Option<&'static str> {
        Some("tee")
    }

    fn set_up(&self, stage: &mut Stage, load: &Load) -> Result<Relay, String> {
        let input = stage.fifo("in")?;
        let outputs = (0..load.sinks)
            .map(|i| stage.fifo(&format!("out{i}")))
            .collect::<Result<Vec<PathBuf>, String>>()?;
        for (i, output) in outputs.iter().enumerate() {
            start_sink(stage, load, i, Some(output.clone()), Stdio::null())?;
        }
        let (last, others) = outputs.split_last().ok_or("no sink")?;
        let mut command = Command::new("tee");
        let relay = between(stage, command.args(others), &input, last)?;
        drop(command);
        start_gen(stage, load, 0, Some(input), Stdio::null())?;
        Ok(Relay::Ends(relay))
    }
}

/// `gen | parallel --pipe sink`: each block of lines to one of as many jobs as there are sinks.
#[derive(Debug)]
pub struct Parallel {
    /// Jobs that live on and get one block after another. Else a new job for each block.
    pub round_robin: bool,
}

impl Contestant for Parallel {
    fn name(&self) -> String {
        if self.round_robin {
            "parallel --pipe --round-robin".to_owned()
        } else {
            "parallel --pipe".to_owned()
        }
    }

    fn tool(&self) -> Option<&'static str> {
        Some("parallel")
    }

    fn set_up(&self, stage: &mut Stage, load: &Load) -> Result<Relay, String> {
        let (stdin, gen_out) = pipe()?;
        let mut command = Command::new("parallel");
        command.args(["--will-cite", "--pipe"]).arg(format!("-j{}", load.sinks));
        if self.round_robin {
            command.arg("--round-robin");
        }
        // Of the sample's directory: what it keeps about itself and its jobs.
        command
            .env("PARALLEL_HOME", stage.directory())
            .env("TMPDIR", stage.directory());
        command.args(stage.words(SINK, "s0", &load.sink_fields()));
        let relay = stage.start(command.stdin(stdin).stdout(Stdio::null()).stderr(Stdio::null()))?;
        drop(command);
        start_gen(stage, load, 0, None, gen_out)?;
        Ok(Relay::EndsAlone(relay))
    }
}
