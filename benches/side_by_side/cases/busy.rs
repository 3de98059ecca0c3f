//! g: many busy routes, beside one.

use std::process::Stdio;
use std::time::Duration;

use crate::contest::Daemon;
use crate::load::{DRAIN, FEED};
use crate::support::{Cpu, Plan, Report, Row, Spread, Stage, Table, Target, Unit, cpu, interrupt};

const CASE: &str = "g-busy";

/// What some routes did in one window.
struct Window {
    speed: f64,
    fairness: f64,
    cost: f64,
}

pub fn run(plan: &Plan, table: &mut Table) {
    for count in [10, 100, 1000] {
        if interrupt::came() {
            return;
        }
        let about = format!("{count} routes FIFO→FIFO");
        let mut row = Row::new(CASE, format!("{about}, together"), Unit::GigabytesPerSecond)
            .against("one route")
            .aims((count == 100).then_some(Target::AtLeast(0.9)));
        match measure(plan, count) {
            Ok((many, one)) => {
                let of = |windows: &[Window], what: fn(&Window) -> f64| windows.iter().map(what).collect::<Vec<f64>>();
                let costs = (of(&many, |window| window.cost), of(&one, |window| window.cost));
                row = row.pairs(&of(&many, |window| window.speed), &of(&one, |window| window.speed));
                row.cpu = Spread::of(&costs.0).map(|ours| Cpu {
                    ours,
                    theirs: Spread::of(&costs.1),
                    ratio: crate::support::ratio(&costs.0, &costs.1),
                    target: None,
                });
                table.add(row);
                let fairness = of(&many, |window| window.fairness);
                let row = Row::new(CASE, about, Unit::Share)
                    .aims((count == 100).then_some(Target::AtLeast(0.7)))
                    .alone(&fairness);
                table.add(row);
            }
            Err(error) => table.add(row.failed(error)),
        }
    }
}

fn measure(plan: &Plan, count: usize) -> Result<(Vec<Window>, Vec<Window>), String> {
    let (mut many, mut one) = (Vec::new(), Vec::new());
    for _ in 0..plan.pairs {
        many.push(window(plan, count)?);
        one.push(window(plan, 1)?);
    }
    Ok((many, one))
}

fn window(plan: &Plan, count: usize) -> Result<Window, String> {
    let mut stage = Stage::new(plan.patience())?;
    let daemon = Daemon::start(&mut stage, &routes(count), None)?;
    daemon.await_routes(count as u64)?;
    // Short windows are not fair: each route gets only some turns.
    let time = (plan.sample * 2).max(Duration::from_millis(500));
    busy(&mut stage, &daemon, count, time)?;
    stage.await_reports(&["drain"])?;
    let before = cpu::of(daemon.pid);
    let report: Report = stage.await_reports(&["drain"])?.pop().ok_or("no report")?;
    let spent = (cpu::of(daemon.pid) - before) as f64 / 1e9;
    let bytes = report.get("bytes")? as f64;
    Ok(Window {
        speed: bytes / report.get("nsec")? as f64,
        fairness: report.get("least")? as f64 / (report.get("most")? as f64).max(1.0),
        cost: spent / (bytes / 1e9),
    })
}

/// The config of some routes from FIFO to FIFO.
pub(super) fn routes(count: usize) -> String {
    (0..count)
        .map(|i| format!("[route.r{i}]\nfrom = \"fifo:in{i}\"\nto = \"fifo:out{i}\"\n"))
        .collect()
}

/// Makes the first routes busy: from now on `drain` tells when its window begins and what came in it.
pub(super) fn busy(stage: &mut Stage, daemon: &Daemon, count: usize, time: Duration) -> Result<(), String> {
    let count = ("count", count.to_string());
    let prefix = |name: &str| daemon.fifo(name).display().to_string();
    let msec = ("msec", time.as_millis().to_string());
    let drain = stage.words(DRAIN, "drain", &[count.clone(), ("from", prefix("out")), msec]);
    let feed = stage.words(FEED, "feed", &[count, ("to", prefix("in"))]);
    stage.generator(&drain, Stdio::null(), Stdio::null())?;
    stage.generator(&feed, Stdio::null(), Stdio::null())?;
    stage.await_reports(&["drain", "feed"])?;
    cpu::settle(daemon.pid);
    stage.open_gate(2)
}
