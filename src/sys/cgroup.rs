//! Cgroups of version 2, as the kernel shows them: cgroups(7), Documentation/admin-guide/cgroup-v2.rst. Decides nothing;
//! no call here waits for a process.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::fcntl::{OFlag, open};
use nix::libc;
use nix::sys::stat::Mode;
use nix::unistd::{Pid, getpgid};

/// What a life has used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes; `None` without the memory controller.
    pub memory: Option<u64>,
    /// Microseconds.
    pub cpu_usec: Option<u64>,
}

/// The cgroup of this process: its path from the root as this process sees it, and its directory. `None` where there is
/// no cgroup v2 to be seen.
#[must_use]
pub fn own() -> Option<(String, PathBuf)> {
    let path = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = path.lines().find_map(|line| line.strip_prefix("0::"))?.to_owned();
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let directory = mounts.lines().find_map(|line| directory_by(line, &path))?;
    Some((path, directory))
}

/// proc_pid_mountinfo(5): `id parent dev root point options … - type source options`.
fn directory_by(mount: &str, path: &str) -> Option<PathBuf> {
    let (mount, kind) = mount.split_once(" - ")?;
    if kind.split(' ').next() != Some("cgroup2") {
        return None;
    }
    let mut fields = mount.split(' ').skip(3);
    let (root, point) = (fields.next()?, fields.next()?);
    let below = Path::new(path).strip_prefix(root).ok()?;
    Some(Path::new(point).join(below))
}

/// Whether whoever made it has marked it as given away.
#[must_use]
pub fn is_marked(directory: &Path) -> bool {
    ["user.delegate", "trusted.delegate"]
        .iter()
        .any(|name| attribute(directory, name).is_some_and(|value| value == *b"1"))
}

/// An extended attribute of one byte.
fn attribute(path: &Path, name: &str) -> Option<[u8; 1]> {
    let path = CString::new(path.as_os_str().as_bytes()).ok()?;
    let name = CString::new(name).ok()?;
    let mut value = [0_u8; 1];
    // SAFETY: both texts are NUL-terminated, and the value is as long as is said.
    let length = unsafe { libc::getxattr(path.as_ptr(), name.as_ptr(), value.as_mut_ptr().cast(), value.len()) };
    (length == 1).then_some(value)
}

/// The user that a file belongs to.
#[must_use]
pub fn owner(path: &Path) -> Option<u32> {
    fs::metadata(path).ok().map(|found| found.uid())
}

/// The user that this process runs as.
#[must_use]
pub fn own_user() -> u32 {
    nix::unistd::geteuid().as_raw()
}

/// One of the files of a cgroup, without the newline at its end.
pub fn read(directory: &Path, name: &str) -> io::Result<String> {
    fs::read_to_string(directory.join(name)).map(|text| text.trim_end().to_owned())
}

/// Writes one of the files of a cgroup. Never creates it.
pub fn write(directory: &Path, name: &str, text: &str) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).open(directory.join(name))?;
    io::Write::write_all(&mut file, text.as_bytes())
}

