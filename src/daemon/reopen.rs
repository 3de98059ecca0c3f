//! Opens the files of all routes anew, for whoever rotates them.

use std::time::Duration;

use tokio::sync::oneshot;

use super::state::Daemon;
use crate::control::Error;
use crate::model::Name;
use crate::relay::{self, Reopening, RouteHandle};
use crate::sys::clock;

/// How long a disk may take, for all files together.
const PATIENCE: Duration = Duration::from_secs(5);

impl Daemon {
    /// Begins it for every file that a route has open; the relays have been told before this first waits. How many were
    /// opened anew, or of which ones it cannot be said. `wait` false: how many were begun.
    pub async fn reopen_files(&self, wait: bool) -> Result<u64, Error> {
        let deadline = clock::instant_at(clock::now() + PATIENCE);
        let begun = self.begin_reopening().await;
        if !wait {
            return Ok(begun.len() as u64);
        }
        let (mut reopened, mut refusals) = (0, Vec::new());
        for (route, file) in begun {
            let why = match tokio::time::timeout_at(deadline, file.reopened).await {
                Ok(Ok(Ok(()))) => {
                    reopened += 1;
                    continue;
                }
                // It was closed meanwhile.
                Ok(Err(_)) => continue,
                Ok(Ok(Err(error))) => error.text,
                Err(_) => late(),
            };
            let endpoint = file.destination;
            tracing::warn!(%route, %endpoint, "route:{route}/{endpoint}: not reopened: {why}");
            refusals.push(format!("{endpoint}: {why}"));
        }
        tracing::info!("files reopened: {reopened}");
        if refusals.is_empty() {
            return Ok(reopened);
        }
        Err(Error::Failed(format!(
            "cannot reopen {} of {} files: {}. Nothing is lost, and the old file is written on; put this right and try again",
            refusals.len(),
            reopened + refusals.len() as u64,
            refusals.join("; "),
        )))
    }

    /// Relays never block, so this is short.
    async fn begin_reopening(&self) -> Vec<(Name, Reopening)> {
        let tell = |route: &RouteHandle| {
            let (reply, begun) = oneshot::channel();
            route.send(relay::Command::Reopen(reply));
            begun
        };
        let plant = self.plant();
        let told: Vec<_> = plant
            .routes
            .iter()
            .map(|route| (route.spec.name.clone(), tell(route)))
            .collect();
        let mut begun = Vec::new();
        for (route, files) in told {
            // A route that has ended has no open file.
            let files = files.await.unwrap_or_default();
            begun.extend(files.into_iter().map(|file| (route.clone(), file)));
        }
        begun
    }
}

fn late() -> String {
    let seconds = PATIENCE.as_secs();
    format!("the disk has not answered for {seconds} s, and the new file is taken when it has")
}
