//! What a producer writes in each of its lives (the peer's step `produce`), and what of it has arrived somewhere.

use std::path::Path;

use super::Pattern;

/// What a life has written beyond this many bytes by chance fits the next one's, too.
const CHANCE: u64 = 8;

/// One life of a producer.
#[derive(Clone, Copy, Debug)]
pub struct Life {
    /// From 1 on; the seed of its pattern.
    pub number: u64,
    /// How much it has noted down to be written. It may have written more, but no less.
    pub noted: u64,
}

impl Life {
    /// Those that have left a note `PATH-1`, `PATH-2` …
    pub fn all(path: impl AsRef<Path>) -> Vec<Life> {
        let path = path.as_ref().display().to_string();
        let notes = (1..).map_while(|number| {
            let note = std::fs::read(format!("{path}-{number}")).ok()?;
            // It was killed before its first note.
            let noted = note.try_into().map_or(0, u64::from_le_bytes);
            Some(Life { number, noted })
        });
        notes.collect()
    }

    /// How far what stands here is what it has written from its beginning on.
    fn fits(self, stream: &[u8]) -> u64 {
        let pattern = Pattern::new(self.number);
        let mut at = 0;
        for piece in stream.chunks(65_536) {
            let written = pattern.bytes(at, piece.len());
            match piece.iter().zip(&written).position(|(got, wrote)| got != wrote) {
                Some(here) => return at + here as u64,
                None => at += piece.len() as u64,
            }
        }
        at
    }
}

/// Checks that a stream is what these lives have written, one after the other: of each a prefix without a gap, at least as
/// long as it has noted. How much of each.
pub fn check_lives(stream: &[u8], lives: &[Life]) -> Vec<u64> {
    try_lives(stream, lives).unwrap_or_else(|fault| panic!("{fault}"))
}

/// The same as [`check_lives`], with what is wrong as an error.
pub fn try_lives(stream: &[u8], lives: &[Life]) -> Result<Vec<u64>, String> {
    let mut furthest = (0, String::new());
    let mut lengths = Vec::new();
    match fit(stream, 0, lives, &mut lengths, &mut furthest) {
        true => Ok(lengths),
        false => Err(format!("of {} bytes of {lives:?}: {}", stream.len(), furthest.1)),
    }
}

fn fit(stream: &[u8], at: u64, lives: &[Life], lengths: &mut Vec<u64>, furthest: &mut (u64, String)) -> bool {
    let rest = &stream[usize::try_from(at).expect("a place in memory")..];
    let Some((life, later)) = lives.split_first() else {
        return rest.is_empty();
    };
    let fits = life.fits(rest);
    if at + fits >= furthest.0 {
        let from = usize::try_from(fits).expect("a place in memory");
        let foreign = &rest[from..rest.len().min(from + 16)];
        let (number, noted) = (life.number, life.noted);
        let text =
            format!("life {number} begins at {at}: {fits} bytes of it came, {noted} are noted, then {foreign:02x?}");
        *furthest = (at + fits, text);
    }
    let least = life.noted.max(fits.saturating_sub(CHANCE));
    for length in (least..=fits).rev() {
        lengths.push(length);
        if fit(stream, at + length, later, lengths, furthest) {
            return true;
        }
        lengths.pop();
    }
    false
}
