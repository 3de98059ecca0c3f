//! The private directory of a story.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::output_of;

/// Longest path of a UNIX socket, without its NUL (unix(7)).
const SOCKET_PATH_MAX: usize = 107;

/// A directory of its own: `sluiced.toml`, `log`, `run/` (the runtime directory) and what the story puts there.
/// It goes with its last user.
#[derive(Debug)]
pub struct Place {
    home: TempDir,
    socket_is_lent: Cell<bool>,
}

impl Place {
    /// Makes one.
    pub fn new() -> Place {
        let home = tempfile::Builder::new()
            .prefix("sl")
            .tempdir()
            .expect("a private directory");
        std::fs::create_dir(home.path().join("run")).expect("a runtime directory");
        let place = Place {
            home,
            socket_is_lent: Cell::new(false),
        };
        let length = place.socket().as_os_str().len();
        assert!(
            length <= SOCKET_PATH_MAX,
            "TMPDIR is too long for a socket in it: set a shorter one"
        );
        place
    }

    /// The directory itself.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// A file beside the config: `$DIR/NAME` in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.home().join(name)
    }

    /// The daemon's runtime directory.
    pub fn runtime_directory(&self) -> PathBuf {
        self.file("run")
    }

    /// A FIFO by its relative name in the config.
    pub fn fifo(&self, name: &str) -> PathBuf {
        self.runtime_directory().join(name)
    }

    /// The control socket.
    pub fn socket(&self) -> PathBuf {
        self.fifo("control.sock")
    }

    /// The control socket is not the daemon's own, and stays when that goes.
    pub fn lend_socket(&self) {
        self.socket_is_lent.set(true);
    }

    /// Whether it is so.
    pub fn socket_is_lent(&self) -> bool {
        self.socket_is_lent.get()
    }

    /// Puts another file in the place of `$DIR/sluiced`: what a shell script makes of `$1` … and writes into its last
    /// argument. By a process of its own, since a file that some child of this one has inherited cannot be executed.
    pub fn replace_binary(&self, script: &str, arguments: &[&str]) {
        let (own, next) = (self.file("sluiced"), self.file("sluiced.next"));
        let made = output_of(Command::new("sh").args(["-c", script, "sh"]).args(arguments).arg(&next));
        made.expect_code(0);
        std::fs::rename(next, own).expect("another binary in its place");
    }

    /// The config file.
    pub fn config(&self) -> PathBuf {
        self.file("sluiced.toml")
    }

    /// The daemon's stderr.
    pub fn log(&self) -> PathBuf {
        self.file("log")
    }

    /// strace's output, where the daemon runs under it.
    pub fn trace(&self) -> PathBuf {
        self.file("trace")
    }
}
