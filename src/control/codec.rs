//! Where a message ends: at a NUL byte. Bounds what one message, and what all unfinished messages together, may take.
//! Depends on tokio-util's codec.

use std::cell::Cell;
use std::io;
use std::rc::Rc;

use bytes::{Buf, BytesMut};
use tokio_util::codec::Decoder;

/// A message that is not finished may take so many bytes without asking the [`Budget`].
pub(super) const FREE: usize = 16 * 1024;
/// What a connection starts to read into.
pub(super) const ROOM: usize = 4096;

/// Why no further message can be read from a connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum CodecError {
    /// The message is longer than the limit.
    #[error("a message may have at most {0} bytes")]
    TooLong(usize),
    /// All unfinished messages together are longer than the budget.
    #[error("too many long messages at once")]
    OverBudget,
    /// read(2) failed.
    #[error("cannot read from the connection")]
    Io(#[from] io::Error),
}

/// What the unfinished messages of all connections may take together.
#[derive(Debug)]
pub(super) struct Budget {
    limit: usize,
    used: Cell<usize>,
}

impl Budget {
    pub(super) fn new(limit: usize) -> Rc<Budget> {
        Rc::new(Budget {
            limit,
            used: Cell::new(0),
        })
    }
}

/// Splits a stream of bytes at its NULs.
#[derive(Debug)]
pub(super) struct NulCodec {
    limit: usize,
    budget: Rc<Budget>,
    charged: usize,
    scanned: usize,
}

impl NulCodec {
    pub(super) fn new(limit: usize, budget: Rc<Budget>) -> NulCodec {
        NulCodec {
            limit,
            budget,
            charged: 0,
            scanned: 0,
        }
    }

    fn charge(&mut self, bytes: usize) -> Result<(), CodecError> {
        let others = self.budget.used.get() - self.charged;
        if bytes > 0 && others + bytes > self.budget.limit {
            return Err(CodecError::OverBudget);
        }
        self.budget.used.set(others + bytes);
        self.charged = bytes;
        Ok(())
    }
}

impl Drop for NulCodec {
    fn drop(&mut self) {
        self.budget.used.set(self.budget.used.get() - self.charged);
    }
}

impl Decoder for NulCodec {
    type Item = BytesMut;
    type Error = CodecError;

    fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<BytesMut>, CodecError> {
        let Some(found) = memchr::memchr(0, &buffer[self.scanned..]) else {
            if buffer.len() > self.limit {
                return Err(CodecError::TooLong(self.limit));
            }
            self.scanned = buffer.len();
            if buffer.is_empty() {
                *buffer = BytesMut::with_capacity(ROOM);
            }
            // What is allocated counts, not what is filled.
            let taken = buffer.capacity();
            self.charge(if taken > FREE { taken } else { 0 })?;
            return Ok(None);
        };
        let length = self.scanned + found;
        self.scanned = 0;
        if length > self.limit {
            return Err(CodecError::TooLong(self.limit));
        }
        let message = buffer.split_to(length);
        buffer.advance(1);
        if length > FREE {
            // A connection that sent one long message does not keep the room for it.
            *buffer = BytesMut::from(&buffer[..]);
        }
        self.charge(0)?;
        Ok(Some(message))
    }

    fn decode_eof(&mut self, buffer: &mut BytesMut) -> Result<Option<BytesMut>, CodecError> {
        // A message without its NUL is none.
        self.decode(buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn codec(limit: usize) -> NulCodec {
        NulCodec::new(limit, Budget::new(1 << 20))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn messages_come_whole_however_they_are_cut(
            messages in prop::collection::vec(prop::collection::vec(1_u8.., 0..50_000), 0..5),
            cut in 1_usize..9000,
        ) {
            let stream: Vec<u8> = messages.iter().flat_map(|m| m.iter().copied().chain([0])).collect();
            let (mut codec, mut buffer, mut got) = (codec(1 << 20), BytesMut::new(), Vec::new());
            for piece in stream.chunks(cut) {
                buffer.extend_from_slice(piece);
                while let Some(message) = codec.decode(&mut buffer).unwrap() {
                    got.push(message.to_vec());
                }
            }
            prop_assert_eq!(got, messages);
            prop_assert_eq!(codec.budget.used.get(), 0);
        }
    }

    #[test]
    fn the_limit_is_exact_with_and_without_its_end() {
        for (length, end, fits) in [
            (10, true, true),
            (10, false, true),
            (11, true, false),
            (11, false, false),
        ] {
            let mut buffer = BytesMut::from(&vec![b'x'; length][..]);
            if end {
                buffer.extend_from_slice(&[0]);
            }
            assert_eq!(codec(10).decode(&mut buffer).is_ok(), fits, "{length} {end}");
        }
    }

    #[test]
    fn all_unfinished_messages_share_a_budget() {
        let budget = Budget::new(150_000);
        let part = || BytesMut::from(&vec![b'x'; 100_000][..]);
        let mut first = NulCodec::new(1 << 20, Rc::clone(&budget));
        let mut second = NulCodec::new(1 << 20, Rc::clone(&budget));
        assert!(first.decode(&mut part()).is_ok());
        assert!(matches!(second.decode(&mut part()), Err(CodecError::OverBudget)));
        drop(first);
        assert!(second.decode(&mut part()).is_ok());
        drop(second);
        assert_eq!(budget.used.get(), 0);
    }

    #[test]
    fn a_long_message_leaves_no_room_behind() {
        let mut buffer = BytesMut::from(&vec![b'x'; 500_000][..]);
        buffer.extend_from_slice(b"\0next");
        let mut codec = codec(1 << 20);
        assert_eq!(codec.decode(&mut buffer).unwrap().unwrap().len(), 500_000);
        assert_eq!(&buffer[..], b"next");
        assert!(buffer.capacity() < 1000);
    }
}
