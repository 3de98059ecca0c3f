//! Requests that came together, as the manager is told of them.

use std::collections::HashSet;
use std::os::fd::OwnedFd;

use tokio::sync::oneshot;

use crate::store::{Line, Request};

/// What the manager is told.
pub(super) enum Change {
    Put(u64, Vec<OwnedFd>, oneshot::Sender<()>),
    Gone(u64),
}

/// Requests that came together.
#[derive(Default)]
pub(super) struct Batch {
    pub lines: Vec<Line>,
    pub changes: Vec<Change>,
    pub gone: HashSet<u64>,
    pub only: Option<(u64, HashSet<u64>)>,
}

impl Batch {
    pub fn remove(&mut self, number: u64) {
        self.lines.push(Line::Gone(number));
        self.changes.push(Change::Gone(number));
        self.gone.insert(number);
    }

    pub fn take(&mut self, request: Request) {
        match request {
            Request::Put {
                number,
                meaning,
                ends,
                stored,
            } => {
                self.lines.push(Line::Put(number, meaning));
                self.changes.push(Change::Put(number, ends, stored));
            }
            Request::Remove(number) => self.remove(number),
            Request::Only { below, known } => self.only = Some((below, known)),
        }
    }
}
