//! `sluiced` itself: reads the config, starts everything, carries word between relays, supervisors and the control
//! socket, and stops in the direction of the data.
//!
//! The control plane is one thread: the supervisors, the control server and this module's own tasks run on it, and
//! nothing on it may block. It sees the relays' snapshots, sends them commands and hears their reports; it never touches
//! a byte of a route. Depends on `relay`, `supervise`, `control`, `config`, `decide`, `endpoint`, `store`, `sys`, `model`.

mod arguments;
mod backend;
mod basis;
mod begin;
mod changes;
mod control_socket;
mod dispatch;
mod done;
mod explain;
mod handover;
mod journal;
mod lock;
mod log;
mod plant;
mod reload;
mod reopen;
mod run;
mod service;
mod shutdown;
mod signals;
mod starting;
mod state;
mod stderr;
mod store;
mod wire;
mod wiring;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use clap::Parser;

use crate::config::{self, Diagnostics};
use crate::control::Error;
use crate::control::types::Diagnostic;
use crate::model::Config;
use arguments::Arguments;
use handover::Inherited;

/// Bad config, or none: systemd's EX_CONFIG, which `RestartPreventExitStatus=78` takes as final.
const EXIT_CONFIG: u8 = 78;

/// The whole program: parse, resolve, act; the exit code is decided here.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(number) = arguments.check_handover {
        return handover::check(number);
    }
    match Inherited::take() {
        Some(Ok(inherited)) => return run::go_on(inherited, &arguments),
        Some(Err(why)) => {
            say(&format!(
                "sluiced: cannot go on with what the last life has left: {why}\n"
            ));
            return ExitCode::FAILURE;
        }
        None => {}
    }
    let loaded = config::load(&arguments.configs);
    if arguments.check {
        return check(&arguments, &loaded);
    }
    match loaded {
        Ok(config) => run::run(config, &arguments),
        Err(diagnostics) => {
            control_socket::turn_away(&not_starting(&diagnostics));
            refuse(&diagnostics)
        }
    }
}

/// For a client that nothing is known of: who may read what stands in the config, the config would say.
fn not_starting(diagnostics: &Diagnostics) -> Error {
    let file = diagnostics.iter().next().map(|first| first.file.clone());
    let count = match diagnostics.iter().count() {
        1 => "1 problem".to_owned(),
        many => format!("{many} problems"),
    };
    Error::InvalidConfig(vec![Diagnostic {
        file: file.unwrap_or_default(),
        message: format!("the daemon does not start, since its config has {count}"),
        help: Some("`sluiced --check`, or its log, shows them; correct the config, and ask again".to_owned()),
        ..Diagnostic::default()
    }])
}

fn refuse(diagnostics: &Diagnostics) -> ExitCode {
    say(&diagnostics.render(std::io::stderr().is_terminal()));
    ExitCode::from(EXIT_CONFIG)
}

fn check(arguments: &Arguments, loaded: &Result<Config, Diagnostics>) -> ExitCode {
    if arguments.json {
        let report = match loaded {
            Ok(config) => serde_json::json!({
                "ok": true, "processes": config.processes.len(), "routes": config.routes.len(), "diagnostics": [],
            }),
            Err(diagnostics) => serde_json::json!({ "ok": false, "diagnostics": diagnostics }),
        };
        // A reader that has gone does not want it.
        let _ = writeln!(std::io::stdout(), "{report}");
    }
    match loaded {
        Ok(config) => {
            for warning in config::cycles(config).into_iter().chain(config::shut_out(config)) {
                say(&format!("warning: {warning}\n"));
            }
            if !arguments.json {
                let _ = writeln!(std::io::stdout(), "{}", config::describe(config));
            }
            ExitCode::SUCCESS
        }
        Err(diagnostics) => refuse(diagnostics),
    }
}

/// To standard error, whether or not somebody reads it.
fn say(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}
