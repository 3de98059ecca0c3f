//! What was accepted for a destination and could not be written yet.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes, BytesMut};

/// Shorter pieces are copied together, so that a queue of single bytes does not cost a hundred bytes for each.
const WORTH_SHARING: usize = 4096;
/// How much is copied together before a new piece is begun.
const PIECE: usize = 16 * 1024;
/// The most pieces that one writev(2) is given.
pub const SLICES: usize = 16;

/// Bytes in order. Large pieces are shared with the other destinations' queues, small ones are copied.
#[derive(Debug, Default)]
pub struct Queue {
    pieces: VecDeque<Bytes>,
    tail: BytesMut,
    bytes: u64,
}

impl Queue {
    /// How many bytes are queued.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether nothing is queued.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Appends `chunk[from..]`. The first queue that keeps a large chunk copies it into `shared`; the others take part
    /// in that.
    pub fn push(&mut self, chunk: &[u8], from: usize, shared: &mut Option<Bytes>) {
        let rest = &chunk[from..];
        self.bytes += rest.len() as u64;
        if rest.len() < WORTH_SHARING {
            self.tail.extend_from_slice(rest);
            if self.tail.len() >= PIECE {
                self.pieces.push_back(self.tail.split().freeze());
            }
            return;
        }
        if !self.tail.is_empty() {
            self.pieces.push_back(self.tail.split().freeze());
        }
        let whole = shared.get_or_insert_with(|| Bytes::copy_from_slice(chunk));
        self.pieces.push_back(whole.slice(from..));
    }

    /// The first pieces, for one writev(2): how many there are.
    pub fn slices<'a>(&'a self, into: &mut [IoSlice<'a>; SLICES]) -> usize {
        let tail = (!self.tail.is_empty()).then_some(self.tail.as_ref());
        let mut count = 0;
        for piece in self.pieces.iter().map(Bytes::as_ref).chain(tail).take(SLICES) {
            into[count] = IoSlice::new(piece);
            count += 1;
        }
        count
    }

    /// Takes `count` bytes off the front: they were written.
    pub fn advance(&mut self, mut count: usize) {
        self.bytes -= count as u64;
        while let Some(first) = self.pieces.front_mut() {
            if count < first.len() {
                first.advance(count);
                return;
            }
            count -= first.len();
            self.pieces.pop_front();
        }
        self.tail.advance(count);
        self.shrink_when_empty();
    }

    /// Drops everything and tells how much it was.
    pub fn clear(&mut self) -> u64 {
        self.pieces.clear();
        self.tail.clear();
        self.shrink_when_empty();
        std::mem::take(&mut self.bytes)
    }

    /// An idle route keeps no buffer.
    fn shrink_when_empty(&mut self) {
        if self.pieces.is_empty() && self.tail.is_empty() {
            self.tail = BytesMut::new();
            self.pieces.shrink_to(4);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(queue: &Queue) -> Vec<u8> {
        let mut slices = [IoSlice::new(&[]); SLICES];
        let count = queue.slices(&mut slices);
        slices[..count].iter().flat_map(|slice| slice.to_vec()).collect()
    }

    #[test]
    fn order_is_kept_over_small_and_large_pieces() {
        let large: Vec<u8> = (0..9000u32).map(|i| i as u8).collect();
        let mut queue = Queue::default();
        let mut expected = Vec::new();
        for chunk in [&b"abc"[..], &large, b"de", b"", &large[..5000], b"f"] {
            queue.push(chunk, 0, &mut None);
            expected.extend_from_slice(chunk);
        }
        assert_eq!(queue.bytes(), expected.len() as u64);
        for step in [1, 2, 4000, 5001, 3, 4996, 2] {
            assert_eq!(content(&queue), expected);
            queue.advance(step);
            expected.drain(..step);
        }
        assert_eq!(queue.clear(), expected.len() as u64);
        assert!(queue.is_empty() && content(&queue).is_empty());
    }

    #[test]
    fn a_large_chunk_is_kept_once_for_all() {
        let chunk = vec![7; 10_000];
        let mut shared = None;
        let (mut one, mut two) = (Queue::default(), Queue::default());
        one.push(&chunk, 100, &mut shared);
        two.push(&chunk, 0, &mut shared);
        assert_eq!((one.bytes(), two.bytes()), (9_900, 10_000));
        assert_eq!(one.pieces[0].as_ptr(), two.pieces[0][100..].as_ptr());
    }
}
