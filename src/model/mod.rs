//! What everything else talks about: names, specs, states, counters, snapshots, events. Plain data; depends on nothing
//! of this crate, owns no descriptor and reads no clock.
#![forbid(unsafe_code)]

pub mod amount;
mod event;
mod gate;
mod limit;
mod moment;
mod name;
mod snapshot;
mod spec;
mod state;

pub use event::{Event, EventDetail, Subject};
pub use gate::PauseReasons;
pub use limit::{LimitSpec, LimitedResource};
pub use moment::Moment;
pub use name::{InvalidName, Name, ProcessId};
pub use snapshot::{DestinationSnapshot, ProcessSnapshot, RouteSnapshot, SourceSnapshot};
pub use spec::{
    Config, ConfigFile, ControlSpec, DaemonSpec, DestinationSpec, Distribution, EndpointSpec, FifoSpec, Framing, OnEof,
    OutputPolicy, Owner, PathChoice, ProcessSpec, Readiness, Restart, RouteSpec, SourceSpec, StartLimit, StopSignal,
    Stream, SuccessExit, WhenFull, WhenGone,
};
pub use state::{
    CloseCause, DestinationState, Exit, Fault, PathKind, PauseReason, ProcessState, RouteState, SourceState,
};
