//! TOML text → checked [`Config`]. All problems of all files are found in one go, each with its place and what to do.
//!
//! `read` finds and reads files (the only IO); `syntax` makes trees of them, and `root` one config; `section` and `leaf`
//! take it apart; `daemon`, `process`, `route` and `ends` know the keys; `graph` checks what only the whole shows;
//! `instances` draws the routes of processes with instances; `diagnostic` says what is wrong. May depend on `endpoint` and `model` alone.
#![forbid(unsafe_code)]

mod daemon;
mod diagnostic;
mod ends;
mod environment;
mod graph;
mod instances;
mod leaf;
mod nearest;
mod place;
mod process;
mod read;
mod report;
mod root;
mod route;
mod section;
pub mod shape;
mod syntax;
mod unsupported;
mod warning;

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use diagnostic::{Diagnostic, Diagnostics};
pub use environment::Environment;
pub use warning::{Warning, cycles, never_ending, shut_out};

use crate::model::{Config, ConfigFile};
use place::Source;
use read::Input;
use report::Report;
use root::Root;

/// Where the default config is: `sluiced.toml` and `conf.d/*.toml` in it.
pub const DEFAULT_DIRECTORY: &str = "/etc/sluiced";

/// Reads and checks the files, and the `*.toml` of the directories, of `paths`; the default ones when it is empty.
/// Blocks while it reads.
pub fn load(paths: &[PathBuf]) -> Result<Config, Diagnostics> {
    load_from(paths, Path::new(DEFAULT_DIRECTORY), &Environment::of_this_process())
}

/// As [`load`], with the default directory and the environment given.
pub fn load_from(paths: &[PathBuf], default: &Path, environment: &Environment) -> Result<Config, Diagnostics> {
    check(read::inputs(paths, default, false), environment)
}

/// As [`load`], for a daemon that runs: a FIFO, which would keep it waiting and then have nothing, is refused.
pub fn load_again(paths: &[PathBuf]) -> Result<Config, Diagnostics> {
    let inputs = read::inputs(paths, Path::new(DEFAULT_DIRECTORY), true);
    check(inputs, &Environment::of_this_process())
}

/// Checks what has been read already: pure.
pub fn parse(files: Vec<ConfigFile>, environment: &Environment) -> Result<(Config, Vec<Warning>), Diagnostics> {
    let config = check(files.into_iter().map(Input::Text).collect(), environment)?;
    let warnings = cycles(&config).into_iter().chain(shut_out(&config)).collect();
    Ok((config, warnings))
}

/// What `--check` says of a good config: tables, not instances. The words are fixed, so that scripts can match them.
#[must_use]
pub fn describe(config: &Config) -> String {
    format!(
        "ok: {} processes, {} routes",
        config.processes.len(),
        config.routes.len()
    )
}

fn check(inputs: Vec<Input>, environment: &Environment) -> Result<Config, Diagnostics> {
    let sources: Vec<Source<'_>> = inputs.iter().map(Source::of).collect();
    let mut report = Report::new(&sources);
    report.unreadable(&inputs);

    let texts = syntax::legible(&sources, &mut report);
    let trees = syntax::trees(&texts);
    let root = Root::merge(&trees, &mut report);
    let daemon = daemon::daemon(&root, environment, &mut report);
    let control = daemon::control(&root, &daemon, &mut report);
    let processes = process::processes(&root, &mut report);
    let routes = route::routes(&root, &daemon.runtime_directory, &processes, &mut report);
    graph::check(&processes, &routes, &mut report);

    let config = Config {
        files: Vec::new(),
        daemon,
        control,
        processes: processes.into_iter().filter_map(|process| process.spec).collect(),
        routes: routes
            .into_iter()
            .filter_map(|route| route.spec)
            .map(Arc::new)
            .collect(),
    };
    report.finish()?;
    let files = inputs.into_iter().filter_map(Input::into_file).collect();
    let routes = instances::drawn(config.routes, &config.processes);
    Ok(Config {
        files,
        routes,
        ..config
    })
}
