//! `sluicectl reopen`

use crate::cli::Failure;
use crate::cli::session::Session;
use crate::control::call::{self, Nothing, Reopened};

pub(super) fn run(session: &mut Session) -> Result<(), Failure> {
    match session.ask::<Reopened>(call::REOPEN_FILES, &Nothing {})? {
        Some(Reopened { reopened: 0 }) => session.say("no file is open\n"),
        Some(Reopened { reopened: 1 }) => session.say("1 file is reopened\n"),
        Some(Reopened { reopened }) => session.say(&format!("{reopened} files are reopened\n")),
        None => Ok(()),
    }
}
