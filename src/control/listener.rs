//! The control socket: made by the daemon, or passed by systemd. Depends on nix.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt, lchown};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, Flock, FlockArg, OFlag, fcntl};
use nix::poll::{PollTimeout, poll};
use nix::sys::socket::{self, AddressFamily, Backlog, SockFlag, SockType, SockaddrLike, UnixAddr, sockopt};
use nix::sys::stat::{Mode, fchmod};
use serde::{Deserialize, Serialize};

use super::access::Group;

/// Why there is no control socket.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Somebody answers there.
    #[error("a living daemon has the control socket {0}; stop it, or set another `socket` in [control]")]
    InUse(PathBuf),
    /// Something else stands there.
    #[error("{0} is not a stream socket; remove it, or set another `socket` in [control]")]
    NotASocket(PathBuf),
    /// There is no such directory.
    #[error("the directory of the control socket {0} is not there; make it")]
    NoDirectory(PathBuf),
    /// sun_path has 108 bytes, unix(7).
    #[error("the path of the control socket is longer than 107 bytes: {0}; set a shorter `socket` in [control]")]
    TooLong(PathBuf),
    /// Another daemon is being started on the same socket.
    #[error("the directory of the control socket {0} is locked by another program; try again")]
    Locked(PathBuf),
    /// A descriptor that was passed is not what it should be.
    #[error("the descriptor passed as control socket is not a listening UNIX stream socket; see sluiced.socket")]
    NotListening,
    /// chown(2): a group that the daemon is not in can only be given by root (CAP_CHOWN).
    #[error(
        "cannot give the control socket {} to group {group:?}; run the daemon as root or as a member of that group, or \
         have systemd make the socket (SocketGroup= in sluiced.socket)",
        path.display()
    )]
    Group {
        /// Where.
        path: PathBuf,
        /// As configured.
        group: String,
        /// Why not.
        source: io::Error,
    },
    /// A system call failed.
    #[error("cannot {what} the control socket {path}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// A listening control socket. One that was made here is removed when this is dropped, if it is still the same.
#[derive(Debug)]
pub struct Listener {
    socket: UnixListener,
    made: Option<Made>,
}

/// Which file a listener has made, and removes at its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl Listener {
    /// The socket, non-blocking.
    pub(super) fn socket(&self) -> &UnixListener {
        &self.socket
    }

    /// A copy for the daemon's next life.
    pub fn copy(&self) -> io::Result<OwnedFd> {
        Ok(self.socket.try_clone()?.into())
    }

    /// The file that it has made; `None` where it was passed.
    #[must_use]
    pub fn made(&self) -> Option<&Made> {
        self.made.as_ref()
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let Some(made) = &self.made else { return };
        // The socket is still open, so its inode's number cannot be another's yet.
        let same =
            fs::symlink_metadata(&made.path).is_ok_and(|there| (there.dev(), there.ino()) == (made.device, made.inode));
        if same {
            let _ = fs::remove_file(&made.path);
        }
    }
}

/// Makes the control socket at `path` with the permission bits `mode`, and gives it to `group`. A socket that a dead daemon left is replaced;
/// one that somebody answers on, or what is no socket, never is.
pub fn listen(path: &Path, mode: u32, group: Option<&Group>) -> Result<Listener, ListenError> {
    let failed = |what| {
        move |source: io::Error| ListenError::Io {
            what,
            path: path.to_owned(),
            source,
        }
    };
    let address = UnixAddr::new(path).map_err(|_| ListenError::TooLong(path.to_owned()))?;
    let _lock = lock_directory(path)?;
    remove_dead(path, &address)?;
    let socket = new_socket().map_err(failed("create"))?;
    // bind(2) on Linux gives the file the mode of the socket's own inode, less the umask: never wider than `mode`.
    fchmod(&socket, Mode::from_bits_truncate(mode)).map_err(|errno| failed("set the mode of")(errno.into()))?;
    socket::bind(socket.as_raw_fd(), &address).map_err(|errno| match errno {
        Errno::EADDRINUSE => ListenError::InUse(path.to_owned()),
        other => failed("bind")(other.into()),
    })?;
    let there = fs::symlink_metadata(path).map_err(failed("find"))?;
    let listener = Listener {
        socket: UnixListener::from(socket),
        made: Some(Made {
            path: path.to_owned(),
            device: there.dev(),
            inode: there.ino(),
        }),
    };
    // Nobody gets in by the group that it had, for nobody listens yet.
    if let Some(group) = group.filter(|group| group.gid != there.gid()) {
        lchown(path, None, Some(group.gid)).map_err(|source| ListenError::Group {
            path: path.to_owned(),
            group: group.name.clone(),
            source,
        })?;
    }
    if there.permissions().mode() & 0o7777 != mode & 0o7777 {
        fs::set_permissions(path, fs::Permissions::from_mode(mode & 0o7777)).map_err(failed("set the mode of"))?;
    }
    // The kernel cuts it at net.core.somaxconn.
    socket::listen(&listener.socket, Backlog::MAXALLOWABLE).map_err(|errno| failed("listen on")(errno.into()))?;
    Ok(listener)
}

