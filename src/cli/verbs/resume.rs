//! `sluicectl resume`

use crate::cli::Failure;
use crate::cli::session::Session;
use crate::cli::text::plain;
use crate::control::call::{self, Changed, Named};

pub(super) fn run(session: &mut Session, name: String) -> Result<(), Failure> {
    let shown = plain(&name);
    let parameters = Named { name };
    let changed: Option<Changed> = session.ask(call::RESUME_ROUTE, &parameters)?;
    match changed {
        Some(Changed { changed: true }) => session.say(&format!("route {shown} is resumed\n")),
        Some(Changed { changed: false }) => session.say(&format!("route {shown} had nothing to resume\n")),
        None => Ok(()),
    }
}
