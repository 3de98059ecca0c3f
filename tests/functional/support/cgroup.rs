//! A cgroup of version 2 for a daemon under test, and what is seen in it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use super::skip::skipped;
use super::until;

/// A cgroup beside nobody else's. Whoever is in it is killed when it is dropped.
pub struct Cgroup {
    path: PathBuf,
}

impl Cgroup {
    /// A new one below this process's own, unmarked. `None`, after a loud SKIPPED, where there can be none.
    pub fn make() -> Option<Cgroup> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let mount = mounts.lines().find(|line| line.contains(" - cgroup2 "));
        let Some(point) = mount.and_then(|line| line.split(' ').nth(4)) else {
            skipped("no cgroup2 file system is mounted");
            return None;
        };
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("sluiced-story-{}-{number}", std::process::id());
        let path = Path::new(point).join(own()?.trim_start_matches('/')).join(name);
        if let Err(error) = std::fs::create_dir(&path) {
            skipped(&format!("cannot make the cgroup {}: {error}", path.display()));
            return None;
        }
        Some(Cgroup { path })
    }

    /// The same, marked as systemd marks what it delegates.
    pub fn delegated() -> Option<Cgroup> {
        let cgroup = Cgroup::make()?;
        let script = "import os, sys; os.setxattr(sys.argv[1], 'user.delegate', b'1')";
        let marked = Command::new("python3").args(["-c", script]).arg(&cgroup.path).status();
        if !marked.is_ok_and(|status| status.success()) {
            skipped("a cgroup cannot be marked: it takes python3, and Linux 5.7");
            return None;
        }
        Some(cgroup)
    }

    /// A wrapper that goes into it and becomes the command behind it.
    pub fn wrapper(&self) -> [String; 4] {
        let script = format!("echo $$ > '{}/cgroup.procs' && exec \"$@\"", self.path.display());
        ["sh".to_owned(), "-c".to_owned(), script, "sh".to_owned()]
    }

    /// Its path, as /proc/PID/cgroup has it at the end.
    pub fn name(&self) -> &str {
        self.path.file_name().and_then(|name| name.to_str()).expect("a name")
    }

    /// The processes in it, or in the one of that name below it.
    pub fn members(&self, below: &str) -> Vec<i32> {
        let procs = std::fs::read_to_string(self.path.join(below).join("cgroup.procs"));
        let procs = procs.unwrap_or_default();
        procs.lines().filter_map(|line| line.parse().ok()).collect()
    }

    /// The names of those below it.
    pub fn below(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.path).expect("the cgroup").flatten();
        let directories = entries.filter(|entry| entry.path().is_dir());
        let mut names: Vec<String> = directories
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = std::fs::write(self.path.join("cgroup.kill"), "1");
        let gone = || {
            for name in self.below() {
                let _ = std::fs::remove_dir(self.path.join(name));
            }
            std::fs::remove_dir(&self.path).is_ok().then_some(())
        };
        if !std::thread::panicking() {
            until(gone, || format!("{} is not empty", self.path.display()));
        }
    }
}

fn own() -> Option<String> {
    cgroup_of(i32::try_from(std::process::id()).ok()?)
}

/// The cgroup of a process, from the root that this one sees.
pub fn cgroup_of(pid: i32) -> Option<String> {
    let all = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    all.lines().find_map(|line| line.strip_prefix("0::").map(str::to_owned))
}
