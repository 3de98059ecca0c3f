//! What a process says of itself, and what it waits for.

use std::iter::zip;

use super::{End, Frozen, Link, Part, Plumbing, ProcessFacts, RouteFacts, Step, Weight};
use crate::decide::start_order::is_coming;
use crate::model::amount::{duration, size};
use crate::model::{CloseCause, DestinationState, Exit, Moment, ProcessId, ProcessState, RouteState};

impl Plumbing {
    pub(super) fn look_at_process(&self, place: usize, part: Part) -> Step {
        let facts = &self.processes[place];
        let id = &facts.shown.id;
        if let Some(awaited) = self.awaited(facts) {
            let whom = &self.processes[awaited].shown.id;
            return Step {
                text: format!("{id} waits for {whom}, which is downstream of it, to be ready"),
                since: facts.shown.since,
                next: Some(Link::Process(awaited, Part::Open)),
            };
        }
        if let Some(ailment) = facts.ailment(self.now) {
            // Since when it is frozen the kernel does not tell.
            let since = facts.shown.since.filter(|_| facts.frozen.is_none());
            let closed = self.closed_output(facts);
            let because = closed.map_or_else(String::new, |route| {
                format!(
                    "; nobody takes what it writes: its route {} is closed",
                    self.routes[route].shown.name
                )
            });
            return Step {
                text: format!("{id} {ailment}{because}"),
                since,
                next: closed.map(Link::Route),
            };
        }
        let (says, next) = match part {
            Part::Read => self.reads(facts),
            Part::Write => self.writes(facts),
            Part::Open => (format!("{}, but has closed that end", facts.runs()), None),
            Part::Nothing => (facts.runs(), None),
        };
        Step {
            text: format!("{id} {says}"),
            since: None,
            next,
        }
    }

    /// For whom a process waits before it is started; of several, one that does not wait itself.
    fn awaited(&self, facts: &ProcessFacts) -> Option<usize> {
        if facts.shown.state != ProcessState::Waiting {
            return None;
        }
        let id = &facts.shown.id;
        let feeds = |ends: &[End]| ends.iter().any(|end| end.process.as_ref() == Some(id));
        let fed = self.routes.iter().filter(|route| feeds(&route.sources));
        let fed = fed.flat_map(|route| route.destinations.iter().filter_map(|end| end.process.as_ref()));
        let places = fed
            .filter(|other| *other != id)
            .filter_map(|other| self.place_of(other));
        let coming = places.filter(|place| is_coming(&self.processes[*place].shown));
        coming.min_by_key(|place| self.processes[*place].shown.state == ProcessState::Waiting)
    }

    fn reads(&self, facts: &ProcessFacts) -> (String, Option<Link>) {
        match self.blocked_output(&facts.shown.id) {
            Some(route) => {
                let text = format!("is not reading: its route {}", self.does_not_take(route));
                (text, Some(Link::Route(route)))
            }
            None => (format!("{} and reads too slowly, or not at all", facts.runs()), None),
        }
    }

    fn writes(&self, facts: &ProcessFacts) -> (String, Option<Link>) {
        let id = &facts.shown.id;
        if let Some(route) = self.blocked_output(id) {
            let text = format!(
                "is stuck in another of its outputs: its route {}",
                self.does_not_take(route)
            );
            return (text, Some(Link::Route(route)));
        }
        let inputs = self.inputs(id);
        let stands: u64 = inputs.iter().map(|(_, stands)| stands).sum();
        match inputs.first() {
            None => (format!("{} and writes nothing", facts.runs()), None),
            Some(_) if stands > 0 => (
                format!("{} and writes nothing, with {} to read", facts.runs(), size(stands)),
                None,
            ),
            Some((route, _)) => {
                let name = &self.routes[*route].shown.name;
                (
                    format!("has read all that came to it by route {name}"),
                    Some(Link::Route(*route)),
                )
            }
        }
    }

    fn does_not_take(&self, route: usize) -> String {
        let shown = &self.routes[route].shown;
        match shown.state {
            RouteState::Flowing => format!("{} waits for the end of a long record", shown.name),
            state => format!("{} is {state}", shown.name),
        }
    }

    /// The route that does not take what stands in an output of the process; of several, that with the most.
    fn blocked_output(&self, id: &ProcessId) -> Option<usize> {
        let all = self.routes.iter().enumerate();
        let stuck = all.filter(|(_, route)| route.shown.state != RouteState::Flowing || self.held(route).is_some());
        let standing = stuck.filter_map(|(place, route)| {
            let ours = route.sources.iter().filter(|end| end.process.as_ref() == Some(id));
            let most = ours.filter_map(|end| end.stands).max()?;
            (most > 0).then_some((most, place))
        });
        // Of those that hold the same, the first.
        standing
            .max_by_key(|(most, place)| (*most, std::cmp::Reverse(*place)))
            .map(|(_, place)| place)
    }

