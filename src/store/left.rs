//! What a dead life has left, as the service manager passes it to the next one.

use std::collections::HashMap;
use std::fs::File;
use std::os::fd::OwnedFd;

use super::journal::{self, Known};
use super::{Deposit, Meaning};
use crate::model::Name;
use crate::sys::pipe;

/// Something that was claimed.
#[derive(Debug)]
pub struct Claimed {
    /// In the order in which the manager has passed them.
    pub ends: Vec<OwnedFd>,
    /// It is in the store still.
    pub deposit: Deposit,
}

/// What is left to be claimed.
#[derive(Debug, Default)]
pub struct Left {
    by: HashMap<Meaning, Vec<(u64, Vec<OwnedFd>)>>,
    operators: HashMap<String, bool>,
}

/// What the manager has passed, sorted out.
#[derive(Debug, Default)]
pub struct Passed {
    /// What the youngest journal that is whole says; `None`: there is none.
    pub known: Option<Known>,
    /// To be claimed.
    pub left: Left,
    /// Names to be taken out of the store: journals that are not needed any more, and what nobody knows.
    pub unknown: Vec<String>,
}

impl Passed {
    /// Of descriptors with their names. Those that nobody knows are closed.
    #[must_use]
    pub fn new(passed: Vec<(OwnedFd, String)>) -> Passed {
        let mut sorted = Passed::default();
        let mut ends: HashMap<u64, Vec<OwnedFd>> = HashMap::new();
        for (end, name) in passed {
            if let Some(number) = name.strip_prefix('d').and_then(|number| number.parse().ok()) {
                ends.entry(number).or_default().push(end);
                continue;
            }
            if name.starts_with("journal.") {
                match journal::read(&File::from(end)) {
                    Ok((known, _)) if sorted.known.as_ref().is_none_or(|other| known.is_younger(other)) => {
                        sorted.known = Some(known);
                    }
                    Ok(_) => {}
                    Err(error) => tracing::warn!("the descriptor store's {name} cannot be read: {error}"),
                }
            } else {
                tracing::warn!(
                    "the service manager passed a descriptor named {name:?}, which is closed: nobody knows it"
                );
            }
            sorted.unknown.push(name);
        }
        let mut deposits = sorted
            .known
            .as_ref()
            .map(|known| known.deposits.clone())
            .unwrap_or_default();
        let mut numbers: Vec<u64> = ends.keys().copied().collect();
        numbers.sort_unstable();
        for number in numbers {
            let of_this = ends.remove(&number).unwrap_or_default();
            match deposits.remove(&number) {
                Some(meaning) => sorted.left.by.entry(meaning).or_default().push((number, of_this)),
                None => {
                    tracing::warn!("the descriptor store's d{number} is closed: the journal does not tell what it is");
                    sorted.unknown.push(format!("d{number}"));
                }
            }
        }
        for (number, meaning) in deposits {
            tracing::warn!("the descriptor store has lost d{number} ({meaning:?}); see FileDescriptorStoreMax=");
            if let Some(known) = &mut sorted.known {
                known.deposits.remove(&number);
            }
        }
        let operators = sorted.known.as_ref().map(|known| known.operators.clone());
        sorted.left.operators = operators.unwrap_or_default();
        sorted
    }
}

impl Left {
    pub(super) fn take(&mut self, meaning: &Meaning) -> Vec<(u64, Vec<OwnedFd>)> {
        self.by.remove(meaning).unwrap_or_default()
    }

    /// Once: a route of that name that is made later is another one.
    pub(super) fn operator(&mut self, route: &Name) -> Option<bool> {
        self.operators.remove(route.as_str())
    }

    /// With the bytes that stand in each.
    pub(super) fn take_all(&mut self) -> Vec<(Meaning, u64, u64)> {
        self.operators.clear();
        let mut all = Vec::new();
        for (meaning, deposits) in self.by.drain() {
            for (number, ends) in deposits {
                let unread = ends.first().map_or(0, pipe::unread);
                all.push((meaning.clone(), unread, number));
            }
        }
        all
    }
}
