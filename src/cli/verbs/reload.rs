//! `sluicectl reload`: one line a step.

use crate::cli::Failure;
use crate::cli::arguments;
use crate::cli::session::Session;
use crate::cli::text::plain;
use crate::control::call::{self, Reload};
use crate::control::types::Reloaded;

pub(super) fn run(session: &mut Session, arguments: &arguments::Reload) -> Result<(), Failure> {
    let parameters = Reload {
        dry_run: Some(arguments.dry_run),
        wait: (!session.wait).then_some(false),
    };
    let Some(Reloaded { steps, generation }) = session.ask_and_wait(call::RELOAD, &parameters)? else {
        return Ok(());
    };
    for step in &steps {
        let (kind, subject, reason) = (plain(&step.kind), plain(&step.subject), plain(&step.reason));
        session.say(&format!("{kind} {subject}: {reason}\n"))?;
    }
    match (arguments.dry_run, steps.is_empty()) {
        (true, true) => session.say("nothing would be done\n"),
        (true, false) => Ok(()),
        (false, _) => session.say(&format!("generation {generation}\n")),
    }
}
