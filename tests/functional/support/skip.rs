//! What a story needs of the machine. Missing: SKIPPED is printed, and where `CI` is set the story fails.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Whether a program is in the PATH. `if !require_tool("strace") { return; }`
pub fn require_tool(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let there = std::env::split_paths(&path).any(|directory| directory.join(program).is_file());
    there
        || skipped(&format!(
            "{program} is not in the PATH; tests/install-tools.sh installs it"
        ))
}

/// Whether a tmpfs can be mounted where nobody else sees it.
pub fn require_tmpfs() -> bool {
    let script = "mount -t tmpfs tmpfs /mnt";
    let tried = Command::new("unshare")
        .args(["-m", "--propagation", "private", "sh", "-c", script])
        .stderr(Stdio::null())
        .status();
    tried.is_ok_and(|status| status.success()) || skipped("a mount namespace of its own needs root (CAP_SYS_ADMIN)")
}

/// Whether the story runs as root, who alone may change users.
pub fn require_root() -> bool {
    nix::unistd::geteuid().is_root() || skipped("only root may start processes as other users")
}

/// The Python that has PyPI's `varlink`, as `tests/install-tools.sh` puts it.
pub fn require_python_varlink() -> Option<PathBuf> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    let python = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(target)
        .join("test-venv/bin/python");
    if python.is_file() {
        return Some(python);
    }
    skipped("PyPI's varlink is not installed; tests/install-tools.sh installs it");
    None
}

/// Says so loudly; never silently in CI. Always false.
pub(super) fn skipped(why: &str) -> bool {
    assert!(std::env::var_os("CI").is_none(), "SKIPPED, which CI forbids: {why}");
    let thread = std::thread::current();
    eprintln!("SKIPPED {}: {why}", thread.name().unwrap_or("a story"));
    false
}
