//! How a peer says that it is ready (sd_notify(3)).

use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::super::clock;
use super::super::notification::send;
use super::Stop;

fn address() -> Result<String, Stop> {
    std::env::var("NOTIFY_SOCKET").map_err(|_| Stop::Failed("there is no NOTIFY_SOCKET".to_owned()))
}

pub(super) fn notify(text: &str) -> Result<(), Stop> {
    Ok(send(&address()?, &text.replace("\\n", "\n"), &[])?)
}

pub(super) fn notify_elsewhere(path: &str) -> Result<(), Stop> {
    let deadline = clock::Deadline::within(clock::PATIENCE);
    loop {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        if let Some((address, _)) = text.split_once(' ') {
            return Ok(send(address, "READY=1\nSTATUS=forged", &[])?);
        }
        if deadline.passed() {
            return Err(Stop::Failed(format!("no address in {path}")));
        }
        clock::pause_briefly();
    }
}

pub(super) fn barrier() -> Result<(), Stop> {
    let (ours, theirs) = nix::unistd::pipe()?;
    send(&address()?, "BARRIER=1", &[theirs.as_raw_fd()])?;
    drop(theirs);
    let mut hung_up = [PollFd::new(ours.as_fd(), PollFlags::empty())];
    match poll(&mut hung_up, PollTimeout::from(30_000_u16))? {
        0 => Err(Stop::Failed("the descriptor is still open".to_owned())),
        _ => Ok(()),
    }
}

pub(super) fn feed_watchdog(millis: u64, path: &str) -> Result<(), Stop> {
    while !Path::new(path).exists() {
        notify("WATCHDOG=1")?;
        clock::let_pass(Duration::from_millis(millis));
    }
    Ok(())
}

/// Full messages, of which each line takes back what the one before it has said.
pub(super) fn chatter(count: u64) -> Result<(), Stop> {
    let (address, text) = (address()?, "STATUS=a\nSTATUS=b\n".repeat(227));
    for _ in 0..count {
        send(&address, &text, &[])?;
    }
    Ok(())
}

/// Nothing of this makes anybody ready.
pub(super) fn garbage() -> Result<(), Stop> {
    let address = address()?;
    let long = format!("READY=1\nSTATUS={}", "x".repeat(4096));
    let longer = "READY=1\n".repeat(10_000);
    let odd = "READY=2\nREADY\n=\n\0\u{1}\nWATCHDOG=\nEXTEND_TIMEOUT_USEC=soon\nSTOPPING=1\nRELOADING=1\nMAINPID=1\nX";
    for text in ["", "\n", &long, &longer, odd] {
        send(&address, text, &[])?;
    }
    Ok(send(&address, "FDSTORE=1\nFDNAME=x", &[0, 1, 2, 0, 1, 2])?)
}
