//! Numbers, times and names as people read them. Pure.

use std::fmt::Write;
use std::time::{Duration, UNIX_EPOCH};

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

/// `512 B`, `64 KiB`, `1.5 MiB`.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let (mut unit, mut scale) = (0, 1024_u64);
    // From 1023.95 on it would be shown as 1024.0 of this unit.
    while unit + 1 < UNITS.len() && bytes / scale >= 1000 {
        unit += 1;
        scale <<= 10;
    }
    let tenths = (u128::from(bytes) * 10 + u128::from(scale) / 2) / u128::from(scale);
    if tenths.is_multiple_of(10) || tenths >= 1000 {
        format!("{} {}", tenths / 10, UNITS[unit])
    } else {
        format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
    }
}

/// `350 ms`, `12 s`, `3 m 5 s`, `2 h 4 m`, `5 d 3 h`.
pub(super) fn duration(usec: u64) -> String {
    let (ms, s) = (usec / 1000, usec / 1_000_000);
    let two = |big: u64, big_unit: &str, small: u64, small_unit: &str| {
        if small == 0 {
            format!("{big} {big_unit}")
        } else {
            format!("{big} {big_unit} {small} {small_unit}")
        }
    };
    match s {
        0 => format!("{ms} ms"),
        1..=9 if (ms / 100) % 10 > 0 => format!("{s}.{} s", (ms / 100) % 10),
        1..=59 => format!("{s} s"),
        60..=3599 => two(s / 60, "m", s % 60, "s"),
        3600..=86_399 => two(s / 3600, "h", s / 60 % 60, "m"),
        _ => two(s / 86_400, "d", s / 3600 % 24, "h"),
    }
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
    fn sizes() {
        for (bytes, shown) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (1536, "1.5 KiB"),
            (65536, "64 KiB"),
            (1_048_575, "1 MiB"),
            (1_363_149, "1.3 MiB"),
            (140 << 20, "140 MiB"),
            (u64::MAX, "16 EiB"),
        ] {
            assert_eq!(size(bytes), shown, "{bytes}");
        }
    }

    #[test]
    fn durations() {
        for (usec, shown) in [
            (0, "0 ms"),
            (350_999, "350 ms"),
            (1_000_000, "1 s"),
            (3_240_000, "3.2 s"),
            (12_300_000, "12 s"),
            (60_000_000, "1 m"),
            (185_000_000, "3 m 5 s"),
            (7_440_000_000, "2 h 4 m"),
            (442_800_000_000, "5 d 3 h"),
        ] {
            assert_eq!(duration(usec), shown, "{usec}");
        }
        duration(u64::MAX);
    }

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
