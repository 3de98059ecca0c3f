//! The task of one process: waits for whatever comes next, hands it to the state machine, carries the actions out.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::os::fd::AsFd;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use nix::libc;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use super::cgroups::Cgroups;
use super::identity::Lookup;
use super::life::{Life, Refusal};
use super::log::Packing;
use super::pipes::Pipes;
use super::remains::Remains;
use super::shown::snapshot_of;
use super::streams::Streams;
use super::wake::Wake;
use super::{Command, Means, Notice, Wiring};
use crate::decide::process::{Action, Event, Facts, Process, State};
use crate::decide::restart::Jitter;
use crate::model::{self, EventDetail, Exit, Moment, ProcessId, ProcessSnapshot, ProcessSpec, Stream, Subject};
use crate::sys::cgroup::Leaf;
use crate::sys::clock;
use crate::sys::orphans::Orphan;
use crate::sys::process::{Status, read_status};

/// The first and the longest time between two looks at what is left of a group.
const FIRST_LOOK: Duration = Duration::from_millis(10);
const LONGEST_LOOK: Duration = Duration::from_millis(500);
/// At a hurried shutdown: for output that is already in its pipe.
const HURRIED_OUTPUT: Duration = Duration::from_millis(100);

/// Everything of one process.
pub(super) struct Driver {
    pub(super) spec: Arc<ProcessSpec>,
    /// For the next life, where something of it cannot hold for the one that runs.
    pub(super) next_spec: Option<Arc<ProcessSpec>>,
    /// The outputs that routes have: whoever reads one of them for the log gives it up.
    pub(super) routed: watch::Sender<Vec<Stream>>,
    pub(super) id: ProcessId,
    pub(super) notices: mpsc::UnboundedSender<Notice>,
    pub(super) snapshot: Rc<RefCell<ProcessSnapshot>>,
    pub(super) waits: bool,
    pub(super) machine: Process,
    pub(super) streams: Streams,
    /// For a life that has not begun yet: as whom.
    pub(super) lookup: Option<Lookup>,
    /// The same: those that are on their way into the store.
    pub(super) pipes: Option<Pipes>,
    /// The life that is not reaped.
    pub(super) life: Option<Life>,
    pub(super) remains: Remains,
    /// Of unrouted outputs, those of dead lives too.
    pub(super) readers: JoinSet<()>,
    /// At a freeze: what those readers put what they hold into.
    pub(super) packing: watch::Sender<Option<Packing>>,
    pub(super) overdue: (mpsc::UnboundedSender<u64>, mpsc::UnboundedReceiver<u64>),
    /// When to look at the remains again, where somebody waits for them, and the time to the look after that.
    pub(super) look: (Moment, Duration),
    /// At a hurried shutdown: when every reader of output gives up.
    pub(super) hurry: watch::Sender<Option<Moment>>,
    pub(super) cgroups: Option<Rc<Cgroups>>,
    /// The life's cgroup, for whoever asks what it uses.
    pub(super) leaf: Rc<RefCell<Weak<Leaf>>>,
}

/// Whoever asked may have gone.
pub(super) fn answer<T>(reply: oneshot::Sender<T>, value: T) {
    let _ = reply.send(value);
}

impl Driver {
    pub(super) fn new(spec: Arc<ProcessSpec>, id: ProcessId, wiring: Wiring, means: &Means) -> Driver {
        let machine = Process::default();
        let snapshot = Rc::new(RefCell::new(snapshot_of(&machine, &id, None)));
        Driver {
            waits: wiring.waits,
            streams: Streams::new(&spec, wiring, (means.store.clone(), id.clone())),
            remains: Remains::new(id.clone()),
            spec,
            next_spec: None,
            routed: watch::Sender::new(Vec::new()),
            id,
            notices: means.notices.clone(),
            snapshot,
            machine,
            lookup: None,
            pipes: None,
            life: None,
            readers: JoinSet::new(),
            packing: watch::Sender::new(None),
            overdue: mpsc::unbounded_channel(),
            look: (Moment(0), FIRST_LOOK),
            hurry: watch::Sender::new(None),
            cgroups: means.cgroups.clone(),
            leaf: Rc::default(),
        }
    }

    /// Before its task runs, so that nobody takes it for stopped.
    pub(super) fn begin(&mut self) {
        if self.spec.autostart {
            self.take(Event::Await);
        }
    }

