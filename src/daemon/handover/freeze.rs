//! Brings everything to rest, so that it can be written down; and lets it go on.

use std::future::Future;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::oneshot;

use crate::daemon::state::Daemon;
use crate::relay::{self, Report};
use crate::supervise::{self, Notice};
use crate::sys::clock;
use crate::sys::parcel::Packed;

/// Whoever does not come to rest in this time (a disk that hangs) is the reason why there is no handover.
const PATIENCE: Duration = Duration::from_secs(5);

/// Everything is at rest. When this is dropped, it goes on as if nothing had happened.
pub struct Frozen<'d> {
    daemon: &'d Daemon,
    thaws: Vec<oneshot::Sender<()>>,
    /// What each process has packed.
    pub processes: Vec<(String, Packed)>,
    /// What each route has packed.
    pub routes: Vec<(String, Packed)>,
}

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        self.thaws.clear();
        let reports = self.daemon.unheard.borrow_mut().take();
        for report in reports.into_iter().flatten() {
            self.daemon.hear_route(report);
        }
    }
}

impl<'d> Frozen<'d> {
    /// Processes come first: what they have told until then is in what the routes pack. What routes tell processes
    /// meanwhile is kept (`Daemon::unheard`). The error says who does not come to rest.
    pub async fn all(daemon: &'d Rc<Daemon>) -> Result<Frozen<'d>, String> {
        let mut frozen = Frozen {
            daemon,
            thaws: Vec::new(),
            processes: Vec::new(),
            routes: Vec::new(),
        };
        daemon.unheard.borrow_mut().get_or_insert_default();
        let deadline = clock::instant_at(clock::now() + PATIENCE);
        let at_rest = tokio::time::timeout_at(deadline, frozen.freeze());
        match at_rest.await {
            Ok(Ok(())) => Ok(frozen),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(frozen.who_is_late()),
        }
    }

    async fn freeze(&mut self) -> Result<(), String> {
        let plant = self.daemon.plant();
        let processes = plant.processes.iter().map(|process| {
            let (reply, thaw) = self.thawing();
            process.send(supervise::Command::Freeze { reply: reply.0, thaw });
            named(process.id().to_string(), reply.1)
        });
        let processes: Vec<_> = processes.collect();
        for (name, packed) in join_all(processes).await {
            let packed = packed.map_err(|error| format!("process {name} cannot be handed over: {error}"))?;
            self.processes.push((name, packed));
        }
        self.daemon.heard_all_of_processes().await;
        let routes = plant.routes.iter().map(|route| {
            let (reply, thaw) = self.thawing();
            route.send(relay::Command::Freeze { reply: reply.0, thaw });
            named(route.spec.name.to_string(), reply.1)
        });
        let routes: Vec<_> = routes.collect();
        for (name, packed) in join_all(routes).await {
            let packed = packed.map_err(|error| format!("route {name} cannot be handed over: {error}"))?;
            self.routes.push((name, packed));
        }
        self.daemon.heard_all_of_routes().await;
        Ok(())
    }

    #[allow(clippy::type_complexity, reason = "a pair of pairs, for two lines above")]
    fn thawing(
        &mut self,
    ) -> (
        (
            oneshot::Sender<io::Result<Packed>>,
            oneshot::Receiver<io::Result<Packed>>,
        ),
        oneshot::Receiver<()>,
    ) {
        let (thaw, thawed) = oneshot::channel();
        self.thaws.push(thaw);
        (oneshot::channel(), thawed)
    }

    fn who_is_late(&self) -> String {
        let plant = self.daemon.plant();
        let at_rest = |all: &[(String, Packed)], name: &str| all.iter().any(|(of, _)| of == name);
        let seconds = PATIENCE.as_secs();
        // All are told at once, and heard in order: the first that has not answered is late, and maybe others.
        let process = plant.processes.iter().map(|process| process.id().to_string());
        let process = process
            .filter(|name| !at_rest(&self.processes, name))
            .map(|name| format!("process {name}"));
        let route = plant.routes.iter().map(|route| route.spec.name.to_string());
        let route = route
            .filter(|name| !at_rest(&self.routes, name))
            .map(|name| format!("route {name}"));
        let late = process.chain(route).next().unwrap_or_default();
        format!("{late} (or another) has not come to rest for {seconds} s; a file of it may be on a disk that hangs")
    }
}

async fn named(
    name: String,
    packed: impl Future<Output = Result<io::Result<Packed>, oneshot::error::RecvError>>,
) -> (String, io::Result<Packed>) {
    let packed = packed
        .await
        .unwrap_or_else(|_| Err(io::Error::other("it has ended meanwhile")));
    (name, packed)
}

impl Daemon {
    /// Everything that processes have told until now has been carried on.
    async fn heard_all_of_processes(&self) {
        let (heard, all) = oneshot::channel();
        // Nobody hears them any more only when the daemon ends.
        let _ = self.means.supervise.notices.send(Notice::Marker(heard));
        let _ = all.await;
    }

    /// Everything that routes have told until now has been carried on.
    async fn heard_all_of_routes(&self) {
        let (heard, all) = oneshot::channel();
        self.means.reports.report(Report::Marker(heard));
        let _ = all.await;
    }
}
