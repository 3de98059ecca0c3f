//! One stream: who writes it, and who reads it. For every contestant they do the same: write(2) from one buffer that was
//! made before, and read(2) into one that is larger than most pipes.

use super::{LINE, Orders, read_some, write_all};
use crate::support::clock;

/// What a sink asks for at once. As large as the data of a core's cache may be, or it would measure memory.
const READ: usize = 256 * 1024;
const BUFFER: usize = 64 * 1024;

/// `bytes=N write=SIZE [to=FIFO] [pipe-size=N]`: writes `N` bytes, `SIZE` in a call, lines of 100 bytes; reports `start`,
/// `end` and `bytes`.
pub fn write(orders: &Orders) -> Result<(), String> {
    let (bytes, size) = (orders.needed("bytes")?, orders.needed("write")? as usize);
    let output = orders.output("to")?;
    let buffer = lines(BUFFER.max(size));
    // Touched before the clock runs.
    let piece = &buffer[..size];
    orders.wait_at_gate()?;
    let start = clock::now();
    let mut left = bytes;
    while left > 0 {
        let count = left.min(size as u64) as usize;
        write_all(&output, &piece[..count])?;
        left -= count as u64;
    }
    orders.tell(&format!("start={start} end={} bytes={bytes}", clock::now()));
    Ok(())
}

/// `[bytes=N] [from=FIFO]`: reads `N` bytes, or to the end; reports `end` and `bytes`.
pub fn read(orders: &Orders) -> Result<(), String> {
    let wanted = orders.number("bytes")?;
    let input = orders.input("from")?;
    let mut buffer = vec![1; READ];
    let mut bytes = 0;
    while wanted.is_none_or(|wanted| bytes < wanted) {
        match read_some(&input, &mut buffer)? {
            0 if wanted.is_some() => return Err(format!("the end came after {bytes} bytes")),
            0 => break,
            count => bytes += count as u64,
        }
    }
    orders.tell(&format!("end={} bytes={bytes}", clock::now()));
    Ok(())
}

/// Lines of [`LINE`] bytes, and what is left as a part of one.
pub fn lines(length: usize) -> Vec<u8> {
    let line: Vec<u8> = (b'!'..=b'~').cycle().take(LINE - 1).chain([b'\n']).collect();
    line.iter().copied().cycle().take(length).collect()
}
