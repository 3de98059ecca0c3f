//! All files put together.

use std::collections::HashMap;

use toml::Spanned;
use toml::de::DeTable;

use super::place::Place;
use super::report::Report;
use super::section::{Entry, Section, advice, entries, unique};
use super::shape;

/// All files as one.
pub(super) struct Root<'t> {
    pub(super) daemon: Section<'t>,
    pub(super) control: Section<'t>,
    /// In the order in which they were written; the key is the name.
    pub(super) processes: Vec<Entry<'t>>,
    /// In the order in which they were written; the key is the name.
    pub(super) routes: Vec<Entry<'t>>,
}

impl<'t> Root<'t> {
    /// Puts the files together. Tables may be spread over files; the same key twice may not.
    pub(super) fn merge(trees: &'t [Spanned<DeTable<'t>>], report: &mut Report<'_>) -> Root<'t> {
        let mut parts: HashMap<&str, Vec<Entry<'t>>> = HashMap::new();
        for (file, tree) in trees.iter().enumerate() {
            for entry in entries(file, tree.get_ref()) {
                if !shape::ROOT.keys.contains(&entry.key) {
                    let message = format!("unknown key `{}` at the top level", entry.key);
                    report.error(entry.at, message, advice(&shape::ROOT, entry.key));
                } else if let Some(inner) = entry.value.expect_table(entry.key, table_help(entry.key), report) {
                    parts.entry(entry.key).or_default().extend(inner);
                }
            }
        }
        let mut part = |key: &str| parts.remove(key).unwrap_or_default();
        let nowhere = Place {
            file: 0,
            start: 0,
            end: 0,
        };
        Root {
            daemon: Section::new(&shape::DAEMON, nowhere, part("daemon"), report),
            control: Section::new(&shape::CONTROL, nowhere, part("control"), report),
            processes: unique(part("process").into_iter(), "[process]", report),
            routes: unique(part("route").into_iter(), "[route]", report),
        }
    }
}

fn table_help(key: &str) -> &'static str {
    match key {
        "process" => "write [process.NAME], one table for each process",
        "route" => "write [route.NAME], one table for each route",
        "daemon" => "write [daemon], and its keys below it",
        _ => "write [control], and its keys below it",
    }
}
