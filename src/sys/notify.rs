//! Telling the service manager something (sd_notify(3)), without ever waiting for it.

use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, UnixAddr, connect, sendmsg, socket,
};
use sd_notify::NotifyState;

/// A socket to `$NOTIFY_SOCKET`; `None` where there is no manager.
pub fn open() -> io::Result<Option<OwnedFd>> {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else {
        return Ok(None);
    };
    let address = match path.as_bytes() {
        [b'@', name @ ..] => UnixAddr::new_abstract(name)?,
        name => UnixAddr::new(name)?,
    };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Unix, SockType::Datagram, flags, None)?;
    connect(socket.as_raw_fd(), &address)?;
    Ok(Some(socket))
}

/// Sends a message and copies of these descriptors with it. False when the manager has left so many messages unread
/// (net.unix.max_dgram_qlen) that there is no room for another now.
pub fn send(socket: &OwnedFd, text: &str, ends: &[BorrowedFd<'_>]) -> io::Result<bool> {
    let numbers: Vec<i32> = ends.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&numbers)];
    let rights = if numbers.is_empty() { &[][..] } else { &rights[..] };
    let text = [IoSlice::new(text.as_bytes())];
    match sendmsg::<UnixAddr>(socket.as_raw_fd(), &text, rights, MsgFlags::MSG_NOSIGNAL, None) {
        Ok(_) => Ok(true),
        // ETOOMANYREFS: so many descriptors are on their way already (unix(7)).
        Err(Errno::EAGAIN | Errno::ETOOMANYREFS) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

/// Sends it to `$NOTIFY_SOCKET`; does nothing where there is none. False as of [`send`].
pub fn try_notify(states: &[NotifyState<'_>]) -> io::Result<bool> {
    let Some(socket) = open()? else { return Ok(true) };
    let text: String = states.iter().map(|state| format!("{state}\n")).collect();
    send(&socket, &text, &[])
}
