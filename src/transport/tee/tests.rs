//! Real pipes, and a kernel that may be told to refuse.

use std::cell::RefCell;
use std::os::fd::BorrowedFd;

use super::*;

mod random;
mod rig;

use rig::{Rig, in_runtime};

/// What becomes of one system call.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Passes,
    Fails(Errno),
    /// It says 0, and does nothing.
    Zero,
    /// It does no more than so much.
    Short(usize),
}

type Script = Box<dyn FnMut() -> Fate>;

thread_local! {
    static SCRIPT: RefCell<Script> = RefCell::new(Box::new(|| Fate::Passes));
}

/// Decides over each tee(2) and splice(2) of this thread's `Tee`s from here on.
fn script(fates: impl FnMut() -> Fate + 'static) {
    SCRIPT.set(Box::new(fates));
}

fn fated(most: usize, by: impl FnOnce(usize) -> io::Result<usize>) -> io::Result<usize> {
    match SCRIPT.with_borrow_mut(|fates| fates()) {
        Fate::Passes => by(most),
        Fate::Fails(errno) => Err(crate::sys::errno::io(errno)),
        Fate::Zero => Ok(0),
        Fate::Short(short) => by(most.min(short)),
    }
}

fn tee(from: BorrowedFd<'_>, to: BorrowedFd<'_>, most: usize) -> io::Result<usize> {
    fated(most, |most| pipe::tee(from, to, most))
}

fn splice(from: BorrowedFd<'_>, to: BorrowedFd<'_>, most: usize) -> io::Result<usize> {
    fated(most, |most| pipe::splice(from, to, most))
}

const SCRIPTED: Calls = Calls { tee, splice };

/// Only the call with this number, counted from 0, meets its fate.
fn only(number: usize, fate: Fate) {
    let mut made = 0;
    script(move || {
        made += 1;
        if made == number + 1 { fate } else { Fate::Passes }
    });
}

const ALL: usize = usize::MAX;

#[test]
fn a_round_brings_the_same_to_each() {
    in_runtime(async {
        let mut rig = Rig::new(1 << 16, &[1 << 16; 3]).await;
        rig.write(100_000).await;
        assert_eq!(rig.round(ALL), TeeMoved::Bytes(1 << 16));
        assert_eq!(rig.unread(), 0);
        assert_eq!(rig.round(ALL), TeeMoved::Busy(0));
        rig.flush(0);
        rig.flush(1);
        assert_eq!(rig.round(ALL), TeeMoved::Busy(2));
        rig.flush(2);
        assert_eq!(rig.round(ALL), TeeMoved::Nothing);
        rig.finish().await;
    });
}

#[test]
fn the_smallest_staging_pipe_and_the_caller_bound_a_round() {
    in_runtime(async {
        let mut rig = Rig::new(1 << 20, &[1 << 16, 5000, 1 << 18]).await;
        rig.write(200_000).await;
        assert_eq!(rig.round(ALL), TeeMoved::Bytes(4096));
        assert!((0..3).all(|i| rig.tee.ahead(i) == 0), "the smallest was not the first");
        rig.flush_all();
        assert_eq!(rig.round(7), TeeMoved::Bytes(7));
        rig.flush_all();
        assert_eq!(rig.round(0), TeeMoved::Nothing);
        rig.end(1);
        assert_eq!(rig.round(ALL), TeeMoved::Bytes((1 << 16) - 4096 + 4089));
        rig.finish().await;
    });
}

#[test]
fn bytes_that_stand_alone_take_a_slot_each() {
    in_runtime(async {
        let mut rig = Rig::new(1 << 20, &[1 << 16, 1 << 17]).await;
        rig.write_apart(40).await;
        for expected in [16, 16, 8] {
            assert_eq!(rig.round(ALL), TeeMoved::Bytes(expected));
            rig.flush_all();
            rig.read_all();
        }
        assert_eq!(rig.round(ALL), TeeMoved::Nothing);
        rig.finish().await;
    });
}

