use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{LimitSpec, LimitedResource, Name, ProcessId};

/// A whole, checked config. Processes and routes stand in the order in which they were written.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The files as read, in the order in which they were read.
    pub files: Vec<ConfigFile>,
    /// `[daemon]`
    pub daemon: DaemonSpec,
    /// `[control]`
    pub control: ControlSpec,
    /// `[process.*]`
    pub processes: Vec<ProcessSpec>,
    /// `[route.*]`
    pub routes: Vec<Arc<RouteSpec>>,
}

/// One config file as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigFile {
    /// Its path, as given or found.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
}

/// `[daemon]`, as resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DaemonSpec {
    /// Absolute. FIFO paths that are not absolute are in it.
    pub runtime_directory: PathBuf,
    /// One deadline for the whole shutdown.
    pub drain_timeout: Duration,
    /// error, warn, info, debug or trace.
    pub log_level: tracing::Level,
    /// 1 or more.
    pub relay_threads: usize,
}

/// `[control]`, as resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlSpec {
    /// Absolute.
    pub socket: PathBuf,
    /// Permission bits of the socket.
    pub mode: u32,
    /// The group whose members may change things.
    pub group: Option<String>,
    /// The group whose members may only ask.
    pub read_group: Option<String>,
}

/// `[process.NAME]`
#[derive(Clone, Debug, PartialEq)]
pub struct ProcessSpec {
    /// The table's name.
    pub name: Name,
    /// Program and arguments; never empty.
    pub command: Vec<String>,
    /// Where it runs; the daemon's own directory where not given.
    pub working_directory: Option<PathBuf>,
    /// Added to the daemon's environment, or to nothing with `clear_environment`.
    pub environment: Vec<(String, String)>,
    /// Start from an empty environment.
    pub clear_environment: bool,
    /// Run as this user, with its groups.
    pub user: Option<String>,
    /// Run with this primary group.
    pub group: Option<String>,
    /// File mode creation mask.
    pub umask: Option<u32>,
    /// PR_SET_NO_NEW_PRIVS.
    pub no_new_privileges: bool,
    /// setrlimit(2).
    pub limits: Vec<LimitSpec>,
    /// Nice value, -20 … 19; `None` keeps the daemon's.
    pub nice: Option<i32>,
    /// Started with the daemon.
    pub autostart: bool,
    /// How many; `None` where the key is not given.
    pub instances: Option<u16>,
    /// When it is started again.
    pub restart: Restart,
    /// Which ends are no failure.
    pub success_exit: Vec<SuccessExit>,
    /// The first delay before it is started again.
    pub restart_delay: Duration,
    /// The longest delay; also the running time from which on an exit is not early.
    pub restart_delay_max: Duration,
    /// How many early exits make it `failed`.
    pub start_limit: StartLimit,
    /// The signal that asks it to stop.
    pub stop_signal: StopSignal,
    /// The time from the stop signal to SIGKILL.
    pub stop_timeout: Duration,
    /// When it counts as ready.
    pub ready: Readiness,
    /// How long it may take to be ready.
    pub ready_timeout: Duration,
    /// It is restarted when it has not said WATCHDOG=1 for so long.
    pub watchdog: Option<Duration>,
    /// The daemon keeps its stdin pipe over its lives.
    pub keep_stdin: bool,
    /// Where its stdout goes when no route takes it.
    pub stdout: OutputPolicy,
    /// Where its stderr goes when no route takes it.
    pub stderr: OutputPolicy,
}

impl ProcessSpec {
    /// The children that this table describes.
    #[must_use]
    pub fn ids(&self) -> Vec<ProcessId> {
        match self.instances {
            None => vec![ProcessId::single(self.name.clone())],
            Some(count) => (1..=count)
                .map(|instance| ProcessId {
                    name: self.name.clone(),
                    instance: Some(instance),
                })
                .collect(),
        }
    }
}

/// `restart`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// Whatever its exit was.
    Always,
    /// When its exit is not in `success-exit`.
    OnFailure,
    /// Not by itself.
    Never,
}

/// One entry of `success-exit`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SuccessExit {
    /// An exit code.
    Code(i32),
    /// A signal's name, e.g. `SIGPIPE`.
    Signal(String),
}

/// `start-limit`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StartLimit {
    /// More early exits than this within `interval` make it `failed`; 0: no limit.
    pub burst: u32,
    /// The window.
    pub interval: Duration,
}

/// `stop-signal`, e.g. `SIGTERM`: its number and its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StopSignal {
    /// The number on this machine.
    pub number: i32,
    /// The name, with SIG.
    pub name: String,
}

/// `ready`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Once it has been executed.
    Spawned,
    /// Once it has said READY=1 (sd_notify(3)).
    Notify,
    /// Once it has written a newline to this descriptor.
    Fd(u8),
}

/// Where an output goes that no route takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputPolicy {
    /// Line by line to the daemon's log.
    Log,
    /// /dev/null.
    Null,
}

/// `[route.NAME]`
#[derive(Clone, Debug, PartialEq)]
pub struct RouteSpec {
    /// The table's name.
    pub name: Name,
    /// One or more.
    pub from: Vec<SourceSpec>,
    /// One or more.
    pub to: Vec<DestinationSpec>,
    /// Where a record ends.
    pub framing: Framing,
    /// Longer records go out in parts (bytes).
    pub max_record: u64,
    /// What each destination gets.
    pub distribution: Distribution,
    /// Bytes a second.
    pub rate_limit: Option<u64>,
    /// How bytes are moved.
    pub path: PathChoice,
    /// Paused by the operator from the start.
    pub start_paused: bool,
}

