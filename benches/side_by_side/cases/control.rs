//! h: what the control socket does while the relay threads have all that they can do, and a reload of one route of many.

use std::time::Duration;

use super::busy::{busy, routes};
use crate::contest::Daemon;
use crate::support::clock::{self, Deadline};
use crate::support::{Plan, Row, Stage, Table, Target, Unit, interrupt, percentile};

const CASE: &str = "h-control";
/// More than there are relay threads.
const BUSY: usize = 8;
const MANY: usize = 1000;

pub fn run(plan: &Plan, table: &mut Table) {
    status(plan, table);
    reload(plan, table);
}

fn status(plan: &Plan, table: &mut Table) {
    if interrupt::came() {
        return;
    }
    let about = format!("GetStatus, {BUSY} bulk routes beside it");
    let row = |share: &str| Row::new(CASE, format!("{about}: {share}"), Unit::Milliseconds);
    let (mut loaded, mut idle): ([Vec<f64>; 2], [Vec<f64>; 2]) = Default::default();
    for _ in 0..plan.pairs {
        for (taken, busy) in [(&mut loaded, true), (&mut idle, false)] {
            match calls(plan, busy) {
                Ok(found) => std::iter::zip(taken, found).for_each(|(values, value)| values.push(value)),
                Err(error) => {
                    table.add(row("all").failed(error));
                    return;
                }
            }
        }
    }
    for (i, share) in ["p50", "p99"].iter().enumerate() {
        // The aim is for the number, not for its ratio.
        let aim = (i == 1).then_some(Target::AtMost(10.0));
        table.add(row(share).aims(aim).alone(&loaded[i]));
        table.add(Row::new(CASE, format!("GetStatus, idle: {share}"), Unit::Milliseconds).alone(&idle[i]));
    }
}

/// p50 and p99 in milliseconds.
fn calls(plan: &Plan, loaded: bool) -> Result<[f64; 2], String> {
    let mut stage = Stage::new(plan.patience())?;
    let daemon = Daemon::start(&mut stage, &routes(BUSY), None)?;
    daemon.await_routes(BUSY as u64)?;
    let window = (plan.sample * 2).max(Duration::from_secs(1));
    if loaded {
        busy(&mut stage, &daemon, BUSY, window + Duration::from_secs(5))?;
        stage.await_reports(&["drain"])?;
    }
    let mut control = daemon.control()?;
    control.raw("GetStatus")?;
    let over = Deadline::within(window);
    let mut took = Vec::new();
    while !over.passed() {
        let began = clock::now();
        control.raw("GetStatus")?;
        took.push(clock::now() - began);
        // Not one call after another: a question now and then is what comes, and it must wait for a busy machine.
        clock::pause(Duration::from_micros(500));
    }
    took.sort_unstable();
    Ok([0.5, 0.99].map(|share| percentile(&took, share) as f64 / 1e6))
}

fn reload(plan: &Plan, table: &mut Table) {
    if interrupt::came() {
        return;
    }
    let row = Row::new(
        CASE,
        format!("Reload that changes one route of {MANY}"),
        Unit::Milliseconds,
    );
    table.add(match reloads(plan) {
        Ok(taken) => row.alone(&taken),
        Err(error) => row.failed(error),
    });
}

fn reloads(plan: &Plan) -> Result<Vec<f64>, String> {
    let mut stage = Stage::new(plan.patience())?;
    let text = routes(MANY);
    let daemon = Daemon::start(&mut stage, &text, None)?;
    daemon.await_routes(MANY as u64)?;
    let mut control = daemon.control()?;
    let mut taken = Vec::new();
    for turn in 0..plan.pairs {
        let with = format!("to = \"fifo:out500\"\nhigh-watermark = \"{}KiB\"\n", 32 + turn);
        daemon.configure(&text.replace("to = \"fifo:out500\"\n", &with))?;
        let began = clock::now();
        let reply = control.ask("Reload")?;
        taken.push((clock::now() - began) as f64 / 1e6);
        let steps = reply["steps"].as_array().map_or(0, Vec::len);
        if steps != 1 {
            return Err(format!("a reload of one route has {steps} steps"));
        }
    }
    Ok(taken)
}
