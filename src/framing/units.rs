use memchr::memchr;

/// A record, or a part of one, as a destination's queue knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unit {
    /// Bytes, the terminator included.
    pub len: usize,
    /// The record ends with it.
    pub last: bool,
}

/// The units of what was handed on, in order: `head` was held before, and `body` follows it.
#[derive(Clone, Debug)]
pub struct Units<'a> {
    head: usize,
    body: &'a [u8],
    terminator: Option<u8>,
    ended: bool,
}

impl<'a> Units<'a> {
    /// No record ends within `head`. `ended`: the last byte of all is the last of a record, terminated or not.
    #[must_use]
    pub fn new(head: usize, body: &'a [u8], terminator: Option<u8>, ended: bool) -> Units<'a> {
        Units {
            head,
            body,
            terminator,
            ended,
        }
    }
}

impl Iterator for Units<'_> {
    type Item = Unit;

    fn next(&mut self) -> Option<Unit> {
        if self.head == 0 && self.body.is_empty() {
            return None;
        }
        let head = std::mem::take(&mut self.head);
        let end = self.terminator.and_then(|terminator| memchr(terminator, self.body));
        let (unit, rest) = match end {
            Some(end) => {
                let unit = Unit {
                    len: head + end + 1,
                    last: true,
                };
                (unit, &self.body[end + 1..])
            }
            None => {
                let unit = Unit {
                    len: head + self.body.len(),
                    last: self.ended,
                };
                (unit, &self.body[..0])
            }
        };
        self.body = rest;
        Some(unit)
    }
}
