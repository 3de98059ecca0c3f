//! In which order processes are asked to stop, so that no byte between them is lost: with the data.
//!
//! A process whose stdin no route feeds is asked at once. One that is fed gets the end of its input when those before it
//! are down and their routes have drained, and may exit by itself. In a cycle nobody would get an end of input first, so
//! its members are asked together once everybody before the cycle is down.

/// The processes of a config as a graph, by their places in the config. The routes are nodes of it too: two pools of a
/// thousand instances with a route between them have two thousand edges and not a million.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StopOrder {
    /// For each process: the routes that it feeds.
    feeds: Vec<Vec<usize>>,
    /// For each process: the routes that feed it.
    fed_by: Vec<Vec<usize>>,
    /// For each route: the processes that feed it, and those that it feeds.
    routes: Vec<(Vec<usize>, Vec<usize>)>,
}

/// A node of the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Node {
    Process(usize),
    Route(usize),
}

impl StopOrder {
    /// A graph of `processes` that nothing connects.
    #[must_use]
    pub fn new(processes: usize) -> StopOrder {
        StopOrder {
            feeds: vec![Vec::new(); processes],
            fed_by: vec![Vec::new(); processes],
            routes: Vec::new(),
        }
    }

    /// A route from these processes, and perhaps from something else, to those.
    pub fn route(&mut self, from: &[usize], to: &[usize]) {
        let route = self.routes.len();
        for process in from {
            self.feeds[*process].push(route);
        }
        for process in to {
            self.fed_by[*process].push(route);
        }
        self.routes.push((from.to_vec(), to.to_vec()));
    }

    /// Whether any route feeds it.
    #[must_use]
    pub fn is_fed(&self, process: usize) -> bool {
        !self.fed_by[process].is_empty()
    }

    /// Whom to ask to stop now, given who is down already.
    #[must_use]
    pub fn to_ask(&self, is_down: impl Fn(usize) -> bool) -> Vec<usize> {
        // By node: the processes that run, and the routes that one of them feeds.
        let mut there: Vec<bool> = (0..self.feeds.len()).map(|process| !is_down(process)).collect();
        for (from, _) in &self.routes {
            there.push(from.iter().any(|process| there[*process]));
        }
        let mut asked: Vec<bool> = (0..self.feeds.len())
            .map(|process| there[process] && !self.is_fed(process))
            .collect();
        for process in self.first_cycles(&there) {
            asked[process] = true;
        }
        (0..asked.len()).filter(|process| asked[*process]).collect()
    }

    /// Who is in a cycle of those that run, where everybody upstream who runs is in the same cycle.
    fn first_cycles(&self, there: &[bool]) -> Vec<usize> {
        let components = self.components(there).into_iter();
        // A process that feeds itself is in it with the route by which it does.
        let cycles = components.filter(|(members, led_into)| members.len() > 1 && !led_into);
        cycles
            .flat_map(|(members, _)| members.into_iter().filter_map(Node::process))
            .collect()
    }

    /// Who feeds whom in both directions, by processes; who is in no cycle is alone.
    pub(super) fn cycles(&self) -> Vec<Vec<usize>> {
        let all = vec![true; self.feeds.len() + self.routes.len()];
        let components = self.components(&all).into_iter();
        let processes = components.map(|(members, _)| members.into_iter().filter_map(Node::process).collect());
        processes
            .filter(|processes: &Vec<usize>| !processes.is_empty())
            .collect()
    }

    /// For each route: the processes that feed it, and those that it feeds.
    pub(super) fn routes(&self) -> &[(Vec<usize>, Vec<usize>)] {
        &self.routes
    }

    /// The strongly connected components of what is there, each with whether another leads into it, by Kosaraju's
    /// algorithm, which finds them sources first.
    fn components(&self, there: &[bool]) -> Vec<(Vec<Node>, bool)> {
        let mut component: Vec<Option<usize>> = vec![None; there.len()];
        let mut found = Vec::new();
        for (number, start) in self.by_finish(there).into_iter().rev().enumerate() {
            if component[self.index(start)].is_some() {
                continue;
            }
            component[self.index(start)] = Some(number);
            let (mut members, mut next, mut led_into) = (vec![start], 0, false);
            while let Some(node) = members.get(next).copied() {
                next += 1;
                for before in self.before(node, there) {
                    match &mut component[self.index(before)] {
                        Some(other) => led_into |= *other != number,
                        unknown @ None => {
                            *unknown = Some(number);
                            members.push(before);
                        }
                    }
                }
            }
            found.push((members, led_into));
        }
        found
    }

