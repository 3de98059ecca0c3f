//! From text to a tree, with every syntax error that can be told apart.

use toml::Spanned;
use toml::de::DeTable;
use toml_parser::lexer::TokenKind;

use super::place::{Place, Source};
use super::report::Report;

/// How many parts a dotted key may have. Each is a table in a table, and a table is dropped by recursion: a megabyte
/// of dots would overflow the stack.
const DEEPEST_KEY: usize = 16;

/// One tree for each file, in the same order; what could not be understood is not in it.
pub(super) fn trees<'t>(sources: &[Source<'t>], report: &mut Report<'_>) -> Vec<Spanned<DeTable<'t>>> {
    sources
        .iter()
        .enumerate()
        .map(|(file, source)| tree(file, source.text, report))
        .collect()
}

fn tree<'t>(file: usize, text: &'t str, report: &mut Report<'_>) -> Spanned<DeTable<'t>> {
    if let Some((start, end)) = too_deep(text) {
        let message = format!("a key of more than {DEEPEST_KEY} parts, so nothing of this file was checked");
        report.syntax(
            Place { file, start, end },
            message,
            Some("no key is that deep".to_owned()),
        );
        report.incomplete();
        return Spanned::new(0..0, DeTable::new());
    }
    let (tree, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let span = error.span().unwrap_or(text.len()..text.len());
        let place = Place {
            file,
            start: span.start,
            end: span.end,
        };
        report.syntax(
            place,
            format!("this is not TOML: {}", error.message()),
            advice(&error, text),
        );
    }
    tree
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
fn advice(error: &toml::de::Error, text: &str) -> Option<String> {
    let found = error.span().and_then(|span| text.get(span)).unwrap_or_default();
    if error.message().starts_with("duplicate key") {
        return Some("a key, and a table, may be given once".to_owned());
    }
    let quotable = found.starts_with(|c: char| c.is_ascii_alphanumeric()) && !found.contains('"');
    quotable.then(|| format!("if it is a text, put it in quotes: \"{found}\""))
}
