//! Talks to the service manager for the descriptor store: what came in together goes there together, followed by one
//! BARRIER=1, after which the manager has it (sd_notify(3)). The journal says what everything means.

mod batch;
mod keeping;
mod notes;

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::future::Future;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use tokio::io::Interest;
use tokio::sync::{mpsc, oneshot};

use self::batch::{Batch, Change};
pub use self::keeping::{give_up_unclaimed, keep, tell_risk};
pub use self::notes::Notes;
use crate::model::Moment;
pub use crate::store::Passed;
use crate::store::{Journal, Known, Left, Line, Request, Store};
use crate::sys::{clock, notify, pipe, poll, reactor};

/// How long the manager may take with a batch. Then the pipes are used all the same, and the next batches do not wait until
/// it has answered one.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long the daemon's end is held up by a manager that does not read.
const LAST_PATIENCE: Duration = Duration::from_secs(1);
/// Between two tries to tell a manager that does not read. As short as it takes one to read the few messages for which there
/// is room (net.unix.max_dgram_qlen): large stores are filled and emptied at that pace.
const BETWEEN_TRIES: Duration = Duration::from_millis(2);
/// Between two tries to tell what a manager that does not read has to hear in the end.
const BETWEEN_REMINDERS: Duration = Duration::from_millis(500);

/// The side of the store that talks to the manager.
#[derive(Debug)]
pub struct Keeper {
    socket: OwnedFd,
    requests: mpsc::UnboundedReceiver<Request>,
    journal: Notes,
    /// In the store, or on their way: how many descriptors each is.
    live: HashMap<u64, usize>,
    /// No number is given twice, not even that of one which the manager was never told of.
    next: u64,
    /// Descriptors that the unit lets it keep, where that is known.
    most: Option<usize>,
    told_full: bool,
    /// What it was not told, since it did not read, and has to be.
    owed: Owed,
    /// It has let something wait for too long.
    is_slow: bool,
    /// By which it is known when it has answered what it let wait.
    late: Option<OwnedFd>,
}

/// What a manager that did not read was not told. A deposit that it does not hear of is lost; but what it is never told to give
/// up keeps a pipe open for ever, and without the journal nothing else is of use.
#[derive(Debug, Default)]
struct Owed {
    journal: bool,
    /// Names.
    removals: VecDeque<String>,
    /// When it is tried again.
    due: Option<Moment>,
}

impl Owed {
    fn is_empty(&self) -> bool {
        !self.journal && self.removals.is_empty()
    }
}

/// Somebody wants a copy of the journal's file, when all that came before is in it.
pub type Asked = oneshot::Sender<io::Result<Copy>>;

/// What an upgrade hands over of it.
#[derive(Debug)]
pub struct Copy {
    /// Of the journal's file.
    pub journal: OwnedFd,
    /// The number that the next deposit has.
    pub next: u64,
    /// Names that the manager has to be told to give up, and was not.
    pub owed: Vec<String>,
}

/// A store, where there is a manager that may keep something: NOTIFY_SOCKET is set, and FDSTORE is not 0 where it is set.
/// `passed`: what a dead life has left in it.
pub fn open(passed: Passed, life: u64) -> Option<(Store, Keeper)> {
    let Passed { known, left, unknown } = passed;
    let journal = Journal::begin(life, known.as_ref());
    let (store, mut keeper) = opened(journal, left, known.as_ref().map_or(1, Known::next_number))?;
    keeper.begin(&unknown);
    Some((store, keeper))
}

/// The same store, in the life after an upgrade.
pub fn go_on(copy: Copy, life: u64) -> Option<(Store, Keeper)> {
    let journal = Journal::go_on(File::from(copy.journal));
    let (store, mut keeper) = opened(journal, Left::default(), copy.next)?;
    keeper.owed.removals = copy.owed.into();
    keeper.remind();
    keeper.journal.append([Line::Life(life)]);
    Some((store, keeper))
}

fn opened(journal: io::Result<Journal>, left: Left, next: u64) -> Option<(Store, Keeper)> {
    let most = std::env::var("FDSTORE").ok().and_then(|most| most.parse().ok());
    if most == Some(0) {
        return None;
    }
    let warn = |error: io::Error| tracing::warn!("pipes will not outlive this daemon: {error}");
    let socket = notify::open().map_err(warn).ok()??;
    let journal = journal.map_err(warn).ok()?;
    let (asking, requests) = mpsc::unbounded_channel();
    let live = journal.known().deposits.iter();
    let live = live.map(|(number, meaning)| (*number, meaning.descriptors())).collect();
    let keeper = Keeper {
        socket,
        requests,
        journal: Notes::new(journal),
        live,
        next,
        most,
        told_full: false,
        owed: Owed::default(),
        is_slow: false,
        late: None,
    };
    Some((Store::new(asking, next, left), keeper))
}

