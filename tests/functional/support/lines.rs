//! Lines that tell whose they are, which one, and how long: a tear, a loss, a doubling or a mix of two is found where it is.

use std::collections::BTreeMap;

use super::{Background, FifoWriter, Pattern};

/// Numbers that look random and are the same in every run.
#[derive(Clone, Debug)]
pub struct Dice {
    pattern: Pattern,
    thrown: u64,
}

impl Dice {
    /// Those of this seed.
    pub fn new(seed: u64) -> Dice {
        Dice {
            pattern: Pattern::new(seed),
            thrown: 0,
        }
    }

    /// The next one, from 0 to `bound` - 1.
    pub fn below(&mut self, bound: u64) -> u64 {
        let mut word = [0; 8];
        self.pattern.fill(self.thrown * 8, &mut word);
        self.thrown += 1;
        u64::from_le_bytes(word) % bound.max(1)
    }

    /// Where a writer stops next: after a few bytes, after some KiB, after more than a pipe takes.
    pub fn cut(&mut self) -> usize {
        let bound = [64, 5_000, 150_000][self.below(3) as usize];
        1 + self.below(bound) as usize
    }
}

/// One writer's lines: `TAG NUMBER LENGTH FILLING`, where the filling is a pattern of its own for each tag and number.
///
/// The length is that of the whole line without its end, at most the greatest given; short ones are as frequent as long ones.
/// The filling has any byte in it but the one that ends a line.
///
/// ```ignore
/// let lines = Lines::new("x", 5_000, 1);
/// writer.write_all(&lines.bytes(0, 100));
/// let mut checker = LineChecker::new();
/// checker.feed(&reader.read_to_end());
/// assert_eq!(checker.ended()["x"], 100);
/// ```
#[derive(Clone, Debug)]
pub struct Lines {
    tag: String,
    greatest: u64,
    seed: u64,
    end: u8,
}

impl Lines {
    /// Lines of this writer; a tag has no space in it.
    pub fn new(tag: &str, greatest: u64, seed: u64) -> Lines {
        Lines {
            tag: tag.to_owned(),
            greatest,
            seed,
            end: b'\n',
        }
    }

    /// Ended by another byte than a newline.
    pub fn ended_by(mut self, end: u8) -> Lines {
        self.end = end;
        self
    }

    /// One of them, with its end.
    pub fn line(&self, number: u64) -> Vec<u8> {
        let mut dice = Dice::new(self.seed.wrapping_mul(1_000_003).wrapping_add(number));
        let halvings = dice.below(12);
        let length = dice.below((self.greatest >> halvings) + 1);
        let mut line = made(&self.tag, number, length, self.end);
        line.push(self.end);
        line
    }

    /// `count` of them, beginning with number `first`.
    pub fn bytes(&self, first: u64, count: u64) -> Vec<u8> {
        (first..first + count).flat_map(|number| self.line(number)).collect()
    }

    /// How many of the first `count` are longer than `most`, without their end.
    pub fn longer_than(&self, most: usize, count: u64) -> u64 {
        (0..count).filter(|number| self.line(*number).len() - 1 > most).count() as u64
    }

    /// Writes `count` of them into a FIFO from a thread, cut wherever it may be, then closes.
    pub fn in_background(self, path: impl AsRef<std::path::Path>, count: u64) -> Background<()> {
        let path = path.as_ref().to_owned();
        Background::run(move || {
            let mut writer = FifoWriter::open(path);
            self.write(count, |piece| {
                writer.write_all(piece);
                Ok::<(), std::convert::Infallible>(())
            })
            .unwrap_or_else(|never| match never {});
        })
    }

    /// Gives the first `count` of them to `put`, in pieces that end wherever it may be; holds two lines and a cut at most.
    pub fn write<E>(&self, count: u64, mut put: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        let mut dice = Dice::new(!self.seed);
        let mut held = Vec::new();
        let mut cut = dice.cut();
        for number in 0..count {
            held.extend(self.line(number));
            let mut done = 0;
            while held.len() - done >= cut {
                put(&held[done..done + cut])?;
                done += cut;
                cut = dice.cut();
            }
            held.drain(..done);
        }
        put(&held)
    }
}

/// The line of this writer, number and length, without its end; longer where its head alone is.
fn made(tag: &str, number: u64, length: u64, end: u8) -> Vec<u8> {
    let mut line = format!("{tag} {number} {length} ").into_bytes();
    let length = length as usize;
    if line.len() > length {
        // The head tells its own length then.
        let mut told = line.len();
        loop {
            line = format!("{tag} {number} {told} ").into_bytes();
            if line.len() == told {
                return line;
            }
            told = line.len();
        }
    }
    let head = line.len();
    line.resize(length, 0);
    let seed = tag.bytes().fold(number, |seed, byte| {
        seed.wrapping_mul(257).wrapping_add(u64::from(byte))
    });
    Pattern::new(seed).fill(0, &mut line[head..]);
    for byte in &mut line[head..] {
        if *byte == end {
            *byte ^= 0x20;
        }
    }
    line
}

