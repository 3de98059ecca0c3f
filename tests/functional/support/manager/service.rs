//! What a service manager knows of its one service, and what each message changes. As systemd 257 has it
//! (src/core/service.c, src/core/manager.c).

use std::os::fd::{AsFd, OwnedFd};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::descriptors::{self, Received};

/// The name of what comes without one.
const UNNAMED: &str = "stored";
/// FDNAME_MAX
const LONGEST_NAME: usize = 255;

/// What the service has said of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Phase {
    /// Nothing yet.
    #[default]
    Starting,
    /// READY=1
    Ready,
    /// RELOADING=1
    Reloading,
    /// STOPPING=1
    Stopping,
}

/// A message as it came.
#[derive(Clone, Debug)]
pub struct Message {
    /// Its assignments.
    pub lines: Vec<String>,
    /// How many descriptors came with it.
    pub descriptors: usize,
    /// Who has sent it.
    pub sender: i32,
}

impl Message {
    /// Whether it says this.
    pub fn says(&self, line: &str) -> bool {
        self.lines.iter().any(|said| said == line)
    }

    /// What it assigns to this.
    pub fn value(&self, name: &str) -> Option<&str> {
        let of = |line: &'_ String| line.strip_prefix(name).is_some_and(|rest| rest.starts_with('='));
        let line = self.lines.iter().find(|line| of(line))?;
        Some(&line[name.len() + 1..])
    }
}

/// A descriptor in the store, as seen from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// FDNAME=
    pub name: String,
    /// Whether a hang-up takes it out (no FDPOLL=0).
    pub is_polled: bool,
    /// Whether it is a pipe or a FIFO.
    pub is_pipe: bool,
}

struct Stored {
    descriptor: OwnedFd,
    kept: Kept,
}

/// The one service.
#[derive(Default)]
pub(super) struct Service {
    /// The newest is the first, and so the first to be passed.
    stored: Vec<Stored>,
    pub(super) max: usize,
    pub(super) messages: Vec<Message>,
    pub(super) status: String,
    pub(super) phase: Phase,
    pub(super) times_ready: usize,
    /// What systemd would complain of in its log, and more.
    pub(super) complaints: Vec<String>,
    /// Who may speak; anybody, as long as that is not known.
    pub(super) main: Option<i32>,
    pub(super) holds_barriers: bool,
    held: Vec<OwnedFd>,
}

impl Service {
    /// One that may store so many descriptors.
    pub(super) fn new(max: usize) -> Service {
        Service {
            max,
            ..Service::default()
        }
    }

    /// Does what a message says.
    pub(super) fn take(&mut self, received: Received) {
        if !received.is_whole || received.bytes.contains(&0) {
            return self.complain("a message that is too long, or has a NUL in it");
        }
        let text = String::from_utf8_lossy(&received.bytes).into_owned();
        let message = Message {
            lines: text.lines().map(str::to_owned).collect(),
            descriptors: received.descriptors.len(),
            sender: received.sender,
        };
        self.messages.push(message.clone());
        if message.says("BARRIER=1") {
            return self.pass_barrier(&message, received.descriptors);
        }
        if self.main.is_some_and(|main| main != message.sender) {
            return self.complain(&format!("a message of process {}: {text:?}", message.sender));
        }
        self.hear(&message);
        let name = message.value("FDNAME");
        if message.says("FDSTOREREMOVE=1") {
            self.remove(name);
        } else if message.says("FDSTORE=1") {
            self.store(received.descriptors, name, !message.says("FDPOLL=0"));
        } else if message.descriptors > 0 {
            self.complain(&format!("descriptors with {text:?}"));
        }
    }

    fn complain(&mut self, of: &str) {
        self.complaints.push(of.to_owned());
    }

    /// Everything before it has been done: the messages are taken one after the other.
    fn pass_barrier(&mut self, message: &Message, descriptors: Vec<OwnedFd>) {
        if message.lines.len() != 1 || descriptors.len() != 1 {
            self.complain(&format!(
                "BARRIER=1 has to come alone and with one descriptor: {message:?}"
            ));
        }
        if self.holds_barriers {
            self.held.extend(descriptors);
        }
    }

    /// Lets go of the barriers that it has held, and holds no more.
    pub(super) fn release(&mut self) {
        self.holds_barriers = false;
        self.held.clear();
    }

    fn hear(&mut self, message: &Message) {
        if let Some(status) = message.value("STATUS") {
            status.clone_into(&mut self.status);
        }
        if message.says("RELOADING=1") {
            self.phase = Phase::Reloading;
            if message.value("MONOTONIC_USEC").is_none() {
                self.complain("RELOADING=1 without MONOTONIC_USEC=");
            }
        }
        if message.says("READY=1") {
            self.phase = Phase::Ready;
            self.times_ready += 1;
        }
        if message.says("STOPPING=1") {
            self.phase = Phase::Stopping;
        }
    }

    fn remove(&mut self, name: Option<&str>) {
        match name {
            Some(name) if is_valid(name) => self.stored.retain(|stored| stored.kept.name != name),
            _ => self.complain(&format!("FDSTOREREMOVE=1 with the name {name:?}")),
        }
    }

    fn store(&mut self, descriptors: Vec<OwnedFd>, name: Option<&str>, is_polled: bool) {
        if descriptors.is_empty() {
            self.complain("FDSTORE=1 without a descriptor");
        }
        let name = match name {
            Some(name) if !is_valid(name) => {
                self.complain(&format!("the name {name:?}"));
                UNNAMED
            }
            name => name.unwrap_or(UNNAMED),
        };
        for descriptor in descriptors {
            self.put(descriptor, name, is_polled);
        }
    }

    /// Puts one into the store: silently not, when it is full or has this open file.
    pub(super) fn put(&mut self, descriptor: OwnedFd, name: &str, is_polled: bool) {
        let is_there = |stored: &Stored| descriptors::are_the_same(&stored.descriptor, &descriptor);
        if self.stored.len() >= self.max || self.stored.iter().any(is_there) {
            return;
        }
        let kept = Kept {
            name: name.to_owned(),
            is_polled,
            is_pipe: descriptors::is_pipe(&descriptor),
        };
        self.stored.insert(0, Stored { descriptor, kept });
    }

    /// Takes out what is hung up or broken, and polled.
    pub(super) fn drop_hung_up(&mut self) {
        self.stored.retain(|stored| {
            let mut polled = [PollFd::new(stored.descriptor.as_fd(), PollFlags::empty())];
            let count = poll(&mut polled, PollTimeout::ZERO).unwrap_or(0);
            !stored.kept.is_polled || count == 0
        });
    }

    /// What is in the store.
    pub(super) fn kept(&self) -> Vec<Kept> {
        self.stored.iter().map(|stored| stored.kept.clone()).collect()
    }

    /// Copies of what is in the store, with their names, in the order in which they are passed.
    pub(super) fn passed(&self) -> Vec<(OwnedFd, String)> {
        let copies = self.stored.iter().map(|stored| {
            let copy = stored.descriptor.try_clone().expect("a copy of a descriptor");
            (copy, stored.kept.name.clone())
        });
        copies.collect()
    }

    /// As before its first life, but for what is in the store.
    pub(super) fn begin_anew(&mut self) {
        self.main = None;
        self.phase = Phase::Starting;
        self.times_ready = 0;
        self.status.clear();
    }
}

/// fdname_is_valid()
fn is_valid(name: &str) -> bool {
    name.len() <= LONGEST_NAME && name.bytes().all(|byte| (b' '..127).contains(&byte) && byte != b':')
}
