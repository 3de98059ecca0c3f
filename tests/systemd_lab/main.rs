//! Stories under a real systemd: the shipped units in a container that is booted once. See docs/testing.md.
//!
//! `lab.rs` is the container, `service.rs` the installed service; the stories are one file a theme, run one after
//! another. Peers, patterns and clients are those of `tests/functional/support`.

#[path = "../functional/support/mod.rs"]
#[expect(
    dead_code,
    unused_imports,
    unused_macros,
    reason = "the half of the harness that is a daemon without systemd"
)]
mod support;

mod ending;
mod installing;
mod keeping;
mod lab;
mod oldest;
mod reloading;
mod running;
mod service;
mod starting;
mod upgrading;
mod variants;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Completion, Trial};

use lab::{Lab, NoLab, Release};

/// A story's name and what it does with the booted container; it fails by panicking.
type Story = (&'static str, fn(&Lab));

/// One file: its name, the systemd that it is for, and its stories.
type Theme = (&'static str, Release, &'static [Story]);

const THEMES: &[Theme] = &[
    ("installing", Release::Trixie, installing::STORIES),
    ("starting", Release::Trixie, starting::STORIES),
    ("running", Release::Trixie, running::STORIES),
    ("reloading", Release::Trixie, reloading::STORIES),
    ("ending", Release::Trixie, ending::STORIES),
    ("variants", Release::Trixie, variants::STORIES),
    ("upgrading", Release::Trixie, upgrading::STORIES),
    ("keeping", Release::Trixie, keeping::STORIES),
    ("oldest", Release::Bookworm, oldest::STORIES),
    ("oldest_reloading", Release::Bookworm, reloading::OF_252),
];

fn main() -> ExitCode {
    if let Some(part) = support::other_part() {
        return part;
    }
    let stories = THEMES.iter().flat_map(|(theme, release, stories)| {
        stories.iter().map(move |(name, story)| {
            Trial::ignorable_test(format!("systemd_lab::{theme}::{name}"), move || {
                match lab::booted(*release) {
                    Ok(lab) => {
                        story(lab);
                        Ok(Completion::Completed)
                    }
                    // Loudly, and counted as such, also where CI is set: not every machine lets containers be.
                    Err(NoLab::Missing(why)) => {
                        eprintln!("SKIPPED {name}: {why}");
                        Ok(Completion::ignored_with(why))
                    }
                    Err(NoLab::Broken(why)) => Err(why.into()),
                }
            })
        })
    });
    let mut arguments = Arguments::from_args();
    // There is one sluiced.service in it.
    arguments.test_threads = Some(1);
    let conclusion = libtest_mimic::run(&arguments, stories.collect());
    lab::shut_down();
    conclusion.exit_code()
}
