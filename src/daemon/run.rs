//! From a checked config to a running daemon and back to an exit code.

use std::future::Future;
use std::io;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use signal_hook::consts::signal::{SIGHUP, SIGINT, SIGTERM, SIGUSR2};
use signal_hook_tokio::Signals;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::LocalSet;
use tokio_util::sync::CancellationToken;

use super::arguments::Arguments;
use super::backend::Control;
use super::control_socket::{self, Passed};
use super::lock::Lock;
use super::log::LevelSetter;
use super::plant::Plant;
use super::state::{Daemon, Means};
use super::wiring::Wiring;
use super::{log, reload, say, service};
use crate::config;
use crate::control::{Access, Limits, ListenError, Listener, Server};
use crate::endpoint::ends::Taken;
use crate::model::{Config, ProcessSpec, ProcessState};
use crate::relay::{self, RelayThread, RouteHandle};
use crate::supervise::{self, Cgroups, Orphans};
use crate::sys::{self, clock};

/// How long the routes may take to try their endpoints before processes are started all the same.
const BEGINNING: Duration = Duration::from_secs(5);

/// Runs until it is told to stop, or until everything is done.
pub(super) fn run(config: Config, arguments: &Arguments) -> ExitCode {
    // First of all: what is passed is known by its number.
    let passed = match sys::activation::take() {
        Ok(passed) => passed,
        Err(error) => {
            return fail(&StartError::Io(
                "take the sockets that the service manager passed",
                error,
            ));
        }
    };
    let lock = match Lock::take(&config.daemon.runtime_directory) {
        Ok(lock) => lock,
        Err(error) => return fail(&error),
    };
    let log = match log::start(config.daemon.log_level) {
        Ok(log) => log,
        Err(error) => return fail(&StartError::Io("start the log's thread", error)),
    };
    warn(&config, arguments, &passed);
    // Before signals are caught: a group database may ask a network, and who does not want to wait can end this.
    let access = match control_socket::access(&config.control) {
        Ok(access) => access,
        Err(error) => return fail(&error),
    };
    if let Err(error) = sys::process::raise_nofile() {
        tracing::warn!("cannot raise the limit of open files: {error}");
    }
    if let Err(error) = sys::process::survive_file_size_limit() {
        tracing::warn!("cannot ignore SIGXFSZ, so a file that grows to the size limit ends this daemon: {error}");
    }
    let cgroups = supervise::Cgroups::claim();
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error),
    };
    let means = (access, cgroups, log.level());
    let ended = LocalSet::new().block_on(&runtime, live(config, arguments, passed, means));
    drop((log, lock));
    match ended {
        Ok(code) => code,
        Err(error) => fail(&error),
    }
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

fn warn(config: &Config, arguments: &Arguments, passed: &[Passed]) {
    let endless = if arguments.exit_when_done {
        config::never_ending(config)
    } else {
        Vec::new()
    };
    // The mode of a socket that is passed is systemd's.
    let shut_out = match control_socket::is_passed(passed) {
        true => Vec::new(),
        false => config::shut_out(config),
    };
    for warning in config::cycles(config).into_iter().chain(shut_out) {
        tracing::warn!("{warning}");
    }
    for warning in endless {
        tracing::warn!("--exit-when-done will never end: {warning}");
    }
}

