//! What each step of a script does.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::sys::signal::{Signal, raise};

use super::super::clock;
use super::super::lines::{Dice, LineChecker, Lines};
use super::super::pattern::Pattern;
use super::{Stop, notify, stream};

/// A peer between two steps.
#[derive(Default)]
pub(super) struct Peer {
    written: u64,
    checked: u64,
}

impl Peer {
    /// Does one step.
    pub(super) fn take(&mut self, step: &str) -> Result<(), Stop> {
        let (verb, rest) = step.split_once(' ').unwrap_or((step, ""));
        let words: Vec<&str> = rest.split_whitespace().collect();
        match verb {
            "write" => self.write(number(&words, 0)?, pattern(&words, 1)?),
            "drip" => self.drip(&words),
            "stream-until" => self.stream_until(&words),
            "lines" => lines(&words),
            "lines-both" => lines_both(&words),
            "check-lines" => check_lines(),
            "say" => stream::put(nix::libc::STDOUT_FILENO, format!("{rest}\n").as_bytes()),
            "text" => stream::put(nix::libc::STDOUT_FILENO, rest.as_bytes()),
            "complain" => stream::put(nix::libc::STDERR_FILENO, format!("{rest}\n").as_bytes()),
            "read" => stream::take_exactly(number(&words, 0)?, |_, _| Ok(())),
            "check" => self.check(&words),
            "check-end" => {
                self.check(&words)?;
                match stream::sink()? {
                    0 => Ok(()),
                    _ => Err(Stop::Exit(65)),
                }
            }
            "sink" => stream::sink().map(|_| ()),
            "cat" => stream::cat(),
            "pass" => stream::pass(),
            "record" => stream::record(rest, u64::MAX),
            "record-some" => stream::record(word(&words, 1)?, number(&words, 0)?),
            "record-slowly" => {
                let pause = Duration::from_millis(number(&words, 2)?);
                stream::record_slowly(word(&words, 0)?, number(&words, 1)?, || clock::let_pass(pause))
            }
            "produce" => produce(rest),
            "tell" => tell(word(&words, 0)?, rest.split_once(' ').map_or("", |(_, text)| text)),
            "await" => await_gate(rest),
            "hold" => loop {
                nix::unistd::pause();
            },
            "notify" => notify::notify(rest),
            "notify-elsewhere" => notify::notify_elsewhere(rest),
            "notify-garbage" => notify::garbage(),
            "notify-barrier" => notify::barrier(),
            "notify-chatter" => notify::chatter(number(&words, 0)?),
            "notify-fd" => {
                let fd = word(&words, 0)?;
                Ok(std::fs::write(format!("/proc/self/fd/{fd}"), "\n")?)
            }
            "feed-watchdog" => notify::feed_watchdog(number(&words, 0)?, word(&words, 1)?),
            "tell-variable" => {
                let value = std::env::var(word(&words, 0)?).unwrap_or_else(|_| "unset".to_owned());
                tell(word(&words, 1)?, &format!("{value} {}", std::process::id()))
            }
            "ignore" => Ok(flag_of(signal(&words, 0)?)?).map(|_| ()),
            "on" => on_signal(&words),
            "grandchild" => grandchild(rest),
            "setsid" => nix::unistd::setsid().map(|_| ()).map_err(Stop::from),
            "close" => close(number(&words, 0)?),
            "exit" => Err(Stop::Exit(u8::try_from(number(&words, 0)?).unwrap_or(99))),
            "die" => raise(signal(&words, 0)?).map_err(Stop::from),
            other => Err(Stop::Failed(format!("there is no step {other:?}"))),
        }
    }

    fn write(&mut self, count: u64, pattern: Pattern) -> Result<(), Stop> {
        let end = self.written + count;
        while self.written < end {
            let piece = pattern.bytes(self.written, (end - self.written).min(65536) as usize);
            stream::put(nix::libc::STDOUT_FILENO, &piece)?;
            self.written += piece.len() as u64;
        }
        Ok(())
    }

    fn drip(&mut self, words: &[&str]) -> Result<(), Stop> {
        let (mut left, chunk, millis) = (number(words, 0)?, number(words, 1)?, number(words, 2)?);
        while left > 0 {
            let count = left.min(chunk);
            self.write(count, Pattern::new(1))?;
            left -= count;
            clock::let_pass(Duration::from_millis(millis));
        }
        Ok(())
    }

    fn stream_until(&mut self, words: &[&str]) -> Result<(), Stop> {
        let told = flag_of(signal(words, 0)?)?;
        while !told.load(Ordering::SeqCst) {
            self.write(4096, Pattern::new(1))?;
        }
        tell(word(words, 1)?, &self.written.to_string())
    }

    fn check(&mut self, words: &[&str]) -> Result<(), Stop> {
        let pattern = pattern(words, 1)?;
        let begin = self.checked;
        self.checked += number(words, 0)?;
        stream::take_exactly(self.checked - begin, |at, piece| {
            let fits = pattern.bytes(begin + at, piece.len()) == piece;
            if fits { Ok(()) } else { Err(Stop::Exit(65)) }
        })
    }
}

