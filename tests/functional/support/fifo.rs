//! Peers of the daemon's FIFOs: non-blocking, each wait bounded by a deadline.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::errno::Errno;
use nix::libc::O_NONBLOCK;
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::stat::Mode;

use super::{Background, Checker, Deadline, LineChecker, PATIENCE, Pattern, pause_briefly, until};

/// Makes a FIFO where the daemon is to find one.
pub fn make_fifo(path: impl AsRef<Path>) {
    nix::unistd::mkfifo(path.as_ref(), Mode::from_bits_truncate(0o600)).expect("mkfifo");
}

fn capacity(file: &File) -> u64 {
    let size = nix::fcntl::fcntl(file, nix::fcntl::FcntlArg::F_GETPIPE_SZ).expect("F_GETPIPE_SZ");
    u64::try_from(size).expect("a size")
}

fn wait_ready(file: &File, flags: PollFlags, deadline: &Deadline, what: &str) -> PollFlags {
    let mut polled = [PollFd::new(file.as_fd(), flags)];
    match poll(&mut polled, deadline.poll_timeout()) {
        Ok(_) | Err(Errno::EINTR) => {}
        Err(errno) => panic!("poll: {errno}"),
    }
    assert!(!deadline.passed(), "{what} within {PATIENCE:?}");
    polled[0].revents().unwrap_or(PollFlags::empty())
}

/// The end of a FIFO source that bytes are put into.
#[derive(Debug)]
pub struct FifoWriter {
    file: File,
    written: u64,
}

impl FifoWriter {
    /// Opens it; waits until the daemon has it open for reading.
    pub fn open(path: impl AsRef<Path>) -> FifoWriter {
        let path = path.as_ref();
        let deadline = Deadline::within(PATIENCE);
        loop {
            match OpenOptions::new().write(true).custom_flags(O_NONBLOCK).open(path) {
                Ok(file) => return FifoWriter { file, written: 0 },
                // Not there yet, or nobody reads it yet (fifo(7)).
                Err(error) => assert!(
                    !deadline.passed(),
                    "cannot open {} for writing: {error}",
                    path.display()
                ),
            }
            pause_briefly();
        }
    }

