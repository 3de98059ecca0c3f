//! Telling the service manager something (sd_notify(3)), without ever waiting for it.

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, connect, send, socket};
use sd_notify::NotifyState;

/// Sends it to `$NOTIFY_SOCKET`; does nothing where there is none. False when the manager has left so many messages
/// unread (net.unix.max_dgram_qlen) that there is no room for another now.
pub fn try_notify(states: &[NotifyState<'_>]) -> io::Result<bool> {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else {
        return Ok(true);
    };
    let address = match path.as_bytes() {
        [b'@', name @ ..] => UnixAddr::new_abstract(name)?,
        name => UnixAddr::new(name)?,
    };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Unix, SockType::Datagram, flags, None)?;
    connect(socket.as_raw_fd(), &address)?;
    let text: String = states.iter().map(|state| format!("{state}\n")).collect();
    match send(socket.as_raw_fd(), text.as_bytes(), MsgFlags::MSG_NOSIGNAL) {
        Ok(_) => Ok(true),
        Err(Errno::EAGAIN) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}
