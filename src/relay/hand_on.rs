//! What was read goes to the destinations: to all of them (`broadcast`), or each record to one (`balance`, in
//! `balance.rs`).

use super::backlog::Batch;
use super::destination::Written;
use super::route::RelayedRoute;
use crate::decide::dropping::Dropped;
use crate::decide::route::{DestinationPhase, Event};
use crate::framing::{Framed, terminator};
use crate::model::{Distribution, EventDetail, Moment, Subject};
use crate::sys::clock;
use crate::transport::Chunk;

/// An idle source keeps no buffer of more bytes than this.
const IDLE: usize = 4096;

impl RelayedRoute {
    /// Whether bytes may be taken from a source now.
    pub(super) fn may_take(&self, i: usize) -> bool {
        self.machine.may_read(i)
            && match self.spec.distribution {
                Distribution::Broadcast => self.holder.is_none_or(|holder| holder == i),
                Distribution::Balance => self.may_deal(i),
            }
    }

    /// Whether a source may come to its end now: what it has of a record would come into the middle of another's.
    pub(super) fn may_end(&self, i: usize) -> bool {
        self.holder.is_none_or(|holder| holder == i) || self.spec.distribution == Distribution::Balance
    }

    /// The beginning of a long record, which was held until the other sources had their turn.
    pub(super) fn hand_on_overdue(&mut self) {
        for i in 0..self.sources.len() {
            // What goes on in another route begins there.
            let goes_on = self.sources[i].goes_on && self.sources[i].limit == Some(0);
            if !goes_on && self.may_take(i) && self.sources[i].framer.overdue() {
                self.sources[i].oversized += 1;
                self.hand_on_framed(i, &[], Framed::PART);
            }
        }
    }

    /// `bytes` were read from a source. What is a record goes on.
    pub(super) fn hand_on(&mut self, i: usize, bytes: &[u8]) {
        let source = &mut self.sources[i];
        let was_long = source.framer.is_long();
        let framed = source.framer.take(bytes);
        source.oversized += framed.oversized;
        if was_long && source.goes_on && !source.framer.is_long() {
            // It has been read for this end alone.
            source.limit = Some(0);
        }
        if framed.out == 0 {
            source.partial.extend_from_slice(bytes);
            return;
        }
        self.hand_on_framed(i, bytes, framed);
    }

    fn hand_on_framed(&mut self, i: usize, bytes: &[u8], framed: Framed) {
        let source = &mut self.sources[i];
        let mut head = std::mem::take(&mut source.partial);
        source.records += framed.records;
        self.holder = source.framer.is_long().then_some(i);
        self.accepted_records += framed.records;
        let chunk = Chunk::new(&head, &bytes[..framed.out]);
        self.accepted += chunk.len() as u64;
        let batch = Batch {
            chunk,
            terminator: terminator(self.spec.framing),
            ended: framed.ended,
            records: framed.records,
        };
        match self.spec.distribution {
            Distribution::Broadcast => self.broadcast(&batch),
            Distribution::Balance => self.deal(i, &batch),
        }
        head.clear();
        head.extend_from_slice(&bytes[framed.out..]);
        if head.is_empty() && head.capacity() > IDLE {
            head = Vec::new();
        }
        self.sources[i].partial = head;
        for i in 0..self.destinations.len() {
            self.look_at_queue(i);
        }
        self.check_law();
    }

    fn broadcast(&mut self, batch: &Batch<'_>) {
        let mut troubled = Vec::new();
        for i in 0..self.destinations.len() {
            if self.destinations[i].is_over() {
                continue;
            }
            let (written, dropped) = self.destinations[i].accept(batch);
            self.tell_dropped(i, dropped);
            if written != Written::Fine {
                troubled.push((i, written));
            }
        }
        // Not before all of them have the batch: what ends now ends behind it.
        for (i, written) in troubled {
            self.written(i, written);
        }
    }

