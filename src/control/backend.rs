//! What the control server asks of the daemon. Depends on `types` and `error`.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::broadcast;

use super::error::Error;
use super::types::{Cause, ConfigFile, Event, Process, Reloaded, Route, Snapshot, Status};

/// The daemon as the control server sees it. Everything is called on the control thread, many calls at a time.
///
/// A future that was asked to `wait` is dropped when its client goes away. So what is asked for must be begun before
/// the first `await`, and go on without its future; only the waiting may end with it. All other futures must be short:
/// they are run to their end whatever the client does.
///
/// Names are as the client gave them, but never empty. For processes a `NAME` with instances means all of them.
#[allow(async_fn_in_trait, reason = "one thread: no future of it needs to be Send")]
pub trait Backend: 'static {
    /// GetStatus.
    async fn status(&self) -> Result<Status, Error>;
    /// ListRoutes: all, or the one named (else [`Error::NoSuchRoute`]).
    async fn list_routes(&self, name: Option<&str>) -> Result<Vec<Route>, Error>;
    /// ListProcesses: all, or those named (else [`Error::NoSuchProcess`]).
    async fn list_processes(&self, name: Option<&str>) -> Result<Vec<Process>, Error>;
    /// PauseRoute: whether anything changed.
    async fn pause_route(&self, name: &str) -> Result<bool, Error>;
    /// ResumeRoute: whether anything changed.
    async fn resume_route(&self, name: &str) -> Result<bool, Error>;
    /// DrainRoute. A timeout of zero aborts; `None` means the daemon's drain-timeout.
    async fn drain_route(&self, name: &str, timeout: Option<Duration>, wait: bool) -> Result<bool, Error>;
    /// StartProcess.
    async fn start_process(&self, name: &str, wait: bool) -> Result<bool, Error>;
    /// StopProcess.
    async fn stop_process(&self, name: &str, wait: bool) -> Result<bool, Error>;
    /// RestartProcess.
    async fn restart_process(&self, name: &str, wait: bool) -> Result<bool, Error>;
    /// SignalProcess. A signal that does not exist is [`Error::InvalidParameter`] of `signal`.
    async fn signal_process(&self, name: &str, signal: &str) -> Result<(), Error>;
    /// ReopenFiles: how many files were opened anew.
    async fn reopen_files(&self, wait: bool) -> Result<u64, Error>;
    /// Reload: what was done, or with `dry_run` what would be. Without `wait` the answer comes when it begins.
    async fn reload(&self, dry_run: bool, wait: bool) -> Result<Reloaded, Error>;
    /// Upgrade: returns only when it is refused. Else the caller is answered by the daemon's next life, over the copy of its
    /// connection; `None` where no answer is wanted.
    async fn upgrade(&self, caller: Option<Caller>) -> Error;
    /// Explain: the causes of a route's state, root cause last (else [`Error::NoSuchRoute`]).
    async fn explain(&self, route: &str) -> Result<Vec<Cause>, Error>;
    /// GetConfig.
    async fn get_config(&self) -> Result<Vec<ConfigFile>, Error>;
    /// Monitor. The server picks the subjects that the client asked for.
    async fn subscribe(&self) -> Result<Subscription, Error>;
    /// Shutdown: begins it.
    async fn shutdown(&self) -> Result<(), Error>;
}

/// The connection of a client that is to be answered by the daemon's next life.
#[derive(Debug)]
pub struct Caller {
    /// A copy of its socket.
    pub socket: OwnedFd,
    /// What was read of it and not answered yet.
    pub begun: Bytes,
}

/// What a Monitor starts from.
#[derive(Debug)]
pub struct Subscription {
    /// The number of the last event whose effect is in `snapshot`. Events up to it are not told.
    pub seq: u64,
    /// When the snapshot was taken: CLOCK_REALTIME, microseconds.
    pub at_usec: u64,
    /// The state of all.
    pub snapshot: Snapshot,
    /// Subscribed before the snapshot was taken. Its capacity bounds what a slow Monitor can miss before it is told
    /// of an `overrun`; a thousand is a good size. Each event's `seq` is one more than that of the one before.
    pub events: broadcast::Receiver<Arc<Event>>,
}
