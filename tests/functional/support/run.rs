//! Running a program to its end, within a bound.

use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};

use super::{Background, Deadline, PATIENCE, pause_briefly, program};

/// How a program ended and what it said.
#[derive(Debug)]
pub struct Finished {
    /// Its exit code; a signal's number plus 128, as a shell has it.
    pub code: i32,
    /// What it wrote to stdout.
    pub stdout: String,
    /// What it wrote to stderr.
    pub stderr: String,
}

impl Finished {
    /// Panics with all that it said when its exit code is another.
    pub fn expect_code(self, code: i32) -> Finished {
        assert_eq!(
            self.code, code,
            "exit code; stdout:\n{}\nstderr:\n{}",
            self.stdout, self.stderr
        );
        self
    }
}

/// Runs a command to its end; kills it and panics when it has none within [`PATIENCE`].
pub fn output_of(command: &mut Command) -> Finished {
    let words = format!("{command:?}");
    let command = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .unwrap_or_else(|error| panic!("cannot run {words}: {error}"));
    let stdout = collect(child.stdout.take().expect("a piped stdout"));
    let stderr = collect(child.stderr.take().expect("a piped stderr"));
    let deadline = Deadline::within(PATIENCE);
    let status = loop {
        if let Some(status) = child.try_wait().expect("waiting for a child") {
            break status;
        }
        if deadline.passed() {
            child.kill().expect("killing a child");
            child.wait().expect("waiting for a child");
            panic!(
                "{words} has not ended within {PATIENCE:?}: {}{}",
                stdout.done(),
                stderr.done()
            );
        }
        pause_briefly();
    };
    Finished {
        code: status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)),
        stdout: stdout.done(),
        stderr: stderr.done(),
    }
}

fn collect(mut from: impl Read + Send + 'static) -> Background<String> {
    Background::run(move || {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).expect("what a child says");
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// Runs `sluiced` to its end: a check, a refusal, a usage error.
pub fn sluiced(arguments: &[&str]) -> Finished {
    output_of(Command::new(program("sluiced")).args(arguments))
}

/// Runs `sluicectl` against a socket.
pub fn sluicectl(socket: &Path, arguments: &[&str]) -> Finished {
    output_of(
        Command::new(program("sluicectl"))
            .arg("--socket")
            .arg(socket)
            .args(arguments),
    )
}
