//! From text to a tree, with every syntax error that can be told apart. What is broken is blanked out, line by line, so
//! that the rest is still checked.

use std::borrow::Cow;

use toml::Spanned;
use toml::de::DeTable;
use toml_parser::lexer::TokenKind;

use super::place::{Place, Source};
use super::report::Report;

/// How many parts a dotted key may have. Each is a table in a table, and a table is dropped by recursion: a megabyte
/// of dots would overflow the stack.
const DEEPEST_KEY: usize = 16;

/// How often a file is looked at again after what was broken in it has been blanked out.
const ROUNDS: usize = 8;

/// The text of each file with what is no TOML told and blanked out, so that all else keeps its place.
pub(super) fn legible<'t>(sources: &[Source<'t>], report: &mut Report<'_>) -> Vec<Cow<'t, str>> {
    let legible = |(file, source): (usize, &Source<'t>)| {
        let text = if source.readable { source.text } else { "" };
        repaired(file, text, report)
    };
    sources.iter().enumerate().map(legible).collect()
}

/// One tree for each text, in the same order.
pub(super) fn trees<'t>(texts: &'t [Cow<'_, str>]) -> Vec<Spanned<DeTable<'t>>> {
    texts.iter().map(|text| DeTable::parse_recoverable(text).0).collect()
}

fn repaired<'t>(file: usize, text: &'t str, report: &mut Report<'_>) -> Cow<'t, str> {
    let mut text = Cow::Borrowed(text);
    for _ in 0..ROUNDS {
        if let Some((start, end)) = too_deep(&text) {
            let message = format!("a key of more than {DEEPEST_KEY} parts");
            report.syntax(
                Place { file, start, end },
                message,
                Some("no key is that deep".to_owned()),
            );
            report.incomplete();
            return Cow::Borrowed("");
        }
        let (broken, sound) = broken(file, &text, report);
        if sound {
            return text;
        }
        if broken.is_empty() {
            break;
        }
        let mut bytes = text.into_owned().into_bytes();
        for Place { start, end, .. } in broken {
            blank(&mut bytes, start, end);
        }
        text = Cow::Owned(String::from_utf8(bytes).unwrap_or_default());
    }
    report.incomplete();
    text
}

/// Tells what is broken, and gives the lines without which it would not be, each once, and whether nothing is.
fn broken(file: usize, text: &str, report: &mut Report<'_>) -> (Vec<Place>, bool) {
    let (mut broken, mut sound) = (Vec::new(), true);
    let mut repeats = Repeats::default();
    for error in DeTable::parse_recoverable(text).1 {
        let span = error.span().unwrap_or(text.len()..text.len());
        let (start, end) = (span.start, span.end);
        let place = Place { file, start, end };
        if error.message() == "duplicate key" {
            repeats.tell(text, place, report);
            continue;
        }
        sound = false;
        let advice = advice(&error, report.text(place));
        if !report.syntax(place, format!("this is not TOML: {}", error.message()), advice) {
            continue;
        }
        // A list that is not closed swallows the rest of the file: the rest is looked at again without it.
        if let Some(start) = unclosed(&error, text, start) {
            report.broken(Place { start, ..place });
            let end = line_start(text, place.start).saturating_sub(1);
            return (vec![Place { file, start, end }], false);
        }
        broken.push(place);
    }
    (broken, sound)
}

/// Overwrites the lines of `start..end` with spaces. Whole lines, so that no character is cut; and with the header of a
/// table what stands below it, which would count as the table's before.
fn blank(bytes: &mut [u8], start: usize, end: usize) {
    let before = bytes.get(..start).unwrap_or_default();
    let from = memchr::memrchr(b'\n', before).map_or(0, |at| at + 1);
    let mut to = line_end(bytes, end.max(start));
    let begins_table = |line: Option<&[u8]>| line.unwrap_or_default().trim_ascii_start().starts_with(b"[");
    let header = begins_table(bytes.get(from..to));
    while header && to < bytes.len() {
        let next = line_end(bytes, to + 1);
        if begins_table(bytes.get(to + 1..next)) {
            break;
        }
        to = next;
    }
    for byte in bytes.get_mut(from..to).unwrap_or_default() {
        if *byte != b'\n' {
            *byte = b' ';
        }
    }
}

fn line_end(bytes: &[u8], offset: usize) -> usize {
    let after = bytes.get(offset..).unwrap_or_default();
    memchr::memchr(b'\n', after).map_or(bytes.len(), |at| at + offset)
}

fn line_start(text: &str, offset: usize) -> usize {
    text.get(..offset)
        .and_then(|before| before.rfind('\n'))
        .map_or(0, |end| end + 1)
}

/// Where a list was opened that misses its end before `start`, where something else than an element begins.
fn unclosed(error: &toml::de::Error, text: &str, start: usize) -> Option<usize> {
    if !error.message().starts_with("missing comma") {
        return None;
    }
    let from = line_start(text, start);
    let line = text.get(from..)?.lines().next()?.trim_start();
    let assigns = line.split_once('=').is_some_and(|(key, _)| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_. ".contains(c);
        !key.is_empty() && key.chars().all(plain)
    });
    if !assigns && !line.starts_with('[') {
        return None;
    }
    let opened = text.get(..from)?.rfind('[')?;
    Some(line_start(text, opened))
}

