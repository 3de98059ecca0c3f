use std::collections::BTreeSet;
use std::sync::Arc;

use super::diagnostic::{Diagnostic, Diagnostics};
use super::place::{Place, Source, plain};
use super::read::Input;

/// In a text with more broken lines than these, anything may be hidden.
const MOST_BROKEN: usize = 100;

/// Collects what is wrong, in whatever order it is found.
pub(super) struct Report<'t> {
    sources: &'t [Source<'t>],
    found: Vec<Found>,
    /// Lines that are no TOML: (file, line from 0). What is said of such a line besides that would be noise.
    broken: BTreeSet<(usize, usize)>,
    incomplete: bool,
}

/// A line that is shown: of which file, which, and its text. Problems of one line share it.
type Line = ((usize, usize), Option<Arc<str>>);

struct Found {
    place: Place,
    /// It is about the file as a whole.
    whole_file: bool,
    message: String,
    help: Option<String>,
}

impl<'t> Report<'t> {
    pub(super) fn new(sources: &'t [Source<'t>]) -> Report<'t> {
        Report {
            sources,
            found: Vec::new(),
            broken: BTreeSet::new(),
            incomplete: false,
        }
    }

    /// Something is wrong at this place; `help` says what to do.
    pub(super) fn error(&mut self, place: Place, message: impl Into<String>, help: impl Into<String>) {
        let line = self
            .sources
            .get(place.file)
            .map_or(0, |source| source.line_of(place.start));
        if !self.broken.contains(&(place.file, line)) {
            self.push(place, message.into(), Some(help.into()));
        }
    }

    /// Something is wrong that has no place in a file, because of what is not in any.
    pub(super) fn error_of_all(&mut self, message: impl Into<String>, help: impl Into<String>) {
        self.found.push(Found {
            place: Place {
                file: 0,
                start: 0,
                end: 0,
            },
            whole_file: true,
            message: message.into(),
            help: Some(help.into()),
        });
    }

    /// The text at this place is no TOML. One mistake can make many such errors; the first of each line is told. False
    /// when it was not.
    pub(super) fn syntax(&mut self, place: Place, message: impl Into<String>, help: Option<String>) -> bool {
        let line = self
            .sources
            .get(place.file)
            .map_or(0, |source| source.line_of(place.start));
        let first = self.broken.insert((place.file, line));
        if first {
            self.push(place, message.into(), help);
        }
        first
    }

    /// This line is no TOML, and why has been told.
    pub(super) fn broken(&mut self, place: Place) {
        let line = self
            .sources
            .get(place.file)
            .map_or(0, |source| source.line_of(place.start));
        self.broken.insert((place.file, line));
    }

    /// Files that gave no text.
    pub(super) fn unreadable(&mut self, inputs: &[Input]) {
        for (file, input) in inputs.iter().enumerate() {
            let Input::Unreadable(unreadable) = input else { continue };
            let start = unreadable.offset().unwrap_or(0);
            self.incomplete = true;
            self.found.push(Found {
                place: Place {
                    file,
                    start,
                    end: start,
                },
                whole_file: unreadable.offset().is_none(),
                message: unreadable.message.clone(),
                help: Some(unreadable.help.to_owned()),
            });
        }
    }

    /// A file's contents are unknown, so that what seems to be missing may be there.
    pub(super) fn incomplete(&mut self) {
        self.incomplete = true;
    }

    /// Whether `word` may have been written where nothing could be understood.
    pub(super) fn may_hide(&self, word: &str) -> bool {
        self.incomplete
            || self.broken.len() > MOST_BROKEN
            || self.broken.iter().any(|(file, line)| {
                let source = self.sources.get(*file);
                source.is_some_and(|source| source.line(*line).1.is_none_or(|text| text.contains(word)))
            })
    }

    /// What is written at this place.
    pub(super) fn text(&self, place: Place) -> &'t str {
        let text = self.sources.get(place.file).map_or("", |source| source.text);
        text.get(place.start..place.end).unwrap_or_default()
    }

    /// `FILE:LINE:COL`
    pub(super) fn name(&self, place: Place) -> String {
        let Some(source) = self.sources.get(place.file) else {
            return String::new();
        };
        let (line, column) = source.position(place.start);
        format!("{}:{line}:{column}", source.path)
    }

    /// All that was found, in the order of files and lines.
    pub(super) fn finish(mut self) -> Result<(), Diagnostics> {
        if self.found.is_empty() {
            return Ok(());
        }
        let found = &mut self.found;
        found.sort_by_key(|found| (found.place.file, !found.whole_file, found.place.start));
        found.dedup_by(|a, b| a.place == b.place && a.message == b.message);
        let mut last = None;
        let told = std::mem::take(&mut self.found)
            .into_iter()
            .map(|found| self.diagnostic(&found, &mut last))
            .collect();
        Err(Diagnostics(told))
    }

    fn push(&mut self, place: Place, message: String, help: Option<String>) {
        self.found.push(Found {
            place,
            whole_file: false,
            message,
            help,
        });
    }

    fn diagnostic(&self, found: &Found, last: &mut Option<Line>) -> Diagnostic {
        let place = found.place;
        let source = self.sources.get(place.file);
        let mut diagnostic = Diagnostic {
            file: source.map(|source| source.path.clone()).unwrap_or_default(),
            line: 0,
            column: 0,
            message: plain(&found.message),
            help: found.help.as_deref().map(plain),
            shown: None,
        };
        let Some(source) = source.filter(|_| !found.whole_file) else {
            return diagnostic;
        };
        (diagnostic.line, diagnostic.column) = source.position(place.start);
        let line = diagnostic.line - 1;
        let (start, text) = match last {
            Some((key, text)) if *key == (place.file, line) => (source.line_start(line), text.clone()),
            _ => source.line(line),
        };
        *last = Some(((place.file, line), text.clone()));
        diagnostic.shown = text.map(|text| {
            let within = |offset: usize| offset.saturating_sub(start).min(text.len());
            let meant = within(place.start)..within(place.end.max(place.start));
            (text, meant)
        });
        diagnostic
    }
}
