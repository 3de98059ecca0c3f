//! Which module may use which, where `unsafe` may stand, and how long a file may be: read off the source text.
//!
//! The rule is drawn in `docs/architecture.md`. A new top-level module, and a new edge between two of them, is written
//! down in `ALLOWED` first. The reading is done by a lexer of a few lines, which knows comments, texts and `use` groups;
//! what it finds in made-up source is tested at the end of this file.

use std::collections::{BTreeMap, BTreeSet};

#[path = "architecture/source.rs"]
mod source;

use source::{Source, sources};

/// Each top-level module, and which others it may name. Every module may name `model`.
const ALLOWED: [(&str, &[&str]); 15] = [
    ("bin", &["daemon", "cli"]),
    ("cli", &["control"]),
    ("config", &["endpoint"]),
    ("control", &["sys"]),
    (
        "daemon",
        &[
            "config",
            "control",
            "decide",
            "endpoint",
            "relay",
            "store",
            "supervise",
            "sys",
        ],
    ),
    ("decide", &[]),
    ("endpoint", &["store", "transport", "sys"]),
    ("framing", &[]),
    ("model", &[]),
    ("overflow", &["framing"]),
    (
        "relay",
        &["decide", "endpoint", "framing", "overflow", "store", "transport", "sys"],
    ),
    ("store", &["sys"]),
    ("supervise", &["decide", "store", "sys"]),
    ("sys", &[]),
    ("transport", &["store", "sys"]),
];

/// Edges that hold for a part of the other module only: (from, to, what of it).
const ONLY: [(&str, &str, &[&str]); 1] = [
    // The program's one clock; who a client is.
    ("control", "sys", &["clock", "peer", "reactor"]),
];

/// What may not be named although the edge is allowed: (from, to, what of it).
const NEVER: [(&str, &str, &[&str]); 2] = [
    // The server's side.
    (
        "cli",
        "control",
        &[
            "Access",
            "Backend",
            "Listener",
            "Server",
            "from_activation",
            "listen",
            "server",
        ],
    ),
    // A config is checked without a descriptor at hand.
    ("config", "endpoint", &["ends"]),
];

/// Modules that do no IO: what is said of them holds as soon as they are there.
const PURE: [&str; 4] = ["decide", "framing", "model", "overflow"];
/// What would be IO, a clock, or a thread.
const IMPURE: [&[&str]; 9] = [
    &["nix"],
    &["tokio"],
    &["std", "fs"],
    &["std", "io"],
    &["std", "net"],
    &["std", "os"],
    &["std", "thread"],
    &["std", "time", "Instant"],
    &["std", "time", "SystemTime"],
];
/// A snapshot shares a route's descriptors with whoever asks the kernel about them.
const SHARES_DESCRIPTORS: &str = "model/snapshot.rs";

/// Lines of a file, tests included.
const LONGEST: usize = 450;
/// Files that are longer, and how long they may be. One that is not longer any more has to go from here.
const LONGER: [(&str, usize); 0] = [];

// --- The rules ------------------------------------------------------------------------------------------------------

#[test]
fn modules_name_only_what_they_may() {
    refuse(&edges_refused(&sources()));
}

#[test]
fn unsafe_is_in_sys_alone() {
    refuse(&unsafe_refused(&sources()));
}

#[test]
fn pure_modules_do_no_io() {
    refuse(&io_refused(&sources()));
}

/// A config is checked by what `endpoint` says of each kind; opening is in `endpoint/ends.rs` and below each kind's file.
#[test]
fn how_an_endpoint_is_written_opens_nothing() {
    let written: Vec<Source> = sources()
        .into_iter()
        .filter(|source| {
            source
                .path
                .strip_prefix("endpoint/")
                .is_some_and(|rest| !rest.contains('/'))
                && source.path != "endpoint/ends.rs"
        })
        .collect();
    assert!(written.len() > 4, "the kinds are not where they were");
    let mut refused = Vec::new();
    for source in &written {
        for used in &source.uses() {
            if matches!(used.top(), "transport" | "sys") {
                refused.push(format!("{}: names {}", source.at(used.line), used.shown()));
            }
        }
    }
    refuse(&refused);
}

#[test]
fn files_are_short() {
    let mut refused = Vec::new();
    for source in sources() {
        let lines = source.text.lines().count();
        let exempt = LONGER.iter().find(|(path, _)| *path == source.path);
        let most = exempt.map_or(LONGEST, |(_, most)| *most);
        if lines > most {
            refused.push(format!("src/{}: {lines} lines, at most {most}", source.path));
        }
        if exempt.is_some() && lines <= LONGEST {
            refused.push(format!("src/{}: short again, take it out of LONGER", source.path));
        }
    }
    refuse(&refused);
}

