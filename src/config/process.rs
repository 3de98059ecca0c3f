//! `[process.NAME]`

use std::time::Duration;

use super::leaf::{AbsolutePath, Argument, Bounded, Choice, ExitKind, Limit, Mode, Ready, Signal, Time, Word};
use super::place::Place;
use super::report::Report;
use super::root::Root;
use super::section::{Entry, Field, Section};
use super::shape;
use crate::model::{
    LimitSpec, LimitedResource, Name, OutputPolicy, ProcessSpec, Readiness, Restart, StartLimit, StopSignal,
    SuccessExit,
};

/// A process's table.
pub(super) struct Declared<'t> {
    /// As written; perhaps no name.
    pub(super) name: &'t str,
    /// What it says; `None` when it is no table.
    pub(super) spec: Option<ProcessSpec>,
    /// Whether `instances` is given, whatever to.
    pub(super) has_instances: bool,
    /// Where `ready` is given.
    pub(super) ready: Option<Place>,
}

const COMMAND_HELP: &str = "write the program and its arguments as a list of texts: command = [\"prog\", \"arg\"]";

pub(super) fn processes<'t>(root: &Root<'t>, report: &mut Report<'_>) -> Vec<Declared<'t>> {
    root.processes.iter().map(|entry| process(*entry, report)).collect()
}

fn process<'t>(entry: Entry<'t>, report: &mut Report<'_>) -> Declared<'t> {
    let name = name(entry, "process", report);
    let help = format!("write [process.{}], and its keys below it", entry.key);
    let Some(keys) = entry.value.expect_table(entry.key, &help, report) else {
        return Declared {
            name: entry.key,
            spec: None,
            has_instances: true,
            ready: None,
        };
    };
    let section = Section::new(&shape::PROCESS, entry.at, keys, report);
    Declared {
        name: entry.key,
        spec: name.map(|name| spec(name, &section, report)),
        has_instances: section.entry("instances").is_some(),
        ready: section.entry("ready").map(|entry| entry.value.place()),
    }
}

/// The name of a `[process.NAME]` or `[route.NAME]`. One that is none is reported, and another stands for it, so that
/// the rest of the table is checked.
pub(super) fn name(entry: Entry<'_>, what: &str, report: &mut Report<'_>) -> Option<Name> {
    let name = Name::new(entry.key);
    if name.is_err() {
        let message = format!("{:?} is not a name for a {what}", entry.key);
        report.error(
            entry.at,
            message,
            "use a-z, 0-9, _ and -, beginning with a letter or digit",
        );
    }
    name.or_else(|_| Name::new("unnamed")).ok()
}

fn spec(name: Name, section: &Section<'_>, report: &mut Report<'_>) -> ProcessSpec {
    let restart = section.or("restart", Choice(Restart::Always), report).0;
    let (restart_delay, restart_delay_max) = restart_delays(section, report);
    let (ready, watchdog) = readiness(section, report);
    ProcessSpec {
        name,
        command: command(section, report),
        working_directory: section
            .maybe("working-directory", report)
            .map(|AbsolutePath(path)| path),
        environment: environment(section, report),
        clear_environment: section.or("clear-environment", false, report),
        user: section.maybe("user", report).map(|Word(name)| name),
        group: section.maybe("group", report).map(|Word(name)| name),
        umask: umask(section, report),
        no_new_privileges: section.or("no-new-privileges", false, report),
        limits: limits(section, report),
        nice: nice(section, report),
        autostart: section.or("autostart", true, report),
        instances: section
            .maybe("instances", report)
            .and_then(|count: Bounded<1, 1000>| u16::try_from(count.0).ok()),
        restart,
        success_exit: success_exit(section, report),
        restart_delay,
        restart_delay_max,
        start_limit: start_limit(section, report),
        stop_signal: stop_signal(section, report),
        stop_timeout: section.or("stop-timeout", Time(Duration::from_secs(10)), report).0,
        ready,
        ready_timeout: some_time("ready-timeout", "nothing is ready at once", section, report)
            .unwrap_or(Duration::from_secs(30)),
        watchdog,
        keep_stdin: section.or("keep-stdin", restart != Restart::Never, report),
        stdout: section.or("stdout", Choice(OutputPolicy::Log), report).0,
        stderr: section.or("stderr", Choice(OutputPolicy::Log), report).0,
    }
}

