//! Drives one child: spawns it, tells when it is ready, stops and reaps it, keeps its stdin over its lives, and brings
//! its unrouted output to the log. What to do is decided in `decide::process`; here it is done. Depends on `decide`,
//! `sys` and `model`.
//!
//! Everything runs on the control thread, as one task a process on a `tokio::task::LocalSet`, and nothing in it waits
//! for a child: the daemon sends [`Command`]s, and gets [`Notice`]s.

mod cgroups;
mod driver;
mod ear;
mod environment;
mod handover;
mod identity;
mod life;
mod lines;
mod log;
mod orphans;
mod pipes;
mod remains;
mod respec;
mod shown;
mod streams;
mod wake;

use std::cell::RefCell;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

pub use cgroups::Cgroups;
pub use handover::check_packed;
pub use orphans::Orphans;

use driver::Driver;

use crate::model::{Event, Moment, ProcessId, ProcessSnapshot, ProcessSpec, ProcessState, Stream};
use crate::store::{Deposit, Store};
use crate::sys::cgroup::{Leaf, Usage};
use crate::sys::orphans::Orphan;
use crate::sys::parcel::{Packed, Unpacked};

/// Which of a process's streams routes feed and take. The other outputs go where the spec says (log or /dev/null); a
/// stdin that no route feeds is /dev/null.
#[derive(Clone, Debug, Default)]
pub struct Wiring {
    /// Streams that the process reads.
    pub inputs: Vec<Stream>,
    /// Streams that the process writes.
    pub outputs: Vec<Stream>,
    /// With `autostart`: it waits for [`Command::Proceed`] before its first life.
    pub waits: bool,
}

/// What all processes have together.
#[derive(Clone, Debug)]
pub struct Means {
    /// What they tell.
    pub notices: mpsc::UnboundedSender<Notice>,
    /// Where there are some.
    pub cgroups: Option<Rc<Cgroups>>,
    /// What outlives the daemon.
    pub store: Store,
}

/// What a process is told. None of these waits for anything.
#[derive(Debug)]
pub enum Command {
    /// Those that it feeds are ready, or will not be: it waits no longer.
    Proceed,
    /// Start it, unless it runs. The answer, given when the command is accepted: whether that changed anything.
    Start {
        /// `changed`.
        reply: oneshot::Sender<bool>,
    },
    /// Stop it and leave it down; its kept stdin stays.
    Stop {
        /// `changed`.
        reply: oneshot::Sender<bool>,
    },
    /// Stop it if it runs, and start it.
    Restart {
        /// `changed`.
        reply: oneshot::Sender<bool>,
    },
    /// Send a signal to the process itself (not to its group).
    Signal {
        /// Its number on this machine.
        number: i32,
        /// Why it was not sent.
        reply: oneshot::Sender<Result<(), String>>,
    },
    /// The route has dropped its write end of this input for good.
    InputEnded {
        /// Which.
        stream: Stream,
        /// The life with which it was lent ([`Notice::Lend`]): word about an end of an earlier lending is ignored.
        life: u64,
    },
    /// Somebody of that life's group kept an output open past its deadline: SIGKILL to what is left of the group. Does
    /// nothing while that life's own process runs, or when its group has gone.
    KillGroup {
        /// Which life.
        life: u64,
    },
    /// An orphan of its that has come to the daemon.
    Orphaned(Orphan),
    /// What holds from now on: for a life that runs, as far as it can hold without a new one.
    Respec {
        /// Of the same name.
        spec: Arc<ProcessSpec>,
        /// Its streams.
        wiring: Wiring,
    },
    /// Restart it, if it is meant to run.
    Renew {
        /// When it is accepted: whether it is.
        reply: oneshot::Sender<bool>,
    },
    /// An output that a route has given back: it goes where the spec says.
    TakeOutput {
        /// Which.
        stream: Stream,
        /// Of which life.
        life: u64,
        /// Its read end.
        end: OwnedFd,
    },
    /// Comes to rest, with every reader of its output: nothing is read, signalled, reaped or forked until `thaw` resolves,
    /// one way or the other. Messages stay in their sockets, and commands in the inbox: over an execve(2) those are lost,
    /// and have to be sent again after [`restore`].
    Freeze {
        /// When it is at rest: what [`restore`] needs, or why that cannot be had. Sent after every [`Notice`] that it has
        /// sent, its readers included: who takes what is in their channel once all have answered has heard everything.
        /// Dropped where the process has ended for good ([`Handle::stopped`]).
        reply: oneshot::Sender<io::Result<Packed>>,
        /// Then it goes on, and nothing has changed: after a value, and as well when the sender is dropped.
        thaw: oneshot::Receiver<()>,
    },
    /// From now on no life begins. A process that is down ends at once ([`Notice::Ended`]).
    BeginShutdown,
    /// Stop it for good: stop-signal, stop-timeout, SIGKILL; or SIGKILL at once.
    Shutdown {
        /// At once.
        kill: bool,
    },
}

