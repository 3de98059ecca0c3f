use std::sync::Arc;

use super::read::Input;

/// A stretch of a file's text: `start..end` in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Place {
    /// Which file, in the order in which they were read.
    pub(super) file: usize,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// How many bytes lie between two counts of characters: what it costs at most to find a column.
const STRIDE: usize = 1024;

/// The longest line that is shown with a caret, in bytes.
const LONGEST_SHOWN: usize = 1000;

/// A file's text with an index, so that a place in it is found in constant time however long a line is.
pub(super) struct Source<'t> {
    /// Its path, as shown.
    pub(super) path: String,
    /// Its text; empty when it could not be read.
    pub(super) text: &'t str,
    /// Where each line starts, in bytes.
    lines: Vec<usize>,
    /// How many characters stand before each STRIDE bytes.
    characters: Vec<usize>,
}

impl<'t> Source<'t> {
    pub(super) fn of(input: &'t Input) -> Source<'t> {
        let text = input.text();
        let ends = memchr::memchr_iter(b'\n', text.as_bytes());
        let lines = std::iter::once(0).chain(ends.map(|end| end + 1)).collect();
        let begins = |byte: &&u8| (**byte & 0xC0) != 0x80;
        let characters = text
            .as_bytes()
            .chunks(STRIDE)
            .scan(0, |before, chunk| {
                let here = *before;
                *before += chunk.iter().filter(begins).count();
                Some(here)
            })
            .collect();
        Source {
            path: shown_path(&input.path().to_string_lossy()),
            text,
            lines,
            characters,
        }
    }

    /// The number of the line that holds this byte, from 0.
    pub(super) fn line_of(&self, offset: usize) -> usize {
        self.lines.partition_point(|start| *start <= offset).saturating_sub(1)
    }

    /// Line and column of a byte, both from 1, the column in characters. A byte order mark is no character.
    pub(super) fn position(&self, offset: usize) -> (usize, usize) {
        let line = self.line_of(offset);
        let start = self.lines.get(line).copied().unwrap_or(0);
        let mark = usize::from(line == 0 && self.text.starts_with('\u{feff}') && offset > 0);
        let column = self.characters_before(offset) - self.characters_before(start) - mark;
        (line + 1, column + 1)
    }

    /// Where a line starts, in bytes, after a byte order mark.
    pub(super) fn line_start(&self, line: usize) -> usize {
        let mark = if line == 0 && self.text.starts_with('\u{feff}') {
            '\u{feff}'.len_utf8()
        } else {
            0
        };
        self.lines.get(line).copied().unwrap_or(0) + mark
    }

    /// The text of a line without its end, and where it starts; no text when it is too long to be shown.
    pub(super) fn line(&self, line: usize) -> (usize, Option<Arc<str>>) {
        let start = self.line_start(line);
        let end = self.lines.get(line + 1).map_or(self.text.len(), |next| next - 1);
        let text = self.text.get(start..end).unwrap_or_default();
        let text = text.strip_suffix('\r').unwrap_or(text);
        (start, (text.len() <= LONGEST_SHOWN).then(|| text.into()))
    }

    fn characters_before(&self, offset: usize) -> usize {
        let offset = offset.min(self.text.len());
        let block = (offset / STRIDE).min(self.characters.len().saturating_sub(1));
        let counted = self.characters.get(block).copied().unwrap_or(0);
        let rest = self.text.as_bytes().get(block * STRIDE..offset).unwrap_or_default();
        counted + rest.iter().filter(|byte| (**byte & 0xC0) != 0x80).count()
    }
}

/// A path as one line of text that cannot play tricks on a terminal.
pub(super) fn shown_path(path: &str) -> String {
    path.chars()
        .flat_map(|c| {
            let escaped: Vec<char> = if c.is_control() {
                c.escape_default().collect()
            } else {
                vec![c]
            };
            escaped
        })
        .collect()
}
