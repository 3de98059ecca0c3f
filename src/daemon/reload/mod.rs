//! Reload: read, check, plan, apply. One at a time, and never during an upgrade (`daemon::changes`), whoever asks: SIGHUP, `sluicectl reload`, systemd.
//!
//! Whoever asks while one is under way is answered by one more that begins when it is over and reads the files then: so
//! the last one wins, and nobody is refused. What is to be done is decided in `decide::reload`; `apply` does it.

mod apply;
mod between;
mod shelf;

use std::future::Future;
use std::path::PathBuf;
use std::rc::Rc;

use tokio::sync::oneshot;

pub use shelf::Shelf;

use super::service;
use super::signals;
use super::state::Daemon;
use crate::config::{self, Diagnostics};
use crate::control::{Error, types};
use crate::decide::reload::{Step, plan};
use crate::endpoint;
use crate::model::{Config, EventDetail};

/// What a reload came to, or would.
pub type Outcome = Result<types::Reloaded, Error>;

/// Somebody asks for one.
#[derive(Debug)]
pub struct Request {
    /// Only what would be done.
    pub dry_run: bool,
    /// The answer comes when it is done, and not when it begins.
    pub wait: bool,
    /// Who asks may have gone.
    pub reply: oneshot::Sender<Outcome>,
}

/// One reload for all who have asked until now.
pub async fn serve(daemon: &Rc<Daemon>, paths: &[PathBuf], asked: Vec<Request>) {
    let (dry, real): (Vec<Request>, Vec<Request>) = asked.into_iter().partition(|request| request.dry_run);
    if !real.is_empty() {
        service::reloading().await;
        daemon.is_reloading.set(true);
        reload(daemon, paths, real).await;
        daemon.is_reloading.set(false);
        daemon.changed();
        service::reloaded(daemon).await;
    }
    if !dry.is_empty() {
        let prepared = prepare(daemon, paths).await;
        let outcome = prepared.map(|(_, steps)| shown(&steps, daemon.generation.get()));
        answer(dry, &outcome);
    }
}

/// The daemon is to stop: a reload under way waits for no process any more, and begins none; what is on its way from one
/// route to another arrives. Or until somebody is in a hurry: true.
pub async fn bring_to_rest(daemon: &Daemon, hurry: impl Future<Output = ()>) -> bool {
    daemon.reload_hurries.cancel();
    tokio::select! {
        () = daemon.wait_until(|| !daemon.is_reloading.get()) => false,
        () = hurry => true,
    }
}

async fn reload(daemon: &Rc<Daemon>, paths: &[PathBuf], asked: Vec<Request>) {
    let (waiting, quick): (Vec<Request>, Vec<Request>) = asked.into_iter().partition(|request| request.wait);
    let stopping = Error::Busy("the daemon is stopping".to_owned());
    let prepared = tokio::select! {
        prepared = prepare(daemon, paths) => prepared,
        () = daemon.reload_hurries.cancelled() => Err(stopping.clone()),
    };
    let (wanted, steps) = match prepared {
        Ok(prepared) => prepared,
        Err(error @ Error::Busy(_)) => return answer(waiting.into_iter().chain(quick).collect(), &Err(error)),
        Err(error) => {
            let text = in_a_line(&error);
            *daemon.last_reload_error.borrow_mut() = Some(text.clone());
            daemon.tell_own(EventDetail::ReloadFailed { text });
            let outcome = Err(error);
            answer(quick, &outcome);
            return answer(waiting, &outcome);
        }
    };
    let generation = daemon.generation.get() + 1;
    let outcome = Ok(shown(&steps, generation));
    answer(quick, &outcome);
    apply::apply(daemon, wanted, &steps).await;
    if daemon.reload_hurries.is_cancelled() {
        // It was not done as it was meant to be.
        return answer(waiting, &Err(stopping));
    }
    daemon.generation.set(generation);
    if let Some(notes) = &daemon.means.notes {
        notes.generation(generation);
    }
    *daemon.last_reload_error.borrow_mut() = None;
    daemon.tell_own(EventDetail::Reloaded { generation });
    answer(waiting, &outcome);
}

fn answer(asked: Vec<Request>, outcome: &Outcome) {
    for request in asked {
        let _ = request.reply.send(outcome.clone());
    }
}

/// Reads, checks and plans: nothing has changed yet.
async fn prepare(daemon: &Daemon, paths: &[PathBuf]) -> Result<(Config, Vec<Step>), Error> {
    let wanted = load(paths.to_vec())
        .await?
        .map_err(|diagnostics| invalid(&diagnostics))?;
    let steps = plan(&daemon.plant().config, &wanted, endpoint::stream_of)
        .map_err(|refused| Error::Failed(format!("{refused}; nothing has changed")))?;
    Ok((wanted, steps))
}

/// A disk may take its time: the files are read by a thread of its own.
async fn load(paths: Vec<PathBuf>) -> Result<Result<Config, Diagnostics>, Error> {
    let (reply, loaded) = oneshot::channel();
    let thread = std::thread::Builder::new().name("config".to_owned()).spawn(move || {
        // Where that fails, a signal may be heard late.
        let _ = signals::hold_back();
        let _ = reply.send(config::load_again(&paths));
    });
    let failed = |error: &dyn std::fmt::Display| Error::Failed(format!("cannot read the config: {error}; try again"));
    thread.map_err(|error| failed(&error))?;
    loaded.await.map_err(|error| failed(&error))
}

fn invalid(diagnostics: &Diagnostics) -> Error {
    let shown = diagnostics.iter().map(|diagnostic| types::Diagnostic {
        file: diagnostic.file.clone(),
        line: diagnostic.line as u64,
        column: diagnostic.column as u64,
        message: diagnostic.message.clone(),
        help: diagnostic.help.clone(),
    });
    Error::InvalidConfig(shown.collect())
}

/// For STATUS=, the log and `lastReloadError`.
fn in_a_line(error: &Error) -> String {
    let Error::InvalidConfig(diagnostics) = error else {
        return error.to_string();
    };
    let Some(first) = diagnostics.first() else {
        return error.to_string();
    };
    let place = match first.line {
        0 => first.file.clone(),
        line => format!("{}:{line}:{}", first.file, first.column),
    };
    let more = match diagnostics.len() {
        1 => String::new(),
        many => format!(" (and {} more)", many - 1),
    };
    let message = first.message.replace('\n', " ");
    format!("{place}: {message}{more}")
}

fn shown(steps: &[Step], generation: u64) -> types::Reloaded {
    let steps = steps.iter().map(|step| types::Step {
        kind: step.kind.to_string(),
        subject: step.subject.to_string(),
        reason: step.reason.clone(),
    });
    types::Reloaded {
        steps: steps.collect(),
        generation,
    }
}
