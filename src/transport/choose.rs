//! Copy or splice, by what is measured on the route.
//!
//! splice(2) moves whole pipe slots: a byte that is spliced by itself takes a slot of its own, so that sixteen of them
//! fill a 64 KiB pipe, and a small write gains nothing by it. Bulk gains twice the speed and a quarter of the CPU time.
//! So a route starts by copying, splices once its reads are bulky, and copies again once its splices are small.

use nix::errno::Errno;

use super::CHUNK;
use crate::model::{PathChoice, PathKind};

/// A read of so many bytes means that bulk stands in the source.
const BULKY: usize = CHUNK / 2;
/// A splice of fewer bytes than this gains nothing.
const SMALL: usize = CHUNK / 4;

/// How the next bytes are to be moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// By read(2) and write(2).
    Copy,
    /// By splice(2).
    Splice,
}

/// Which path a route takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chooser {
    wanted: PathChoice,
    now: Choice,
}

impl Chooser {
    /// `can_splice`: one source, one destination, no records, both ends pipes.
    #[must_use]
    pub fn new(wanted: PathChoice, can_splice: bool) -> Chooser {
        match wanted {
            PathChoice::Splice => Chooser {
                wanted,
                now: Choice::Splice,
            },
            PathChoice::Auto if can_splice => Chooser {
                wanted,
                now: Choice::Copy,
            },
            PathChoice::Auto | PathChoice::Copy => Chooser {
                wanted: PathChoice::Copy,
                now: Choice::Copy,
            },
        }
    }

    /// What to do next. Bytes that are queued in user space go first.
    #[must_use]
    pub fn next(&self) -> Choice {
        self.now
    }

    /// A copy moved so many bytes.
    pub fn copied(&mut self, bytes: usize) {
        if self.wanted == PathChoice::Auto && bytes >= BULKY {
            self.now = Choice::Splice;
        }
    }

    /// A splice moved so many bytes.
    pub fn spliced(&mut self, bytes: usize) {
        if self.wanted == PathChoice::Auto && bytes < SMALL {
            self.now = Choice::Copy;
        }
    }

    /// splice(2) failed. False: this route may not copy, and has to wait.
    pub fn refused(&mut self, errno: Errno) -> bool {
        if self.wanted == PathChoice::Splice {
            return false;
        }
        self.now = Choice::Copy;
        if !matches!(errno, Errno::ENOMEM | Errno::ENOBUFS) {
            // It will not work the next time either: copy for good.
            self.wanted = PathChoice::Copy;
        }
        true
    }

    /// Whether bytes may be held in user space at all beyond what one copy left over.
    #[must_use]
    pub fn queues(&self) -> bool {
        self.wanted == PathChoice::Copy
    }

    /// As shown.
    #[must_use]
    pub fn path(&self) -> PathKind {
        match self.now {
            Choice::Copy => PathKind::Copy,
            Choice::Splice => PathKind::Splice,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_follows_the_traffic() {
        let mut chooser = Chooser::new(PathChoice::Auto, true);
        assert_eq!(chooser.next(), Choice::Copy);
        chooser.copied(100);
        assert_eq!(chooser.next(), Choice::Copy);
        chooser.copied(BULKY);
        assert_eq!(chooser.next(), Choice::Splice);
        chooser.spliced(SMALL);
        assert_eq!(chooser.next(), Choice::Splice);
        chooser.spliced(SMALL - 1);
        assert_eq!(chooser.next(), Choice::Copy);
    }

    #[test]
    fn a_refusal_is_for_good_unless_memory_was_short() {
        let mut chooser = Chooser::new(PathChoice::Auto, true);
        chooser.copied(CHUNK);
        assert!(chooser.refused(Errno::ENOMEM));
        chooser.copied(CHUNK);
        assert_eq!(chooser.next(), Choice::Splice);
        assert!(chooser.refused(Errno::EINVAL));
        chooser.copied(CHUNK);
        assert_eq!(chooser.next(), Choice::Copy);
        assert!(chooser.queues());
    }

    #[test]
    fn splice_never_copies_and_copy_never_splices() {
        let mut splice = Chooser::new(PathChoice::Splice, true);
        splice.spliced(1);
        assert!(!splice.refused(Errno::EINVAL));
        assert_eq!(splice.next(), Choice::Splice);
        for (wanted, can) in [(PathChoice::Copy, true), (PathChoice::Auto, false)] {
            let mut copy = Chooser::new(wanted, can);
            copy.copied(CHUNK);
            assert_eq!(copy.next(), Choice::Copy);
        }
    }
}
