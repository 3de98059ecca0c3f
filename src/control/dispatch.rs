//! Carries a checked call to the daemon. Depends on `backend`, `request` and `call`.

use serde::Serialize;

use super::backend::{Backend, Subscription};
use super::call::{Causes, Changed, ConfigFiles, Description, Info, Nothing, RELAY, Reopened, SERVICE};
use super::error::Error;
use super::request::Call;
use super::types::{Process, Route};

/// The IDL of [`RELAY`], as it is served.
pub const RELAY_IDL: &str = include_str!("io.sluiced.Relay.varlink");
/// The IDL of [`SERVICE`], as it is served.
pub const SERVICE_IDL: &str = include_str!("org.varlink.service.varlink");

/// What is to be written to the client.
#[derive(Debug)]
pub(super) enum Answer {
    /// The parameters of the one reply, as JSON.
    One(Vec<u8>),
    /// All in one reply, or one a reply.
    Routes(Vec<Route>),
    /// All in one reply, or one a reply.
    Processes(Vec<Process>),
    /// One event a reply, of these subjects.
    Events(Box<Subscription>, Option<Vec<String>>),
}

/// Has the daemon do it.
pub(super) async fn perform<B: Backend>(backend: &B, call: Call) -> Result<Answer, Error> {
    match call {
        Call::Info => one(&info()),
        Call::Describe(interface) => describe(&interface),
        Call::Status => one(&backend.status().await?),
        Call::ListRoutes(name) => Ok(Answer::Routes(backend.list_routes(name.as_deref()).await?)),
        Call::ListProcesses(name) => Ok(Answer::Processes(backend.list_processes(name.as_deref()).await?)),
        Call::PauseRoute(name) => changed(backend.pause_route(&name).await),
        Call::ResumeRoute(name) => changed(backend.resume_route(&name).await),
        Call::DrainRoute { name, timeout, wait } => changed(backend.drain_route(&name, timeout, wait).await),
        Call::StartProcess { name, wait } => changed(backend.start_process(&name, wait).await),
        Call::StopProcess { name, wait } => changed(backend.stop_process(&name, wait).await),
        Call::RestartProcess { name, wait } => changed(backend.restart_process(&name, wait).await),
        Call::SignalProcess { name, signal } => nothing(backend.signal_process(&name, &signal).await),
        Call::ReopenFiles { wait } => one(&Reopened {
            reopened: backend.reopen_files(wait).await?,
        }),
        Call::Reload { dry_run, wait } => one(&backend.reload(dry_run, wait).await?),
        // Its connection goes with it, so it is the connection that asks.
        Call::Upgrade => Err(Error::Failed("an upgrade needs a connection of its own".into())),
        Call::Explain(route) => one(&Causes {
            causes: backend.explain(&route).await?,
        }),
        Call::GetConfig => one(&ConfigFiles {
            files: backend.get_config().await?,
        }),
        Call::Monitor(subjects) => Ok(Answer::Events(Box::new(backend.subscribe().await?), subjects)),
        Call::Shutdown => nothing(backend.shutdown().await),
    }
}

fn one(parameters: &impl Serialize) -> Result<Answer, Error> {
    serde_json::to_vec(parameters)
        .map(Answer::One)
        .map_err(|error| Error::Failed(format!("the reply cannot be written as JSON: {error}")))
}

fn changed(result: Result<bool, Error>) -> Result<Answer, Error> {
    result.and_then(|changed| one(&Changed { changed }))
}

fn nothing(result: Result<(), Error>) -> Result<Answer, Error> {
    result.and_then(|()| one(&Nothing {}))
}

fn info() -> Info {
    Info {
        vendor: "sluiced".into(),
        product: "sluiced".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        url: env!("CARGO_PKG_REPOSITORY").into(),
        interfaces: vec![SERVICE.into(), RELAY.into()],
    }
}

fn describe(interface: &str) -> Result<Answer, Error> {
    let description = match interface {
        SERVICE => SERVICE_IDL,
        RELAY => RELAY_IDL,
        _ => return Err(Error::service("InterfaceNotFound", "interface", interface)),
    };
    one(&Description {
        description: description.into(),
    })
}
