//! Copy, or splice or tee, by what is measured on the route.
//!
//! splice(2) moves whole pipe slots: a byte that is spliced by itself takes a slot of its own, so that sixteen of them
//! fill a 64 KiB pipe, and a small write gains nothing by it. Bulk gains twice the speed and a quarter of the CPU time.
//! So a route starts by copying, splices once its reads are bulky, and copies again once its splices are small. Rounds of
//! tee(2) are like splices in that.

use nix::errno::Errno;
use serde::{Deserialize, Serialize};

use super::{BULKY, CHUNK};
use crate::model::{PathChoice, PathKind};

/// A splice of fewer bytes than this gains nothing.
const SMALL: usize = CHUNK / 4;

/// How the next bytes are to be moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Choice {
    /// By read(2) and write(2).
    Copy,
    /// By splice(2).
    Splice,
    /// By rounds of tee(2) and splice(2).
    Tee,
}

/// Which fast path a route's ends and settings allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fast {
    /// None: the bytes are looked into, mixed or dropped, or an end is no pipe.
    No,
    /// One source, one destination, no records, both ends pipes.
    Splice,
    /// The same with several destinations, each of which blocks.
    Tee,
}

/// Which path a route takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chooser {
    wanted: PathChoice,
    fast: Choice,
    now: Choice,
}

impl Chooser {
    /// A route with `path = "splice"` is told that it cannot be when its config is read, so that `fast` is not `No` then.
    #[must_use]
    pub fn new(wanted: PathChoice, fast: Fast) -> Chooser {
        let wanted = match (wanted, fast) {
            (PathChoice::Auto, Fast::No) => PathChoice::Copy,
            _ => wanted,
        };
        let fast = match fast {
            Fast::No | Fast::Splice => Choice::Splice,
            Fast::Tee => Choice::Tee,
        };
        let now = match wanted {
            PathChoice::Splice => fast,
            PathChoice::Auto | PathChoice::Copy => Choice::Copy,
        };
        Chooser { wanted, fast, now }
    }

    /// What to do next. Bytes that are queued in user space go first.
    #[must_use]
    pub fn next(&self) -> Choice {
        self.now
    }

    /// A copy moved so many bytes.
    pub fn copied(&mut self, bytes: usize) {
        if self.wanted == PathChoice::Auto && bytes >= BULKY {
            self.now = self.fast;
        }
    }

    /// A splice, or a round of tee, moved so many bytes.
    pub fn spliced(&mut self, bytes: usize) {
        if self.wanted == PathChoice::Auto && bytes < SMALL {
            self.now = Choice::Copy;
        }
    }

    /// splice(2) or tee(2) failed, or there was no staging pipe to be had. False: this route may not copy, and has to wait.
    pub fn refused(&mut self, errno: Errno) -> bool {
        if self.wanted == PathChoice::Splice {
            return false;
        }
        self.now = Choice::Copy;
        if !matches!(errno, Errno::ENOMEM | Errno::ENOBUFS | Errno::EMFILE | Errno::ENFILE) {
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
            Choice::Tee => PathKind::Tee,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAST: [(Fast, Choice, PathKind); 2] = [
        (Fast::Splice, Choice::Splice, PathKind::Splice),
        (Fast::Tee, Choice::Tee, PathKind::Tee),
    ];

    #[test]
    fn auto_follows_the_traffic() {
        for (fast, choice, shown) in FAST {
            let mut chooser = Chooser::new(PathChoice::Auto, fast);
            assert_eq!((chooser.next(), chooser.path()), (Choice::Copy, PathKind::Copy));
            chooser.copied(100);
            assert_eq!(chooser.next(), Choice::Copy);
            chooser.copied(BULKY);
            assert_eq!((chooser.next(), chooser.path()), (choice, shown));
            chooser.spliced(SMALL);
            assert_eq!(chooser.next(), choice);
            chooser.spliced(SMALL - 1);
            assert_eq!(chooser.next(), Choice::Copy);
            assert!(!chooser.queues());
        }
    }

    #[test]
    fn a_refusal_is_for_good_unless_something_was_short() {
        for (fast, choice, _) in FAST {
            let mut chooser = Chooser::new(PathChoice::Auto, fast);
            for short in [Errno::ENOMEM, Errno::ENOBUFS, Errno::EMFILE, Errno::ENFILE] {
                chooser.copied(CHUNK);
                assert_eq!(chooser.next(), choice);
                assert!(chooser.refused(short));
                assert_eq!(chooser.next(), Choice::Copy);
            }
            assert!(!chooser.queues());
            assert!(chooser.refused(Errno::EINVAL));
            chooser.copied(CHUNK);
            assert_eq!(chooser.next(), Choice::Copy);
            assert!(chooser.queues());
        }
    }

    #[test]
    fn splice_never_copies_and_copy_never_splices() {
        for (fast, choice, _) in FAST {
            let mut splice = Chooser::new(PathChoice::Splice, fast);
            splice.spliced(1);
            assert!(!splice.refused(Errno::EINVAL));
            assert_eq!(splice.next(), choice);
            let mut copy = Chooser::new(PathChoice::Copy, fast);
            copy.copied(CHUNK);
            assert_eq!(copy.next(), Choice::Copy);
        }
        let mut copy = Chooser::new(PathChoice::Auto, Fast::No);
        copy.copied(CHUNK);
        assert_eq!(copy.next(), Choice::Copy);
        assert!(copy.queues());
    }
}
