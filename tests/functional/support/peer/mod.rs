//! The scripted peer: a program whose arguments are what it does, one step an argument.
//!
//! A config names it as `command = [$PEER, "write 100000", "await $DIR/go", "exit 3"]`. Without a last `exit` or `hold`
//! it exits 0 after the last step; it exits 32 when nobody reads its stdout (EPIPE), 65 when what it reads is not what
//! belongs there, 99 when a step cannot be done (stderr says why).
//!
//! | step | what it does |
//! |---|---|
//! | `write N [SEED]` | the next N bytes of a pattern (seed 1) to stdout |
//! | `drip N CHUNK MS` | the same in chunks with pauses |
//! | `stream-until SIGNAL PATH` | the pattern until the signal comes; then the number of bytes into PATH |
//! | `lines N MAX SEED [TAG]` | N lines that tell whose they are (`support/lines.rs`), of at most MAX bytes, cut anywhere |
//! | `lines-both N MAX SEED` | N of `out` to stdout, N of `err` to stderr, in turn a few bytes to KiB of each |
//! | `check-lines` | takes such lines from stdin to its end: whole, each writer's in order |
//! | `say TEXT`, `text TEXT`, `complain TEXT` | a line to stdout, without its newline, a line to stderr |
//! | `read N`, `check N [SEED]` | takes exactly N bytes from stdin, the second holds them against the pattern |
//! | `check-end N [SEED]` | the same, and then stdin must end |
//! | `sink`, `cat` | reads stdin to its end; the second writes it to stdout |
//! | `pass` | the same by splice(2), which a kill cannot tear |
//! | `record PATH`, `record-some N PATH` | appends stdin to a file by splice(2), which a SIGKILL cannot tear |
//! | `record-slowly PATH CHUNK MS` | the same, so many bytes at a time at the most, with pauses |
//! | `produce PATH` | writes a pattern for ever, cut anywhere, and notes after each write(2) how much that is by now: its first life in PATH-1, the next, which has another pattern, in PATH-2 … (`support/lives.rs`) |
//! | `tell PATH TEXT` | appends a line to a file |
//! | `await PATH` | opens a FIFO and waits until it is given a byte |
//! | `hold` | for ever |
//! | `notify TEXT` | sends it to $NOTIFY_SOCKET (sd_notify(3)); `\n` in it is a newline |
//! | `notify-elsewhere PATH` | waits for a file that holds an address, and says READY=1 to that |
//! | `notify-barrier` | BARRIER=1 with a descriptor, and waits until it is closed (sd_notify_barrier(3)) |
//! | `notify-garbage` | what is no message, empty, too long, or not for a manager |
//! | `notify-fd N` | a newline to descriptor N |
//! | `feed-watchdog MS PATH` | WATCHDOG=1 so often, until PATH exists |
//! | `tell-variable NAME PATH` | appends the variable's value, or `unset`, and the process id to a file |
//! | `close FD` | closes a descriptor |
//! | `ignore SIGNAL`, `on SIGNAL exit N` | catches a signal and goes on; exits with N when it comes |
//! | `grandchild STEP \| STEP …` | starts another peer with the same descriptors and does not wait for it |
//! | `setsid` | leaves the process group |
//! | `exit N`, `die SIGNAL` | ends |

mod notify;
mod steps;
mod stream;

use std::process::ExitCode;

/// The first argument that makes the test executable a peer.
pub const PART: &str = "@peer";

/// Why a peer does not go on to its next step.
#[derive(Debug)]
enum Stop {
    /// It was told to, or the other end is as the exit code says.
    Exit(u8),
    /// A step could not be done.
    Failed(String),
}

impl From<nix::errno::Errno> for Stop {
    fn from(errno: nix::errno::Errno) -> Stop {
        match errno {
            nix::errno::Errno::EPIPE => Stop::Exit(32),
            other => Stop::Failed(other.to_string()),
        }
    }
}

impl From<std::io::Error> for Stop {
    fn from(error: std::io::Error) -> Stop {
        Stop::Failed(error.to_string())
    }
}

/// The peer's own main.
pub fn play(steps: &[String]) -> ExitCode {
    let mut peer = steps::Peer::default();
    for step in steps {
        match peer.take(step) {
            Ok(()) => {}
            Err(Stop::Exit(code)) => return ExitCode::from(code),
            Err(Stop::Failed(why)) => {
                eprintln!("peer: {step}: {why}");
                return ExitCode::from(99);
            }
        }
    }
    ExitCode::SUCCESS
}
