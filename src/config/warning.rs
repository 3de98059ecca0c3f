//! What is allowed and perhaps not meant.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::fmt;

use crate::endpoint;
use crate::model::{Config, EndpointSpec, Name, OnEof, ProcessSpec, Restart, Stream, Subject};

/// Something to be told to the user that does not make a config a bad one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// What it is about.
    pub subject: Subject,
    /// What it is, and what to do.
    pub text: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.subject, self.text)
    }
}

/// Processes that feed themselves through others: if each waits for the next to read, all of them wait for ever. One
/// warning a cycle, cycles that share a process counting as one. Cycles through FIFOs that processes open themselves
/// cannot be seen.
#[must_use]
pub fn cycles(config: &Config) -> Vec<Warning> {
    let mut graph = Graph::of(config);
    let mut warnings = Vec::new();
    loop {
        graph.peel();
        let Some(cycle) = graph.walk() else { return warnings };
        let names: Vec<String> = cycle.iter().chain(cycle.first()).map(ToString::to_string).collect();
        let first = cycle.iter().min().cloned();
        graph.remove(&cycle);
        if let Some(first) = first {
            warnings.push(Warning {
                subject: Subject::Route(graph.route(&cycle).unwrap_or(first)),
                text: format!(
                    "processes feed each other in a cycle ({}): when all their pipes are full, none goes on; see that \
                     one of them always reads",
                    shortened(&names).join(" -> ")
                ),
            });
        }
    }
}

/// At most a handful of names.
fn shortened(names: &[String]) -> Vec<String> {
    match names {
        [first, second, third, .., last] if names.len() > 12 => {
            vec![
                first.clone(),
                second.clone(),
                third.clone(),
                "...".to_owned(),
                last.clone(),
            ]
        }
        _ => names.to_vec(),
    }
}

/// Which process writes to which, by routes. Ordered, so that the same config always says the same.
struct Graph {
    writes_to: BTreeMap<Name, BTreeSet<Name>>,
    written_by: BTreeMap<Name, BTreeSet<Name>>,
    routes: HashMap<(Name, Name), Name>,
}

impl Graph {
    fn of(config: &Config) -> Graph {
        let mut graph = Graph {
            writes_to: BTreeMap::new(),
            written_by: BTreeMap::new(),
            routes: HashMap::new(),
        };
        for route in &config.routes {
            let from: BTreeSet<&Name> = route.from.iter().filter_map(|end| process(&end.endpoint)).collect();
            let to: BTreeSet<&Name> = route.to.iter().filter_map(|end| process(&end.endpoint)).collect();
            for (from, to) in from.iter().flat_map(|from| to.iter().map(move |to| (*from, *to))) {
                graph.writes_to.entry(from.clone()).or_default().insert(to.clone());
                graph.written_by.entry(to.clone()).or_default().insert(from.clone());
                graph
                    .routes
                    .entry((from.clone(), to.clone()))
                    .or_insert_with(|| route.name.clone());
            }
        }
        graph
    }

    /// Takes away, again and again, what nothing writes to: what is left is in a cycle or behind one.
    fn peel(&mut self) {
        let mut free: VecDeque<Name> = self
            .writes_to
            .keys()
            .filter(|name| !self.written_by.contains_key(*name))
            .cloned()
            .collect();
        while let Some(name) = free.pop_front() {
            for next in self.writes_to.remove(&name).unwrap_or_default() {
                if let Some(writers) = self.written_by.get_mut(&next) {
                    writers.remove(&name);
                    if writers.is_empty() {
                        self.written_by.remove(&next);
                        free.push_back(next);
                    }
                }
            }
        }
    }

    /// A cycle, in the direction of the bytes. After `peel` everything that is left is written to by something that is
    /// left, so that going against the stream leads into a cycle.
    fn walk(&self) -> Option<Vec<Name>> {
        let mut at = self.written_by.keys().next()?;
        let mut path: Vec<&Name> = Vec::new();
        let mut seen = HashSet::new();
        while seen.insert(at) {
            path.push(at);
            at = self.written_by.get(at)?.first()?;
        }
        let start = path.iter().position(|name| *name == at)?;
        let mut cycle: Vec<Name> = path[start..].iter().rev().map(|name| (*name).clone()).collect();
        let least = cycle
            .iter()
            .enumerate()
            .min_by_key(|(_, name)| *name)
            .map_or(0, |(index, _)| index);
        cycle.rotate_left(least);
        Some(cycle)
    }

    fn remove(&mut self, cycle: &[Name]) {
        for name in cycle {
            for next in self.writes_to.remove(name).unwrap_or_default() {
                drop_edge(&mut self.written_by, &next, name);
            }
            for before in self.written_by.remove(name).unwrap_or_default() {
                drop_edge(&mut self.writes_to, &before, name);
            }
        }
    }

    fn route(&self, cycle: &[Name]) -> Option<Name> {
        let (first, next) = (cycle.first()?, cycle.get(1).or(cycle.first())?);
        self.routes.get(&(first.clone(), next.clone())).cloned()
    }
}

fn drop_edge(edges: &mut BTreeMap<Name, BTreeSet<Name>>, from: &Name, to: &Name) {
    if let Some(ends) = edges.get_mut(from) {
        ends.remove(to);
        if ends.is_empty() {
            edges.remove(from);
        }
    }
}

fn process(endpoint: &EndpointSpec) -> Option<&Name> {
    endpoint::stream_of(endpoint).map(|(process, _)| &process.name)
}

/// What keeps `--exit-when-done` from ever being done.
#[must_use]
pub fn never_ending(config: &Config) -> Vec<Warning> {
    let sources =
        config.routes.iter().flat_map(|route| {
            route.from.iter().filter(|source| source.on_eof != OnEof::Close).map(|source| Warning {
            subject: Subject::Endpoint(route.name.clone(), source.endpoint.to_string().into()),
            text: format!(
                "with on-eof = \"{}\" this source never ends; set on-eof = \"close\" if one writer is all there is",
                source.on_eof
            ),
        })
        });
    let fed: HashSet<&Name> = config
        .routes
        .iter()
        .flat_map(|route| &route.to)
        .filter_map(|to| endpoint::stream_of(&to.endpoint))
        .filter(|(_, stream)| *stream == Stream::Stdin)
        .map(|(process, _)| &process.name)
        .collect();
    let endless = |process: &&ProcessSpec| {
        process.autostart && process.restart == Restart::Always && !fed.contains(&process.name)
    };
    let producers = config.processes.iter().filter(endless).flat_map(|process| {
        process.ids().into_iter().map(|id| Warning {
            subject: Subject::Process(id),
            text:
                "with restart = \"always\" and no route to its stdin it never finishes; set restart = \"on-failure\" \
                   or \"never\""
                    .to_owned(),
        })
    });
    sources.chain(producers).collect()
}
