//! A source, some destinations, and readers that know what has to come.

use std::future::poll_fn;
use std::io::IoSlice;
use std::os::fd::OwnedFd;
use std::task::Poll;
use std::time::Duration;

use super::super::{Tee, TeeMoved};
use crate::sys::pipe;
use crate::transport::{Moved, ReadEnd, Took, WriteEnd, Wrote};

/// Byte number `at` of the stream.
fn expected(at: u64) -> u8 {
    (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as u8
}

pub(super) fn in_runtime(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.unwrap().block_on(test);
}

fn pipe(size: u64) -> (OwnedFd, OwnedFd) {
    let (read, write) = pipe::pair().unwrap();
    pipe::set_nonblocking(&read, true).unwrap();
    pipe::set_nonblocking(&write, true).unwrap();
    pipe::set_size(&write, size).unwrap();
    (read, write)
}

/// A destination's end, and what its reader has.
pub(super) fn destination() -> (WriteEnd, OwnedFd) {
    let (read, write) = pipe(1 << 16);
    (WriteEnd::new(write).unwrap(), read)
}

pub(super) struct Reader {
    end: WriteEnd,
    read: OwnedFd,
    /// What its next byte is.
    at: u64,
    /// None: it has ended.
    takes: bool,
    queue: Vec<u8>,
}

pub(super) struct Rig {
    pub source: ReadEnd,
    pub writer: Option<OwnedFd>,
    pub tee: Tee,
    pub readers: Vec<Reader>,
    written: u64,
    accepted: u64,
}

impl Rig {
    pub async fn new(source: u64, staging: &[u64]) -> Rig {
        let (read, writer) = pipe(source);
        let reader = |_| {
            let (end, read) = destination();
            Reader {
                end,
                read,
                at: 0,
                takes: true,
                queue: Vec::new(),
            }
        };
        let rig = Rig {
            source: ReadEnd::new(read).unwrap(),
            writer: Some(writer),
            tee: Tee::new(staging.iter().copied()),
            readers: staging.iter().map(reader).collect(),
            written: 0,
            accepted: 0,
        };
        // The reactor hears of the new ends.
        tokio::task::yield_now().await;
        rig
    }

    /// As much of it as there is room for. Then the reactor has heard of it.
    pub async fn write(&mut self, bytes: usize) {
        let writer = self.writer.as_ref().unwrap();
        let content: Vec<u8> = (self.written..).take(bytes).map(expected).collect();
        if let Ok(count) = nix::unistd::write(writer, &content) {
            self.written += count as u64;
        }
        tokio::task::yield_now().await;
    }

    /// Single bytes, each in a slot of its own.
    pub async fn write_apart(&mut self, bytes: usize) {
        for _ in 0..bytes {
            let (read, write) = pipe(4096);
            nix::unistd::write(&write, &[expected(self.written)]).unwrap();
            if pipe::splice(&read, self.writer.as_ref().unwrap(), 1).is_err() {
                break;
            }
            self.written += 1;
        }
        tokio::task::yield_now().await;
    }

    pub fn hang_up(&mut self) {
        self.writer = None;
    }

    pub async fn until_readable(&mut self) {
        let readable = poll_fn(|cx| self.source.poll_readable(cx));
        tokio::time::timeout(Duration::from_secs(20), readable)
            .await
            .expect("nobody is woken by what stands in the source");
    }

    /// Another source, with bytes of its own. What stands in this one is lost; nothing is queued.
    pub async fn replace_source(&mut self) {
        let (read, writer) = pipe(1 << 16);
        self.source = ReadEnd::new(read).unwrap();
        self.writer = Some(writer);
        self.accepted = self.written;
        for reader in &mut self.readers {
            reader.at = self.written;
        }
        tokio::task::yield_now().await;
    }

    /// Whether a relay would try the source, or the destination, again at once.
    pub async fn would_retry(&mut self, destination: Option<usize>) -> bool {
        let tried = poll_fn(|cx| {
            let ready = match destination {
                Some(i) => self.readers[i].end.poll_writable(cx),
                None => self.source.poll_readable(cx),
            };
            Poll::Ready(ready.is_ready())
        });
        tried.await
    }

    /// The reader of a destination has left, having read what stood there, and another one has come.
    pub async fn replace_reader(&mut self, i: usize) {
        self.read(i, usize::MAX >> 1);
        (self.readers[i].end, self.readers[i].read) = destination();
        tokio::task::yield_now().await;
    }

    pub fn unread(&self) -> u64 {
        pipe::unread(self.source.descriptor())
    }

    /// Bytes in user space come first.
    pub fn round(&mut self, most: usize) -> TeeMoved {
        if let Some(i) = self.readers.iter().position(|reader| !reader.queue.is_empty()) {
            return TeeMoved::Busy(i);
        }
        let readers = &self.readers;
        let moved = self.tee.round(&self.source, most, |i| readers[i].takes);
        if let TeeMoved::Bytes(count) = moved {
            assert!(count <= most);
            self.accepted += count as u64;
        }
        self.check_law();
        moved
    }

    /// What a relay does when it may copy.
    pub fn copy(&mut self, most: usize) {
        if self.readers.iter().all(|reader| !reader.takes) {
            return;
        }
        self.tee.abandon();
        let mut buffer = vec![0; most];
        if let Ok(Took::Bytes(count)) = self.source.read(&mut buffer) {
            self.accepted += count as u64;
            for reader in self.readers.iter_mut().filter(|reader| reader.takes) {
                reader.queue.extend_from_slice(&buffer[..count]);
            }
        }
    }

    pub fn flush_all(&mut self) {
        for i in 0..self.readers.len() {
            self.flush(i);
        }
    }

    pub fn flush(&mut self, i: usize) {
        let moved = self.tee.flush(i, &self.readers[i].end);
        if let Moved::Refused(_) = moved {
            self.unstage(i);
        }
        assert!(!matches!(moved, Moved::End | Moved::NoReader), "{moved:?}");
        let reader = &mut self.readers[i];
        if self.tee.bytes(i) > 0 || reader.queue.is_empty() {
            return;
        }
        if let Ok(Wrote::Bytes(count)) = reader.end.write(&[IoSlice::new(&reader.queue)]) {
            reader.queue.drain(..count);
        }
    }

    /// What stands in a staging pipe comes before what is queued.
    fn unstage(&mut self, i: usize) {
        let mut front = Vec::new();
        let mut buffer = [0; 3000];
        loop {
            let count = self.tee.unstage(i, &mut buffer).unwrap();
            if count == 0 {
                break;
            }
            front.extend_from_slice(&buffer[..count]);
        }
        front.append(&mut self.readers[i].queue);
        self.readers[i].queue = front;
    }

    pub fn read_all(&mut self) {
        for i in 0..self.readers.len() {
            self.read(i, usize::MAX >> 1);
        }
    }

    pub fn read(&mut self, i: usize, most: usize) {
        let reader = &mut self.readers[i];
        let stands = usize::try_from(pipe::unread(&reader.read)).unwrap();
        let mut buffer = vec![0; stands.min(most)];
        if buffer.is_empty() {
            return;
        }
        let count = nix::unistd::read(&reader.read, &mut buffer).unwrap();
        for byte in &buffer[..count] {
            assert_eq!(*byte, expected(reader.at), "destination {i}, byte {}", reader.at);
            reader.at += 1;
        }
    }

    /// A destination ends; what is queued for it is dropped. How much stood in its staging pipe.
    pub fn end(&mut self, i: usize) -> u64 {
        self.read(i, usize::MAX >> 1);
        self.readers[i].takes = false;
        self.readers[i].queue.clear();
        self.tee.clear(i)
    }

    /// A destination that had ended is opened again: what was accepted meanwhile is not for it.
    pub fn revive(&mut self, i: usize) {
        if !self.readers[i].takes {
            self.read(i, usize::MAX >> 1);
            self.readers[i].takes = true;
            self.readers[i].at = self.accepted;
        }
    }

    pub fn check_law(&self) {
        for (i, reader) in self.readers.iter().enumerate().filter(|(_, reader)| reader.takes) {
            let queued = self.tee.bytes(i) + reader.queue.len() as u64;
            let delivered = reader.at + pipe::unread(&reader.read);
            assert_eq!(self.accepted, delivered + queued, "destination {i}");
        }
    }

    /// Everything that was written is brought to its end, and is what it has to be.
    pub async fn finish(&mut self) {
        super::script(|| super::Fate::Passes);
        self.hang_up();
        if self.readers.iter().all(|reader| !reader.takes) {
            return;
        }
        loop {
            self.flush_all();
            self.read_all();
            match self.round(usize::MAX) {
                TeeMoved::Bytes(_) => {}
                TeeMoved::Busy(_) => tokio::task::yield_now().await,
                TeeMoved::Nothing => self.until_readable().await,
                TeeMoved::End => break,
                TeeMoved::Unkept => panic!("there is no store"),
                TeeMoved::Refused(errno) => panic!("refused with {errno}"),
            }
        }
        assert_eq!(self.accepted, self.written);
        for (i, reader) in self.readers.iter().enumerate().filter(|(_, reader)| reader.takes) {
            assert_eq!(reader.at, self.written, "destination {i}");
        }
    }
}