fn lines(words: &[&str]) -> Result<(), Stop> {
    let tag = words.get(3).copied().unwrap_or("lines");
    let lines = Lines::new(tag, number(words, 1)?, number(words, 2)?);
    lines.write(number(words, 0)?, |piece| stream::put(nix::libc::STDOUT_FILENO, piece))
}

/// A note is what the file says even when the next instant is the last: a write(2) to it is in the page cache.
fn produce(path: &str) -> Result<(), Stop> {
    let made = (1_u64..).find_map(|life| {
        let note = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(format!("{path}-{life}"));
        match note {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => None,
            note => Some((life, note)),
        }
    });
    let (life, note) = made.ok_or_else(|| Stop::Failed("too many lives".to_owned()))?;
    let note = note?;
    let (pattern, mut dice, mut written) = (Pattern::new(life), Dice::new(life), 0_u64);
    loop {
        let piece = pattern.bytes(written, dice.cut());
        written += stream::put_some(&piece)? as u64;
        note.write_all_at(&written.to_le_bytes(), 0)?;
    }
}

/// Both go on at the same pace, so that the one needs no more than a pipe while the other is within a line.
fn lines_both(words: &[&str]) -> Result<(), Stop> {
    let (count, greatest, seed) = (number(words, 0)?, number(words, 1)?, number(words, 2)?);
    let out = Lines::new("out", greatest, seed).bytes(0, count);
    let err = Lines::new("err", greatest, seed + 1).bytes(0, count);
    let (mut dice, mut done) = (Dice::new(seed), 0);
    while done < out.len().max(err.len()) {
        let upto = done + 1 + dice.below(5000) as usize;
        let piece = |of: &[u8]| of[done.min(of.len())..upto.min(of.len())].to_vec();
        stream::put(nix::libc::STDOUT_FILENO, &piece(&out))?;
        stream::put(nix::libc::STDERR_FILENO, &piece(&err))?;
        done = upto;
    }
    Ok(())
}

fn check_lines() -> Result<(), Stop> {
    let mut checker = LineChecker::new();
    stream::each_piece(|piece| {
        checker.try_feed(piece).map_err(|problem| {
            eprintln!("peer: {problem}");
            Stop::Exit(65)
        })
    })?;
    if checker.is_within_a_line() {
        Err(Stop::Exit(65))
    } else {
        Ok(())
    }
}

fn word<'a>(words: &[&'a str], index: usize) -> Result<&'a str, Stop> {
    words
        .get(index)
        .copied()
        .ok_or_else(|| Stop::Failed(format!("argument {} is missing", index + 1)))
}

fn number(words: &[&str], index: usize) -> Result<u64, Stop> {
    let text = word(words, index)?;
    text.parse().map_err(|_| Stop::Failed(format!("{text:?} is no number")))
}

fn pattern(words: &[&str], index: usize) -> Result<Pattern, Stop> {
    if words.len() > index {
        Ok(Pattern::new(number(words, index)?))
    } else {
        Ok(Pattern::new(1))
    }
}

fn signal(words: &[&str], index: usize) -> Result<Signal, Stop> {
    Signal::from_str(word(words, index)?).map_err(Stop::from)
}

/// A flag that the signal sets instead of doing what it does by default; system calls are restarted.
fn flag_of(signal: Signal) -> Result<Arc<AtomicBool>, Stop> {
    let flag = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal as i32, Arc::clone(&flag))?;
    Ok(flag)
}

/// `SIGNAL exit N`
fn on_signal(words: &[&str]) -> Result<(), Stop> {
    let code = i32::try_from(number(words, 2)?).unwrap_or(99);
    signal_hook::flag::register_conditional_shutdown(signal(words, 0)? as i32, code, Arc::new(AtomicBool::new(true)))?;
    Ok(())
}

fn tell(path: &str, text: &str) -> Result<(), Stop> {
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    Ok(file.write_all(format!("{text}\n").as_bytes())?)
}

fn await_gate(path: &str) -> Result<(), Stop> {
    let deadline = clock::Deadline::within(clock::PATIENCE);
    while !Path::new(path).exists() && !deadline.passed() {
        // Whoever makes it may be a moment behind.
        clock::pause_briefly();
    }
    let got = OpenOptions::new().read(true).open(path)?.read(&mut [0])?;
    if got == 0 {
        Err(Stop::Failed(format!("{path} was closed")))
    } else {
        Ok(())
    }
}

fn grandchild(script: &str) -> Result<(), Stop> {
    let steps = script.split('|').map(str::trim);
    Command::new(std::env::current_exe()?)
        .arg(super::PART)
        .args(steps)
        .spawn()?;
    Ok(())
}

fn close(number: u64) -> Result<(), Stop> {
    let number = i32::try_from(number).map_err(|_| Stop::Failed("no such descriptor".to_owned()))?;
    Ok(nix::unistd::close(number)?)
}
