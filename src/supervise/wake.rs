//! What a driver waits for. Every wait can be dropped at any time without losing anything.

use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;

use super::Command;
use super::driver::Driver;
use super::ear::{Ear, Heard};
use super::identity::{Found, Lookup};
use super::pipes::Pipes;
use super::streams::Streams;
use crate::model::{Exit, Moment};
use crate::sys::clock;
use crate::sys::process::{Attempt, Child, Status, read_status};

/// What came.
pub(super) enum Wake {
    /// From the daemon; `None` when it has dropped the handle.
    Command(Option<Command>),
    /// As whom a life is to run.
    Identified(u64, Found),
    /// The pipes of a life are in the store.
    Stored,
    /// The new child has become its program or says why not.
    Said(Status),
    /// The new child has told something by which it may be ready.
    Heard(Heard),
    /// The child is reaped.
    Exited(io::Result<Exit>),
    /// The state machine's time.
    Due,
    /// Time to look at what is left of a group.
    Look,
    /// That life's group keeps its output open past the deadline.
    Overdue(u64),
    /// A reader of output has ended.
    ReaderDone,
}

impl Driver {
    /// Waits for what comes next.
    pub(super) async fn next(&mut self, inbox: Option<&mut mpsc::UnboundedReceiver<Command>>) -> Wake {
        let due = self.machine.due();
        let look = self.looks().then_some(self.look.0);
        let (child, status, ear) = match &mut self.life {
            None => (None, None, None),
            Some(life) => (Some(&mut life.child), life.status.as_ref(), Some(&mut life.ear)),
        };
        tokio::select! {
            Some(command) = received(inbox) => Wake::Command(command),
            Some((life, found)) = identified(self.lookup.as_mut()) => Wake::Identified(life, found),
            Some(()) = stored(self.pipes.as_mut(), &mut self.streams) => Wake::Stored,
            Some(status) = said(status) => Wake::Said(status),
            Some(heard) = heard(ear) => Wake::Heard(heard),
            Some(exit) = exited(child) => Wake::Exited(exit),
            Some(()) = reached(due) => Wake::Due,
            Some(()) = reached(look) => Wake::Look,
            Some(life) = self.overdue.1.recv() => Wake::Overdue(life),
            Some(_) = self.readers.join_next() => Wake::ReaderDone,
            else => std::future::pending().await,
        }
    }
}

async fn received(inbox: Option<&mut mpsc::UnboundedReceiver<Command>>) -> Option<Option<Command>> {
    Some(inbox?.recv().await)
}

async fn identified(lookup: Option<&mut Lookup>) -> Option<(u64, Found)> {
    let lookup = lookup?;
    let found = lookup.found().await;
    Some((lookup.life, found))
}

async fn stored(pipes: Option<&mut Pipes>, streams: &mut Streams) -> Option<()> {
    let pipes = pipes?;
    poll_fn(|cx| pipes.poll_stored(streams, cx)).await;
    Some(())
}

async fn reached(moment: Option<Moment>) -> Option<()> {
    clock::sleep_until(moment?).await;
    Some(())
}

async fn said(status: Option<&(AsyncFd<OwnedFd>, Attempt)>) -> Option<Status> {
    let (socket, attempt) = status?;
    loop {
        // A socket that cannot be waited for or read says no more; the exit will.
        let mut ready = socket.readable().await.ok()?;
        match read_status(socket.get_ref().as_fd(), attempt) {
            Ok(None) => ready.clear_ready(),
            Ok(Some(status)) => return Some(status),
            Err(_) => return None,
        }
    }
}

async fn heard(ear: Option<&mut Ear>) -> Option<Heard> {
    ear?.hear().await
}

async fn exited(child: Option<&mut AsyncFd<Child>>) -> Option<io::Result<Exit>> {
    let child = child?;
    loop {
        let mut ready = match child.readable_mut().await {
            Ok(ready) => ready,
            Err(error) => return Some(Err(error)),
        };
        match ready.get_inner_mut().try_reap() {
            Ok(Some(exit)) => return Some(Ok(exit)),
            Ok(None) => ready.clear_ready(),
            Err(error) => return Some(Err(error)),
        }
    }
}
