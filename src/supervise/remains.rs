//! What outlives a life: others of its process group. They are named by the pidfd of the leader that was reaped, so
//! that a signal can never reach somebody who was given its number since.

use std::rc::Rc;

use nix::libc;

use crate::decide::process::KILL_GRACE;
use crate::model::{Moment, ProcessId};
use crate::sys::cgroup::Leaf;
use crate::sys::orphans::Orphan;
use crate::sys::process::{Child, Member, group_members, holds};

mod handover;

pub(super) use handover::{Written, leaf_again};

/// A process that leaves others behind in every life is its own fault; but their number has to end somewhere.
const MOST: usize = 64;

struct Rest {
    life: u64,
    child: Child,
    /// Where all of them are, whatever group they have gone to.
    leaf: Option<Rc<Leaf>>,
    /// At shutdown, and in a cgroup at any time: when it is killed, and after that, given up.
    deadline: Moment,
    killed: bool,
}

impl Rest {
    /// Whether anybody is there, be it a zombie.
    fn is_there(&self) -> bool {
        self.leaf.as_ref().is_some_and(|leaf| leaf.is_populated()) || self.child.group_is_there()
    }

    fn signal(&self, number: i32) {
        let _ = self.child.signal_group(number);
        match &self.leaf {
            Some(leaf) if number == libc::SIGKILL => leaf.kill(),
            Some(leaf) => leaf.signal(number, self.child.pid()),
            None => {}
        }
    }
}

/// The groups of a process that are not empty yet, oldest first.
pub(super) struct Remains {
    id: ProcessId,
    groups: Vec<Rest>,
    escaped: Vec<Escaped>,
}

/// One that has left its group.
struct Escaped {
    orphan: Orphan,
    /// When it is killed; `None` while its process is not stopped.
    deadline: Option<Moment>,
    /// Whether it was told of, or asked to go.
    told: bool,
}

impl Escaped {
    fn tell(&mut self, id: &ProcessId) {
        if !std::mem::replace(&mut self.told, true) && self.orphan.runs() {
            let (pid, name) = (self.orphan.pid, &self.orphan.name);
            tracing::warn!(process = %id, pid, "process:{id}: pid {pid} ({name}) has left its process group and still runs");
        }
    }

    fn ask(&mut self, number: i32, deadline: Moment) {
        self.orphan.signal(number);
        self.orphan.signal(libc::SIGCONT);
        self.deadline = Some(deadline);
    }
}

/// Empty at the end of an orderly shutdown. Otherwise nobody would be left who knows of them.
impl Drop for Remains {
    fn drop(&mut self) {
        self.signal(libc::SIGKILL);
    }
}

impl Remains {
    pub(super) fn new(id: ProcessId) -> Remains {
        Remains {
            id,
            groups: Vec::new(),
            escaped: Vec::new(),
        }
    }

    /// Takes a child that was reaped; at shutdown what is left of its group has until `deadline`.
    pub(super) fn add(&mut self, life: u64, child: Child, leaf: Option<Rc<Leaf>>, deadline: Moment) {
        self.escaped.iter_mut().for_each(|escaped| escaped.tell(&self.id));
        // Zombies may be among them; where it matters they are told from the living later, which costs more.
        self.groups.retain(Rest::is_there);
        let rest = Rest {
            life,
            child,
            leaf,
            deadline,
            killed: false,
        };
        if !rest.is_there() {
            return;
        }
        if self.groups.len() == MOST {
            let oldest = self.groups.remove(0);
            let pid = oldest.child.pid();
            tracing::warn!(process = %self.id, pid, "process:{}: {MOST} earlier lives have left processes behind: killing the oldest", self.id);
            oldest.signal(libc::SIGKILL);
        }
        self.groups.push(rest);
    }

    /// Takes one that has left the group of `leader`, or of an earlier life; with a deadline it is asked to go, and killed
    /// then. Whether it has: one that is still in a group is known by that.
    pub(super) fn escape(&mut self, orphan: Orphan, leader: Option<i32>, asked: Option<(i32, Moment)>) {
        let in_group = |group| leader == Some(group) || self.groups.iter().any(|rest| rest.child.pid() == group);
        // At the daemon's end the rest of too many is found again; after an upgrade everybody is.
        let is_known = |escaped: &Escaped| escaped.orphan.pid == orphan.pid && escaped.orphan.runs();
        let known = self.escaped.iter().any(is_known);
        if known || orphan.group().is_none_or(in_group) || self.escaped.len() >= MOST {
            return;
        }
        let mut escaped = Escaped {
            orphan,
            deadline: None,
            told: false,
        };
        if leader.is_none() {
            escaped.tell(&self.id);
        }
        if let Some((signal, deadline)) = asked {
            escaped.ask(signal, deadline);
        }
        self.escaped.push(escaped);
    }

