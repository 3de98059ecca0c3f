//! The child's steps to who it is to be. Order matters: what needs privileges comes before they are gone.

use std::ffi::{c_int, c_ulong};

use nix::errno::Errno;
use nix::libc;
use nix::sys::resource::setrlimit;

use super::Task;
use crate::sys::process::standing::Limit;

/// What to become; `None` leaves the daemon's.
pub(in crate::sys::process) struct Standing<'a> {
    pub(in crate::sys::process) limits: &'a [Limit],
    pub(in crate::sys::process) nice: Option<c_int>,
    pub(in crate::sys::process) umask: Option<libc::mode_t>,
    pub(in crate::sys::process) groups: Option<&'a [libc::gid_t]>,
    /// The groups are the daemon's already.
    pub(in crate::sys::process) groups_are_held: bool,
    pub(in crate::sys::process) gid: Option<libc::gid_t>,
    pub(in crate::sys::process) uid: Option<libc::uid_t>,
    pub(in crate::sys::process) no_new_privileges: bool,
}

/// prctl(2) refuses some calls whose unused arguments are not 0, in all their bits.
const UNUSED: c_ulong = 0;

/// The step that failed, which limit it was about, and why.
type Failure = (Task, usize, Errno);

/// Takes on limits, nice value, umask, groups and user, in this order.
pub(super) fn take_on(standing: &Standing<'_>) -> Result<(), Failure> {
    for (index, (resource, soft, hard)) in standing.limits.iter().enumerate() {
        setrlimit(*resource, *soft, *hard).map_err(|errno| (Task::Limits, index, errno))?;
    }
    if let Some(nice) = standing.nice {
        // SAFETY: setpriority touches no memory. 0 is the calling process.
        let result = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) };
        Errno::result(result).map_err(|errno| (Task::Nice, 0, errno))?;
    }
    if let Some(mask) = standing.umask {
        // SAFETY: umask touches no memory and cannot fail.
        unsafe { libc::umask(mask) };
    }
    identity(standing).map_err(|(task, errno)| (task, 0, errno))
}

/// setgroups, setgid, setuid: the last takes away the right to the others. The C library's wrappers, as the standard
/// library uses them here, because on 32-bit machines there are two calls of each. All three ids are set, so that there
/// is no way back.
fn identity(standing: &Standing<'_>) -> Result<(), (Task, Errno)> {
    if let Some(groups) = standing.groups {
        // SAFETY: groups is that long, and lives through the call.
        let result = unsafe { libc::setgroups(groups.len(), groups.as_ptr()) };
        match Errno::result(result) {
            Err(Errno::EPERM) if standing.groups_are_held => {}
            result => drop(result.map_err(|errno| (Task::SupplementaryGroups, errno))?),
        }
    }
    if let Some(gid) = standing.gid {
        // SAFETY: touches no memory.
        Errno::result(unsafe { libc::setresgid(gid, gid, gid) }).map_err(|errno| (Task::PrimaryGroup, errno))?;
    }
    if let Some(uid) = standing.uid {
        // SAFETY: touches no memory.
        Errno::result(unsafe { libc::setresuid(uid, uid, uid) }).map_err(|errno| (Task::User, errno))?;
        // A daemon that is not root and has capabilities by its unit (AmbientCapabilities=) would hand them down.
        let all = libc::PR_CAP_AMBIENT_CLEAR_ALL as c_ulong;
        // SAFETY: touches no memory; a kernel that does not know it has no such capabilities.
        unsafe { libc::prctl(libc::PR_CAP_AMBIENT, all, UNUSED, UNUSED, UNUSED) };
    }
    Ok(())
}

/// After this, no execve(2) gives more rights: set-user-ID bits and file capabilities do nothing.
pub(super) fn give_up_privileges() -> Result<(), Errno> {
    let yes: c_ulong = 1;
    // SAFETY: touches no memory.
    let result = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, yes, UNUSED, UNUSED, UNUSED) };
    Errno::result(result).map(drop)
}
