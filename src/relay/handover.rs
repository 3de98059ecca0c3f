//! A route on its way to the daemon's next life: it comes to rest, tells what it knows, and goes on from that in the next
//! life, or at once when that does not come. What it still owes, in user space and in its pipes, goes with it.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::Poll;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::oneshot;

use super::backlog::SavedBacklog;
use super::destination::Destination;
use super::rewire::Rewiring;
use super::route::RelayedRoute;
use super::source::{Source, Tie};
use crate::decide::dropping::{Dropped, Dropping};
use crate::decide::pauses::Pauses;
use crate::decide::rate::Bucket;
use crate::decide::route::Route;
use crate::decide::watermark::Watermark;
use crate::framing::Framer;
use crate::model::{CloseCause, EndpointSpec, RouteSpec};
use crate::sys::parcel::{Blob, Packed, Parcel, Slot, Unpacked, Unpacking};
use crate::transport::{Chooser, Growth, ReadEnd, SavedGrowth, SavedTee, WriteEnd};

/// Somebody wants the route at rest.
#[derive(Debug)]
pub(super) struct Freeze {
    /// Told what it knows when it is.
    pub reply: oneshot::Sender<io::Result<Packed>>,
    /// Then it goes on.
    pub thaw: oneshot::Receiver<()>,
}

#[derive(Serialize, Deserialize)]
struct SavedRoute {
    machine: Route,
    chooser: Chooser,
    tee: Option<SavedTee>,
    pauses: Pauses,
    accepted: u64,
    accepted_records: u64,
    holder: Option<usize>,
    is_held: bool,
    last_dealt: usize,
    last_read: usize,
    rate: Option<Bucket>,
    retired: u64,
    removed_bytes: u64,
    removed_records: u64,
    sources: Vec<SavedSource>,
    destinations: Vec<SavedDestination>,
}

#[derive(Serialize, Deserialize)]
struct SavedSource {
    name: String,
    kind: Value,
    end: Option<Slot>,
    bytes: u64,
    framer: Framer,
    partial: Blob,
    records: u64,
    oversized: u64,
    tie: Option<Tie>,
    opens: u64,
    limit: Option<u64>,
    abandoning: Option<i32>,
    close_cause: Option<CloseCause>,
    failure: Option<String>,
    #[serde(default)]
    growth: SavedGrowth,
}

#[derive(Serialize, Deserialize)]
struct SavedDestination {
    name: String,
    kind: Value,
    end: Option<SavedEnd>,
    backlog: SavedBacklog,
    mark: Watermark,
    teed: u64,
    refused: bool,
    sent: u64,
    records: u64,
    dropped: Dropped,
    dropped_before: u64,
    dropping: Dropping,
    from: u64,
    upto: Option<u64>,
    unread: Option<u64>,
    opens: u64,
    close_cause: Option<CloseCause>,
    failure: Option<String>,
    #[serde(default)]
    growth: SavedGrowth,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
enum SavedEnd {
    Pipe(Slot),
    /// What takes everything at once.
    Always(Slot),
}

impl RelayedRoute {
    /// Comes to rest, tells what it knows, and stays so until it is told to go on. What was commanded before has been
    /// obeyed, and what comes meanwhile waits.
    pub(super) async fn rest(&mut self, freeze: Freeze) {
        let Freeze { reply, mut thaw } = freeze;
        // A round that is not over is no one's yet: the source has it.
        self.abandon_round();
        self.publish();
        self.cell.end_turn();
        let at_rest = poll_fn(|cx| {
            let mut ready = true;
            for destination in &mut self.destinations {
                ready &= destination.kind.poll_freeze(cx).is_ready();
            }
            if ready { Poll::Ready(()) } else { Poll::Pending }
        });
        let at_rest = tokio::select! {
            biased;
            () = at_rest => true,
            _ = &mut thaw => false,
        };
        if at_rest {
            // Who asked may have given up.
            let _ = reply.send(Packed::new(|parcel| self.pack(parcel)));
            let _ = thaw.await;
        }
        for destination in &mut self.destinations {
            destination.kind.thaw();
        }
    }

