//! Many FIFOs at once, by one process on each side: a thousand generators would measure the scheduler.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::time::Duration;

use nix::libc::O_NONBLOCK;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::{Orders, stream};
use crate::support::clock::{self, Deadline};

/// How long an end may take to have somebody behind it.
const PATIENCE: Duration = Duration::from_secs(20);
/// What one turn moves to or from one FIFO.
const TURN: usize = 64 * 1024;
/// The first part of the window is not counted: until every route is busy, and has found its pace.
const WARM: Duration = Duration::from_secs(1);

/// `count=N to=PREFIX`: writes into PREFIX0 … for ever, each in its turn whatever it takes then.
pub fn feed(orders: &Orders) -> Result<(), String> {
    let mut ends = open_all(orders, "to", OpenOptions::new().write(true))?;
    let piece = stream::lines(TURN);
    orders.wait_at_gate()?;
    let mut turn = 0;
    loop {
        for i in ready(&ends, PollFlags::POLLOUT, &mut turn)? {
            match ends[i].write(&piece) {
                Ok(_) => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                Err(error) => return Err(format!("write to FIFO {i}: {error}")),
            }
        }
    }
}

/// `count=N from=PREFIX msec=N`: reads all that comes out of PREFIX0 … until the window is over; reports how many bytes
/// came in it: `bytes` in all, `least` and `most` by one FIFO, and `nsec`, its length.
pub fn drain(orders: &Orders) -> Result<(), String> {
    let window = Duration::from_millis(orders.needed("msec")?);
    let mut ends = open_all(orders, "from", OpenOptions::new().read(true))?;
    let mut buffer = vec![1; 4 * TURN];
    orders.wait_at_gate()?;
    let mut bytes = vec![0_u64; ends.len()];
    let mut turn = 0;
    let warm = Deadline::within(WARM);
    while !warm.passed() {
        take(&mut ends, &mut buffer, &mut bytes, &mut turn)?;
    }
    bytes.fill(0);
    orders.tell("began=1");
    let began = clock::now();
    let over = Deadline::within(window);
    while !over.passed() {
        take(&mut ends, &mut buffer, &mut bytes, &mut turn)?;
    }
    let nsec = clock::now() - began;
    let sum: u64 = bytes.iter().sum();
    let of = |found: Option<&u64>| found.copied().unwrap_or(0);
    let (least, most) = (of(bytes.iter().min()), of(bytes.iter().max()));
    orders.tell(&format!("bytes={sum} least={least} most={most} nsec={nsec}"));
    // The load goes on until the runner has looked at everything that it costs.
    loop {
        take(&mut ends, &mut buffer, &mut bytes, &mut turn)?;
    }
}

fn take(ends: &mut [File], buffer: &mut [u8], bytes: &mut [u64], turn: &mut usize) -> Result<(), String> {
    for i in ready(ends, PollFlags::POLLIN, turn)? {
        match ends[i].read(buffer) {
            Ok(0) => return Err(format!("FIFO {i} has ended")),
            Ok(count) => bytes[i] += count as u64,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(error) => return Err(format!("read of FIFO {i}: {error}")),
        }
    }
    Ok(())
}

/// Which of them can be used; none after a tenth of a second. Each time another one is the first of them: who always came
/// last would have less than the others.
fn ready(ends: &[File], flags: PollFlags, turn: &mut usize) -> Result<Vec<usize>, String> {
    let mut polled: Vec<PollFd<'_>> = ends.iter().map(|end| PollFd::new(end.as_fd(), flags)).collect();
    match poll(&mut polled, PollTimeout::from(100_u8)) {
        Ok(_) | Err(nix::errno::Errno::EINTR) => {}
        Err(errno) => return Err(format!("poll: {errno}")),
    }
    let is_ready = |end: &PollFd<'_>| end.revents().is_some_and(|found| found.intersects(flags));
    // A step that has no divisor in common with any number of ends here.
    *turn = (*turn + 37) % polled.len().max(1);
    let order = (*turn..polled.len()).chain(0..*turn);
    Ok(order.filter(|i| is_ready(&polled[*i])).collect())
}

fn open_all(orders: &Orders, name: &str, how: &mut OpenOptions) -> Result<Vec<File>, String> {
    let how = how.custom_flags(O_NONBLOCK);
    let deadline = Deadline::within(PATIENCE);
    let open = |i: u64| {
        let path = format!("{}{i}", orders.text(name));
        loop {
            match how.open(&path) {
                Ok(end) => return Ok(end),
                Err(error) if deadline.passed() => return Err(format!("cannot open {path}: {error}")),
                // ENXIO: nobody has it open for reading yet.
                Err(_) => clock::pause(Duration::from_millis(1)),
            }
        }
    };
    (0..orders.needed("count")?).map(open).collect()
}
