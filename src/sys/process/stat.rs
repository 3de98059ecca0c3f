//! proc_pid_stat(5): `pid (any name) state ppid pgrp …`.

use std::fs;

/// The fields behind the name, which may hold anything: state, parent, group …
pub(super) fn fields(stat: &[u8]) -> impl Iterator<Item = &str> {
    let rest = memchr::memrchr(b')', stat).and_then(|end_of_name| stat.get(end_of_name + 1..));
    let rest = str::from_utf8(rest.unwrap_or_default()).unwrap_or_default();
    rest.split_ascii_whitespace()
}

/// The state of a process as its one letter, e.g. `T` for one that a signal has stopped. `None` where there is no such
/// process (any more), or no /proc. Never waits for the process.
#[must_use]
pub fn state(pid: i32) -> Option<char> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    fields(&stat).next()?.chars().next()
}

/// So many generations are looked at to find out whether somebody descends from a child.
const GENERATIONS: usize = 64;

/// Whether a process is this child, is in its process group, or descends from it by parents that live. `None` where there
/// is no such process (any more), or no /proc.
#[must_use]
pub fn belongs_to(pid: i32, child: i32) -> Option<bool> {
    let mut next = pid;
    for _ in 0..GENERATIONS {
        if next == child {
            return Some(true);
        }
        let Some((parent, group)) = parent_and_group(next) else {
            return if next == pid { None } else { Some(false) };
        };
        if group == child {
            return Some(true);
        }
        if parent <= 1 {
            break;
        }
        next = parent;
    }
    Some(false)
}

fn parent_and_group(pid: i32) -> Option<(i32, i32)> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = fields(&stat).skip(1);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_belongs_to_whom() {
        let own = i32::try_from(std::process::id()).unwrap_or_default();
        let parent = i32::try_from(std::os::unix::process::parent_id()).unwrap_or_default();
        assert_eq!(belongs_to(own, own), Some(true));
        assert_eq!(belongs_to(own, parent), Some(true));
        assert_eq!(belongs_to(1, own), Some(false));
        assert_eq!(belongs_to(-1, own), None);
    }

    #[test]
    fn a_name_may_hold_anything() {
        let read = |stat: &'static [u8]| fields(stat).next();
        assert_eq!(read(b"7 (a) R 1 (b) T 1 42 42 0"), Some("T"));
        assert_eq!(read(b"7 (\xff) S 1 42"), Some("S"));
        assert_eq!(read(b"7 (x)"), None);
        assert_eq!(read(b"garbage"), None);
        assert_eq!(read(b""), None);
    }

    #[test]
    fn we_run_and_nobody_else_has_no_number() {
        let own = i32::try_from(std::process::id()).unwrap_or_default();
        assert!(matches!(state(own), Some('R' | 'S')));
        assert_eq!(state(-1), None);
    }
}
