//! How long a small message takes.

use std::time::Duration;

use super::{Orders, read_some, write_all};
use crate::support::{clock, percentile};

/// Bytes of one message.
const PING: usize = 64;
/// So many first ones are not counted.
const WARM: usize = 200;

/// `msec=N [to=FIFO] [from=FIFO]`: for so long sends a message, waits until it has come back, and sends the next one;
/// reports `p50`, `p99`, `p999` and `most` in nanoseconds, and `count`.
pub fn ping(orders: &Orders) -> Result<(), String> {
    let time = Duration::from_millis(orders.needed("msec")?);
    let (output, input) = (orders.output("to")?, orders.input("from")?);
    let mut took: Vec<u64> = Vec::with_capacity(1 << 20);
    orders.wait_at_gate()?;
    let deadline = clock::Deadline::within(time);
    let mut message = [7; PING];
    for count in 0.. {
        let sent = clock::now();
        write_all(&output, &message)?;
        let mut got = 0;
        while got < PING {
            match read_some(&input, &mut message[got..])? {
                0 => return Err(format!("the end came after {count} pings")),
                count => got += count,
            }
        }
        let came = clock::now();
        if count >= WARM {
            took.push(came - sent);
        }
        if deadline.passed() {
            break;
        }
    }
    took.sort_unstable();
    let at = |share| percentile(&took, share);
    let most = took.last().copied().unwrap_or(0);
    let (p50, p99, p999) = (at(0.5), at(0.99), at(0.999));
    if took.is_empty() {
        return Err("not one ping was counted".to_owned());
    }
    orders.tell(&format!(
        "p50={p50} p99={p99} p999={p999} most={most} count={}",
        took.len()
    ));
    Ok(())
}

/// Sends back what it gets, to the end.
pub fn echo(orders: &Orders) -> Result<(), String> {
    let (output, input) = (orders.output("to")?, orders.input("from")?);
    let mut buffer = [0; 4096];
    loop {
        match read_some(&input, &mut buffer)? {
            0 => return Ok(()),
            count => write_all(&output, &buffer[..count])?,
        }
    }
}
