//! One sample's stage: a directory, what was started in it, and what the load generators tell.
//!
//! A generator opens its ends, says that it is ready, and waits at the gate; so what it takes to start a contestant is in
//! no number. When it is done it says what it measured. Both go through FIFOs in the directory, a line at a time.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::libc::O_NONBLOCK;
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::stat::Mode;
use tempfile::TempDir;

use super::clock::Deadline;
use super::{Guard, interrupt};

/// What a generator told: named numbers.
#[derive(Clone, Debug, Default)]
pub struct Report(BTreeMap<String, u64>);

impl Report {
    /// One of them.
    pub fn get(&self, name: &str) -> Result<u64, String> {
        self.0
            .get(name)
            .copied()
            .ok_or(format!("a load generator told no {name:?}"))
    }
}

/// A sample's stage. What was started ends with it, the last one first.
#[derive(Debug)]
pub struct Stage {
    started: Vec<Guard>,
    reports: File,
    /// Not a whole line yet.
    begun: Vec<u8>,
    gate: File,
    kept: Vec<File>,
    heard: BTreeMap<String, Vec<Report>>,
    deadline: Deadline,
    directory: TempDir,
}

impl Stage {
    /// A new one, for so long.
    pub fn new(patience: Duration) -> Result<Stage, String> {
        let failed = |error: std::io::Error| format!("cannot make a directory for a sample: {error}");
        let directory = tempfile::Builder::new().prefix("sbs").tempdir().map_err(failed)?;
        let fifo = |name: &str| {
            let path = directory.path().join(name);
            nix::unistd::mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR)?;
            // Both ways, so that neither end ever sees the other one leave.
            OpenOptions::new()
                .read(true)
                .write(true)
                .custom_flags(O_NONBLOCK)
                .open(path)
        };
        Ok(Stage {
            started: Vec::new(),
            reports: fifo("reports").map_err(failed)?,
            begun: Vec::new(),
            gate: fifo("gate").map_err(failed)?,
            kept: Vec::new(),
            heard: BTreeMap::new(),
            deadline: Deadline::within(patience),
            directory,
        })
    }

    /// Its directory.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// A path in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory().join(name)
    }

    /// A new FIFO in it.
    pub fn fifo(&self, name: &str) -> Result<PathBuf, String> {
        let path = self.path(name);
        match nix::unistd::mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR) {
            Ok(()) => Ok(path),
            Err(errno) => Err(format!("cannot make {}: {errno}", path.display())),
        }
    }

    /// Starts something that ends with this stage; its place in it.
    pub fn start(&mut self, command: &mut Command) -> Result<usize, String> {
        self.started.push(Guard::start(command)?);
        Ok(self.started.len() - 1)
    }

    /// What was started.
    pub fn started(&mut self, place: usize) -> &mut Guard {
        &mut self.started[place]
    }

    /// The words by which somebody else can start a load generator: the part, its tag, and what it is to do.
    pub fn words(&self, part: &str, tag: &str, fields: &[(&str, String)]) -> Vec<String> {
        let program = std::env::current_exe().unwrap_or_default();
        let mut words = vec![program.display().to_string(), part.to_owned()];
        words.push(format!("tag={tag}"));
        words.push(format!("gate={}", self.path("gate").display()));
        words.push(format!("reports={}", self.path("reports").display()));
        words.extend(fields.iter().map(|(name, value)| format!("{name}={value}")));
        words
    }

    /// Starts a load generator with this stdin and stdout.
    pub fn generator(&mut self, words: &[String], stdin: Stdio, stdout: Stdio) -> Result<usize, String> {
        let (program, arguments) = words.split_first().ok_or("no command")?;
        self.start(Command::new(program).args(arguments).stdin(stdin).stdout(stdout))
    }

    /// Waits for the next report of each of these.
    pub fn await_reports(&mut self, tags: &[&str]) -> Result<Vec<Report>, String> {
        loop {
            let there = |stage: &Stage, tag: &str| stage.heard.get(tag).is_some_and(|heard| !heard.is_empty());
            if tags.iter().all(|tag| there(self, tag)) {
                return Ok(tags
                    .iter()
                    .filter_map(|tag| Some(self.heard.get_mut(*tag)?.remove(0)))
                    .collect());
            }
            self.hear(&|stage: &Stage| {
                let silent: Vec<&str> = tags.iter().copied().filter(|tag| !there(stage, tag)).collect();
                format!("no report of {}", silent.join(", "))
            })?;
        }
    }

    /// Waits for reports of one tag until they have, together, as much of one number.
    pub fn await_sum(&mut self, tag: &str, name: &str, sum: u64) -> Result<Vec<Report>, String> {
        let mut all = Vec::new();
        let mut so_far = 0;
        while so_far < sum {
            let report = self.await_reports(&[tag])?.pop().unwrap_or_default();
            so_far += report.get(name)?;
            all.push(report);
        }
        Ok(all)
    }

    /// Keeps an end of a FIFO open until the generators, which have their own by then, are let go.
    pub fn keep_until_the_gate(&mut self, end: File) {
        self.kept.push(end);
    }

    /// Lets so many generators go.
    pub fn open_gate(&mut self, count: usize) -> Result<(), String> {
        self.kept.clear();
        let opened = self.gate.write_all(&vec![b'.'; count]);
        opened.map_err(|error| format!("cannot open the gate: {error}"))
    }

    fn hear(&mut self, missing: &dyn Fn(&Stage) -> String) -> Result<(), String> {
        if interrupt::came() {
            return Err("interrupted".to_owned());
        }
        if self.deadline.passed() {
            return Err(format!("it takes too long: {}", missing(self)));
        }
        let mut polled = [PollFd::new(self.reports.as_fd(), PollFlags::POLLIN)];
        // An error is EINTR; the read says what is there.
        let _ = poll(&mut polled, self.deadline.poll_timeout());
        let mut buffer = [0; 4096];
        match self.reports.read(&mut buffer) {
            Ok(count) => self.begun.extend_from_slice(&buffer[..count]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(error) => return Err(format!("cannot read the reports: {error}")),
        }
        while let Some(end) = self.begun.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.begun.drain(..=end).collect();
            self.note(String::from_utf8_lossy(&line).trim())?;
        }
        Ok(())
    }

    fn note(&mut self, line: &str) -> Result<(), String> {
        let (tag, rest) = line.split_once(' ').unwrap_or((line, ""));
        if let Some(error) = rest.strip_prefix("error ") {
            return Err(format!("load generator {tag}: {error}"));
        }
        let fields = rest.split_whitespace().filter_map(|field| {
            let (name, value) = field.split_once('=')?;
            Some((name.to_owned(), value.parse().ok()?))
        });
        self.heard
            .entry(tag.to_owned())
            .or_default()
            .push(Report(fields.collect()));
        Ok(())
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        while self.started.pop().is_some() {}
    }
}
