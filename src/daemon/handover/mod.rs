//! Upgrade: this process becomes the program that stands at its path now, and nothing else changes. Why it is done so, and in
//! which order: docs/design/0013.
//!
//! `freeze` brings everything to rest, `manifest` writes it down, `check` asks the new program, and `resume` is what that
//! one begins with.

mod check;
mod freeze;
mod manifest;
mod resume;

use std::convert::Infallible;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use nix::sys::signal::{Signal, raise};
use tokio::sync::{mpsc, oneshot};

pub use check::main as check;
pub use resume::{Inherited, Running};

use super::signals::{self, Unheard};
use super::state::Daemon;
use super::stderr::Lines;
use super::store;
use crate::control::{Access, Caller, Error, Hold, Made};
use crate::endpoint::Side;
use crate::relay::Report;
use crate::sys::{execute, process};
use freeze::Frozen;
use manifest::{ConfigFile, Luggage, Manifest, SavedCaller, SavedReport};

/// How long everything is at rest for the store: longer than that waits for the service manager.
const JOURNAL: Duration = Duration::from_secs(5);

/// Somebody asks for an upgrade.
#[derive(Debug)]
pub struct Request {
    /// Who is answered by the next life; `None` where nobody is (a signal).
    pub caller: Option<Caller>,
    /// Told when it is refused. When it is not, there is nobody left to tell.
    pub refused: oneshot::Sender<Error>,
}

/// What the daemon has besides its routes and processes.
#[derive(Debug)]
pub struct Estate {
    /// The path of the program.
    pub program: PathBuf,
    /// A copy of the lock.
    pub lock: OwnedFd,
    /// A copy of the control socket.
    pub listener: OwnedFd,
    /// Its file, where it was made by the daemon.
    pub made: Option<Made>,
    /// Who may use it.
    pub access: Access,
    /// By which the store is asked for its journal, where there is one.
    pub store: Option<mpsc::UnboundedSender<store::Asked>>,
    /// By which the control server is brought to rest.
    pub holds: mpsc::Sender<Hold>,
    /// What was logged is written before there is another program.
    pub log: Option<Lines>,
    /// Signals that nobody has heard yet.
    pub unheard: Unheard,
    /// The signals that were blocked when the daemon was started.
    pub blocked: Vec<i32>,
}

/// Becomes the new program, or tells everybody who has asked why not. `latest`: who else has asked until the last
/// moment, and whether somebody wants a reload.
pub async fn upgrade(
    daemon: &Rc<Daemon>,
    estate: &Estate,
    mut asked: Vec<Request>,
    latest: impl FnMut() -> (Vec<Request>, bool),
) {
    let Err(error) = attempt(daemon, estate, &mut asked, latest).await;
    tracing::error!("no upgrade: {error}");
    for request in asked {
        // It may have gone.
        let _ = request.refused.send(error.clone());
    }
}

async fn attempt(
    daemon: &Rc<Daemon>,
    estate: &Estate,
    asked: &mut Vec<Request>,
    latest: impl FnMut() -> (Vec<Request>, bool),
) -> Result<Infallible, Error> {
    let refused = |text: String| Error::Failed(format!("{text}; nothing has changed"));
    let outline = outline(daemon, estate).await.map_err(refused)?;
    check::ask(&estate.program, &outline).await.map_err(refused)?;
    drop(outline);
    let (at_rest, resting) = oneshot::channel();
    let (_go_on, go_on) = oneshot::channel::<()>();
    if estate.holds.send(Hold { at_rest, go_on }).await.is_ok() {
        // Where the server has failed, nobody is connected.
        let _ = resting.await;
    }
    let frozen = Frozen::all(daemon).await.map_err(refused)?;
    let kept = journal(estate).await.map_err(refused)?;
    let failed = |error: io::Error| refused(format!("cannot execute {}: {error}", estate.program.display()));
    // Without an await from here on: nobody else on this thread has a word.
    if daemon.is_to_stop() {
        return Err(Error::Busy("the daemon is stopping; nothing has changed".to_owned()));
    }
    signals::hold_back().map_err(failed)?;
    let error = execute(daemon, estate, (frozen, kept), asked, latest);
    signals::let_come(&estate.blocked).map_err(failed)?;
    Err(error.map_or_else(failed, |never| match never {}))
}

/// What the next life would be given if it began now. Everything goes on.
async fn outline(daemon: &Rc<Daemon>, estate: &Estate) -> Result<std::fs::File, String> {
    let frozen = Frozen::all(daemon).await?;
    let kept = journal(estate).await?;
    let written =
        draw_up(daemon, estate, (frozen, kept), &mut []).and_then(|(manifest, luggage, _)| manifest.write(&luggage));
    written.map_err(|error| format!("cannot write down what runs: {error}"))
}

