use std::io::Write;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

use super::*;
use crate::endpoint::ends::Reopened;
use crate::endpoint::file::target;

struct Rig {
    home: TempDir,
    progress: Progress,
}

impl Rig {
    /// Its file `old` is open.
    fn new(record_end: Option<u8>) -> Rig {
        let rig = Rig {
            home: tempfile::tempdir().unwrap(),
            progress: Progress::new(record_end),
        };
        rig.progress.opened(rig.target("old"));
        rig
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn target(&self, name: &str) -> Target {
        target::open(&self.path(name)).unwrap()
    }

    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    fn ask(&self) -> (Reopened, u64) {
        let (answer, reopened) = oneshot::channel();
        self.progress.ask(answer);
        (reopened, self.progress.next_asked().unwrap())
    }

    /// Asks for a reopening, and offers the file of this name.
    fn reopen(&self, name: &str) -> Reopened {
        let (reopened, number) = self.ask();
        self.progress.offer(self.target(name), number);
        reopened
    }

    /// As the writer does.
    fn write(&self, text: &str) {
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            let begun = self.progress.begin(rest).unwrap();
            let count = (&begun.target.file).write(&rest[..begun.count]).unwrap();
            self.progress.end(begun, &rest[..count], None);
            rest = &rest[count..];
        }
    }
}

fn is_answered(reopened: &mut Reopened) -> bool {
    match reopened.try_recv() {
        Ok(result) => result.is_ok(),
        Err(TryRecvError::Empty) => false,
        Err(TryRecvError::Closed) => panic!("nobody will answer"),
    }
}

fn is_open(path: &Path) -> bool {
    let all = std::fs::read_dir("/proc/self/fd").unwrap();
    all.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
        .any(|target| target == path)
}

#[test]
fn an_idle_file_is_left_at_once() {
    for record_end in [None, Some(b'\n')] {
        let rig = Rig::new(record_end);
        rig.write("one\n");
        assert!(is_answered(&mut rig.reopen("new")));
        assert!(!is_open(&rig.path("old")), "its blocks are free when it is removed");
        rig.write("two\n");
        assert_eq!((rig.text("old"), rig.text("new")), ("one\n".into(), "two\n".into()));
        assert_eq!(rig.progress.written().bytes, 8);
    }
}

#[test]
fn a_write_that_is_under_way_ends_in_the_old_file() {
    let rig = Rig::new(None);
    let begun = rig.progress.begin(b"ab").unwrap();
    let mut reopened = rig.reopen("new");
    assert!(!is_answered(&mut reopened));
    // Half of it was taken: the other half belongs there, too.
    (&begun.target.file).write_all(b"a").unwrap();
    rig.progress.end(begun, b"a", None);
    assert!(!is_answered(&mut reopened));
    rig.write("b");
    assert!(is_answered(&mut reopened));
    rig.write("c");
    assert_eq!((rig.text("old"), rig.text("new")), ("ab".into(), "c".into()));
}

#[test]
fn a_record_is_not_torn() {
    for (end, record) in [(b'\n', '\n'), (0, '\0')] {
        let rig = Rig::new(Some(end));
        rig.write("be");
        let mut reopened = rig.reopen("new");
        rig.write("gi");
        assert!(!is_answered(&mut reopened));
        rig.write(&format!("n{record}next{record}"));
        assert!(is_answered(&mut reopened));
        let texts = (format!("begin{record}"), format!("next{record}"));
        assert_eq!((rig.text("old"), rig.text("new")), texts);
    }
}

#[test]
fn the_end_of_a_record_is_not_waited_for_for_ever() {
    let rig = Rig::new(Some(b'\n'));
    rig.write("no newline");
    let (mut reopened, number) = rig.ask();
    rig.progress.offer(rig.target("new"), number);
    rig.progress.insist(number, Duration::ZERO);
    assert!(is_answered(&mut reopened));
    rig.write(" and on\n");
    assert_eq!(
        (rig.text("old"), rig.text("new")),
        ("no newline".into(), " and on\n".into())
    );
}

