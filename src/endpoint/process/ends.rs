//! A process's streams as a relay sees them: pipes that are lent, life by life.

mod handover;

use std::collections::VecDeque;
use std::io;
use std::os::fd::AsFd;
use std::task::{Context, Poll};
use std::time::Duration;

use nix::fcntl::OFlag;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::endpoint::ends::{
    Destination, DestinationOpening, GivenBack, Lent, OpenError, Overdue, Source, SourceOpening,
};
use crate::model::{Moment, ProcessId, Stream};
use crate::store::{Deposit, Meaning, Store};
use crate::sys::parcel::{self, Parcel, Unpacking};
use crate::sys::{clock, pipe, poll};
use crate::transport::{ReadEnd, WriteEnd};

/// How long the pipe of a killed group may take to come to its end.
const AFTER_KILL: Duration = Duration::from_millis(200);
/// How long a pipe of a process that has died with the daemon may take to come to its end.
const AFTER_DEATH: Duration = Duration::from_secs(10);

/// An output of a process. The pipe of a life is read to its end before that of the next life.
#[derive(Debug)]
pub struct ProcessSource {
    process: ProcessId,
    name: String,
    lives: VecDeque<(Lent, Option<Exited>)>,
    present: Option<Present>,
    /// It does not run, and no start is due; told to the relay once.
    down: bool,
    down_told: bool,
    for_good: bool,
    over: bool,
    store: Store,
    stream: Stream,
    /// The present pipe's.
    deposit: Option<Deposit>,
}

/// The life whose pipe the relay has.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Present {
    life: u64,
    exited: Option<Exited>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Exited {
    pid: i32,
    deadline: Moment,
    killed: bool,
    /// Nothing more is to be done about it.
    abandoned: bool,
}

impl ProcessSource {
    /// `name` as shown.
    #[must_use]
    pub fn new(process: ProcessId, name: String) -> ProcessSource {
        ProcessSource {
            process,
            name,
            lives: VecDeque::new(),
            present: None,
            down: false,
            down_told: false,
            for_good: false,
            over: false,
            store: Store::default(),
            stream: Stream::Stdout,
            deposit: None,
        }
    }

    /// The same, of that stream; its pipes outlive the daemon. What a dead life of the daemon has left of it comes first.
    #[must_use]
    pub fn kept_in(mut self, store: &Store, stream: Stream) -> ProcessSource {
        (self.store, self.stream) = (store.clone(), stream);
        for mut claimed in store.claim(&self.meaning()) {
            let Some(end) = claimed.ends.pop() else { continue };
            let exited = Exited {
                pid: 0,
                deadline: clock::now() + AFTER_DEATH,
                killed: false,
                abandoned: false,
            };
            let deposit = Some(claimed.deposit);
            // Lives are numbered from 1 on.
            self.lives.push_back((Lent { life: 0, end, deposit }, Some(exited)));
        }
        self
    }

    fn meaning(&self) -> Meaning {
        Meaning::Output(self.process.clone(), self.stream)
    }

    fn registered(&self, end: std::io::Result<std::os::fd::OwnedFd>) -> Result<ReadEnd, OpenError> {
        end.and_then(ReadEnd::new)
            .map_err(|error| OpenError::new(format!("cannot watch {}", self.name), &error))
    }
}

impl Source for ProcessSource {
    fn poll_open(&mut self, _: &mut Context<'_>) -> Poll<Result<SourceOpening, OpenError>> {
        if self.over || self.present.is_some() {
            return Poll::Pending;
        }
        if let Some((Lent { life, end, deposit }, exited)) = self.lives.pop_front() {
            self.deposit = deposit;
            self.present = Some(Present { life, exited });
            return Poll::Ready(self.registered(Ok(end)).map(SourceOpening::Open));
        }
        if self.for_good {
            self.over = true;
            return Poll::Ready(Ok(SourceOpening::Ended));
        }
        if self.down && !std::mem::replace(&mut self.down_told, true) {
            return Poll::Ready(Ok(SourceOpening::Waits));
        }
        Poll::Pending
    }

    fn at_end(&mut self, _: ReadEnd) {
        self.present = None;
        self.deposit = None;
    }

