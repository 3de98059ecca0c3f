//! One daemon a runtime directory: flock(2) on its `lock` file.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use crate::sys::errno;

/// The lock. It ends with the process, or with the last copy of its descriptor.
#[derive(Debug)]
pub struct Lock {
    kept: Kept,
}

#[derive(Debug)]
enum Kept {
    Taken(Flock<File>),
    /// Taken in an earlier life: it belongs to the open file description (flock(2)).
    HandedOver(OwnedFd),
}

/// Why the runtime directory cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another daemon has it.
    #[error(
        "the runtime directory {} is in use by another sluiced ({holder}); stop that one, or give this one a \
         `runtime-directory` of its own",
        directory.display()
    )]
    Held {
        /// Which directory.
        directory: PathBuf,
        /// `pid N`, as far as it is known.
        holder: String,
    },
    /// It could not be made.
    #[error("cannot make the runtime directory {}; set `runtime-directory` in [daemon] to one that you may write", .0.display())]
    Directory(PathBuf, #[source] io::Error),
    /// The lock file could not be opened or written.
    #[error("cannot lock {}", .0.display())]
    Io(PathBuf, #[source] io::Error),
}

impl Lock {
    /// The lock of an earlier life.
    #[must_use]
    pub fn handed_over(file: OwnedFd) -> Lock {
        Lock {
            kept: Kept::HandedOver(file),
        }
    }

    /// A copy for the next life. The lock is held as long as one of the two is open, and was not dropped.
    pub fn copy(&self) -> io::Result<OwnedFd> {
        match &self.kept {
            Kept::Taken(file) => file.as_fd().try_clone_to_owned(),
            Kept::HandedOver(file) => file.try_clone(),
        }
    }

    /// Makes the directory where it is not there, and takes it.
    pub fn take(directory: &Path) -> Result<Lock, LockError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(directory)
            .map_err(|error| LockError::Directory(directory.to_owned(), error))?;
        let path = directory.join("lock");
        let failed = |error| LockError::Io(path.clone(), error);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o644)
            .custom_flags(nix::libc::O_NOFOLLOW)
            .open(&path)
            .map_err(failed)?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(mut file) => {
                let pid = format!("{}\n", std::process::id());
                file.rewind().and_then(|()| file.set_len(0)).map_err(failed)?;
                file.write_all(pid.as_bytes()).map_err(failed)?;
                Ok(Lock {
                    kept: Kept::Taken(file),
                })
            }
            Err((mut file, Errno::EWOULDBLOCK)) => Err(LockError::Held {
                directory: directory.to_owned(),
                holder: holder(&mut file),
            }),
            Err((_, error)) => Err(failed(errno::io(error))),
        }
    }
}

fn holder(file: &mut File) -> String {
    let mut text = String::new();
    let read = file.take(32).read_to_string(&mut text);
    match (read, text.trim().parse::<u32>()) {
        (Ok(_), Ok(pid)) => format!("pid {pid}"),
        _ => "its pid is not known".to_owned(),
    }
}
