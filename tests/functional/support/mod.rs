//! The harness: a real daemon in a private directory, real peers at its ends, and the checks at the end of every story.
//!
//! ```ignore
//! fn bytes_cross() {
//!     let daemon = Daemon::start(
//!         r#"
//!         [route.a]
//!         from = { fifo = "in", on-eof = "close" }
//!         to = "fifo:out"
//!         "#,
//!     );
//!     let mut reader = FifoReader::open(daemon.fifo("out"));
//!     let mut writer = FifoWriter::open(daemon.fifo("in"));
//!     writer.write_all(b"hello");
//!     drop(writer);
//!     assert_eq!(reader.read_to_end(), b"hello");
//!     daemon.wait_for("route.a", "closed");
//!     daemon.finish(); // the law of accounting, exit 0, no child, no zombie, no panic, nothing left behind
//! }
//! ```
//!
//! Two rules. No sleep is a proof: what must come is waited for with a generous deadline ([`PATIENCE`]); that nothing
//! moved is shown by pushing a marker through another route ([`Daemon::marker`]) and looking at the counters. And every
//! process is ended by its own id, never by a name.

mod background;
mod cgroup;
mod client;
mod clock;
mod closing;
mod config_text;
mod daemon;
mod fifo;
mod law;
mod lines;
mod lives;
mod log;
mod manager;
mod notification;
mod numbered;
mod pattern;
mod peer;
mod place;
mod probe;
mod run;
mod shown;
mod skip;
mod upgraded;
mod wait;
mod warden;

use std::process::ExitCode;

pub use background::Background;
pub use cgroup::{Cgroup, cgroup_of};
pub use client::{CallError, Client, Monitor};
pub use clock::{Deadline, PATIENCE, let_pass, pause_briefly, until};
pub use daemon::{Builder, Daemon};
pub use fifo::{FifoReader, FifoWriter, Taken, make_fifo};
pub use law::{check_law, check_records};
pub use lines::{Dice, LineChecker, Lines};
pub use lives::{Life, check_lives, try_lives};
pub use log::panics_in;
pub use manager::{Manager, Phase};
pub use notification::send as send_notification;
pub use numbered::{Numbered, Tally, came_exactly_once, each_once, piece_size, runs, try_runs};
pub use pattern::{Checker, Pattern};
pub use place::Place;
pub use probe::Probe;
pub use run::{Finished, output_of, sluicectl, sluiced};
pub use shown::Shown;
pub use skip::{require_python_varlink, require_root, require_tmpfs, require_tool};
pub use warden::{Ending, Warden};

/// How many times its usual amount of data a story moves: `$SLUICED_STORY_SCALE`, 1 if it is not set.
pub fn scale() -> u64 {
    let text = std::env::var("SLUICED_STORY_SCALE").unwrap_or_default();
    text.parse().unwrap_or(1).max(1)
}

/// A story's name and what it does; it fails by panicking.
pub type Story = (&'static str, fn());

/// Lists the stories of a file: a story that is not listed is dead code, and the compiler says so.
macro_rules! stories {
    ($($name:ident),+ $(,)?) => {
        pub const STORIES: &[$crate::support::Story] = &[$((stringify!($name), $name)),+];
    };
}
pub(crate) use stories;

/// Plays the part that the first argument names, when this is not the test runner's own start.
pub fn other_part() -> Option<ExitCode> {
    let mut arguments = std::env::args().skip(1);
    match arguments.next()?.as_str() {
        peer::PART => Some(peer::play(&arguments.collect::<Vec<_>>())),
        warden::PART => Some(warden::play(&arguments.collect::<Vec<_>>())),
        manager::PART => Some(manager::play(&arguments.collect::<Vec<_>>())),
        _ => None,
    }
}

/// Where one of the two programs under test is: from cargo, or from `$SLUICED_BIN_DIR` to test another build.
pub fn program(name: &str) -> std::path::PathBuf {
    let built = match name {
        "sluiced" => env!("CARGO_BIN_EXE_sluiced"),
        "sluicectl" => env!("CARGO_BIN_EXE_sluicectl"),
        other => panic!("{other} is none of the programs under test"),
    };
    std::env::var_os("SLUICED_BIN_DIR").map_or_else(
        || built.into(),
        |directory| {
            let directory = std::path::PathBuf::from(directory);
            let from_root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(directory);
            from_root.join(name)
        },
    )
}
