//! What a FIFO source knows goes on in the daemon's next life.

use std::path::Path;

use nix::unistd::write;
use tempfile::TempDir;

use super::*;
use crate::endpoint::ends::testing::{in_runtime, next_source, once, surroundings};
use crate::model::Owner;
use crate::transport::Took;

fn spec(home: &TempDir, create: bool) -> FifoSpec {
    FifoSpec {
        path: home.path().join("in"),
        create,
        mode: 0o600,
        owner: Owner::default(),
        pipe_size: None,
    }
}

fn source(home: &TempDir, on_eof: OnEof) -> FifoSource {
    FifoSource::new(spec(home, true), on_eof, "the source".into(), surroundings())
}

fn next(old: FifoSource) -> FifoSource {
    let (spec, on_eof, place) = (old.spec.clone(), old.on_eof, old.place.clone());
    next_source(old, FifoSource::new(spec, on_eof, place, surroundings()))
}

fn open(source: &mut FifoSource) -> ReadEnd {
    match once(|cx| source.poll_open(cx)) {
        Poll::Ready(Ok(SourceOpening::Open(end))) => end,
        other => panic!("{other:?}"),
    }
}

fn writer(home: &TempDir) -> OwnedFd {
    fifo::find(&home.path().join("in")).unwrap().open_write().unwrap()
}

/// As the relay packs its end.
fn same(end: ReadEnd) -> ReadEnd {
    let copy = end.descriptor().try_clone().unwrap();
    drop(end);
    ReadEnd::new(copy).unwrap()
}

async fn take(end: &ReadEnd) -> (Took, String) {
    tokio::task::yield_now().await;
    let mut buffer = [0; 64];
    let took = end.read(&mut buffer).unwrap();
    let count = if let Took::Bytes(count) = took { count } else { 0 };
    (took, String::from_utf8_lossy(&buffer[..count]).into_owned())
}

#[test]
fn what_stands_in_it_and_its_end_are_read_in_the_next_life() {
    in_runtime(async {
        let home = tempfile::tempdir().unwrap();
        let mut first = source(&home, OnEof::Reopen);
        let end = open(&mut first);
        let theirs = writer(&home);
        write(&theirs, b"last words").unwrap();
        drop(theirs);
        // The same description knows that there was a writer, and that it has left.
        let (mut second, end) = (next(first), same(end));
        assert!(once(|cx| second.poll_open(cx)).is_pending(), "the relay has it");
        assert_eq!(take(&end).await.1, "last words");
        assert_eq!(take(&end).await.0, Took::End);
        second.at_end(end);
        let mut third = next(second);
        let end = open(&mut third);
        assert_eq!(take(&end).await.0, Took::Nothing);
        write(writer(&home), b"more").unwrap();
        assert_eq!(take(&end).await.1, "more");
    });
}

/// Between the end of file and the new opening somebody has written: that stands in the FIFO as long as an end is open.
#[test]
fn what_was_written_between_the_lives_is_not_lost() {
    in_runtime(async {
        let home = tempfile::tempdir().unwrap();
        let mut first = source(&home, OnEof::Reopen);
        let end = open(&mut first);
        drop(writer(&home));
        assert_eq!(take(&end).await.0, Took::End);
        first.at_end(end);
        write(writer(&home), b"between").unwrap();
        let mut second = next(first);
        assert_eq!(take(&open(&mut second)).await.1, "between");
    });
}

#[test]
fn with_close_its_end_is_its_end() {
    in_runtime(async {
        let home = tempfile::tempdir().unwrap();
        let mut first = source(&home, OnEof::Close);
        let end = open(&mut first);
        first.at_end(end);
        let mut second = next(first);
        let opening = once(|cx| second.poll_open(cx));
        assert!(matches!(opening, Poll::Ready(Ok(SourceOpening::Ended))));
        let mut third = next(second);
        assert!(once(|cx| third.poll_open(cx)).is_pending());
        third.revive();
        let _end = open(&mut next(third));
    });
}

#[test]
fn with_hold_there_is_no_end() {
    in_runtime(async {
        let home = tempfile::tempdir().unwrap();
        let mut first = source(&home, OnEof::Hold);
        let end = open(&mut first);
        let (mut second, end) = (next(first), same(end));
        drop(writer(&home));
        assert_eq!(take(&end).await.0, Took::Nothing);
        second.close();
        let _third = next(second);
        assert_eq!(take(&end).await.0, Took::End, "a closed one holds nothing");
    });
}

#[test]
fn it_is_still_in_use() {
    in_runtime(async {
        let home = tempfile::tempdir().unwrap();
        let mut first = source(&home, OnEof::Reopen);
        let _end = open(&mut first);
        let second = next(first);
        let identity = second.claim.as_ref().unwrap().identity();
        let other = second.around.taken.claim(identity, "the other");
        assert_eq!(other.unwrap_err(), "the source");
        let mut unpacked = FifoSource::new(spec(&home, true), OnEof::Reopen, "twice".into(), second.around.clone());
        let mut parcel = Parcel::default();
        let packed = second.pack(&mut parcel).unwrap();
        let error = unpacked.unpack(packed, &mut Unpacking::default()).unwrap_err();
        assert!(error.to_string().contains("in use by the source"), "{error}");
    });
}

#[test]
fn what_is_not_there_is_still_looked_for() {
    in_runtime(async {
        let home = tempfile::tempdir().unwrap();
        let first = FifoSource::new(spec(&home, false), OnEof::Reopen, "it".into(), surroundings());
        let mut first = next(first);
        let opening = once(|cx| first.poll_open(cx));
        assert!(matches!(opening, Poll::Ready(Ok(SourceOpening::Waits))));
        let mut second = next(first);
        assert!(second.trouble().unwrap().contains("not there yet"));
        assert!(once(|cx| second.poll_open(cx)).is_pending(), "that was told");
        let path: &Path = &home.path().join("in");
        fifo::make(path, 0o600, None, None).unwrap();
        let _end = open(&mut next(second));
    });
}