/// The processes in it (none of those below it).
#[must_use]
pub fn members(directory: &Path) -> Vec<i32> {
    let text = read(directory, "cgroup.procs").unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

fn open_directory(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    Ok(open(path, flags, Mode::empty())?)
}

/// A cgroup that this process has made. Its directory goes with it, when nobody is in it.
#[derive(Debug)]
pub struct Leaf {
    path: PathBuf,
    directory: OwnedFd,
}

impl Leaf {
    /// Makes one. An empty one of that name, left by somebody else, is taken for it.
    pub fn make(path: PathBuf) -> io::Result<Leaf> {
        match fs::create_dir(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                fs::remove_dir(&path)?;
                fs::create_dir(&path)?;
            }
            other => other?,
        }
        let directory = open_directory(&path).inspect_err(|_| drop(fs::remove_dir(&path)))?;
        Ok(Leaf { path, directory })
    }

    /// Takes back one that this process has made before an execve(2), with everybody in it.
    pub fn again(path: &Path) -> io::Result<Leaf> {
        let directory = open_directory(path)?;
        let path = path.to_owned();
        Ok(Leaf { path, directory })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Puts this process into it: a child that was not born in it, since the kernel takes some 15 ms for that. Only
    /// async-signal-safe calls. Where it fails the child runs in the daemon's, and is known by its group alone.
    pub(super) fn enter(&self) {
        let flags = libc::O_WRONLY | libc::O_CLOEXEC;
        // SAFETY: the name is NUL-terminated.
        let procs = unsafe { libc::openat(self.as_raw_fd(), c"cgroup.procs".as_ptr(), flags) };
        // SAFETY: one byte is there; a descriptor of -1 is an error and touches nothing.
        unsafe { libc::write(procs, b"0".as_ptr().cast(), 1) };
        // SAFETY: nobody else has this descriptor.
        unsafe { libc::close(procs) };
    }

    /// Whether somebody runs in it, or below it. Zombies do not count.
    #[must_use]
    pub fn is_populated(&self) -> bool {
        let events = read(&self.path, "cgroup.events").unwrap_or_default();
        events.lines().any(|line| line == "populated 1")
    }

    /// The processes in it.
    #[must_use]
    pub fn members(&self) -> Vec<i32> {
        members(&self.path)
    }

    /// SIGKILL to everybody in it and below it, however fast they fork.
    pub fn kill(&self) {
        if write(&self.path, "cgroup.kill", "1").is_err() {
            // Before Linux 5.14.
            self.signal(libc::SIGKILL, 0);
        }
    }

    /// A signal to each of its processes that is not in that process group.
    pub fn signal(&self, number: i32, but_group: i32) {
        for pid in self.members() {
            if getpgid(Some(Pid::from_raw(pid))).is_ok_and(|group| group.as_raw() == but_group) {
                continue;
            }
            // The number is held before it is looked up again: what is then still in here is what was meant.
            let Some(held) = super::process::hold(pid) else {
                continue;
            };
            if self.members().contains(&pid) {
                let _ = super::process::signal_held(held.as_fd(), number);
            }
        }
    }

    /// What those in it use, and have used.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let cpu = read(&self.path, "cpu.stat").unwrap_or_default();
        let cpu = cpu.lines().find_map(|line| line.strip_prefix("usage_usec "));
        let memory = read(&self.path, "memory.current").ok();
        Usage {
            memory: memory.and_then(|text| text.parse().ok()),
            cpu_usec: cpu.and_then(|text| text.parse().ok()),
        }
    }
}

impl AsFd for Leaf {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }
}

impl AsRawFd for Leaf {
    fn as_raw_fd(&self) -> i32 {
        self.directory.as_raw_fd()
    }
}

impl Drop for Leaf {
    fn drop(&mut self) {
        // EBUSY: somebody is in it who cannot be killed.
        let _ = fs::remove_dir(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where this user may make one.
    #[test]
    fn one_is_taken_back_with_what_is_in_it_and_goes_when_it_is_empty() {
        let Some((_, own)) = own() else { return };
        let Ok(first) = Leaf::make(own.join(format!("sluiced-test-{}", std::process::id()))) else {
            return;
        };
        let mut child = std::process::Command::new("sleep").arg("100").spawn().unwrap();
        let pid = child.id().cast_signed();
        // To move somebody takes more rights than to make one.
        if write(first.path(), "cgroup.procs", &pid.to_string()).is_err() {
            child.kill().unwrap();
            child.wait().unwrap();
            return;
        }
        let again = Leaf::again(first.path()).unwrap();
        assert_eq!(again.members(), [pid]);
        again.kill();
        child.wait().unwrap();
        assert!(!again.is_populated());
        let path = again.path().to_owned();
        drop(again);
        assert!(!path.exists());
        assert_eq!(Leaf::again(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_cgroup_is_found_by_its_mount() {
        let hybrid = "38 31 0:34 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw";
        assert_eq!(directory_by(hybrid, "/a/b"), Some("/sys/fs/cgroup/unified/a/b".into()));
        let bound = "38 31 0:34 /a /cg rw shared:9 - cgroup2 cgroup2 rw";
        assert_eq!(directory_by(bound, "/a/b"), Some("/cg/b".into()));
        assert_eq!(directory_by(bound, "/ab"), None);
        assert_eq!(directory_by("38 31 0:34 / /x rw - cgroup cgroup rw,memory", "/a"), None);
        assert_eq!(directory_by("garbage", "/a"), None);
    }
}