/// The folder listing, lib.rs and the rule tell of the same modules.
#[test]
fn the_module_map_is_complete() {
    let sources = sources();
    let there: BTreeSet<&str> = sources.iter().map(Source::top).filter(|top| *top != "lib").collect();
    let ruled: BTreeSet<&str> = ALLOWED.iter().map(|(module, _)| *module).collect();
    assert_eq!(there, ruled, "src/ and ALLOWED");
    let lib = sources
        .iter()
        .find(|source| source.path == "lib.rs")
        .expect("src/lib.rs");
    let mut mapped: BTreeSet<&str> = lib
        .text
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'))
        .collect();
    mapped.insert("bin");
    assert_eq!(mapped, ruled, "src/lib.rs and ALLOWED");
    for source in &sources {
        if source.path.ends_with("/mod.rs") && source.path.matches('/').count() == 1 {
            assert!(
                source.text.starts_with("//! "),
                "src/{}: says what it is for",
                source.path
            );
        }
    }
}

fn edges_refused(sources: &[Source]) -> Vec<String> {
    let allowed: BTreeMap<&str, &[&str]> = ALLOWED.into_iter().collect();
    let mut refused = Vec::new();
    for source in sources {
        let from = source.top();
        for used in source.uses() {
            let to = used.top();
            let part = used.path.get(1).map_or("", String::as_str);
            let of = |rules: &[(&str, &str, &'static [&'static str])]| {
                rules
                    .iter()
                    .find(|rule| (rule.0, rule.1) == (from, to))
                    .map(|rule| rule.2)
            };
            let edge = to == from || to == "model" || allowed.get(from).is_some_and(|may| may.contains(&to));
            let only = of(&ONLY).is_none_or(|parts| parts.contains(&part));
            let never = of(&NEVER).is_some_and(|parts| parts.contains(&part));
            if !edge || !only || never {
                refused.push(format!(
                    "{}: {from} may not name {}",
                    source.at(used.line),
                    used.shown()
                ));
            }
        }
    }
    refused
}

fn unsafe_refused(sources: &[Source]) -> Vec<String> {
    let mut refused = Vec::new();
    for source in sources {
        let tokens = source.tokens();
        let words: Vec<(usize, &str)> = tokens
            .iter()
            .filter_map(|(line, token)| Some((*line, token.word()?)))
            .collect();
        for (i, (line, word)) in words.iter().enumerate() {
            let allows = *word == "unsafe_code" && i > 0 && matches!(words[i - 1].1, "allow" | "expect" | "warn");
            if (*word == "unsafe" || allows) && source.top() != "sys" {
                refused.push(format!("{}: `{word}` outside src/sys", source.at(*line)));
            }
        }
        let root = source.path == format!("{}/mod.rs", source.top());
        let forbids = words
            .windows(2)
            .any(|pair| (pair[0].1, pair[1].1) == ("forbid", "unsafe_code"));
        if root && PURE.contains(&source.top()) && !forbids {
            refused.push(format!("src/{}: #![forbid(unsafe_code)] is missing", source.path));
        }
    }
    refused
}

fn io_refused(sources: &[Source]) -> Vec<String> {
    let mut refused = Vec::new();
    for source in sources.iter().filter(|source| PURE.contains(&source.top())) {
        for root in ["std", "nix", "tokio"] {
            for used in source.paths_from(root) {
                let is =
                    |impure: &&[&str]| used.path.len() >= impure.len() && impure.iter().eq(&used.path[..impure.len()]);
                let shares = source.path == SHARES_DESCRIPTORS && used.path == ["std", "os", "fd", "OwnedFd"];
                if IMPURE.iter().any(is) && !shares {
                    refused.push(format!("{}: {} is IO", source.at(used.line), used.path.join("::")));
                }
            }
        }
    }
    refused
}

fn refuse(refused: &[String]) {
    assert!(refused.is_empty(), "see docs/architecture.md:\n{}", refused.join("\n"));
}

// --- That the rules see what they are to see ------------------------------------------------------------------------

fn made_up(path: &str, text: &str) -> [Source; 1] {
    [Source {
        path: path.to_owned(),
        text: text.to_owned(),
    }]
}