    /// A source is over. What it has of a record is the last one, handed on as it is.
    pub(super) fn finish_records(&mut self, i: usize) {
        // An abort ends them all. The record that was begun ends before the one that was held back for it.
        if let Some(holder) = self.holder.filter(|_| !self.may_end(i))
            && self.machine.source(holder).has_ended()
        {
            self.finish_records(holder);
        }
        let source = &mut self.sources[i];
        let tie = source.tie.take();
        if self.holder == Some(i) {
            self.holder = None;
        }
        let nobody = self.destinations.iter().all(super::destination::Destination::is_over);
        if nobody && !source.partial.is_empty() {
            return;
        }
        source.oversized += u64::from(source.framer.overdue());
        if !source.framer.finish() {
            return;
        }
        let partial = std::mem::take(&mut source.partial);
        source.records += 1;
        self.accepted_records += 1;
        self.accepted += partial.len() as u64;
        let batch = Batch {
            chunk: Chunk::new(&partial, &[]),
            terminator: terminator(self.spec.framing),
            ended: true,
            records: 1,
        };
        match self.spec.distribution {
            Distribution::Broadcast => {
                for i in 0..self.destinations.len() {
                    self.finish_for(i, &batch);
                }
            }
            Distribution::Balance => self.finish_dealing(i, tie, &batch),
        }
    }

    /// What was read of a record when nobody was left who could have got it is not the beginning of what comes now. It
    /// is a record that those have lost who were the last to end.
    pub(super) fn give_up_partial(&mut self, i: usize) {
        let source = &mut self.sources[i];
        if !source.framer.finish() {
            return;
        }
        let bytes = std::mem::take(&mut source.partial).len() as u64;
        source.records += 1;
        self.accepted_records += 1;
        let before = self.accepted;
        self.accepted += bytes;
        let dropped = Dropped { bytes, records: 1 };
        match self.spec.distribution {
            Distribution::Broadcast => {
                for destination in &mut self.destinations {
                    if destination.upto == Some(before) {
                        destination.upto = Some(self.accepted);
                        destination.drop_more(dropped);
                    }
                }
            }
            Distribution::Balance => self.destinations[self.last_dealt].drop_more(dropped),
        }
    }

    pub(super) fn finish_for(&mut self, i: usize, batch: &Batch<'_>) {
        let destination = &mut self.destinations[i];
        if destination.is_over() {
            return;
        }
        if batch.chunk.is_empty() {
            destination.records += destination.backlog.end_newest();
        } else {
            let dropped = destination.keep(batch, 0);
            self.tell_dropped(i, dropped);
        }
    }

    pub(super) fn written(&mut self, i: usize, written: Written) {
        match written {
            Written::Fine => {}
            Written::NoReader => self.found_no_reader(i),
            Written::Failed(cause) => {
                self.tell(&Event::DestinationFailed(i, cause));
            }
        }
    }

    pub(super) fn tell_dropped(&mut self, i: usize, dropped: Dropped) {
        if dropped.bytes > 0 && self.destinations[i].dropping.dropped(dropped, clock::now()) {
            let subject = Subject::Endpoint(self.spec.name.clone(), self.destinations[i].name.clone());
            self.event(subject, EventDetail::DroppingStarted);
        }
    }

    pub(super) fn tell_dropping_ended(&mut self, i: usize, dropped: Dropped) {
        let subject = Subject::Endpoint(self.spec.name.clone(), self.destinations[i].name.clone());
        let records = self.has_records().then_some(dropped.records);
        let bytes = dropped.bytes;
        self.event(subject, EventDetail::DroppingEnded { bytes, records });
    }

    pub(super) fn has_records(&self) -> bool {
        terminator(self.spec.framing).is_some()
    }

    /// Draws the consequences of how much is queued for a destination.
    pub(super) fn look_at_queue(&mut self, i: usize) {
        let destination = &mut self.destinations[i];
        // What waits for the end of a record must not keep that from being read.
        let queued = destination.takeable();
        destination.mark.on(queued);
        if destination.dropping.is_going_on() {
            let at_low = queued <= destination.mark.low();
            if let Some(dropped) = destination.dropping.on_queue(at_low, clock::now()) {
                self.tell_dropping_ended(i, dropped);
            }
        }
        let destination = &self.destinations[i];
        let full = if self.chooser.queues() {
            destination.mark.is_above()
        } else {
            // No queue: full when the kernel refuses. What one copy left over goes first.
            destination.refused || destination.teed > 0 || !destination.backlog.is_empty()
        };
        if let DestinationPhase::Open { full: before } = self.machine.destination(i)
            && *before != full
        {
            self.tell(&Event::DestinationFull(i, full));
        }
    }

    /// When the end of some dropping is to be told.
    pub(super) fn dropping_due(&self) -> Option<Moment> {
        self.destinations
            .iter()
            .filter_map(|destination| destination.dropping.due())
            .min()
    }
}
