//! By what a life tells that it is ready: a socket for sd_notify(3), or a descriptor for a newline. New for each life, so
//! that no word of an earlier one is taken for the next one's.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use serde::{Deserialize, Serialize};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::driver::Driver;
use crate::decide::notification::{self, Said};
use crate::decide::process::Event;
use crate::model::{ProcessSpec, Readiness};
use crate::sys::notifications::{self, Notification};
use crate::sys::parcel::{Parcel, Slot, Unpacking};
use crate::sys::{process, reactor};

/// Messages that are read at once before a deadline is judged, or a life given up.
const MOST_AT_ONCE: usize = 256;

/// The daemon's end of it.
pub(super) struct Ear {
    of: Of,
    leader: i32,
    /// Somebody else has sent something, and it was logged.
    refused: bool,
}

enum Of {
    Nothing,
    Socket(AsyncFd<OwnedFd>),
    Pipe(AsyncFd<OwnedFd>),
}

/// What is written of it for the daemon's next life. What was said and not heard is in the socket, or the pipe.
#[derive(Serialize, Deserialize)]
pub(super) struct Written {
    of: Kind,
    end: Option<Slot>,
    leader: i32,
    #[serde(default)]
    refused: bool,
}

#[derive(Serialize, Deserialize)]
enum Kind {
    Nothing,
    Socket,
    Pipe,
}

/// The child's end of it.
#[derive(Default)]
pub(super) struct Telling {
    /// For NOTIFY_SOCKET.
    pub(super) address: Option<String>,
    /// A descriptor, with the number that it has in the child.
    pub(super) end: Option<(i32, OwnedFd)>,
}

/// What came.
pub(super) enum Heard {
    Message(Notification),
    Newline,
    /// Other bytes than a newline.
    Noise,
    /// It has closed its descriptor before it was ready.
    End,
}

impl Ear {
    /// Both ends of what the spec asks for, for a life of this user (`None`: the daemon's).
    pub(super) fn open(spec: &ProcessSpec, owner: Option<u32>) -> io::Result<(Ear, Telling)> {
        let (of, telling) = match spec.ready {
            Readiness::Spawned => (Of::Nothing, Telling::default()),
            Readiness::Notify => {
                let (socket, address) = notifications::listen()?;
                let telling = Telling {
                    address: Some(address),
                    end: None,
                };
                (Of::Socket(reactor::register_own(socket, Interest::READABLE)?), telling)
            }
            Readiness::Fd(number) => {
                let (reader, writer) = process::output_pipe()?;
                if let Some(uid) = owner {
                    process::give(writer.as_fd(), uid)?;
                }
                let telling = Telling {
                    address: None,
                    end: Some((i32::from(number), writer)),
                };
                (Of::Pipe(reactor::register_own(reader, Interest::READABLE)?), telling)
            }
        };
        let ear = Ear {
            of,
            leader: 0,
            refused: false,
        };
        Ok((ear, telling))
    }

    pub(super) fn pack(&self, parcel: &mut Parcel) -> io::Result<Written> {
        let (of, end) = match &self.of {
            Of::Nothing => (Kind::Nothing, None),
            Of::Socket(end) => (Kind::Socket, Some(parcel.put(end.get_ref())?)),
            Of::Pipe(end) => (Kind::Pipe, Some(parcel.put(end.get_ref())?)),
        };
        Ok(Written {
            of,
            end,
            leader: self.leader,
            refused: self.refused,
        })
    }

    pub(super) fn again(written: Written, parcel: &mut Unpacking) -> io::Result<Ear> {
        let end = parcel.take_some(written.end)?;
        let end = end.map(|end| reactor::register_own(end, Interest::READABLE));
        let of = match (written.of, end.transpose()?) {
            (Kind::Socket, Some(end)) => Of::Socket(end),
            (Kind::Pipe, Some(end)) => Of::Pipe(end),
            (_, _) => Of::Nothing,
        };
        let (leader, refused) = (written.leader, written.refused);
        Ok(Ear { of, leader, refused })
    }

    /// Whose words count: this child's, and those of whoever belongs to it.
    pub(super) fn heed(&mut self, leader: i32) {
        self.leader = leader;
    }

    /// The next word; `None` where none can come. Can be dropped at any time without losing one.
    pub(super) async fn hear(&self) -> Option<Heard> {
        let end = match &self.of {
            Of::Nothing => return None,
            Of::Socket(end) | Of::Pipe(end) => end,
        };
        loop {
            let mut ready = end.readable().await.ok()?;
            match self.try_hear() {
                Ok(heard) => return Some(heard),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready.clear_ready(),
                // It says no more, and ready-timeout or the exit will.
                Err(_) => return None,
            }
        }
    }

    fn try_hear(&self) -> io::Result<Heard> {
        match &self.of {
            Of::Nothing => Err(io::ErrorKind::WouldBlock.into()),
            Of::Socket(socket) => notifications::receive(socket.get_ref().as_fd()).map(Heard::Message),
            Of::Pipe(reader) => {
                let mut buffer = [0; 512];
                let count = process::read(reader.get_ref().as_fd(), &mut buffer)?;
                Ok(match buffer.iter().take(count).any(|byte| *byte == b'\n') {
                    true => Heard::Newline,
                    false if count == 0 => Heard::End,
                    false => Heard::Noise,
                })
            }
        }
    }
}

impl Driver {
    /// What has come already is heard before a deadline is judged: the daemon itself may have been late.
    pub(super) fn hear_rest(&mut self) {
        for _ in 0..MOST_AT_ONCE {
            let Some(Ok(heard)) = self.life.as_ref().map(|life| life.ear.try_hear()) else {
                return;
            };
            self.heard(heard);
        }
    }

    pub(super) fn heard(&mut self, heard: Heard) {
        let Some(life) = &mut self.life else { return };
        let number = life.number;
        match heard {
            Heard::Message(message) => self.message(number, &message),
            Heard::Noise => {}
            // Nothing more is meant by it, as s6 has it.
            Heard::End => life.ear.of = Of::Nothing,
            Heard::Newline => {
                life.ear.of = Of::Nothing;
                self.take(Event::Ready { life: number });
            }
        }
    }

    fn message(&mut self, life: u64, message: &Notification) {
        let all = notification::read(&message.text);
        // A BARRIER=1 lets its sender go before it can be looked at.
        if all.is_empty() || !self.is_own(message.sender) {
            return;
        }
        for said in all {
            match said {
                Said::Ready => drop(self.take(Event::Ready { life })),
                Said::Alive => drop(self.take(Event::Alive { life })),
                Said::Hung => drop(self.take(Event::Hung { life })),
                Said::Extend(by) => drop(self.take(Event::Extend { life, by })),
                Said::Status(text) => {
                    if let Some(life) = &mut self.life {
                        life.status_text = (!text.is_empty()).then_some(text);
                    }
                }
            }
        }
        self.publish();
    }

    /// Whoever knows the address may send (see `sys::notifications`).
    fn is_own(&mut self, sender: i32) -> bool {
        let Some(life) = &mut self.life else { return false };
        let ear = &mut life.ear;
        let why = match process::belongs_to(sender, ear.leader) {
            Some(true) => return true,
            Some(false) => "which does not belong to it",
            None => "of which nothing is known: it has gone already, or is outside of the daemon's PID namespace",
        };
        if !std::mem::replace(&mut ear.refused, true) {
            let (id, leader) = (&self.id, ear.leader);
            tracing::warn!(
                process = %id, pid = leader,
                "process:{id}: refused what process {sender} has sent to its NOTIFY_SOCKET, {why}; more of this is not told \
                 in this life"
            );
        }
        false
    }
}
