//! Tables and the values in them, with their places; what is not understood is reported on the way.

use std::collections::HashMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::leaf::Leaf;
use super::nearest;
use super::place::Place;
use super::report::Report;
use super::shape::{self, Shape};
use super::unsupported;

/// A value somewhere in a file.
#[derive(Clone, Copy)]
pub(super) struct Node<'t> {
    file: usize,
    value: &'t Spanned<DeValue<'t>>,
}

/// A key and its value.
#[derive(Clone, Copy)]
pub(super) struct Entry<'t> {
    pub(super) key: &'t str,
    pub(super) at: Place,
    pub(super) value: Node<'t>,
}

/// A key of a table, when it was looked for.
pub(super) enum Field<T> {
    Absent,
    /// It is there and cannot be used; that has been reported.
    Wrong,
    Given(T, Place),
}

/// A table whose keys are known.
pub(super) struct Section<'t> {
    shape: &'static Shape,
    /// What to point at when something is missing in it.
    pub(super) at: Place,
    entries: HashMap<&'t str, Entry<'t>>,
    /// The keys that are not known here.
    unknown: Vec<&'t str>,
}

impl<T> Field<T> {
    pub(super) fn ok(self) -> Option<T> {
        match self {
            Field::Given(value, _) => Some(value),
            Field::Absent | Field::Wrong => None,
        }
    }
}

impl<'t> Node<'t> {
    pub(super) fn place(self) -> Place {
        let span = self.value.span();
        Place {
            file: self.file,
            start: span.start,
            end: span.end,
        }
    }

    pub(super) fn text(self) -> Option<&'t str> {
        self.value.get_ref().as_str()
    }

    /// The elements, when it is a list.
    pub(super) fn list(self) -> Option<impl Iterator<Item = Node<'t>>> {
        let elements = self.value.get_ref().as_array()?;
        Some(elements.iter().map(move |value| Node { file: self.file, value }))
    }

    /// The entries in the order in which they were written, when it is a table.
    pub(super) fn table(self) -> Option<Vec<Entry<'t>>> {
        Some(entries(self.file, self.value.get_ref().as_table()?))
    }

    /// As [`Node::table`]; anything else is reported.
    pub(super) fn expect_table(self, label: &str, help: &str, report: &mut Report<'_>) -> Option<Vec<Entry<'t>>> {
        if self.table().is_none() {
            let message = format!("`{label}`: invalid type: {}, expected a table", self.type_name());
            report.error(self.place(), message, help);
        }
        self.table()
    }

    pub(super) fn type_name(self) -> &'static str {
        self.value.get_ref().type_str()
    }

    /// The value as a `T`; anything else is reported.
    pub(super) fn read<T: Leaf>(self, label: &str, report: &mut Report<'_>) -> Option<T> {
        let value = self.value.get_ref();
        if value.is_array() || value.is_table() {
            let message = format!(
                "`{label}`: invalid type: {}, expected {}",
                self.type_name(),
                T::EXPECTED
            );
            report.error(self.place(), message, T::help(None));
            return None;
        }
        T::deserialize(ValueDeserializer::from(self.value.clone()))
            .map_err(|error| {
                report.error(
                    self.place(),
                    format!("`{label}`: {}", error.message()),
                    T::help(self.text()),
                );
            })
            .ok()
    }
}

pub(super) fn entries<'t>(file: usize, table: &'t DeTable<'t>) -> Vec<Entry<'t>> {
    let mut entries: Vec<Entry<'t>> = table
        .iter()
        .map(|(key, value)| Entry {
            key: key.get_ref(),
            at: Place {
                file,
                start: key.span().start,
                end: key.span().end,
            },
            value: Node { file, value },
        })
        .collect();
    entries.sort_by_key(|entry| entry.at.start);
    entries
}

