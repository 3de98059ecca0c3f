//! Why a route does not move: the causal chain over routes and processes, from the route that was asked about to the
//! root. A question to a snapshot and nothing else; depends on `model`.
//!
//! The chain goes with the data where something does not take it (a full destination, the process that does not read
//! it, that process's own output …), and against the data where there is nothing to take (an idle source, the process
//! that writes nothing, what it waits to read …). Where several things are in the way, the text names them all, and
//! the chain follows the gravest: one that waits for nothing else before one that only passes on what it waits for.

mod ends;
mod process;
mod route;
#[cfg(test)]
mod tests;

use crate::model::{Moment, Name, ProcessId, ProcessSnapshot, RouteSnapshot, Subject};

/// What is known at the time of asking. May be a part of all, as long as everything that the route reaches is in it.
#[derive(Clone, Debug, Default)]
pub struct Plumbing {
    /// The time.
    pub now: Moment,
    /// In config order.
    pub routes: Vec<RouteFacts>,
    /// In config order.
    pub processes: Vec<ProcessFacts>,
}

/// A route, and what its snapshot does not tell.
#[derive(Clone, Debug)]
pub struct RouteFacts {
    /// With the state as shown.
    pub shown: RouteSnapshot,
    /// Bytes a second.
    pub rate_limit: Option<u64>,
    /// Of each source.
    pub sources: Vec<End>,
    /// Of each destination.
    pub destinations: Vec<End>,
}

/// An endpoint, as the config and the kernel know it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct End {
    /// Whose stream it is.
    pub process: Option<ProcessId>,
    /// Bytes that stand in its pipe, while that is open.
    pub stands: Option<u64>,
    /// Of a source: whether somebody has it open for writing, where that can be told.
    pub written: Option<bool>,
}

/// A process, and what its snapshot does not tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessFacts {
    /// As shown.
    pub shown: ProcessSnapshot,
    /// Whether the kernel runs it at all.
    pub frozen: Option<Frozen>,
}

/// Why the kernel does not run a process (proc_pid_stat(5)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frozen {
    /// State T: SIGSTOP, or a stop from a terminal.
    Stopped,
    /// State t: a tracer holds it.
    Traced,
}

/// One link of the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// A route or a process.
    pub subject: Subject,
    /// A sentence that stands by itself, without the time.
    pub text: String,
    /// Since when it is so, where that is known.
    pub since: Option<Moment>,
}

/// What is looked at next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    Route(usize),
    Process(usize, Part),
}

/// What a process was to do for the route that leads to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// Read its input.
    Read,
    /// Have its input open.
    Open,
    /// Write its output.
    Write,
    /// Nothing: the route is closed.
    Nothing,
}

/// What a look at one of them gives.
#[derive(Debug)]
struct Step {
    text: String,
    since: Option<Moment>,
    next: Option<Link>,
}

/// Something that is in a route's way.
#[derive(Debug)]
struct Finding {
    text: String,
    weight: Weight,
    next: Option<Link>,
}

/// How grave it is, the gravest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Weight {
    /// It waits for nothing else in the daemon.
    Root,
    /// It waits for another route.
    Waits,
    /// It runs, and may only be slow or have nothing to do.
    Runs,
}

/// The causes of the state of a route, root cause last. At least one; empty only where there is no such route.
#[must_use]
pub fn explain(plumbing: &Plumbing, route: &Name) -> Vec<Cause> {
    let place = plumbing.routes.iter().position(|facts| facts.shown.name == *route);
    let mut next = place.map(Link::Route);
    let mut seen = Vec::new();
    let mut causes = Vec::new();
    while let Some(link) = next {
        // Nothing changes between two looks: what comes again would come for ever.
        if let Some(first) = seen.iter().position(|before| *before == link) {
            causes.push(plumbing.cycle(&seen[first..]));
            break;
        }
        seen.push(link);
        let step = match link {
            Link::Route(place) => plumbing.look_at_route(place),
            Link::Process(place, part) => plumbing.look_at_process(place, part),
        };
        causes.push(Cause {
            subject: plumbing.subject(link),
            text: step.text,
            since: step.since,
        });
        next = step.next;
    }
    causes
}

impl Plumbing {
    fn subject(&self, link: Link) -> Subject {
        match link {
            Link::Route(place) => Subject::Route(self.routes[place].shown.name.clone()),
            Link::Process(place, _) => Subject::Process(self.processes[place].shown.id.clone()),
        }
    }

    /// Nobody in it moves until somebody outside of it does something.
    fn cycle(&self, links: &[Link]) -> Cause {
        let names: Vec<String> = links
            .iter()
            .chain(links.first())
            .map(|link| match self.subject(*link) {
                Subject::Route(name) => format!("route {name}"),
                other => other.to_string().replacen(':', " ", 1),
            })
            .collect();
        Cause {
            subject: links.first().map_or(Subject::Daemon, |link| self.subject(*link)),
            text: format!("this is a cycle, each waits for the next: {}", names.join(" → ")),
            since: None,
        }
    }

    fn place_of(&self, process: &ProcessId) -> Option<usize> {
        self.processes.iter().position(|facts| facts.shown.id == *process)
    }

    /// The way to the process of an end, where it is one of a process.
    fn to_process(&self, end: &End, part: Part) -> Option<Link> {
        let place = self.place_of(end.process.as_ref()?)?;
        Some(Link::Process(place, part))
    }
}

/// The gravest with the words of all, in the order in which they were found where they weigh the same.
fn gravest(mut findings: Vec<Finding>) -> Option<Finding> {
    /// So many others are named.
    const NAMED: usize = 3;
    findings.sort_by_key(|finding| finding.weight);
    let mut all = findings.into_iter();
    let mut first = all.next()?;
    let others: Vec<String> = all.map(|other| other.text).collect();
    if !others.is_empty() {
        first.text = format!("{}; also: {}", first.text, others[..others.len().min(NAMED)].join(", "));
        if others.len() > NAMED {
            first.text = format!("{}, and {} more", first.text, others.len() - NAMED);
        }
    }
    Some(first)
}
