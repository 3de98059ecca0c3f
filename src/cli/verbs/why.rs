//! `sluicectl why`: the causes of a route's state, one a line, root cause last.

use crate::cli::session::Session;
use crate::cli::{Failure, show};
use crate::control::call::{self, Causes, Explain};
use crate::control::client::realtime_usec;

pub(super) fn run(session: &mut Session, route: String) -> Result<(), Failure> {
    match session.ask::<Causes>(call::EXPLAIN, &Explain { route })? {
        Some(all) => session.say(&show::causes(&all.causes, realtime_usec())),
        None => Ok(()),
    }
}