    /// The route of a process that has ended badly, where that has ended before it for want of a reader: whoever writes
    /// there gets SIGPIPE or EPIPE.
    fn closed_output(&self, facts: &ProcessFacts) -> Option<usize> {
        let ended = matches!(
            facts.shown.state,
            ProcessState::BackingOff | ProcessState::Failed | ProcessState::Finished
        );
        let badly = !matches!(facts.shown.last_exit, None | Some(Exit::Code(0) | Exit::NotExecuted(_)));
        let unread = |route: &RouteFacts| {
            zip(&route.shown.sources, &route.sources).any(|(shown, end)| {
                end.process.as_ref() == Some(&facts.shown.id) && shown.close_cause == Some(CloseCause::PeerGone)
            })
        };
        let of_closed = |route: &RouteFacts| route.shown.state == RouteState::Closed && unread(route);
        self.routes.iter().position(of_closed).filter(|_| ended && badly)
    }

    /// The routes that still feed the process, and what stands on the way from each.
    fn inputs(&self, id: &ProcessId) -> Vec<(usize, u64)> {
        let ends = self.routes.iter().enumerate().flat_map(|(place, route)| {
            zip(&route.shown.destinations, &route.destinations).map(move |(shown, end)| (place, shown, end))
        });
        let ours = ends.filter(|(_, _, end)| end.process.as_ref() == Some(id));
        let live =
            ours.filter(|(_, shown, _)| !matches!(shown.state, DestinationState::Closed | DestinationState::Failed));
        live.map(|(place, shown, end)| (place, shown.queued_bytes + end.stands.unwrap_or(0)))
            .collect()
    }

    pub(super) fn weight(&self, place: usize, part: Part) -> Weight {
        let facts = &self.processes[place];
        let id = &facts.shown.id;
        if facts.ailment(self.now).is_some() {
            return Weight::Root;
        }
        let waits = match part {
            Part::Read => self.blocked_output(id).is_some(),
            Part::Write => self.blocked_output(id).is_some() || !self.inputs(id).is_empty(),
            Part::Open | Part::Nothing => return Weight::Root,
        };
        if waits { Weight::Waits } else { Weight::Runs }
    }
}

impl ProcessFacts {
    /// What keeps it from running, in words; `None` when it runs.
    pub(super) fn ailment(&self, now: Moment) -> Option<String> {
        let shown = &self.shown;
        let id = &shown.id;
        let by_hand = |what: &str| format!("`sluicectl start {id}` {what}");
        if let Some(frozen) = self.frozen {
            let pid = self.pid();
            return Some(match frozen {
                Frozen::Stopped => {
                    format!("is frozen{pid}: a signal has stopped it (state T), and SIGCONT lets it go on")
                }
                Frozen::Traced => format!("is frozen{pid}: a debugger holds it (state t)"),
            });
        }
        let exit = shown.last_exit.as_ref().map(exited);
        Some(match shown.state {
            ProcessState::Ready => return None,
            ProcessState::Waiting => "waits for those downstream of it to be ready".to_owned(),
            ProcessState::Starting => format!("is starting{}, and not ready yet", self.pid()),
            ProcessState::BackingOff => {
                let because = exit.map_or_else(String::new, |exit| format!(": {exit}"));
                let next = shown.next_start_at.map_or(0, |at| at.usec_since(now));
                format!("is backing off{because}; it is started again in {}", duration(next))
            }
            ProcessState::Stopping => format!("is stopping{}", self.pid()),
            ProcessState::Stopped if shown.started_at.is_none() => {
                format!("is stopped: nobody has started it yet; {}", by_hand("does"))
            }
            ProcessState::Stopped => format!("is stopped by an operator; {}", by_hand("starts it again")),
            ProcessState::Finished => {
                let because = exit.map_or_else(String::new, |exit| format!(": {exit}"));
                format!("has finished{because}")
            }
            ProcessState::Failed => {
                let text = shown
                    .status_text
                    .clone()
                    .or(exit)
                    .unwrap_or_else(|| "nobody knows why".to_owned());
                format!("has failed: {text}; {}", by_hand("tries again"))
            }
        })
    }

    fn runs(&self) -> String {
        format!("runs{}", self.pid())
    }

    fn pid(&self) -> String {
        self.shown.pid.map_or_else(String::new, |pid| format!(" (pid {pid})"))
    }
}

fn exited(exit: &Exit) -> String {
    match exit {
        Exit::Code(code) => format!("it exited with code {code}"),
        Exit::Signal { .. } => format!("it was {exit}"),
        Exit::NotExecuted(text) => text.clone(),
        Exit::Faulted { fault, exit } => format!("{fault}; {}", exited(exit)),
    }
}
