//! A pipe's way into the log: which of its lines are shown, and what is said of the others.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::unix::AsyncFd;

use crate::model::{Moment, ProcessId, Stream};
use crate::supervise::lines::{Line, Lines};
use crate::sys::parcel::{Blob, Parcel, Unpacking};
use crate::sys::{clock, process};

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

/// A pipe's way into the log.
pub(super) struct Output {
    id: ProcessId,
    stream: Stream,
    lines: Lines,
    limit: Limit,
    /// False: it is read, and thrown away.
    shown: bool,
}

/// Lines shown and left out in this second.
#[derive(Clone, Serialize, Deserialize)]
struct Limit {
    since: Moment,
    shown: u64,
    shown_bytes: usize,
    left_out: u64,
    /// Not even read.
    unread: u64,
    read: usize,
}

/// What is written of it for the daemon's next life.
#[derive(Serialize, Deserialize)]
pub(super) struct Written {
    shown: bool,
    limit: Limit,
    begun: Blob,
}

impl Output {
    pub(super) fn new(id: ProcessId, stream: Stream, shown: bool) -> Output {
        Output {
            id,
            stream,
            lines: Lines::default(),
            limit: Limit::new(),
            shown,
        }
    }

    pub(super) fn pack(&self, parcel: &mut Parcel) -> Written {
        Written {
            shown: self.shown,
            limit: self.limit.clone(),
            begun: parcel.put_bytes(self.lines.begun().to_vec()),
        }
    }

    pub(super) fn again(id: ProcessId, stream: Stream, written: Written, parcel: &Unpacking) -> io::Result<Output> {
        let mut output = Output::new(id, stream, written.shown);
        output.limit = written.limit;
        // Longer than a line may be only where the last life's could be longer than this one's.
        output.take(&parcel.bytes(written.begun)?);
        Ok(output)
    }

    /// Copies to EOF; `null` is /dev/null. May be dropped at any await and called again: nothing is lost in between.
    pub(super) async fn copy(&mut self, end: &AsyncFd<OwnedFd>, null: &OwnedFd) -> io::Result<()> {
        let mut buffer = vec![0; BUFFER];
        loop {
            let mut ready = self.readable(end).await?;
            if clock::now().since(self.limit.since) >= SECOND {
                self.renew();
            }
            let flood = !self.shown || self.limit.read >= MOST_BYTES;
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
                self.limit.read += turn;
                if self.limit.read >= MOST_BYTES {
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
        self.limit = Limit::new();
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

    pub(super) fn finish(&mut self) {
        self.cut();
        self.tell_left_out();
    }
}

impl Limit {
    fn new() -> Limit {
        Limit {
            since: clock::now(),
            shown: 0,
            shown_bytes: 0,
            left_out: 0,
            unread: 0,
            read: 0,
        }
    }

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
