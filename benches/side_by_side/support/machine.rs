//! What was measured where.

use std::fs;
use std::process::{Command, Stdio};

/// The machine and the versions, one line each.
pub fn look() -> String {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mut lines = vec![
        format!("Machine: {}, {cores} cores, {} of memory", processor(), memory()),
        format!(
            "System: {}, Linux {}",
            distribution(),
            line_of("/proc/sys/kernel/osrelease")
        ),
        format!("Load average before: {}", load_average()),
        format!(
            "Pipes: at most {} bytes, {} pages a user softly",
            line_of("/proc/sys/fs/pipe-max-size"),
            line_of("/proc/sys/fs/pipe-user-pages-soft")
        ),
        format!(
            "sluiced: {}",
            version(
                crate::contest::program("sluiced", None).to_string_lossy().as_ref(),
                &["--version"],
                "sluiced"
            )
        ),
    ];
    for (tool, package, arguments) in crate::contest::TOOLS {
        lines.push(format!("{tool}: {}", version(tool, arguments, package)));
    }
    lines.join("\n")
}

/// Of the last minutes.
pub fn load_average() -> String {
    line_of("/proc/loadavg")
}

fn line_of(path: &str) -> String {
    fs::read_to_string(path).map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned())
}

fn value_of(path: &str, key: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(key))?;
    let (_, value) = line.split_once([':', '='])?;
    Some(value.trim().trim_matches('"').to_owned())
}

fn processor() -> String {
    value_of("/proc/cpuinfo", "model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

fn memory() -> String {
    value_of("/proc/meminfo", "MemTotal").unwrap_or_else(|| "unknown amount".to_owned())
}

fn distribution() -> String {
    value_of("/etc/os-release", "PRETTY_NAME").unwrap_or_else(|| "unknown".to_owned())
}

/// What it says itself, else what its package is.
fn version(program: &str, arguments: &[&str], package: &str) -> String {
    let Some(text) = said_by(program, arguments) else {
        return "MISSING".to_owned();
    };
    let name = program.rsplit('/').next().unwrap_or(program);
    let tells = |line: &&str| line.contains(name) && line.replace(name, "").contains(|c: char| c.is_ascii_digit());
    if let Some(line) = text.lines().find(|line| tells(line) && !line.contains("usage")) {
        return line.trim().to_owned();
    }
    let installed = said_by("dpkg-query", &["-W", "-f", "${Version}", package]);
    installed.map_or_else(
        || "there, of unknown version".to_owned(),
        |version| format!("{package} {version}"),
    )
}

fn said_by(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .ok()?;
    Some(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}