/// One entry of `from`.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceSpec {
    /// What it is.
    pub endpoint: EndpointSpec,
    /// What an end of file means. Only a FIFO can say other than `Close`.
    pub on_eof: OnEof,
}

/// One entry of `to`, with the route's settings applied where it has none of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct DestinationSpec {
    /// What it is.
    pub endpoint: EndpointSpec,
    /// Bytes; above it the route's sources pause.
    pub high_watermark: u64,
    /// Bytes; at or below it they resume. Never above `high_watermark`.
    pub low_watermark: u64,
    /// What happens above the high watermark.
    pub when_full: WhenFull,
    /// What happens when a FIFO's reader leaves.
    pub when_gone: WhenGone,
}

/// What an endpoint is: data only. What can be done with it is in `endpoint/`, one file a kind.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum EndpointSpec {
    /// A stream of a supervised process.
    Process {
        /// Which child.
        process: ProcessId,
        /// Which of its descriptors.
        stream: Stream,
    },
    /// A named FIFO.
    Fifo(FifoSpec),
    /// A file that is appended to; absolute.
    File(PathBuf),
    /// Everything vanishes.
    Null,
}

impl fmt::Display for EndpointSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EndpointSpec::Process { process, stream } => write!(f, "process:{process}.{stream}"),
            EndpointSpec::Fifo(fifo) => write!(f, "fifo:{}", fifo.path.display()),
            EndpointSpec::File(path) => write!(f, "file:{}", path.display()),
            EndpointSpec::Null => f.write_str("null"),
        }
    }
}

/// A process's descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Stream {
    /// 0
    Stdin,
    /// 1
    Stdout,
    /// 2
    Stderr,
    /// 3 … 9
    Fd(u8),
}

impl Stream {
    /// The descriptor's number in the child.
    #[must_use]
    pub fn number(self) -> i32 {
        match self {
            Stream::Stdin => 0,
            Stream::Stdout => 1,
            Stream::Stderr => 2,
            Stream::Fd(number) => i32::from(number),
        }
    }
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stream::Stdin => f.write_str("stdin"),
            Stream::Stdout => f.write_str("stdout"),
            Stream::Stderr => f.write_str("stderr"),
            Stream::Fd(number) => write!(f, "fd{number}"),
        }
    }
}

/// A FIFO's settings.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FifoSpec {
    /// Absolute.
    pub path: PathBuf,
    /// Make it when it is not there.
    pub create: bool,
    /// Permission bits of one that is made, regardless of the umask.
    pub mode: u32,
    /// Owner of one that is made.
    pub owner: Owner,
    /// Pipe capacity in bytes, F_SETPIPE_SZ.
    pub pipe_size: Option<u64>,
}

/// Names of a user and a group, where given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Owner {
    /// User name or number.
    pub user: Option<String>,
    /// Group name or number.
    pub group: Option<String>,
}

/// `framing`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// No records.
    Bytes,
    /// A record ends with a newline.
    Lines,
    /// A record ends with a NUL.
    Nul,
}

/// `distribution`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Distribution {
    /// Everything to every destination.
    Broadcast,
    /// Each record to one destination.
    Balance,
}

/// `path`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PathChoice {
    /// As measured on the route.
    Auto,
    /// Always read(2) and write(2).
    Copy,
    /// Never a byte in user space.
    Splice,
}

/// `when-full`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// Pause the route's sources.
    Block,
    /// Drop what comes.
    DropNewest,
    /// Drop what has waited longest.
    DropOldest,
}

/// `when-gone`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenGone {
    /// For the next reader.
    Wait,
    /// Drop this destination.
    Close,
}

/// `on-eof`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnEof {
    /// Writers come and go; end of file between them means nothing.
    Reopen,
    /// The first end of file ends the source.
    Close,
    /// Keep a write end, so that there is no end of file.
    Hold,
}

macro_rules! written_as {
    ($($type:ty { $($variant:ident => $text:literal),+ $(,)? })+) => { $(
        impl $type {
            /// As it is written in a config and shown on the control socket.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
            /// Every value, as written.
            pub const WRITTEN: &'static [(&'static str, Self)] = &[$(($text, Self::$variant)),+];
        }
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    )+ };
}

written_as! {
    Restart { Always => "always", OnFailure => "on-failure", Never => "never" }
    OutputPolicy { Log => "log", Null => "null" }
    LimitedResource {
        Nofile => "nofile", Core => "core", As => "as", Fsize => "fsize", Nproc => "nproc", Memlock => "memlock",
    }
    Framing { Bytes => "bytes", Lines => "lines", Nul => "nul" }
    Distribution { Broadcast => "broadcast", Balance => "balance" }
    PathChoice { Auto => "auto", Copy => "copy", Splice => "splice" }
    WhenFull { Block => "block", DropNewest => "drop-newest", DropOldest => "drop-oldest" }
    WhenGone { Wait => "wait", Close => "close" }
    OnEof { Reopen => "reopen", Close => "close", Hold => "hold" }
}
