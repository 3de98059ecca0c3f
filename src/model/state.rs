use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::amount;

/// Why a route's sources are not being read now. The order is that in which reasons are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum PauseReason {
    /// `sluicectl pause`, or `start-paused`.
    Operator,
    /// A `block` destination is above its high watermark, or its pipe is full.
    Backpressure,
    /// The route has used up its `rate-limit` for now.
    RateLimit,
    /// A `block` destination is a FIFO without reader, or a consumer that is down without `keep-stdin`.
    NoReader,
    /// An endpoint is not open yet.
    Starting,
}

impl PauseReason {
    /// All reasons, in the order in which they are shown.
    pub const ALL: [PauseReason; 5] = [
        PauseReason::Operator,
        PauseReason::Backpressure,
        PauseReason::RateLimit,
        PauseReason::NoReader,
        PauseReason::Starting,
    ];

    /// The name on the control socket.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            PauseReason::Operator => "operator",
            PauseReason::Backpressure => "backpressure",
            PauseReason::RateLimit => "rate_limit",
            PauseReason::NoReader => "no_reader",
            PauseReason::Starting => "starting",
        }
    }
}

macro_rules! shown_as {
    ($type:ty { $($variant:ident => $text:literal),+ $(,)? }) => {
        impl $type {
            /// The name on the control socket.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

/// Where a source is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceState {
    /// No byte and no hang-up seen yet.
    Waiting,
    /// Bytes flow, or could.
    Open,
    /// It has reached its end, or was drained or dropped.
    Ended,
    /// It could not be opened, or reading it failed.
    Failed,
}
shown_as!(SourceState { Waiting => "waiting", Open => "open", Ended => "ended", Failed => "failed" });

/// Where a destination is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DestinationState {
    /// Nobody reads at its other end, or it is not open yet.
    Waiting,
    /// It takes bytes.
    Open,
    /// It takes no more, and writes out what it has accepted.
    Draining,
    /// It has ended.
    Closed,
    /// It could not be opened, or writing it failed.
    Failed,
}
shown_as!(DestinationState {
    Waiting => "waiting", Open => "open", Draining => "draining", Closed => "closed", Failed => "failed",
});

/// The state of a route as shown: the first that fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RouteState {
    /// Every endpoint has ended.
    Closed,
    /// No more is read; what was accepted is being written out.
    Draining,
    /// An endpoint was not tried yet, or its process is starting.
    Opening,
    /// There are pause reasons.
    Paused,
    /// Bytes flow, or would.
    Flowing,
}
shown_as!(RouteState {
    Closed => "closed", Draining => "draining", Opening => "opening", Paused => "paused", Flowing => "flowing",
});

/// By which mechanism a route moves bytes now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PathKind {
    /// read(2), keep, write(2).
    Copy,
    /// splice(2) from one pipe to another.
    Splice,
    /// tee(2) into staging pipes, then splice(2).
    Tee,
}
shown_as!(PathKind { Copy => "copy", Splice => "splice", Tee => "tee" });

/// Why a transport ended. Exactly one for each life of a transport.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CloseCause {
    /// The stream reached its end.
    Eof,
    /// It was drained on request, or because the other side of its route had ended.
    Drained,
    /// It was dropped on request.
    Aborted,
    /// Whoever held the other end has gone for good.
    PeerGone,
    /// The deadline ran out before it was drained.
    DrainTimeout,
    /// A system call failed; the errno's name.
    IoError(Cow<'static, str>),
}

impl fmt::Display for CloseCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CloseCause::Eof => f.write_str("eof"),
            CloseCause::Drained => f.write_str("drained"),
            CloseCause::Aborted => f.write_str("aborted"),
            CloseCause::PeerGone => f.write_str("peer_gone"),
            CloseCause::DrainTimeout => f.write_str("drain_timeout"),
            CloseCause::IoError(errno) => write!(f, "io_error:{errno}"),
        }
    }
}

/// The state of a process as shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProcessState {
    /// For those downstream to be ready.
    Waiting,
    /// Spawned, not ready.
    Starting,
    /// It runs.
    Ready,
    /// It exited and will be started again at a known time.
    BackingOff,
    /// It was told to stop and has not exited yet.
    Stopping,
    /// Stopped by an operator.
    Stopped,
    /// By policy it will not run again.
    Finished,
    /// Its start limit is reached, or it cannot be executed.
    Failed,
}
shown_as!(ProcessState {
    Waiting => "waiting", Starting => "starting", Ready => "ready", BackingOff => "backing_off",
    Stopping => "stopping", Stopped => "stopped", Finished => "finished", Failed => "failed",
});

/// How a process's last life ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Exit {
    /// It exited with this code.
    Code(i32),
    /// A signal ended it.
    Signal {
        /// The signal's name, e.g. `SIGSEGV`.
        name: String,
        /// Whether it left a core dump.
        core_dumped: bool,
    },
    /// It never ran: what was tried, on what, and what to do.
    NotExecuted(String),
    /// The supervisor ended it, for a fault of its own.
    Faulted {
        /// Which.
        fault: Fault,
        /// How it went then.
        exit: Box<Exit>,
    },
}

/// Why the supervisor ends a life that nobody has told to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fault {
    /// It was not ready within `ready-timeout`, which is this.
    NotReady(Duration),
    /// It has not said WATCHDOG=1 for as long as `watchdog` says.
    Silent(Duration),
    /// It has said WATCHDOG=trigger.
    Triggered,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |time: &Duration| amount::duration(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
        match self {
            Fault::NotReady(time) => write!(f, "not ready in time (ready-timeout: {})", shown(time)),
            Fault::Silent(time) => write!(f, "watchdog: no WATCHDOG=1 for {}", shown(time)),
            Fault::Triggered => f.write_str("watchdog: it has said WATCHDOG=trigger"),
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exit::Code(code) => write!(f, "exit {code}"),
            Exit::Signal {
                name,
                core_dumped: true,
            } => write!(f, "killed by {name} (core dumped)"),
            Exit::Signal {
                name,
                core_dumped: false,
            } => write!(f, "killed by {name}"),
            Exit::NotExecuted(text) => f.write_str(text),
            Exit::Faulted { fault, exit } => write!(f, "{fault}; {exit}"),
        }
    }
}
