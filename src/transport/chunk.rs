//! What was read and goes on to the destinations.

use std::cell::OnceCell;
use std::io::IoSlice;
use std::ops::Range;

use bytes::{Bytes, BytesMut};

/// Bytes of a turn: what was held of a begun record, and what was read behind it. The first queue that keeps much of it
/// copies it; the others take part in that copy.
#[derive(Debug)]
pub struct Chunk<'a> {
    head: &'a [u8],
    body: &'a [u8],
    shared: OnceCell<Bytes>,
}

impl<'a> Chunk<'a> {
    /// `body` follows `head`.
    #[must_use]
    pub fn new(head: &'a [u8], body: &'a [u8]) -> Chunk<'a> {
        Chunk {
            head,
            body,
            shared: OnceCell::new(),
        }
    }

    /// Bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.head.len() + self.body.len()
    }

    /// Whether there is no byte.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of what was held before.
    #[must_use]
    pub fn head_len(&self) -> usize {
        self.head.len()
    }

    /// What was read.
    #[must_use]
    pub fn body(&self) -> &'a [u8] {
        self.body
    }

    /// All of it, for one writev(2); at least one of the two has a byte.
    #[must_use]
    pub fn slices(&self) -> [IoSlice<'a>; 2] {
        [IoSlice::new(self.head), IoSlice::new(self.body)]
    }

    /// A part of it, in two pieces.
    pub(super) fn parts(&self, range: &Range<usize>) -> [&'a [u8]; 2] {
        let head = self.head.len();
        [
            &self.head[range.start.min(head)..range.end.min(head)],
            &self.body[range.start.saturating_sub(head)..range.end.saturating_sub(head)],
        ]
    }

    /// A part of the copy that all who keep something share.
    pub(super) fn shared(&self, range: Range<usize>) -> Bytes {
        let whole = self.shared.get_or_init(|| {
            let mut whole = BytesMut::with_capacity(self.len());
            whole.extend_from_slice(self.head);
            whole.extend_from_slice(self.body);
            whole.freeze()
        });
        whole.slice(range)
    }
}