/// Holds a stream against the [`Lines`] that were written into it by any number of writers: each line is whole, and each
/// writer's come in order, from number 0, without a gap.
#[derive(Debug)]
pub struct LineChecker {
    end: u8,
    begun: Vec<u8>,
    fed: u64,
    next: BTreeMap<String, u64>,
}

impl LineChecker {
    /// Of lines.
    pub fn new() -> LineChecker {
        LineChecker::ended_by(b'\n')
    }

    /// Of lines that end with another byte.
    pub fn ended_by(end: u8) -> LineChecker {
        LineChecker {
            end,
            begun: Vec::new(),
            fed: 0,
            next: BTreeMap::new(),
        }
    }

    /// Takes the next piece, however it is cut; panics at the first line that is not as it was written.
    pub fn feed(&mut self, piece: &[u8]) {
        if let Err(problem) = self.try_feed(piece) {
            panic!("{problem}");
        }
    }

    /// The same as [`LineChecker::feed`], with the problem as an error.
    pub fn try_feed(&mut self, mut piece: &[u8]) -> Result<(), String> {
        while let Some(at) = memchr::memchr(self.end, piece) {
            let mut line = std::mem::take(&mut self.begun);
            line.extend_from_slice(&piece[..at]);
            piece = &piece[at + 1..];
            self.look_at(&line)
                .map_err(|problem| format!("the line at byte {}: {problem}", self.fed))?;
            self.fed += line.len() as u64 + 1;
        }
        self.begun.extend_from_slice(piece);
        Ok(())
    }

    fn look_at(&mut self, line: &[u8]) -> Result<(), String> {
        let shown = || String::from_utf8_lossy(&line[..line.len().min(48)]).into_owned();
        let Some((tag, number, length)) = head(line) else {
            return Err(format!("{} bytes that no line begins with: {:?}", line.len(), shown()));
        };
        let wanted = made(tag, number, length, self.end);
        if let Some(at) = line.iter().zip(&wanted).position(|(got, want)| got != want) {
            return Err(format!(
                "line {number} of {tag} departs at byte {at} of {}: torn or mixed: {:02x?}",
                wanted.len(),
                &line[at..line.len().min(at + 16)]
            ));
        }
        if line.len() != wanted.len() {
            return Err(format!(
                "line {number} of {tag} has {} bytes instead of {}: torn",
                line.len(),
                wanted.len()
            ));
        }
        let next = self.next.entry(tag.to_owned()).or_insert(0);
        if number != *next {
            return Err(format!("line {number} of {tag} where its line {next} belongs"));
        }
        *next += 1;
        Ok(())
    }

    /// How many whole lines this writer's are by now.
    pub fn count(&self, tag: &str) -> u64 {
        self.next.get(tag).copied().unwrap_or(0)
    }

    /// Whether what has come stops within a line.
    pub fn is_within_a_line(&self) -> bool {
        !self.begun.is_empty()
    }

    /// Where the last whole line ends in the stream.
    pub fn offset(&self) -> u64 {
        self.fed
    }

    /// How many lines of each writer have come in all; panics when the stream stops within one.
    pub fn ended(self) -> BTreeMap<String, u64> {
        assert!(
            !self.is_within_a_line(),
            "the stream ends {} bytes into a line: {:?}",
            self.begun.len(),
            String::from_utf8_lossy(&self.begun[..self.begun.len().min(48)])
        );
        self.next
    }

    /// Checks a whole stream, and says how many lines of each writer are in it.
    pub fn counts(stream: &[u8]) -> BTreeMap<String, u64> {
        let mut checker = LineChecker::new();
        checker.feed(stream);
        checker.ended()
    }
}

fn head(line: &[u8]) -> Option<(&str, u64, u64)> {
    let mut words = line.splitn(4, |byte| *byte == b' ');
    let mut word = || std::str::from_utf8(words.next()?).ok();
    let (tag, number, length) = (word()?, word()?.parse().ok()?, word()?.parse().ok()?);
    // A line that claims to be longer than it is must not cost its claim in memory.
    let plausible = usize::try_from(length).ok()? <= line.len() + (1 << 24);
    (!tag.is_empty() && plausible).then_some((tag, number, length))
}
