//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{NonEmptyStringValueParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};

const AFTER: &str = "\
The daemon's socket is --socket, else $SLUICED_SOCKET, else the first that exists of
$XDG_RUNTIME_DIR/sluiced/control.sock and /run/sluiced/control.sock.

Exit status: 0 ok, 1 refused or failed, 2 wrong usage, 3 no daemon answers, 4 no such route or process.";

/// Ask sluiced what it does, and tell it what to do
#[derive(Debug, Parser)]
#[command(name = "sluicectl", version, after_help = AFTER, max_term_width = 100)]
pub(super) struct Arguments {
    /// The daemon's control socket
    #[arg(long, global = true, value_name = "PATH", value_parser = path())]
    pub(super) socket: Option<PathBuf>,
    /// Print each reply's parameters as one line of JSON
    #[arg(long, global = true)]
    pub(super) json: bool,
    /// Do not wait until the state that was asked for is reached
    #[arg(long, global = true)]
    pub(super) no_wait: bool,
    #[command(subcommand)]
    pub(super) verb: Verb,
}

/// One variant a file in `verbs`.
#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Show the daemon with all routes and processes, or one of them in full
    Status(MaybeNamed),
    /// List the routes
    Routes,
    /// List the processes
    Processes,
    /// Stop reading a route's sources; what was read is still delivered
    Pause(Route),
    /// Read a paused or drained route's sources again
    Resume(Route),
    /// Deliver what stands in a route's sources, then close it
    Drain(Drain),
    /// Start a process, also one that has failed or finished
    Start(Process),
    /// Stop a process until it is started again
    Stop(Process),
    /// Stop a process and start it again; what its stdin holds goes to its successor
    Restart(Process),
    /// Send a signal to a process
    Signal(Signal),
    /// Read the config again and apply what has changed in it
    Reload(Reload),
    /// Replace the running program by the one that is installed now; children, pipes and counters stay
    Upgrade,
    /// Open all files of routes anew, after they were renamed (log rotation)
    Reopen,
    /// Say why a route does not move, down to the root cause
    Why(Route),
    /// Show the state of all, and with --follow what happens from now on
    Events(Events),
    /// Print the config as it runs
    Config,
    /// Stop the daemon in order: producers first, everything drained
    Shutdown,
}

#[derive(Debug, Args)]
pub(super) struct MaybeNamed {
    /// A route, a process (NAME or NAME@INSTANCE), or both where they share a name
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub(super) name: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct Route {
    /// The route's name
    #[arg(value_name = "ROUTE", value_parser = NonEmptyStringValueParser::new())]
    pub(super) name: String,
}

#[derive(Debug, Args)]
pub(super) struct Drain {
    /// The route's name
    #[arg(value_name = "ROUTE", value_parser = NonEmptyStringValueParser::new())]
    pub(super) name: String,
    /// Give up what is left after this time (e.g. 10s, 500ms) instead of the daemon's drain-timeout
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub(super) timeout: Option<Duration>,
    /// Give up at once what was not written yet
    #[arg(long, conflicts_with = "timeout")]
    pub(super) abort: bool,
}

#[derive(Debug, Args)]
pub(super) struct Process {
    /// The process's name: NAME (all instances) or NAME@INSTANCE
    #[arg(value_name = "PROCESS", value_parser = NonEmptyStringValueParser::new())]
    pub(super) name: String,
}

#[derive(Debug, Args)]
pub(super) struct Signal {
    /// The process's name: NAME (all instances) or NAME@INSTANCE
    #[arg(value_name = "PROCESS", value_parser = NonEmptyStringValueParser::new())]
    pub(super) name: String,
    /// The signal's name, e.g. HUP or SIGHUP
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub(super) signal: String,
}

#[derive(Debug, Args)]
pub(super) struct Reload {
    /// Only show what would be done
    #[arg(long)]
    pub(super) dry_run: bool,
}

#[derive(Debug, Args)]
pub(super) struct Events {
    /// Go on with one line an event until interrupted
    #[arg(long, short)]
    pub(super) follow: bool,
    /// Only these: daemon, route:NAME, route:NAME/ENDPOINT, process:NAME, process:NAME@INSTANCE
    #[arg(value_name = "SUBJECT", value_parser = NonEmptyStringValueParser::new())]
    pub(super) subjects: Vec<String>,
}

fn path() -> impl TypedValueParser<Value = PathBuf> {
    clap::builder::OsStringValueParser::new().try_map(|text: OsString| {
        if text.is_empty() {
            Err("a path is needed")
        } else {
            Ok(PathBuf::from(text))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_verb_that_needs_a_name_takes_no_empty_one() {
        for verb in [
            "pause", "resume", "drain", "start", "stop", "restart", "signal", "status", "events", "why",
        ] {
            let result = Arguments::try_parse_from(
                ["sluicectl", verb, "", "x"][..]
                    .iter()
                    .take(3 + usize::from(verb == "signal")),
            );
            assert_eq!(result.unwrap_err().exit_code(), 2, "{verb}");
        }
        for verb in ["pause", "resume", "drain", "start", "stop", "restart", "signal", "why"] {
            assert_eq!(
                Arguments::try_parse_from(["sluicectl", verb]).unwrap_err().exit_code(),
                2,
                "{verb}"
            );
        }
        assert!(Arguments::try_parse_from(["sluicectl", "--socket", "", "routes"]).is_err());
        assert!(Arguments::try_parse_from(["sluicectl", "routes", "--json", "--socket", "/x"]).is_ok());
    }
}
