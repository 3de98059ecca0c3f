//! As whom a child runs and what it may use: what of it needs memory or the databases, ready before the fork.

use nix::libc;
use nix::sys::resource::{Resource, getrlimit};
use nix::unistd::{getegid, getgroups};
use serde::{Deserialize, Serialize};

use super::identity::Identity;
use super::original_nofile;
use crate::model::{LimitSpec, LimitedResource};

/// As whom a child runs, and what it may use. The default is the daemon's own in everything, but for the soft limit of
/// descriptors, which is what the daemon was started with.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Standing {
    /// User and groups.
    pub identity: Identity,
    /// In the order in which they are set.
    pub limits: Vec<LimitSpec>,
    /// Nice value.
    pub nice: Option<i32>,
    /// File mode creation mask.
    pub umask: Option<u32>,
    /// PR_SET_NO_NEW_PRIVS.
    pub no_new_privileges: bool,
}

/// A resource with its soft and its hard limit.
pub(super) type Limit = (Resource, u64, u64);

impl Standing {
    /// The limits to set: those of the spec at their places, and then the daemon's original one of descriptors, if the
    /// spec has none.
    pub(super) fn limits(&self) -> nix::Result<Vec<Limit>> {
        let value = |limit: Option<u64>| limit.unwrap_or(libc::RLIM_INFINITY);
        let of_spec = |limit: &LimitSpec| (resource(limit.resource), value(limit.soft), value(limit.hard));
        let mut limits: Vec<Limit> = self.limits.iter().map(of_spec).collect();
        let given = |limit: &LimitSpec| limit.resource == LimitedResource::Nofile;
        if let Some(soft) = original_nofile()
            && !self.limits.iter().any(given)
        {
            let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
            limits.push((Resource::RLIMIT_NOFILE, soft.min(hard), hard));
        }
        Ok(limits)
    }

    /// Whether the daemon's groups are already those of the child, so that there is nothing to set for one that may not.
    pub(super) fn groups_are_held(&self) -> bool {
        let identity = &self.identity;
        let (Some(wanted), Ok(held)) = (&identity.groups, getgroups()) else {
            return false;
        };
        let own = getegid().as_raw();
        let held: Vec<u32> = held.into_iter().map(nix::unistd::Gid::as_raw).collect();
        identity.gid == Some(own)
            && held.iter().all(|group| wanted.contains(group))
            && wanted.iter().all(|group| *group == own || held.contains(group))
    }
}

/// The name of it that setrlimit(2) knows.
pub(super) fn resource(limited: LimitedResource) -> Resource {
    match limited {
        LimitedResource::Nofile => Resource::RLIMIT_NOFILE,
        LimitedResource::Core => Resource::RLIMIT_CORE,
        LimitedResource::As => Resource::RLIMIT_AS,
        LimitedResource::Fsize => Resource::RLIMIT_FSIZE,
        LimitedResource::Nproc => Resource::RLIMIT_NPROC,
        LimitedResource::Memlock => Resource::RLIMIT_MEMLOCK,
    }
}
