//! `sluicectl stop`

use crate::cli::Failure;
use crate::cli::session::Session;
use crate::cli::text::plain;
use crate::control::call::{self, Changed, Waited};

pub(super) fn run(session: &mut Session, name: String) -> Result<(), Failure> {
    let shown = plain(&name);
    let parameters = Waited {
        name,
        wait: Some(session.wait),
    };
    let done = if session.wait { "is stopped" } else { "is being stopped" };
    let changed: Option<Changed> = session.ask_and_wait(call::STOP_PROCESS, &parameters)?;
    match changed {
        Some(Changed { changed: true }) => session.say(&format!("process {shown} {done}\n")),
        Some(Changed { changed: false }) => session.say(&format!("process {shown} was stopped already\n")),
        None => Ok(()),
    }
}