    fn pack(&self, parcel: &mut Parcel) -> io::Result<SavedRoute> {
        if !matches!(self.rewiring, Rewiring::No) {
            return Err(io::Error::other(format!(
                "a reload of route {} is under way",
                self.spec.name
            )));
        }
        let sources = self.sources.iter().map(|source| source.pack(parcel));
        let sources = sources.collect::<io::Result<_>>()?;
        let destinations = self.destinations.iter().map(|destination| destination.pack(parcel));
        let destinations = destinations.collect::<io::Result<_>>()?;
        Ok(SavedRoute {
            machine: self.machine.clone(),
            chooser: self.chooser,
            tee: self.tee.as_ref().map(|tee| tee.pack(parcel)).transpose()?,
            pauses: self.pauses.clone(),
            accepted: self.accepted,
            accepted_records: self.accepted_records,
            holder: self.holder,
            is_held: self.is_held,
            last_dealt: self.last_dealt,
            last_read: self.last_read,
            rate: self.rate.clone(),
            retired: self.retired,
            removed_bytes: self.removed.bytes,
            removed_records: self.removed.records,
            sources,
            destinations,
        })
    }

    /// A fresh route becomes the one that was packed; where that cannot be, it stays a fresh one.
    pub(super) fn restored(mut self, packed: Unpacked) -> RelayedRoute {
        let Err(error) = self.unpack(packed) else { return self };
        let name = &self.spec.name;
        tracing::error!(route = %name, "route:{name}: begun anew, since it cannot go on where the daemon's last life has left it: {error}");
        let RelayedRoute {
            spec,
            cell,
            commands,
            reports,
            around,
            scratch,
            ..
        } = self;
        RelayedRoute::new(spec, cell, commands, reports, &around, scratch)
    }

    fn unpack(&mut self, packed: Unpacked) -> io::Result<()> {
        let (saved, mut parcel) = packed.read::<SavedRoute>()?;
        if saved.sources.len() != self.sources.len() || saved.destinations.len() != self.destinations.len() {
            return Err(io::Error::other("it has other endpoints in the config"));
        }
        for (source, saved) in std::iter::zip(&mut self.sources, saved.sources) {
            source.unpack(saved, &mut parcel)?;
        }
        for (destination, saved) in std::iter::zip(&mut self.destinations, saved.destinations) {
            destination.unpack(saved, &mut parcel)?;
        }
        if let (Some(tee), Some(saved)) = (&mut self.tee, saved.tee) {
            tee.unpack(saved, &mut parcel)?;
        }
        self.machine = saved.machine;
        self.chooser = saved.chooser;
        self.pauses = saved.pauses;
        (self.accepted, self.accepted_records) = (saved.accepted, saved.accepted_records);
        (self.holder, self.is_held) = (saved.holder, saved.is_held);
        (self.last_dealt, self.last_read) = (saved.last_dealt, saved.last_read);
        self.rate = saved.rate;
        self.retired = saved.retired;
        (self.removed.bytes, self.removed.records) = (saved.removed_bytes, saved.removed_records);
        self.check_law();
        Ok(())
    }
}

/// The spec with its endpoints in the order in which they were packed: by that they are counted in everything that was. A
/// reload that only puts them in another order changes nothing, but the config.
pub(super) fn as_packed(spec: Arc<RouteSpec>, packed: &Unpacked) -> Arc<RouteSpec> {
    let names = |key: &str| {
        let all = packed.state()[key].as_array().map(Vec::as_slice).unwrap_or_default();
        let names = all.iter().map(|one| one["name"].as_str().unwrap_or_default());
        names.map(str::to_owned).collect::<Vec<String>>()
    };
    let (from, to) = (names("sources"), names("destinations"));
    let mut ordered = (*spec).clone();
    let place = |names: &[String], endpoint: &EndpointSpec| {
        let shown = endpoint.to_string();
        names.iter().position(|name| *name == shown)
    };
    ordered.from.sort_by_key(|source| place(&from, &source.endpoint));
    ordered.to.sort_by_key(|destination| place(&to, &destination.endpoint));
    if ordered == *spec { spec } else { Arc::new(ordered) }
}

/// Whether this version can read what some version has written of a route.
pub fn check_packed(state: &Value) -> io::Result<()> {
    crate::sys::parcel::read::<SavedRoute>(state.clone()).map(drop)
}

fn is_named(name: &str, saved: &str) -> io::Result<()> {
    if name == saved {
        return Ok(());
    }
    Err(io::Error::other(format!("it has {name} where {saved} was")))
}

impl Source {
    fn pack(&self, parcel: &mut Parcel) -> io::Result<SavedSource> {
        Ok(SavedSource {
            name: self.name.to_string(),
            kind: self.kind.pack(parcel)?,
            end: parcel.put_some(self.end.as_ref().map(ReadEnd::descriptor))?,
            bytes: self.bytes,
            framer: self.framer.clone(),
            partial: parcel.put_bytes(self.partial.clone()),
            records: self.records,
            oversized: self.oversized,
            tie: self.tie,
            opens: self.opens,
            limit: self.limit,
            abandoning: self.abandoning,
            close_cause: self.close_cause.clone(),
            failure: self.failure.clone(),
            growth: self.end.as_ref().map(ReadEnd::saved_growth).unwrap_or_default(),
        })
    }

