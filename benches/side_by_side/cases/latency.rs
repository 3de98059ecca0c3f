//! f: how long a small message takes, on an idle machine and beside a bulk route.

use std::fmt::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::contest::{self, Daemon, Ends, between, pipe};
use crate::load::{ECHO, GEN, PING, SINK};
use crate::support::{Plan, Report, Row, Stage, Table, Target, Unit, cpu, interrupt};

const CASE: &str = "f-latency";
/// More than anybody moves in a sample.
const ENDLESS: u64 = 1 << 50;
const SOCAT: [&str; 4] = ["socat", "-u", "STDIN", "STDOUT"];

/// One way for the message, and whether bulk goes another one meanwhile.
#[derive(Clone, Copy)]
struct Way {
    ends: Ends,
    bulk: bool,
    /// `relay-threads`, where it is not left to the daemon.
    threads: Option<usize>,
}

/// p50, p99 and p99.9 of each sample, in µs.
#[derive(Default)]
struct Taken([Vec<f64>; 3]);

const SHARES: [(&str, &str); 3] = [("p50", "p50"), ("p99", "p99"), ("p99.9", "p999")];

impl Taken {
    fn add(&mut self, report: &Report) -> Result<(), String> {
        for (values, (_, field)) in std::iter::zip(&mut self.0, SHARES) {
            values.push(report.get(field)? as f64 / 1e3);
        }
        Ok(())
    }
}

pub fn run(plan: &Plan, table: &mut Table) {
    for (ends, about) in [
        (Ends::Fifos, "FIFO→FIFO, one relay"),
        (Ends::Processes, "there and back through two processes, two relays"),
    ] {
        for threads in [None, Some(1)] {
            let shown = threads.map_or(String::new(), |threads| format!(", relay-threads = {threads}"));
            let idle = Way {
                ends,
                bulk: false,
                threads,
            };
            let beside = Way { bulk: true, ..idle };
            let alone = compare(plan, table, idle, &format!("{about}{shown}"));
            let loaded = compare(plan, table, beside, &format!("{about}{shown}, beside bulk"));
            let (Some(alone), Some(loaded)) = (alone, loaded) else {
                continue;
            };
            let row = Row::new(CASE, format!("{about}{shown}: p99 beside bulk"), Unit::Microseconds)
                .against("its own idle p99")
                .aims(Some(Target::AtMost(3.0)))
                .pairs(&loaded.0[1], &alone.0[1]);
            table.add(row);
        }
    }
}

fn compare(plan: &Plan, table: &mut Table, way: Way, about: &str) -> Option<Taken> {
    let base = plan.base.as_deref();
    let against = base.map_or("socat -u".to_owned(), |base| format!("sluiced of {}", base.display()));
    let row = |share: &str| Row::new(CASE, format!("{about}: {share}"), Unit::Microseconds).against(&against);
    if interrupt::came() {
        return None;
    }
    let has_peer = base.is_some() || contest::has_tool("socat");
    let (mut ours, mut theirs) = (Taken::default(), Taken::default());
    for _ in 0..plan.pairs {
        let taken = sluiced(plan, way, None)
            .and_then(|report| ours.add(&report))
            .and_then(|()| match base {
                Some(_) => theirs.add(&sluiced(plan, way, base)?),
                None if has_peer => theirs.add(&socat(plan, way)?),
                None => Ok(()),
            });
        if let Err(error) = taken {
            table.add(row("all").failed(error));
            return None;
        }
    }
    for (i, (share, _)) in SHARES.iter().enumerate() {
        let aim = match i {
            0 if !way.bulk && base.is_none() => Some(Target::AtMost(1.05)),
            1 if !way.bulk && base.is_none() => Some(Target::AtMost(1.1)),
            _ => None,
        };
        let row = row(share).aims(aim).pairs(&ours.0[i], &theirs.0[i]);
        table.add(if has_peer { row } else { row.missing("socat") });
    }
    Some(ours)
}