/// Why the daemon could not be started.
#[derive(Debug, thiserror::Error)]
enum StartError {
    /// A thread or a descriptor could not be had.
    #[error("cannot {0}")]
    Io(&'static str, #[source] io::Error),
    /// The control socket could not be had.
    #[error(transparent)]
    Listen(#[from] ListenError),
}

async fn live(
    config: Config,
    arguments: &Arguments,
    passed: Vec<Passed>,
    (access, cgroups, log_level): (Access, Option<Rc<Cgroups>>, LevelSetter),
) -> Result<ExitCode, StartError> {
    let orphans = orphans(cgroups.is_some());
    let signals = Signals::new([SIGTERM, SIGINT, SIGHUP, SIGUSR2])
        .map_err(|error| StartError::Io("set up the signal handlers", error))?;
    let listener = control_socket::listener(&config.control, passed, &access)?;
    let (notices_in, notices) = mpsc::unbounded_channel();
    let means = Means {
        notices: notices_in,
        cgroups,
        log_level,
    };
    let (daemon, relayed) = start(config, arguments.exit_when_done, means).await?;
    tokio::task::spawn_local(hear_processes(Rc::clone(&daemon), notices));
    let no_more = CancellationToken::new();
    let orphans = tokio::task::spawn_local(hear_orphans(Rc::clone(&daemon), orphans, no_more.clone()));
    let last = CancellationToken::new();
    let hearing = tokio::task::spawn_local(hear_relays(Rc::clone(&daemon), relayed, last.clone()));
    let asked = Rc::new(Notify::new());
    let (reloads, requests) = mpsc::unbounded_channel();
    let reloading = reload::run(Rc::clone(&daemon), arguments.configs.clone(), requests);
    let reloading = tokio::task::spawn_local(reloading);
    tokio::task::spawn_local(hear_signals(signals, Rc::clone(&asked), reloads.clone()));
    let hang_up = CancellationToken::new();
    let server = answer(listener, access, &daemon, &asked, reloads, hang_up.clone());
    let server = tokio::task::spawn_local(server);
    spawn_service(&daemon);
    let done = tokio::select! {
        () = asked.notified() => false,
        () = done(&daemon) => true,
    };
    // Between two steps: what runs then is stopped.
    reloading.abort();
    let _ = reloading.await;
    daemon.is_reloading.set(false);
    daemon.shelf.take();
    daemon.stop(asked.notified()).await;
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
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn answer(
    listener: Listener,
    access: Access,
    daemon: &Rc<Daemon>,
    stop: &Rc<Notify>,
    reloads: mpsc::UnboundedSender<reload::Request>,
    hang_up: CancellationToken,
) -> impl Future<Output = ()> + use<> {
    let backend = Control {
        daemon: Rc::clone(daemon),
        reloads,
        stop: Rc::clone(stop),
    };
    let server = Server::new(listener, access, Rc::new(backend), Limits::default());
    async move {
        if let Err(error) = server.run(hang_up).await {
            tracing::error!("the control socket has failed: {error}");
        }
    }
}

async fn done(daemon: &Daemon) {
    if daemon.exit_when_done {
        daemon.wait_until(|| daemon.is_done()).await;
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

/// Starts the relay threads, the routes and the processes.
async fn start(config: Config, exit_when_done: bool, means: Means) -> Result<(Rc<Daemon>, relay::Notices), StartError> {
    let (reports, relayed) = relay::reports();
    let taken = Arc::new(Taken::default());
    let threads: Vec<RelayThread> = (0..config.daemon.relay_threads)
        .map(|number| RelayThread::start(number, Arc::clone(&taken), reports.clone()))
        .collect::<io::Result<_>>()
        .map_err(|error| StartError::Io("start a relay thread", error))?;
    let threaded = std::iter::zip(&config.routes, threads.iter().cycle());
    let routes: Vec<RouteHandle> = threaded
        .map(|(route, thread)| thread.relay(Arc::new(route.clone())))
        .collect();
    begun(&threads, &routes).await;
    let ids = config.processes.iter().flat_map(ProcessSpec::ids).collect();
    let wiring = Wiring::new(ids, config.routes.iter());
    let mut processes = Vec::new();
    for spec in &config.processes {
        let spec = Arc::new(spec.clone());
        for id in spec.ids() {
            let wired = wiring.of_process(&id);
            let (spec, notices, cgroups) = (Arc::clone(&spec), means.notices.clone(), means.cgroups.clone());
            processes.push(Rc::new(supervise::start(spec, id, wired, notices, cgroups)));
        }
    }
    let plant = Plant::new(Rc::new(config), routes, processes);
    let daemon = Rc::new(Daemon::new(plant, exit_when_done, threads, means));
    for process in &daemon.plant().processes {
        if matches!(process.state(), ProcessState::Stopped | ProcessState::Waiting) {
            daemon.tell_down(process.id());
        }
    }
    daemon.start_waiting();
    Ok((daemon, relayed))
}

/// Waits until every route has tried its endpoints once: whoever is started or served from now on finds the FIFOs in
/// their places.
async fn begun(threads: &[RelayThread], routes: &[RouteHandle]) {
    let patience = clock::now() + BEGINNING;
    for thread in threads {
        // A thread that ends at once has said why, and its routes are waited for below.
        let _ = thread.ping().await;
    }
    while !routes.iter().all(|route| route.cell.has_begun()) && clock::now() < patience {
        clock::sleep_until(clock::now() + Duration::from_millis(1)).await;
    }
}

/// Where there are cgroups nobody escapes, and orphans are init's as ever.
fn orphans(have_cgroups: bool) -> Option<Orphans> {
    let adopted = (!have_cgroups).then(Orphans::adopt)?;
    let told = adopted.inspect_err(|error| tracing::warn!("what leaves its process group will not be found: {error}"));
    told.ok()
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

async fn hear_signals(mut signals: Signals, asked: Rc<Notify>, reloads: mpsc::UnboundedSender<reload::Request>) {
    while let Some(signal) = signals.next().await {
        match signal {
            SIGTERM | SIGINT => asked.notify_one(),
            SIGHUP => {
                // How it went is in the log, and told by STATUS=.
                let (reply, _) = oneshot::channel();
                let (dry_run, wait) = (false, false);
                // Nobody takes it any more once the daemon stops.
                let _ = reloads.send(reload::Request { dry_run, wait, reply });
            }
            _ => tracing::warn!("SIGUSR2: upgrading is not supported yet; restart the daemon to replace its binary"),
        }
    }
}
