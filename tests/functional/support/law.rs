//! The law of accounting, which holds in every reply.

use super::Shown;

/// Checks one route as shown: nothing that was accepted is unaccounted for, in any reply, at any moment.
pub fn check_law(route: &Shown) -> Result<(), String> {
    let accepted = route.int("acceptedBytes");
    let destinations = route.list("destinations");
    if route.text("distribution") == "balance" {
        let held: u64 = destinations.iter().map(accounted).sum();
        equal(
            "acceptedBytes",
            accepted,
            "retiredBytes + destinations",
            route.int("retiredBytes") + held,
            route,
        )?;
    } else {
        for destination in &destinations {
            let upto = destination.maybe_int("uptoBytes").unwrap_or(accepted);
            let owed = upto.checked_sub(destination.int("fromBytes"));
            let owed = owed.ok_or_else(|| format!("fromBytes is beyond what was accepted: {route}"))?;
            let name = destination.text("name");
            if destination.maybe_int("unreadBytes") > Some(destination.int("bytes")) {
                return Err(format!("more was left unread of {name} than it ever got: {route}"));
            }
            equal(
                &format!("owed to {name}"),
                owed,
                "bytes + queued + dropped",
                accounted(destination),
                route,
            )?;
        }
    }
    let sources = route.list("sources");
    let read: u64 = sources.iter().map(|source| source.int("bytes")).sum();
    let partial: u64 = sources.iter().map(|source| source.int("partialBytes")).sum();
    equal(
        "acceptedBytes + partialBytes",
        accepted + partial,
        "bytes of all sources, and removedSourceBytes",
        read + route.int("removedSourceBytes"),
        route,
    )
}

/// Checks the records of a route at rest, where it has records: every one that its sources gave it is written or dropped,
/// for each destination that was there from the beginning and has not left.
pub fn check_records(route: &Shown) -> Result<(), String> {
    let Some(accepted) = route.maybe_int("acceptedRecords") else {
        return if route.text("framing") == "bytes" {
            Ok(())
        } else {
            Err(format!("no acceptedRecords in {route}"))
        };
    };
    let read: u64 = route.list("sources").iter().map(|source| source.int("records")).sum();
    let read = read + route.maybe_int("removedSourceRecords").unwrap_or(0);
    equal("acceptedRecords", accepted, "records of all sources", read, route)?;
    for destination in &route.list("destinations") {
        if destination.int("fromBytes") > 0 || destination.maybe_int("uptoBytes").is_some() {
            continue;
        }
        let dropped = destination.maybe_int("droppedRecords").unwrap_or(0);
        let name = destination.text("name");
        let held = destination.int("records") + dropped;
        equal(
            "acceptedRecords",
            accepted,
            &format!("records and droppedRecords of {name}"),
            held,
            route,
        )?;
    }
    Ok(())
}

fn accounted(destination: &Shown) -> u64 {
    destination.int("bytes") + destination.int("queuedBytes") + destination.int("droppedBytes")
}

fn equal(left: &str, left_value: u64, right: &str, right_value: u64, route: &Shown) -> Result<(), String> {
    if left_value == right_value {
        return Ok(());
    }
    Err(format!(
        "the law of accounting is broken: {left} is {left_value}, {right} is {right_value}, in {route}"
    ))
}