    fn unpack(&mut self, saved: SavedSource, parcel: &mut Unpacking) -> io::Result<()> {
        is_named(&self.name, &saved.name)?;
        self.kind.unpack(saved.kind, parcel)?;
        let end = parcel.take_some(saved.end)?.map(ReadEnd::new).transpose()?;
        self.end = end.map(|end| end.with_growth(Growth::restored(saved.growth)));
        self.bytes = saved.bytes;
        self.framer = saved.framer;
        self.partial = parcel.bytes(saved.partial)?.into();
        (self.records, self.oversized) = (saved.records, saved.oversized);
        (self.tie, self.opens, self.limit) = (saved.tie, saved.opens, saved.limit);
        self.abandoning = saved.abandoning;
        (self.close_cause, self.failure) = (saved.close_cause, saved.failure);
        Ok(())
    }
}

impl Destination {
    fn pack(&self, parcel: &mut Parcel) -> io::Result<SavedDestination> {
        let end = match &self.end {
            None => None,
            Some(end) if end.is_pipe() => Some(SavedEnd::Pipe(parcel.put(end.descriptor())?)),
            Some(end) => Some(SavedEnd::Always(parcel.put(end.descriptor())?)),
        };
        Ok(SavedDestination {
            name: self.name.to_string(),
            kind: self.kind.pack(parcel)?,
            end,
            backlog: self.backlog.pack(parcel),
            mark: self.mark,
            teed: self.teed,
            refused: self.refused,
            sent: self.sent,
            records: self.records,
            dropped: self.dropped,
            dropped_before: self.dropped_before,
            dropping: self.dropping.clone(),
            from: self.from,
            upto: self.upto,
            unread: self.unread,
            opens: self.opens,
            close_cause: self.close_cause.clone(),
            failure: self.failure.clone(),
            growth: self.end.as_ref().map(WriteEnd::saved_growth).unwrap_or_default(),
        })
    }

    fn unpack(&mut self, saved: SavedDestination, parcel: &mut Unpacking) -> io::Result<()> {
        is_named(&self.name, &saved.name)?;
        self.kind.unpack(saved.kind, parcel)?;
        self.end = match saved.end {
            None => None,
            Some(SavedEnd::Pipe(slot)) => {
                Some(WriteEnd::new(parcel.take(slot)?)?.with_growth(Growth::restored(saved.growth)))
            }
            Some(SavedEnd::Always(slot)) => Some(WriteEnd::always_writable(parcel.take(slot)?)),
        };
        self.backlog.unpack(saved.backlog, parcel)?;
        (self.mark, self.teed, self.refused) = (saved.mark, saved.teed, saved.refused);
        (self.sent, self.records) = (saved.sent, saved.records);
        (self.dropped, self.dropped_before) = (saved.dropped, saved.dropped_before);
        self.dropping = saved.dropping;
        (self.from, self.upto, self.unread) = (saved.from, saved.upto, saved.unread);
        self.opens = saved.opens;
        (self.close_cause, self.failure) = (saved.close_cause, saved.failure);
        Ok(())
    }
}
