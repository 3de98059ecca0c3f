//! What was accepted for a destination and could not be written yet.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::ops::Range;

use bytes::{Buf, Bytes, BytesMut};

use super::Chunk;

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

    /// Appends a part of a chunk. A large part of it is kept as a part of the one copy that all queues share; less than
    /// half of it is copied, so that no queue keeps much more in memory than it counts.
    pub fn push(&mut self, chunk: &Chunk<'_>, range: Range<usize>) {
        let len = range.len();
        self.bytes += len as u64;
        if len < WORTH_SHARING || len * 2 < chunk.len() {
            for part in chunk.parts(&range) {
                self.tail.extend_from_slice(part);
            }
            self.seal(PIECE);
            return;
        }
        self.seal(1);
        self.pieces.push_back(chunk.shared(range));
    }

    /// Appends some bytes that are nobody else's.
    pub fn push_bytes(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        self.tail.extend_from_slice(bytes);
        self.seal(PIECE);
    }

    /// A copy of everything, in one piece.
    #[must_use]
    pub fn copied(&self) -> Bytes {
        let mut all = BytesMut::with_capacity(to_usize(self.bytes));
        for piece in &self.pieces {
            all.extend_from_slice(piece);
        }
        all.extend_from_slice(&self.tail);
        all.freeze()
    }

    /// Bytes that come before all others.
    pub fn put_in_front(&mut self, bytes: Bytes) {
        self.bytes += bytes.len() as u64;
        if !bytes.is_empty() {
            self.pieces.push_front(bytes);
        }
    }

    /// A tail of so many bytes becomes a piece.
    fn seal(&mut self, from: usize) {
        if self.tail.len() >= from {
            self.pieces.push_back(self.tail.split().freeze());
        }
    }

    /// Takes `count` bytes out, behind the first `at`.
    pub fn cut(&mut self, at: u64, count: u64) {
        if count == 0 {
            return;
        }
        self.seal(1);
        let (mut at, mut count) = (to_usize(at), to_usize(count));
        self.bytes -= count as u64;
        let mut kept = Vec::new();
        while at > 0
            && let Some(mut first) = self.pieces.pop_front()
        {
            if first.len() > at {
                kept.push(first.split_to(at));
                self.pieces.push_front(first);
                break;
            }
            at -= first.len();
            kept.push(first);
        }
        while count > 0
            && let Some(mut first) = self.pieces.pop_front()
        {
            if first.len() > count {
                first.advance(count);
                self.pieces.push_front(first);
                break;
            }
            count -= first.len();
        }
        for piece in kept.into_iter().rev() {
            self.pieces.push_front(piece);
        }
        self.shrink_when_empty();
    }

    /// Takes the first `count` bytes out, in one piece.
    #[must_use]
    pub fn take(&mut self, count: usize) -> Bytes {
        self.seal(1);
        let mut taken = BytesMut::new();
        while taken.len() < count
            && let Some(mut first) = self.pieces.pop_front()
        {
            let part = first.split_to(first.len().min(count - taken.len()));
            if !first.is_empty() {
                self.pieces.push_front(first);
            }
            if part.len() == count {
                self.bytes -= count as u64;
                return part;
            }
            taken.extend_from_slice(&part);
        }
        self.bytes -= taken.len() as u64;
        taken.freeze()
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

fn to_usize(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
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
        for (head, body) in [
            (&b"abc"[..], &b""[..]),
            (b"", &large),
            (b"de", b"f"),
            (b"", b""),
            (&large[..5000], &large[7..]),
            (b"f", b""),
        ] {
            let chunk = Chunk::new(head, body);
            queue.push(&chunk, 0..chunk.len());
            expected.extend_from_slice(head);
            expected.extend_from_slice(body);
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
    fn a_part_is_taken_out_wherever_it_lies() {
        let large: Vec<u8> = (0..9000u32).map(|i| (i / 7) as u8).collect();
        for (at, count) in [
            (0, 1),
            (0, 3),
            (2, 5),
            (3, 9000),
            (1, 9002),
            (5000, 4003),
            (0, 9004),
            (9003, 1),
        ] {
            let mut queue = Queue::default();
            queue.push_bytes(b"abc");
            queue.push(&Chunk::new(b"", &large), 0..9000);
            queue.push_bytes(b"z");
            let mut expected = content(&queue);
            expected.drain(at as usize..(at + count) as usize);
            queue.cut(at, count);
            assert_eq!(queue.bytes(), expected.len() as u64);
            assert_eq!(content(&queue), expected, "{at} {count}");
            let all = queue.take(expected.len());
            assert_eq!((&all[..], queue.is_empty()), (&expected[..], true));
        }
    }

    #[test]
    fn a_large_chunk_is_kept_once_for_all() {
        let bytes = vec![7; 10_000];
        let chunk = Chunk::new(b"", &bytes);
        let (mut one, mut two, mut few) = (Queue::default(), Queue::default(), Queue::default());
        one.push(&chunk, 100..10_000);
        two.push(&chunk, 0..10_000);
        few.push(&chunk, 0..4_999);
        assert_eq!((one.bytes(), two.bytes()), (9_900, 10_000));
        assert_eq!(one.pieces[0].as_ptr(), two.pieces[0][100..].as_ptr());
        assert!(few.pieces.iter().all(|piece| piece.as_ptr() != two.pieces[0].as_ptr()));
        assert_eq!(content(&few), bytes[..4_999]);
    }
}
