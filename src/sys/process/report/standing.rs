//! Why a child could not become who it is to be.

use nix::errno::Errno;
use nix::libc;
use nix::sys::resource::getrlimit;

use super::ExecError;
use crate::model::{LimitSpec, LimitedResource};
use crate::sys::process::Attempt;
use crate::sys::process::child::Task;
use crate::sys::process::standing::resource;

/// A step of `child::standing` that failed; `index` is that of the limit.
pub(super) fn refused(task: i32, index: usize, errno: Errno, attempt: &Attempt) -> ExecError {
    let standing = &attempt.standing;
    let identity = &standing.identity;
    let named = |name: &Option<String>| name.clone().unwrap_or_default();
    let id = |id: Option<u32>| id.map_or_else(String::new, |id| id.to_string());
    let (tried, advice) = match task {
        task if task == Task::Limits as i32 => limit(standing.limits.get(index), errno),
        task if task == Task::Nice as i32 => nice(standing.nice.unwrap_or(0), errno),
        task if task == Task::SupplementaryGroups as i32 => (
            format!("take on the supplementary groups of user {:?}", named(&identity.user)),
            permission(errno, "CAP_SETGID", "user"),
        ),
        task if task == Task::PrimaryGroup as i32 => (
            format!("take on group {:?} (gid {})", named(&identity.group), id(identity.gid)),
            permission(errno, "CAP_SETGID", "group"),
        ),
        task if task == Task::User as i32 => (
            format!("become user {:?} (uid {})", named(&identity.user), id(identity.uid)),
            permission(errno, "CAP_SETUID", "user"),
        ),
        _ => (
            "give up gaining privileges".to_owned(),
            "take `no-new-privileges` out".to_owned(),
        ),
    };
    ExecError::Standing { tried, errno, advice }
}

fn limit(limit: Option<&LimitSpec>, errno: Errno) -> (String, String) {
    let Some(limit) = limit else {
        let tried = "set the limit nofile to what the daemon was started with";
        return (tried.to_owned(), "give `limits.nofile`".to_owned());
    };
    let shown = |limit: Option<u64>| limit.map_or_else(|| "infinity".to_owned(), |limit| limit.to_string());
    let name = limit.resource.as_str();
    let tried = format!("set the limit {name} to {}:{}", shown(limit.soft), shown(limit.hard));
    // The child's was the daemon's.
    let hard = getrlimit(resource(limit.resource)).map_or(libc::RLIM_INFINITY, |(_, hard)| hard);
    let held = shown((hard != libc::RLIM_INFINITY).then_some(hard));
    let advice = match (errno, limit.resource) {
        (Errno::EPERM, LimitedResource::Nofile) => format!(
            "nobody may go beyond fs.nr_open, and only root beyond the daemon's hard limit ({held}); lower it, or raise \
             that (LimitNOFILE= of the daemon's unit)"
        ),
        (Errno::EPERM, _) => format!(
            "only root may go beyond the daemon's hard limit ({held}); lower it, or raise that (Limit{}= of the daemon's \
             unit)",
            name.to_uppercase()
        ),
        _ => "correct `limits`".to_owned(),
    };
    (tried, advice)
}

fn nice(nice: i32, errno: Errno) -> (String, String) {
    let advice = match errno {
        Errno::EACCES | Errno::EPERM => {
            "only root may go below the daemon's own nice value; raise it, or allow it (LimitNICE= of the daemon's unit)"
        }
        _ => "correct `nice`",
    };
    (format!("set the nice value to {nice}"), advice.to_owned())
}

fn permission(errno: Errno, capability: &str, key: &str) -> String {
    match errno {
        Errno::EPERM => format!(
            "only a daemon that runs as root, and has {capability} (CapabilityBoundingSet= of its unit), may; run it so, \
             or take `{key}` out"
        ),
        Errno::EINVAL => "the daemon's user namespace does not map that number".to_owned(),
        _ => format!("correct `{key}`"),
    }
}