impl<'t> Section<'t> {
    /// Sorts the entries by key; unknown keys, and keys that two files give, are reported.
    pub(super) fn new(
        shape: &'static Shape,
        at: Place,
        entries: impl IntoIterator<Item = Entry<'t>>,
        report: &mut Report<'_>,
    ) -> Section<'t> {
        let entries: Vec<Entry<'t>> = entries.into_iter().collect();
        for entry in entries.iter().filter(|entry| !shape.keys.contains(&entry.key)) {
            let message = format!("unknown key `{}` in {}", entry.key, shape.name);
            report.error(entry.at, message, advice(shape, entry.key));
        }
        let unknown = entries
            .iter()
            .map(|entry| entry.key)
            .filter(|key| !shape.keys.contains(key))
            .collect();
        let known = entries.into_iter().filter(|entry| shape.keys.contains(&entry.key));
        let entries = unique(known, shape.name, report);
        Section {
            shape,
            at,
            entries: entries.into_iter().map(|entry| (entry.key, entry)).collect(),
            unknown,
        }
    }

    pub(super) fn entry(&self, key: &str) -> Option<Entry<'t>> {
        debug_assert!(self.shape.keys.contains(&key), "{key} is not in {}", self.shape.name);
        self.entries.get(key).copied()
    }

    /// Whether there was no key that is unknown.
    pub(super) fn has_only_known_keys(&self) -> bool {
        self.unknown.is_empty()
    }

    /// The entries in the order in which they were written.
    pub(super) fn entries(&self) -> Vec<Entry<'t>> {
        let mut entries: Vec<Entry<'t>> = self.entries.values().copied().collect();
        entries.sort_by_key(|entry| entry.at);
        entries
    }

    /// A key's value, whether it has an effect yet or not.
    pub(super) fn field<T: Leaf>(&self, key: &'static str, report: &mut Report<'_>) -> Field<T> {
        match self.entry(key) {
            None => Field::Absent,
            Some(entry) => match entry.value.read(key, report) {
                Some(value) => Field::Given(value, entry.value.place()),
                None => Field::Wrong,
            },
        }
    }

    /// A key's value, or its default.
    pub(super) fn or<T: Leaf + PartialEq>(&self, key: &'static str, default: T, report: &mut Report<'_>) -> T {
        match self.field::<T>(key, report) {
            Field::Given(value, at) if value == default || self.has_effect(key, at, report) => value,
            _ => default,
        }
    }

    /// A key's value; the key has no default.
    pub(super) fn maybe<T: Leaf>(&self, key: &'static str, report: &mut Report<'_>) -> Option<T> {
        match self.field(key, report) {
            Field::Given(value, at) if self.has_effect(key, at, report) => Some(value),
            _ => None,
        }
    }

    /// A list's elements with their places, when the key is given and is a list.
    pub(super) fn list<T: Leaf>(&self, key: &'static str, report: &mut Report<'_>) -> Field<Vec<T>> {
        let Some(entry) = self.entry(key) else {
            return Field::Absent;
        };
        let Some(elements) = entry.value.list() else {
            let message = format!("`{key}`: invalid type: {}, expected a list", entry.value.type_name());
            let help = match entry.value.text() {
                Some(text) => format!("put it in brackets: [{text:?}]"),
                None => T::help(None),
            };
            report.error(entry.value.place(), message, help);
            return Field::Wrong;
        };
        let (mut read, mut wrong) = (Vec::new(), false);
        for element in elements {
            match element.read(key, report) {
                Some(value) => read.push(value),
                None => wrong = true,
            }
        }
        if wrong {
            Field::Wrong
        } else {
            Field::Given(read, entry.value.place())
        }
    }

    /// A key has to be there; `help` says what to write.
    pub(super) fn require(&self, key: &'static str, help: &str, report: &mut Report<'_>) {
        // A key that was probably meant to be this one has been told of.
        let misspelt = self.unknown.iter().any(|given| nearest::likely(given, [key]).is_some());
        if self.entry(key).is_none() && !misspelt && !report.may_hide(key) {
            report.error(self.at, format!("`{key}` is missing here"), help);
        }
    }

    /// False, and reported, when the key has no effect yet.
    pub(super) fn has_effect(&self, key: &str, at: Place, report: &mut Report<'_>) -> bool {
        let refused = unsupported::is(self.shape, key);
        if refused {
            let message = format!("`{key}` of {} is not supported yet", self.shape.name);
            report.error(at, message, "take it out: for now it can only have its default");
        }
        !refused
    }
}

pub(super) fn advice(shape: &Shape, key: &str) -> String {
    let home = shape::TABLES
        .iter()
        .find(|table| **table != shape && table.keys.contains(&key));
    match home {
        Some(table) if nearest::likely(key, shape.keys.iter().copied()).is_none() => {
            format!("it belongs in {}", table.name)
        }
        _ => nearest::advice(key, shape.keys),
    }
}

/// The entries without those whose key stands in another file already.
pub(super) fn unique<'t>(
    entries: impl Iterator<Item = Entry<'t>>,
    table: &str,
    report: &mut Report<'_>,
) -> Vec<Entry<'t>> {
    let mut first: HashMap<&str, Place> = HashMap::new();
    let mut kept = Vec::new();
    for entry in entries {
        match first.get(entry.key) {
            Some(other) => {
                let message = format!(
                    "`{}` of {table} is given already, at {}",
                    entry.key,
                    report.name(*other)
                );
                report.error(entry.at, message, "take one of the two out");
            }
            None => {
                first.insert(entry.key, entry.at);
                kept.push(entry);
            }
        }
    }
    kept
}
