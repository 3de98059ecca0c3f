//! One life of a process, from the fork to the reap: how it begins, and how signals reach it.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::{Rc, Weak};

use nix::errno::Errno;
use nix::libc;
use serde::{Deserialize, Serialize};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;

use super::Notice;
use super::driver::Driver;
use super::ear::Ear;
use super::environment::environment;
use super::identity::{Found, Lookup};
use super::pipes::Pipes;
use super::streams::{Ends, Lending};
use crate::decide::process::Event;
use crate::model::{Moment, ProcessId};
use crate::sys::cgroup::Leaf;
use crate::sys::process::{self, Attempt, Child, Held, Identity, Plan, Standing, signal_name};
use crate::sys::reactor;

mod handover;

pub(super) use handover::Written as WrittenLife;

/// A child that is not reaped.
pub(super) struct Life {
    pub(super) number: u64,
    pub(super) child: AsyncFd<Child>,
    /// Until it has become its program: where it says so, and what it tries.
    pub(super) status: Option<(AsyncFd<OwnedFd>, Attempt)>,
    /// Its cgroup.
    pub(super) leaf: Option<Rc<Leaf>>,
    /// Why it did not become its program.
    pub(super) refusal: Option<Refusal>,
    /// By which it tells that it is ready, and more.
    pub(super) ear: Ear,
    /// What it says of itself.
    pub(super) status_text: Option<String>,
    /// For the readers of its output.
    pub(super) deadline: watch::Sender<Option<Moment>>,
}

/// Why a child did not become its program.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Refusal {
    pub(super) text: String,
    pub(super) transient: bool,
}

/// Why there is no child.
pub(super) struct Trouble {
    text: String,
    transient: bool,
}

impl Trouble {
    fn passing(what: &str, error: &io::Error) -> Trouble {
        let hint = match error.raw_os_error() {
            Some(libc::EMFILE) => "; the daemon has no descriptors left: raise its LimitNOFILE",
            Some(libc::ENFILE) => "; the system has no descriptors left: raise fs.file-max",
            _ => "",
        };
        Trouble {
            text: format!("cannot {what}: {error}{hint}"),
            transient: true,
        }
    }
}

impl Life {
    /// Sends a signal to its group, and to itself where it has left the group.
    pub(super) fn signal_group(&self, id: &ProcessId, number: i32) {
        let child = self.child.get_ref();
        let sent = match child.signal_group(number) {
            // SIGKILL must reach it wherever it is.
            Ok(()) if number != libc::SIGKILL => Ok(()),
            Ok(()) | Err(Errno::ESRCH) => child.signal(number),
            Err(errno) => child.signal(number).map_err(|_| errno),
        };
        match &self.leaf {
            Some(leaf) if number == libc::SIGKILL => leaf.kill(),
            // Those who have left its group.
            Some(leaf) => leaf.signal(number, child.pid()),
            None => {}
        }
        match sent {
            // It has exited and is about to be reaped.
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(errno) => {
                let (pid, signal) = (child.pid(), signal_name(number));
                tracing::warn!(process = %id, pid, "process:{id}: cannot send it {signal}: {}", errno.desc());
            }
        }
    }

    /// SIGABRT, which a stopped process would not see before it is continued.
    pub(super) fn abort(&self) {
        for number in [libc::SIGABRT, libc::SIGCONT] {
            // ESRCH: it has exited and is about to be reaped.
            let _ = self.child.get_ref().signal(number);
        }
    }

    pub(super) fn signal(&self, id: &ProcessId, number: i32) -> Result<(), String> {
        let child = self.child.get_ref();
        child.signal(number).map_err(|errno| {
            let (pid, signal) = (child.pid(), signal_name(number));
            format!("cannot send {signal} to process {id} (pid {pid}): {}", errno.desc())
        })
    }
}

impl Driver {
    /// Begins a life; all or nothing. `None`: its user is looked up first, and [`Driver::identified`] goes on.
    pub(super) fn spawn(&mut self, number: u64) -> Option<Event> {
        if let Some(spec) = self.next_spec.take() {
            self.spec = spec;
        }
        match Lookup::begin(number, &self.spec) {
            Ok(None) => self.spawned(number, |driver| driver.prepare(number, Identity::default())),
            Ok(lookup) => {
                self.lookup = lookup;
                None
            }
            Err(error) => self.not_looked_up(number, &error),
        }
    }

    pub(super) fn not_looked_up(&mut self, number: u64, error: &io::Error) -> Option<Event> {
        self.spawned(number, |_| {
            Err(Trouble::passing("start a thread that looks up its user", error))
        })
    }

    /// The look-up for a life is over.
    pub(super) fn identified(&mut self, number: u64, found: Found) -> Option<Event> {
        self.lookup = None;
        self.spawned(number, |driver| {
            let identity = found.map_err(|error| Trouble {
                text: error.to_string(),
                transient: error.is_transient(),
            })?;
            driver.prepare(number, identity)
        })
    }

