//! Who is measured: sluiced and its peers, each of which is put between the same load generators.

mod bare;
mod control;
mod s6;
mod sluiced;
mod syslog_ng;
mod tools;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

pub use bare::Bare;
pub use control::Control;
pub use s6::S6;
pub use sluiced::{Daemon, Sluiced};
pub use syslog_ng::SyslogNg;
pub use tools::{Filter, Parallel, Tee, between};

use crate::load::{GEN, SINK};
use crate::support::{Stage, cpu};

/// The peers: the program, Debian's package, and how the program is asked for its version.
pub const TOOLS: [(&str, &str, &[&str]); 8] = [
    ("cat", "coreutils", &["--version"]),
    ("tee", "coreutils", &["--version"]),
    ("pv", "pv", &["--version"]),
    ("socat", "socat", &["-V"]),
    ("mbuffer", "mbuffer", &["--version"]),
    ("parallel", "parallel", &["--version"]),
    ("syslog-ng", "syslog-ng-core", &["--version"]),
    ("s6-svscan", "s6", &["--version"]),
];

/// How the load generators are connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    /// By their stdin and stdout.
    Processes,
    /// By named FIFOs.
    Fifos,
}

/// What is to be moved.
#[derive(Clone, Debug)]
pub struct Load {
    pub ends: Ends,
    pub sources: usize,
    pub sinks: usize,
    /// Bytes of one write(2) of a generator.
    pub write: usize,
    /// Whether each sink gets a part, and not everything.
    pub shared: bool,
    /// By each source; a multiple of `write`.
    pub bytes: u64,
}

impl Load {
    /// One to one.
    pub fn one(ends: Ends, write: usize) -> Load {
        Load {
            ends,
            sources: 1,
            sinks: 1,
            write,
            shared: false,
            bytes: 0,
        }
    }

    /// About as much as `bytes`.
    #[must_use]
    pub fn of(&self, bytes: u64) -> Load {
        let write = self.write as u64;
        let each = (bytes / self.sources as u64 / write).max(1) * write;
        Load {
            bytes: each,
            ..self.clone()
        }
    }

    /// What all sources write.
    pub fn total(&self) -> u64 {
        self.bytes * self.sources as u64
    }

    fn gen_fields(&self) -> Vec<(&'static str, String)> {
        vec![("bytes", self.bytes.to_string()), ("write", self.write.to_string())]
    }

    /// What a sink of everything is told: to stop when it has it, since not every contestant passes an end on.
    fn sink_fields(&self) -> Vec<(&'static str, String)> {
        if self.shared {
            Vec::new()
        } else {
            vec![("bytes", self.total().to_string())]
        }
    }
}

/// Whose CPU time is the relay's.
#[derive(Clone, Copy, Debug)]
pub enum Relay {
    /// The kernel moves the bytes.
    Nobody,
    /// A process that goes on running.
    Stays(u32),
    /// What was started at this place of the stage, and ends with its input.
    Ends(usize),
    /// The same; its children are not the relay.
    EndsAlone(usize),
}

/// A way from the generators to the sinks.
pub trait Contestant {
    /// As shown.
    fn name(&self) -> String;

    /// The program that it needs.
    fn tool(&self) -> Option<&'static str>;

    /// Starts sinks, relay and generators: `g0` …, and `s0` … or only `s0` where the sinks share.
    fn set_up(&self, stage: &mut Stage, load: &Load) -> Result<Relay, String>;
}

/// What one run of a load showed.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// From the first write to the last byte read.
    pub seconds: f64,
    /// Bytes written by all sources.
    pub bytes: u64,
    /// Of the relay, in seconds.
    pub cpu: Option<f64>,
}

impl Sample {
    /// GB/s of what the sources wrote.
    pub fn speed(&self) -> f64 {
        self.bytes as f64 / self.seconds / 1e9
    }

    /// Seconds of CPU time for each GB.
    pub fn cost(&self) -> Option<f64> {
        self.cpu.map(|cpu| cpu / (self.bytes as f64 / 1e9))
    }
}

/// One run.
pub fn run(contestant: &dyn Contestant, load: &Load, patience: Duration) -> Result<Sample, String> {
    measure(contestant, load, patience).map_err(|error| format!("{}: {error}", contestant.name()))
}

