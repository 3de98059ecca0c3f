//! What a stream knows goes on in the daemon's next life.

use std::os::fd::OwnedFd;

use nix::unistd::write;

use super::*;
use crate::endpoint::ends::testing::{in_runtime, next_destination, next_source, once, pipe};
use crate::model::Name;
use crate::transport::Took;

const AT: Moment = Moment::from_millis(1000);
const LATER: Moment = Moment::from_millis(9000);

fn source() -> ProcessSource {
    ProcessSource::new(ProcessId::single(Name::new("a").unwrap()), "process:a.stdout".into())
}

fn next(old: ProcessSource) -> ProcessSource {
    next_source(old, source())
}

fn destination() -> ProcessDestination {
    ProcessDestination::new("process:a.stdin".into())
}

fn next_input(old: ProcessDestination) -> ProcessDestination {
    next_destination(old, destination())
}

/// Lends the output of a life in which this was written.
fn lend(to: &mut ProcessSource, life: u64, text: &str) -> OwnedFd {
    let (end, writer) = pipe();
    write(&writer, text.as_bytes()).unwrap();
    let deposit = None;
    to.lend(Lent { life, end, deposit });
    writer
}

fn opened(source: &mut ProcessSource) -> Option<SourceOpening> {
    match once(|cx| source.poll_open(cx)) {
        Poll::Ready(opening) => Some(opening.unwrap()),
        Poll::Pending => None,
    }
}

async fn text_of(opening: Option<SourceOpening>) -> String {
    let Some(SourceOpening::Open(end)) = opening else {
        panic!("not open: {opening:?}");
    };
    // The reactor hears of it.
    tokio::task::yield_now().await;
    let mut buffer = [0; 64];
    match end.read(&mut buffer).unwrap() {
        Took::Bytes(count) => String::from_utf8_lossy(&buffer[..count]).into_owned(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_output_is_read_life_by_life() {
    in_runtime(async {
        let mut source = source();
        let _first = lend(&mut source, 1, "one");
        source.exited(1, 11, AT);
        let _second = lend(&mut source, 2, "two");
        let mut source = next(source);
        assert!(source.has_more() && !source.drains_to_end());
        assert_eq!(text_of(opened(&mut source)).await, "one");
        assert!(source.drains_to_end());
        assert_eq!(source.due(), Some(AT));
        let mut source = next(source);
        assert!(opened(&mut source).is_none(), "the relay has it");
        assert!(source.drains_to_end() && source.has_more());
        let (end, _writer) = pipe();
        source.at_end(ReadEnd::new(end).unwrap());
        assert_eq!(text_of(opened(&mut source)).await, "two");
        assert!(!source.drains_to_end());
    });
}

#[test]
fn a_pipe_that_outlives_its_process_has_the_same_deadlines() {
    in_runtime(async {
        let mut source = source();
        let _writer = lend(&mut source, 4, "");
        assert!(matches!(opened(&mut source), Some(SourceOpening::Open(_))));
        source.exited(4, 44, AT);
        let mut source = next(source);
        let process = ProcessId::single(Name::new("a").unwrap());
        let killed = Some(Overdue::KillGroup { process, life: 4 });
        assert_eq!(source.overdue(AT, false), killed);
        let mut source = next(source);
        assert_eq!(source.due(), Some(AT + AFTER_KILL));
        assert_eq!(source.overdue(LATER, false), Some(Overdue::Abandon { pid: 44 }));
        let mut source = next(source);
        assert_eq!(source.due(), None);
        assert_eq!(source.overdue(LATER, false), None);
        let given_back = source.give_back(Some(ReadEnd::new(pipe().0).unwrap()));
        assert_eq!((given_back.len(), given_back[0].lent.life), (1, 4));
        assert_eq!(given_back[0].exited, Some((44, AT + AFTER_KILL)));
    });
}

#[test]
fn an_output_that_is_down_is_told_once() {
    in_runtime(async {
        let mut source = source();
        source.down(false);
        let mut source = next(source);
        assert!(matches!(opened(&mut source), Some(SourceOpening::Waits)));
        let mut source = next(source);
        assert!(opened(&mut source).is_none());
        source.down(true);
        let mut source = next(source);
        assert!(matches!(opened(&mut source), Some(SourceOpening::Ended)));
        let mut source = next(source);
        assert!(opened(&mut source).is_none());
        let writer = lend(&mut source, 1, "");
        assert!(poll::now(&writer).no_reader, "it is over, and nobody will read this");
        source.revive();
        let mut source = next(source);
        let _writer = lend(&mut source, 2, "back");
        assert_eq!(text_of(opened(&mut source)).await, "back");
    });
}

#[test]
fn an_input_that_waits_for_its_relay_goes_there() {
    in_runtime(async {
        let mut input = destination();
        let (reader, end) = pipe();
        let (life, deposit) = (3, None);
        input.lend(Lent { life, end, deposit });
        let mut input = next_input(input);
        assert_eq!(input.lent_life(), Some(3));
        let Poll::Ready(Ok(DestinationOpening::Open(end))) = once(|cx| input.poll_open(cx)) else {
            panic!("not open");
        };
        write(end.descriptor(), b"abc").unwrap();
        assert_eq!(pipe::unread(&reader), 3);
        let mut input = next_input(input);
        assert!(once(|cx| input.poll_open(cx)).is_pending());
        input.down(false, 0);
        let mut input = next_input(input);
        assert!(once(|cx| input.poll_open(cx)).is_pending(), "while it is lent");
        let given_back = input.give_back(Some(end)).unwrap();
        assert_eq!(given_back.lent.life, 3);
    });
}

#[test]
fn an_input_that_is_gone_for_good_is_told_with_what_is_unread() {
    in_runtime(async {
        let mut input = destination();
        input.down(false, 0);
        let mut input = next_input(input);
        let opening = once(|cx| input.poll_open(cx));
        assert!(matches!(opening, Poll::Ready(Ok(DestinationOpening::AwaitsReader))));
        input.down(true, 7);
        let mut input = next_input(input);
        let opening = once(|cx| input.poll_open(cx));
        assert!(matches!(opening, Poll::Ready(Ok(DestinationOpening::GoneForGood))));
        let mut input = next_input(input);
        let (_reader, end) = pipe();
        assert_eq!(input.close(Some(WriteEnd::new(end).unwrap())), 7);
        let mut input = next_input(input);
        assert_eq!(input.down(true, 7), 0, "it is counted");
        assert!(once(|cx| input.poll_open(cx)).is_pending());
    });
}

#[test]
fn what_is_left_unread_after_a_close_is_counted_once() {
    in_runtime(async {
        let mut input = destination();
        let (_reader, end) = pipe();
        assert_eq!(input.close(Some(WriteEnd::new(end).unwrap())), 0);
        let mut input = next_input(input);
        assert_eq!(input.down(true, 5), 5);
        let mut input = next_input(input);
        assert_eq!(input.down(true, 5), 0);
    });
}
