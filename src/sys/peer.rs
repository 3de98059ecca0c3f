//! Who is at the other end of a UNIX socket. unix(7), socket(7).

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{getsockopt, sockopt};

use super::errno;

// Not in libc. linux/arch/*/include/uapi/asm/socket.h
#[cfg(not(any(target_arch = "sparc", target_arch = "sparc64")))]
const SO_PEERGROUPS: libc::c_int = 59;
#[cfg(any(target_arch = "sparc", target_arch = "sparc64"))]
const SO_PEERGROUPS: libc::c_int = 0x3d;

/// What most users have fewer groups than.
const SOME_GROUPS: usize = 64;

/// As whom a client called connect(2), whatever it has become since and whoever holds the socket now. An id that has no
/// number in this user namespace is shown as the overflow id (65534).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its effective user.
    pub uid: u32,
    /// Its effective group.
    pub gid: u32,
    /// Its supplementary groups.
    pub groups: Vec<u32>,
}

/// The client of an accepted connection (`SO_PEERCRED`, `SO_PEERGROUPS`).
pub fn of(socket: impl AsFd) -> io::Result<Peer> {
    let socket = socket.as_fd();
    let ids = getsockopt(&socket, sockopt::PeerCredentials).map_err(errno::io)?;
    Ok(Peer {
        uid: ids.uid(),
        gid: ids.gid(),
        groups: groups(socket).map_err(errno::io)?,
    })
}

fn groups(socket: BorrowedFd<'_>) -> Result<Vec<u32>, Errno> {
    let mut groups: Vec<libc::gid_t> = vec![0; SOME_GROUPS];
    loop {
        let mut length = libc::socklen_t::try_from(size_of_val(groups.as_slice())).map_err(|_| Errno::EINVAL)?;
        // SAFETY: the kernel writes at most `length` bytes, the size of the list, and then how many there are, into a
        // live local; any bytes are a gid_t. The descriptor is borrowed and so open.
        let answer = unsafe {
            libc::getsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                SO_PEERGROUPS,
                groups.as_mut_ptr().cast(),
                &raw mut length,
            )
        };
        let count = usize::try_from(length).map_err(|_| Errno::EINVAL)? / size_of::<libc::gid_t>();
        match Errno::result(answer) {
            Ok(_) => {
                groups.truncate(count);
                return Ok(groups);
            }
            // The list is too short, and `length` says how long it has to be. They never change.
            Err(Errno::ERANGE) if count > groups.len() => groups.resize(count, 0),
            Err(errno) => return Err(errno),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn the_peer_of_a_pair_is_oneself() {
        let (here, _there) = UnixStream::pair().unwrap();
        let peer = of(&here).unwrap();
        let own: Vec<u32> = nix::unistd::getgroups()
            .unwrap()
            .iter()
            .map(|gid| gid.as_raw())
            .collect();
        assert_eq!(peer.uid, nix::unistd::geteuid().as_raw());
        assert_eq!(peer.gid, nix::unistd::getegid().as_raw());
        assert_eq!(peer.groups, own);
    }

    #[test]
    fn what_is_no_socket_has_no_peer() {
        assert!(of(std::fs::File::open("/dev/null").unwrap()).is_err());
    }
}
