//! What a later life of the daemon begins with.

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;

use super::check::config_of;
use super::manifest::{Item, Manifest, SavedReport, Unloading};
use crate::control::{Access, Caller, Made};
use crate::daemon::state::Past;
use crate::daemon::store;
use crate::endpoint::Side;
use crate::model::{Config, Name};
use crate::relay::Report;
use crate::sys::execute;
use crate::sys::parcel::Unpacked;

/// Everything that the last life has left.
pub struct Inherited {
    /// As it ran.
    pub config: Config,
    /// The soft limit of descriptors for children.
    pub nofile: Option<u64>,
    /// The signals that are to be blocked.
    pub blocked: Vec<i32>,
    /// That of the runtime directory.
    pub lock: OwnedFd,
    /// The control socket, its file, and who is to be answered.
    pub socket: (OwnedFd, Option<Made>, Vec<Caller>),
    /// Who may use it.
    pub access: Access,
    /// The descriptor store.
    pub kept: Option<store::Copy>,
    /// What runs.
    pub running: Running,
}

/// What runs, and what is known of it.
pub struct Running {
    /// As far as it concerns all.
    pub past: Past,
    /// What is to be heard first.
    pub reports: Vec<Report>,
    routes: HashMap<String, Unpacked>,
    processes: HashMap<String, Unpacked>,
}

impl Inherited {
    /// `None` in a first life. To be called first of all.
    #[must_use]
    pub fn take() -> Option<Result<Inherited, String>> {
        let manifest = execute::handed_over()?;
        let read = manifest.and_then(|file| {
            let (manifest, begins) = Manifest::read(&file)?;
            Ok((manifest, Unloading::new(file, begins)))
        });
        let read = read.map_err(|error| error.to_string());
        Some(read.and_then(|(manifest, unloading)| Inherited::unload(manifest, unloading)))
    }

    fn unload(mut manifest: Manifest, mut from: Unloading) -> Result<Inherited, String> {
        let config = config_of(&manifest)?;
        let wrong = |error: io::Error| error.to_string();
        let lock = from.descriptor(manifest.lock).map_err(wrong)?;
        let listener = from.descriptor(manifest.listener).map_err(wrong)?;
        let mut callers = Vec::new();
        for caller in &manifest.callers {
            let socket = from.descriptor(caller.socket).map_err(wrong)?;
            let begun = from.bytes(caller.begun).map_err(wrong)?;
            callers.push(Caller { socket, begun });
        }
        let owed = std::mem::take(&mut manifest.owed);
        let kept = manifest.kept.map(|(journal, next)| {
            let journal = from.descriptor(journal).map_err(wrong)?;
            Ok::<_, String>(store::Copy { journal, next, owed })
        });
        let kept = kept.transpose()?;
        let routes = items(std::mem::take(&mut manifest.routes), &mut from);
        let processes = items(std::mem::take(&mut manifest.processes), &mut from);
        let waits_anew = manifest.waits_anew.iter().filter_map(|(route, is_source)| {
            let side = if *is_source { Side::Source } else { Side::Destination };
            Some((Name::new(route).ok()?, side))
        });
        let past = Past {
            life: manifest.life + 1,
            generation: manifest.generation,
            started_at: manifest.started_at,
            sequence: manifest.sequence,
            last_reload_error: manifest.last_reload_error,
            waits_anew: waits_anew.collect(),
        };
        Ok(Inherited {
            config,
            nofile: manifest.nofile,
            blocked: manifest.blocked,
            lock,
            socket: (listener, manifest.made, callers),
            access: manifest.access,
            kept,
            running: Running {
                past,
                reports: manifest.reports.into_iter().map(report).collect(),
                routes,
                processes,
            },
        })
    }
}

impl Running {
    /// What a route has packed.
    pub fn route(&mut self, name: &str) -> Option<Unpacked> {
        self.routes.remove(name)
    }

    /// What a process has packed.
    pub fn process(&mut self, id: &str) -> Option<Unpacked> {
        self.processes.remove(id)
    }
}

fn items(items: Vec<Item>, from: &mut Unloading) -> HashMap<String, Unpacked> {
    let mut all = HashMap::new();
    for item in items {
        let name = item.name.clone();
        match from.item(item) {
            Ok(unpacked) => drop(all.insert(name, unpacked)),
            Err(error) => {
                tracing::error!("{name} is begun anew, since it has not come whole from the last life: {error}");
            }
        }
    }
    all
}

fn report(saved: SavedReport) -> Report {
    match saved {
        SavedReport::InputEnded(process, stream, life) => Report::InputEnded { process, stream, life },
        SavedReport::KillGroup(process, life) => Report::KillGroup { process, life },
    }
}
