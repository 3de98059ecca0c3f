//! A peer's reading and writing, straight on its descriptors.

use std::fs::OpenOptions;
use std::io::{Seek, SeekFrom};
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::fcntl::{SpliceFFlags, splice};
use nix::unistd::{read, write};

use super::Stop;

/// Writes all of it to stdout or stderr.
pub(super) fn put(descriptor: i32, mut bytes: &[u8]) -> Result<(), Stop> {
    while !bytes.is_empty() {
        let written = if descriptor == nix::libc::STDERR_FILENO {
            write(std::io::stderr().as_fd(), bytes)
        } else {
            write(std::io::stdout().as_fd(), bytes)
        };
        match written {
            Ok(count) => bytes = &bytes[count..],
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

/// One write(2) to stdout; how much it took.
pub(super) fn put_some(bytes: &[u8]) -> Result<usize, Stop> {
    loop {
        match write(std::io::stdout().as_fd(), bytes) {
            Err(Errno::EINTR) => {}
            result => return Ok(result?),
        }
    }
}

fn some(buffer: &mut [u8]) -> Result<usize, Stop> {
    loop {
        match read(std::io::stdin().as_fd(), buffer) {
            Err(Errno::EINTR) => {}
            result => return Ok(result?),
        }
    }
}

/// Reads exactly `count` bytes from stdin, giving each piece with its offset to `look`.
pub(super) fn take_exactly(count: u64, mut look: impl FnMut(u64, &[u8]) -> Result<(), Stop>) -> Result<(), Stop> {
    let mut buffer = vec![0; 65536];
    let mut done = 0;
    while done < count {
        let limit = (count - done).min(buffer.len() as u64) as usize;
        match some(&mut buffer[..limit])? {
            0 => return Err(Stop::Failed(format!("stdin ended after {done} of {count} bytes"))),
            got => {
                look(done, &buffer[..got])?;
                done += got as u64;
            }
        }
    }
    Ok(())
}

/// Reads stdin to its end, giving each piece to `look`.
pub(super) fn each_piece(mut look: impl FnMut(&[u8]) -> Result<(), Stop>) -> Result<(), Stop> {
    let mut buffer = vec![0; 65536];
    loop {
        match some(&mut buffer)? {
            0 => return Ok(()),
            got => look(&buffer[..got])?,
        }
    }
}

/// Reads stdin to its end, and says how much it was.
pub(super) fn sink() -> Result<u64, Stop> {
    let mut total = 0;
    each_piece(|piece| {
        total += piece.len() as u64;
        Ok(())
    })?;
    Ok(total)
}

/// stdin to stdout, to its end.
pub(super) fn cat() -> Result<(), Stop> {
    each_piece(|piece| put(nix::libc::STDOUT_FILENO, piece))
}

/// The same by splice(2): a kill leaves a byte in the one pipe or in the other, never between.
pub(super) fn pass() -> Result<(), Stop> {
    let (stdin, stdout) = (std::io::stdin(), std::io::stdout());
    loop {
        match splice(stdin.as_fd(), None, stdout.as_fd(), None, 65536, SpliceFFlags::empty()) {
            Ok(0) => return Ok(()),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Appends stdin to a file in one call for each piece: a kill leaves a byte in the pipe or in the file, never between.
pub(super) fn record(path: &str, count: u64) -> Result<(), Stop> {
    let mut left = count;
    record_pieces(path, |got| {
        left -= got;
        left.min(65536)
    })
}

/// The same, with a pause after each piece.
pub(super) fn record_slowly(path: &str, chunk: u64, mut pause: impl FnMut()) -> Result<(), Stop> {
    record_pieces(path, |got| {
        if got > 0 {
            pause();
        }
        chunk
    })
}

/// `next` is told how much came, 0 at the beginning, and says how much to ask for; 0 is the end.
fn record_pieces(path: &str, mut next: impl FnMut(u64) -> u64) -> Result<(), Stop> {
    // splice(2) refuses O_APPEND.
    let mut file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
    file.seek(SeekFrom::End(0))?;
    let stdin = std::io::stdin();
    let mut limit = next(0) as usize;
    while limit > 0 {
        match splice(stdin.as_fd(), None, file.as_fd(), None, limit, SpliceFFlags::empty()) {
            Ok(0) => return Ok(()),
            Ok(got) => limit = next(got as u64) as usize,
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}
