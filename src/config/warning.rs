//! What is allowed and perhaps not meant.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::fmt;

use crate::endpoint::{self, Side};
use crate::model::{Config, EndpointSpec, Name, OnEof, ProcessId, ProcessSpec, Restart, Subject};

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
                subject: Subject::Route(graph.route(&cycle).unwrap_or(first.name)),
                text: format!(
                    "processes feed each other in a cycle ({}): when all their pipes are full, none goes on; see that \
                     one of them always reads. They are started in config order, and none waits for another to be \
                     ready",
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

/// Which process writes to which, by routes. Ordered, so that the same config always says the same. Instances that stand
/// in the same routes are one node: a pool of a thousand has no more to say than one of two.
struct Graph {
    writes_to: BTreeMap<ProcessId, BTreeSet<ProcessId>>,
    written_by: BTreeMap<ProcessId, BTreeSet<ProcessId>>,
    routes: HashMap<(ProcessId, ProcessId), Name>,
}

impl Graph {
    fn of(config: &Config) -> Graph {
        let mut graph = Graph {
            writes_to: BTreeMap::new(),
            written_by: BTreeMap::new(),
            routes: HashMap::new(),
        };
        let nodes = nodes(config);
        let node = |end: &EndpointSpec| nodes.get(process(end)?);
        for route in &config.routes {
            let from: BTreeSet<&ProcessId> = route.from.iter().filter_map(|end| node(&end.endpoint)).collect();
            let to: BTreeSet<&ProcessId> = route.to.iter().filter_map(|end| node(&end.endpoint)).collect();
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
        let mut free: VecDeque<ProcessId> = self
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
    fn walk(&self) -> Option<Vec<ProcessId>> {
        let mut at = self.written_by.keys().next()?;
        let mut path: Vec<&ProcessId> = Vec::new();
        let mut seen = HashSet::new();
        while seen.insert(at) {
            path.push(at);
            at = self.written_by.get(at)?.first()?;
        }
        let start = path.iter().position(|name| *name == at)?;
        let mut cycle: Vec<ProcessId> = path[start..].iter().rev().map(|name| (*name).clone()).collect();
        let least = cycle
            .iter()
            .enumerate()
            .min_by_key(|(_, name)| *name)
            .map_or(0, |(index, _)| index);
        cycle.rotate_left(least);
        Some(cycle)
    }

    fn remove(&mut self, cycle: &[ProcessId]) {
        for name in cycle {
            for next in self.writes_to.remove(name).unwrap_or_default() {
                drop_edge(&mut self.written_by, &next, name);
            }
            for before in self.written_by.remove(name).unwrap_or_default() {
                drop_edge(&mut self.writes_to, &before, name);
            }
        }
    }

    fn route(&self, cycle: &[ProcessId]) -> Option<Name> {
        let (first, next) = (cycle.first()?, cycle.get(1).or(cycle.first())?);
        self.routes.get(&(first.clone(), next.clone())).cloned()
    }
}

fn drop_edge(edges: &mut BTreeMap<ProcessId, BTreeSet<ProcessId>>, from: &ProcessId, to: &ProcessId) {
    if let Some(ends) = edges.get_mut(from) {
        ends.remove(to);
        if ends.is_empty() {
            edges.remove(from);
        }
    }
}

fn process(endpoint: &EndpointSpec) -> Option<&ProcessId> {
    endpoint::stream_of(endpoint).map(|(process, _)| process)
}

/// A route, and a side of it.
type Place = (usize, Side);

/// The node of each process that stands in a route: the process itself, for all instances that stand in the same
/// places the first of them, and where these are all that there are, the process without an instance.
fn nodes(config: &Config) -> HashMap<&ProcessId, ProcessId> {
    let mut stands: BTreeMap<&ProcessId, Vec<Place>> = BTreeMap::new();
    for (index, route) in config.routes.iter().enumerate() {
        let from = route.from.iter().map(|end| (&end.endpoint, Side::Source));
        let to = route.to.iter().map(|end| (&end.endpoint, Side::Destination));
        for (end, side) in from.chain(to) {
            let Some(places) = process(end).map(|process| stands.entry(process).or_default()) else {
                continue;
            };
            if places.last() != Some(&(index, side)) {
                places.push((index, side));
            }
        }
    }
    let mut alike: HashMap<(&Name, &[Place]), Vec<&ProcessId>> = HashMap::new();
    for (process, places) in &stands {
        alike.entry((&process.name, places)).or_default().push(process);
    }
    let instances: HashMap<&Name, Option<u16>> = config
        .processes
        .iter()
        .map(|process| (&process.name, process.instances))
        .collect();
    let node = |members: &[&ProcessId]| {
        let first = members.first()?;
        let all = instances.get(&first.name).copied().flatten().map(usize::from);
        let whole = (all == Some(members.len())).then(|| ProcessId::single(first.name.clone()));
        Some(whole.unwrap_or_else(|| (*first).clone()))
    };
    let mut nodes = HashMap::new();
    for members in alike.into_values() {
        let Some(node) = node(&members) else { continue };
        nodes.extend(members.into_iter().map(|member| (member, node.clone())));
    }
    nodes
}

/// Groups whose members cannot connect to the control socket that the daemon makes: connect(2) takes permission to write.
#[must_use]
pub fn shut_out(config: &Config) -> Vec<Warning> {
    let control = &config.control;
    let warning = |key: &str, name: &str, mode: &str, why: &str| Warning {
        subject: Subject::Daemon,
        text: format!(
            "`{key}` {name:?} of [control] cannot connect to the control socket: mode {:?} {why}; set mode = \"{mode}\", \
             or leave it out",
            format!("{:04o}", control.mode)
        ),
    };
    let given = [("group", &control.group), ("read-group", &control.read_group)];
    let mut given = given
        .into_iter()
        .filter_map(|(key, name)| Some((key, name.as_deref()?)));
    let mut warnings = Vec::new();
    let of_file = given.next();
    let other = given
        .next()
        .filter(|(_, name)| of_file.is_some_and(|(_, first)| first != *name));
    let wanted = if other.is_some() { "0666" } else { "0660" };
    if let Some((key, name)) = of_file.filter(|_| control.mode & 0o020 == 0) {
        warnings.push(warning(key, name, wanted, "does not let the file's group write"));
    }
    if let Some((key, name)) = other.filter(|_| control.mode & 0o002 == 0) {
        let why = "lets nobody in who is not in the file's group, which is `group`";
        warnings.push(warning(key, name, wanted, why));
    }
    warnings
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
    let by_hand = config
        .processes
        .iter()
        .filter(|spec| !spec.autostart)
        .map(|spec| Warning {
            subject: Subject::Process(ProcessId::single(spec.name.clone())),
            text: "with autostart = false it is waited for until somebody starts it; `sluicectl start` does".to_owned(),
        });
    sources.chain(by_hand).chain(endless_producers(config)).collect()
}

/// One warning a process, unless only some of its instances are endless.
fn endless_producers(config: &Config) -> impl Iterator<Item = Warning> {
    let inputs = config.routes.iter().flat_map(|route| &route.to);
    let fed: HashSet<&ProcessId> = inputs.filter_map(|to| process(&to.endpoint)).collect();
    let endless = |spec: &&ProcessSpec| spec.autostart && spec.restart == Restart::Always;
    let subjects = move |spec: &ProcessSpec| {
        let ids = spec.ids();
        let unfed: Vec<ProcessId> = ids.iter().filter(|id| !fed.contains(id)).cloned().collect();
        match unfed.len() == ids.len() {
            true => vec![ProcessId::single(spec.name.clone())],
            false => unfed,
        }
    };
    let warning = |process| {
        Warning {
        subject: Subject::Process(process),
        text: "with restart = \"always\" and no route into it, it never finishes; set restart = \"on-failure\" or \"never\""
            .to_owned(),
    }
    };
    config.processes.iter().filter(endless).flat_map(subjects).map(warning)
}
