//! A larger pipe where bulk goes through.
//!
//! With the kernel's 64 KiB, who writes, who relays and who reads wake each other up for every 64 KiB. So the first bulky splice
//! makes the pipes on both sides larger. Pipes of idle and of trickling routes stay as they are: a pipe's capacity counts
//! against a limit of its user (pipe(7), pipe-user-pages-soft), and beyond that limit *every* new pipe of the user is of two
//! pages. Never more than half of the limit is taken, in sum, and as much by whoever needs no limit, since what stands in pipes is
//! memory of the kernel's.

use std::cell::Cell;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::sys::pipe;

/// The size that a pipe has when nobody has asked for another one. What has another size was given it by somebody.
const DEFAULT: u64 = 64 * 1024;
/// What is asked for, and the share of all that may be taken up to which it is: the first routes get much, the next ones some.
const WANTED: [(u64, u64); 2] = [(1024 * 1024, 2), (256 * 1024, 1)];
/// What an unprivileged user's pipes may have in sum, where it cannot be told.
const SOFT_PAGES: u64 = 16_384;
const PAGE: u64 = 4096;

/// Pages that all ends of this process have added to their pipes.
static ADDED: AtomicU64 = AtomicU64::new(0);

/// Whether an end's pipe was made larger. What that added is given back when the end is dropped.
#[derive(Debug, Default)]
pub(super) struct Growth {
    tried: Cell<bool>,
    /// Added.
    pages: Cell<u64>,
}

impl Growth {
    /// Of an end whose pipe keeps its size.
    pub fn none() -> Growth {
        Growth {
            tried: Cell::new(true),
            pages: Cell::new(0),
        }
    }

    /// Makes the pipe larger, if that was not tried before and can be had. What cannot be had is no trouble.
    pub fn grow(&self, end: impl AsFd) {
        if self.tried.replace(true) || pipe::size(&end).ok() != Some(DEFAULT) {
            return;
        }
        let most = pipe::soft_limit().unwrap_or(SOFT_PAGES) / 2;
        for (wanted, share) in WANTED {
            let pages = (wanted - DEFAULT) / PAGE;
            let sum = ADDED.fetch_add(pages, Ordering::Relaxed) + pages;
            if sum <= most / share && pipe::set_size(&end, wanted).is_ok() {
                self.pages.set(pages);
                return;
            }
            ADDED.fetch_sub(pages, Ordering::Relaxed);
        }
    }
}

impl Drop for Growth {
    fn drop(&mut self) {
        ADDED.fetch_sub(self.pages.get(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_pipe_of_the_default_size_grows_and_gives_back_what_it_took() {
        let (read, _write) = pipe::pair().unwrap();
        let growth = Growth::default();
        growth.grow(&read);
        let size = pipe::size(&read).unwrap();
        assert_eq!(growth.pages.get() * PAGE + DEFAULT, size);
        assert!(WANTED.iter().any(|(wanted, _)| *wanted == size));

        let (read, _write) = pipe::pair().unwrap();
        pipe::set_size(&read, 2 * DEFAULT).unwrap();
        Growth::default().grow(&read);
        assert_eq!(pipe::size(&read).unwrap(), 2 * DEFAULT);

        let (read, _write) = pipe::pair().unwrap();
        Growth::none().grow(&read);
        assert_eq!(pipe::size(&read).unwrap(), DEFAULT);
    }
}