/// What is not there any more is waited for, and what is there is not.
#[test]
fn only_the_readiness_that_is_gone_is_cleared() {
    in_runtime(async {
        let mut rig = Rig::new(1 << 16, &[1 << 16; 2]).await;
        rig.tee.calls = SCRIPTED;
        for fate in [Fate::Fails(Errno::EAGAIN), Fate::Fails(Errno::ENOMEM)] {
            rig.write(20_000).await;
            script(move || fate);
            assert!(matches!(rig.round(ALL), TeeMoved::Refused(_)));
            assert!(rig.would_retry(None).await);
            script(|| Fate::Passes);
            assert_eq!(rig.round(10_000), TeeMoved::Bytes(10_000));
            rig.flush_all();
            assert!(rig.would_retry(None).await);
            assert_eq!(rig.round(ALL), TeeMoved::Bytes(10_000));
            rig.flush_all();
        }
        rig.write(40_000).await;
        assert_eq!(rig.round(ALL), TeeMoved::Bytes(40_000));
        rig.flush_all();
        // Its pipe is full now, and that is found with the next call.
        rig.flush_all();
        assert!(rig.tee.bytes(0) > 0);
        assert!(!rig.would_retry(Some(0)).await);
        rig.read_all();
        tokio::task::yield_now().await;
        assert!(rig.would_retry(Some(0)).await);
        rig.flush_all();
        assert_eq!(rig.round(ALL), TeeMoved::Nothing);
        assert!(!rig.would_retry(None).await);
        rig.write(1).await;
        assert!(rig.would_retry(None).await);
        rig.finish().await;
    });
}

#[test]
fn the_end_comes_behind_the_last_byte() {
    in_runtime(async {
        let mut rig = Rig::new(1 << 16, &[1 << 16; 2]).await;
        assert_eq!(rig.round(ALL), TeeMoved::Nothing);
        rig.write(10).await;
        rig.hang_up();
        rig.until_readable().await;
        assert_eq!(rig.round(ALL), TeeMoved::Bytes(10));
        assert_eq!(rig.round(ALL), TeeMoved::Busy(0));
        rig.flush_all();
        assert_eq!(rig.round(ALL), TeeMoved::End);
        assert!(!rig.tee.is_pending());
        rig.finish().await;
    });
}

#[test]
fn a_fifo_without_a_writer_yet_has_nothing() {
    in_runtime(async {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("fifo");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let flags = nix::fcntl::OFlag::O_RDONLY | nix::fcntl::OFlag::O_NONBLOCK;
        let read = nix::fcntl::open(&path, flags, nix::sys::stat::Mode::empty()).unwrap();
        let mut rig = Rig::new(1 << 16, &[1 << 16; 2]).await;
        rig.source = ReadEnd::new(read).unwrap();
        tokio::task::yield_now().await;
        assert_eq!(rig.round(ALL), TeeMoved::Nothing);
        let flags = nix::fcntl::OFlag::O_WRONLY | nix::fcntl::OFlag::O_NONBLOCK;
        rig.writer = Some(nix::fcntl::open(&path, flags, nix::sys::stat::Mode::empty()).unwrap());
        rig.write(5).await;
        assert_eq!(rig.round(ALL), TeeMoved::Bytes(5));
        rig.finish().await;
    });
}

#[test]
fn with_one_destination_left_and_with_none() {
    in_runtime(async {
        let mut rig = Rig::new(1 << 16, &[1 << 16; 2]).await;
        rig.write(100).await;
        assert_eq!(rig.round(60), TeeMoved::Bytes(60));
        assert_eq!(rig.end(0), 60);
        rig.flush_all();
        assert_eq!(rig.round(ALL), TeeMoved::Bytes(40));
        assert_eq!(rig.end(1), 40);
        rig.write(1).await;
        assert_eq!(rig.round(ALL), TeeMoved::Nothing);
        assert_eq!(rig.unread(), 1);
    });
}

#[test]
fn a_reader_that_leaves_leaves_the_bytes() {
    in_runtime(async {
        let mut rig = Rig::new(1 << 16, &[1 << 16; 2]).await;
        rig.write(3000).await;
        assert_eq!(rig.round(ALL), TeeMoved::Bytes(3000));
        rig.replace_reader(0).await;
        let (gone, gone_reader) = rig::destination();
        drop(gone_reader);
        tokio::task::yield_now().await;
        assert_eq!(rig.tee.flush(0, &gone), Moved::NoReader);
        assert_eq!(rig.tee.bytes(0), 3000);
        rig.finish().await;
    });
}

/// Between any two calls a round can stop, and go on.
#[test]
fn a_refused_round_goes_on_where_it_was() {
    in_runtime(async {
        for number in 0..3 {
            for errno in [Errno::ENOMEM, Errno::EINVAL, Errno::ENOSYS] {
                let mut rig = Rig::new(1 << 16, &[1 << 16; 3]).await;
                rig.tee.calls = SCRIPTED;
                rig.write(5000).await;
                only(number, Fate::Fails(errno));
                assert_eq!(rig.round(ALL), TeeMoved::Refused(errno));
                assert_eq!((rig.unread(), rig.tee.is_pending()), (5000, number > 0));
                // What comes meanwhile is of a later round.
                rig.write(70).await;
                let expected = if number > 0 { 5000 } else { 5070 };
                assert_eq!(rig.round(ALL), TeeMoved::Bytes(expected));
                assert!(!rig.tee.is_pending());
                rig.finish().await;
            }
        }
    });
}

