//! Stopping in the direction of the data: producers first, each pipe drained to its consumer, consumers get the end of
//! their input before any signal, one deadline for the whole. What `decide::stop_order` says is done here.

use std::future::Future;

use tokio::sync::oneshot;

use super::state::Daemon;
use crate::decide::stop_order::StopOrder;
use crate::model::{CloseCause, EventDetail, Moment, ProcessId, ProcessState, RouteState};
use crate::relay;
use crate::supervise::Command;
use crate::sys::{clock, pipe};

/// How far the shutdown is.
#[derive(Debug)]
pub struct Stopping {
    deadline: Moment,
    /// From then on FIFOs are drained even if a producer has not stopped.
    halfway: Moment,
    /// By process: it has told that it will not run again.
    ended: Vec<bool>,
    asked: Vec<bool>,
    /// By route: it was told to drain.
    draining: Vec<bool>,
}

impl Daemon {
    /// A process has told that it will not run again.
    pub fn note_ended(&self, process: &ProcessId) {
        if let (Some(stopping), Some(place)) = (&mut *self.stopping.borrow_mut(), self.plant().wiring.place(process)) {
            stopping.ended[place] = true;
        }
    }

    /// Stops everything, in order; `hurry` resolves when somebody wants it to be quick.
    pub async fn stop(&self, hurry: impl Future<Output = ()>) {
        tokio::pin!(hurry);
        self.tell_own(EventDetail::Stopping);
        super::service::stopping();
        let plant = self.plant();
        let (now, time) = (clock::now(), plant.config.daemon.drain_timeout);
        let deadline = now + time;
        *self.stopping.borrow_mut() = Some(Stopping {
            deadline,
            halfway: now + time / 2,
            // One that has finished by itself has told so already.
            ended: plant
                .processes
                .iter()
                .map(|process| process.snapshot().state == ProcessState::Finished)
                .collect(),
            asked: vec![false; plant.processes.len()],
            draining: vec![false; plant.routes.len()],
        });
        for process in &plant.processes {
            process.send(Command::BeginShutdown);
        }
        let order = plant.wiring.stop_order();
        let hurried = tokio::select! {
            () = self.drain(&order) => false,
            () = clock::sleep_until(deadline) => {
                tracing::warn!("the drain-timeout has run out; what is left is dropped and counted");
                false
            }
            () = &mut hurry => {
                tracing::warn!("told to hurry; what is left is dropped and counted");
                true
            }
        };
        self.end(hurried, hurry).await;
        // What the last process left unread was told to its route, which has heard of it when it has answered.
        for answer in self.abort_routes() {
            let _ = answer.await;
        }
        self.count_losses();
    }

    /// Asks and drains, step by step, until everything is down and closed.
    async fn drain(&self, order: &StopOrder) {
        loop {
            let changed = self.next_change();
            self.step(order);
            if self.is_over() {
                return;
            }
            tokio::select! {
                () = changed => {}
                () = self.halfway() => {}
            }
        }
    }

    /// Resolves once, at half of the drain-timeout.
    async fn halfway(&self) {
        let halfway = self.stopping.borrow().as_ref().map(|stopping| stopping.halfway);
        match halfway {
            Some(halfway) if clock::now() < halfway => clock::sleep_until(halfway).await,
            _ => std::future::pending().await,
        }
    }

    fn step(&self, order: &StopOrder) {
        let plant = self.plant();
        let mut stopping = self.stopping.borrow_mut();
        let Some(stopping) = &mut *stopping else { return };
        let is_down = |place: usize| stopping.ended[place];
        for place in order.to_ask(is_down) {
            if !std::mem::replace(&mut stopping.asked[place], true) {
                plant.processes[place].send(Command::Shutdown { kill: false });
            }
        }
        // A producer may write a FIFO by its name, of which nothing is known here: FIFOs are drained when the producers are
        // down, but not so late that no time is left for it.
        let producers_down = (0..plant.processes.len()).all(|place| order.is_fed(place) || stopping.ended[place]);
        let fifos_too = producers_down || clock::now() >= stopping.halfway;
        for (place, route) in plant.routes.iter().enumerate() {
            let feeding = &plant.wiring.feeding[place];
            let fed_no_more = feeding.iter().all(|process| stopping.ended[*process]);
            if fed_no_more
                && (fifos_too || !feeding.is_empty())
                && !std::mem::replace(&mut stopping.draining[place], true)
            {
                let (reply, _) = oneshot::channel();
                route.send(relay::Command::Drain(stopping.deadline, reply));
            }
        }
    }

    fn is_over(&self) -> bool {
        let ended = self
            .stopping
            .borrow()
            .as_ref()
            .is_some_and(|stopping| stopping.ended.iter().all(|ended| *ended));
        ended
            && self
                .plant()
                .routes
                .iter()
                .all(|route| route.cell.with(|cell| cell.state == RouteState::Closed))
    }

    /// The deadline has come, or everything is over: drops what is left, and ends the processes.
    async fn end(&self, hurried: bool, mut hurry: std::pin::Pin<&mut impl Future<Output = ()>>) {
        self.abort_routes();
        let plant = self.plant();
        for process in &plant.processes {
            process.send(Command::Shutdown { kill: hurried });
        }
        let all_over = async {
            for process in &plant.processes {
                process.stopped().await;
            }
            self.wait_until(|| self.is_over()).await;
        };
        tokio::pin!(all_over);
        if !hurried {
            tokio::select! {
                () = &mut all_over => return,
                () = &mut hurry => {}
            }
            for process in &plant.processes {
                process.send(Command::Shutdown { kill: true });
            }
        }
        all_over.await;
    }

    fn abort_routes(&self) -> Vec<oneshot::Receiver<bool>> {
        let abort = |route: &relay::RouteHandle| {
            let (reply, answer) = oneshot::channel();
            route.send(relay::Command::Abort(CloseCause::DrainTimeout, reply));
            answer
        };
        self.plant().routes.iter().map(abort).collect()
    }

    fn count_losses(&self) {
        for route in &self.plant().routes {
            let snapshot = route.cell.read();
            let dropped: u64 = snapshot
                .destinations
                .iter()
                .map(|destination| destination.dropped_bytes)
                .sum();
            let left: u64 = snapshot
                .destinations
                .iter()
                .filter_map(|destination| destination.unread_bytes)
                .sum();
            let unread: u64 = snapshot
                .sources
                .iter()
                .filter_map(|s| s.descriptor.as_ref())
                .map(pipe::unread)
                .sum();
            if dropped + left + unread > 0 {
                tracing::warn!(
                    route = %snapshot.name,
                    "route:{}: not delivered: {dropped} bytes dropped, {left} left unread by a consumer, {unread} still unread in \
                     the sources",
                    snapshot.name
                );
            }
        }
    }
}
