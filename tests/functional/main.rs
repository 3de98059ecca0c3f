//! Black-box stories against the real `sluiced` and `sluicectl`. See docs/testing.md.
//!
//! The harness is in `support/`, the stories are one file a theme. The executable has a `main` of its own because it
//! plays four parts: the test runner, the scripted peer that configs name as a `command`, the warden that every
//! daemon under test is run by, and the stage that becomes a daemon which descriptors are passed to.

mod support;

mod backpressure;
mod balance;
mod broadcast;
mod cgroups;
mod cli;
mod config_cli;
mod control;
mod costs;
mod dropping;
mod endings;
mod ends;
mod exec;
mod exit_when_done;
mod extra_descriptors;
mod fan_in;
mod faults;
mod fd_store;
mod fd_store_contents;
mod fd_store_kept;
mod fifo;
mod fifo_peers;
mod files;
mod grandchildren;
mod harness;
mod hostile;
mod identity;
mod idle;
mod instances;
mod keep_stdin;
mod lines;
mod logged;
mod orphans;
mod over_long;
mod permissions;
mod pipe_sizes;
mod processes;
mod rates;
mod readiness;
mod relay;
mod reload;
mod reload_edges;
mod reload_storms;
mod reload_traffic;
mod runtime_directory;
mod service_manager;
mod shutdown;
mod spawn;
mod systemd;
mod tee;
mod tee_faults;
mod upgrade;
mod upgrade_bytes;
mod upgrade_ends;
mod upgrade_processes;
mod upgrade_refused;
mod upgrade_routes;
mod upgrade_signals;
mod watermarks;
mod why;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

/// One theme: the file's name and the stories in it.
type Theme = (&'static str, &'static [support::Story]);

const THEMES: &[Theme] = &[
    ("backpressure", backpressure::STORIES),
    ("balance", balance::STORIES),
    ("broadcast", broadcast::STORIES),
    ("cgroups", cgroups::STORIES),
    ("cli", cli::STORIES),
    ("config_cli", config_cli::STORIES),
    ("control", control::STORIES),
    ("costs", costs::STORIES),
    ("dropping", dropping::STORIES),
    ("endings", endings::STORIES),
    ("ends", ends::STORIES),
    ("exec", exec::STORIES),
    ("exit_when_done", exit_when_done::STORIES),
    ("extra_descriptors", extra_descriptors::STORIES),
    ("fan_in", fan_in::STORIES),
    ("faults", faults::STORIES),
    ("fd_store", fd_store::STORIES),
    ("fd_store_contents", fd_store_contents::STORIES),
    ("fd_store_kept", fd_store_kept::STORIES),
    ("fifo", fifo::STORIES),
    ("fifo_peers", fifo_peers::STORIES),
    ("files", files::STORIES),
    ("grandchildren", grandchildren::STORIES),
    ("harness", harness::STORIES),
    ("hostile", hostile::STORIES),
    ("identity", identity::STORIES),
    ("idle", idle::STORIES),
    ("instances", instances::STORIES),
    ("keep_stdin", keep_stdin::STORIES),
    ("lines", lines::STORIES),
    ("logged", logged::STORIES),
    ("orphans", orphans::STORIES),
    ("over_long", over_long::STORIES),
    ("permissions", permissions::STORIES),
    ("pipe_sizes", pipe_sizes::STORIES),
    ("processes", processes::STORIES),
    ("rates", rates::STORIES),
    ("readiness", readiness::STORIES),
    ("relay", relay::STORIES),
    ("reload", reload::STORIES),
    ("reload_edges", reload_edges::STORIES),
    ("reload_storms", reload_storms::STORIES),
    ("reload_traffic", reload_traffic::STORIES),
    ("runtime_directory", runtime_directory::STORIES),
    ("service_manager", service_manager::STORIES),
    ("shutdown", shutdown::STORIES),
    ("spawn", spawn::STORIES),
    ("systemd", systemd::STORIES),
    ("tee", tee::STORIES),
    ("tee_faults", tee_faults::STORIES),
    ("upgrade", upgrade::STORIES),
    ("upgrade_bytes", upgrade_bytes::STORIES),
    ("upgrade_ends", upgrade_ends::STORIES),
    ("upgrade_processes", upgrade_processes::STORIES),
    ("upgrade_refused", upgrade_refused::STORIES),
    ("upgrade_routes", upgrade_routes::STORIES),
    ("upgrade_signals", upgrade_signals::STORIES),
    ("watermarks", watermarks::STORIES),
    ("why", why::STORIES),
];

fn main() -> ExitCode {
    if let Some(part) = support::other_part() {
        return part;
    }
    let stories = THEMES.iter().flat_map(|(theme, stories)| {
        stories.iter().map(move |(name, story)| {
            Trial::test(format!("{theme}::{name}"), move || {
                story();
                Ok(())
            })
        })
    });
    libtest_mimic::run(&Arguments::from_args(), stories.collect()).exit_code()
}
