//! One file a verb.

mod config;
mod drain;
mod events;
mod pause;
mod processes;
mod reload;
mod reopen;
mod restart;
mod resume;
mod routes;
mod shutdown;
mod signal;
mod start;
mod status;
mod stop;
mod upgrade;
mod why;

use super::Failure;
use super::arguments::Verb;
use super::session::Session;

/// Does what was asked.
pub(super) fn run(session: &mut Session, verb: Verb) -> Result<(), Failure> {
    match verb {
        Verb::Status(of) => status::run(session, of.name),
        Verb::Routes => routes::run(session),
        Verb::Processes => processes::run(session),
        Verb::Pause(of) => pause::run(session, of.name),
        Verb::Resume(of) => resume::run(session, of.name),
        Verb::Drain(of) => drain::run(session, of),
        Verb::Start(of) => start::run(session, of.name),
        Verb::Stop(of) => stop::run(session, of.name),
        Verb::Restart(of) => restart::run(session, of.name),
        Verb::Signal(of) => signal::run(session, of.name, of.signal),
        Verb::Reload(of) => reload::run(session, &of),
        Verb::Upgrade => upgrade::run(session),
        Verb::Reopen => reopen::run(session),
        Verb::Why(of) => why::run(session, of.name),
        Verb::Events(of) => events::run(session, of),
        Verb::Config => config::run(session),
        Verb::Shutdown => shutdown::run(session),
    }
}
