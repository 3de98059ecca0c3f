//! `sluicectl signal`

use crate::cli::Failure;
use crate::cli::session::Session;
use crate::control::call::{self, Nothing, Signal};

pub(super) fn run(session: &mut Session, name: String, signal: String) -> Result<(), Failure> {
    session
        .ask::<Nothing>(call::SIGNAL_PROCESS, &Signal { name, signal })
        .map(drop)
}
