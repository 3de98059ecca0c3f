//! `sluicectl routes`

use crate::cli::Failure;
use crate::cli::session::Session;
use crate::cli::show;
use crate::control::call::{self, Listed, Routes};
use crate::control::client::realtime_usec;

pub(super) fn run(session: &mut Session) -> Result<(), Failure> {
    match session.ask::<Routes>(call::LIST_ROUTES, &Listed::default())? {
        Some(all) => session.say(&show::routes(&all.routes, realtime_usec())),
        None => Ok(()),
    }
}
