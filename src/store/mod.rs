//! What outlives the daemon: copies of its pipes that the service manager keeps (sd_pid_notify_with_fds(3), FDSTORE=1), and
//! what they mean. Why, and what is kept: docs/design/0014.
//!
//! Whoever has a pipe puts a copy of it into the [`Store`] before a byte enters it, and has a [`Deposit`] for it; dropping
//! that takes it out again. After the daemon was killed, its next life claims what the last one has left. The
//! talking to the manager is done by `daemon::store`; nothing here waits for it. Depends on `sys` and `model`.

mod deposit;
mod journal;
mod kept;
mod left;

pub use deposit::{Deposit, Depositing, Request, Store};
pub use journal::{Journal, Known, Line};
pub use kept::Kept;
pub use left::{Claimed, Left, Passed};

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::model::{Name, ProcessId, Stream};

/// What a deposit is, for whoever claims it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Meaning {
    /// The spare read end of a process's kept input.
    Input(ProcessId, Stream),
    /// The read end of a process's output, of one of its lives.
    Output(ProcessId, Stream),
    /// The read end of a FIFO that is a source.
    FifoSource(PathBuf),
    /// A write end of a FIFO that is a destination.
    FifoDestination(PathBuf),
    /// The read end of the staging pipe of a file.
    File(PathBuf),
    /// Both ends of the staging pipe of a route's destination, as shown.
    Lane(Name, String),
    /// The page of shared memory with the marker of a route's round.
    Round(Name),
}

impl Meaning {
    /// How many descriptors it has.
    #[must_use]
    pub fn descriptors(&self) -> usize {
        match self {
            Meaning::Lane(..) => 2,
            Meaning::Input(..)
            | Meaning::Output(..)
            | Meaning::FifoSource(_)
            | Meaning::FifoDestination(_)
            | Meaning::File(_)
            | Meaning::Round(_) => 1,
        }
    }
}

impl fmt::Display for Meaning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Meaning::Input(process, stream) | Meaning::Output(process, stream) => {
                write!(f, "process:{process}.{stream}")
            }
            Meaning::FifoSource(path) | Meaning::FifoDestination(path) => write!(f, "fifo:{}", path.display()),
            Meaning::File(path) => write!(f, "the staging pipe of file:{}", path.display()),
            Meaning::Lane(route, endpoint) => write!(f, "the staging pipe of route:{route}/{endpoint}"),
            Meaning::Round(route) => write!(f, "the round of route:{route}"),
        }
    }
}
