//! In which order processes are started with the daemon: who is fed before those that feed it.
//!
//! A process waits until each that its routes feed is ready, or is not coming: stopped, finished or failed. That is
//! systemd's Wants= with After=, and not its Requires=: a consumer that cannot run holds its producers up no longer than
//! it takes to know that, for its routes wait for it anyhow, and other consumers may be there. One that backs off before
//! it was ever ready is still coming. In a cycle nobody waits for another of the same cycle. Pure.

use super::stop_order::StopOrder;
use crate::model::{ProcessSnapshot, ProcessState};

/// The processes of a config, by their places in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StartOrder {
    /// For each process: the number of its cycle.
    cycle: Vec<usize>,
    /// For each route: the processes that feed it, and those that it feeds.
    routes: Vec<(Vec<usize>, Vec<usize>)>,
}

/// Those of a route that are still coming, as far as it matters: whether they are all of one cycle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coming {
    Nobody,
    Of(usize),
    OfSeveral,
}

impl StartOrder {
    /// Of the same graph.
    #[must_use]
    pub fn new(graph: &StopOrder, processes: usize) -> StartOrder {
        let mut cycle = vec![0; processes];
        for (number, members) in graph.cycles().into_iter().enumerate() {
            for process in members {
                cycle[process] = number;
            }
        }
        StartOrder {
            cycle,
            routes: graph.routes().to_vec(),
        }
    }

    /// Which processes need not wait (any longer), in config order, given who is still coming.
    #[must_use]
    pub fn free(&self, is_coming: impl Fn(usize) -> bool) -> Vec<usize> {
        let mut free = vec![true; self.cycle.len()];
        for (from, to) in &self.routes {
            let coming = to.iter().filter(|process| is_coming(**process));
            let coming = coming.fold(Coming::Nobody, |known, process| match (known, self.cycle[*process]) {
                (Coming::Nobody, cycle) => Coming::Of(cycle),
                (Coming::Of(known), cycle) if known == cycle => Coming::Of(known),
                _ => Coming::OfSeveral,
            });
            for process in from {
                free[*process] &= match coming {
                    Coming::Nobody => true,
                    Coming::Of(cycle) => cycle == self.cycle[*process],
                    Coming::OfSeveral => false,
                };
            }
        }
        (0..free.len()).filter(|process| free[*process]).collect()
    }
}

/// Whether a process is on its way to be ready for the first time. One that was ready once holds nobody up.
#[must_use]
pub fn is_coming(process: &ProcessSnapshot) -> bool {
    let underway = match process.state {
        ProcessState::Waiting | ProcessState::Starting | ProcessState::BackingOff => true,
        ProcessState::Stopping => process.wanted_up,
        ProcessState::Ready | ProcessState::Stopped | ProcessState::Finished | ProcessState::Failed => false,
    };
    underway && !process.ever_ready
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::{Name, ProcessId};

    fn order(processes: usize, routes: &[(&[usize], &[usize])]) -> StartOrder {
        let mut graph = StopOrder::new(processes);
        for (from, to) in routes {
            graph.route(from, to);
        }
        StartOrder::new(&graph, processes)
    }

    #[test]
    fn consumers_first() {
        let chain = order(4, &[(&[0], &[1]), (&[1], &[2])]);
        assert_eq!(chain.free(|_| true), [2, 3]);
        assert_eq!(chain.free(|process| process < 2), [1, 2, 3]);
        assert_eq!(chain.free(|_| false), [0, 1, 2, 3]);
        let broadcast = order(3, &[(&[0], &[1, 2])]);
        assert_eq!(broadcast.free(|process| process == 2), [1, 2]);
    }

    #[test]
    fn a_cycle_waits_for_those_outside_of_it_alone() {
        let cycle = order(4, &[(&[0], &[1]), (&[1], &[2]), (&[2], &[1, 3])]);
        assert_eq!(cycle.free(|_| true), [1, 3], "2 waits for 3, and 0 for the cycle");
        assert_eq!(cycle.free(|process| process < 3), [1, 2, 3]);
        let alone = order(1, &[(&[0], &[0])]);
        assert_eq!(alone.free(|_| true), [0]);
    }

    #[test]
    fn two_pools_are_no_matter() {
        let (here, there): (Vec<usize>, Vec<usize>) = ((0..1000).collect(), (1000..2000).collect());
        let pools = order(2000, &[(&here, &there)]);
        assert_eq!(pools.free(|process| process == 1999).len(), 1000);
        assert_eq!(pools.free(|process| process < 1000).len(), 2000);
    }

    #[test]
    fn who_is_coming() {
        let table = [
            (ProcessState::Waiting, true),
            (ProcessState::Starting, true),
            (ProcessState::BackingOff, true),
            (ProcessState::Stopping, true),
            (ProcessState::Ready, false),
            (ProcessState::Stopped, false),
            (ProcessState::Finished, false),
            (ProcessState::Failed, false),
        ];
        for (state, coming) in table {
            let mut process = ProcessSnapshot {
                id: ProcessId::single(Name::new("p").unwrap()),
                state,
                since: None,
                pid: None,
                started_at: None,
                restarts: 0,
                last_exit: None,
                next_start_at: None,
                wanted_up: true,
                status_text: None,
                was_ready: false,
                ever_ready: false,
            };
            assert_eq!(is_coming(&process), coming, "{state}");
            process.ever_ready = true;
            assert!(!is_coming(&process), "{state}");
            process.ever_ready = false;
            process.wanted_up = false;
            assert_eq!(
                is_coming(&process),
                coming && state != ProcessState::Stopping,
                "{state}"
            );
        }
    }

    proptest! {
        /// Whatever feeds whom: if each that may start does and becomes ready, all are started.
        #[test]
        fn nobody_waits_for_ever(
            edges in prop::collection::vec((prop::collection::vec(0..7_usize, 0..3), prop::collection::vec(0..7_usize, 0..3)), 0..8),
        ) {
            let routes: Vec<(&[usize], &[usize])> = edges.iter().map(|(from, to)| (&from[..], &to[..])).collect();
            let order = order(7, &routes);
            let mut ready = [false; 7];
            for _ in 0..7 {
                for process in order.free(|process| !ready[process]) {
                    ready[process] = true;
                }
            }
            prop_assert_eq!(ready, [true; 7]);
        }
    }
}
