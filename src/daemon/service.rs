//! What systemd is told: READY, STATUS, WATCHDOG, STOPPING (sd_notify(3)). Without NOTIFY_SOCKET nothing is. A manager
//! that does not read is told later, or not at all, but never waited for.

use std::future::Future;
use std::time::Duration;

use sd_notify::NotifyState;

use super::state::Daemon;
use crate::model::{ProcessState, RouteState};
use crate::sys::clock;
use crate::sys::notify::try_notify as send;

/// STATUS= follows the state at most so often.
const BETWEEN_STATUSES: Duration = Duration::from_secs(1);
/// A reload is not held up for longer by a manager that does not read.
const PATIENCE: Duration = Duration::from_secs(1);
/// Between two tries to tell a manager that does not read.
const BETWEEN_TRIES: Duration = Duration::from_millis(100);

/// The daemon stops.
pub fn stopping() {
    try_notify(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
}

/// False when there is no room for it now.
fn try_notify(states: &[NotifyState<'_>]) -> bool {
    send(states).unwrap_or_else(|error| {
        tracing::warn!("cannot tell the service manager: {error}");
        true
    })
}

async fn tell(states: &[NotifyState<'_>]) {
    while !try_notify(states) {
        clock::sleep_until(clock::now() + BETWEEN_TRIES).await;
    }
}

/// A reload begins, as far as the manager hears of it in time.
pub async fn reloading() {
    let (what, when) = (NotifyState::Reloading, format!("MONOTONIC_USEC={}", clock::now().0));
    let when = NotifyState::Custom(&when);
    within(PATIENCE, tell(&[what, when])).await;
}

/// It is over, one way or the other.
pub async fn reloaded(daemon: &Daemon) {
    let status = status(daemon);
    within(PATIENCE, tell(&[NotifyState::Ready, NotifyState::Status(&status)])).await;
}

/// Whether a service manager listens.
#[must_use]
pub fn is_listened_to() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some()
}

/// Tells that every route is opening or better and that the control socket answers, and then keeps STATUS= up to date,
/// without waking up while nothing changes.
pub async fn keep_status(daemon: &Daemon) {
    let mut last = status(daemon);
    tell(&[NotifyState::Ready, NotifyState::Status(&last)]).await;
    loop {
        let changed = daemon.next_change();
        let now = status(daemon);
        if now != last {
            if try_notify(&[NotifyState::Status(&now)]) {
                last = now;
            }
            clock::sleep_until(clock::now() + BETWEEN_STATUSES).await;
            continue;
        }
        changed.await;
    }
}

/// Says WATCHDOG=1 twice in the time that systemd gives, as long as every relay thread answers.
pub async fn keep_watchdog(daemon: &Daemon) {
    let Some(interval) = sd_notify::watchdog_enabled() else {
        return std::future::pending().await;
    };
    loop {
        let mut dead = 0;
        for (number, thread) in daemon.threads.iter().enumerate() {
            if within(interval / 4, thread.ping()).await.is_none() {
                tracing::error!("relay thread {number} does not answer; the service manager will restart this daemon");
                dead += 1;
            }
        }
        if dead == 0 {
            tell(&[NotifyState::Watchdog]).await;
        }
        clock::sleep_until(clock::now() + interval / 2).await;
    }
}

async fn within<T>(time: Duration, answer: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        answer = answer => Some(answer),
        () = clock::sleep_until(clock::now() + time) => None,
    }
}

/// One line that says what `sluicectl status` says.
fn status(daemon: &Daemon) -> String {
    let plant = daemon.plant();
    let routes: Vec<RouteState> = plant
        .routes
        .iter()
        .map(|route| route.cell.with(|cell| cell.state))
        .collect();
    let processes: Vec<ProcessState> = plant.processes.iter().map(|process| process.snapshot().state).collect();
    let counts = format!(
        "{}; {}",
        counted(routes, "route", RouteState::as_str),
        counted(processes, "process", ProcessState::as_str)
    );
    match &*daemon.last_reload_error.borrow() {
        Some(error) => format!("{counts}; the last reload was refused: {error}"),
        None => counts,
    }
}

fn counted<S: Copy + Ord>(mut states: Vec<S>, what: &str, shown: impl Fn(S) -> &'static str) -> String {
    states.sort_unstable();
    let parts: Vec<String> = states
        .chunk_by(|one, other| one == other)
        .map(|same| format!("{} {}", same.len(), shown(same[0])))
        .collect();
    let plural = match (states.len(), what) {
        (1, what) => what.to_owned(),
        (_, "process") => "processes".to_owned(),
        (_, what) => format!("{what}s"),
    };
    match parts.is_empty() {
        true => format!("no {plural}"),
        false => format!("{} {plural} ({})", states.len(), parts.join(", ")),
    }
}