fn sluiced(plan: &Plan, way: Way, base: Option<&Path>) -> Result<Report, String> {
    let mut stage = Stage::new(plan.patience())?;
    let mut text = way
        .threads
        .map_or(String::new(), |threads| format!("relay-threads = {threads}\n"));
    let mut routes = 1;
    if way.ends == Ends::Processes {
        routes += 1;
        let words = [stage.words(PING, "ping", &time(plan)), stage.words(ECHO, "echo", &[])];
        for (name, words) in std::iter::zip(["ping", "echo"], words) {
            let _ = write!(text, "[process.{name}]\nrestart = \"never\"\ncommand = {words:?}\n");
        }
        for (from, to) in [("ping", "echo"), ("echo", "ping")] {
            let _ = write!(
                text,
                "[route.{from}]\nfrom = \"process:{from}.stdout\"\nto = \"process:{to}.stdin\"\n"
            );
        }
    } else {
        text.push_str("[route.ping]\nfrom = \"fifo:in\"\nto = \"fifo:out\"\n");
    }
    if way.bulk {
        routes += 1;
        text.push_str("[route.zz-bulk]\nfrom = \"fifo:bulk-in\"\nto = \"fifo:bulk-out\"\n");
    }
    let daemon = Daemon::start(&mut stage, &text, base)?;
    daemon.await_routes(routes)?;
    if way.bulk {
        bulk(&mut stage, &daemon.fifo("bulk-in"), &daemon.fifo("bulk-out"))?;
    }
    if way.ends == Ends::Fifos {
        ping_through(&mut stage, plan, &daemon.fifo("in"), &daemon.fifo("out"))?;
    }
    taken(&mut stage, way, daemon.pid)
}

fn socat(plan: &Plan, way: Way) -> Result<Report, String> {
    let mut stage = Stage::new(plan.patience())?;
    let command = || {
        let mut command = Command::new(SOCAT[0]);
        command.args(&SOCAT[1..]).stderr(Stdio::null());
        command
    };
    if way.bulk {
        let (input, output) = (stage.fifo("bulk-in")?, stage.fifo("bulk-out")?);
        between(&mut stage, &mut command(), &input, &output)?;
        bulk(&mut stage, &input, &output)?;
    }
    let relay = if way.ends == Ends::Fifos {
        let (input, output) = (stage.fifo("in")?, stage.fifo("out")?);
        let relay = between(&mut stage, &mut command(), &input, &output)?;
        ping_through(&mut stage, plan, &input, &output)?;
        relay
    } else {
        let (there_in, ping_out) = pipe()?;
        let (echo_in, there_out) = pipe()?;
        let (back_in, echo_out) = pipe()?;
        let (ping_in, back_out) = pipe()?;
        stage.start(command().stdin(there_in).stdout(there_out))?;
        let relay = stage.start(command().stdin(back_in).stdout(back_out))?;
        let words = (stage.words(ECHO, "echo", &[]), stage.words(PING, "ping", &time(plan)));
        stage.generator(&words.0, echo_in, echo_out)?;
        stage.generator(&words.1, ping_in, ping_out)?;
        relay
    };
    let relay = stage.started(relay).pid();
    taken(&mut stage, way, relay)
}

/// Lets everybody go, and waits for what the pings took.
fn taken(stage: &mut Stage, way: Way, relay: u32) -> Result<Report, String> {
    stage.await_reports(&["ping"])?;
    if way.bulk {
        stage.await_reports(&["bulk"])?;
    }
    cpu::settle(relay);
    stage.open_gate(if way.bulk { 2 } else { 1 })?;
    stage.await_reports(&["ping"])?.pop().ok_or("no report".to_owned())
}

fn time(plan: &Plan) -> Vec<(&'static str, String)> {
    // Tails need more samples than medians.
    let time: Duration = plan.sample * 2;
    vec![("msec", time.as_millis().to_string())]
}

fn ping_through(stage: &mut Stage, plan: &Plan, input: &Path, output: &Path) -> Result<(), String> {
    let mut fields = time(plan);
    fields.extend([
        ("to", input.display().to_string()),
        ("from", output.display().to_string()),
    ]);
    let words = stage.words(PING, "ping", &fields);
    stage.generator(&words, Stdio::null(), Stdio::null()).map(drop)
}

/// A stream without an end beside the pings.
fn bulk(stage: &mut Stage, input: &Path, output: &Path) -> Result<(), String> {
    let sink = stage.words(SINK, "bulk-sink", &[("from", output.display().to_string())]);
    stage.generator(&sink, Stdio::null(), Stdio::null())?;
    let fields = [
        ("bytes", ENDLESS.to_string()),
        ("write", (64 * 1024).to_string()),
        ("to", input.display().to_string()),
    ];
    let words = stage.words(GEN, "bulk", &fields);
    stage.generator(&words, Stdio::null(), Stdio::null()).map(drop)
}
