//! A larger pipe where bulk goes through.
//!
//! With the kernel's 64 KiB, who writes, who relays and who reads wake each other up for every 64 KiB. So the first bulky splice
//! makes the pipes on both sides larger. Pipes of idle and of trickling routes stay as they are: a pipe's capacity counts
//! against a limit of its user (pipe(7), pipe-user-pages-soft), and beyond that limit *every* new pipe of the user is of two
//! pages. Half of the limit is shared evenly by all ends that bulk goes through, so that no route is faster for having
//! been first; also where the user needs no limit, since what stands in pipes is memory of the kernel's.

use std::cell::{Cell, OnceCell};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use crate::sys::pipe;

/// The size that a pipe has when nobody has asked for another one. What has another size was given it by somebody.
const DEFAULT: u64 = 64 * 1024;
/// The most that is asked for.
const LARGEST: u64 = 1024 * 1024;
/// What an unprivileged user's pipes may have in sum, where it cannot be told.
const SOFT_PAGES: u64 = 16_384;
const PAGE: u64 = 4096;
/// An end looks again at how many there are after so many calls that moved bulk.
const AGAIN: u32 = 16;

/// Ends of this process that bulk goes through.
static ENDS: AtomicU64 = AtomicU64::new(0);
/// Pages that they have added to their pipes.
static ADDED: AtomicU64 = AtomicU64::new(0);

/// How large an end's pipe was made. What that added is given back when the end is dropped: a FIFO that somebody else has
/// open outlives it.
#[derive(Debug, Default)]
pub struct Growth {
    /// Its pipe keeps its size.
    fixed: Cell<bool>,
    calls: Cell<u32>,
    /// Of its pipe, once it is one of those that share.
    size: Cell<Option<u64>>,
    /// The same end, from then on.
    end: OnceCell<Arc<OwnedFd>>,
}

/// What an end takes into the daemon's next life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedGrowth {
    fixed: bool,
    size: Option<u64>,
}

impl Growth {
    /// Of an end whose pipe keeps its size.
    pub(super) fn none() -> Growth {
        let growth = Growth::default();
        growth.fixed.set(true);
        growth
    }

    /// Bulk went through: makes the pipe as large as its share, now and then. What cannot be had is no trouble.
    pub(super) fn grow(&self, end: &Arc<OwnedFd>) {
        let calls = self.calls.replace(self.calls.get().wrapping_add(1));
        if self.fixed.get() || !calls.is_multiple_of(AGAIN) {
            return;
        }
        let size = match self.size.get() {
            Some(size) => size,
            None if pipe::size(end).ok() == Some(DEFAULT) => {
                ENDS.fetch_add(1, Ordering::Relaxed);
                self.end.get_or_init(|| Arc::clone(end));
                DEFAULT
            }
            // Somebody has asked for that.
            None => return self.fixed.set(true),
        };
        self.size.set(Some(self.resize(end, size)));
    }

    /// For the next life.
    #[must_use]
    pub fn saved(&self) -> SavedGrowth {
        SavedGrowth {
            fixed: self.fixed.get(),
            size: self.size.get(),
        }
    }

    /// As it was in the last life, for an end of the same pipe.
    #[must_use]
    pub fn restored(saved: SavedGrowth) -> Growth {
        let growth = Growth::default();
        growth.fixed.set(saved.fixed);
        if let Some(size) = saved.size {
            ENDS.fetch_add(1, Ordering::Relaxed);
            ADDED.fetch_add(added(size), Ordering::Relaxed);
            growth.size.set(Some(size));
        }
        growth
    }

    /// Gives back what was added, if there is no more in the pipe than the kernel's default holds. What cannot be given back
    /// is for the next end of the same pipe.
    pub(super) fn part(&self) -> Growth {
        let next = Growth::default();
        next.fixed.set(self.fixed.get());
        if !self.shrink() {
            next.size.set(self.size.take());
        }
        next
    }

    /// False when the kernel refuses it (EBUSY). The end counts as long as this is not dropped.
    fn shrink(&self) -> bool {
        match (self.size.get(), self.end.get()) {
            (Some(size), Some(end)) if size > DEFAULT => {
                let done = pipe::set_size(end, DEFAULT).is_ok();
                if done {
                    ADDED.fetch_sub(added(size), Ordering::Relaxed);
                    self.size.set(Some(DEFAULT));
                }
                done
            }
            _ => true,
        }
    }

