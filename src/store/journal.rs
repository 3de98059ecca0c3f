//! The journal: what is in the store and what it means, written down where the next life finds it: in a file in memory that
//! is in the store itself. A line is appended for each change, so that a change costs one write(2) however much there is.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;

use serde::{Deserialize, Serialize};

use super::Meaning;
use crate::sys::execute::memory_file;

/// Lines that say nothing any more, beyond as many as do: then it is written anew.
const MOST_DEAD: usize = 1000;
/// Larger than any that is written.
const LONGEST: u64 = 1 << 30;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Line {
    /// The first one: the format, which of the journals it is, and the daemon's life.
    Sluiced {
        /// 1
        journal: u32,
        /// The youngest that is whole counts.
        number: u64,
        /// Of the daemon that writes it.
        life: u64,
    },
    /// Everything that was there when it was begun stands above.
    Whole,
    /// A deposit.
    Put(u64, Meaning),
    /// It is there no longer.
    Gone(u64),
    /// Whether an operator has paused a route.
    Operator(String, bool),
    /// The config that runs.
    Generation(u64),
    /// The daemon's life after an upgrade.
    Life(u64),
}

/// What the lines say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// Of the daemon that wrote it.
    pub life: u64,
    /// Of the config.
    pub generation: u64,
    /// By number.
    pub deposits: BTreeMap<u64, Meaning>,
    /// By route.
    pub operators: HashMap<String, bool>,
    number: u64,
    whole: bool,
    lines: usize,
}

impl Known {
    /// The numbers of those in the store are not used again.
    #[must_use]
    pub fn next_number(&self) -> u64 {
        self.deposits.keys().next_back().map_or(1, |last| last + 1)
    }

    pub(super) fn is_younger(&self, other: &Known) -> bool {
        self.number > other.number
    }

    fn take(&mut self, line: Line) {
        self.lines += 1;
        match line {
            Line::Sluiced { number, life, .. } => (self.number, self.life) = (number, life),
            Line::Whole => self.whole = true,
            Line::Put(number, meaning) => drop(self.deposits.insert(number, meaning)),
            Line::Gone(number) => drop(self.deposits.remove(&number)),
            Line::Operator(route, paused) => drop(self.operators.insert(route, paused)),
            Line::Generation(generation) => self.generation = generation,
            Line::Life(life) => self.life = life,
        }
    }

    fn lines(&self) -> impl Iterator<Item = Line> {
        let head = Line::Sluiced {
            journal: 1,
            number: self.number,
            life: self.life,
        };
        let deposits = self
            .deposits
            .iter()
            .map(|(number, meaning)| Line::Put(*number, meaning.clone()));
        let operators = self
            .operators
            .iter()
            .map(|(route, paused)| Line::Operator(route.clone(), *paused));
        let head = [head, Line::Generation(self.generation)];
        head.into_iter().chain(deposits).chain(operators).chain([Line::Whole])
    }
}

/// The one that is written.
#[derive(Debug)]
pub struct Journal {
    file: File,
    end: u64,
    known: Known,
}

impl Journal {
    /// The first one of a life, after those of a dead one.
    pub fn begin(life: u64, before: Option<&Known>) -> io::Result<Journal> {
        let mut known = before.cloned().unwrap_or_default();
        known.life = life;
        known.generation = known.generation.max(1);
        Journal::written(known)
    }

    fn written(mut known: Known) -> io::Result<Journal> {
        known.number += 1;
        let mut text = Vec::new();
        let mut count = 0;
        for line in known.lines() {
            serde_json::to_writer(&mut text, &line)?;
            text.push(b'\n');
            count += 1;
        }
        (known.lines, known.whole) = (count, true);
        let mut file = memory_file("sluiced-journal")?;
        file.write_all(&text)?;
        let end = text.len() as u64;
        Ok(Journal { file, end, known })
    }

    /// Goes on with the file of an earlier life of the same process.
    pub fn go_on(file: File) -> io::Result<Journal> {
        let (known, end) = read(&file)?;
        Ok(Journal { file, end, known })
    }

    /// Appends lines in one write(2).
    pub fn append(&mut self, lines: impl IntoIterator<Item = Line>) -> io::Result<()> {
        let mut text = Vec::new();
        for line in lines {
            serde_json::to_writer(&mut text, &line)?;
            text.push(b'\n');
            self.known.take(line);
        }
        self.file.write_all_at(&text, self.end)?;
        self.end += text.len() as u64;
        Ok(())
    }

