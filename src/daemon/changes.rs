//! What changes the daemon as a whole, one at a time: reloads and upgrades, whoever asks for them.

use std::path::PathBuf;
use std::rc::Rc;

use tokio::sync::mpsc::UnboundedReceiver;

use super::handover::{self, Estate};
use super::reload;
use super::state::Daemon;

/// Somebody wants a change.
#[derive(Debug)]
pub enum Request {
    /// Of the config.
    Reload(reload::Request),
    /// Of the program.
    Upgrade(handover::Request),
}

/// Makes them until the daemon ends.
pub async fn run(daemon: Rc<Daemon>, paths: Vec<PathBuf>, estate: Estate, mut requests: UnboundedReceiver<Request>) {
    while let Some(first) = requests.recv().await {
        let (mut reloads, mut upgrades) = (Vec::new(), Vec::new());
        let mut sort = |request| match request {
            Request::Reload(request) => reloads.push(request),
            Request::Upgrade(request) => upgrades.push(request),
        };
        sort(first);
        while let Ok(another) = requests.try_recv() {
            sort(another);
        }
        if !reloads.is_empty() {
            reload::serve(&daemon, &paths, reloads).await;
        }
        if !upgrades.is_empty() {
            // Those that are dropped are answered by the end of their connections, and a reload is made in the next life.
            let latest = || {
                let (mut more, mut reload) = (Vec::new(), false);
                while let Ok(another) = requests.try_recv() {
                    match another {
                        Request::Upgrade(request) => more.push(request),
                        Request::Reload(request) => reload |= !request.dry_run,
                    }
                }
                (more, reload)
            };
            handover::upgrade(&daemon, &estate, upgrades, latest).await;
        }
    }
}