/// The store's, with everything in it, and the number of the next deposit.
async fn journal(estate: &Estate) -> Result<Option<store::Copy>, String> {
    let Some(store) = &estate.store else { return Ok(None) };
    let (reply, copy) = oneshot::channel();
    // It ends with the daemon.
    let _ = store.send(reply);
    let copy = tokio::time::timeout(JOURNAL, copy).await;
    let copy = copy.unwrap_or_else(|_| Ok(Err(io::ErrorKind::TimedOut.into())));
    let copy = copy.unwrap_or_else(|_| Err(io::Error::other("the store has ended")));
    let failed = |error| format!("cannot hand over what the service manager keeps: {error}");
    copy.map(Some).map_err(failed)
}

fn execute(
    daemon: &Rc<Daemon>,
    estate: &Estate,
    frozen: (Frozen<'_>, Option<store::Copy>),
    asked: &mut Vec<Request>,
    mut latest: impl FnMut() -> (Vec<Request>, bool),
) -> io::Result<Infallible> {
    let (more, reload) = latest();
    asked.extend(more);
    if reload {
        // Whatever comes of the upgrade: nobody else knows of it any more.
        raise(Signal::SIGHUP)?;
    }
    let (manifest, luggage, _frozen) = draw_up(daemon, estate, frozen, asked)?;
    let file = manifest.write(&luggage)?;
    // What has come and was not heard, the next life hears: it stays pending over the execve(2).
    let again = estate.unheard.now();
    for signal in again.into_iter().filter_map(|number| Signal::try_from(number).ok()) {
        raise(signal)?;
    }
    tracing::info!("upgrade: executing {}", estate.program.display());
    if let Some(log) = &estate.log {
        log.flush();
    }
    execute::become_program(&estate.program, &file, &luggage.descriptors)
}

/// Writes everything down. What is frozen stays so as long as it is held.
fn draw_up<'d>(
    daemon: &Rc<Daemon>,
    estate: &Estate,
    (mut frozen, kept): (Frozen<'d>, Option<store::Copy>),
    asked: &mut [Request],
) -> io::Result<(Manifest, Luggage, Frozen<'d>)> {
    let (plant, mut luggage) = (daemon.plant(), Luggage::default());
    let files = plant.config.files.iter().map(|file| ConfigFile {
        path: file.path.clone(),
        text: file.text.clone(),
    });
    let mut callers = Vec::new();
    for caller in asked.iter().filter_map(|request| request.caller.as_ref()) {
        callers.push(SavedCaller {
            socket: luggage.descriptor(caller.socket.try_clone()?),
            begun: luggage.bytes(caller.begun.clone()),
        });
    }
    let routes = std::mem::take(&mut frozen.routes).into_iter();
    let routes = routes.map(|(name, packed)| luggage.item(name, packed)).collect();
    let processes = std::mem::take(&mut frozen.processes).into_iter();
    let processes = processes.map(|(name, packed)| luggage.item(name, packed)).collect();
    let waits_anew = daemon.waits_anew.borrow();
    let waits_anew = waits_anew
        .iter()
        .map(|(route, side)| (route.to_string(), *side == Side::Source));
    let manifest = Manifest {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        life: daemon.life,
        generation: daemon.generation.get(),
        started_at: daemon.started_at,
        sequence: daemon.sequence(),
        last_reload_error: daemon.last_reload_error.borrow().clone(),
        waits_anew: waits_anew.collect(),
        nofile: process::original_nofile(),
        blocked: estate.blocked.clone(),
        files: files.collect(),
        lock: luggage.descriptor(estate.lock.try_clone()?),
        listener: luggage.descriptor(estate.listener.try_clone()?),
        made: estate.made.clone(),
        access: estate.access.clone(),
        owed: kept.as_ref().map(|copy| copy.owed.clone()).unwrap_or_default(),
        kept: kept.map(|copy| (luggage.descriptor(copy.journal), copy.next)),
        callers,
        reports: daemon.unheard.borrow().iter().flatten().filter_map(saved).collect(),
        routes,
        processes,
    };
    Ok((manifest, luggage, frozen))
}

fn saved(report: &Report) -> Option<SavedReport> {
    match report {
        Report::InputEnded { process, stream, life } => Some(SavedReport::InputEnded(process.clone(), *stream, *life)),
        Report::KillGroup { process, life } => Some(SavedReport::KillGroup(process.clone(), *life)),
        Report::Changed(_) | Report::Marker(_) => None,
    }
}
