//! Starting against the direction of the data: who is fed before those that feed it. What `decide::start_order` says is
//! done here.

use super::state::Daemon;
use crate::decide::start_order::is_coming;
use crate::model::ProcessState;
use crate::supervise::Command;

impl Daemon {
    /// Lets those processes go that wait and need not (any longer).
    pub fn start_waiting(&self) {
        let plant = self.plant();
        let mut order = self.start_order.borrow_mut();
        let Some(known) = &*order else { return };
        let waits = |place: &usize| plant.processes[*place].state() == ProcessState::Waiting;
        if !(0..plant.processes.len()).any(|place| waits(&place)) {
            *order = None;
            return;
        }
        let free = known.free(|place| plant.processes[place].look(is_coming));
        for place in free.into_iter().filter(waits) {
            plant.processes[place].send(Command::Proceed);
        }
    }
}
