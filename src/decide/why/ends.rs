//! What is in the way at a route's ends.

use std::iter::zip;

use super::{End, Finding, Link, Part, Plumbing, RouteFacts, Weight};
use crate::model::amount::size;
use crate::model::{DestinationSnapshot, DestinationState, RouteState, SourceSnapshot, SourceState, WhenFull};

impl Plumbing {
    /// The destinations that keep the route from being read, or from being over.
    pub(super) fn obstacles(&self, route: &RouteFacts) -> Vec<Finding> {
        let all = zip(&route.shown.destinations, &route.destinations);
        // A route that drains waits for every one, whatever its policy.
        let counts = |shown: &DestinationSnapshot| {
            shown.when_full == WhenFull::Block || route.shown.state == RouteState::Draining
        };
        all.filter(|(shown, _)| counts(shown))
            .filter_map(|(shown, end)| self.obstacle(shown, end))
            .collect()
    }

    /// The destinations that take nothing and hold nobody back.
    pub(super) fn passed_over(&self, route: &RouteFacts) -> Vec<Finding> {
        let all = zip(&route.shown.destinations, &route.destinations);
        all.filter(|(shown, _)| shown.when_full != WhenFull::Block)
            .filter_map(|(shown, end)| self.obstacle(shown, end))
            .collect()
    }

    fn obstacle(&self, shown: &DestinationSnapshot, end: &End) -> Option<Finding> {
        let name = short(&shown.name);
        let stands = shown.queued_bytes + end.stands.unwrap_or(0);
        let (text, part) = match shown.state {
            DestinationState::Closed | DestinationState::Failed => return None,
            DestinationState::Open if !shown.full => return None,
            DestinationState::Draining if !shown.gone && shown.queued_bytes == 0 => return None,
            DestinationState::Open => (format!("{name} is full ({})", size(stands)), Part::Read),
            DestinationState::Draining if !shown.gone => {
                let left = size(shown.queued_bytes);
                (format!("{left} are still to be written to {name}"), Part::Read)
            }
            DestinationState::Waiting if !shown.gone => (format!("{name} is not open yet"), Part::Open),
            DestinationState::Waiting | DestinationState::Draining => {
                let left = if stands > 0 {
                    format!(", where {} wait", size(stands))
                } else {
                    String::new()
                };
                (format!("no reader at {}{left}", path(name)), Part::Open)
            }
        };
        if let Some(trouble) = &shown.trouble {
            return Some(in_trouble(shown, stands, trouble));
        }
        let next = self.to_process(end, part);
        let weight = match next {
            Some(Link::Process(place, part)) => self.weight(place, part),
            _ => Weight::Root,
        };
        Some(Finding { text, weight, next })
    }

    /// What flows now into a pipe that nobody empties, or to where it cannot go on.
    pub(super) fn unread(&self, route: &RouteFacts) -> Vec<Finding> {
        let all = zip(&route.shown.destinations, &route.destinations);
        let ailing = all.filter_map(|(shown, end)| {
            if matches!(shown.state, DestinationState::Closed | DestinationState::Failed) {
                return None;
            }
            let stands = shown.queued_bytes + end.stands.unwrap_or(0);
            if let Some(trouble) = &shown.trouble {
                return Some(in_trouble(shown, stands, trouble));
            }
            let next = self.to_process(end, Part::Read)?;
            let Link::Process(place, _) = next else { return None };
            self.processes[place].ailment(self.now)?;
            Some(Finding {
                text: format!("nobody reads {}{}", short(&shown.name), waiting(stands)),
                weight: Weight::Root,
                next: Some(next),
            })
        });
        ailing.collect()
    }

    /// The source that is within a long record and writes nothing, while another one has something to read.
    pub(super) fn held(&self, route: &RouteFacts) -> Option<Finding> {
        let live = || zip(&route.shown.sources, &route.sources).filter(|(shown, _)| is_live(shown));
        let (holder, end) = live().find(|(shown, end)| shown.holds && end.stands.unwrap_or(0) == 0)?;
        let stands = |end: &End| end.stands.unwrap_or(0);
        let waits: u64 = live()
            .filter(|(shown, _)| !shown.holds)
            .map(|(_, end)| stands(end))
            .sum();
        (waits > 0).then(|| Finding {
            text: format!(
                "{} is within a record longer than max-record, and the other sources wait for its end ({} wait)",
                short(&holder.name),
                size(waits)
            ),
            weight: Weight::Root,
            next: self.to_process(end, Part::Write),
        })
    }

    pub(super) fn idle(&self, route: &RouteFacts) -> Vec<Finding> {
        let live = zip(&route.shown.sources, &route.sources).filter(|(shown, _)| is_live(shown));
        live.map(|(shown, end)| self.idle_source(shown, end)).collect()
    }

    fn idle_source(&self, shown: &SourceSnapshot, end: &End) -> Finding {
        if let Some(trouble) = source_trouble(shown) {
            return trouble;
        }
        let name = short(&shown.name);
        if let Some(next @ Link::Process(place, part)) = self.to_process(end, Part::Write) {
            return Finding {
                text: format!("nothing comes from {name}"),
                weight: self.weight(place, part),
                next: Some(next),
            };
        }
        let (text, weight) = match end.written {
            Some(false) if shown.bytes == 0 && shown.opens <= 1 => {
                (format!("no writer yet at {}", path(name)), Weight::Root)
            }
            Some(false) => (format!("no writer now at {}", path(name)), Weight::Root),
            Some(true) => (format!("the writer of {} writes nothing", path(name)), Weight::Runs),
            None => (format!("nothing comes from {name}"), Weight::Runs),
        };
        Finding {
            text,
            weight,
            next: None,
        }
    }
}

/// What is in trouble by itself does not wait for its process.
fn in_trouble(shown: &DestinationSnapshot, stands: u64, trouble: &str) -> Finding {
    Finding {
        text: format!("{} cannot go on{}: {trouble}", short(&shown.name), waiting(stands)),
        weight: Weight::Root,
        next: None,
    }
}

fn waiting(stands: u64) -> String {
    match stands {
        0 => String::new(),
        _ => format!(" ({} wait)", size(stands)),
    }
}

pub(super) fn is_live(source: &SourceSnapshot) -> bool {
    !matches!(source.state, SourceState::Ended | SourceState::Failed)
}

pub(super) fn source_trouble(source: &SourceSnapshot) -> Option<Finding> {
    let trouble = source.trouble.as_deref()?;
    is_live(source).then(|| Finding {
        text: format!("{} cannot be opened: {trouble}", short(&source.name)),
        weight: Weight::Root,
        next: None,
    })
}

/// An endpoint's name without what goes without saying: `consumer.stdin`.
pub(super) fn short(name: &str) -> &str {
    name.strip_prefix("process:").unwrap_or(name)
}

/// A name that is a path with its kind, without the kind.
fn path(name: &str) -> &str {
    match name.split_once(':') {
        Some((_, path)) if path.starts_with('/') => path,
        _ => name,
    }
}
