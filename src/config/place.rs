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
    /// Whether all of it could be read.
    pub(super) readable: bool,
    /// Its text, as far as it could be read.
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
            path: plain(&input.path().to_string_lossy()),
            readable: matches!(input, Input::Text(_)),
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
        // The C1 controls, which annotate-snippets lets through, and their stand-in have two bytes each: the caret stays.
        let harmless = |text: &str| text.replace(|c| ('\u{80}'..='\u{9f}').contains(&c), "\u{b7}");
        (start, (text.len() <= LONGEST_SHOWN).then(|| harmless(text).into()))
    }

    fn characters_before(&self, offset: usize) -> usize {
        let offset = offset.min(self.text.len());
        let block = (offset / STRIDE).min(self.characters.len().saturating_sub(1));
        let counted = self.characters.get(block).copied().unwrap_or(0);
        let rest = self.text.as_bytes().get(block * STRIDE..offset).unwrap_or_default();
        counted + rest.iter().filter(|byte| (**byte & 0xC0) != 0x80).count()
    }
}

/// A text as one line that cannot play tricks on a terminal.
pub(super) fn plain(text: &str) -> String {
    if !text.contains(char::is_control) {
        return text.to_owned();
    }
    let mut plain = String::new();
    for c in text.chars() {
        match c.is_control() {
            true => plain.extend(c.escape_default()),
            false => plain.push(c),
        }
    }
    plain
}