    /// Writes all of it; panics when the daemon takes nothing for [`PATIENCE`], or has gone.
    pub fn write_all(&mut self, mut bytes: &[u8]) {
        let mut deadline = Deadline::within(PATIENCE);
        while !bytes.is_empty() {
            match self.file.write(bytes) {
                Ok(count) => {
                    bytes = &bytes[count..];
                    self.written += count as u64;
                    deadline = Deadline::within(PATIENCE);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let what = format!("after {} bytes the FIFO takes no more", self.written);
                    wait_ready(&self.file, PollFlags::POLLOUT, &deadline, &what);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => panic!("write to a FIFO after {} bytes: {error}", self.written),
            }
        }
    }

    /// Writes what the FIFO takes now, and says how much. The error is EPIPE when nobody reads it any more.
    pub fn try_write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self.file.write(bytes) {
            Ok(count) => {
                self.written += count as u64;
                Ok(count)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// Writes on from where it is in a pattern.
    pub fn write_pattern(&mut self, pattern: Pattern, bytes: u64) {
        let end = self.written + bytes;
        while self.written < end {
            let piece = (end - self.written).min(256 * 1024);
            self.write_all(&pattern.bytes(self.written, piece as usize));
        }
    }

    /// Writes on in a pattern until `full` says that the route is paused; gives back how many bytes were written in all.
    pub fn write_until(&mut self, pattern: Pattern, mut full: impl FnMut() -> bool) -> u64 {
        let deadline = Deadline::within(PATIENCE);
        loop {
            let piece = pattern.bytes(self.written, 4096);
            let count = self.try_write(&piece).expect("a FIFO that is read");
            if count == 0 {
                if full() {
                    return self.written;
                }
                assert!(
                    !deadline.passed(),
                    "after {} bytes the route is not as it should be",
                    self.written
                );
                pause_briefly();
            }
        }
    }

    /// How much it has written.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// What the FIFO can hold (F_GETPIPE_SZ).
    pub fn capacity(&self) -> u64 {
        capacity(&self.file)
    }

    /// Writes a pattern of this length from a thread, then closes.
    pub fn in_background(path: impl AsRef<Path>, pattern: Pattern, bytes: u64) -> Background<()> {
        let path = path.as_ref().to_owned();
        Background::run(move || FifoWriter::open(path).write_pattern(pattern, bytes))
    }
}

/// What a look at a FIFO finds.
#[derive(Debug, PartialEq, Eq)]
pub enum Taken {
    /// These bytes.
    Bytes(Vec<u8>),
    /// There is a writer, or was none yet, and no byte.
    Nothing,
    /// The last writer has gone and every byte is read.
    End,
}

/// The end of a FIFO destination that bytes come out of.
#[derive(Debug)]
pub struct FifoReader {
    file: File,
    read: u64,
}

impl FifoReader {
    /// What the FIFO can hold (F_GETPIPE_SZ).
    pub fn capacity(&self) -> u64 {
        capacity(&self.file)
    }

    /// Opens it without blocking; waits until the daemon has made the FIFO.
    pub fn open(path: impl AsRef<Path>) -> FifoReader {
        let path = path.as_ref();
        let deadline = Deadline::within(PATIENCE);
        loop {
            match OpenOptions::new().read(true).custom_flags(O_NONBLOCK).open(path) {
                Ok(file) => return FifoReader { file, read: 0 },
                Err(error) => assert!(
                    !deadline.passed(),
                    "cannot open {} for reading: {error}",
                    path.display()
                ),
            }
            pause_briefly();
        }
    }

    /// Opens it as `cat` does, once it is there: open(2) returns when there is a writer. Panics when it has not within
    /// [`PATIENCE`].
    pub fn open_blocking(path: impl AsRef<Path>) -> FifoReader {
        let path = path.as_ref().to_owned();
        until(
            || path.exists().then_some(()),
            || format!("{} is not there", path.display()),
        );
        let (sender, opened) = std::sync::mpsc::channel();
        let theirs = path.clone();
        std::thread::spawn(move || sender.send(File::open(theirs)));
        match opened.recv_timeout(PATIENCE) {
            Ok(file) => FifoReader {
                file: file.expect("opening a FIFO"),
                read: 0,
            },
            Err(_) => {
                // Lets the thread's open(2) return.
                let _ = OpenOptions::new()
                    .read(true)
                    .write(true)
                    .custom_flags(O_NONBLOCK)
                    .open(&path);
                panic!("open of {} for reading still blocks after {PATIENCE:?}", path.display());
            }
        }
    }

    /// Up to `limit` bytes that are there now.
    pub fn try_read(&mut self, limit: usize) -> Taken {
        let mut bytes = vec![0; limit];
        // Only a hang-up makes a 0 an end: before the first writer read(2) returns 0, too.
        let mut polled = [PollFd::new(self.file.as_fd(), PollFlags::POLLIN)];
        poll(&mut polled, nix::poll::PollTimeout::ZERO).expect("poll");
        let found = polled[0].revents().unwrap_or(PollFlags::empty());
        if !found.intersects(PollFlags::POLLIN | PollFlags::POLLHUP) {
            return Taken::Nothing;
        }
        match self.file.read(&mut bytes) {
            Ok(0) if found.contains(PollFlags::POLLHUP) => Taken::End,
            Ok(0) => Taken::Nothing,
            Ok(count) => {
                bytes.truncate(count);
                self.read += count as u64;
                Taken::Bytes(bytes)
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Taken::Nothing,
            Err(error) => panic!("read of a FIFO after {} bytes: {error}", self.read),
        }
    }

    /// The next bytes, or the end, whenever they come.
    pub fn read_some(&mut self, limit: usize) -> Taken {
        let deadline = Deadline::within(PATIENCE);
        loop {
            match self.try_read(limit) {
                Taken::Nothing => {
                    let what = format!("after {} bytes nothing more and no end has come", self.read);
                    let found = wait_ready(&self.file, PollFlags::POLLIN, &deadline, &what);
                    if found.is_empty() || !found.intersects(PollFlags::POLLIN | PollFlags::POLLHUP) {
                        pause_briefly();
                    }
                }
                taken => return taken,
            }
        }
    }

    /// Exactly `count` bytes.
    pub fn read_exact(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(count);
        while bytes.len() < count {
            match self.read_some(count - bytes.len()) {
                Taken::Bytes(piece) => bytes.extend(piece),
                Taken::Nothing => {}
                Taken::End => panic!("the end after {} of {count} bytes", bytes.len()),
            }
        }
        bytes
    }

    /// All bytes up to the end.
    pub fn read_to_end(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        loop {
            match self.read_some(256 * 1024) {
                Taken::Bytes(piece) => bytes.extend(piece),
                Taken::Nothing => {}
                Taken::End => return bytes,
            }
        }
    }

    /// Feeds a checker until it has `bytes` in all.
    pub fn check_up_to(&mut self, checker: &mut Checker, bytes: u64) {
        while checker.offset() < bytes {
            let limit = (bytes - checker.offset()).min(256 * 1024);
            match self.read_some(limit as usize) {
                Taken::Bytes(piece) => checker.feed(&piece),
                Taken::Nothing => {}
                Taken::End => panic!("the end after {} of {bytes} bytes", checker.offset()),
            }
        }
    }

    /// Feeds a checker to the end of the stream, and says how long it was.
    pub fn check_to_end(&mut self, checker: &mut Checker) -> u64 {
        loop {
            match self.read_some(256 * 1024) {
                Taken::Bytes(piece) => checker.feed(&piece),
                Taken::Nothing => {}
                Taken::End => return checker.offset(),
            }
        }
    }

    /// Feeds a checker of lines to the end of the stream.
    pub fn check_lines_to_end(&mut self, checker: &mut LineChecker) {
        loop {
            match self.read_some(256 * 1024) {
                Taken::Bytes(piece) => checker.feed(&piece),
                Taken::Nothing => {}
                Taken::End => return,
            }
        }
    }

    /// Reads and checks lines to their end from a thread; gives back how many there were of each writer.
    pub fn lines_in_background(path: impl AsRef<Path>) -> Background<BTreeMap<String, u64>> {
        let mut reader = FifoReader::open(path);
        Background::run(move || {
            let mut checker = LineChecker::new();
            reader.check_lines_to_end(&mut checker);
            checker.ended()
        })
    }

    /// Reads and checks a pattern of this length from a thread, then closes.
    pub fn in_background(path: impl AsRef<Path>, pattern: Pattern, bytes: u64) -> Background<()> {
        let mut reader = FifoReader::open(path);
        Background::run(move || reader.check_up_to(&mut Checker::new(pattern), bytes))
    }

    /// Reads and checks a pattern to its end from a thread; gives back its length.
    pub fn to_end_in_background(path: impl AsRef<Path>, pattern: Pattern) -> Background<u64> {
        let mut reader = FifoReader::open(path);
        Background::run(move || reader.check_to_end(&mut Checker::new(pattern)))
    }
}