/// Whatever happens while it stands still.
#[test]
fn a_refused_round_may_be_changed_or_abandoned() {
    in_runtime(async {
        for number in 0..3 {
            for change in 0..6 {
                let mut rig = Rig::new(1 << 16, &[1 << 16, 1 << 13, 1 << 17]).await;
                rig.tee.calls = SCRIPTED;
                if change == 5 {
                    rig.end(1);
                }
                rig.write(5000).await;
                only(number, Fate::Fails(Errno::ENOMEM));
                let first = rig.round(ALL);
                match change {
                    0 => rig.tee.abandon(),
                    1 | 2 if first != TeeMoved::Bytes(5000) => assert_eq!(rig.end(change), 0),
                    3 => rig.copy(1234),
                    // The caller may now have less.
                    4 => drop(rig.round(100)),
                    5 => rig.revive(1),
                    _ => {}
                }
                rig.flush_all();
                rig.finish().await;
            }
        }
    });
}

/// All that are left have their part, and nobody has taken it off the source.
#[test]
fn the_one_that_was_to_be_the_last_leaves() {
    in_runtime(async {
        let mut rig = Rig::new(1 << 16, &[1 << 16, 1 << 13, 1 << 17]).await;
        rig.tee.calls = SCRIPTED;
        rig.write(5000).await;
        only(2, Fate::Fails(Errno::ENOMEM));
        assert_eq!(rig.round(ALL), TeeMoved::Refused(Errno::ENOMEM));
        rig.end(2);
        assert_eq!(rig.round(ALL), TeeMoved::Bytes(5000));
        assert_eq!(rig.unread(), 0);
        rig.finish().await;
    });
}

#[test]
fn a_pending_round_is_not_completed_from_another_source() {
    in_runtime(async {
        let mut rig = Rig::new(1 << 16, &[1 << 16; 2]).await;
        rig.tee.calls = SCRIPTED;
        rig.write(500).await;
        only(1, Fate::Fails(Errno::ENOMEM));
        assert_eq!(rig.round(ALL), TeeMoved::Refused(Errno::ENOMEM));
        rig.replace_source().await;
        rig.write(300).await;
        assert_eq!(rig.round(ALL), TeeMoved::Bytes(300));
        rig.finish().await;
    });
}

/// Less than asked for ends the round with less; the others' surplus is never seen.
#[test]
fn a_short_call_shortens_the_round() {
    in_runtime(async {
        for number in 0..3 {
            let mut rig = Rig::new(1 << 16, &[1 << 16; 3]).await;
            rig.tee.calls = SCRIPTED;
            rig.write(5000).await;
            only(number, Fate::Short(1700));
            assert_eq!(rig.round(ALL), TeeMoved::Bytes(1700));
            assert_eq!(rig.unread(), 3300);
            rig.flush_all();
            assert_eq!(rig.round(ALL), TeeMoved::Bytes(3300));
            rig.finish().await;
        }
    });
}

#[test]
fn contradictions_are_a_refusal_in_the_end() {
    in_runtime(async {
        for (fate, errno) in [
            (Fate::Zero, Errno::EIO),
            (Fate::Fails(Errno::EAGAIN), Errno::EAGAIN),
            (Fate::Fails(Errno::EINTR), Errno::EAGAIN),
        ] {
            let mut rig = Rig::new(1 << 16, &[1 << 16; 2]).await;
            rig.tee.calls = SCRIPTED;
            rig.write(500).await;
            script(move || fate);
            assert_eq!(rig.round(ALL), TeeMoved::Refused(errno));
            only(0, fate);
            assert_eq!(rig.round(ALL), TeeMoved::Bytes(500));
            rig.finish().await;
        }
    });
}

#[test]
fn what_cannot_be_flushed_can_be_read() {
    in_runtime(async {
        let mut rig = Rig::new(1 << 16, &[1 << 16; 2]).await;
        rig.tee.calls = SCRIPTED;
        rig.write(500).await;
        assert_eq!(rig.round(ALL), TeeMoved::Bytes(500));
        script(|| Fate::Fails(Errno::EINVAL));
        rig.flush_all();
        assert_eq!(rig.tee.unstage(0, &mut [0; 8]).unwrap(), 0);
        rig.finish().await;
    });
}