fn measure(contestant: &dyn Contestant, load: &Load, patience: Duration) -> Result<Sample, String> {
    let mut stage = Stage::new(patience)?;
    let relay = contestant.set_up(&mut stage, load)?;
    let tags: Vec<String> = (0..load.sources).map(|i| format!("g{i}")).collect();
    let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
    stage.await_reports(&tags)?;
    let relaying = match relay {
        Relay::Nobody => None,
        Relay::Stays(process) => Some(process),
        Relay::Ends(place) | Relay::EndsAlone(place) => Some(stage.started(place).pid()),
    };
    if let Some(process) = relaying {
        cpu::settle(process);
    }
    let before = relaying.map_or(0, cpu::of);
    stage.open_gate(load.sources)?;
    let wrote = stage.await_reports(&tags)?;
    let read = if load.shared {
        stage.await_sum("s0", "bytes", load.total())?
    } else {
        let sinks: Vec<String> = (0..load.sinks).map(|i| format!("s{i}")).collect();
        stage.await_reports(&sinks.iter().map(String::as_str).collect::<Vec<_>>())?
    };
    let spent = spent(&mut stage, relay, patience)?;
    let start = wrote
        .iter()
        .map(|report| report.get("start"))
        .collect::<Result<Vec<_>, _>>()?;
    let end = read
        .iter()
        .map(|report| report.get("end"))
        .collect::<Result<Vec<_>, _>>()?;
    let got = read
        .iter()
        .map(|report| report.get("bytes"))
        .collect::<Result<Vec<_>, _>>()?;
    let owed = load.total() * if load.shared { 1 } else { load.sinks as u64 };
    // A line that is too long for a buffer comes out as two, and what is counted here is bytes.
    if got.iter().sum::<u64>() != owed {
        return Err(format!("{owed} bytes were to come out, and the sinks got {got:?}"));
    }
    let (start, end) = (start.iter().min(), end.iter().max());
    let nanoseconds = end.unwrap_or(&0).saturating_sub(*start.unwrap_or(&0)).max(1);
    Ok(Sample {
        seconds: nanoseconds as f64 / 1e9,
        bytes: load.total(),
        cpu: spent.map(|spent| (spent - before as f64 / 1e9).max(0.0)),
    })
}

/// CPU seconds of the relay so far.
fn spent(stage: &mut Stage, relay: Relay, patience: Duration) -> Result<Option<f64>, String> {
    Ok(match relay {
        Relay::Nobody => None,
        Relay::Stays(process) => Some(cpu::of(process) as f64 / 1e9),
        Relay::Ends(place) => {
            let before = cpu::of_reaped();
            stage.started(place).await_success(patience)?;
            Some(cpu::of_reaped() - before)
        }
        Relay::EndsAlone(place) => {
            let process = stage.started(place).pid();
            let deadline = crate::support::clock::Deadline::within(patience);
            while !cpu::is_zombie(process) {
                if deadline.passed() || crate::support::interrupt::came() {
                    return Err("it does not end".to_owned());
                }
                crate::support::clock::pause(Duration::from_millis(1));
            }
            let spent = cpu::of_zombie(process);
            stage.started(place).await_success(patience)?;
            Some(spent)
        }
    })
}

/// Starts source `i`; it writes into the FIFO `to`, or into `stdout`.
fn start_gen(stage: &mut Stage, load: &Load, i: usize, to: Option<PathBuf>, stdout: Stdio) -> Result<usize, String> {
    let mut fields = load.gen_fields();
    if let Some(to) = to {
        fields.push(("to", to.display().to_string()));
    }
    let words = stage.words(GEN, &format!("g{i}"), &fields);
    stage.generator(&words, Stdio::null(), stdout)
}

/// Starts sink `i`; it reads the FIFO `from`, or `stdin`.
fn start_sink(stage: &mut Stage, load: &Load, i: usize, from: Option<PathBuf>, stdin: Stdio) -> Result<usize, String> {
    let mut fields = load.sink_fields();
    if let Some(from) = from {
        fields.push(("from", from.display().to_string()));
    }
    let tag = if load.shared { "s0".to_owned() } else { format!("s{i}") };
    let words = stage.words(SINK, &tag, &fields);
    stage.generator(&words, stdin, Stdio::null())
}

/// A pipe of the kernel's default size: its reading and its writing end.
pub fn pipe() -> Result<(Stdio, Stdio), String> {
    let (reader, writer) = std::io::pipe().map_err(|error| format!("cannot make a pipe: {error}"))?;
    Ok((Stdio::from(reader), Stdio::from(writer)))
}

/// Where one of the two programs under test is: in this directory, else of this build.
pub fn program(name: &str, base: Option<&Path>) -> PathBuf {
    if let Some(base) = base {
        return base.join(name);
    }
    let built = match name {
        "sluicectl" => env!("CARGO_BIN_EXE_sluicectl"),
        _ => env!("CARGO_BIN_EXE_sluiced"),
    };
    std::env::var_os("SLUICED_BIN_DIR").map_or_else(
        || built.into(),
        |directory| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(directory).join(name),
    )
}

/// Whether a program is in the PATH.
pub fn has_tool(tool: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(tool).is_file())
}

/// Peers that are not installed.
pub fn missing_tools() -> Vec<&'static str> {
    TOOLS
        .iter()
        .map(|(tool, ..)| *tool)
        .filter(|tool| !has_tool(tool))
        .collect()
}