impl Keeper {
    /// What the manager is told first waits in its socket.
    fn begin(&mut self, names: &[String]) {
        self.owed.journal = true;
        self.owed.removals.extend(names.iter().cloned());
        self.remind();
    }

    /// Tells the manager what it has not heard yet, as far as it has room.
    fn remind(&mut self) {
        self.owed.due = None;
        loop {
            let sent = if self.owed.journal {
                let text = store_text(&self.journal.name());
                let file = self.journal.file();
                file.and_then(|file| notify::send(&self.socket, &text, &[file.as_fd()]))
            } else if let Some(name) = self.owed.removals.front() {
                notify::send(&self.socket, &removal_text(name), &[])
            } else {
                return;
            };
            match sent {
                Ok(true) if self.owed.journal => self.owed.journal = false,
                Ok(true) => drop(self.owed.removals.pop_front()),
                Ok(false) => {
                    self.owed.due = Some(clock::now() + BETWEEN_REMINDERS);
                    return;
                }
                Err(error) => {
                    tracing::warn!("the service manager keeps no descriptors: {error}");
                    self.owed = Owed::default();
                }
            }
        }
    }

    /// Copies for the next life.
    fn copy(&mut self) -> io::Result<Copy> {
        self.remind();
        Ok(Copy {
            journal: self.journal.file()?,
            next: self.next,
            owed: self.owed.removals.iter().cloned().collect(),
        })
    }

    /// For what is written down by others.
    #[must_use]
    pub fn notes(&self) -> Notes {
        self.journal.clone()
    }

