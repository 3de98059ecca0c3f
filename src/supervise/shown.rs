//! A process as it is shown, and who is told when that changes.

use super::Notice;
use super::driver::Driver;
use crate::decide::process::{Process, State};
use crate::model::{ProcessId, ProcessSnapshot};
use crate::sys::clock;

/// A process as it is shown.
pub(super) fn snapshot_of(machine: &Process, id: &ProcessId, says: Option<&str>) -> ProcessSnapshot {
    ProcessSnapshot {
        id: id.clone(),
        state: machine.shown(),
        since: None,
        pid: machine.life().and_then(|life| life.pid),
        started_at: machine.started_at,
        restarts: machine.forks.saturating_sub(1),
        last_exit: machine.last_exit.clone(),
        next_start_at: match machine.state {
            State::BackingOff { due } => Some(due),
            _ => None,
        },
        wanted_up: machine.wanted_up(),
        status_text: match &machine.state {
            State::Failed { text } => Some(text.clone()),
            _ => says.map(str::to_owned),
        },
        was_ready: machine.ready_life > 0 && machine.ready_life == machine.lives,
        ever_ready: machine.ready_life > 0,
    }
}

impl Driver {
    pub(super) fn publish(&mut self) {
        let says = self.life.as_ref().and_then(|life| life.status_text.as_deref());
        let mut snapshot = snapshot_of(&self.machine, &self.id, says);
        {
            let before = self.snapshot.borrow();
            let same = before.state == snapshot.state;
            snapshot.since = if same { before.since } else { Some(clock::now()) };
        }
        let mut before = self.snapshot.replace(snapshot);
        let changed = {
            let now = self.snapshot.borrow();
            // What it says of itself is for those who look, and nobody waits for it: one that talks without end makes no
            // heap of notices.
            before.status_text.clone_from(&now.status_text);
            before != *now
        };
        if changed {
            self.notify(Notice::Changed(self.id.clone()));
        }
    }
}
