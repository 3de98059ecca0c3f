//! From a checked config, or from what the last life has left, to a running daemon and back to an exit code.

use std::future::Future;
use std::process::ExitCode;
use std::rc::Rc;

use signal_hook::consts::signal::{SIGHUP, SIGINT, SIGTERM};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::LocalSet;
use tokio_util::sync::CancellationToken;

use super::arguments::Arguments;
use super::backend::Control;
use super::basis::{Basis, Socket, StartError, first, later};
use super::begin::{begin, orphans};
use super::control_socket;
use super::handover::{self, Estate, Inherited};
use super::lock::Lock;
use super::log::Log;
use super::signals::{self, Caught};
use super::state::{Daemon, Means, Past};
use super::{changes, reload, say, service, store};
use crate::control::call::Upgraded;
use crate::control::{self, Access, Caller, Hold, Limits, Listener, Server};
use crate::model::{Config, EventDetail};
use crate::relay;
use crate::supervise::{self, Cgroups, Orphans};
use crate::sys::{self, execute};

/// Runs until it is told to stop, or until everything is done.
pub(super) fn run(config: Config, arguments: &Arguments) -> ExitCode {
    match first(config, arguments) {
        Ok(basis) => over(basis, arguments),
        Err(error) => fail(&*error),
    }
}

/// The same for a later life.
pub(super) fn go_on(inherited: Inherited, arguments: &Arguments) -> ExitCode {
    match later(inherited) {
        Ok(basis) => over(basis, arguments),
        Err(error) => fail(&error),
    }
}

fn over(basis: Basis, arguments: &Arguments) -> ExitCode {
    match begin_and_end(basis, arguments) {
        Ok(code) => code,
        Err(error) => fail(&error),
    }
}

fn begin_and_end(basis: Basis, arguments: &Arguments) -> Result<ExitCode, StartError> {
    let blocked = signals::hold_back().map_err(|error| StartError::Io("block signals", error))?;
    let blocked = basis.blocked.clone().unwrap_or(blocked);
    if let Err(error) = sys::process::raise_nofile() {
        tracing::warn!("cannot raise the limit of open files: {error}");
    }
    if let Err(error) = sys::process::survive_file_size_limit() {
        tracing::warn!("cannot ignore SIGXFSZ, so a file that grows to the size limit ends this daemon: {error}");
    }
    let cgroups = supervise::Cgroups::claim();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .map_err(|error| StartError::Io("start a reactor", error))?;
    // The log is written and the lock given up when this returns.
    LocalSet::new().block_on(&runtime, live(basis, arguments, cgroups, blocked))
}

fn fail(error: &dyn std::error::Error) -> ExitCode {
    let mut text = format!("sluiced: {error}");
    let mut cause = error.source();
    while let Some(deeper) = cause {
        text.push_str(&format!(": {deeper}"));
        cause = deeper.source();
    }
    say(&format!("{text}\n"));
    ExitCode::FAILURE
}

