//! `sluicectl drain`

use std::time::Duration;

use crate::cli::Failure;
use crate::cli::arguments;
use crate::cli::session::Session;
use crate::cli::text::plain;
use crate::control::call::{self, Changed, Drain};

pub(super) fn run(session: &mut Session, of: arguments::Drain) -> Result<(), Failure> {
    let timeout = if of.abort { Some(Duration::ZERO) } else { of.timeout };
    let shown = plain(&of.name);
    let parameters = Drain {
        name: of.name,
        // An IDL int has 63 bits.
        timeout_usec: timeout.map(|time| i64::try_from(time.as_micros()).unwrap_or(i64::MAX).unsigned_abs()),
        wait: Some(session.wait),
    };
    let done = if session.wait {
        "is drained and closed"
    } else {
        "is being drained"
    };
    let changed: Option<Changed> = session.ask_and_wait(call::DRAIN_ROUTE, &parameters)?;
    match changed {
        Some(Changed { changed: true }) => session.say(&format!("route {shown} {done}\n")),
        Some(Changed { changed: false }) => session.say(&format!("route {shown} was drained or closed already\n")),
        None => Ok(()),
    }
}
