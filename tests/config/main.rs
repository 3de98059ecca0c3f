//! What users write into a config, and what they are told: by data files, by the shipped files, and by hostile ones.
#![allow(clippy::unwrap_used)]

mod files;
mod hostile;
mod instances;
mod invalid;
mod reload;
mod settings;
mod shipped;
mod warnings;

use std::path::PathBuf;

use sluiced::config::{self, Diagnostics, Environment};
use sluiced::model::{Config, ConfigFile};

/// An environment in which nothing is set, on two cores.
fn nowhere() -> Environment {
    Environment {
        runtime_directory: None,
        xdg_runtime_dir: None,
        cores: 2,
    }
}

/// Checks texts as if they were files of these names.
fn check(files: &[(&str, &str)]) -> Result<Config, Diagnostics> {
    let files = files.iter().map(|(path, text)| ConfigFile {
        path: PathBuf::from(path),
        text: (*text).to_owned(),
    });
    config::parse(files.collect(), &nowhere()).map(|(config, _)| config)
}

/// A config of one file that is good.
#[track_caller]
fn good(text: &str) -> Config {
    check(&[("a.toml", text)]).unwrap_or_else(|diagnostics| panic!("{text}\n{diagnostics}"))
}

/// What is said of a config of one file: `LINE:COL message`.
fn told(text: &str) -> Vec<String> {
    let Err(diagnostics) = check(&[("a.toml", text)]) else {
        return Vec::new();
    };
    diagnostics
        .iter()
        .map(|d| format!("{}:{} {}", d.line, d.column, d.message))
        .collect()
}

/// A config with one process `a` that has this line in its table.
fn process(line: &str) -> String {
    format!("[process.a]\ncommand = [\"cat\"]\n{line}\n")
}

/// A config with one route that has this line in its table.
fn route(line: &str) -> String {
    format!("[route.r]\nfrom = \"fifo:a\"\nto = \"fifo:b\"\n{line}\n")
}
