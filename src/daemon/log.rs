//! Where the log goes: to the journal, with fields, where standard error is the journal; else to standard error.
//!
//! A log line must never hold up the daemon: what goes to standard error is written by a thread of its own (`stderr`).

use std::fmt::Debug;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;

use tracing::Level;
use tracing::field::Field;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::{self, Writer};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, reload};

use super::stderr::Lines;

/// The log; what is queued is written when it is dropped.
pub struct Log {
    lines: Option<Lines>,
    level: LevelSetter,
}

/// By which the level is changed while it runs.
#[derive(Clone, Debug)]
pub struct LevelSetter(reload::Handle<LevelFilter, Registry>);

impl LevelSetter {
    /// From now on.
    pub fn set(&self, level: Level) {
        // It fails only when there is no log any more.
        let _ = self.0.reload(LevelFilter::from_level(level));
    }
}

impl Log {
    /// By which what is queued can be written before anything else is done; `None` where nothing is queued here.
    #[must_use]
    pub fn lines(&self) -> Option<Lines> {
        self.lines.clone()
    }

    /// By which its level is changed.
    #[must_use]
    pub fn level(&self) -> LevelSetter {
        self.level.clone()
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        if let Some(lines) = &self.lines {
            lines.flush();
        }
    }
}

/// Starts logging. Called once. Fails when there can be no thread for it.
pub fn start(level: Level) -> io::Result<Log> {
    let (filter, handle) = reload::Layer::new(LevelFilter::from_level(level));
    let level = LevelSetter(handle);
    let registry = tracing_subscriber::registry().with(filter);
    if stderr_is_journal()
        && let Ok(journal) = tracing_journald::layer()
    {
        let journal = journal
            .with_field_prefix(Some("SLUICED".to_owned()))
            .with_syslog_identifier("sluiced".to_owned());
        // A second start is a mistake of this program that only loses log lines.
        let _ = registry.with(journal).try_init();
        return Ok(Log { lines: None, level });
    }
    let lines = Lines::start(io::stderr())?;
    let writer = lines.clone();
    let human = tracing_subscriber::fmt::layer()
        .with_writer(move || writer.clone())
        .fmt_fields(format::debug_fn(write_field))
        .with_target(false)
        .with_ansi(io::stderr().is_terminal());
    let _ = registry.with(human).try_init();
    let lines = Some(lines);
    Ok(Log { lines, level })
}

/// The message names its route or process; the fields that say so again are for the journal.
fn write_field(writer: &mut Writer<'_>, field: &Field, value: &dyn Debug) -> std::fmt::Result {
    match field.name() {
        "message" => write!(writer, "{value:?}"),
        "route" | "endpoint" | "process" | "stream" => Ok(()),
        name => write!(writer, " {name}={value:?}"),
    }
}

/// `$JOURNAL_STREAM` names the device and inode of the stream that systemd has connected to the journal; only where
/// standard error is still that stream is it for us. systemd.exec(5).
fn stderr_is_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else {
        return false;
    };
    let Ok(stat) = nix::sys::stat::fstat(io::stderr().as_fd()) else {
        return false;
    };
    stream == format!("{}:{}", stat.st_dev, stat.st_ino)
}
