//! What outlives a life: others of its process group. They are named by the pidfd of the leader that was reaped, so
//! that a signal can never reach somebody who was given its number since.

use nix::libc;

use crate::decide::process::KILL_GRACE;
use crate::model::{Moment, ProcessId};
use crate::sys::process::{Child, Member, group_members};

/// A process that leaves others behind in every life is its own fault; but their number has to end somewhere.
const MOST: usize = 64;

struct Rest {
    life: u64,
    child: Child,
    /// At shutdown: when it is killed, and after that, given up.
    deadline: Moment,
    killed: bool,
}

/// The groups of a process that are not empty yet, oldest first.
pub(super) struct Remains {
    id: ProcessId,
    groups: Vec<Rest>,
}

/// Empty at the end of an orderly shutdown. Otherwise nobody would be left who knows of them.
impl Drop for Remains {
    fn drop(&mut self) {
        self.signal(libc::SIGKILL);
    }
}

impl Remains {
    pub(super) fn new(id: ProcessId) -> Remains {
        Remains { id, groups: Vec::new() }
    }

    /// Takes a child that was reaped; at shutdown what is left of its group has until `deadline`.
    pub(super) fn add(&mut self, life: u64, child: Child, deadline: Moment) {
        // Zombies may be among them; where it matters they are told from the living later, which costs more.
        self.groups.retain(|rest| rest.child.group_is_there());
        if !child.group_is_there() {
            return;
        }
        if self.groups.len() == MOST {
            let oldest = self.groups.remove(0);
            let pid = oldest.child.pid();
            tracing::warn!(process = %self.id, pid, "process:{}: {MOST} earlier lives have left processes behind: killing the oldest", self.id);
            let _ = oldest.child.signal_group(libc::SIGKILL);
        }
        self.groups.push(Rest {
            life,
            child,
            deadline,
            killed: false,
        });
    }

    /// Forgets the groups in which nobody runs.
    pub(super) fn prune(&mut self) {
        if let Some(members) = self.members() {
            let runs = |group| members.iter().any(|member| member.group == group);
            self.groups.retain(|rest| runs(rest.child.pid()));
        }
    }

    /// Who runs in the groups; `None` where that cannot be known.
    fn members(&mut self) -> Option<Vec<Member>> {
        self.groups.retain(|rest| rest.child.group_is_there());
        let groups: Vec<i32> = self.groups.iter().map(|rest| rest.child.pid()).collect();
        if groups.is_empty() {
            return Some(Vec::new());
        }
        group_members(&groups)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    pub(super) fn signal(&self, number: i32) {
        for rest in &self.groups {
            let _ = rest.child.signal_group(number);
        }
    }

    pub(super) fn kill_life(&self, life: u64) {
        for rest in self.groups.iter().filter(|rest| rest.life == life) {
            let _ = rest.child.signal_group(libc::SIGKILL);
        }
    }

    /// Before a new life: two readers of one pipe would tear the stream apart, so whoever still holds a kept input of
    /// a dead life has to go.
    pub(super) fn kill_holders(&mut self, pipes: &[u64]) {
        if pipes.is_empty() {
            return;
        }
        let mut members = self.members().unwrap_or_default();
        members.retain(|member| pipes.iter().any(|pipe| member.holds(*pipe)));
        for rest in &self.groups {
            let pid = rest.child.pid();
            if members.iter().any(|member| member.group == pid) {
                tracing::warn!(
                    process = %self.id, pid,
                    "process:{}: somebody that its last life left behind still reads its input: killing that group", self.id
                );
                let _ = rest.child.signal_group(libc::SIGKILL);
            }
        }
    }

    /// At shutdown: nobody has longer than until `deadline`.
    pub(super) fn hurry(&mut self, deadline: Moment) {
        for rest in self.groups.iter_mut().filter(|rest| !rest.killed) {
            rest.deadline = rest.deadline.min(deadline);
        }
    }

    /// At shutdown: everybody has until `deadline`, also those whose time was over long ago.
    pub(super) fn grant(&mut self, deadline: Moment) {
        for rest in &mut self.groups {
            rest.deadline = deadline;
        }
    }

    /// At shutdown: kills whose time is over, and gives up who cannot be killed.
    pub(super) fn sweep(&mut self, now: Moment) {
        self.prune();
        let id = &self.id;
        self.groups.retain_mut(|rest| {
            if now < rest.deadline {
                return true;
            }
            if rest.killed {
                let pid = rest.child.pid();
                tracing::warn!(process = %id, pid, "process:{id}: the rest of its group cannot be killed; it is left behind");
                return false;
            }
            let _ = rest.child.signal_group(libc::SIGKILL);
            rest.killed = true;
            rest.deadline = now + KILL_GRACE;
            true
        });
    }
}