    /// Keeps and takes out until `end` resolves, and then takes everything out. `ask` is answered with a copy of the
    /// journal's file, when all that came before is in it.
    pub async fn run(mut self, end: impl Future<Output = ()>, mut asked: mpsc::UnboundedReceiver<Asked>) {
        tokio::pin!(end);
        loop {
            let due = self.owed.due;
            let reminder = async {
                match due {
                    Some(due) => clock::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = reminder => self.remind(),
                Some(first) = self.requests.recv() => self.serve(first).await,
                Some(reply) = asked.recv() => {
                    // Who asked may have given up.
                    let _ = reply.send(self.copy());
                }
                () = &mut end => break,
            }
        }
        let _ = tokio::time::timeout(LAST_PATIENCE, self.empty()).await;
    }

    /// Everything that has come until now.
    async fn serve(&mut self, first: Request) {
        self.hear_late();
        let mut batch = Batch::default();
        batch.take(first);
        while let Ok(another) = self.requests.try_recv() {
            batch.take(another);
        }
        if let Some((below, known)) = batch.only.take() {
            let old = self.live.keys().filter(|number| **number < below);
            for number in old.filter(|number| !known.contains(number)) {
                batch.remove(*number);
            }
        }
        self.journal.append(std::mem::take(&mut batch.lines));
        let mut waits = Vec::new();
        // In order: what is taken out and put in again under another number is the same to the manager.
        for change in batch.changes {
            match change {
                Change::Put(number, ends, stored) => {
                    self.next = self.next.max(number + 1);
                    // Put in and taken out before anybody has heard of it.
                    if batch.gone.contains(&number) {
                        continue;
                    }
                    let borrowed: Vec<BorrowedFd<'_>> = ends.iter().map(OwnedFd::as_fd).collect();
                    if self.tell(&store_text(&format!("d{number}")), &borrowed).await {
                        self.live.insert(number, ends.len());
                    }
                    waits.push(stored);
                }
                Change::Gone(number) => {
                    if self.live.remove(&number).is_some() {
                        self.remove(format!("d{number}")).await;
                    }
                }
            }
        }
        self.look_at_room();
        self.renew_journal().await;
        if !waits.is_empty() {
            self.barrier().await;
        }
        for stored in waits {
            let _ = stored.send(());
        }
    }

    fn look_at_room(&mut self) {
        // And the journal.
        let live = self.live.values().sum::<usize>() + 1;
        let full = self.most.is_some_and(|most| live > most);
        if full && !std::mem::replace(&mut self.told_full, true) {
            let most = self.most.unwrap_or_default();
            tracing::warn!(
                "the service manager keeps at most {most} descriptors, and there are {live} to keep: some pipes will \
                 not outlive this daemon. Raise FileDescriptorStoreMax="
            );
        }
    }

    async fn renew_journal(&mut self) {
        let renewed = match self.journal.0.borrow().renewed() {
            Ok(None) => return,
            Ok(Some(renewed)) => renewed,
            Err(error) => return tracing::warn!("the journal of the descriptor store cannot be renewed: {error}"),
        };
        // One that the manager does not get is of no use, and the old one is.
        if !self.tell(&store_text(&renewed.name()), &[renewed.file().as_fd()]).await {
            return;
        }
        self.barrier().await;
        let renewed = renewed.caught_up(&self.journal.0.borrow());
        let renewed = match renewed {
            Ok(renewed) => renewed,
            Err(error) => return tracing::warn!("the journal of the descriptor store cannot be renewed: {error}"),
        };
        let old = self.journal.0.replace(renewed);
        self.owed.journal = false;
        self.remove(old.name()).await;
    }

    /// Has it given up, now or as soon as the manager reads again.
    async fn remove(&mut self, name: String) {
        // In order: what is owed comes first.
        if !self.owed.is_empty() || !self.tell(&removal_text(&name), &[]).await {
            self.owed.removals.push_back(name);
            self.owed.due.get_or_insert(clock::now() + BETWEEN_REMINDERS);
        }
    }

    /// Waits until the manager has taken what it was told, or for too long.
    async fn barrier(&mut self) {
        self.hear_late();
        let Ok((ours, theirs)) = pipe::pair() else { return };
        // One that is not told is answered by nobody.
        if self.late.is_some() || !self.tell("BARRIER=1", &[theirs.as_fd()]).await {
            return;
        }
        drop(theirs);
        let Ok(ours) = reactor::register_own(ours, Interest::READABLE) else {
            return;
        };
        let patience = if self.is_slow { Duration::ZERO } else { PATIENCE };
        let slow = tokio::time::timeout(patience, ours.readable()).await.is_err();
        if slow && !std::mem::replace(&mut self.is_slow, slow) {
            tracing::warn!(
                "the service manager has not answered for {} s: pipes are used before it keeps them",
                PATIENCE.as_secs()
            );
        }
        self.is_slow = slow;
        self.late = slow.then(|| ours.into_inner());
    }

    /// It may have answered since.
    fn hear_late(&mut self) {
        if self.late.take_if(|late| poll::now(late).hung_up).is_some() {
            self.is_slow = false;
        }
    }

    /// Tells the manager something, as soon as it has room; one that does not read is given up after a while: false.
    async fn tell(&mut self, text: &str, ends: &[BorrowedFd<'_>]) -> bool {
        let patience = clock::now() + if self.is_slow { Duration::ZERO } else { PATIENCE };
        loop {
            match notify::send(&self.socket, text, ends) {
                Ok(true) => return true,
                Ok(false) if clock::now() < patience => {}
                Ok(false) => {
                    if !std::mem::replace(&mut self.is_slow, true) {
                        tracing::warn!(
                            "the service manager does not read what it is told: pipes will not outlive this daemon"
                        );
                    }
                    return false;
                }
                Err(error) => {
                    tracing::warn!("cannot tell the service manager what to keep: {error}");
                    return true;
                }
            }
            clock::sleep_until(clock::now() + BETWEEN_TRIES).await;
        }
    }

    /// The daemon ends in order: nothing is left for another life.
    async fn empty(&mut self) {
        self.is_slow = false;
        let owed = std::mem::take(&mut self.owed.removals);
        let live = self.live.drain().map(|(number, _)| format!("d{number}"));
        // Without the journal, what a manager that is too slow is not told of is of no use to another life.
        let names: Vec<String> = [self.journal.name()].into_iter().chain(owed).chain(live).collect();
        for name in names {
            self.tell(&removal_text(&name), &[]).await;
        }
    }
}

/// With FDPOLL=0, since the manager would drop a pipe that is hung up, with what stands in it.
fn store_text(name: &str) -> String {
    format!("FDSTORE=1\nFDNAME={name}\nFDPOLL=0\n")
}

fn removal_text(name: &str) -> String {
    format!("FDSTOREREMOVE=1\nFDNAME={name}\n")
}
