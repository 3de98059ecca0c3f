//! `sluicectl processes`

use crate::cli::Failure;
use crate::cli::session::Session;
use crate::cli::show;
use crate::control::call::{self, Listed, Processes};
use crate::control::client::realtime_usec;

pub(super) fn run(session: &mut Session) -> Result<(), Failure> {
    match session.ask::<Processes>(call::LIST_PROCESSES, &Listed::default())? {
        Some(all) => session.say(&show::processes(&all.processes, realtime_usec())),
        None => Ok(()),
    }
}
