//! The other end of sd_notify(3): a socket to which children send messages, and who has sent each.
//!
//! Its address is abstract (unix(7)): it stands in no directory, so that a child under another user, or one that does
//! not see the runtime directory, reaches it all the same, and nothing is left when the daemon is killed. Whoever knows
//! the address may send; the kernel says who it was.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, bind, getsockname, setsockopt, socket, sockopt};

/// As systemd's (NOTIFY_BUFFER_MAX); a longer message is no message.
pub const LONGEST: usize = 4096;

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// What it says; empty where it was too long.
    pub text: Vec<u8>,
    /// Who sent it; 0 for somebody of whom the daemon's PID namespace does not know.
    pub sender: i32,
}

/// Room for the sender's credentials and for nothing else: descriptors that are sent along do not fit, and what does
/// not fit the kernel closes (unix(7)), which is what a sender of BARRIER=1 waits for.
#[repr(C)]
struct Ancillary {
    header: libc::cmsghdr,
    credentials: libc::ucred,
    /// Up to CMSG_SPACE.
    padding: u32,
}

/// A new socket that does not block, and its address as it stands in NOTIFY_SOCKET.
pub fn listen() -> io::Result<(OwnedFd, String)> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Unix, SockType::Datagram, flags, None)?;
    // Before it has an address: every message tells its sender.
    setsockopt(&socket, sockopt::PassCred, &true)?;
    // The kernel chooses a name that nobody has (unix(7), autobind).
    bind(socket.as_raw_fd(), &UnixAddr::new_unnamed())?;
    let address: UnixAddr = getsockname(socket.as_raw_fd())?;
    let name = address.as_abstract().and_then(|name| str::from_utf8(name).ok());
    let name = name.ok_or_else(|| io::Error::other("the kernel gave the socket no abstract address"))?;
    Ok((socket, format!("@{name}")))
}

/// The next message; `WouldBlock` when there is none.
pub fn receive(socket: BorrowedFd<'_>) -> io::Result<Notification> {
    let mut text = vec![0_u8; LONGEST];
    let mut ancillary = MaybeUninit::<Ancillary>::zeroed();
    let mut piece = libc::iovec {
        iov_base: text.as_mut_ptr().cast(),
        iov_len: text.len(),
    };
    // SAFETY: all zeros is a msghdr without anything.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = ptr::from_mut(&mut piece);
    message.msg_iovlen = 1;
    message.msg_control = ancillary.as_mut_ptr().cast();
    let flags = libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
    let count = loop {
        message.msg_controllen = size_of::<Ancillary>() as _;
        // SAFETY: the message points to a buffer and to ancillary room of the lengths that it says, all of them alive.
        let count = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, flags) };
        match Errno::result(count) {
            Err(Errno::EINTR) => {}
            result => break result?,
        }
    };
    let whole = message.msg_flags & libc::MSG_TRUNC == 0;
    text.truncate(if whole { usize::try_from(count).unwrap_or(0) } else { 0 });
    // SAFETY: zeros are a value of this plain struct, and the kernel has written nothing but bytes over them.
    let Ancillary {
        header, credentials, ..
    } = unsafe { ancillary.assume_init() };
    let told = header.cmsg_level == libc::SOL_SOCKET && header.cmsg_type == libc::SCM_CREDENTIALS;
    Ok(Notification {
        text,
        sender: if told { credentials.pid } else { 0 },
    })
}

#[cfg(test)]
mod tests {
    use std::io::{IoSlice, Read};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};

    use super::*;

    fn send(address: &str, text: &[u8], descriptors: &[i32]) {
        let flags = SockFlag::SOCK_CLOEXEC;
        let from = socket(AddressFamily::Unix, SockType::Datagram, flags, None).unwrap();
        let to = UnixAddr::new_abstract(address.strip_prefix('@').unwrap().as_bytes()).unwrap();
        let rights = [ControlMessage::ScmRights(descriptors)];
        let rights = if descriptors.is_empty() { &[][..] } else { &rights[..] };
        sendmsg(
            from.as_raw_fd(),
            &[IoSlice::new(text)],
            rights,
            MsgFlags::empty(),
            Some(&to),
        )
        .unwrap();
    }

    #[test]
    fn a_message_and_its_sender() {
        let (socket, address) = listen().unwrap();
        let empty = receive(socket.as_fd()).unwrap_err();
        assert_eq!(empty.kind(), io::ErrorKind::WouldBlock);
        for text in [&b"READY=1"[..], b"", &[b'x'; LONGEST]] {
            send(&address, text, &[]);
            let got = receive(socket.as_fd()).unwrap();
            assert_eq!(got.text, text);
            assert_eq!(got.sender, std::process::id().cast_signed());
        }
        send(&address, &[b'x'; LONGEST + 1], &[]);
        assert_eq!(receive(socket.as_fd()).unwrap().text, b"");
    }

    #[test]
    fn descriptors_that_come_along_are_closed() {
        let (socket, address) = listen().unwrap();
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        send(&address, b"BARRIER=1", &[theirs.as_raw_fd(); 200]);
        drop(theirs);
        let got = receive(socket.as_fd()).unwrap();
        assert_eq!(
            (got.text.as_slice(), got.sender),
            (&b"BARRIER=1"[..], std::process::id().cast_signed())
        );
        assert_eq!(ours.read(&mut [0]).unwrap(), 0, "the other end is still open");
    }
}
