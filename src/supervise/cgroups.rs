//! A cgroup for each life, where the daemon has been given one to divide: whoever a child forks stays in it, and is
//! killed with it. Why, and when not: docs/design/0012.

use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::decide::delegation::{Found, SUPERVISOR, Verdict, judge};
use crate::model::ProcessId;
use crate::sys::cgroup::{self, Leaf};
use crate::sys::process;

/// The cgroup that was delegated to the daemon.
#[derive(Debug)]
pub struct Cgroups {
    base: PathBuf,
}

impl Cgroups {
    /// Divides the daemon's own cgroup where that was delegated to it, and else leaves it alone; the log says which.
    #[must_use]
    pub fn claim() -> Option<Rc<Cgroups>> {
        let (path, directory) = cgroup::own()?;
        let above = directory.parent().unwrap_or(Path::new("/"));
        let path_above = path.rsplit_once('/').map_or("", |(above, _)| above);
        match judge(&found(&path, &directory), &found(path_above, above)) {
            Verdict::NotDelegated => {
                tracing::debug!(
                    "the cgroup {path} was not delegated to this daemon: processes are kept by their groups alone"
                );
                None
            }
            Verdict::Refused(why) => {
                tracing::warn!("the cgroup {path} is not divided, although it is marked as delegated: {why}");
                None
            }
            Verdict::Own => divided(&path, directory, true),
            Verdict::Above => divided(path_above, above.to_owned(), false),
        }
    }

    /// For one life.
    pub(super) fn leaf(&self, id: &ProcessId, life: u64) -> Option<Rc<Leaf>> {
        let path = self.base.join(format!("process-{id}.{life}"));
        let leaf = Leaf::make(path.clone());
        let told = leaf.inspect_err(|error| {
            tracing::warn!(
                process = %id,
                "process:{id}: it runs without a cgroup of its own: cannot make {}: {error}", path.display()
            );
        });
        told.ok().map(Rc::new)
    }
}

fn found(path: &str, directory: &Path) -> Found {
    let own = i32::try_from(std::process::id()).unwrap_or_default();
    let user = cgroup::own_user();
    let members = cgroup::members(directory);
    // After an upgrade there are children already. One for which no cgroup could be made is in the daemon's.
    let beside = path.ends_with(&format!("/{SUPERVISOR}"));
    // None: it has gone; 0 is somebody outside of the PID namespace.
    let is_own = |pid: i32| beside && pid != 0 && process::belongs_to(pid, own) != Some(false);
    let belongs = |path: &Path| cgroup::owner(path) == Some(user);
    Found {
        path: path.to_owned(),
        marked: cgroup::is_marked(directory),
        given: user != 0 && belongs(directory) && !directory.parent().is_some_and(belongs),
        kind: cgroup::read(directory, "cgroup.type").unwrap_or_default(),
        other: members.into_iter().find(|pid| *pid != own && !is_own(*pid)),
    }
}

fn divided(path: &str, base: PathBuf, moves: bool) -> Option<Rc<Cgroups>> {
    if let Err(error) = divide(&base, moves) {
        tracing::warn!(
            "the cgroup {path} was delegated to this daemon, but cannot be divided: {error}; where it is read-only, \
             ProtectControlGroups= has to go from the unit"
        );
        return None;
    }
    let has_memory = enable_memory(&base).is_ok();
    let without = if has_memory {
        ""
    } else {
        "; without the memory controller"
    };
    tracing::info!("each process has a cgroup of its own below {path}{without}");
    Some(Rc::new(Cgroups { base }))
}

/// Nobody may be in a cgroup whose children have controllers, so the daemon goes into a child first.
fn divide(base: &Path, moves: bool) -> io::Result<()> {
    if moves {
        let own = base.join(SUPERVISOR);
        match std::fs::create_dir(&own) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            other => other?,
        }
        cgroup::write(&own, "cgroup.procs", &std::process::id().to_string())?;
    }
    // Whether it can be written is seen now, and not at the first process.
    Leaf::make(base.join("process-.0")).map(drop)
}

/// Processor time is counted in any case.
fn enable_memory(base: &Path) -> io::Result<()> {
    cgroup::write(base, "cgroup.subtree_control", "+memory")
}
