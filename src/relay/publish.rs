//! Writes the route's snapshot between two turns, and then tells what has happened.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::message::Report;
use super::route::RelayedRoute;
use crate::model::Distribution;

impl RelayedRoute {
    pub(super) fn publish(&mut self) {
        self.write_snapshot();
        for event in std::mem::take(&mut self.untold.events) {
            self.reports.event(event);
        }
        if std::mem::take(&mut self.untold.changed) {
            self.reports.report(Report::Changed(self.spec.name.clone()));
        }
    }

    fn write_snapshot(&self) {
        let mut cell = self.cell.lock();
        cell.state = self.machine.state();
        cell.reasons = self.machine.gate().reasons();
        cell.paused_since = self.machine.gate().since();
        cell.pauses = self.pauses.count();
        cell.paused = self.pauses.ended();
        cell.path = self.chooser.path();
        cell.accepted_bytes = self.accepted;
        let has_records = self.has_records();
        cell.retired_bytes = self.retired;
        cell.removed_source_bytes = self.removed.bytes;
        cell.removed_source_records = has_records.then_some(self.removed.records);
        cell.accepted_records = has_records.then_some(self.accepted_records);
        for (i, (source, shown)) in std::iter::zip(&self.sources, &mut cell.sources).enumerate() {
            shown.state = self.machine.source(i).state();
            shown.is_reading = self.machine.is_reading(i);
            shown.bytes = source.bytes;
            shown.partial_bytes = source.framer.partial();
            shown.records = has_records.then_some(source.records);
            shown.oversized_records = has_records.then_some(source.oversized);
            shown.holds = self.holder == Some(i) && self.spec.distribution == Distribution::Broadcast;
            shown.opens = source.opens;
            shown.close_cause.clone_from(&source.close_cause);
            shown.trouble = source.kind.trouble();
            share(
                &mut shown.descriptor,
                source.end.as_ref().map(crate::transport::ReadEnd::descriptor),
            );
        }
        for (i, (destination, shown)) in std::iter::zip(&self.destinations, &mut cell.destinations).enumerate() {
            shown.state = self.machine.destination(i).state();
            shown.full = self.machine.destination(i).is_full();
            shown.gone = self.machine.destination(i).is_gone();
            // One reading of what the file's own thread has written: the law holds for the two numbers together.
            let crate::endpoint::ends::Reached { bytes, records } = destination.delivered();
            shown.bytes = bytes;
            shown.records = has_records.then_some(records);
            shown.queued_bytes = destination.accounted() - destination.dropped.bytes - bytes;
            shown.dropped_bytes = destination.dropped.bytes;
            shown.dropped_records = has_records.then_some(destination.dropped.records);
            shown.unread_bytes = destination.unread;
            shown.from_bytes = destination.from;
            shown.upto_bytes = destination.upto;
            shown.high_watermark = destination.mark.high();
            shown.low_watermark = destination.mark.low();
            shown.when_full = destination.backlog.policy();
            shown.opens = destination.opens;
            shown.close_cause.clone_from(&destination.close_cause);
            shown.waits_by = destination.kind.waits_by();
            shown.trouble = destination.kind.trouble().or_else(|| self.stall.clone());
            share(&mut shown.descriptor, destination.pipe());
        }
    }
}

fn share(shown: &mut Option<Arc<OwnedFd>>, end: Option<&Arc<OwnedFd>>) {
    let same = match (&*shown, end) {
        (Some(shown), Some(end)) => Arc::ptr_eq(shown, end),
        (None, None) => true,
        _ => false,
    };
    if !same {
        *shown = end.cloned();
    }
}
