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

#[cfg(test)]
mod tests {
    use super::*;

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
