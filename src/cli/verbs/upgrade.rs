//! `sluicectl upgrade`: answered by the next life.

use crate::cli::Failure;
use crate::cli::session::Session;
use crate::control::call::{self, Nothing, Upgraded};

pub(super) fn run(session: &mut Session) -> Result<(), Failure> {
    match session.ask_and_wait::<Upgraded>(call::UPGRADE, &Nothing {})? {
        Some(Upgraded { pid, life }) => session.say(&format!("life {life}, pid {pid}\n")),
        None => Ok(()),
    }
}
