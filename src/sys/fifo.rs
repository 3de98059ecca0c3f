//! Opening FIFOs without ever blocking, following a link, or touching what is not a FIFO. fifo(7).

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open};
use nix::sys::stat::{FchmodatFlags, Mode, SFlag, fchmodat, fstat, fstatat};
use nix::unistd::{Gid, Group, Uid, User, mkfifo};

use super::{errno, pipe};

/// Which file it is, whatever its path: (device, inode).
pub type Identity = (u64, u64);

/// A FIFO found at a path: opened with O_PATH, which is neither a reader nor a writer.
#[derive(Debug)]
pub struct Found {
    place: OwnedFd,
    identity: Identity,
}

/// What stands at a path instead of a FIFO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Other {
    /// S_IFREG
    RegularFile,
    /// S_IFDIR
    Directory,
    /// S_IFLNK
    Symlink,
    /// S_IFSOCK
    Socket,
    /// S_IFCHR, S_IFBLK
    Device,
}

impl Other {
    /// In words, with an article.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Other::RegularFile => "a regular file",
            Other::Directory => "a directory",
            Other::Symlink => "a symbolic link",
            Other::Socket => "a socket",
            Other::Device => "a device",
        }
    }
}

/// Why a FIFO was not found.
#[derive(Debug)]
pub enum NotFound {
    /// Something else is there.
    Other(Other),
    /// A system call failed.
    Io(io::Error),
}

/// Looks at what stands at `path`, in the last place without following a link.
pub fn find(path: &Path) -> Result<Found, NotFound> {
    let place = open(
        path,
        OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC,
        Mode::empty(),
    )
    .map_err(|e| NotFound::Io(errno::io(e)))?;
    let stat = fstat(&place).map_err(|e| NotFound::Io(errno::io(e)))?;
    let other = match SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits()) {
        SFlag::S_IFIFO => {
            return Ok(Found {
                place,
                identity: (stat.st_dev, stat.st_ino),
            });
        }
        SFlag::S_IFDIR => Other::Directory,
        SFlag::S_IFLNK => Other::Symlink,
        SFlag::S_IFSOCK => Other::Socket,
        SFlag::S_IFREG => Other::RegularFile,
        _ => Other::Device,
    };
    Err(NotFound::Other(other))
}

impl Found {
    /// Which file it is.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// O_RDONLY|O_NONBLOCK: opens at once, with or without a writer.
    pub fn open_read(&self) -> io::Result<OwnedFd> {
        pipe::reopen(&self.place, OFlag::O_RDONLY | OFlag::O_NONBLOCK)
    }

    /// O_WRONLY|O_NONBLOCK: ENXIO where there is no reader.
    pub fn open_write(&self) -> io::Result<OwnedFd> {
        pipe::reopen(&self.place, OFlag::O_WRONLY | OFlag::O_NONBLOCK)
    }

    /// O_RDWR|O_NONBLOCK: opens at once and is a reader and a writer itself. Needs permission for both.
    pub fn open_both(&self) -> io::Result<OwnedFd> {
        pipe::reopen(&self.place, OFlag::O_RDWR | OFlag::O_NONBLOCK)
    }
}

/// The identity of the FIFO behind an open end.
pub fn identity(end: impl AsFd) -> io::Result<Identity> {
    let stat = fstat(end).map_err(errno::io)?;
    Ok((stat.st_dev, stat.st_ino))
}

/// Makes a FIFO with exactly these permission bits (whatever the umask) and owner. EEXIST where something is there.
pub fn make(path: &Path, mode: u32, user: Option<Uid>, group: Option<Gid>) -> io::Result<()> {
    // Closed until it is what was asked for: nobody opens it meanwhile by a mode that is too wide.
    mkfifo(path, Mode::empty()).map_err(errno::io)?;
    let finish = || -> Result<(), Errno> {
        if user.is_some() || group.is_some() {
            nix::unistd::fchownat(nix::fcntl::AT_FDCWD, path, user, group, AtFlags::AT_SYMLINK_NOFOLLOW)?;
        }
        let stat = fstatat(nix::fcntl::AT_FDCWD, path, AtFlags::AT_SYMLINK_NOFOLLOW)?;
        if stat.st_mode & SFlag::S_IFMT.bits() != SFlag::S_IFIFO.bits() {
            return Err(Errno::EEXIST);
        }
        fchmodat(
            nix::fcntl::AT_FDCWD,
            path,
            Mode::from_bits_truncate(mode),
            FchmodatFlags::FollowSymlink,
        )
    };
    finish().map_err(|failed| {
        // What is half made would look like somebody else's FIFO at the next try.
        let _ = nix::unistd::unlink(path);
        errno::io(failed)
    })
}

/// The user of this name or number. `Ok(None)`: there is none.
pub fn user(name: &str) -> io::Result<Option<Uid>> {
    if let Ok(number) = name.parse() {
        return Ok(Some(Uid::from_raw(number)));
    }
    Ok(User::from_name(name).map_err(errno::io)?.map(|user| user.uid))
}

/// The group of this name or number. `Ok(None)`: there is none.
pub fn group(name: &str) -> io::Result<Option<Gid>> {
    if let Ok(number) = name.parse() {
        return Ok(Some(Gid::from_raw(number)));
    }
    Ok(Group::from_name(name).map_err(errno::io)?.map(|group| group.gid))
}
