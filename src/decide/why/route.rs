//! What a route says of itself, and what is in its way.

use std::iter::zip;

use super::ends::{is_live, short, source_trouble};
use super::{End, Finding, Link, Part, Plumbing, RouteFacts, Step, Weight, gravest};
use crate::model::amount::size;
use crate::model::{CloseCause, PauseReason, ProcessState, RouteState};

impl Plumbing {
    pub(super) fn look_at_route(&self, place: usize) -> Step {
        let route = &self.routes[place];
        let (says, next) = match route.shown.state {
            RouteState::Closed => self.closed(route),
            RouteState::Draining => self.draining(route),
            RouteState::Opening => self.opening(route),
            RouteState::Paused => self.paused(route),
            RouteState::Flowing => self.flowing(route),
        };
        let since = match route.shown.state {
            RouteState::Paused => route.shown.paused_since,
            _ => None,
        };
        Step {
            text: format!("{} {says}", route.shown.name),
            since,
            next,
        }
    }

    fn paused(&self, route: &RouteFacts) -> (String, Option<Link>) {
        let reasons = route.shown.reasons;
        let found = gravest(self.obstacles(route));
        if reasons.contains(PauseReason::Operator) {
            let besides = found.map_or_else(String::new, |found| format!("; besides: {}", found.text));
            let name = &route.shown.name;
            let text = format!("is paused by an operator: `sluicectl resume {name}` lets it go on{besides}");
            return (text, None);
        }
        match found {
            Some(found) => (format!("is paused: {}", found.text), found.next),
            None if reasons.contains(PauseReason::RateLimit) => (format!("is held to its {}", rate(route)), None),
            None => {
                let reasons: Vec<&str> = reasons.iter().map(PauseReason::as_str).collect();
                (format!("is paused: {}", reasons.join(", ").replace('_', " ")), None)
            }
        }
    }

    fn opening(&self, route: &RouteFacts) -> (String, Option<Link>) {
        let ends =
            zip(names_of_sources(route), &route.sources).chain(zip(names_of_destinations(route), &route.destinations));
        let starting = ends.filter_map(|(name, end)| {
            let next = self.to_process(end, Part::Open)?;
            let Link::Process(place, _) = next else { return None };
            let state = self.processes[place].shown.state;
            matches!(state, ProcessState::Starting | ProcessState::Waiting).then(|| Finding {
                text: format!("the process of {} is not ready", short(name)),
                weight: Weight::Root,
                next: Some(next),
            })
        });
        let troubled = route.shown.sources.iter().filter_map(source_trouble);
        let mut findings: Vec<Finding> = starting.chain(troubled).collect();
        findings.extend(self.obstacles(route));
        let by_hand = if route.shown.reasons.contains(PauseReason::Operator) {
            "; besides, an operator has paused it"
        } else {
            ""
        };
        match gravest(findings) {
            Some(found) => (format!("is opening: {}{by_hand}", found.text), found.next),
            None => (format!("is opening: not every end has been tried yet{by_hand}"), None),
        }
    }

    fn draining(&self, route: &RouteFacts) -> (String, Option<Link>) {
        if let Some(found) = gravest(self.obstacles(route)) {
            return (format!("is draining: {}", found.text), found.next);
        }
        if let Some(found) = self.held(route) {
            return (format!("is draining, but {}", found.text), found.next);
        }
        let left = zip(&route.shown.sources, &route.sources).filter(|(shown, _)| is_live(shown));
        let left: Vec<String> = left
            .map(|(shown, end)| format!("{} in {}", size(end.stands.unwrap_or(0)), short(&shown.name)))
            .collect();
        if left.is_empty() {
            ("is draining: its last bytes are on their way".to_owned(), None)
        } else {
            (format!("is draining: still to be read: {}", left.join(", ")), None)
        }
    }

    fn flowing(&self, route: &RouteFacts) -> (String, Option<Link>) {
        if let Some(found) = gravest(self.passed_over(route)) {
            let text = format!("flows, and drops what its destination does not take: {}", found.text);
            return (text, found.next);
        }
        if let Some(found) = self.held(route) {
            return (format!("flows, but {}", found.text), found.next);
        }
        if let Some(found) = gravest(self.unread(route)) {
            return (format!("flows, but {}", found.text), found.next);
        }
        let stands = |end: &End| end.stands.is_some_and(|bytes| bytes > 0);
        if !route.sources.iter().any(stands)
            && let Some(found) = gravest(self.idle(route))
        {
            return (format!("has nothing to read just now: {}", found.text), found.next);
        }
        let limit = route
            .rate_limit
            .map_or_else(String::new, |_| format!(", within its {}", rate(route)));
        (format!("flows{limit}: nothing is stuck"), None)
    }

    fn closed(&self, route: &RouteFacts) -> (String, Option<Link>) {
        let name = &route.shown.name;
        if let Some((end, errno)) = io_error(route) {
            return (format!("is closed: {} failed with {errno}", short(end)), None);
        }
        let sources = || zip(&route.shown.sources, &route.sources);
        let ended_by = |wanted: &CloseCause| sources().find(|(shown, _)| shown.close_cause.as_ref() == Some(wanted));
        let reopen = format!("`sluicectl resume {name}` opens it again");
        if ended_by(&CloseCause::Aborted).is_some() {
            (format!("is closed: it was aborted; {reopen}"), None)
        } else if ended_by(&CloseCause::DrainTimeout).is_some() {
            (
                format!("is closed: it was not drained within its deadline; {reopen}"),
                None,
            )
        } else if ended_by(&CloseCause::Drained).is_some() {
            (format!("is closed: it was drained; {reopen}"), None)
        } else if ended_by(&CloseCause::PeerGone).is_some() {
            let mut destinations = zip(&route.shown.destinations, &route.destinations);
            let gone = destinations.find(|(shown, _)| shown.close_cause == Some(CloseCause::PeerGone));
            let (of, next) = gone.map_or(("its last destination", None), |(shown, end)| {
                (short(&shown.name), self.to_process(end, Part::Nothing))
            });
            (format!("is closed: the reader of {of} has gone for good"), next)
        } else if let Some((shown, end)) = ended_by(&CloseCause::Eof) {
            let text = format!(
                "is closed: {} has come to its end, and all of it was delivered",
                short(&shown.name)
            );
            (text, self.to_process(end, Part::Nothing))
        } else {
            ("is closed".to_owned(), None)
        }
    }
}

fn io_error(route: &RouteFacts) -> Option<(&str, &str)> {
    let sources = route.shown.sources.iter().map(|end| (&*end.name, &end.close_cause));
    let destinations = route
        .shown
        .destinations
        .iter()
        .map(|end| (&*end.name, &end.close_cause));
    sources.chain(destinations).find_map(|(name, cause)| match cause {
        Some(CloseCause::IoError(errno)) => Some((name, &**errno)),
        _ => None,
    })
}

fn names_of_sources(route: &RouteFacts) -> impl Iterator<Item = &str> {
    route.shown.sources.iter().map(|source| &*source.name)
}

fn names_of_destinations(route: &RouteFacts) -> impl Iterator<Item = &str> {
    route.shown.destinations.iter().map(|destination| &*destination.name)
}

fn rate(route: &RouteFacts) -> String {
    let limit = route.rate_limit.map(|bytes| format!(" of {}/s", size(bytes)));
    format!("rate limit{}", limit.unwrap_or_default())
}
