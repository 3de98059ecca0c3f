//! Streams in which every byte depends on its position, so that a lost, doubled or swapped piece is found where it is.

/// How far around the expected position a piece that does not fit is looked for.
const SEARCH: u64 = 4 * 1024 * 1024;

/// A pseudo-random stream: the byte at an offset is a function of the seed and the offset alone.
///
/// ```ignore
/// writer.write_all(&Pattern::new(7).bytes(0, 100_000));
/// let mut checker = Checker::new(Pattern::new(7));
/// checker.feed(&reader.read_exact(100_000)); // panics at the first byte that is not where it belongs
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pattern {
    seed: u64,
}

impl Pattern {
    /// The stream of this seed.
    pub const fn new(seed: u64) -> Pattern {
        Pattern { seed }
    }

    fn word(self, index: u64) -> [u8; 8] {
        // splitmix64
        let mut z = index
            .wrapping_add(self.seed.wrapping_mul(0xD134_2543_DE82_EF95))
            .wrapping_mul(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)).to_le_bytes()
    }

    /// Fills `buffer` with what stands at `offset` and after it.
    pub fn fill(self, mut offset: u64, mut buffer: &mut [u8]) {
        while !buffer.is_empty() {
            let word = self.word(offset / 8);
            let from = (offset % 8) as usize;
            let count = (8 - from).min(buffer.len());
            let (now, later) = buffer.split_at_mut(count);
            now.copy_from_slice(&word[from..from + count]);
            buffer = later;
            offset += count as u64;
        }
    }

    /// `length` bytes from `offset`.
    pub fn bytes(self, offset: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.fill(offset, &mut bytes);
        bytes
    }
}

/// Holds what arrives against a [`Pattern`].
#[derive(Clone, Copy, Debug)]
pub struct Checker {
    pattern: Pattern,
    next: u64,
}

impl Checker {
    /// Expects the stream from its beginning.
    pub fn new(pattern: Pattern) -> Checker {
        Checker { pattern, next: 0 }
    }

    /// How many bytes have arrived.
    pub fn offset(&self) -> u64 {
        self.next
    }

    /// Takes the next piece; panics with the offset where it departs from the stream, and where it fits instead.
    pub fn feed(&mut self, piece: &[u8]) {
        if let Err(departure) = self.try_feed(piece) {
            panic!("{departure}");
        }
    }

    /// The same as [`Checker::feed`], with the departure as an error.
    pub fn try_feed(&mut self, piece: &[u8]) -> Result<(), String> {
        let expected = self.pattern.bytes(self.next, piece.len());
        let Some(at) = piece.iter().zip(&expected).position(|(got, want)| got != want) else {
            self.next += piece.len() as u64;
            return Ok(());
        };
        Err(self.describe(self.next + at as u64, &piece[at..]))
    }

    fn describe(&self, offset: u64, rest: &[u8]) -> String {
        let needle = &rest[..rest.len().min(16)];
        let head = format!("stream departs at offset {offset}: {needle:02x?}");
        let begin = offset.saturating_sub(SEARCH);
        let around = self.pattern.bytes(begin, (2 * SEARCH) as usize);
        let found = memchr::memmem::find(&around, needle).map(|at| begin + at as u64);
        match found {
            Some(at) if needle.len() >= 8 && at > offset => {
                format!("{head} is what belongs at {at}: {} bytes are lost or late", at - offset)
            }
            Some(at) if needle.len() >= 8 => {
                format!("{head} is what belongs at {at}: {} bytes back, doubled", offset - at)
            }
            _ => format!("{head} belongs nowhere within {SEARCH} bytes: foreign or torn"),
        }
    }
}
