//! `[daemon]` and `[control]`.

use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::time::Duration;

use super::environment::Environment;
use super::leaf::{AbsolutePath, Bounded, Choice, Mode, Time, Word};
use super::report::Report;
use super::root::Root;
use super::section::Field;
use crate::model::{ControlSpec, DaemonSpec};

/// More relay threads than this help nobody, and were not meant.
const MOST_THREADS: i64 = 64;

/// sun_path has 108 bytes, the last of them for the NUL (unix(7)).
const LONGEST_SOCKET_PATH: usize = 107;

pub(super) fn daemon(root: &Root<'_>, environment: &Environment, report: &mut Report<'_>) -> DaemonSpec {
    let section = &root.daemon;
    let directory = section
        .maybe("runtime-directory", report)
        .map(|AbsolutePath(path)| path);
    let threads: Option<Bounded<1, MOST_THREADS>> = section.maybe("relay-threads", report);
    DaemonSpec {
        runtime_directory: directory.unwrap_or_else(|| environment.default_runtime_directory()),
        drain_timeout: section.or("drain-timeout", Time(Duration::from_secs(10)), report).0,
        log_level: section.or("log-level", Choice(tracing::Level::INFO), report).0,
        relay_threads: threads
            .and_then(|threads| usize::try_from(threads.0).ok())
            .unwrap_or_else(|| environment.default_relay_threads()),
    }
}

pub(super) fn control(root: &Root<'_>, daemon: &DaemonSpec, report: &mut Report<'_>) -> ControlSpec {
    let section = &root.control;
    let group = section.maybe("group", report).map(|Word(name)| name);
    let read_group = section.maybe("read-group", report).map(|Word(name)| name);
    let mode = section.maybe("mode", report).map(|Mode(bits)| bits);
    ControlSpec {
        socket: socket(root, daemon, report),
        mode: mode.unwrap_or_else(|| default_mode(group.as_deref(), read_group.as_deref())),
        group,
        read_group,
    }
}

/// Whoever is given a right by name can connect. A file has one group only: where there are two, everybody can connect,
/// and strangers are refused by who they are.
fn default_mode(group: Option<&str>, read_group: Option<&str>) -> u32 {
    match (group, read_group) {
        (None, None) => 0o600,
        (Some(group), Some(other)) if group != other => 0o666,
        _ => 0o660,
    }
}

fn socket(root: &Root<'_>, daemon: &DaemonSpec, report: &mut Report<'_>) -> PathBuf {
    let (name, at) = match root.control.field("socket", report) {
        Field::Given(Word(name), at) => (name, Some(at)),
        Field::Absent => ("control.sock".to_owned(), None),
        Field::Wrong => return daemon.runtime_directory.clone(),
    };
    let path = daemon.runtime_directory.join(&name);
    if let Some(at) = at.filter(|_| name.ends_with('/') || path.file_name().is_none()) {
        report.error(
            at,
            format!("`socket`: {name:?} is a directory"),
            "name a file in it, such as \"control.sock\"",
        );
    }
    let length = path.as_os_str().as_bytes().len();
    if length > LONGEST_SOCKET_PATH {
        let message = format!(
            "the control socket's path has {length} bytes, and the longest there can be is {LONGEST_SOCKET_PATH}: {}",
            path.display()
        );
        let help = "set a shorter `socket` in [control], or a shorter `runtime-directory` in [daemon]";
        match at.or_else(|| root.daemon.entry("runtime-directory").map(|entry| entry.value.place())) {
            Some(at) => report.error(at, message, help),
            None => report.error_of_all(message, help),
        }
    }
    path.components().collect()
}