    /// A life that waits before its fork is told to stop: it does not begin.
    pub(super) fn give_up_unborn(&mut self) -> Option<Event> {
        let (looked_up, made) = (self.lookup.take(), self.pipes.take());
        let (life, what) = match (looked_up, made) {
            (Some(lookup), _) => (lookup.life, "its user or group was still being looked up"),
            (None, Some(pipes)) => (pipes.life, "the service manager did not keep its pipes yet"),
            (None, None) => return None,
        };
        Some(Event::NotSpawned {
            life,
            text: format!("it was stopped before it began: {what}"),
            transient: true,
        })
    }

    /// `None`: it goes on later.
    pub(super) fn spawned(
        &mut self,
        life: u64,
        spawn: impl FnOnce(&mut Driver) -> Result<Option<i32>, Trouble>,
    ) -> Option<Event> {
        match spawn(self) {
            Ok(pid) => pid.map(|pid| Event::Spawned { life, pid }),
            Err(Trouble { text, transient }) => {
                tracing::warn!(process = %self.id, "process:{}: {text}", self.id);
                Some(Event::NotSpawned { life, text, transient })
            }
        }
    }

    /// Makes the pipes. `None`: they are on their way into the store, and [`Driver::stored`] goes on.
    fn prepare(&mut self, number: u64, identity: Identity) -> Result<Option<i32>, Trouble> {
        self.streams.renew_spent();
        if !self.remains.is_empty() {
            self.remains.kill_holders(&self.streams.kept_pipes());
        }
        let ends = self
            .streams
            .open(identity.uid())
            .map_err(|error| Trouble::passing("make its pipes", &error))?;
        if self.streams.are_kept() {
            self.pipes = Some(Pipes::new(number, identity, ends));
            return Ok(None);
        }
        self.fork(number, identity, ends).map(Some)
    }

    pub(super) fn fork(&mut self, number: u64, identity: Identity, ends: Ends) -> Result<i32, Trouble> {
        let owner = identity.uid();
        let (mut ear, telling) =
            Ear::open(&self.spec, owner).map_err(|error| Trouble::passing("make what it notifies by", &error))?;
        let plan = self.plan(identity, telling.address.as_deref())?;
        let Ends { mut child, lend, log } = ends;
        child.extend(telling.end);
        let given: Vec<_> = child.iter().map(|(number, end)| (*number, end.as_fd())).collect();
        let leaf = self.cgroups.as_ref().and_then(|cgroups| cgroups.leaf(&self.id, number));
        self.leaf.replace(leaf.as_ref().map_or_else(Weak::new, Rc::downgrade));
        let plan = plan.born_in(leaf.clone());
        let held = process::spawn(&plan, &given).map_err(|error| Trouble {
            text: error.to_string(),
            transient: true,
        })?;
        let pid = held.pid();
        ear.heed(pid);
        let (held_child, status) = held.into_parts();
        let watch_error = |error| Trouble::passing("watch a new child", &error);
        let life_child = process::watch_child(held_child).map_err(watch_error)?;
        let status = reactor::register_own(status, Interest::READABLE).map_err(watch_error)?;
        // Nothing can fail from here on.
        drop(child);
        let (deadline, watched) = watch::channel(None);
        for Lending { stream, end, kept } in self.streams.lend(number).into_iter().chain(lend) {
            self.notify(Notice::Lend {
                process: self.id.clone(),
                stream,
                life: number,
                end,
                deposit: kept.into_deposit(),
            });
        }
        for (stream, end) in log {
            self.read_output(number, pid, stream, end, watched.clone());
        }
        Held::release(status.get_ref().as_fd());
        self.life = Some(Life {
            number,
            child: life_child,
            status: Some((status, plan.into_attempt())),
            leaf,
            refusal: None,
            ear,
            status_text: None,
            deadline,
        });
        Ok(pid)
    }

    fn plan(&self, identity: Identity, notify: Option<&str>) -> Result<Plan, Trouble> {
        let daemon_path = std::env::var_os("PATH");
        let variables = environment(&self.spec, &self.id, identity.variables(), std::env::vars_os(), notify);
        let directory = self.spec.working_directory.as_deref();
        let plan = Plan::new(&self.spec.command, &variables, daemon_path.as_deref(), directory);
        let plan = plan.map_err(|error| Trouble {
            text: error.to_string(),
            transient: false,
        })?;
        let plan = plan.with(Standing {
            identity,
            limits: self.spec.limits.clone(),
            nice: self.spec.nice,
            umask: self.spec.umask,
            no_new_privileges: self.spec.no_new_privileges,
        });
        Ok(match self.spec.watchdog {
            Some(_) => plan.telling_own_pid("WATCHDOG_PID"),
            None => plan,
        })
    }
}
