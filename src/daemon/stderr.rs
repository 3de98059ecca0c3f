//! Standard error, written by a thread of its own: whoever has a line for it never waits. Bounded in bytes; when nobody
//! reads, lines are left out, and counted for when somebody does.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, SyncSender};
use std::thread;
use std::time::Duration;

/// Bytes of lines that wait to be written.
const MOST_QUEUED: usize = 4 * 1024 * 1024;
/// At the end: how long a write may take nothing before what is left is given up.
const PATIENCE: Duration = Duration::from_secs(1);

enum Message {
    Line(Vec<u8>),
    /// Answer when everything before this is written.
    Flush(SyncSender<()>),
}

/// The way to standard error. A copy of it is another way to the same queue.
#[derive(Clone, Debug)]
pub struct Lines {
    queue: Sender<Message>,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    queued: AtomicUsize,
    left_out: AtomicU64,
}

impl Lines {
    /// Starts the thread, which writes to `out`.
    pub fn start(out: impl Write + Send + 'static) -> io::Result<Lines> {
        let (queue, lines) = mpsc::channel();
        let counts = Arc::new(Counts::default());
        let counted = Arc::clone(&counts);
        thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || write_all(&lines, out, &counted))?;
        Ok(Lines { queue, counts })
    }

    /// Waits until all is written, as long as that gets on.
    pub fn flush(&self) {
        let (reply, answer) = mpsc::sync_channel(1);
        if self.queue.send(Message::Flush(reply)).is_err() {
            return;
        }
        loop {
            let before = self.counts.queued.load(Relaxed);
            match answer.recv_timeout(PATIENCE) {
                Err(RecvTimeoutError::Timeout) if self.counts.queued.load(Relaxed) < before => {}
                _ => return,
            }
        }
    }
}

/// Each call is one line.
impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let before = self.counts.queued.fetch_add(line.len(), Relaxed);
        let sent = before <= MOST_QUEUED && self.queue.send(Message::Line(line.to_vec())).is_ok();
        if !sent {
            self.counts.queued.fetch_sub(line.len(), Relaxed);
            self.counts.left_out.fetch_add(1, Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write_all(lines: &Receiver<Message>, mut out: impl Write, counts: &Counts) {
    for message in lines {
        match message {
            // There is nobody to tell that standard error cannot be written.
            Message::Line(line) => {
                let _ = out.write_all(&line);
                counts.queued.fetch_sub(line.len(), Relaxed);
            }
            Message::Flush(reply) => {
                let _ = reply.send(());
            }
        }
        let left_out = counts.left_out.swap(0, Relaxed);
        if left_out > 0 {
            let _ = writeln!(out, "{left_out} log lines were left out: standard error was not read");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_queued_is_bounded_and_what_is_left_out_is_told() {
        let (mut reader, writer) = io::pipe().unwrap();
        let mut lines = Lines::start(writer).unwrap();
        let line = [&[b'x'; 99_999][..], b"\n"].concat();
        for _ in 0..1000 {
            lines.write_all(&line).unwrap();
        }
        assert!(lines.counts.queued.load(Relaxed) <= MOST_QUEUED + line.len());
        let read = thread::spawn(move || io::read_to_string(&mut reader).unwrap());
        lines.flush();
        drop(lines);
        let text = read.join().unwrap();
        let written = text.lines().filter(|line| line.len() == 99_999).count();
        let told = text
            .lines()
            .find_map(|line| line.strip_suffix(" log lines were left out: standard error was not read"));
        assert_eq!(told, Some((1000 - written).to_string().as_str()));
    }
}