#[test]
fn asking_twice_tears_no_record() {
    let rig = Rig::new(Some(b'\n'));
    rig.write("be");
    let (mut first, number) = rig.ask();
    let (answer, mut second) = oneshot::channel();
    assert!(!rig.progress.ask(answer), "somebody is at it");
    rig.progress.offer(rig.target("new"), number);
    rig.progress.insist(number, Duration::from_secs(600));
    let number = rig.progress.next_asked().unwrap();
    rig.progress.offer(rig.target("new"), number);
    assert!(!is_answered(&mut first));
    rig.write("gin\non\n");
    assert!(is_answered(&mut first) && is_answered(&mut second));
    assert_eq!((rig.text("old"), rig.text("new")), ("begin\n".into(), "on\n".into()));
}

#[test]
fn a_file_in_trouble_is_left_in_the_middle_of_a_record() {
    let rig = Rig::new(Some(b'\n'));
    rig.write("torn");
    let begun = rig.progress.begin(b" record\n").unwrap();
    let swaps = begun.swaps;
    rig.progress.end(begun, &[], Some("no space left".into()));
    assert_eq!(rig.progress.pause(Duration::ZERO, swaps), Paused::Over);
    assert!(is_answered(&mut rig.reopen("new")));
    assert_eq!(rig.progress.pause(Duration::from_secs(60), swaps), Paused::Swapped);
    rig.write(" record\n");
    assert_eq!((rig.text("old"), rig.text("new")), ("torn".into(), " record\n".into()));
}

#[test]
fn what_was_asked_for_later_is_opened_later() {
    let rig = Rig::new(Some(b'\n'));
    rig.write("begun");
    let mut first = rig.reopen("first");
    let (mut second, number) = rig.ask();
    assert!(!is_answered(&mut first));
    // One that was offered and never taken is no longer wanted.
    rig.progress.offer(rig.target("second"), number);
    assert!(!is_open(&rig.path("first")));
    rig.write("\n");
    assert!(is_answered(&mut first) && is_answered(&mut second));
    rig.write("on\n");
    assert_eq!((rig.text("first"), rig.text("second")), (String::new(), "on\n".into()));
    assert!(rig.progress.next_asked().is_none());
}

#[test]
fn a_refusal_leaves_everything_as_it_was() {
    let rig = Rig::new(Some(b'\n'));
    rig.write("be");
    let mut first = rig.reopen("first");
    let (mut second, number) = rig.ask();
    rig.progress.refuse(number, &OpenError::refused("no", "EINVAL"));
    assert_eq!(first.try_recv().unwrap().unwrap_err().text, "no");
    assert_eq!(second.try_recv().unwrap().unwrap_err().text, "no");
    rig.write("gin\non\n");
    assert_eq!(
        (rig.text("old"), rig.text("first")),
        ("begin\non\n".into(), String::new())
    );
}

#[test]
fn of_a_file_that_is_closed_nobody_hears() {
    let stop: fn(&Progress) = Progress::stop;
    for end in [stop, |progress| progress.over(Outcome::Done)] {
        let rig = Rig::new(None);
        let begun = rig.progress.begin(b"ab").unwrap();
        let mut reopened = rig.reopen("new");
        end(&rig.progress);
        assert_eq!(reopened.try_recv().unwrap_err(), TryRecvError::Closed);
        rig.progress.end(begun, b"ab", None);
        let (answer, mut late) = oneshot::channel();
        assert!(!rig.progress.ask(answer));
        assert_eq!(late.try_recv().unwrap_err(), TryRecvError::Closed);
        assert!(rig.progress.next_asked().is_none());
    }
}

#[test]
fn a_file_that_is_being_opened_is_opened_again() {
    let home = tempfile::tempdir().unwrap();
    let progress = Progress::new(None);
    let open = |name| target::open(&home.path().join(name)).unwrap();
    let (answer, mut reopened) = oneshot::channel();
    assert!(progress.ask(answer));
    let number = progress.next_asked().unwrap();
    progress.offer(open("new"), number);
    assert!(!is_answered(&mut reopened));
    progress.opened(open("old"));
    assert!(is_answered(&mut reopened));
    assert!(!is_open(&home.path().join("old")));
}
