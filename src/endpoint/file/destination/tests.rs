//! A file goes on in the daemon's next life: not a byte is lost or written twice, and the counts are exact.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use nix::fcntl::OFlag;
use tempfile::TempDir;

use super::*;
use crate::endpoint::ends::testing::{in_runtime, next_destination, once, pipe, ready};
use crate::endpoint::file::target::Target;

const HIGH: u64 = 16384;

fn destination(path: &Path) -> FileDestination {
    FileDestination::new(path.to_owned(), HIGH, Some(b'\n'))
}

fn at(home: &TempDir) -> FileDestination {
    destination(&home.path().join("out"))
}

async fn opened(file: &mut FileDestination) -> WriteEnd {
    match ready(|cx| file.poll_open(cx)).await {
        Ok(DestinationOpening::Open(end)) => end,
        other => panic!("{other:?}"),
    }
}

async fn at_rest(file: &mut FileDestination) {
    ready(|cx| file.poll_freeze(cx)).await;
}

async fn upgraded(mut file: FileDestination) -> FileDestination {
    at_rest(&mut file).await;
    let new = destination(&file.path);
    next_destination(file, new)
}

async fn until(file: &mut FileDestination, is_so: impl Fn(&FileDestination) -> bool) {
    let changed = |cx: &mut Context<'_>| {
        while file.poll_progress(cx).is_ready() {}
        if is_so(file) { Poll::Ready(()) } else { Poll::Pending }
    };
    ready(changed).await;
}

async fn until_written(file: &mut FileDestination, bytes: u64) {
    until(file, |file| {
        file.written().is_some_and(|written| written.bytes >= bytes)
    })
    .await;
}

fn is_in_trouble(file: &FileDestination) -> bool {
    file.trouble().is_some_and(|trouble| trouble.contains("EBADF"))
}

fn text(home: &TempDir, name: &str) -> String {
    std::fs::read_to_string(home.path().join(name)).unwrap()
}

/// A relay of its own: it writes numbered lines of all lengths until told to stop, and has then what it wrote.
fn lines(end: &WriteEnd, stop: &Arc<AtomicBool>) -> JoinHandle<Vec<u8>> {
    let mut pipe = File::from(pipe::reopen(end.descriptor(), OFlag::O_WRONLY).unwrap());
    let stop = Arc::clone(stop);
    std::thread::spawn(move || {
        let mut all = Vec::new();
        for number in 0_usize.. {
            if stop.load(Ordering::SeqCst) {
                break;
            }
            let line = format!("{number}{}\n", "-".repeat(number * 7919 % 9000));
            pipe.write_all(line.as_bytes()).unwrap();
            all.extend_from_slice(line.as_bytes());
        }
        all
    })
}

/// At rest the count is what the file has.
async fn is_exact(file: &mut FileDestination) {
    at_rest(file).await;
    let length = std::fs::metadata(&file.path).unwrap().len();
    assert_eq!(file.written().unwrap().bytes, length);
}

/// The relay closes its end, and all is in the file.
async fn ends_with(mut file: FileDestination, end: WriteEnd, all: &[u8]) {
    until_written(&mut file, all.len() as u64).await;
    let records = memchr::memchr_iter(b'\n', all).count() as u64;
    let bytes = all.len() as u64;
    assert_eq!(file.written(), Some(Reached { bytes, records }));
    assert!(std::fs::read(&file.path).unwrap() == all, "not what was written");
    file.close(Some(end));
    let is_done = |file: &FileDestination| {
        let progress = file.progress.as_ref();
        progress.is_some_and(|progress| matches!(progress.outcome(), Outcome::Done))
    };
    until(&mut file, is_done).await;
}

#[test]
fn many_lives_under_full_traffic() {
    in_runtime(async {
        let home = tempfile::tempdir().unwrap();
        let mut file = at(&home);
        let end = opened(&mut file).await;
        let stop = Arc::new(AtomicBool::new(false));
        let writer = lines(&end, &stop);
        let mut grew = 0;
        for life in 0..200 {
            let before = file.written().unwrap().bytes;
            if life % 3 == 0 {
                until_written(&mut file, before + 1).await;
            }
            is_exact(&mut file).await;
            grew += usize::from(file.written().unwrap().bytes > before);
            file = upgraded(file).await;
            assert!(file.written().unwrap().bytes >= before, "it never falls");
        }
        assert!(grew >= 60, "{grew}");
        stop.store(true, Ordering::SeqCst);
        ends_with(file, end, &writer.join().unwrap()).await;
    });
}

#[test]
fn many_thaws_under_full_traffic() {
    in_runtime(async {
        let home = tempfile::tempdir().unwrap();
        let mut file = at(&home);
        let end = opened(&mut file).await;
        let stop = Arc::new(AtomicBool::new(false));
        let writer = lines(&end, &stop);
        for _ in 0..200 {
            is_exact(&mut file).await;
            let before = file.written().unwrap().bytes;
            file.thaw();
            until_written(&mut file, before + 1).await;
            // One that had not come to rest goes on, too.
            let _ = once(|cx| file.poll_freeze(cx));
            file.thaw();
        }
        stop.store(true, Ordering::SeqCst);
        ends_with(file, end, &writer.join().unwrap()).await;
    });
}

/// What stands in the staging pipe of a file that is just being opened is written by the next life.
#[test]
fn a_file_that_is_being_opened_is_opened_by_the_next_life() {
    in_runtime(async {
        let home = tempfile::tempdir().unwrap();
        let mut file = at(&home);
        let (read, write) = pipe();
        // Its thread never comes back from open(2).
        let read = Arc::new(read);
        file.staging = Arc::downgrade(&read);
        file.progress = Some(Arc::new(Progress::new(Some(b'\n'))));
        nix::unistd::write(&write, b"early\n").unwrap();
        file.state = State::Opening(WriteEnd::new(write).unwrap());
        let wanted = file.reopen();
        let mut file = upgraded(file).await;
        assert!(wanted.unwrap().await.unwrap().unwrap_err().text.contains("upgraded"));
        let end = opened(&mut file).await;
        ends_with(file, end, b"early\n").await;
    });
}

