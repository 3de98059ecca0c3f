//! What there is before anything runs: of a first life, or of one that goes on where the last one has left everything.

use std::io;
use std::os::fd::OwnedFd;

use super::arguments::Arguments;
use super::control_socket::{self, Passed};
use super::handover::{Inherited, Running};
use super::lock::Lock;
use super::log::{self, Log};
use super::{signals, store};
use crate::config;
use crate::control::{Access, Caller, ListenError, Made};
use crate::model::Config;
use crate::sys;

/// What there is before anything runs.
pub(super) struct Basis {
    pub(super) config: Config,
    pub(super) lock: Lock,
    pub(super) log: Log,
    pub(super) access: Access,
    pub(super) socket: Socket,
    /// Of a later life: the signals that were blocked in the first.
    pub(super) blocked: Option<Vec<i32>>,
    /// The same: what runs.
    pub(super) running: Option<Running>,
    /// The same: the store.
    pub(super) kept: Option<store::Copy>,
}

/// Where the control socket comes from.
pub(super) enum Socket {
    /// From the service manager, if it is among these; else it is made. The others are what a dead life has left.
    Passed(Vec<Passed>),
    /// From the last life, with its file and those who are to be answered.
    TakenOver(OwnedFd, Option<Made>, Vec<Caller>),
}

/// Of a first life.
pub(super) fn first(config: Config, arguments: &Arguments) -> Result<Basis, Box<dyn std::error::Error>> {
    // First of all: what is passed is known by its number.
    let passed = sys::activation::take()
        .map_err(|error| StartError::Io("take the sockets that the service manager passed", error))?;
    let lock = Lock::take(&config.daemon.runtime_directory)?;
    let log = start_log(&config)?;
    warn(&config, arguments, &passed);
    // Before signals are caught: a group database may ask a network, and who does not want to wait can end this.
    let access = control_socket::access(&config.control)?;
    Ok(Basis {
        config,
        lock,
        log,
        access,
        socket: Socket::Passed(passed),
        blocked: None,
        running: None,
        kept: None,
    })
}

/// Of a later one.
pub(super) fn later(inherited: Inherited) -> Result<Basis, StartError> {
    let log = start_log(&inherited.config)?;
    if let Some(original) = inherited.nofile {
        sys::process::keep_original_nofile(original);
    }
    let (descriptor, made, callers) = inherited.socket;
    Ok(Basis {
        config: inherited.config,
        lock: Lock::handed_over(inherited.lock),
        log,
        access: inherited.access,
        socket: Socket::TakenOver(descriptor, made, callers),
        blocked: Some(inherited.blocked),
        running: Some(inherited.running),
        kept: inherited.kept,
    })
}

fn start_log(config: &Config) -> Result<Log, StartError> {
    let held_back = signals::hold_back();
    let log = log::start(config.daemon.log_level).map_err(|error| StartError::Io("start the log's thread", error))?;
    // As long as there are no handlers, a signal ends this as it ends any program. In a later life all are blocked.
    held_back
        .and_then(|before| signals::let_come(&before))
        .map_err(|error| StartError::Io("block signals", error))?;
    Ok(log)
}

fn warn(config: &Config, arguments: &Arguments, passed: &[Passed]) {
    let endless = if arguments.exit_when_done {
        config::never_ending(config)
    } else {
        Vec::new()
    };
    // The mode of a socket that is passed is systemd's.
    let shut_out = match control_socket::is_passed(passed) {
        true => Vec::new(),
        false => config::shut_out(config),
    };
    for warning in config::cycles(config).into_iter().chain(shut_out) {
        tracing::warn!("{warning}");
    }
    for warning in endless {
        tracing::warn!("--exit-when-done will never end: {warning}");
    }
}

/// Why the daemon could not be started.
#[derive(Debug, thiserror::Error)]
pub(super) enum StartError {
    /// A thread or a descriptor could not be had.
    #[error("cannot {0}")]
    Io(&'static str, #[source] io::Error),
    /// The control socket could not be had.
    #[error(transparent)]
    Listen(#[from] ListenError),
}
