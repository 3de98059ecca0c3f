//! g: many routes on which nothing happens.

use std::fs;
use std::process::Command;
use std::time::Duration;

use super::busy::routes;
use crate::contest::{self, Daemon};
use crate::support::clock::{self, pause};
use crate::support::{Plan, Row, Stage, Table, Target, Unit, cpu, interrupt};

const CASE: &str = "g-idle";
/// What one route costs is told by how much more so many need than the fewest.
const COUNTS: [usize; 3] = [10, 1000, 5000];

#[derive(Default)]
struct Taken {
    start: Vec<f64>,
    resident: Vec<f64>,
    cpu: Vec<f64>,
    list: Vec<f64>,
    status: Vec<f64>,
    ctl: Vec<f64>,
}

pub fn run(plan: &Plan, table: &mut Table) {
    let mut fewest = None;
    for count in COUNTS {
        if interrupt::came() {
            return;
        }
        let about = format!("{count} routes FIFO→FIFO");
        let mut taken = Taken::default();
        let times = if plan.quick { 3 } else { plan.pairs };
        let measured = (0..times).try_for_each(|_| measure(plan, count, &mut taken));
        if let Err(error) = measured {
            table.add(Row::new(CASE, about, Unit::Seconds).failed(error));
            continue;
        }
        let most = |bound: f64| (count == 5000).then_some(Target::AtMost(bound));
        let mut add = |what: &str, unit, aim, values: &[f64]| {
            table.add(Row::new(CASE, format!("{about}: {what}"), unit).aims(aim).alone(values));
        };
        add("start to READY=1", Unit::Seconds, most(2.0), &taken.start);
        // 0.0 %, to one digit.
        add("CPU", Unit::PercentOfACore, most(0.05), &taken.cpu);
        add("ListRoutes", Unit::Milliseconds, most(100.0), &taken.list);
        add("GetStatus", Unit::Milliseconds, None, &taken.status);
        add("sluicectl status", Unit::Milliseconds, None, &taken.ctl);
        match &fewest {
            None => fewest = Some(taken.resident),
            Some(base) => {
                let more = (count - COUNTS[0]) as f64;
                let each: Vec<f64> = std::iter::zip(&taken.resident, base)
                    .map(|(all, base)| (all - base) / more)
                    .collect();
                add("resident memory", Unit::KibibytesEach, most(8.0), &each);
            }
        }
    }
}

fn measure(plan: &Plan, count: usize, taken: &mut Taken) -> Result<(), String> {
    let mut stage = Stage::new(plan.patience() + Duration::from_secs(60))?;
    let daemon = Daemon::start(&mut stage, &routes(count), None)?;
    daemon.await_routes(count as u64)?;
    taken.start.push(daemon.ready_after);
    cpu::settle(daemon.pid);
    taken.resident.push(resident(daemon.pid)?);
    let window = (plan.sample * 3).max(Duration::from_secs(1));
    let before = cpu::of(daemon.pid);
    pause(window);
    taken
        .cpu
        .push((cpu::of(daemon.pid) - before) as f64 / window.as_nanos() as f64 * 100.0);
    let mut control = daemon.control()?;
    // The first call of a connection is another one's: it is accepted.
    control.ask("GetStatus")?;
    let mut timed = |method| -> Result<f64, String> {
        let began = clock::now();
        control.raw(method)?;
        Ok((clock::now() - began) as f64 / 1e6)
    };
    taken.list.push(timed("ListRoutes")?);
    taken.status.push(timed("GetStatus")?);
    let began = clock::now();
    let shown = Command::new(contest::program("sluicectl", None))
        .arg("--socket")
        .arg(daemon.socket())
        .arg("status")
        .output();
    let shown = shown.map_err(|error| format!("cannot run sluicectl: {error}"))?;
    taken.ctl.push((clock::now() - began) as f64 / 1e6);
    if shown.stdout.iter().filter(|byte| **byte == b'\n').count() < count {
        return Err("sluicectl status shows too few routes".to_owned());
    }
    Ok(())
}

/// KiB. proc_pid_status(5)
fn resident(process: u32) -> Result<f64, String> {
    let text = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.ok_or("no VmRSS of the daemon".to_owned())
}
