//! Descriptors that come over a socket, and those that are to have certain numbers. The only unsafe code of the harness.
#![allow(unsafe_code)]

use std::io::IoSliceMut;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use nix::sys::stat::{SFlag, fstat};

/// As systemd's NOTIFY_BUFFER_MAX.
const LONGEST: usize = 4096;
/// The kernel's SCM_MAX_FD.
const MOST: usize = 253;
/// What LISTEN_FDS begins with (SD_LISTEN_FDS_START).
const FIRST: i32 = 3;

/// A message with all that came with it.
pub(super) struct Received {
    pub(super) bytes: Vec<u8>,
    pub(super) descriptors: Vec<OwnedFd>,
    /// 0 where the socket does not ask for it.
    pub(super) sender: i32,
    pub(super) is_whole: bool,
}

/// The next message, if there is one.
pub(super) fn receive(socket: BorrowedFd<'_>, flags: MsgFlags) -> nix::Result<Received> {
    let mut bytes = vec![0; LONGEST];
    let mut room = nix::cmsg_space!([i32; MOST], libc::ucred);
    let mut pieces = [IoSliceMut::new(&mut bytes)];
    let flags = flags | MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<()>(socket.as_raw_fd(), &mut pieces, Some(&mut room), flags)?;
    let (mut descriptors, mut sender) = (Vec::new(), 0);
    for control in message.cmsgs()? {
        match control {
            ControlMessageOwned::ScmRights(numbers) => {
                for number in numbers {
                    // SAFETY: recvmsg(2) has just made this descriptor for us, and nobody else knows of it.
                    descriptors.push(unsafe { OwnedFd::from_raw_fd(number) });
                }
            }
            ControlMessageOwned::ScmCredentials(credentials) => sender = credentials.pid(),
            _ => {}
        }
    }
    let (count, is_whole) = (message.bytes, !message.flags.intersects(MsgFlags::MSG_TRUNC));
    bytes.truncate(count);
    Ok(Received {
        bytes,
        descriptors,
        sender,
        is_whole,
    })
}

/// Whether both are the same open file, as systemd asks it: by kcmp(2), else by what can be seen of it.
pub(super) fn are_the_same(one: &OwnedFd, other: &OwnedFd) -> bool {
    let pid = nix::unistd::getpid().as_raw();
    let (first, second) = (one.as_raw_fd(), other.as_raw_fd());
    // SAFETY: kcmp(2) takes five integers and touches no memory.
    let order = unsafe { libc::syscall(libc::SYS_kcmp, pid, pid, 0, first, second) };
    if order >= 0 {
        return order == 0;
    }
    let seen = |descriptor: &OwnedFd| {
        let status = fstat(descriptor).ok()?;
        let mode = fcntl(descriptor, FcntlArg::F_GETFL).ok()?;
        let mode = OFlag::from_bits_retain(mode) & OFlag::O_ACCMODE;
        Some((status.st_dev, status.st_ino, mode))
    };
    seen(one).is_some() && seen(one) == seen(other)
}

/// Whether it is a pipe or a FIFO.
pub(super) fn is_pipe(descriptor: impl AsFd) -> bool {
    let mode = fstat(descriptor).map(|status| status.st_mode);
    mode.is_ok_and(|mode| mode & SFlag::S_IFMT.bits() == SFlag::S_IFIFO.bits())
}

/// Gives them the numbers from 3 on, over execve(2). Whatever else has these numbers is closed.
pub(super) fn place(descriptors: Vec<OwnedFd>) -> nix::Result<()> {
    let beyond = FIRST + i32::try_from(descriptors.len()).map_err(|_| Errno::EMFILE)?;
    let mut aside = Vec::new();
    for descriptor in descriptors {
        let number = fcntl(&descriptor, FcntlArg::F_DUPFD_CLOEXEC(beyond))?;
        // SAFETY: fcntl(2) has just made this descriptor for us, and nobody else knows of it.
        aside.push(unsafe { OwnedFd::from_raw_fd(number) });
    }
    for (descriptor, number) in aside.iter().zip(FIRST..) {
        // SAFETY: nothing in this process uses a descriptor of these numbers any more: it is about to execute another
        // program, and those that it holds itself are all beyond them.
        let placed = unsafe { nix::unistd::dup2_raw(descriptor, number) }?;
        // It is for the next program.
        let _ = placed.into_raw_fd();
    }
    Ok(())
}