    fn refresh(&mut self, end: ReadEnd) -> Result<ReadEnd, OpenError> {
        self.registered(pipe::reopen(end.descriptor(), OFlag::O_RDONLY | OFlag::O_NONBLOCK))
    }

    fn close(&mut self) {
        self.lives.clear();
        self.present = None;
        self.deposit = None;
        self.over = true;
    }

    fn revive(&mut self) {
        // The life that is lent next decides anew.
        (self.over, self.for_good, self.down_told) = (false, false, false);
    }

    fn drains_to_end(&self) -> bool {
        self.present.as_ref().is_some_and(|present| present.exited.is_some())
    }

    fn has_more(&self) -> bool {
        !self.lives.is_empty()
    }

    fn lend(&mut self, mut lent: Lent) {
        // Of an output that nobody will read, the end is dropped, and its writer gets EPIPE.
        if !self.over {
            (self.down, self.for_good) = (false, false);
            // Earlier lives that have exited and left nothing.
            self.lives.retain(|(lent, exited)| {
                let found = poll::now(&lent.end);
                exited.is_none() || found.readable || !found.hung_up
            });
            if lent.deposit.is_none() {
                // The log had it until now.
                lent.deposit = self.store.put(self.meaning(), &[lent.end.as_fd()]).unwaited();
            }
            self.lives.push_back((lent, None));
        }
    }

    fn exited(&mut self, life: u64, pid: i32, deadline: Moment) {
        let exit = Some(Exited {
            pid,
            deadline,
            killed: false,
            abandoned: false,
        });
        match &mut self.present {
            Some(present) if present.life == life => present.exited = exit,
            _ => {
                if let Some((_, exited)) = self.lives.iter_mut().find(|(lent, _)| lent.life == life) {
                    *exited = exit;
                }
            }
        }
    }

    fn down(&mut self, for_good: bool) {
        (self.down, self.for_good) = (true, for_good);
    }

    fn give_back(&mut self, end: Option<ReadEnd>) -> Vec<GivenBack> {
        let present = self.present.take().zip(end).and_then(|(present, end)| {
            let end = taken_out(&self.name, end.descriptor())?;
            let (life, deposit) = (present.life, self.deposit.take());
            Some((Lent { life, end, deposit }, present.exited))
        });
        let all = present.into_iter().chain(std::mem::take(&mut self.lives));
        self.over = true;
        all.map(|(lent, exited)| GivenBack {
            lent,
            exited: exited.map(|exited| (exited.pid, exited.deadline)),
        })
        .collect()
    }

    fn due(&self) -> Option<Moment> {
        let exited = self.present.as_ref()?.exited.as_ref()?;
        (!exited.abandoned).then_some(exited.deadline)
    }

    fn overdue(&mut self, now: Moment, hung_up: bool) -> Option<Overdue> {
        let Present { life, exited } = self.present.as_mut()?;
        let exited = exited.as_mut()?;
        if now < exited.deadline || exited.abandoned {
            return None;
        }
        if hung_up {
            exited.abandoned = true;
            return None;
        }
        if exited.killed {
            exited.abandoned = true;
            return Some(Overdue::Abandon { pid: exited.pid });
        }
        exited.killed = true;
        exited.deadline = now + AFTER_KILL;
        Some(Overdue::KillGroup {
            process: self.process.clone(),
            life: *life,
        })
    }

    fn pack(&self, parcel: &mut Parcel) -> io::Result<Value> {
        parcel::written(&handover::Source::pack(self, parcel)?)
    }

    fn unpack(&mut self, packed: Value, parcel: &mut Unpacking) -> io::Result<()> {
        parcel::read::<handover::Source>(packed)?.unpack(self, parcel)
    }
}

/// A pipe's end that no relay watches any more. The end that is watched may be shared with whoever looks at the route.
fn taken_out(name: &str, end: &std::os::fd::OwnedFd) -> Option<std::os::fd::OwnedFd> {
    let taken = end.try_clone();
    taken
        .inspect_err(|error| tracing::warn!("{name}: cannot pass its pipe on, which is closed: {error}"))
        .ok()
}