/// Takes a control socket that was passed (`LISTEN_FDS` with `FileDescriptorName=control`). It is never removed.
pub fn from_activation(descriptor: OwnedFd) -> Result<Listener, ListenError> {
    let local = socket::getsockname::<socket::SockaddrStorage>(descriptor.as_raw_fd());
    let unix = local.is_ok_and(|address| address.family() == Some(AddressFamily::Unix));
    let stream = socket::getsockopt(&descriptor, sockopt::SockType) == Ok(SockType::Stream);
    let listening = socket::getsockopt(&descriptor, sockopt::AcceptConn) == Ok(true);
    if !(unix && stream && listening) {
        return Err(ListenError::NotListening);
    }
    let failed = |errno: Errno| ListenError::Io {
        what: "set the flags of",
        path: PathBuf::from("(passed)"),
        source: errno.into(),
    };
    fcntl(&descriptor, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).map_err(failed)?;
    let flags = OFlag::from_bits_retain(fcntl(&descriptor, FcntlArg::F_GETFL).map_err(failed)?);
    fcntl(&descriptor, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK)).map_err(failed)?;
    Ok(Listener {
        socket: UnixListener::from(descriptor),
        made: None,
    })
}

/// Takes a control socket from the daemon's last life, which had it by `listen` or by `from_activation`.
pub fn taken_over(descriptor: OwnedFd, made: Option<Made>) -> Result<Listener, ListenError> {
    let mut listener = from_activation(descriptor)?;
    listener.made = made;
    Ok(listener)
}

fn new_socket() -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    Ok(socket::socket(AddressFamily::Unix, SockType::Stream, flags, None)?)
}

/// Two daemons that find the same dead socket must not both replace it: the second would remove the first one's.
fn lock_directory(path: &Path) -> Result<Flock<fs::File>, ListenError> {
    let directory = match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => return Err(ListenError::NotASocket(path.to_owned())),
    };
    let only_a_directory = OFlag::O_DIRECTORY.bits();
    let opened = fs::File::options()
        .read(true)
        .custom_flags(only_a_directory)
        .open(directory);
    let mut file = opened.map_err(|source| match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => ListenError::NoDirectory(path.to_owned()),
        _ => ListenError::Io {
            what: "open the directory of",
            path: path.to_owned(),
            source,
        },
    })?;
    // Others (systemd-tmpfiles) lock directories for a moment; a second is more than that.
    for _ in 0..100 {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(lock),
            Err((back, Errno::EWOULDBLOCK | Errno::EINTR)) => file = back,
            Err((_, errno)) => {
                return Err(ListenError::Io {
                    what: "lock the directory of",
                    path: path.to_owned(),
                    source: errno.into(),
                });
            }
        }
        let _ = poll(&mut [], PollTimeout::from(10_u8));
    }
    Err(ListenError::Locked(path.to_owned()))
}

fn remove_dead(path: &Path, address: &UnixAddr) -> Result<(), ListenError> {
    let failed = |what| {
        move |source: io::Error| ListenError::Io {
            what,
            path: path.to_owned(),
            source,
        }
    };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed("look at")(error)),
        Ok(there) if !there.file_type().is_socket() => return Err(ListenError::NotASocket(path.to_owned())),
        Ok(_) => {}
    }
    let probe = new_socket().map_err(failed("create"))?;
    match socket::connect(probe.as_raw_fd(), address) {
        Err(Errno::ECONNREFUSED) => fs::remove_file(path).map_err(failed("remove")),
        Err(Errno::ENOENT) => Ok(()),
        // EAGAIN: it lives, and its backlog is full.
        Ok(()) | Err(Errno::EAGAIN) => Err(ListenError::InUse(path.to_owned())),
        Err(Errno::EPROTOTYPE) => Err(ListenError::NotASocket(path.to_owned())),
        Err(errno) => Err(failed("try")(errno.into())),
    }
}

#[cfg(test)]
mod tests;
