//! What a FIFO destination knows goes on in the daemon's next life.

use nix::unistd::{read, write};
use tempfile::TempDir;

use super::*;
use crate::endpoint::ends::testing::{in_runtime, next_destination, once, ready, surroundings};
use crate::model::Owner;
use crate::sys::fifo;

fn destination(home: &TempDir) -> FifoDestination {
    let spec = FifoSpec {
        path: home.path().join("out"),
        create: true,
        mode: 0o600,
        owner: Owner::default(),
        pipe_size: None,
    };
    FifoDestination::new(spec, "the destination".into(), surroundings())
}

fn next(old: FifoDestination) -> FifoDestination {
    let (spec, place) = (old.spec.clone(), old.place.clone());
    next_destination(old, FifoDestination::new(spec, place, surroundings()))
}

fn reader(home: &TempDir) -> OwnedFd {
    fifo::find(&home.path().join("out")).unwrap().open_read().unwrap()
}

fn awaits_reader(destination: &mut FifoDestination) -> bool {
    match once(|cx| destination.poll_open(cx)) {
        Poll::Ready(Ok(DestinationOpening::AwaitsReader)) => true,
        Poll::Pending => false,
        other => panic!("{other:?}"),
    }
}

fn open(destination: &mut FifoDestination) -> WriteEnd {
    match once(|cx| destination.poll_open(cx)) {
        Poll::Ready(Ok(DestinationOpening::Open(end))) => end,
        other => panic!("{other:?}"),
    }
}

fn text(reader: &OwnedFd) -> String {
    let mut buffer = [0; 64];
    let count = read(reader, &mut buffer).unwrap();
    String::from_utf8_lossy(&buffer[..count]).into_owned()
}

#[test]
fn what_stands_unread_waits_for_the_next_reader() {
    in_runtime(async {
        let home = tempfile::tempdir().unwrap();
        let mut first = destination(&home);
        assert!(awaits_reader(&mut first));
        let theirs = reader(&home);
        let end = open(&mut first);
        write(end.descriptor(), b"unread").unwrap();
        let mut second = next(first);
        assert!(!awaits_reader(&mut second), "the relay has it");
        drop(theirs);
        assert_eq!(second.gone(end), 0);
        let mut third = next(second);
        assert_eq!((third.unread(), third.waits_by()), (6, Some("polling")));
        assert!(!awaits_reader(&mut third), "that was told");
        assert_eq!(third.waits_by(), Some("inotify"));
        let theirs = reader(&home);
        let _end = open(&mut third);
        assert_eq!(text(&theirs), "unread");
    });
}

/// A reader that came between the lives is seen at the first look, and one that comes then wakes it.
#[test]
fn a_reader_is_seen_whenever_it_comes() {
    in_runtime(async {
        let home = tempfile::tempdir().unwrap();
        let mut first = destination(&home);
        assert!(awaits_reader(&mut first));
        let theirs = reader(&home);
        let mut second = next(first);
        let end = open(&mut second);
        drop(theirs);
        second.gone(end);
        let mut third = next(second);
        assert!(!awaits_reader(&mut third));
        let opening = tokio::task::spawn_local(async move {
            let opening = ready(|cx| third.poll_open(cx)).await;
            assert!(matches!(opening, Ok(DestinationOpening::Open(_))), "{opening:?}");
        });
        tokio::task::yield_now().await;
        let _theirs = reader(&home);
        opening.await.unwrap();
    });
}

#[test]
fn it_is_still_in_use_until_it_is_closed() {
    in_runtime(async {
        let home = tempfile::tempdir().unwrap();
        let mut first = destination(&home);
        assert!(awaits_reader(&mut first));
        let mut second = next(first);
        let identity = second.claim.as_ref().unwrap().identity();
        let other = second.around.taken.claim(identity, "the other");
        assert_eq!(other.unwrap_err(), "the destination");
        second.close(None);
        let mut third = next(second);
        assert!(third.around.taken.claim(identity, "the other").is_ok());
        assert!(!awaits_reader(&mut third));
        third.revive();
        assert!(awaits_reader(&mut next(third)));
    });
}

#[test]
fn trouble_is_not_told_anew() {
    in_runtime(async {
        let home = tempfile::tempdir().unwrap();
        let mut first = destination(&home);
        first.spec.create = false;
        let mut second = next(first);
        assert!(awaits_reader(&mut second));
        let mut third = next(second);
        assert!(third.trouble().unwrap().contains("not there yet"));
        assert!(!awaits_reader(&mut third));
        fifo::make(&third.spec.path, 0o600, None, None).unwrap();
        let theirs = reader(&home);
        let mut fourth = next(third);
        let end = open(&mut fourth);
        write(end.descriptor(), b"here").unwrap();
        assert_eq!(text(&theirs), "here");
        assert!(fourth.trouble().is_none());
    });
}