    /// What is there, in the order in which a walk along the routes is done with it.
    fn by_finish(&self, there: &[bool]) -> Vec<Node> {
        let mut seen = vec![false; there.len()];
        let mut finished = Vec::new();
        for process in (0..self.feeds.len()).filter(|process| there[*process]) {
            let mut path = vec![(Node::Process(process), 0)];
            if std::mem::replace(&mut seen[process], true) {
                continue;
            }
            while let Some((node, step)) = path.last_mut() {
                let after = self.after(*node);
                let next = after.get(*step).copied();
                *step += 1;
                match next.map(|next| node.neighbour(next)) {
                    None => finished.extend(path.pop().map(|(node, _)| node)),
                    Some(next) if !there[self.index(next)] => {}
                    Some(next) if std::mem::replace(&mut seen[self.index(next)], true) => {}
                    Some(next) => path.push((next, 0)),
                }
            }
        }
        finished
    }

    fn after(&self, node: Node) -> &[usize] {
        match node {
            Node::Process(process) => &self.feeds[process],
            Node::Route(route) => &self.routes[route].1,
        }
    }

    /// What is there and leads to it.
    fn before(&self, node: Node, there: &[bool]) -> impl Iterator<Item = Node> {
        let all = match node {
            Node::Process(process) => &self.fed_by[process],
            Node::Route(route) => &self.routes[route].0,
        };
        all.iter()
            .map(move |next| node.neighbour(*next))
            .filter(|before| there[self.index(*before)])
    }

    fn index(&self, node: Node) -> usize {
        match node {
            Node::Process(process) => process,
            Node::Route(route) => self.feeds.len() + route,
        }
    }
}

impl Node {
    /// What an edge from or to it has at its other end.
    fn neighbour(self, number: usize) -> Node {
        match self {
            Node::Process(_) => Node::Route(number),
            Node::Route(_) => Node::Process(number),
        }
    }

    fn process(self) -> Option<usize> {
        match self {
            Node::Process(process) => Some(process),
            Node::Route(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::StopOrder;

    fn order(processes: usize, edges: &[(Option<usize>, usize)]) -> StopOrder {
        let mut order = StopOrder::new(processes);
        for (from, to) in edges {
            order.route(from.as_slice(), &[*to]);
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

    /// Who of those that run feeds `process`, directly or through others that run.
    fn upstream(edges: &[(Option<usize>, usize)], running: &[bool], process: usize) -> Vec<bool> {
        let mut seen = vec![false; running.len()];
        let mut todo = vec![process];
        while let Some(next) = todo.pop() {
            for (before, _) in edges.iter().filter(|(_, to)| *to == next) {
                if let Some(before) = before.filter(|before| running[*before])
                    && !std::mem::replace(&mut seen[before], true)
                {
                    todo.push(before);
                }
            }
        }
        seen
    }

    proptest! {
        /// As the words of this module's header have it, in as many steps as it takes.
        #[test]
        fn it_is_as_the_words_say(
            edges in prop::collection::vec((prop::option::of(0..7_usize), 0..7_usize), 0..12),
            running in prop::collection::vec(any::<bool>(), 7),
        ) {
            let above: Vec<Vec<bool>> = (0..7).map(|process| upstream(&edges, &running, process)).collect();
            let asked = |process: &usize| {
                let fed = edges.iter().any(|(_, to)| to == process);
                let in_the_first_cycle = above[*process][*process]
                    && (0..7).all(|other| !above[*process][other] || above[other][*process]);
                running[*process] && (!fed || in_the_first_cycle)
            };
            let expected: Vec<usize> = (0..7).filter(asked).collect();
            prop_assert_eq!(order(7, &edges).to_ask(|process| !running[process]), expected);
        }
    }

    #[test]
    fn two_pools_that_feed_each_other_are_no_matter() {
        let (here, there): (Vec<usize>, Vec<usize>) = ((0..1000).collect(), (1000..2000).collect());
        let mut pools = StopOrder::new(2000);
        pools.route(&here, &there);
        pools.route(&there, &here);
        for down in 0..50 {
            assert_eq!(pools.to_ask(|process| process < down).len(), 2000 - down);
        }
    }
}
