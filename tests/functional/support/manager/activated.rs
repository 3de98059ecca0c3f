//! The stage between the warden and a daemon of the [`Manager`](super::Manager): it fetches the descriptors that are
//! passed, gives them their numbers, and becomes the daemon (sd_listen_fds(3)).

use std::io::{Error, Write};
use std::os::fd::AsFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};

use super::super::PATIENCE;
use super::descriptors;

/// The first argument that makes the test executable this stage.
pub const PART: &str = "@activated";

/// Where the descriptors are to be fetched.
pub(super) fn listener(name: &str) -> UnixListener {
    let address = SocketAddr::from_abstract_name(name).expect("an abstract address");
    let listener = UnixListener::bind_addr(&address).expect("a socket to pass descriptors by");
    listener.set_nonblocking(true).expect("a socket that does not wait");
    listener
}

/// Gives them out, one by one: so that each keeps its name.
pub(super) fn pass(to: &UnixStream, descriptors: Vec<(std::os::fd::OwnedFd, String)>) -> std::io::Result<()> {
    use std::io::{IoSlice, Read};
    use std::os::fd::AsRawFd;
    to.set_nonblocking(false)?;
    to.set_read_timeout(Some(PATIENCE))?;
    for (descriptor, name) in descriptors {
        let (number, text) = ([descriptor.as_raw_fd()], [IoSlice::new(name.as_bytes())]);
        let rights = [ControlMessage::ScmRights(&number)];
        sendmsg::<()>(to.as_raw_fd(), &text, &rights, MsgFlags::MSG_NOSIGNAL, None)?;
        let mut to = to;
        to.read_exact(&mut [0])?;
    }
    Ok(())
}

/// The stage's own main: `NAME PROGRAM ARGUMENT …`.
pub fn play(arguments: &[String]) -> ExitCode {
    let [name, program, arguments @ ..] = arguments else {
        return ExitCode::from(2);
    };
    let error = become_activated(name, program, arguments).map_or_else(|error| error, |never| match never {});
    eprintln!("{PART}: cannot become {program}: {error}");
    ExitCode::FAILURE
}

fn become_activated(name: &str, program: &str, arguments: &[String]) -> Result<std::convert::Infallible, Error> {
    let mut from = UnixStream::connect_addr(&SocketAddr::from_abstract_name(name)?)?;
    let (mut passed, mut names) = (Vec::new(), Vec::new());
    loop {
        let received = descriptors::receive(from.as_fd(), MsgFlags::empty())?;
        if received.descriptors.is_empty() {
            break;
        }
        passed.extend(received.descriptors);
        names.push(String::from_utf8_lossy(&received.bytes).into_owned());
        from.write_all(b"+")?;
    }
    drop(from);
    let mut command = Command::new(program);
    command.args(arguments);
    if !passed.is_empty() {
        command
            .env("LISTEN_PID", std::process::id().to_string())
            .env("LISTEN_FDS", passed.len().to_string())
            .env("LISTEN_FDNAMES", names.join(":"));
    }
    descriptors::place(passed)?;
    Err(command.exec())
}
