use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Wake;

use tempfile::TempDir;
use tokio::sync::oneshot;

use super::*;
use crate::endpoint::file::target;

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Open, and its writer is at work.
fn at_work(record_end: Option<u8>) -> (TempDir, Arc<Progress>) {
    let home = tempfile::tempdir().unwrap();
    let progress = Arc::new(Progress::new(record_end));
    progress.opened(open(home.path(), "old"));
    assert!(progress.may_read());
    (home, progress)
}

fn open(home: &Path, name: &str) -> Target {
    target::open(&home.join(name)).unwrap()
}

fn put_off() -> OpenError {
    OpenError::refused("not now", "EAGAIN")
}

fn freeze(progress: &Progress) -> (bool, Arc<Woken>) {
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let polled = progress.poll_freeze(&mut Context::from_waker(&waker), put_off());
    (polled.is_ready(), woken)
}

fn until(woken: &Woken) {
    while !woken.0.load(Ordering::SeqCst) {
        std::thread::yield_now();
    }
}

#[test]
fn a_write_is_waited_for_and_what_it_left_is_known() {
    let (_home, progress) = at_work(None);
    let begun = progress.begin(b"abcdef").unwrap();
    let (ready, woken) = freeze(&progress);
    assert!(!ready);
    progress.end(begun, b"ab", None);
    assert!(!woken.0.load(Ordering::SeqCst), "it has the rest in hand");
    let theirs = Arc::clone(&progress);
    let writer = std::thread::spawn(move || theirs.begin(b"cdef").map(|begun| begun.count));
    until(&woken);
    let resting = progress.resting();
    assert_eq!((&resting.rest[..], resting.written.bytes), (&b"cdef"[..], 2));
    assert!(resting.within);
    assert!(freeze(&progress).0, "asked again");
    progress.thaw();
    assert_eq!(writer.join().unwrap(), Some(4));
    assert!(!freeze(&progress).0, "it writes again");
}

#[test]
fn whoever_waits_for_bytes_is_at_rest_and_does_not_read() {
    let (_home, progress) = at_work(None);
    progress.waits();
    assert!(freeze(&progress).0);
    let theirs = Arc::clone(&progress);
    let reads = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&reads);
    let writer = std::thread::spawn(move || {
        let may_read = theirs.may_read();
        seen.store(true, Ordering::SeqCst);
        may_read
    });
    assert!(freeze(&progress).0);
    assert!(!reads.load(Ordering::SeqCst));
    progress.thaw();
    assert!(writer.join().unwrap());
}

#[test]
fn a_file_that_is_being_opened_is_not_waited_for() {
    let home = tempfile::tempdir().unwrap();
    let progress = Arc::new(Progress::new(None));
    assert!(freeze(&progress).0);
    progress.opened(open(home.path(), "a"));
    assert!(freeze(&progress).0);
    progress.over(Outcome::Done);
    assert!(freeze(&progress).0);
}

#[test]
fn a_pause_ends_and_its_chunk_is_known() {
    let (_home, progress) = at_work(Some(b'\n'));
    let begun = progress.begin(b"one\ntwo\n").unwrap();
    let swaps = begun.swaps;
    progress.end(begun, &[], Some("no space left".into()));
    let theirs = Arc::clone(&progress);
    let writer = std::thread::spawn(move || {
        let paused = theirs.pause(Duration::from_secs(600), swaps);
        assert_eq!(paused, Paused::Frozen);
        theirs.begin(b"one\ntwo\n").is_some()
    });
    let (ready, woken) = freeze(&progress);
    if !ready {
        until(&woken);
    }
    let resting = progress.resting();
    assert_eq!(&resting.rest[..], b"one\ntwo\n");
    assert_eq!(resting.written, Reached::default());
    assert_eq!(resting.trouble.as_deref(), Some("no space left"));
    progress.stop();
    assert!(!writer.join().unwrap(), "a stop ends the rest, too");
    assert_eq!(progress.written().bytes, 0, "nothing was in the hands of a write");
}

#[test]
fn no_file_takes_the_place_of_another_at_rest() {
    let (home, progress) = at_work(Some(b'\n'));
    progress.waits();
    let (answer, mut before) = oneshot::channel();
    assert!(progress.ask(answer));
    let number = progress.next_asked().unwrap();
    assert!(freeze(&progress).0);
    assert_eq!(before.try_recv().unwrap().unwrap_err().text, "not now");
    let (answer, mut meanwhile) = oneshot::channel();
    assert!(!progress.ask(answer));
    assert_eq!(meanwhile.try_recv().unwrap().unwrap_err().text, "not now");
    let old = progress.resting().target.unwrap();
    progress.offer(open(home.path(), "new"), number);
    let resting = progress.resting();
    assert!(Arc::ptr_eq(&resting.target.unwrap(), &old) && resting.reopens);
    progress.thaw();
    let resting = progress.resting();
    assert!(!Arc::ptr_eq(&resting.target.unwrap(), &old), "it was only put off");
    assert!(!resting.reopens);
}

#[test]
fn the_next_writer_has_its_rest_before_it_begins() {
    let home = tempfile::tempdir().unwrap();
    let progress = Progress::new(Some(b'\n'));
    let rest = Bytes::from_static(b"rest\n");
    progress.go_on(open(home.path(), "a"), true, Some("full".into()), rest.clone());
    assert!(freeze(&progress).0);
    let resting = progress.resting();
    assert!(resting.within && resting.trouble.is_some());
    assert_eq!(resting.rest, rest);
}
