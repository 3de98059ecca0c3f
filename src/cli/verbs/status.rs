//! `sluicectl status`: the daemon, its routes and processes; or what has the name that was given.

use crate::cli::session::{Session, is_unknown};
use crate::cli::{Failure, show};
use crate::control::call::{self, Causes, Explain, Listed, Nothing, Processes, Routes};
use crate::control::client::{ClientError, realtime_usec};
use crate::control::types::{Cause, Route, Status};

pub(super) fn run(session: &mut Session, name: Option<String>) -> Result<(), Failure> {
    match name {
        Some(name) => one(session, name),
        None => all(session),
    }
}

fn all(session: &mut Session) -> Result<(), Failure> {
    let status = session.ask::<Status>(call::GET_STATUS, &Nothing {})?;
    let routes = session.ask::<Routes>(call::LIST_ROUTES, &Listed::default())?;
    let processes = session.ask::<Processes>(call::LIST_PROCESSES, &Listed::default())?;
    let (Some(status), Some(routes), Some(processes)) = (status, routes, processes) else {
        return Ok(());
    };
    let now = realtime_usec();
    session.say(&show::daemon(&status, now))?;
    session.say("\n")?;
    session.say(&show::routes(&routes.routes, now))?;
    session.say("\n")?;
    session.say(&show::processes(&processes.processes, now))
}

fn one(session: &mut Session, name: String) -> Result<(), Failure> {
    let named = Listed {
        name: Some(name.clone()),
    };
    let known = |result: Result<_, Failure>| match result {
        Err(failure) if is_unknown(&failure) => Ok(None),
        other => other.map(Some),
    };
    let routes = known(
        session
            .ask::<Routes>(call::LIST_ROUTES, &named)
            .map(|all| all.map(Found::Routes)),
    )?;
    let processes = known(
        session
            .ask::<Processes>(call::LIST_PROCESSES, &named)
            .map(|all| all.map(Found::Processes)),
    )?;
    if routes.is_none() && processes.is_none() {
        return Err(Failure::NoSuchName(name));
    }
    let now = realtime_usec();
    for found in [routes, processes].into_iter().flatten().flatten() {
        let texts: Vec<String> = match found {
            Found::Routes(all) => {
                let shown = all.routes.iter().map(|route| {
                    let causes = causes(session, route)?;
                    Ok(show::route(route, &causes, now))
                });
                shown.collect::<Result<_, Failure>>()?
            }
            Found::Processes(all) => all
                .processes
                .iter()
                .map(|process| show::process(process, now))
                .collect(),
        };
        session.say(&texts.concat())?;
    }
    Ok(())
}

/// Why a route is paused, down to the root; nothing where it is not, or where the daemon knows no answer.
fn causes(session: &mut Session, route: &Route) -> Result<Vec<Cause>, Failure> {
    if route.state != "paused" {
        return Ok(Vec::new());
    }
    let of = Explain {
        route: route.name.clone(),
    };
    match session.ask::<Causes>(call::EXPLAIN, &of) {
        Ok(found) => Ok(found.map_or_else(Vec::new, |all| all.causes)),
        // The route may have gone since, and another daemon may not have the method.
        Err(Failure::Client(ClientError::Refused(_))) => Ok(Vec::new()),
        Err(other) => Err(other),
    }
}

/// What has the name.
enum Found {
    Routes(Routes),
    Processes(Processes),
}