    pub(super) async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<Command>) {
        if !self.waits {
            self.take(Event::Proceed);
        }
        let mut inbox_open = true;
        while !self.is_done() {
            match self.next(inbox_open.then_some(&mut inbox)).await {
                Wake::Command(Some(command)) => self.command(command).await,
                Wake::Command(None) => {
                    inbox_open = false;
                    self.command(Command::Shutdown { kill: false }).await;
                }
                Wake::Identified(life, found) => {
                    let event = self.identified(life, found);
                    event.map(|event| self.take(event));
                }
                Wake::Stored => {
                    let event = self.stored();
                    event.map(|event| self.take(event));
                }
                Wake::Said(status) => self.said(status),
                Wake::Heard(heard) => {
                    self.heard(heard);
                    // Whoever talks without end holds nobody else up.
                    tokio::task::yield_now().await;
                }
                Wake::Exited(exit) => self.exited(exit),
                Wake::Due => {
                    self.hear_rest();
                    self.take(Event::Due);
                }
                Wake::Look => self.look(),
                Wake::Overdue(life) => self.remains.kill_life(life),
                Wake::ReaderDone => {}
            }
        }
    }

    fn is_done(&self) -> bool {
        self.machine.shutting_down
            && self.machine.at_rest()
            && self.life.is_none()
            && self.remains.is_empty()
            && self.readers.is_empty()
    }

    async fn command(&mut self, command: Command) {
        match command {
            Command::Proceed => drop(self.take(Event::Proceed)),
            Command::Start { reply } => answer(reply, self.take(Event::Start)),
            Command::Stop { reply } => answer(reply, self.take(Event::Stop)),
            Command::Restart { reply } => answer(reply, self.take(Event::Restart)),
            Command::Signal { number, reply } => answer(reply, self.signal(number)),
            Command::InputEnded { stream, life } => {
                self.streams.ended(stream, life);
                self.take(Event::InputEnded);
            }
            Command::KillGroup { life } => self.remains.kill_life(life),
            Command::Orphaned(orphan) => self.orphaned(orphan),
            Command::Respec { spec, wiring } => self.respec(spec, wiring),
            Command::Renew { reply } => {
                let renews = self.machine.wanted_up() && self.take(Event::Restart);
                answer(reply, renews);
            }
            Command::TakeOutput { stream, life, end } => self.take_output(stream, life, end),
            Command::Freeze { reply, thaw } => self.freeze(reply, thaw).await,
            Command::BeginShutdown => {
                self.begin_shutdown();
                self.take(Event::BeginShutdown);
                if let Some(event) = self.give_up_unborn() {
                    self.take(event);
                }
            }
            Command::Shutdown { kill } => {
                self.begin_shutdown();
                if kill {
                    self.hurry();
                }
                self.take(Event::Shutdown { kill });
            }
        }
    }

    /// What earlier lives have left behind is asked once, and has stop-timeout from now on.
    fn begin_shutdown(&mut self) {
        if !self.machine.shutting_down && !self.remains.is_empty() {
            let (number, runs) = (self.spec.stop_signal.number, self.life.is_some());
            self.remains
                .begin_shutdown(number, clock::now() + self.spec.stop_timeout, runs);
        }
    }

    /// One of a process that is to be down goes, too; one of a process that runs, or may run again, stays until that is
    /// stopped.
    fn orphaned(&mut self, orphan: Orphan) {
        let leader = self.life.as_ref().map(|life| life.child.get_ref().pid());
        let down = matches!(self.machine.state, State::Stopped) || self.machine.shutting_down;
        let asked =
            (down && leader.is_none()).then(|| (self.spec.stop_signal.number, clock::now() + self.spec.stop_timeout));
        self.remains.escape(orphan, leader, asked);
        self.look = (clock::now() + FIRST_LOOK, FIRST_LOOK);
    }

    fn hurry(&mut self) {
        let now = clock::now();
        self.remains.signal(libc::SIGKILL);
        self.remains.hurry(now);
        self.hurry.send_replace(Some(now + HURRIED_OUTPUT));
    }

    /// Feeds an event, and those that its actions lead to. Returns whether the first changed anything.
    pub(super) fn take(&mut self, event: Event) -> bool {
        let mut changed = None;
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            let facts = self.facts(&event);
            let step = self.machine.on(&self.spec, event, facts);
            changed = changed.or(Some(step.changed));
            for action in step.actions {
                events.extend(self.act(action));
            }
        }
        self.publish();
        changed.unwrap_or(false)
    }

    fn facts(&mut self, event: &Event) -> Facts {
        // An exit has looked at them already, and when somebody waits for them they are looked at again.
        if matches!(event, Event::Stop) {
            self.remains.prune();
        }
        // RandomState is seeded from the kernel's random numbers once, and differs each time.
        let random =
            RandomState::new().hash_one(self.machine.lives) % (2 * u64::from(Jitter::WIDEST.unsigned_abs()) + 1);
        Facts {
            now: clock::now(),
            jitter: Jitter::new(i16::try_from(random).unwrap_or(0) - Jitter::WIDEST),
            input_spent: self.streams.spent(),
            group_lives: !self.remains.is_empty(),
        }
    }

    fn act(&mut self, action: Action) -> Option<Event> {
        match action {
            Action::Spawn { life } => return self.spawn(life),
            Action::Ask => {
                self.signal_groups(self.spec.stop_signal.number);
                // A stopped process would not see the signal before it is continued.
                self.signal_groups(libc::SIGCONT);
                return self.give_up_unborn();
            }
            Action::Kill => {
                self.signal_groups(libc::SIGKILL);
                return self.give_up_unborn();
            }
            Action::Abort => {
                if let Some(life) = &self.life {
                    life.abort();
                }
            }
            Action::Tell(detail) => self.tell(detail),
            Action::Revive => self.notify(Notice::Revived(self.id.clone())),
            Action::End { close } => self.end(close),
        }
        None
    }

    pub(super) fn notify(&self, notice: Notice) {
        // Nobody listens any more when the daemon is on its way out.
        let _ = self.notices.send(notice);
    }

    fn tell(&self, detail: EventDetail) {
        self.notify(Notice::Event(model::Event {
            at: clock::now(),
            subject: Subject::Process(self.id.clone()),
            detail,
        }));
    }

    fn end(&mut self, close: bool) {
        let unread = self.streams.unread();
        if close {
            self.streams.close();
        }
        self.notify(Notice::Ended {
            process: self.id.clone(),
            finished: close,
            unread,
        });
    }

    fn signal_groups(&self, number: i32) {
        if let Some(life) = &self.life {
            life.signal_group(&self.id, number);
        }
        self.remains.signal(number);
    }

    fn signal(&self, number: i32) -> Result<(), String> {
        if !(1..=libc::SIGRTMAX()).contains(&number) {
            return Err(format!("{number} is not a signal"));
        }
        match &self.life {
            Some(life) => life.signal(&self.id, number),
            None => Err(format!(
                "process {} does not run: it is {}",
                self.id,
                self.machine.shown().as_str().replace('_', " ")
            )),
        }
    }

    fn said(&mut self, status: Status) {
        let Some(life) = &mut self.life else { return };
        life.status = None;
        match status {
            Status::Executed => {
                let life = life.number;
                self.take(Event::Executed { life });
            }
            // Its exit follows, and only then is it over.
            Status::Failed(error) => {
                let (text, transient) = (error.to_string(), error.is_transient());
                life.refusal = Some(Refusal { text, transient });
            }
        }
    }

    /// The child is reaped. What it said last is read first, so that no execution is missed and no failure taken for an
    /// exit.
    fn exited(&mut self, exit: std::io::Result<Exit>) {
        if let Some(status) = self.life.as_ref().and_then(|life| {
            let (socket, attempt) = life.status.as_ref()?;
            read_status(socket.get_ref().as_fd(), attempt).ok().flatten()
        }) {
            self.said(status);
        }
        self.hear_rest();
        let Some(life) = self.life.take() else { return };
        let (exit, transient) = match (life.refusal, exit) {
            (Some(Refusal { text, transient }), _) => (Exit::NotExecuted(text), transient),
            (None, Ok(exit)) => (exit, false),
            (None, Err(error)) => (Exit::NotExecuted(format!("its exit status was lost: {error}")), true),
        };
        let now = clock::now();
        let hurried = self.hurry.borrow().is_some();
        let granted = if hurried {
            HURRIED_OUTPUT
        } else {
            self.spec.stop_timeout
        };
        let output_deadline = now + granted;
        let child = life.child.into_inner();
        let pid = child.pid();
        // Readers of this life's output learn it; there may be none.
        life.deadline.send_replace(Some(output_deadline));
        self.remains.add(life.number, child, life.leaf, output_deadline);
        self.look = (now + FIRST_LOOK, FIRST_LOOK);
        self.notify(Notice::Exited {
            process: self.id.clone(),
            life: life.number,
            pid,
            output_deadline,
        });
        self.take(Event::Exited {
            life: life.number,
            exit,
            transient,
        });
    }

    /// Whether somebody waits for the remains to go.
    pub(super) fn looks(&self) -> bool {
        let waits = self.machine.awaits_group() || (self.machine.shutting_down && self.machine.at_rest());
        (waits && (self.machine.awaits_group() || !self.remains.is_empty())) || self.remains.deadline().is_some()
    }

    fn look(&mut self) {
        let now = clock::now();
        if self.machine.at_rest() && self.machine.shutting_down {
            let ask = (self.spec.stop_signal.number, now + self.spec.stop_timeout);
            self.remains.sweep(now, ask);
        } else {
            self.remains.prune();
            self.remains.expire(now);
        }
        let waits = self.machine.awaits_group() || self.machine.shutting_down;
        let step = self.look.1 * 2;
        let step = if waits { step.min(LONGEST_LOOK) } else { step };
        self.look = (
            self.remains
                .deadline()
                .map_or(now + step, |at| at.max(now).min(now + step)),
            step,
        );
        if self.remains.is_empty() && self.machine.awaits_group() {
            self.take(Event::GroupGone);
        }
    }
}
