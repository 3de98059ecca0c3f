//! In which order processes are asked to stop, so that no byte between them is lost: with the data.
//!
//! A process whose stdin no route feeds is asked at once. One that is fed gets the end of its input when those before it
//! are down and their routes have drained, and may exit by itself. In a cycle nobody would get an end of input first, so
//! its members are asked together once everybody before the cycle is down.

/// The processes of a config as a graph: which process feeds which, by their places in the config.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StopOrder {
    /// For each process: those that feed it, directly.
    before: Vec<Vec<usize>>,
    /// Whether any route feeds it, from a process or not.
    fed: Vec<bool>,
}

impl StopOrder {
    /// A graph of `processes` that nothing connects.
    #[must_use]
    pub fn new(processes: usize) -> StopOrder {
        StopOrder {
            before: vec![Vec::new(); processes],
            fed: vec![false; processes],
        }
    }

    /// A route feeds `to`; from the process `from`, or from something else.
    pub fn feed(&mut self, from: Option<usize>, to: usize) {
        self.fed[to] = true;
        if let Some(from) = from
            && !self.before[to].contains(&from)
        {
            self.before[to].push(from);
        }
    }

    /// Whether any route feeds it.
    #[must_use]
    pub fn is_fed(&self, process: usize) -> bool {
        self.fed[process]
    }

    /// Whom to ask to stop now, given who is down already.
    #[must_use]
    pub fn to_ask(&self, is_down: impl Fn(usize) -> bool) -> Vec<usize> {
        let running: Vec<bool> = (0..self.before.len()).map(|process| !is_down(process)).collect();
        let upstream: Vec<Vec<bool>> = (0..running.len())
            .map(|process| self.upstream(process, &running))
            .collect();
        let asked = |process: usize| {
            let above = &upstream[process];
            // In a cycle, and whoever is upstream is in the same one.
            let heads_a_cycle =
                above[process] && (0..above.len()).all(|other| !above[other] || upstream[other][process]);
            running[process] && (!self.fed[process] || heads_a_cycle)
        };
        (0..running.len()).filter(|process| asked(*process)).collect()
    }

    /// Who of those that run feeds `process`, directly or through others that run.
    fn upstream(&self, process: usize, running: &[bool]) -> Vec<bool> {
        let mut seen = vec![false; self.before.len()];
        let mut todo = vec![process];
        while let Some(next) = todo.pop() {
            for before in self.before[next].iter().copied().filter(|before| running[*before]) {
                if !std::mem::replace(&mut seen[before], true) {
                    todo.push(before);
                }
            }
        }
        seen
    }
}

#[cfg(test)]
mod tests {
    use super::StopOrder;

    fn order(processes: usize, edges: &[(Option<usize>, usize)]) -> StopOrder {
        let mut order = StopOrder::new(processes);
        for (from, to) in edges {
            order.feed(*from, *to);
        }
        order
    }

    #[test]
    fn producers_first_and_those_fed_by_end_of_file() {
        let chain = order(3, &[(Some(0), 1), (Some(1), 2)]);
        assert_eq!(chain.to_ask(|_| false), [0]);
        assert_eq!(chain.to_ask(|p| p == 0), [] as [usize; 0], "1 gets an end of file");
        let fed_by_a_fifo = order(1, &[(None, 0)]);
        assert_eq!(fed_by_a_fifo.to_ask(|_| false), [] as [usize; 0]);
        let apart = order(2, &[]);
        assert_eq!(apart.to_ask(|_| false), [0, 1]);
    }

    #[test]
    fn a_cycle_together_and_after_what_feeds_it() {
        let cycle = order(4, &[(Some(0), 1), (Some(1), 2), (Some(2), 1), (Some(2), 3)]);
        assert_eq!(cycle.to_ask(|_| false), [0]);
        assert_eq!(cycle.to_ask(|p| p == 0), [1, 2]);
        let alone = order(1, &[(Some(0), 0)]);
        assert_eq!(alone.to_ask(|_| false), [0]);
        let broken = order(4, &[(Some(0), 1), (Some(1), 2), (Some(2), 1)]);
        assert_eq!(
            broken.to_ask(|p| p == 0 || p == 1),
            [3],
            "2 gets an end of file of what 1 left"
        );
    }
}
