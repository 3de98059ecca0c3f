//! What outlives a life outlives an upgrade, too: who is left, and until when.

use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use serde::{Deserialize, Serialize};

use super::{Escaped, Remains, Rest};
use crate::model::{Moment, ProcessId};
use crate::sys::cgroup::Leaf;
use crate::sys::orphans::Orphan;
use crate::sys::parcel::{Parcel, Slot, Unpacking};
use crate::sys::process::Child;

/// What is written of them.
#[derive(Default, Serialize, Deserialize)]
pub(in crate::supervise) struct Written {
    groups: Vec<Group>,
    #[serde(default)]
    escaped: Vec<Stray>,
}

#[derive(Serialize, Deserialize)]
struct Group {
    life: u64,
    pid: i32,
    pidfd: Slot,
    leaf: Option<PathBuf>,
    deadline: Moment,
    killed: bool,
}

#[derive(Serialize, Deserialize)]
struct Stray {
    pid: i32,
    name: String,
    pidfd: Slot,
    deadline: Option<Moment>,
    told: bool,
}

impl Remains {
    pub(in crate::supervise) fn pack(&self, parcel: &mut Parcel) -> io::Result<Written> {
        let mut written = Written::default();
        for rest in &self.groups {
            written.groups.push(Group {
                life: rest.life,
                pid: rest.child.pid(),
                pidfd: parcel.put(&rest.child)?,
                leaf: rest.leaf.as_ref().map(|leaf| leaf.path().to_owned()),
                deadline: rest.deadline,
                killed: rest.killed,
            });
        }
        for escaped in &self.escaped {
            written.escaped.push(Stray {
                pid: escaped.orphan.pid,
                name: escaped.orphan.name.clone(),
                pidfd: parcel.put(&escaped.orphan)?,
                deadline: escaped.deadline,
                told: escaped.told,
            });
        }
        Ok(written)
    }

    pub(in crate::supervise) fn again(id: ProcessId, written: Written, parcel: &mut Unpacking) -> io::Result<Remains> {
        let mut remains = Remains::new(id);
        for group in written.groups {
            remains.groups.push(Rest {
                life: group.life,
                child: Child::again(group.pid, parcel.take(group.pidfd)?, true),
                leaf: group.leaf.and_then(|path| leaf_again(&remains.id, &path)),
                deadline: group.deadline,
                killed: group.killed,
            });
        }
        for stray in written.escaped {
            remains.escaped.push(Escaped {
                orphan: Orphan::again(stray.pid, stray.name, parcel.take(stray.pidfd)?),
                deadline: stray.deadline,
                told: stray.told,
            });
        }
        Ok(remains)
    }
}

/// Whoever is in it is known by their group all the same.
pub(in crate::supervise) fn leaf_again(id: &ProcessId, path: &Path) -> Option<Rc<Leaf>> {
    let leaf = Leaf::again(path).inspect_err(|error| {
        tracing::warn!(process = %id, "process:{id}: cannot take back its cgroup {}: {error}", path.display());
    });
    leaf.ok().map(Rc::new)
}
