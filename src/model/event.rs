use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::{CloseCause, Exit, Fault, Moment, Name, PauseReasons, ProcessId};

/// Something that happened, as Monitor tells it and the log says it.
#[derive(Clone, Debug)]
pub struct Event {
    /// When.
    pub at: Moment,
    /// To what.
    pub subject: Subject,
    /// What.
    pub detail: EventDetail,
}

/// What an event is about. Shown as `daemon`, `route:NAME`, `route:NAME/ENDPOINT`, `process:NAME`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// The daemon itself.
    Daemon,
    /// A route.
    Route(Name),
    /// One endpoint of a route.
    Endpoint(Name, Arc<str>),
    /// A supervised child.
    Process(ProcessId),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Subject::Daemon => f.write_str("daemon"),
            Subject::Route(route) => write!(f, "route:{route}"),
            Subject::Endpoint(route, endpoint) => write!(f, "route:{route}/{endpoint}"),
            Subject::Process(process) => write!(f, "process:{process}"),
        }
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventDetail {
    /// A route is paused, and (for backpressure and rate limits) has been for 100 ms.
    RoutePaused {
        /// Why.
        reasons: PauseReasons,
    },
    /// A route that was told to be paused is read again.
    RouteResumed {
        /// How long it was paused.
        paused: Duration,
    },
    /// Every endpoint of a route was tried, or a closed route was opened again.
    RouteOpened,
    /// Every endpoint of a route has ended.
    RouteClosed {
        /// Bytes that some destination was owed and did not get.
        dropped_bytes: u64,
    },
    /// An endpoint is open: a FIFO's reader or first writer has come, or a process's pipe was lent.
    EndpointOpened {
        /// How often it was opened until now.
        opens: u64,
    },
    /// The terminal event of an endpoint.
    EndpointClosed {
        /// Why.
        cause: CloseCause,
        /// What the daemon had accepted for it and gave up.
        dropped_bytes: u64,
        /// What its reader had not read when it went for good.
        unread_bytes: Option<u64>,
        /// In words, where the cause alone does not say what to do.
        text: Option<String>,
    },
    /// A destination drops.
    DroppingStarted,
    /// A destination drops no more.
    DroppingEnded {
        /// How many since it started.
        bytes: u64,
        /// The same in records.
        records: Option<u64>,
    },
    /// A pipe was given up that a grandchild kept open.
    OutputAbandoned {
        /// `stdout` …
        stream: String,
        /// The process id of the life that had it.
        pid: i32,
    },
    /// A child runs.
    ProcessStarted {
        /// Its process id.
        pid: i32,
    },
    /// A child is ready.
    ProcessReady,
    /// A child has ended.
    ProcessExited {
        /// Its process id.
        pid: i32,
        /// How.
        exit: Exit,
    },
    /// A child will be started again.
    ProcessBackingOff {
        /// In how long.
        next_start_in: Duration,
    },
    /// A child will not be started again until somebody does it by hand.
    ProcessFailed {
        /// Why, and what to do.
        text: String,
    },
    /// A child was told to stop.
    ProcessStopping {
        /// By which signal.
        signal: String,
        /// Why, where it is for a fault of its own.
        fault: Option<Fault>,
    },
    /// A child has stopped as asked, or is finished.
    ProcessStopped,
    /// A config was applied.
    Reloaded {
        /// The generation that runs now.
        generation: u64,
    },
    /// A config was refused.
    ReloadFailed {
        /// Why.
        text: String,
    },
    /// This life of the daemon has taken over from the one before.
    Upgraded {
        /// Its number.
        life: u64,
    },
    /// The daemon stops.
    Stopping,
}

impl EventDetail {
    /// The name on the control socket.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            EventDetail::RoutePaused { .. } => "route_paused",
            EventDetail::RouteResumed { .. } => "route_resumed",
            EventDetail::RouteOpened => "route_opened",
            EventDetail::RouteClosed { .. } => "route_closed",
            EventDetail::EndpointOpened { .. } => "endpoint_opened",
            EventDetail::EndpointClosed { .. } => "endpoint_closed",
            EventDetail::DroppingStarted => "dropping_started",
            EventDetail::DroppingEnded { .. } => "dropping_ended",
            EventDetail::OutputAbandoned { .. } => "output_abandoned",
            EventDetail::ProcessStarted { .. } => "process_started",
            EventDetail::ProcessReady => "process_ready",
            EventDetail::ProcessExited { .. } => "process_exited",
            EventDetail::ProcessBackingOff { .. } => "process_backing_off",
            EventDetail::ProcessFailed { .. } => "process_failed",
            EventDetail::ProcessStopping { .. } => "process_stopping",
            EventDetail::ProcessStopped => "process_stopped",
            EventDetail::Reloaded { .. } => "reloaded",
            EventDetail::ReloadFailed { .. } => "reload_failed",
            EventDetail::Upgraded { .. } => "upgraded",
            EventDetail::Stopping => "stopping",
        }
    }
}