fn command(section: &Section<'_>, report: &mut Report<'_>) -> Vec<String> {
    section.require("command", COMMAND_HELP, report);
    match section.list::<Argument>("command", report) {
        Field::Given(words, at) => {
            if words.is_empty() {
                report.error(at, "`command` is an empty list", COMMAND_HELP);
            } else if words.iter().take(1).any(|Argument(program)| program.is_empty()) {
                report.error(
                    at,
                    "`command` begins with an empty text: there is no program to run",
                    COMMAND_HELP,
                );
            }
            words.into_iter().map(|Argument(word)| word).collect()
        }
        Field::Absent | Field::Wrong => Vec::new(),
    }
}

fn environment(section: &Section<'_>, report: &mut Report<'_>) -> Vec<(String, String)> {
    let Some(entry) = section.entry("environment") else {
        return Vec::new();
    };
    let help = "write environment = { NAME = \"value\" }";
    let variables = entry
        .value
        .expect_table("environment", help, report)
        .unwrap_or_default();
    let mut read = Vec::new();
    for variable in variables {
        let wrong = match variable.key {
            "" => Some(("is empty", "give the variable a name")),
            "SLUICED_PROCESS" | "SLUICED_INSTANCE" => Some(("is set by sluiced itself", "take it out")),
            key if key.contains('=') => Some(("holds a =", "write environment = { NAME = \"value\" }")),
            key if key.contains('\0') => Some(("holds a NUL character", "take the NUL character out")),
            _ => None,
        };
        if let Some((what, help)) = wrong {
            report.error(
                variable.at,
                format!("the environment variable {:?} {what}", variable.key),
                help,
            );
        }
        if let Some(Argument(value)) = variable.value.read(variable.key, report) {
            read.push((variable.key.to_owned(), value));
        }
    }
    read
}

fn umask(section: &Section<'_>, report: &mut Report<'_>) -> Option<u32> {
    let Field::Given(Mode(mask), at) = section.field("umask", report) else {
        return None;
    };
    if mask > 0o777 {
        let message = "`umask` has bits beyond 0777, which umask(2) does not know";
        report.error(at, message, "write the permission bits to take away: \"0027\"");
        return None;
    }
    Some(mask)
}

fn limits(section: &Section<'_>, report: &mut Report<'_>) -> Vec<LimitSpec> {
    let Some(entry) = section.entry("limits") else {
        return Vec::new();
    };
    let help = "write limits = { nofile = 1024 }";
    let Some(entries) = entry.value.expect_table("limits", help, report) else {
        return Vec::new();
    };
    let table = Section::new(&shape::LIMITS, entry.at, entries, report);
    let limits = table.entries().into_iter().filter_map(|entry| {
        let Limit { soft, hard } = entry.value.read(entry.key, report)?;
        let (_, resource) = LimitedResource::WRITTEN.iter().find(|(name, _)| *name == entry.key)?;
        Some(LimitSpec {
            resource: *resource,
            soft,
            hard,
        })
    });
    limits.collect()
}

fn nice(section: &Section<'_>, report: &mut Report<'_>) -> Option<i32> {
    let nice: Bounded<-20, 19> = section.or("nice", Bounded(0), report);
    // 0 is the default, and leaves the daemon's own nice value as it is.
    i32::try_from(nice.0).ok().filter(|nice| *nice != 0)
}

fn success_exit(section: &Section<'_>, report: &mut Report<'_>) -> Vec<SuccessExit> {
    match section.list("success-exit", report) {
        Field::Given(exits, _) => exits.into_iter().map(|ExitKind(exit)| exit).collect(),
        Field::Absent | Field::Wrong => vec![SuccessExit::Code(0)],
    }
}

