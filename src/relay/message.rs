//! What the control plane tells a route, and what a route tells the control plane.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{mpsc, oneshot};

use super::backlog::Owed;
use crate::endpoint::ends::{GivenBack, Lent, Reopened};
use crate::model::{CloseCause, Event, Framing, Moment, Name, ProcessId, RouteSpec, Stream};
use crate::sys::parcel::Packed;

/// Events that a relay thread may be ahead of the control plane.
const RING: usize = 1024;

/// Boxed, since a queue of them keeps a block of places for as long as it is: for each route, however idle.
pub(super) type Commands = mpsc::UnboundedReceiver<Box<Command>>;

/// What a route is told.
#[derive(Debug)]
pub enum Command {
    /// The operator pauses; whether that changed anything.
    Pause(oneshot::Sender<bool>),
    /// The operator resumes, or reopens a drained route.
    Resume(oneshot::Sender<bool>),
    /// Read what stands in the sources, write it out, close; what is left at the deadline is dropped and counted.
    Drain(Moment, oneshot::Sender<bool>),
    /// Drop everything now.
    Abort(CloseCause, oneshot::Sender<bool>),
    /// Open the files anew; answered at once with those that are being opened.
    Reopen(oneshot::Sender<Vec<Reopening>>),
    /// Of one of its sources, named as it is shown. Said of one that is not in the route (any more) it means nothing.
    Source(Arc<str>, SourceCommand),
    /// The same of a destination.
    Destination(Arc<str>, DestinationCommand),
    /// Other settings of the same endpoints.
    Retune(Arc<RouteSpec>),
    /// Endpoints that are new in it join now, with what they bring, and those that are missing in it are drained and leave.
    Rewire(Arc<RouteSpec>, Leave, Brought),
    /// A reload is about to rewire or close it, or (false) is over: what would be its end is none.
    Changing(bool),
    /// It is drained, and then it ends.
    Close(Leave),
    /// It comes to rest, and is answered with what the next life needs to go on with it (`RelayThread::restore`). What was
    /// commanded before is in that. It goes on when `thaw` resolves, one way or the other, as if nothing had happened.
    Freeze {
        /// When it is at rest.
        reply: oneshot::Sender<io::Result<Packed>>,
        /// To go on.
        thaw: oneshot::Receiver<()>,
    },
    /// The daemon ends.
    Stop,
}

/// What endpoints, as they are shown, bring along from the routes where they were until now.
#[derive(Debug, Default)]
pub struct Brought {
    /// What was read of a record that a source is in the middle of.
    pub begun: HashMap<Arc<str>, Vec<u8>>,
    /// What a destination has still to get.
    pub queued: HashMap<Arc<str>, Queued>,
}

/// What was accepted for a destination and is not written yet.
#[derive(Debug)]
pub struct Queued {
    pub(super) owed: Owed,
    pub(super) framing: Framing,
}

/// How endpoints leave a route.
#[derive(Debug)]
pub struct Leave {
    /// What is not delivered by then is dropped and counted.
    pub deadline: Moment,
    /// The endpoints, as they are shown, that another route has next: their ends go on, and what was begun of a record, or is
    /// queued, with them. Of such a source no more is read but the rest of a record that has been handed on in parts; of the
    /// others, what stands in them.
    pub go_on: HashSet<Arc<str>>,
    /// Other destinations come with another command, when their routes have given them up: so that they begin where these
    /// end, nothing is read until then.
    pub others_come: bool,
    /// Told when they have left, with what is given back.
    pub reply: oneshot::Sender<Vec<Left>>,
}

/// What has left a route with an endpoint. The end of a FIFO is put by, for whoever opens that next.
#[derive(Debug)]
pub enum Left {
    /// A pipe that was lent to it; of a source there may be several, oldest first.
    Pipe {
        /// Of which process.
        process: ProcessId,
        /// Which stream of it.
        stream: Stream,
        /// The end.
        given_back: GivenBack,
    },
    /// Of a source: what was read of a record that is not at its end yet.
    Begun(Arc<str>, Vec<u8>),
    /// Of a destination: what is not written yet.
    Queued(Arc<str>, Queued),
}

/// What a route is told of a process's output.
#[derive(Debug)]
pub enum SourceCommand {
    /// The process lends the output of its next life.
    Lend(Lent),
    /// The process of that life has exited; its output is to be at its end by the deadline.
    Exited {
        /// Which life.
        life: u64,
        /// Its process id.
        pid: i32,
        /// When its group is killed, if it is not.
        deadline: Moment,
    },
    /// The process does not run, and no start is due; or (true) never will again.
    Down(bool),
    /// The process was started again after it had finished.
    Revive,
}

/// What a route is told of a process's input.
#[derive(Debug)]
pub enum DestinationCommand {
    /// The process lends its input.
    Lend(Lent),
    /// The process does not run, and no start is due; or (true) never will again, with the bytes left unread in the pipe
    /// that was kept for it.
    Down(bool, u64),
    /// The process was started again after it had finished.
    Revive,
}

/// A destination that is being opened anew.
#[derive(Debug)]
pub struct Reopening {
    /// Which one, as shown.
    pub destination: Arc<str>,
    /// How it went.
    pub reopened: Reopened,
}

/// What must not be lost on the way to the control plane. Their number is bounded by the lives of processes and routes.
#[derive(Debug)]
pub enum Report {
    /// A destination has ended: its process's input is closed for good.
    InputEnded {
        /// Whose.
        process: ProcessId,
        /// Which.
        stream: Stream,
        /// With which life of the process its end was lent.
        life: u64,
    },
    /// A pipe is still open past its deadline: kill what is left of the group.
    KillGroup {
        /// Whose.
        process: ProcessId,
        /// Which life's.
        life: u64,
    },
    /// Something that a command waits for may have happened.
    Changed(Name),
    /// Of the control plane itself: answered when all that was told before it has been heard.
    Marker(oneshot::Sender<()>),
}

/// The relays' side.
#[derive(Clone, Debug)]
pub struct Reports {
    events: mpsc::Sender<Event>,
    lost: Arc<AtomicU64>,
    reports: mpsc::UnboundedSender<Report>,
}

/// The control plane's side.
#[derive(Debug)]
pub struct Notices {
    /// Told once, in order.
    pub events: mpsc::Receiver<Event>,
    /// Told once, in order.
    pub reports: mpsc::UnboundedReceiver<Report>,
    lost: Arc<AtomicU64>,
}

/// A way from relay threads to the control plane.
#[must_use]
pub fn reports() -> (Reports, Notices) {
    let (events, events_out) = mpsc::channel(RING);
    let (reports, reports_out) = mpsc::unbounded_channel();
    let lost = Arc::new(AtomicU64::new(0));
    let notices = Notices {
        events: events_out,
        reports: reports_out,
        lost: Arc::clone(&lost),
    };
    (Reports { events, lost, reports }, notices)
}

impl Reports {
    /// Tells an event, or counts it as lost where the control plane is too far behind: a relay never waits for it.
    pub fn event(&self, event: Event) {
        if self.events.try_send(event).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Tells what must not be lost.
    pub fn report(&self, report: Report) {
        // The receiver is gone only when the daemon ends.
        let _ = self.reports.send(report);
    }
}

impl Notices {
    /// How many events were lost since the last call.
    #[must_use]
    pub fn take_lost(&self) -> u64 {
        self.lost.swap(0, Ordering::Relaxed)
    }
}
