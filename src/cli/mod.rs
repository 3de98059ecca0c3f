//! `sluicectl`: one file a verb, and rendering. May depend on `control` (client, call and types) and nothing else.
//!
//! Arguments are parsed (`arguments`), the daemon is found (`socket`), a verb asks and shows (`verbs`), and the exit code
//! is decided here, once.
#![forbid(unsafe_code)]

mod arguments;
mod session;
mod show;
mod socket;
mod text;
mod verbs;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;

use crate::control::Error as Refusal;
use crate::control::client::ClientError;
use crate::control::types::Diagnostic;
use arguments::{Arguments, Verb};
use session::Session;
use socket::NoDaemon;

/// Why a verb did not do what it was asked.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    NoDaemon(#[from] NoDaemon),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("there is no route or process {0:?}")]
    NoSuchName(String),
    #[error("cannot write to standard output: {0}")]
    Output(#[from] io::Error),
}

/// The program.
#[must_use]
pub fn main() -> ExitCode {
    // clap ends the program itself: 0 for --help and --version, 2 for a wrong usage.
    let arguments = Arguments::parse();
    let reloads = matches!(arguments.verb, Verb::Reload(_));
    let failure = match run(arguments) {
        Ok(()) => return ExitCode::SUCCESS,
        Err(failure) => failure,
    };
    let Some(code) = exit_code(&failure, reloads) else {
        return ExitCode::SUCCESS;
    };
    if let Failure::Client(ClientError::Refused(Refusal::InvalidConfig(diagnostics))) = &failure {
        diagnostics.iter().for_each(tell);
    }
    let _ = writeln!(io::stderr(), "sluicectl: {}", text::plain(&failure.to_string()));
    ExitCode::from(code)
}

fn run(arguments: Arguments) -> Result<(), Failure> {
    let client = socket::connect(arguments.socket.as_deref())?;
    let mut session = Session::new(client, arguments.json, !arguments.no_wait);
    verbs::run(&mut session, arguments.verb)?;
    Ok(session.finish()?)
}

/// 0 ok, 1 refused or failed, 2 usage, 3 no daemon answers, 4 no such route or process. `None` is a quiet 0: who reads
/// has seen enough (`sluicectl routes | head -1`).
fn exit_code(failure: &Failure, reloads: bool) -> Option<u8> {
    Some(match failure {
        Failure::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => return None,
        Failure::NoDaemon(none) if none.denied() => 1,
        Failure::NoDaemon(_)
        | Failure::Client(ClientError::Connect { .. } | ClientError::Gone | ClientError::Silent(_)) => 3,
        // A daemon that runs has one. This is one that systemd has started for the call, and that has ended for its config.
        Failure::Client(ClientError::Refused(Refusal::InvalidConfig(_))) if !reloads => 3,
        Failure::NoSuchName(_)
        | Failure::Client(ClientError::Refused(Refusal::NoSuchRoute(_) | Refusal::NoSuchProcess(_))) => 4,
        Failure::Client(ClientError::Refused(_) | ClientError::Protocol(_) | ClientError::Io(_))
        | Failure::Output(_) => 1,
    })
}

fn tell(diagnostic: &Diagnostic) {
    let place = match diagnostic.line {
        0 => diagnostic.file.clone(),
        line => format!("{}:{line}:{}", diagnostic.file, diagnostic.column),
    };
    let mut shown = format!("{}: {}\n", text::plain(&place), text::plain(&diagnostic.message));
    if let Some(help) = &diagnostic.help {
        shown.push_str(&format!("  help: {}\n", text::plain(help)));
    }
    // Nobody reads it: then nobody is told.
    let _ = io::stderr().write_all(shown.as_bytes());
}
