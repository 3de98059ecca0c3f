//! Records that say which they are, and what arrives of them.

use std::ops::Range;

use super::{Background, Deadline, FifoReader, FifoWriter, PATIENCE, Taken, pause_briefly};

/// Digits of a record's number; a blank follows.
const DIGITS: usize = 6;
/// Pieces of this many bytes are written at once.
const PIECE: usize = 64 * 1024;

/// A stream of records `000123 …`, each the function of its number alone: its length and every byte of it are known.
#[derive(Clone, Copy, Debug)]
pub struct Numbered {
    shortest: usize,
    longest: usize,
    end: u8,
}

impl Numbered {
    /// Lines of so many bytes, their newline included.
    pub fn lines(shortest: usize, longest: usize) -> Numbered {
        assert!(
            (DIGITS + 2..=longest).contains(&shortest),
            "no room for a number in {shortest} bytes"
        );
        Numbered {
            shortest,
            longest,
            end: b'\n',
        }
    }

    /// The same, ended by another byte.
    pub fn ended_by(self, end: u8) -> Numbered {
        Numbered { end, ..self }
    }

    /// The longest that any may be.
    pub fn longest(self) -> u64 {
        self.longest as u64
    }

    /// How long this one is.
    pub fn length(self, number: u64) -> usize {
        let spread = (self.longest - self.shortest + 1) as u64;
        self.shortest + (mixed(number) % spread) as usize
    }

    /// How long these are together.
    pub fn length_of(self, numbers: impl IntoIterator<Item = u64>) -> u64 {
        numbers.into_iter().map(|number| self.length(number) as u64).sum()
    }

    /// One record, with its end.
    pub fn record(self, number: u64) -> Vec<u8> {
        let mut record = Vec::with_capacity(self.length(number));
        self.append(number, &mut record);
        record
    }

    fn append(self, number: u64, to: &mut Vec<u8>) {
        assert!(number < 1_000_000, "a number of more than {DIGITS} digits");
        let begin = to.len();
        let end = begin + self.length(number) - 1;
        to.extend(format!("{number:0DIGITS$} ").as_bytes());
        let alphabet: Vec<u8> = (0..61_u64).map(|at| b'a' + (mixed(number + at) % 26) as u8).collect();
        while to.len() < end {
            let count = alphabet.len().min(end - to.len());
            to.extend(&alphabet[..count]);
        }
        to.push(self.end);
    }

    /// Writes these, cut wherever a piece is full.
    pub fn write(self, writer: &mut FifoWriter, numbers: Range<u64>) {
        let mut piece = Vec::with_capacity(PIECE + self.longest);
        for number in numbers {
            self.append(number, &mut piece);
            if piece.len() >= PIECE {
                writer.write_all(&piece[..PIECE]);
                piece.drain(..PIECE);
            }
        }
        writer.write_all(&piece);
    }

    /// Writes these in pieces of every size, so that hardly one begins where a record does.
    pub fn write_cut(self, writer: &mut FifoWriter, numbers: Range<u64>) {
        let mut all = Vec::new();
        numbers.for_each(|number| self.append(number, &mut all));
        let mut rest = all.as_slice();
        let mut round = 0;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(piece_size(round).min(rest.len()));
            writer.write_all(now);
            (rest, round) = (later, round + 1);
        }
    }

    /// Writes these from a thread and gives the writer back.
    pub fn in_background(self, mut writer: FifoWriter, numbers: Range<u64>) -> Background<FifoWriter> {
        Background::run(move || {
            self.write(&mut writer, numbers);
            writer
        })
    }

    /// Reads from a thread to the end; gives back the numbers that came, each of a whole record.
    pub fn to_end_in_background(self, mut reader: FifoReader) -> Background<Vec<u64>> {
        Background::run(move || {
            let mut tally = Tally::new(self);
            tally.read_to_end(&mut reader);
            tally.finish()
        })
    }

    /// The numbers in a file that a consumer has recorded.
    pub fn in_file(self, path: impl AsRef<std::path::Path>) -> Vec<u64> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("no record {}: {error}", path.display()));
        let mut tally = Tally::new(self);
        tally.feed(&bytes);
        tally.finish()
    }
}

/// Any size from a byte to two pipes, the same in every run.
pub fn piece_size(round: u64) -> usize {
    const SIZES: [usize; 8] = [1, 4095, 4096, 4097, 65_536, 65_537, 700, 20_000];
    let word = mixed(round);
    let size = SIZES[(word % 8) as usize];
    if word & 0x100 == 0 {
        size
    } else {
        1 + (word >> 9) as usize % size
    }
}