    /// Forgets the groups in which nobody runs.
    pub(super) fn prune(&mut self) {
        self.escaped.retain(|escaped| escaped.orphan.runs());
        if let Some(members) = self.members() {
            let runs = |group| members.iter().any(|member| member.group == group);
            let in_leaf = |rest: &Rest| rest.leaf.as_ref().is_some_and(|leaf| leaf.is_populated());
            self.groups.retain(|rest| runs(rest.child.pid()) || in_leaf(rest));
        }
    }

    /// Who runs in the groups; `None` where that cannot be known.
    fn members(&mut self) -> Option<Vec<Member>> {
        self.groups.retain(Rest::is_there);
        let in_groups = self.groups.iter().filter(|rest| rest.child.group_is_there());
        let groups: Vec<i32> = in_groups.map(|rest| rest.child.pid()).collect();
        if groups.is_empty() {
            return Some(Vec::new());
        }
        group_members(&groups)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.groups.is_empty() && self.escaped.is_empty()
    }

    pub(super) fn signal(&self, number: i32) {
        for rest in &self.groups {
            rest.signal(number);
        }
        for escaped in &self.escaped {
            escaped.orphan.signal(number);
        }
    }

    /// At shutdown: what earlier lives have left is asked once, and has until `deadline`. One that has escaped from a life
    /// that runs is asked with that.
    pub(super) fn begin_shutdown(&mut self, number: i32, deadline: Moment, runs: bool) {
        for rest in &mut self.groups {
            rest.signal(number);
            rest.signal(libc::SIGCONT);
            rest.deadline = deadline;
        }
        for escaped in self.escaped.iter_mut().filter(|_| !runs) {
            escaped.ask(number, deadline);
        }
    }

    /// When the next cgroup of an ended life is looked at. Groups alone are not: whoever is left of one may have been
    /// left there on purpose.
    pub(super) fn deadline(&self) -> Option<Moment> {
        let in_leaves = self.groups.iter().filter(|rest| rest.leaf.is_some());
        let escaped = self.escaped.iter().filter_map(|escaped| escaped.deadline);
        in_leaves.map(|rest| rest.deadline).chain(escaped).min()
    }

    /// Kills who is still in the cgroup of a life that ended long enough ago.
    pub(super) fn expire(&mut self, now: Moment) {
        for escaped in &mut self.escaped {
            if escaped.deadline.is_some_and(|deadline| now >= deadline) {
                escaped.tell(&self.id);
                escaped.orphan.signal(libc::SIGKILL);
                escaped.deadline = Some(now + KILL_GRACE);
            }
        }
        for rest in &mut self.groups {
            let Some(leaf) = rest.leaf.as_ref().filter(|_| now >= rest.deadline) else {
                continue;
            };
            if !std::mem::replace(&mut rest.killed, true) {
                let (id, pid, left) = (&self.id, rest.child.pid(), leaf.members());
                tracing::info!(process = %id, pid, "process:{id}: killing what process {pid} has left behind: {left:?}");
            }
            rest.signal(libc::SIGKILL);
            rest.deadline = now + KILL_GRACE;
        }
    }

    pub(super) fn kill_life(&self, life: u64) {
        for rest in self.groups.iter().filter(|rest| rest.life == life) {
            rest.signal(libc::SIGKILL);
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
            let held_in = |leaf: &Rc<Leaf>| {
                leaf.members()
                    .into_iter()
                    .any(|pid| pipes.iter().any(|pipe| holds(pid, *pipe)))
            };
            if members.iter().any(|member| member.group == pid) || rest.leaf.as_ref().is_some_and(held_in) {
                tracing::warn!(
                    process = %self.id, pid,
                    "process:{}: somebody that its last life left behind still reads its input: killing that group", self.id
                );
                rest.signal(libc::SIGKILL);
            }
        }
    }

    /// At shutdown: nobody has longer than until `deadline`.
    pub(super) fn hurry(&mut self, deadline: Moment) {
        for rest in self.groups.iter_mut().filter(|rest| !rest.killed) {
            rest.deadline = rest.deadline.min(deadline);
        }
        for escaped in &mut self.escaped {
            escaped.deadline = Some(deadline);
        }
    }

    /// At shutdown: kills whose time is over, and gives up who cannot be killed.
    pub(super) fn sweep(&mut self, now: Moment, ask: (i32, Moment)) {
        self.prune();
        // Who is not killed by that is found again at the daemon's end.
        self.escaped.retain_mut(|escaped| match escaped.deadline {
            None => {
                escaped.ask(ask.0, ask.1);
                true
            }
            Some(deadline) if now >= deadline => {
                escaped.tell(&self.id);
                escaped.orphan.signal(libc::SIGKILL);
                false
            }
            Some(_) => true,
        });
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
            rest.signal(libc::SIGKILL);
            rest.killed = true;
            rest.deadline = now + KILL_GRACE;
            true
        });
    }
}