    /// Another one that says the same in fewer lines, when it is worth it.
    pub fn renewed(&self) -> io::Result<Option<Journal>> {
        let alive = self.known.deposits.len() + self.known.operators.len();
        if self.known.lines <= 2 * alive + MOST_DEAD {
            return Ok(None);
        }
        Journal::written(self.known.clone()).map(Some)
    }

    /// With what was noted in another one meanwhile.
    pub fn caught_up(mut self, with: &Journal) -> io::Result<Journal> {
        let operators = with.known.operators.iter();
        let operators = operators.map(|(route, paused)| Line::Operator(route.clone(), *paused));
        let generation = Line::Generation(with.known.generation);
        self.append(operators.chain([generation]).collect::<Vec<_>>())?;
        Ok(self)
    }

    /// By what it is known in the store.
    #[must_use]
    pub fn name(&self) -> String {
        format!("journal.{}", self.known.number)
    }

    /// The file.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// What it says.
    #[must_use]
    pub fn known(&self) -> &Known {
        &self.known
    }
}

/// What a journal says, and how long it is without a last line that was cut. An error: it is none, or is not whole.
pub fn read(file: &File) -> io::Result<(Known, u64)> {
    let refuse = |text: String| io::Error::new(io::ErrorKind::InvalidData, text);
    let length = file.metadata()?.len();
    if length > LONGEST {
        return Err(refuse(format!("{length} bytes are no journal")));
    }
    let mut text = vec![0; usize::try_from(length).unwrap_or(0)];
    file.read_exact_at(&mut text, 0)?;
    let (mut known, mut end) = (Known::default(), 0);
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        // The write of the last line may have been cut.
        let Some(whole) = line.strip_suffix(b"\n") else { break };
        let line_end = end + line.len() as u64;
        match serde_json::from_slice::<Line>(whole) {
            Ok(Line::Sluiced { journal, .. }) if journal != 1 => {
                return Err(refuse(format!("its format is {journal}, and this version reads 1")));
            }
            Ok(line) => known.take(line),
            Err(error) => return Err(refuse(format!("line {}: {error}", known.lines + 1))),
        }
        end = line_end;
    }
    if known.whole && known.number > 0 {
        return Ok((known, end));
    }
    Err(refuse("it is not whole".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meaning(name: &str) -> Meaning {
        Meaning::FifoSource(name.into())
    }

    #[test]
    fn what_is_written_is_read_without_a_line_that_was_cut() {
        let mut journal = Journal::begin(3, None).unwrap();
        journal
            .append([
                Line::Put(1, meaning("a")),
                Line::Put(2, meaning("b")),
                Line::Operator("r".to_owned(), true),
                Line::Gone(1),
                Line::Generation(4),
            ])
            .unwrap();
        let (known, end) = read(journal.file()).unwrap();
        assert_eq!(&known, journal.known());
        assert_eq!((known.life, known.generation), (3, 4));
        assert_eq!(known.deposits, BTreeMap::from([(2, meaning("b"))]));
        journal.file().write_all_at(b"{\"gone\":2}", end).unwrap();
        assert_eq!(read(journal.file()).unwrap(), (known, end));
        let again = Journal::go_on(journal.file().try_clone().unwrap()).unwrap();
        assert_eq!((again.end, again.name()), (end, journal.name()));
    }

    #[test]
    fn one_that_is_mostly_dead_is_written_anew() {
        let mut journal = Journal::begin(1, None).unwrap();
        journal.append([Line::Put(1, meaning("a"))]).unwrap();
        assert!(journal.renewed().unwrap().is_none());
        for number in 2..2000 {
            journal
                .append([Line::Put(number, meaning("b")), Line::Gone(number)])
                .unwrap();
        }
        let renewed = journal.renewed().unwrap().unwrap();
        assert_eq!(renewed.known().deposits, journal.known().deposits);
        assert_ne!(renewed.name(), journal.name());
        assert!(renewed.end < 1000);
        assert!(renewed.renewed().unwrap().is_none());
        assert_eq!(read(renewed.file()).unwrap().0, *renewed.known());
    }

    #[test]
    fn garbage_is_none() {
        for text in [
            "",
            "x\n",
            "{\"whole\":1}\n",
            "{\"sluiced\":{\"journal\":2,\"number\":1,\"life\":1}}\n\"whole\"\n",
        ] {
            let mut file = memory_file("test").unwrap();
            file.write_all(text.as_bytes()).unwrap();
            assert!(read(&file).is_err(), "{text:?}");
        }
    }
}
