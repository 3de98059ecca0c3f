//! Sending a message to whoever listens at an address as it stands in NOTIFY_SOCKET (sd_notify(3)).

use std::io::IoSlice;
use std::os::fd::AsRawFd;

use nix::sys::socket::{AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, UnixAddr, sendmsg, socket};

/// One message, with descriptors.
pub fn send(address: &str, text: &str, descriptors: &[i32]) -> nix::Result<()> {
    let from = socket(AddressFamily::Unix, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    let to = match address.strip_prefix('@') {
        Some(name) => UnixAddr::new_abstract(name.as_bytes())?,
        None => UnixAddr::new(address)?,
    };
    let rights = [ControlMessage::ScmRights(descriptors)];
    let rights = if descriptors.is_empty() { &[][..] } else { &rights[..] };
    let text = [IoSlice::new(text.as_bytes())];
    sendmsg(from.as_raw_fd(), &text, rights, MsgFlags::MSG_NOSIGNAL, Some(&to))?;
    Ok(())
}
