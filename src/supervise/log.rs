//! Brings a child's unrouted output to the log: one task a pipe, which reads to EOF, or to a deadline after the exit.
//! A flood neither fills the log nor the control thread's time, and the child never waits: so many lines a second are
//! shown and the rest counted, so many bytes a second are read and the rest thrown away and counted.

use std::future::pending;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::{mpsc, watch};

use super::Notice;
use super::driver::Driver;
use crate::model::{Event, EventDetail, Moment, ProcessId, Stream, Subject};
use crate::sys::{clock, process, reactor};

mod handover;
mod output;

pub(super) use handover::{Packing, Written};
use output::Output;

/// After its group was killed, a pipe's last bytes and its EOF are there as soon as the kernel has got round to it.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What reads one pipe, where it belongs and whom it asks.
struct Reader {
    id: ProcessId,
    stream: Stream,
    life: u64,
    pid: i32,
    /// When the pipe must be at EOF; known after the exit.
    deadline: watch::Receiver<Option<Moment>>,
    /// The same for all lives, at a hurried shutdown.
    hurry: watch::Receiver<Option<Moment>>,
    /// Told the life whose group kept its output open for too long.
    overdue: mpsc::UnboundedSender<u64>,
    /// That was told, and this is when it is given up.
    last: Option<Moment>,
    notices: mpsc::UnboundedSender<Notice>,
    /// The outputs that routes have.
    routed: watch::Receiver<Vec<Stream>>,
    packing: watch::Receiver<Option<Packing>>,
    output: Output,
}

/// What ends a stretch of reading.
enum Turn {
    /// The end of file, or an error.
    Ended(io::Result<()>),
    /// It must have been at EOF by now.
    Late,
    /// A route takes this output.
    Released,
    /// It is to come to rest.
    Frozen(Packing),
}

impl Driver {
    /// Brings an output of a life to the log.
    pub(super) fn read_output(
        &mut self,
        life: u64,
        pid: i32,
        stream: Stream,
        end: OwnedFd,
        deadline: watch::Receiver<Option<Moment>>,
    ) {
        let output = Output::new(self.id.clone(), stream, self.streams.is_logged(stream));
        let reader = self.reader((life, pid, stream), deadline, output);
        self.readers.spawn_local(reader.run(end));
    }

    fn reader(
        &self,
        (life, pid, stream): (u64, i32, Stream),
        deadline: watch::Receiver<Option<Moment>>,
        output: Output,
    ) -> Reader {
        Reader {
            id: self.id.clone(),
            stream,
            life,
            pid,
            deadline,
            hurry: self.hurry.subscribe(),
            overdue: self.overdue.0.clone(),
            last: None,
            notices: self.notices.clone(),
            routed: self.routed.subscribe(),
            packing: self.packing.subscribe(),
            output,
        }
    }
}

impl Reader {
    /// Reads to the end, one way or the other.
    async fn run(mut self, end: OwnedFd) {
        // Both now: once it reads, a want of descriptors is no reason to stop.
        let ends = reactor::register_own(end, Interest::READABLE).and_then(|end| Ok((end, process::null()?)));
        let (end, null) = match ends {
            Ok(ends) => ends,
            Err(error) => {
                tracing::error!(process = %self.id, stream = %self.stream, "process:{}: cannot watch its {}: {error}", self.id, self.stream);
                return;
            }
        };
        let ended = loop {
            match self.read(&end, &null).await {
                Turn::Ended(ended) => break ended,
                Turn::Late if self.last.is_some() => break Ok(()),
                Turn::Late => {
                    let _ = self.overdue.send(self.life);
                    self.last = Some(clock::now() + LAST_WORDS);
                }
                Turn::Released => {
                    self.output.finish();
                    return self.lend(end.into_inner());
                }
                Turn::Frozen(packing) => self.rest(&end, packing).await,
            }
        };
        if self.last.is_some() {
            self.abandoned();
        }
        self.output.finish();
        if let Err(error) = ended {
            tracing::error!(process = %self.id, stream = %self.stream, "process:{}: cannot read its {}: {error}", self.id, self.stream);
        }
    }

    async fn read(&mut self, end: &AsyncFd<OwnedFd>, null: &OwnedFd) -> Turn {
        let frozen = asked(&mut self.packing);
        if let Some(last) = self.last {
            return tokio::select! {
                ended = self.output.copy(end, null) => Turn::Ended(ended),
                () = clock::sleep_until(last) => Turn::Late,
                packing = frozen => Turn::Frozen(packing),
            };
        }
        tokio::select! {
            ended = self.output.copy(end, null) => Turn::Ended(ended),
            () = reached(&mut self.deadline) => Turn::Late,
            () = reached(&mut self.hurry) => Turn::Late,
            () = released(&mut self.routed, self.stream) => Turn::Released,
            packing = frozen => Turn::Frozen(packing),
        }
    }

    /// What was not read of it is the route's. What was read of a line that has not ended is in the log.
    fn lend(self, end: OwnedFd) {
        let (process, stream, life) = (self.id, self.stream, self.life);
        let _ = self.notices.send(Notice::Lend {
            process,
            stream,
            life,
            end,
            deposit: None,
        });
    }

    fn abandoned(&mut self) {
        let _ = self.notices.send(Notice::Event(Event {
            at: clock::now(),
            subject: Subject::Process(self.id.clone()),
            detail: EventDetail::OutputAbandoned {
                stream: self.stream.to_string(),
                pid: self.pid,
            },
        }));
    }
}

/// Resolves when a route takes this output.
async fn released(routed: &mut watch::Receiver<Vec<Stream>>, stream: Stream) {
    if routed.wait_for(|streams| streams.contains(&stream)).await.is_err() {
        pending::<()>().await;
    }
}

/// Resolves when it is to come to rest.
async fn asked(packing: &mut watch::Receiver<Option<Packing>>) -> Packing {
    let asked = packing
        .wait_for(Option::is_some)
        .await
        .ok()
        .and_then(|asked| asked.clone());
    match asked {
        Some(packing) => packing,
        None => pending().await,
    }
}

/// Resolves when the deadline is there; never, when nobody sets one any more.
async fn reached(deadline: &mut watch::Receiver<Option<Moment>>) {
    loop {
        let wanted = *deadline.borrow_and_update();
        let changed = async {
            if deadline.changed().await.is_err() {
                pending::<()>().await;
            }
        };
        match wanted {
            Some(moment) => tokio::select! {
                () = clock::sleep_until(moment) => return,
                () = changed => {}
            },
            None => changed.await,
        }
    }
}
