//! Brings a child's unrouted output to the log: one task a pipe, which reads to EOF, or to a deadline after the exit.
//! A flood neither fills the log nor the control thread's time, and the child never waits: so many lines a second are
//! shown and the rest counted, so many bytes a second are read and the rest thrown away and counted.

use std::future::Future;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::{mpsc, watch};

use super::Notice;
use super::lines::{Line, Lines};
use crate::model::{Event, EventDetail, Moment, ProcessId, Stream, Subject};
use crate::sys::{clock, process, reactor};

const SECOND: Duration = Duration::from_secs(1);
/// Shown in a second.
const MOST_LINES: u64 = 1000;
/// The same in bytes, where the lines are long. What cannot be shown as it is takes up to eight times its length.
const MOST_SHOWN: usize = 1024 * 1024;
/// Read in a second; what comes above it is thrown away unread, since no child waits for its log.
const MOST_BYTES: usize = 4 * 1024 * 1024;
/// Read in a turn, and thrown away in one.
const TURN_BYTES: usize = 64 * 1024;
const TURN_DISCARDED: usize = 1024 * 1024;
const BUFFER: usize = 16 * 1024;
/// After its group was killed, a pipe's last bytes and its EOF are there as soon as the kernel has got round to it.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Where one pipe's reader belongs and whom it asks.
pub(super) struct Reader {
    pub(super) id: ProcessId,
    pub(super) stream: Stream,
    pub(super) life: u64,
    pub(super) pid: i32,
    /// When the pipe must be at EOF; known after the exit.
    pub(super) deadline: watch::Receiver<Option<Moment>>,
    /// The same for all lives, at a hurried shutdown.
    pub(super) hurry: watch::Receiver<Option<Moment>>,
    /// Told the life whose group kept its output open for too long.
    pub(super) overdue: mpsc::UnboundedSender<u64>,
    pub(super) notices: mpsc::UnboundedSender<Notice>,
    /// The outputs that routes have.
    pub(super) routed: watch::Receiver<Vec<Stream>>,
    /// False: it is read, and thrown away.
    pub(super) shown: bool,
}

impl Reader {
    /// Reads to the end, one way or the other.
    pub(super) async fn run(mut self, end: OwnedFd) {
        let end = match reactor::register_own(end, Interest::READABLE) {
            Ok(end) => end,
            Err(error) => {
                tracing::error!(process = %self.id, stream = %self.stream, "process:{}: cannot watch its {}: {error}", self.id, self.stream);
                return;
            }
        };
        let (mut deadline, mut hurry) = (self.deadline.clone(), self.hurry.clone());
        let mut output = Output::new(&self);
        let ended = tokio::select! {
            ended = output.copy(&end) => Some(ended),
            () = reached(&mut deadline) => None,
            () = reached(&mut hurry) => None,
            () = self.released() => {
                output.finish();
                return self.lend(end.into_inner());
            }
        };
        let ended = match ended {
            Some(ended) => ended,
            None => {
                let _ = self.overdue.send(self.life);
                let last = clock::sleep_until(clock::now() + LAST_WORDS);
                let ended = tokio::select! {
                    ended = output.copy(&end) => ended,
                    () = last => Ok(()),
                };
                self.abandoned();
                ended
            }
        };
        output.finish();
        if let Err(error) = ended {
            tracing::error!(process = %self.id, stream = %self.stream, "process:{}: cannot read its {}: {error}", self.id, self.stream);
        }
    }

