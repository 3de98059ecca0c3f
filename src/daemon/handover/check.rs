//! Whether a program can take over what this one has: `sluiced --check-handover FD`, and asking it.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::manifest::Manifest;
use crate::config::{self, Environment};
use crate::daemon::{EXIT_CONFIG, say};
use crate::model::{self, Config, Exit};
use crate::sys::process::{self, Attempt, Child, Held, Plan, Status, read_status};
use crate::sys::{clock, execute, reactor};

/// A program that says nothing for so long cannot.
const PATIENCE: Duration = Duration::from_secs(10);
/// As much of what it says is told on.
const LONGEST_REASON: usize = 2000;

/// `--check-handover FD`: exit 0 or 78. Starts nothing, changes nothing.
pub fn main(number: i32) -> ExitCode {
    match readable(number) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            let version = env!("CARGO_PKG_VERSION");
            say(&format!("sluiced {version} cannot take this handover: {why}\n"));
            ExitCode::from(EXIT_CONFIG)
        }
    }
}

fn readable(number: i32) -> Result<(), String> {
    let path = format!("/proc/self/fd/{number}");
    let file = File::open(path).map_err(|error| format!("descriptor {number} cannot be read: {error}"))?;
    let (manifest, _) = Manifest::read(&file).map_err(|error| error.to_string())?;
    let config = config_of(&manifest)?;
    for route in &manifest.routes {
        let known = config.routes.iter().any(|spec| *spec.name.as_str() == *route.name);
        let read = if known {
            crate::relay::check_packed(&route.state)
        } else {
            Err(unknown())
        };
        read.map_err(|error| format!("route {}: {error}", route.name))?;
    }
    let ids: Vec<String> = config
        .processes
        .iter()
        .flat_map(model::ProcessSpec::ids)
        .map(|id| id.to_string())
        .collect();
    for process in &manifest.processes {
        let known = ids.contains(&process.name);
        let read = if known {
            crate::supervise::check_packed(&process.state)
        } else {
            Err(unknown())
        };
        read.map_err(|error| format!("process {}: {error}", process.name))?;
    }
    Ok(())
}

fn unknown() -> io::Error {
    io::Error::other("it is not in the config as this version reads it")
}

/// The config as it ran in the last life.
pub fn config_of(manifest: &Manifest) -> Result<Config, String> {
    let files = manifest.files.iter().cloned();
    let files = files.map(|file| model::ConfigFile {
        path: file.path,
        text: file.text,
    });
    match config::parse(files.collect(), &Environment::of_this_process()) {
        Ok((config, _)) => Ok(config),
        Err(diagnostics) => Err(format!(
            "the config that runs is refused:\n{}",
            diagnostics.render(false)
        )),
    }
}

/// Asks the program at `path` whether it can take this over; the error says why not.
pub async fn ask(path: &Path, manifest: &File) -> Result<(), String> {
    let shown = path.display();
    let patience = clock::instant_at(clock::now() + PATIENCE);
    let mut reason = Vec::new();
    // It is killed with its group when it is dropped.
    let ended = tokio::time::timeout_at(patience, run(path, manifest, &mut reason)).await;
    let reason = String::from_utf8_lossy(&reason);
    let reason = reason.trim();
    match ended {
        Ok(Ok(Exit::Code(0))) => Ok(()),
        Ok(Ok(exit)) if reason.is_empty() => Err(format!("{shown} cannot take over: {exit}, and no reason given")),
        Ok(Ok(exit)) => Err(format!("{shown} cannot take over ({exit}): {reason}")),
        Ok(Err(error)) => Err(format!("cannot ask {shown} whether it can take over: {error}")),
        Err(_) => {
            let seconds = PATIENCE.as_secs();
            Err(format!(
                "{shown} has not answered for {seconds} s whether it can take over"
            ))
        }
    }
}

/// To its end; what it says on standard error goes to `reason`.
async fn run(path: &Path, manifest: &File, reason: &mut Vec<u8>) -> io::Result<Exit> {
    let program = path.to_str().ok_or_else(|| io::Error::other("its path is not UTF-8"))?;
    let command = [program, "--check-handover", "0"].map(str::to_owned);
    let plan = Plan::new(&command, &execute::environment(), None, None).map_err(io::Error::other)?;
    let (said, says) = process::output_pipe()?;
    let null = process::null()?;
    let ends = [(0, manifest.as_fd()), (1, null.as_fd()), (2, says.as_fd())];
    let held = process::spawn(&plan, &ends).map_err(io::Error::other)?;
    drop(says);
    let (child, status) = held.into_parts();
    let mut child = process::watch_child(child)?;
    let said = reactor::register_own(said, Interest::READABLE)?;
    let status = reactor::register_own(status, Interest::READABLE)?;
    Held::release(status.get_ref().as_fd());
    if let Status::Failed(error) = executed(&status, &plan.into_attempt()).await? {
        return Err(io::Error::other(error.to_string()));
    }
    let exit = exited(&mut child).await?;
    let mut text = [0; LONGEST_REASON];
    // What it has said stands in the pipe. Whoever else has that open has nothing to say.
    let count = process::read(said.get_ref().as_fd(), &mut text).unwrap_or(0);
    reason.extend_from_slice(text.get(..count).unwrap_or_default());
    Ok(exit)
}

async fn executed(status: &AsyncFd<OwnedFd>, attempt: &Attempt) -> io::Result<Status> {
    loop {
        let mut ready = status.readable().await?;
        match read_status(status.get_ref().as_fd(), attempt)? {
            Some(status) => return Ok(status),
            None => ready.clear_ready(),
        }
    }
}

async fn exited(child: &mut AsyncFd<Child>) -> io::Result<Exit> {
    loop {
        let mut ready = child.readable_mut().await?;
        match ready.get_inner_mut().try_reap()? {
            Some(exit) => return Ok(exit),
            None => ready.clear_ready(),
        }
    }
}