    /// Of this end from now on.
    pub(super) fn of(self, end: &Arc<OwnedFd>) -> Growth {
        if self.size.get().is_some() {
            self.end.get_or_init(|| Arc::clone(end));
        }
        self
    }

    fn resize(&self, end: impl AsFd, size: u64) -> u64 {
        let most = pipe::soft_limit().unwrap_or(SOFT_PAGES) / 2;
        let wanted = share(most, ENDS.load(Ordering::Relaxed));
        let (before, after) = (added(size), added(wanted));
        let sum = ADDED.fetch_add(after, Ordering::Relaxed) + after;
        // Less is refused while more stands in it (EBUSY), and more where the user has too much: another time.
        let done = wanted != size && (after < before || sum - before <= most) && pipe::set_size(end, wanted).is_ok();
        ADDED.fetch_sub(if done { before } else { after }, Ordering::Relaxed);
        if done { wanted } else { size }
    }
}

fn added(size: u64) -> u64 {
    size.saturating_sub(DEFAULT) / PAGE
}

/// Of so many pages for so many ends: a power of two in bytes.
fn share(pages: u64, ends: u64) -> u64 {
    let each = pages * PAGE / ends.max(1);
    1 << each.clamp(DEFAULT, LARGEST).ilog2()
}

impl Drop for Growth {
    fn drop(&mut self) {
        self.shrink();
        let Some(size) = self.size.get() else { return };
        ENDS.fetch_sub(1, Ordering::Relaxed);
        ADDED.fetch_sub(added(size), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_have_as_much_and_no_more_than_there_is() {
        let shares = [0, 1, 32, 33, 64, 200, 512, 513, 10_000].map(|ends| share(8192, ends) / 1024);
        assert_eq!(shares, [1024, 1024, 1024, 512, 512, 128, 64, 64, 64]);
    }

    #[test]
    fn only_a_pipe_of_the_default_size_grows_and_shrinks_again() {
        let pair = || pipe::pair().map(|(read, write)| (Arc::new(read), write)).unwrap();
        let (read, _write) = pair();
        // An execve(2) drops nothing.
        let growth = std::mem::ManuallyDrop::new(Growth::default());
        growth.grow(&read);
        let size = pipe::size(&read).unwrap();
        assert_eq!(growth.size.get(), Some(size));
        assert!((DEFAULT..=LARGEST).contains(&size));
        ENDS.fetch_add(1_000_000, Ordering::Relaxed);
        (0..AGAIN).for_each(|_| growth.grow(&read));
        assert_eq!(pipe::size(&read).unwrap(), DEFAULT);
        ENDS.fetch_sub(1_000_000, Ordering::Relaxed);

        // What goes over into another life is given back there.
        (0..AGAIN).for_each(|_| growth.grow(&read));
        let grown = pipe::size(&read).unwrap();
        let next = Growth::restored(growth.saved()).of(&read);
        assert_eq!(next.saved(), growth.saved());
        assert!(grown > DEFAULT);
        drop(next);
        assert_eq!(pipe::size(&read).unwrap(), DEFAULT);

        // What stands in it goes on with the pipe, and so does the size.
        let (read, write) = pair();
        let growth = Growth::default();
        growth.grow(&read);
        nix::unistd::write(&write, &[0; 100_000]).unwrap();
        let next = growth.part();
        drop(growth);
        assert!(pipe::size(&read).unwrap() > DEFAULT);
        let next = next.of(&read);
        assert_eq!(next.saved().size, Some(pipe::size(&read).unwrap()));
        nix::unistd::read(&*read, &mut [0; 100_000]).unwrap();
        drop(next.part());
        assert_eq!(
            (next.saved().size, pipe::size(&read).unwrap()),
            (Some(DEFAULT), DEFAULT)
        );

        let (read, _write) = pair();
        pipe::set_size(&read, 2 * DEFAULT).unwrap();
        Growth::default().grow(&read);
        assert_eq!(pipe::size(&read).unwrap(), 2 * DEFAULT);

        let (read, _write) = pair();
        Growth::none().grow(&read);
        assert_eq!(pipe::size(&read).unwrap(), DEFAULT);
    }
}
