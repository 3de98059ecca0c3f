//! `sluicectl shutdown`

use crate::cli::Failure;
use crate::cli::session::Session;
use crate::control::call::{self, Nothing};

pub(super) fn run(session: &mut Session) -> Result<(), Failure> {
    match session.ask::<Nothing>(call::SHUTDOWN, &Nothing {})? {
        Some(Nothing {}) => session.say("the daemon is stopping\n"),
        None => Ok(()),
    }
}