/// splitmix64
fn mixed(number: u64) -> u64 {
    let mut z = number.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// What has arrived of a [`Numbered`] stream: whole records, whichever they are.
#[derive(Debug)]
pub struct Tally {
    shape: Numbered,
    partial: Vec<u8>,
    numbers: Vec<u64>,
    bytes: u64,
}

impl Tally {
    /// Nothing has come yet.
    pub fn new(shape: Numbered) -> Tally {
        Tally {
            shape,
            partial: Vec::new(),
            numbers: Vec::new(),
            bytes: 0,
        }
    }

    /// The numbers of the records that are whole until now, in the order in which they came.
    pub fn numbers(&self) -> &[u64] {
        &self.numbers
    }

    /// Bytes that have come.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes the next piece; panics at the first record that is torn, foreign or glued to another.
    pub fn feed(&mut self, piece: &[u8]) {
        if let Err(fault) = self.try_feed(piece) {
            panic!("{fault}");
        }
    }

    /// The same as [`Tally::feed`], with what is wrong as an error.
    pub fn try_feed(&mut self, piece: &[u8]) -> Result<(), String> {
        self.bytes += piece.len() as u64;
        let mut rest = piece;
        while let Some(at) = memchr::memchr(self.shape.end, rest) {
            self.partial.extend(&rest[..=at]);
            let number = self.number_of(&self.partial)?;
            self.numbers.push(number);
            self.partial.clear();
            rest = &rest[at + 1..];
        }
        self.partial.extend(rest);
        Ok(())
    }

    fn number_of(&self, record: &[u8]) -> Result<u64, String> {
        let fault = |what: &str| {
            let head = String::from_utf8_lossy(&record[..record.len().min(24)]);
            let after = self.numbers.last();
            format!("{what}: {head:?}…, {} bytes, after record {after:?}", record.len())
        };
        let digits = record.get(..DIGITS).and_then(|digits| std::str::from_utf8(digits).ok());
        let number: Option<u64> = digits.and_then(|digits| digits.parse().ok());
        let number = number.ok_or_else(|| fault("no record begins like this"))?;
        let expected = self.shape.record(number);
        match record.iter().zip(&expected).position(|(got, want)| got != want) {
            Some(at) => Err(fault(&format!("record {number} is another's from byte {at} on"))),
            None if record.len() != expected.len() => Err(fault(&format!("not the {} bytes of it", expected.len()))),
            None => Ok(number),
        }
    }

    /// Takes what there is now; true when that was the end.
    pub fn take_what_is_there(&mut self, reader: &mut FifoReader) -> bool {
        loop {
            match reader.try_read(PIECE) {
                Taken::Bytes(piece) => self.feed(&piece),
                Taken::Nothing => return false,
                Taken::End => return true,
            }
        }
    }

    /// Reads until so many records are whole.
    pub fn read_records(&mut self, reader: &mut FifoReader, count: usize) {
        let deadline = Deadline::within(PATIENCE);
        while self.numbers.len() < count {
            let ended = self.take_what_is_there(reader);
            assert!(
                !ended && !deadline.passed(),
                "{} of {count} records came",
                self.numbers.len()
            );
            pause_briefly();
        }
    }

    /// Reads to the end.
    pub fn read_to_end(&mut self, reader: &mut FifoReader) {
        loop {
            match reader.read_some(PIECE) {
                Taken::Bytes(piece) => self.feed(&piece),
                Taken::Nothing => {}
                Taken::End => return,
            }
        }
    }

    /// The numbers in the order in which they came; panics when the last record is not whole.
    pub fn finish(self) -> Vec<u64> {
        self.try_finish().unwrap_or_else(|fault| panic!("{fault}"))
    }

    /// The same as [`Tally::finish`], with what is wrong as an error.
    pub fn try_finish(self) -> Result<Vec<u64>, String> {
        if self.partial.is_empty() {
            return Ok(self.numbers);
        }
        let rest = String::from_utf8_lossy(&self.partial[..self.partial.len().min(24)]);
        let count = self.partial.len();
        Err(format!("the end after {count} bytes of a record: {rest:?}…"))
    }
}

/// Records without a gap between them, in the order in which they came; panics when one came twice or late.
pub fn runs(numbers: &[u64]) -> Vec<Range<u64>> {
    try_runs(numbers).unwrap_or_else(|fault| panic!("{fault}"))
}

/// The same as [`runs`], with what is wrong as an error.
pub fn try_runs(numbers: &[u64]) -> Result<Vec<Range<u64>>, String> {
    let mut runs: Vec<Range<u64>> = Vec::new();
    for &number in numbers {
        match runs.last_mut() {
            Some(run) if run.end == number => run.end += 1,
            Some(run) if number < run.end => return Err(format!("record {number} came after record {}", run.end - 1)),
            _ => runs.push(number..number + 1),
        }
    }
    Ok(runs)
}

/// Panics unless every record of `all` came exactly once, whoever got it.
pub fn came_exactly_once(parts: &[Vec<u64>], all: Range<u64>) {
    if let Err(fault) = each_once(parts.concat(), &all) {
        panic!("{fault}");
    }
}

/// The same as [`came_exactly_once`] on all that came, with what is wrong as an error.
pub fn each_once(mut numbers: Vec<u64>, all: &Range<u64>) -> Result<(), String> {
    numbers.sort_unstable();
    let doubled = numbers.windows(2).filter(|two| two[0] == two[1]);
    let doubled: Vec<u64> = doubled.map(|two| two[0]).collect();
    let lost = all.clone().filter(|number| numbers.binary_search(number).is_err());
    let lost: Vec<u64> = lost.collect();
    if doubled.is_empty() && lost.is_empty() && numbers.len() as u64 == all.end - all.start {
        return Ok(());
    }
    let head = |list: &[u64]| format!("{} {:?}…", list.len(), &list[..list.len().min(10)]);
    Err(format!(
        "of records {all:?} came {}: doubled are {}, lost are {}",
        numbers.len(),
        head(&doubled),
        head(&lost)
    ))
}
