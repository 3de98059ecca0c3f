//! One Monitor: the snapshot, then the events of its subjects. Depends on `link` and `types`.

use std::sync::Arc;

use serde_json::{Map, json};
use tokio::sync::{OwnedSemaphorePermit, broadcast};
use tokio_util::sync::CancellationToken;

use super::backend::Subscription;
use super::link::{BATCH, Broken, Link};
use super::table::{Doing, Seat};
use super::types::{Event, Snapshot};
use crate::sys::clock;

/// What a Monitor's client asked for.
#[derive(Debug)]
pub(super) struct Filter(pub(super) Option<Vec<String>>);

impl Filter {
    /// A subject is itself, `route:NAME` its endpoints too, and `process:NAME` its instances too.
    fn takes(&self, subject: &str) -> bool {
        let Some(wanted) = &self.0 else { return true };
        wanted.iter().any(|wanted| {
            let below = if wanted.starts_with("route:") { '/' } else { '@' };
            subject == wanted
                || wanted != "daemon"
                    && subject
                        .strip_prefix(wanted.as_str())
                        .is_some_and(|rest| rest.starts_with(below))
        })
    }

    /// Whether a route is shown in the snapshot: it, or one of its endpoints, was asked for.
    fn shows_route(&self, name: &str) -> bool {
        let subject = format!("route:{name}");
        let endpoints = format!("{subject}/");
        self.takes(&subject) || self.0.iter().flatten().any(|wanted| wanted.starts_with(&endpoints))
    }

    fn snapshot(&self, mut snapshot: Snapshot) -> Snapshot {
        snapshot.routes.retain(|route| self.shows_route(&route.name));
        snapshot
            .processes
            .retain(|process| self.takes(&format!("process:{}", process.name)));
        snapshot
    }
}

/// Runs until the client has gone, or the server stops: then what was told until now is still written.
pub(super) async fn run(
    link: &mut Link,
    seat: &Seat,
    subscription: Subscription,
    filter: Filter,
    place: Option<OwnedSemaphorePermit>,
    stop: &CancellationToken,
) -> Result<(), Broken> {
    let Subscription {
        seq,
        at_usec,
        snapshot,
        mut events,
    } = subscription;
    link.put_snapshot(seq, at_usec, filter.snapshot(snapshot)).await?;
    if link.pending() <= BATCH {
        drop(place);
        link.flush(seat, true).await?;
    } else {
        link.flush(seat, true).await?;
        drop(place);
    }
    let mut told = seq;
    loop {
        seat.does(Doing::Watching, clock::now());
        let next = tokio::select! {
            biased;
            next = events.recv() => next,
            () = link.gone() => return Ok(()),
            () = stop.cancelled() => return Ok(()),
        };
        let mut next = match next {
            Ok(event) => Ok(event),
            Err(broadcast::error::RecvError::Lagged(lost)) => Err(lost),
            Err(broadcast::error::RecvError::Closed) => return Ok(()),
        };
        loop {
            put(link, &filter, &mut told, next)?;
            // Less than a long reply: a Monitor that does not read has no deadline.
            if link.pending() >= BATCH / 2 {
                break;
            }
            next = match events.try_recv() {
                Ok(event) => Ok(event),
                Err(broadcast::error::TryRecvError::Lagged(lost)) => Err(lost),
                Err(_) => break,
            };
        }
        link.flush(seat, true).await?;
        // A client that reads as fast as it is written to must not keep the others waiting.
        tokio::task::yield_now().await;
    }
}

fn put(link: &mut Link, filter: &Filter, told: &mut u64, next: Result<Arc<Event>, u64>) -> Result<(), Broken> {
    match next {
        Ok(event) if event.seq <= *told => Ok(()),
        Ok(event) => {
            *told = event.seq;
            if filter.takes(&event.subject) {
                link.put(&*event, true)
            } else {
                Ok(())
            }
        }
        Err(lost) => {
            *told += lost;
            let event = Event {
                seq: *told,
                at_usec: clock::realtime_usec(),
                kind: "overrun".into(),
                subject: "daemon".into(),
                detail: Map::from_iter([("lost".to_owned(), json!(lost))]),
            };
            link.put(&event, true)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_subjects_are_told() {
        for (wanted, subject, told) in [
            ("daemon", "daemon", true),
            ("daemon", "daemon@1", false),
            ("daemon", "route:a", false),
            ("route:a", "route:a", true),
            ("route:a", "route:a/fifo:/x", true),
            ("route:a", "route:ab", false),
            ("route:a", "route:ab/null", false),
            ("route:a/fifo:/x", "route:a/fifo:/x", true),
            ("route:a/fifo:/x", "route:a", false),
            ("route:a/fifo:/x", "route:a/fifo:/xy", false),
            ("process:w", "process:w", true),
            ("process:w", "process:w@2", true),
            ("process:w@2", "process:w@2", true),
            ("process:w@2", "process:w@22", false),
            ("process:w@2", "process:w", false),
        ] {
            assert_eq!(
                Filter(Some(vec![wanted.into()])).takes(subject),
                told,
                "{wanted} {subject}"
            );
        }
        assert!(Filter(None).takes("anything"));
        assert!(Filter(Some(vec!["route:a/null".into()])).shows_route("a"));
        assert!(!Filter(Some(vec!["route:a/null".into()])).shows_route("b"));
    }
}