    /// Resolves when a route takes this output.
    fn released(&self) -> impl Future<Output = ()> + use<> {
        let (mut routed, stream) = (self.routed.clone(), self.stream);
        async move {
            let of_this = |streams: &Vec<Stream>| streams.contains(&stream);
            if routed.wait_for(of_this).await.is_err() {
                std::future::pending::<()>().await;
            }
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

/// Resolves when the deadline is there; never, when nobody sets one any more.
async fn reached(deadline: &mut watch::Receiver<Option<Moment>>) {
    loop {
        let wanted = *deadline.borrow_and_update();
        let changed = async {
            if deadline.changed().await.is_err() {
                std::future::pending::<()>().await;
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

/// A pipe's way into the log.
struct Output {
    id: ProcessId,
    stream: Stream,
    lines: Lines,
    limit: Limit,
    shown: bool,
    /// Read in this second.
    bytes: usize,
}

/// Lines shown and left out in this second.
struct Limit {
    since: Moment,
    shown: u64,
    shown_bytes: usize,
    left_out: u64,
    /// Not even read.
    unread: u64,
}

impl Output {
    fn new(reader: &Reader) -> Output {
        Output {
            id: reader.id.clone(),
            stream: reader.stream,
            lines: Lines::default(),
            limit: Limit {
                since: clock::now(),
                shown: 0,
                shown_bytes: 0,
                left_out: 0,
                unread: 0,
            },
            shown: reader.shown,
            bytes: 0,
        }
    }

    /// Copies to EOF. May be dropped at any await and called again: nothing is lost in between.
    async fn copy(&mut self, end: &AsyncFd<OwnedFd>) -> io::Result<()> {
        let mut buffer = vec![0; BUFFER];
        let null = process::null()?;
        loop {
            let mut ready = self.readable(end).await?;
            if clock::now().since(self.limit.since) >= SECOND {
                self.renew();
            }
            let flood = !self.shown || self.bytes >= MOST_BYTES;
            let most = if flood { TURN_DISCARDED } else { TURN_BYTES };
            let mut turn = 0;
            while turn < most {
                let taken = ready.try_io(|end| match flood {
                    true => process::discard(end.as_fd(), null.as_fd(), most - turn),
                    false => process::read(end.as_fd(), &mut buffer),
                });
                match taken {
                    Ok(Ok(0)) => return Ok(()),
                    Ok(Ok(count)) => {
                        turn += count;
                        match flood {
                            true => self.limit.unread += u64::from(self.shown) * count as u64,
                            false => self.take(buffer.get(..count).unwrap_or_default()),
                        }
                    }
                    Ok(Err(error)) => return Err(error),
                    Err(_would_block) => break,
                }
            }
            drop(ready);
            if !flood {
                self.bytes += turn;
                if self.bytes >= MOST_BYTES {
                    // What comes next is the middle of another line.
                    self.cut();
                }
            }
            tokio::task::yield_now().await;
        }
    }

    /// Waits for bytes; what was left out is told even when no more come.
    async fn readable<'a>(
        &mut self,
        end: &'a AsyncFd<OwnedFd>,
    ) -> io::Result<tokio::io::unix::AsyncFdReadyGuard<'a, OwnedFd>> {
        if self.limit.left_out + self.limit.unread > 0 {
            tokio::select! {
                ready = end.readable() => return ready,
                () = clock::sleep_until(self.limit.since + SECOND) => self.renew(),
            }
        }
        end.readable().await
    }

    fn take(&mut self, bytes: &[u8]) {
        let (id, stream, limit) = (&self.id, self.stream, &mut self.limit);
        self.lines.push(bytes, |line| limit.show(id, stream, &line));
    }

    /// A new second begins.
    fn renew(&mut self) {
        self.tell_left_out();
        self.limit = Limit {
            since: clock::now(),
            shown: 0,
            shown_bytes: 0,
            left_out: 0,
            unread: 0,
        };
        self.bytes = 0;
    }

    fn tell_left_out(&self) {
        let Limit { left_out, unread, .. } = self.limit;
        if left_out + unread > 0 {
            let more = if unread > 0 {
                format!(", and {unread} bytes that were not even read")
            } else {
                String::new()
            };
            tracing::warn!(
                target: "sluiced::child", process = %self.id, stream = %self.stream,
                "process:{} {}: {left_out} lines left out{more} (more than {MOST_LINES} lines or {MOST_SHOWN} bytes in a second)",
                self.id, self.stream
            );
        }
    }

    /// What is there of a line is the whole of it.
    fn cut(&mut self) {
        let (id, stream, limit) = (&self.id, self.stream, &mut self.limit);
        self.lines.finish(|line| limit.show(id, stream, &line));
    }

    fn finish(&mut self) {
        self.cut();
        self.tell_left_out();
    }
}

impl Limit {
    fn show(&mut self, id: &ProcessId, stream: Stream, line: &Line<'_>) {
        if self.shown >= MOST_LINES || self.shown_bytes >= MOST_SHOWN {
            self.left_out += 1;
            return;
        }
        self.shown += 1;
        let text = line.shown();
        self.shown_bytes += text.len();
        if stream == Stream::Stderr {
            tracing::warn!(target: "sluiced::child", process = %id, stream = %stream, "process:{id} {stream}: {text}");
        } else {
            tracing::info!(target: "sluiced::child", process = %id, stream = %stream, "process:{id} {stream}: {text}");
        }
    }
}
