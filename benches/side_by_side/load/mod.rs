//! The load generators: parts of this executable that the runner, a peer or the daemon under test starts, as
//! `side_by_side @part tag=… gate=… reports=… …`. What each can be told is in its file.

mod latency;
mod many;
mod stream;

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;

use nix::fcntl::{FcntlArg, fcntl};

/// How long a line is where lines are written, with its newline.
pub const LINE: usize = 100;

/// Writes a stream.
pub const GEN: &str = "@gen";
/// Reads a stream.
pub const SINK: &str = "@sink";
/// Feeds many FIFOs.
pub const FEED: &str = "@feed";
/// Reads many FIFOs.
pub const DRAIN: &str = "@drain";
/// Sends pings and measures how long they take.
pub const PING: &str = "@ping";
/// Sends back what it gets.
pub const ECHO: &str = "@echo";

/// Plays the part that the first argument names, if it names one.
pub fn other_part() -> Option<ExitCode> {
    let mut words = std::env::args().skip(1);
    let play = match words.next()?.as_str() {
        GEN => stream::write,
        SINK => stream::read,
        FEED => many::feed,
        DRAIN => many::drain,
        PING => latency::ping,
        ECHO => latency::echo,
        _ => return None,
    };
    let orders = Orders::of(words);
    Some(match play(&orders) {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            orders.tell(&format!("error {}", text.replace('\n', " ")));
            eprintln!("side_by_side {}: {text}", orders.text("tag"));
            ExitCode::FAILURE
        }
    })
}

/// What a generator is told to do.
struct Orders(BTreeMap<String, String>);

impl Orders {
    fn of(words: impl Iterator<Item = String>) -> Orders {
        let split = |word: String| {
            word.split_once('=')
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
        };
        Orders(words.filter_map(split).collect())
    }

    fn text(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// `None` where it was not told.
    fn number(&self, name: &str) -> Result<Option<u64>, String> {
        match self.0.get(name) {
            None => Ok(None),
            Some(text) => text
                .parse()
                .map(Some)
                .map_err(|_| format!("{name}={text} is not a number")),
        }
    }

    fn needed(&self, name: &str) -> Result<u64, String> {
        self.number(name)?.ok_or(format!("{name}= is needed"))
    }

    /// Tells the runner a line. It waits for nobody: the runner has the FIFO open both ways.
    fn tell(&self, line: &str) {
        let line = format!("{} {line}\n", self.text("tag"));
        let told = OpenOptions::new()
            .write(true)
            .open(self.text("reports"))
            .and_then(|mut reports| reports.write_all(line.as_bytes()));
        if let Err(error) = told {
            eprintln!("side_by_side: cannot report: {error}");
        }
    }

    /// Says that the ends are open, and waits for the runner.
    fn wait_at_gate(&self) -> Result<(), String> {
        let mut gate = File::open(self.text("gate")).map_err(|error| format!("cannot open the gate: {error}"))?;
        self.tell("ready=1");
        gate.read_exact(&mut [0])
            .map_err(|error| format!("cannot wait at the gate: {error}"))
    }

    /// Where to write: the FIFO `NAME=PATH`, else stdout.
    fn output(&self, name: &str) -> Result<OwnedFd, String> {
        let path = self.text(name);
        let end = if path.is_empty() {
            std::io::stdout().as_fd().try_clone_to_owned()
        } else {
            OpenOptions::new().write(true).open(path).map(OwnedFd::from)
        };
        let end = end.map_err(|error| format!("cannot open {path}: {error}"))?;
        if let Some(size) = self.number("pipe-size")? {
            let size = i32::try_from(size).unwrap_or(i32::MAX);
            fcntl(&end, FcntlArg::F_SETPIPE_SZ(size))
                .map_err(|error| format!("cannot have a pipe of {size}: {error}"))?;
        }
        Ok(end)
    }

    /// Where to read: the FIFO `NAME=PATH`, else stdin.
    fn input(&self, name: &str) -> Result<OwnedFd, String> {
        let path = self.text(name);
        let end = if path.is_empty() {
            std::io::stdin().as_fd().try_clone_to_owned()
        } else {
            File::open(path).map(OwnedFd::from)
        };
        end.map_err(|error| format!("cannot open {path}: {error}"))
    }
}

/// Writes all of it, however often it takes.
fn write_all(end: &OwnedFd, mut bytes: &[u8]) -> Result<(), String> {
    while !bytes.is_empty() {
        match nix::unistd::write(end, bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(nix::errno::Errno::EINTR) => {}
            Err(errno) => return Err(format!("write: {errno}")),
        }
    }
    Ok(())
}

/// Some bytes; 0 at the end.
fn read_some(end: &OwnedFd, buffer: &mut [u8]) -> Result<usize, String> {
    loop {
        match nix::unistd::read(end, buffer) {
            Err(nix::errno::Errno::EINTR) => {}
            read => return read.map_err(|errno| format!("read: {errno}")),
        }
    }
}
