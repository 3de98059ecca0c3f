//! Reading the daemon's log.

use std::path::Path;

/// The daemon's log as it stands now; empty when there is none yet.
pub fn read(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
}

/// The lines that tell of a panic, each with what follows it.
pub fn panics_in(log: &str) -> Vec<String> {
    let lines: Vec<&str> = log.lines().collect();
    let told = |(at, line): (usize, &&str)| {
        let of_panic = line.contains("panicked at") || line.contains("fatal runtime error");
        of_panic.then(|| lines[at..lines.len().min(at + 3)].join("\n"))
    };
    lines.iter().enumerate().filter_map(told).collect()
}

/// The end of a log, for messages.
pub fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    let from = lines.len().saturating_sub(40);
    format!("--- the daemon's log ends so ---\n{}\n---", lines[from..].join("\n"))
}