/// An input of a process.
#[derive(Debug)]
pub struct ProcessDestination {
    name: String,
    next: Option<Lent>,
    lent: bool,
    life: Option<u64>,
    down: Option<Down>,
    /// What stands unread, as told by whoever keeps the pipe.
    unread: u64,
    /// What stands unread in the last pipe has been told to the relay.
    counted: bool,
    over: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Down {
    ForNow,
    Told,
    ForGood(u64),
}

impl ProcessDestination {
    /// `name` as shown.
    #[must_use]
    pub fn new(name: String) -> ProcessDestination {
        ProcessDestination {
            name,
            next: None,
            lent: false,
            life: None,
            down: None,
            unread: 0,
            counted: true,
            over: false,
        }
    }
}

impl Destination for ProcessDestination {
    fn poll_open(&mut self, _: &mut Context<'_>) -> Poll<Result<DestinationOpening, OpenError>> {
        if self.over {
            return Poll::Pending;
        }
        // Also while an end is lent: a consumer that is gone for good, or whose next life has a pipe of its own.
        if let Some(Down::ForGood(unread)) = self.down {
            self.down = Some(Down::Told);
            self.unread = unread;
            return Poll::Ready(Ok(DestinationOpening::GoneForGood));
        }
        if let Some(Lent { end, .. }) = self.next.take() {
            self.lent = true;
            let end = WriteEnd::new(end);
            let end = end.map_err(|error| OpenError::new(format!("cannot watch {}", self.name), &error));
            return Poll::Ready(end.map(DestinationOpening::Open));
        }
        if let (Some(Down::ForNow), false) = (&self.down, self.lent) {
            self.down = Some(Down::Told);
            return Poll::Ready(Ok(DestinationOpening::AwaitsReader));
        }
        Poll::Pending
    }

    fn gone(&mut self, end: WriteEnd) -> u64 {
        self.lent = false;
        // The pipe goes with its reader: the next life has one of its own.
        pipe::unread(end.descriptor())
    }

    fn replaced(&mut self, end: WriteEnd) -> u64 {
        pipe::unread(end.descriptor())
    }

    fn close(&mut self, end: Option<WriteEnd>) -> u64 {
        self.over = true;
        self.lent = false;
        self.next = None;
        // The pipe has gone with its reader, and was counted then.
        let Some(end) = end else { return 0 };
        let no_reader = poll::now(end.descriptor()).no_reader;
        self.counted = no_reader || self.unread > 0;
        if no_reader {
            // Asked of the pipe itself: something may have been written since it was told.
            pipe::unread(end.descriptor())
        } else {
            self.unread
        }
    }

    fn revive(&mut self) {
        (self.over, self.down, self.unread, self.counted) = (false, None, 0, true);
    }

    fn give_back(&mut self, end: Option<WriteEnd>) -> Option<GivenBack> {
        (self.over, self.lent) = (true, false);
        let of_present = |end: WriteEnd| {
            let life = self.life?;
            let end = taken_out(&self.name, end.descriptor())?;
            let deposit = None;
            Some(Lent { life, end, deposit })
        };
        let lent = self.next.take().or_else(|| end.and_then(of_present))?;
        let exited = None;
        Some(GivenBack { lent, exited })
    }

    fn lent_life(&self) -> Option<u64> {
        self.life
    }

    fn lend(&mut self, lent: Lent) {
        self.down = None;
        self.life = Some(lent.life);
        if !self.over {
            self.next = Some(lent);
        }
    }

    fn down(&mut self, for_good: bool, unread: u64) -> u64 {
        self.down = Some(if for_good { Down::ForGood(unread) } else { Down::ForNow });
        // It was given everything, and has ended without reading it.
        if for_good && self.over && !std::mem::replace(&mut self.counted, true) {
            return unread;
        }
        0
    }

    fn pack(&self, parcel: &mut Parcel) -> io::Result<Value> {
        parcel::written(&handover::Destination::pack(self, parcel)?)
    }

    fn unpack(&mut self, packed: Value, parcel: &mut Unpacking) -> io::Result<()> {
        parcel::read::<handover::Destination>(packed)?.unpack(self, parcel)
    }
}

#[cfg(test)]
mod tests;
