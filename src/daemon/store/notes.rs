//! What is written down in the journal beside the deposits.

use std::cell::RefCell;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

use crate::model::Name;
use crate::store::{Journal, Line};

/// The journal, for what is to be written down before anybody is told that it is done.
#[derive(Clone, Debug)]
pub struct Notes(pub(super) Rc<RefCell<Journal>>);

impl Notes {
    pub(super) fn new(journal: Journal) -> Self {
        Self(Rc::new(RefCell::new(journal)))
    }

    /// An operator has paused a route, or lets it run.
    pub fn operator(&self, route: &Name, paused: bool) {
        self.append([Line::Operator(route.to_string(), paused)]);
    }

    /// A config was applied.
    pub fn generation(&self, generation: u64) {
        self.append([Line::Generation(generation)]);
    }

    pub(super) fn append(&self, lines: impl IntoIterator<Item = Line>) {
        if let Err(error) = self.0.borrow_mut().append(lines) {
            tracing::warn!("the journal of the descriptor store cannot be written: {error}");
        }
    }

    pub(super) fn name(&self) -> String {
        self.0.borrow().name()
    }

    /// A copy of its file.
    pub(super) fn file(&self) -> io::Result<OwnedFd> {
        self.0.borrow().file().as_fd().try_clone_to_owned()
    }
}