/// What a process tells the daemon.
#[derive(Debug)]
pub enum Notice {
    /// For Monitor and the log.
    Event(Event),
    /// An end of a pipe for the route: close-on-exec and non-blocking. Sent before the child can run. A kept input is
    /// lent once and stays good over lives; everything else is lent anew for each life.
    Lend {
        /// Whose.
        process: ProcessId,
        /// Which.
        stream: Stream,
        /// Of which life.
        life: u64,
        /// The write end of an input, the read end of an output.
        end: OwnedFd,
        /// Of an output: it outlives the daemon by this.
        deposit: Option<Deposit>,
    },
    /// A life is over and reaped (also one that could not be executed).
    Exited {
        /// Whose.
        process: ProcessId,
        /// Which life.
        life: u64,
        /// Its process id.
        pid: i32,
        /// Its output pipes must be at EOF by then; else [`Command::KillGroup`].
        output_deadline: Moment,
    },
    /// There will be no more lives, unless an operator starts it. At shutdown every process says so, also one that had
    /// failed before.
    Ended {
        /// Whose.
        process: ProcessId,
        /// By policy, or at shutdown: its kept input pipes are closed now. False: it failed, and they are kept.
        finished: bool,
        /// Bytes that stand unread in its kept input pipes.
        unread: Vec<(Stream, u64)>,
    },
    /// After [`Notice::Ended`]: an operator starts it, and what it is lent with comes next.
    Revived(ProcessId),
    /// The snapshot has changed.
    Changed(ProcessId),
    /// Of the daemon itself: answered when all that was told before it has been heard.
    Marker(oneshot::Sender<()>),
}

/// The daemon's hold on one supervised process. When it is dropped, the process is stopped as at shutdown.
#[derive(Debug)]
pub struct Handle {
    id: ProcessId,
    commands: mpsc::UnboundedSender<Command>,
    snapshot: Rc<RefCell<ProcessSnapshot>>,
    leaf: Rc<RefCell<Weak<Leaf>>>,
    running: watch::Receiver<()>,
}

impl Handle {
    /// Which process.
    #[must_use]
    pub fn id(&self) -> &ProcessId {
        &self.id
    }

    /// How it is now.
    #[must_use]
    pub fn snapshot(&self) -> ProcessSnapshot {
        self.snapshot.borrow().clone()
    }

    /// The same, without a copy of it.
    pub fn look<T>(&self, at: impl FnOnce(&ProcessSnapshot) -> T) -> T {
        at(&self.snapshot.borrow())
    }

    /// In which state it is now.
    #[must_use]
    pub fn state(&self) -> ProcessState {
        self.snapshot.borrow().state
    }

    /// What its present life uses, by its cgroup; nothing where it has none.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let leaf = self.leaf.borrow().upgrade();
        leaf.map(|leaf| leaf.usage()).unwrap_or_default()
    }

    /// Tells it something. Never waits; after [`Handle::stopped`] it does nothing, and a reply channel is dropped.
    pub fn send(&self, command: Command) {
        let _ = self.commands.send(command);
    }

    /// Resolves when, after a shutdown, nothing of the process is left: no child, no zombie, no reader of its output.
    pub async fn stopped(&self) {
        let mut running = self.running.clone();
        while running.changed().await.is_ok() {}
    }
}

/// Supervises a process from now on, in a task of its own; with `autostart` it is `waiting`, and starts as soon as that
/// task runs or as it is told to. Must be called within a `LocalSet`.
pub fn start(spec: Arc<ProcessSpec>, id: ProcessId, wiring: Wiring, means: &Means) -> Handle {
    let mut driver = Driver::new(spec, id, wiring, means);
    driver.begin();
    drive(driver, None)
}

/// Goes on in the daemon's next life, after an execve(2), with a process that was frozen in the last one
/// ([`Command::Freeze`]). Where it is [`start`]'s counterpart it takes the same: the spec that holds (of the last reload)
/// and its wiring, but `waits`, which was packed. Nothing is told or lent again, and what was on its way to it when it was
/// frozen has to be sent again. Must be called within a `LocalSet`, and for every process before orphans are looked at
/// ([`Orphans::next`]), which would take what is not supervised yet for one.
///
/// # Errors
///
/// What was packed is not whole, or cannot be had for want of descriptors. What of it was there is dropped: its child is
/// killed, and can be started anew.
pub fn restore(
    spec: Arc<ProcessSpec>,
    id: ProcessId,
    wiring: Wiring,
    means: &Means,
    packed: Unpacked,
) -> io::Result<Handle> {
    let mut driver = Driver::new(spec, id, wiring.clone(), means);
    let lookup = driver.again(wiring, packed)?;
    Ok(drive(driver, lookup))
}

fn drive(mut driver: Driver, lookup: Option<u64>) -> Handle {
    let (commands, inbox) = mpsc::unbounded_channel();
    let (alive, running) = watch::channel(());
    let handle = Handle {
        id: driver.id.clone(),
        commands,
        snapshot: Rc::clone(&driver.snapshot),
        leaf: Rc::clone(&driver.leaf),
        running,
    };
    tokio::task::spawn_local(async move {
        driver.go_on(lookup);
        driver.run(inbox).await;
        drop(alive);
    });
    handle
}