fn restart_delays(section: &Section<'_>, report: &mut Report<'_>) -> (Duration, Duration) {
    const DELAY: Duration = Duration::from_millis(100);
    const MOST: Duration = Duration::from_secs(30);
    let delay = section.field::<Time>("restart-delay", report);
    let most = section.field::<Time>("restart-delay-max", report);
    let at = match (&delay, &most) {
        (Field::Given(Time(Duration::ZERO), at), _) => {
            let message = "`restart-delay` is 0: a process that cannot run would be started without a pause";
            report.error(*at, message, "give it at least \"1ms\"");
            return (DELAY, MOST);
        }
        (Field::Given(_, at), Field::Given(..) | Field::Absent) | (Field::Absent, Field::Given(_, at)) => Some(*at),
        (Field::Absent | Field::Wrong, _) | (_, Field::Wrong) => None,
    };
    let shown = |field: &Field<Time>, default: &str, report: &Report<'_>| match field {
        Field::Given(_, at) => report.text(*at).to_owned(),
        _ => format!("\"{default}\", the default"),
    };
    let texts = (shown(&delay, "100ms", report), shown(&most, "30s", report));
    let delay = delay.ok().map_or(DELAY, |time| time.0);
    let most = most.ok().map_or(MOST, |time| time.0);
    if let Some(at) = at.filter(|_| delay > most) {
        let message = format!(
            "`restart-delay` ({}) is longer than `restart-delay-max` ({})",
            texts.0, texts.1
        );
        report.error(at, message, "shorten the one or lengthen the other");
    }
    (delay, most)
}

fn start_limit(section: &Section<'_>, report: &mut Report<'_>) -> StartLimit {
    const BURST: u32 = 5;
    const INTERVAL: Duration = Duration::from_secs(10);
    let default = StartLimit {
        burst: BURST,
        interval: INTERVAL,
    };
    let Some(entry) = section.entry("start-limit") else {
        return default;
    };
    let help = "write start-limit = { burst = 5, interval = \"10s\" }";
    let Some(keys) = entry.value.expect_table("start-limit", help, report) else {
        return default;
    };
    let table = Section::new(&shape::START_LIMIT, entry.at, keys, report);
    let burst: Bounded<0, 1_000_000> = table.or("burst", Bounded(i64::from(BURST)), report);
    let interval = match table.field("interval", report) {
        Field::Given(Time(Duration::ZERO), at) => {
            report.error(
                at,
                "`interval` is 0: no exit falls into it",
                "give it a time, or set burst = 0 for no limit",
            );
            INTERVAL
        }
        other => other.ok().map_or(INTERVAL, |time| time.0),
    };
    StartLimit {
        burst: u32::try_from(burst.0).unwrap_or(BURST),
        interval,
    }
}

fn stop_signal(section: &Section<'_>, report: &mut Report<'_>) -> StopSignal {
    let term = nix::sys::signal::Signal::SIGTERM;
    let default = StopSignal {
        number: term as i32,
        name: term.as_str().to_owned(),
    };
    section.or("stop-signal", Signal(default), report).0
}

/// A duration that is more than 0; `why` says why.
fn some_time(key: &'static str, why: &str, section: &Section<'_>, report: &mut Report<'_>) -> Option<Duration> {
    match section.field(key, report) {
        Field::Given(Time(Duration::ZERO), at) => {
            report.error(at, format!("`{key}` is 0: {why}"), "give it a time, or take it out");
            None
        }
        field => field.ok().map(|Time(time)| time),
    }
}

fn readiness(section: &Section<'_>, report: &mut Report<'_>) -> (Readiness, Option<Duration>) {
    let ready = section.field("ready", report);
    let watchdog = some_time("watchdog", "nothing can say WATCHDOG=1 so often", section, report);
    let notifies = matches!(ready, Field::Given(Ready(Readiness::Notify), _) | Field::Wrong);
    if watchdog.is_some() && !notifies {
        let at = section.entry("watchdog").map_or(section.at, |entry| entry.at);
        report.error(
            at,
            "`watchdog` needs `ready` = \"notify\"",
            "set ready = \"notify\", or take `watchdog` out",
        );
    }
    (ready.ok().map_or(Readiness::Spawned, |Ready(ready)| ready), watchdog)
}