#[test]
fn a_wrong_edge_is_seen_however_it_is_written() {
    let wrong = [
        ("decide/gate.rs", "use crate::sys::clock;"),
        ("decide/gate.rs", "fn f() { let _ = crate::relay::start(); }"),
        ("decide/route/mod.rs", "use crate::{model::Moment, sys::{clock, pipe}};"),
        ("decide/gate.rs", "use super::super::sys::clock;"),
        ("decide/mod.rs", "use super::sys;"),
        ("transport/mod.rs", "use super::{endpoint, model};"),
        ("transport/end.rs", "impl From<crate::endpoint::Kind> for u8 {}"),
        ("relay/route.rs", "pub use crate::supervise as s;"),
        ("cli/mod.rs", "use crate::daemon::main;"),
        ("cli/status.rs", "use crate::sys::clock;"),
        ("control/server.rs", "use crate::sys::pipe;"),
        ("cli/status.rs", "use crate::control::{client, Server};"),
        ("config/mod.rs", "use crate::endpoint::{self, ends::Lent};"),
        ("sys/pipe.rs", "use crate::decide;"),
        ("bin/sluicectl.rs", "fn main() { sluiced::control::main() }"),
        ("relay/cell.rs", "use crate::nowhere::X;"),
        (
            "decide/gate.rs",
            "const C: char = '\"'; use crate::sys; const D: char = '\"';",
        ),
        ("decide/gate.rs", "fn f<'a>(x: &'a str) {} use crate::sys; "),
    ];
    for (path, text) in wrong {
        assert!(!edges_refused(&made_up(path, text)).is_empty(), "src/{path}: {text}");
    }
}

#[test]
fn what_is_allowed_and_what_is_no_code_is_not_refused() {
    let right = [
        (
            "decide/gate.rs",
            "use crate::model::{Moment, PauseReason}; use crate::decide::route; use super::gate;",
        ),
        (
            "decide/gate.rs",
            "// use crate::sys;\n/* use crate::sys; /* */ use crate::sys; */",
        ),
        (
            "decide/gate.rs",
            "const A: &str = \"use crate::sys \\\" crate::sys\"; const B: &str = r#\"crate::sys\"#;",
        ),
        (
            "relay/turn.rs",
            "pub(crate) fn f() {} use crate::{sys::{clock, errno}, transport::*};",
        ),
        (
            "cli/status.rs",
            "use crate::control::{client::Client, types}; use crate::model::Name;",
        ),
        (
            "endpoint/fifo/source.rs",
            "use super::place; use super::super::ends; use crate::transport::ReadEnd;",
        ),
        ("bin/sluiced.rs", "fn main() { sluiced::daemon::main() }"),
    ];
    for (path, text) in right {
        let refused = edges_refused(&made_up(path, text));
        assert!(refused.is_empty(), "src/{path}: {text}: {refused:?}");
    }
}

#[test]
fn unsafe_is_seen_in_code_and_nowhere_else() {
    let count = |path: &str, text: &str| unsafe_refused(&made_up(path, text)).len();
    assert_eq!(count("relay/turn.rs", "fn f() { unsafe { g() } }"), 1);
    assert_eq!(count("relay/turn.rs", "#![allow(unsafe_code)]"), 1);
    assert_eq!(count("relay/turn.rs", "// unsafe\nconst A: &str = \"unsafe\";"), 0);
    assert_eq!(
        count("sys/pipe.rs", "#![allow(unsafe_code)] fn f() { unsafe { g() } }"),
        0
    );
    assert_eq!(count("decide/mod.rs", "pub mod gate;"), 1, "no #![forbid(unsafe_code)]");
    assert_eq!(count("framing/mod.rs", "#![forbid(unsafe_code)]"), 0);
}

#[test]
fn io_is_seen_in_pure_modules() {
    let count = |path: &str, text: &str| io_refused(&made_up(path, text)).len();
    assert_eq!(count("decide/gate.rs", "use std::time::{Duration, Instant};"), 1);
    assert_eq!(count("decide/gate.rs", "fn f() { std::fs::read(\"x\"); }"), 1);
    assert_eq!(count("model/spec.rs", "use nix::unistd; use tokio::sync::mpsc;"), 2);
    assert_eq!(count("model/snapshot.rs", "use std::os::fd::OwnedFd;"), 0);
    assert_eq!(count("decide/gate.rs", "use std::os::fd::OwnedFd;"), 1);
    assert_eq!(
        count(
            "decide/gate.rs",
            "use std::time::Duration; use std::collections::VecDeque;"
        ),
        0
    );
    assert_eq!(count("relay/turn.rs", "use std::io;"), 0);
}
