//! Numbers, times and names as people read them. Pure.

use std::fmt::Write;
use std::time::{Duration, UNIX_EPOCH};

pub(super) use crate::model::amount::{duration, size};

/// Text of the daemon's with what could steer a terminal made visible.
pub(super) fn plain(text: &str) -> String {
    escaped(text, |_| false)
}

/// The same, with its lines left as they are.
pub(super) fn plain_lines(text: &str) -> String {
    escaped(text, |c| c == '\n' || c == '\t')
}

fn escaped(text: &str, keep: impl Fn(char) -> bool) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        // Besides control characters, those that change the direction of what follows, or end a line.
        let steers = c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
        if steers && !keep(c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// A moment of CLOCK_REALTIME: `2026-01-31T12:00:00.000Z`.
pub(super) fn time(usec: u64) -> String {
    // humantime knows years of four digits.
    const LAST: u64 = 253_402_300_799 * 1_000_000;
    let time = UNIX_EPOCH + Duration::from_micros(usec.min(LAST));
    humantime::format_rfc3339_millis(time).to_string()
}

/// A state or kind from the wire, in words.
pub(super) fn words(state: &str) -> String {
    plain(state).replace('_', " ")
}

/// Columns that are as wide as what stands in them, two spaces apart.
#[derive(Debug)]
pub(super) struct Table {
    rows: Vec<Vec<String>>,
    right: Vec<bool>,
}

impl Table {
    /// A heading that begins with `>` makes a column that is aligned to the right.
    pub(super) fn new(headings: &[&str]) -> Table {
        Table {
            right: headings.iter().map(|heading| heading.starts_with('>')).collect(),
            rows: vec![
                headings
                    .iter()
                    .map(|heading| heading.trim_start_matches('>').to_owned())
                    .collect(),
            ],
        }
    }

    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Every line begins with `indent` and ends with a newline.
    pub(super) fn render(&self, indent: &str) -> String {
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.right.len()).map(width).collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::from(indent);
            for ((cell, width), right) in row.iter().zip(&widths).zip(&self.right) {
                let _ = if *right {
                    write!(line, "{cell:>width$}  ")
                } else {
                    write!(line, "{cell:<width$}  ")
                };
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_steers_the_terminal() {
        assert_eq!(plain("a\u{1b}[31mb\n\u{202e}ä"), "a\\u{1b}[31mb\\n\\u{202e}ä");
        assert_eq!(plain_lines("a\tb\n\r"), "a\tb\n\\r");
        assert_eq!(words("backing_off"), "backing off");
        assert_eq!(time(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(time(u64::MAX), "9999-12-31T23:59:59.000Z");
    }

    #[test]
    fn tables_are_aligned() {
        let mut table = Table::new(&["NAME", ">SIZE", "STATE"]);
        table.row(["a".into(), "10 B".into(), "flowing".into()]);
        table.row(["longer".into(), "1 B".into(), String::new()]);
        assert_eq!(
            table.render(" "),
            " NAME    SIZE  STATE\n a       10 B  flowing\n longer   1 B\n"
        );
    }
}
