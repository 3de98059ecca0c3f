//! Where a child's output is cut into lines for the log, and how they are made safe to show. Pure.

/// Longer lines come in parts.
pub(super) const LONGEST: usize = 16 * 1024;
/// Stands at the end of each part but the last.
const GOES_ON: &str = " [line goes on]";

/// Bytes of a line that has not ended yet; never more than [`LONGEST`].
#[derive(Default)]
pub(super) struct Lines {
    partial: Vec<u8>,
}

impl Lines {
    /// Takes bytes and gives each complete line, without its newline, ready to be shown.
    pub(super) fn push(&mut self, mut bytes: &[u8], mut each: impl FnMut(Line<'_>)) {
        while !bytes.is_empty() {
            let room = LONGEST - self.partial.len();
            let reach = bytes.get(..room).unwrap_or(bytes);
            if let Some(end) = memchr::memchr(b'\n', reach) {
                self.partial.extend_from_slice(&reach[..end]);
                each(Line {
                    bytes: &self.partial,
                    goes_on: false,
                });
                self.partial.clear();
                bytes = &bytes[end + 1..];
                continue;
            }
            self.partial.extend_from_slice(reach);
            bytes = &bytes[reach.len()..];
            if self.partial.len() == LONGEST {
                self.part(&mut each);
            }
        }
    }

    /// A full part, cut between two characters.
    fn part(&mut self, each: &mut impl FnMut(Line<'_>)) {
        let cut = whole_characters(&self.partial);
        each(Line {
            bytes: &self.partial[..cut],
            goes_on: true,
        });
        self.partial.drain(..cut);
    }

    /// What is there of a line that has not ended.
    pub(super) fn begun(&self) -> &[u8] {
        &self.partial
    }

    /// The last line, when it has no newline.
    pub(super) fn finish(&mut self, each: impl FnOnce(Line<'_>)) {
        if !self.partial.is_empty() {
            each(Line {
                bytes: &self.partial,
                goes_on: false,
            });
            self.partial.clear();
        }
    }
}

/// The length without a character that has only begun.
fn whole_characters(bytes: &[u8]) -> usize {
    let tail_from = bytes.len().saturating_sub(3);
    let begun = bytes[tail_from..].iter().rposition(|byte| *byte >= 0xC0);
    match begun.map(|offset| tail_from + offset) {
        Some(start) => match std::str::from_utf8(&bytes[start..]) {
            Err(error) if error.error_len().is_none() => start,
            _ => bytes.len(),
        },
        None => bytes.len(),
    }
}

/// One line, or a part of one.
pub(super) struct Line<'a> {
    bytes: &'a [u8],
    goes_on: bool,
}

impl Line<'_> {
    /// As text: invalid UTF-8 replaced, control characters escaped (a terminal that shows the log obeys none of them).
    pub(super) fn shown(&self) -> String {
        let bytes = match self.bytes {
            [line @ .., b'\r'] if !self.goes_on => line,
            line => line,
        };
        let mut shown = String::with_capacity(bytes.len());
        for character in String::from_utf8_lossy(bytes).chars() {
            match character {
                '\t' => shown.push('\t'),
                control if control.is_control() => shown.extend(control.escape_default()),
                plain => shown.push(plain),
            }
        }
        if self.goes_on {
            shown.push_str(GOES_ON);
        }
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(pieces: &[&[u8]]) -> Vec<String> {
        let mut lines = Lines::default();
        let mut shown = Vec::new();
        for piece in pieces {
            lines.push(piece, |line| shown.push(line.shown()));
        }
        lines.finish(|line| shown.push(line.shown()));
        shown
    }

    #[test]
    fn lines_come_whole_however_they_are_written() {
        assert_eq!(lines(&[b"a\nb", b"c\n", b"\n", b"d"]), ["a", "bc", "", "d"]);
        assert_eq!(lines(&[]), Vec::<String>::new());
    }

    #[test]
    fn what_could_steer_a_terminal_is_escaped() {
        assert_eq!(lines(&[b"\x1b[2J\0\ta\r\n"]), ["\\u{1b}[2J\\u{0}\ta"]);
        assert_eq!(lines(&[b"a\rb\n\xff\xfe\n"]), ["a\\rb", "\u{fffd}\u{fffd}"]);
    }

    #[test]
    fn a_long_line_comes_in_parts_and_keeps_its_characters() {
        let text = format!("{}ä", "x".repeat(LONGEST - 1));
        let parts = lines(&[text.as_bytes(), b"y\n"]);
        assert_eq!(parts.len(), 2);
        assert!(parts[0].ends_with("x [line goes on]"), "{}", &parts[0][LONGEST - 10..]);
        assert_eq!(parts[1], "äy");
        // Exactly as long as allowed, then a newline: an end without text.
        let parts = lines(&["x".repeat(LONGEST).as_bytes(), b"\n"]);
        assert_eq!(
            parts.iter().map(String::len).collect::<Vec<_>>(),
            [LONGEST + GOES_ON.len(), 0]
        );
        // Garbage has no characters to keep.
        assert_eq!(lines(&[&[0xff; LONGEST * 2]]).len(), 2);
        assert_eq!(lines(&[&[0x80; LONGEST + 1]]).len(), 2);
    }
}
