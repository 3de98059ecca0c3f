//! `sluicectl reload`: one line a step.

use std::io::Write;

use crate::cli::Failure;
use crate::cli::arguments;
use crate::cli::session::Session;
use crate::cli::text::plain;
use crate::control::Error;
use crate::control::call::{self, Reload};
use crate::control::client::ClientError;
use crate::control::types::{Diagnostic, Reloaded};

pub(super) fn run(session: &mut Session, arguments: &arguments::Reload) -> Result<(), Failure> {
    let parameters = Reload {
        dry_run: Some(arguments.dry_run),
        wait: (!session.wait).then_some(false),
    };
    let reply = session.ask_and_wait::<Reloaded>(call::RELOAD, &parameters);
    if let Err(Failure::Client(ClientError::Refused(Error::InvalidConfig(diagnostics)))) = &reply {
        diagnostics.iter().for_each(tell);
    }
    let Some(Reloaded { steps, generation }) = reply? else {
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

fn tell(diagnostic: &Diagnostic) {
    let place = match diagnostic.line {
        0 => diagnostic.file.clone(),
        line => format!("{}:{line}:{}", diagnostic.file, diagnostic.column),
    };
    let mut text = format!("{}: {}\n", plain(&place), plain(&diagnostic.message));
    if let Some(help) = &diagnostic.help {
        text.push_str(&format!("  help: {}\n", plain(help)));
    }
    // Nobody reads it: then nobody is told.
    let _ = std::io::stderr().write_all(text.as_bytes());
}
