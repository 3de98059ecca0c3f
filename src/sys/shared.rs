//! A page of numbers in a file in memory: what is stored there is there for whoever opens the file next, even when this process
//! is killed between two instructions. mmap(2), memfd_create(2).

use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

use super::errno;
use super::execute::memory_file;

const BYTES: NonZeroUsize = NonZeroUsize::new(4096).unwrap();
/// How many numbers there are.
pub const SLOTS: usize = BYTES.get() / size_of::<u64>();

/// The page.
#[derive(Debug)]
pub struct Page {
    file: OwnedFd,
    at: NonNull<AtomicU64>,
}

// SAFETY: it is memory that is mapped until it is dropped, and is read and written by atomic operations alone.
unsafe impl Send for Page {}

impl Page {
    /// A new one, all zeros.
    pub fn make(name: &str) -> io::Result<Page> {
        let file = memory_file(name)?;
        file.set_len(BYTES.get() as u64)?;
        Page::open(file.into())
    }

    /// That of a file which somebody has made so.
    pub fn open(file: OwnedFd) -> io::Result<Page> {
        let stat = nix::sys::stat::fstat(&file).map_err(errno::io)?;
        // Beyond the end of a file there is nothing but SIGBUS.
        if usize::try_from(stat.st_size) != Ok(BYTES.get()) {
            let text = format!("{} bytes are no page of numbers", stat.st_size);
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: the kernel chooses an address that nobody has.
        let at = unsafe { mmap(None, BYTES, protection, MapFlags::MAP_SHARED, &file, 0) };
        let at = at.map_err(errno::io)?.cast();
        Ok(Page { file, at })
    }

    /// One of the numbers; 0 beyond the last.
    #[must_use]
    pub fn get(&self, slot: usize) -> u64 {
        self.slot(slot).map_or(0, |number| number.load(Ordering::SeqCst))
    }

    /// Sets one of the numbers, before anything that comes after it. Beyond the last it does nothing.
    pub fn set(&self, slot: usize, number: u64) {
        if let Some(there) = self.slot(slot) {
            there.store(number, Ordering::SeqCst);
        }
    }

    fn slot(&self, slot: usize) -> Option<&AtomicU64> {
        if slot >= SLOTS {
            return None;
        }
        // SAFETY: the mapping is SLOTS numbers long.
        let there = unsafe { self.at.add(slot) };
        // SAFETY: it is mapped, aligned as a page is, and lives as long as self; a number has no invalid values.
        Some(unsafe { there.as_ref() })
    }
}

impl AsFd for Page {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // SAFETY: it was mapped by `open`, and nobody has a reference into it that outlives self.
        let _ = unsafe { munmap(self.at.cast(), BYTES.get()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_is_there_for_whoever_opens_it_next() {
        let page = Page::make("test").unwrap();
        page.set(0, 7);
        page.set(SLOTS - 1, u64::MAX);
        page.set(SLOTS, 1);
        let other = Page::open(page.as_fd().try_clone_to_owned().unwrap()).unwrap();
        assert_eq!(
            (other.get(0), other.get(1), other.get(SLOTS - 1), other.get(SLOTS)),
            (7, 0, u64::MAX, 0)
        );
        drop(page);
        assert_eq!(other.get(0), 7);
        let short = memory_file("test").unwrap();
        assert!(Page::open(short.into()).is_err());
    }
}