/// Opened, and not yet told to the relay.
#[test]
fn an_opening_is_told_once() {
    in_runtime(async {
        let home = tempfile::tempdir().unwrap();
        let mut file = upgraded(at(&home)).await;
        file.state = State::Opening(file.start().unwrap());
        let is_open = |file: &FileDestination| matches!(file.progress.as_ref().unwrap().outcome(), Outcome::Writing);
        until(&mut file, is_open).await;
        let mut file = upgraded(file).await;
        let end = opened(&mut file).await;
        let mut file = upgraded(file).await;
        assert!(once(|cx| file.poll_open(cx)).is_pending());
        nix::unistd::write(end.descriptor(), b"one\n").unwrap();
        ends_with(file, end, b"one\n").await;
    });
}

/// A disk that takes nothing. What is in hand goes from life to life, and into the file that takes the place of this one.
#[test]
fn what_a_disk_does_not_take_is_kept() {
    in_runtime(async {
        let home = tempfile::tempdir().unwrap();
        let mut file = at(&home);
        let (read, write) = pipe();
        nix::unistd::write(&write, b"torn\nrecord\n").unwrap();
        let read = Arc::new(read);
        let progress = Arc::new(Progress::new(Some(b'\n')));
        std::fs::write(&file.path, "be").unwrap();
        // Open for reading only: each write(2) fails.
        let old = File::open(&file.path).unwrap();
        let target = Target {
            file: old,
            device: false,
        };
        progress.go_on(target, true, None, "gun ".into());
        file.staging = Arc::downgrade(&read);
        file.progress = Some(Arc::clone(&progress));
        file.state = State::Lent;
        writer::go_on(&file.path, read, "gun ".into(), progress).unwrap();
        let end = WriteEnd::new(write).unwrap();
        for _ in 0..5 {
            until(&mut file, is_in_trouble).await;
            file = upgraded(file).await;
            assert_eq!(file.written(), Some(Reached::default()));
            assert!(is_in_trouble(&file));
        }
        std::fs::rename(home.path().join("out"), home.path().join("old")).unwrap();
        file.reopen().unwrap().await.unwrap().unwrap();
        ends_with(file, end, b"gun torn\nrecord\n").await;
        assert_eq!(text(&home, "old"), "be");
    });
}

/// The end of a record is waited for when the daemon is upgraded: the next life sees to it.
#[test]
fn a_file_that_was_to_be_opened_anew_is() {
    in_runtime(async {
        let home = tempfile::tempdir().unwrap();
        let mut file = at(&home);
        let end = opened(&mut file).await;
        nix::unistd::write(end.descriptor(), b"be").unwrap();
        until_written(&mut file, 2).await;
        std::fs::rename(home.path().join("out"), home.path().join("old")).unwrap();
        let wanted = file.reopen().unwrap();
        let mut file = upgraded(file).await;
        assert!(wanted.await.unwrap().unwrap_err().text.contains("upgraded"));
        // One that is asked for now is answered when both are done.
        let wanted = file.reopen().unwrap();
        nix::unistd::write(end.descriptor(), b"gin\n").unwrap();
        wanted.await.unwrap().unwrap();
        nix::unistd::write(end.descriptor(), b"on\n").unwrap();
        until_written(&mut file, 9).await;
        assert_eq!(
            (text(&home, "old"), text(&home, "out")),
            ("begin\n".into(), "on\n".into())
        );
        assert_eq!(file.written(), Some(Reached { bytes: 9, records: 2 }));
    });
}

#[test]
fn what_a_device_refused_is_told_in_the_next_life() {
    in_runtime(async {
        let mut file = destination(Path::new("/dev/full"));
        let end = opened(&mut file).await;
        nix::unistd::write(end.descriptor(), b"no room\n").unwrap();
        until(&mut file, |file| file.failure().is_some()).await;
        let mut file = upgraded(file).await;
        assert_eq!(file.failure().unwrap().errno, "ENOSPC");
        file.gone(end);
        let mut file = upgraded(file).await;
        let opening = once(|cx| file.poll_open(cx));
        assert!(matches!(&opening, Poll::Ready(Err(error)) if error.errno == "ENOSPC"));
        let mut file = upgraded(file).await;
        assert!(once(|cx| file.poll_open(cx)).is_pending());
        assert_eq!(file.written(), Some(Reached::default()));
    });
}

/// What is given up is not written by the next life; what was written before counts on.
#[test]
fn what_was_given_up_stays_so() {
    in_runtime(async {
        let home = tempfile::tempdir().unwrap();
        let mut file = at(&home);
        let end = opened(&mut file).await;
        nix::unistd::write(end.descriptor(), b"one\n").unwrap();
        until_written(&mut file, 4).await;
        at_rest(&mut file).await;
        nix::unistd::write(end.descriptor(), b"two\n").unwrap();
        file.abort();
        file.close(Some(end));
        let mut file = upgraded(file).await;
        assert!(once(|cx| file.poll_open(cx)).is_pending());
        file.revive();
        let mut file = upgraded(file).await;
        let end = opened(&mut file).await;
        nix::unistd::write(end.descriptor(), b"three\n").unwrap();
        until_written(&mut file, 10).await;
        assert_eq!(file.written(), Some(Reached { bytes: 10, records: 2 }));
        assert_eq!(text(&home, "out"), "one\nthree\n");
    });
}