/// Keys and tables that are given twice in one file.
#[derive(Default)]
struct Repeats {
    /// In a table that is repeated.
    in_table: bool,
    /// For how many the first place was looked for.
    looked_for: usize,
}

impl Repeats {
    /// How many are told with their first place: beyond that, looking for it would take too long.
    const MOST: usize = 100;

    /// Tells it once: what stands in a repeated table is not told again.
    fn tell(&mut self, text: &str, place: Place, report: &mut Report<'_>) {
        let from = line_start(text, place.start);
        let header = text
            .get(from..place.start)
            .is_some_and(|lead| lead.trim_start().starts_with('['));
        self.looked_for += 1;
        let first = if self.looked_for <= Repeats::MOST {
            earlier(text, place, header)
        } else {
            None
        };
        if !header && self.in_table && first.is_none() {
            return report.broken(place);
        }
        self.in_table |= header;
        let key = report.text(place);
        let message = match first {
            Some(start) => format!("`{key}` is given already, at {}", report.name(Place { start, ..place })),
            None => format!("`{key}` is given already"),
        };
        report.syntax(place, message, Some("take one of the two out".to_owned()));
    }
}

/// Where the key, or the table's header, at this place was given before, as far as a look at the lines tells.
fn earlier(text: &str, place: Place, header: bool) -> Option<usize> {
    let from = line_start(text, place.start);
    let before = text.get(..from)?;
    let lead = text.get(from..place.start)?.trim_start();
    let key = text.get(place.start..place.end)?;
    let mut end = before.len();
    for line in before.split_inclusive('\n').rev() {
        end -= line.len();
        let indent = line.len() - line.trim_start().len();
        let rest = line.get(indent..)?;
        if header {
            let follows = rest.strip_prefix(lead).and_then(|rest| rest.strip_prefix(key));
            if follows.is_some_and(|rest| rest.starts_with(']')) {
                return Some(end + indent + lead.len());
            }
        } else if rest.starts_with('[') {
            return None;
        } else if rest
            .strip_prefix(key)
            .is_some_and(|rest| rest.trim_start().starts_with(['=', '.']))
        {
            return Some(end + indent);
        }
    }
    None
}

/// The first key that is too deep: its first and last part.
fn too_deep(text: &str) -> Option<(usize, usize)> {
    let (mut dots, mut start) = (0, 0);
    for token in toml_parser::Source::new(text).lex() {
        match token.kind() {
            TokenKind::Dot => dots += 1,
            TokenKind::Whitespace
            | TokenKind::Atom
            | TokenKind::LiteralString
            | TokenKind::BasicString
            | TokenKind::MlLiteralString
            | TokenKind::MlBasicString => {}
            _ => (dots, start) = (0, token.span().end()),
        }
        if dots >= DEEPEST_KEY {
            return Some((start, token.span().end()));
        }
    }
    None
}

/// What to do about the mistakes that people make.
fn advice(error: &toml::de::Error, found: &str) -> Option<String> {
    let message = error.message();
    if message.starts_with("string values must be quoted") {
        Some(format!("put it in quotes: {found:?}"))
    } else if message.starts_with("missing comma") {
        Some("put a comma before it, or close the list that begins above with ]".to_owned())
    } else if message.starts_with("key with no value") {
        Some("write it as key = value; a text ends with the quotes that it began with".to_owned())
    } else {
        None
    }
}