async fn live(
    basis: Basis,
    arguments: &Arguments,
    cgroups: Option<Rc<Cgroups>>,
    blocked: Vec<i32>,
) -> Result<ExitCode, StartError> {
    let Basis {
        config,
        lock,
        log,
        access,
        socket,
        blocked: _,
        running,
        kept,
    } = basis;
    let is_later = running.is_some();
    let orphans = orphans(cgroups.is_some(), is_later);
    let signals = Caught::new().map_err(|error| StartError::Io("set up the signal handlers", error))?;
    let (listener, callers, left) = match socket {
        Socket::TakenOver(descriptor, made, callers) => (
            control::taken_over(descriptor, made)?,
            callers,
            store::Passed::default(),
        ),
        Socket::Passed(passed) => {
            let (control, others) = control_socket::sorted(passed);
            let listener = control_socket::listener(&config.control, control, &access)?;
            (listener, Vec::new(), store::Passed::new(others))
        }
    };
    let past = running.as_ref().map(|running| running.past.clone());
    let past = past.unwrap_or_else(|| Past::after(left.known.as_ref()));
    if left.known.is_some() {
        store::tell_risk(past.life, &config);
    }
    let keeping = store::keep(kept, left, past.life);
    let (holds, held) = mpsc::channel(1);
    let asking = keeping.as_ref().map(|keeping| keeping.asking.clone());
    let estate = estate(
        (&lock, &log),
        (&listener, &access),
        (holds, asking),
        (&signals, blocked.clone()),
    )?;
    let (notices_in, notices) = mpsc::unbounded_channel();
    let (reports, relayed) = relay::reports();
    let store = keeping
        .as_ref()
        .map(|keeping| keeping.store.clone())
        .unwrap_or_default();
    let means = Means {
        supervise: supervise::Means {
            notices: notices_in,
            cgroups,
            store: store.clone(),
        },
        reports,
        store,
        notes: keeping.as_ref().map(|keeping| keeping.notes.clone()),
        log_level: log.level(),
    };
    let daemon = begin(config, arguments.exit_when_done, means, (past, running)).await?;
    // All threads are there that stay. What has come until now comes at once.
    signals::let_come(&blocked).map_err(|error| StartError::Io("let signals come", error))?;
    tokio::task::spawn_local(hear_processes(Rc::clone(&daemon), notices));
    let no_more = CancellationToken::new();
    let orphans = tokio::task::spawn_local(hear_orphans(Rc::clone(&daemon), orphans, no_more.clone()));
    let last = CancellationToken::new();
    let hearing = tokio::task::spawn_local(hear_relays(Rc::clone(&daemon), relayed, last.clone()));
    let asked = Rc::new(Notify::new());
    let (changes, requests) = mpsc::unbounded_channel();
    let changing = changes::run(Rc::clone(&daemon), arguments.configs.clone(), estate, requests);
    let changing = tokio::task::spawn_local(changing);
    tokio::task::spawn_local(hear_signals(
        signals,
        Rc::clone(&daemon),
        Rc::clone(&asked),
        changes.clone(),
    ));
    if is_later {
        daemon.tell_own(EventDetail::Upgraded { life: daemon.life });
    }
    let hang_up = CancellationToken::new();
    let control = Control {
        daemon: Rc::clone(&daemon),
        changes,
        stop: Rc::clone(&asked),
    };
    let server = answer((listener, access), control, callers, held, hang_up.clone());
    let server = tokio::task::spawn_local(server);
    spawn_service(&daemon);
    let done = tokio::select! {
        () = asked.notified() => false,
        () = done(&daemon) => true,
    };
    let hurried = reload::bring_to_rest(&daemon, asked.notified()).await;
    changing.abort();
    let _ = changing.await;
    daemon.is_reloading.set(false);
    daemon.shelf.take();
    let hurry = async {
        if !hurried {
            asked.notified().await;
        }
    };
    daemon.stop(hurry).await;
    no_more.cancel();
    let _ = orphans.await;
    let well = !done || daemon.ended_well();
    // What the relays have told of the end is told on, before anybody is hung up on.
    last.cancel();
    let _ = hearing.await;
    hang_up.cancel();
    // A server that failed has said so.
    let _ = server.await;
    for route in &daemon.plant().routes {
        route.send(relay::Command::Stop);
    }
    if let Some(keeping) = keeping {
        keeping.end().await;
    }
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What an upgrade hands over besides what runs.
fn estate(
    (lock, log): (&Lock, &Log),
    (listener, access): (&Listener, &Access),
    (holds, asking): (mpsc::Sender<Hold>, Option<mpsc::UnboundedSender<store::Asked>>),
    (signals, blocked): (&Caught, Vec<i32>),
) -> Result<Estate, StartError> {
    let copied = |error| StartError::Io("copy a descriptor", error);
    Ok(Estate {
        program: execute::own_path().map_err(|error| StartError::Io("find the path of this program", error))?,
        lock: lock.copy().map_err(copied)?,
        listener: listener.copy().map_err(copied)?,
        made: listener.made().cloned(),
        access: access.clone(),
        store: asking,
        holds,
        log: log.lines(),
        unheard: signals.unheard(),
        blocked,
    })
}

fn answer(
    (listener, access): (Listener, Access),
    control: Control,
    callers: Vec<Caller>,
    held: mpsc::Receiver<Hold>,
    hang_up: CancellationToken,
) -> impl Future<Output = ()> + use<> {
    let life = control.daemon.life;
    let mut server = Server::new(listener, access, Rc::new(control), Limits::default());
    let pid = i32::try_from(std::process::id()).unwrap_or_default();
    let reply = serde_json::to_vec(&Upgraded { pid, life }).unwrap_or_default();
    async move {
        for caller in callers {
            if let Err(error) = server.go_on(caller, reply.clone()) {
                tracing::warn!("cannot answer who has asked for the upgrade: {error}");
            }
        }
        if let Err(error) = server.run(hang_up, held).await {
            tracing::error!("the control socket has failed: {error}");
        }
    }
}

async fn done(daemon: &Daemon) {
    if daemon.exit_when_done {
        // What comes with a reload is not done yet.
        daemon
            .wait_until(|| !daemon.is_reloading.get() && daemon.is_done())
            .await;
    } else {
        std::future::pending::<()>().await;
    }
}

fn spawn_service(daemon: &Rc<Daemon>) {
    if service::is_listened_to() {
        let (status, watchdog) = (Rc::clone(daemon), Rc::clone(daemon));
        tokio::task::spawn_local(async move { service::keep_status(&status).await });
        tokio::task::spawn_local(async move { service::keep_watchdog(&watchdog).await });
    }
}

async fn hear_orphans(daemon: Rc<Daemon>, orphans: Option<Orphans>, no_more: CancellationToken) {
    let Some(mut orphans) = orphans else { return };
    loop {
        tokio::select! {
            (orphan, owner) = orphans.next() => {
                let plant = daemon.plant();
                let mut processes = plant.processes.iter();
                if let Some(process) = processes.find(|process| process.id().to_string() == owner) {
                    process.send(supervise::Command::Orphaned(orphan));
                }
            }
            () = no_more.cancelled() => return orphans.end().await,
        }
    }
}

async fn hear_processes(daemon: Rc<Daemon>, mut notices: mpsc::UnboundedReceiver<supervise::Notice>) {
    while let Some(notice) = notices.recv().await {
        daemon.hear_process(notice);
    }
}

/// Hears the relays until they have ended, or until `last` says that nothing more is to come but what they have sent.
async fn hear_relays(daemon: Rc<Daemon>, mut relayed: relay::Notices, last: CancellationToken) {
    loop {
        tokio::select! {
            biased;
            Some(event) = relayed.events.recv() => daemon.tell(&event),
            Some(report) = relayed.reports.recv() => daemon.hear_route(report),
            () = last.cancelled() => return,
        }
        let lost = relayed.take_lost();
        if lost > 0 {
            daemon.tell_overrun(lost);
        }
    }
}

async fn hear_signals(
    mut signals: Caught,
    daemon: Rc<Daemon>,
    asked: Rc<Notify>,
    changes: mpsc::UnboundedSender<changes::Request>,
) {
    while let Some(signal) = signals.next().await {
        // How it went is in the log, and told by STATUS=. Nobody takes it any more once the daemon stops.
        let _ = match signal {
            SIGTERM | SIGINT => {
                daemon.stop_asked.set(true);
                asked.notify_one();
                continue;
            }
            SIGHUP => {
                let (reply, _) = oneshot::channel();
                let (dry_run, wait) = (false, false);
                changes.send(changes::Request::Reload(reload::Request { dry_run, wait, reply }))
            }
            _ => {
                let (refused, _) = oneshot::channel();
                let caller = None;
                changes.send(changes::Request::Upgrade(handover::Request { caller, refused }))
            }
        };
    }
}
