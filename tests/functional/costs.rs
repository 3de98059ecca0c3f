//! What a route costs, in system calls: counted by `strace -c`, on fixed input, and held against upper bounds. No time is
//! measured, so a busy machine fails nothing. A bound that has to be raised is a decision; one that can be lowered is, too.
//!
//! Writer and readers go in step with the daemon: a piece is written by one write(2) into an empty FIFO, and the next one only
//! when every reader has the whole of it. So the daemon is woken by each piece, sees all of it, and finds room for it. What it
//! does then is the same on every machine, but for a piece that comes before it has gone to sleep, which makes it less.
//! Two runs of different length are compared, so that start and end do not count.

use std::collections::BTreeMap;

use nix::sys::signal::Signal;

use crate::support::{Daemon, FifoReader, FifoWriter, pause_briefly, require_tool, stories};

stories!(
    a_spliced_piece,
    a_large_spliced_piece,
    a_copied_piece,
    a_piece_of_lines,
    a_piece_to_three,
    a_small_message,
    a_small_message_to_three,
);

/// The most system calls of the daemon for one piece: those that move bytes, or try to, and all of them. It may make so
/// much more in the mean that one call more for each piece is seen, and not one now and then.
struct Bounds {
    moving: f64,
    all: f64,
}

const MARGIN: f64 = 0.75;
const MOVING: [&str; 8] = [
    "splice", "tee", "read", "readv", "write", "writev", "vmsplice", "sendfile",
];
/// Pieces of the short run, and of the long one.
const RUNS: [u64; 2] = [32, 232];

/// A piece that fills a FIFO of the kernel's default size.
const BULK: usize = 64 * 1024;
/// One that fills the largest FIFO that everybody may have.
const LARGE: usize = 1024 * 1024;
/// As many whole lines as fit into the default size.
const LINES: usize = 655 * LINE;
const LINE: usize = 100;

fn lines(bytes: usize) -> Vec<u8> {
    let line: Vec<u8> = (0..LINE - 1).map(|at| b'a' + (at % 26) as u8).chain([b'\n']).collect();
    line.iter().copied().cycle().take(bytes).collect()
}

/// How often the daemon made each call in all, while so many pieces went through.
fn count_calls(settings: &str, destinations: usize, piece: usize, pieces: u64) -> BTreeMap<String, u64> {
    let size = if piece > BULK {
        format!(", pipe-size = {piece}")
    } else {
        String::new()
    };
    let to: Vec<String> = (0..destinations)
        .map(|i| format!("{{ fifo = \"out{i}\"{size} }}"))
        .collect();
    let to = to.join(", ");
    let daemon = Daemon::config(&format!(
        "[route.a]\nfrom = {{ fifo = \"in\"{size} }}\nto = [{to}]\n{settings}\n"
    ))
    .under_strace(&["-c"])
    .start();
    let mut readers: Vec<FifoReader> = (0..destinations)
        .map(|i| FifoReader::open(daemon.fifo(&format!("out{i}"))))
        .collect();
    daemon.wait_for("route.a", "flowing");
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    let sent = lines(piece);
    for _ in 0..pieces {
        writer.write_all(&sent);
        for reader in &mut readers {
            assert_eq!(reader.read_exact(piece), sent);
        }
        // It goes to sleep. Where it does not get round to that, it makes fewer calls.
        pause_briefly();
    }
    drop(writer);
    let place = daemon.place().trace();
    let mut table = String::new();
    daemon.routes();
    daemon.signal(Signal::SIGTERM);
    daemon.expect_end_then(0, || {
        table = std::fs::read_to_string(place).expect("strace's table");
    });
    // % time, seconds, usecs/call, calls, errors (may be empty), syscall
    let counts = table.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let calls = fields.get(3)?.parse().ok()?;
        Some(((*fields.last()?).to_owned(), calls))
    });
    counts.filter(|(name, _)| name != "total").collect()
}

fn costs(settings: &str, destinations: usize, piece: usize, bounds: &Bounds) {
    if !require_tool("strace") {
        return;
    }
    let [short, long] = RUNS.map(|pieces| count_calls(settings, destinations, piece, pieces));
    let pieces = (RUNS[1] - RUNS[0]) as f64;
    let each: BTreeMap<&str, f64> = long
        .iter()
        .map(|(name, calls)| {
            let before = short.get(name).copied().unwrap_or(0);
            (name.as_str(), (*calls as f64 - before as f64) / pieces)
        })
        .collect();
    let all: f64 = each.values().sum();
    let moving: f64 = MOVING.iter().filter_map(|name| each.get(name)).sum();
    let shown: Vec<String> = each
        .iter()
        .filter(|(_, calls)| calls.abs() >= 0.05)
        .map(|(name, calls)| format!("{name} {calls:.1}"))
        .collect();
    let for_each_mib = all * (1024.0 * 1024.0 / piece as f64);
    let shown = format!(
        "{moving:.2} of {all:.2} calls move bytes, {for_each_mib:.0} calls for each MiB: {}",
        shown.join(", ")
    );
    if std::env::var_os("SLUICED_SHOW_COSTS").is_some() {
        eprintln!("{settings:?} to {destinations}, {piece} bytes: {shown}");
    }
    assert!(all >= 1.0, "nothing was counted");
    assert!(
        moving <= bounds.moving + MARGIN,
        "more than {} of them: {shown}",
        bounds.moving
    );
    assert!(all <= bounds.all + MARGIN, "more than {} in all: {shown}", bounds.all);
}

fn a_spliced_piece() {
    for path in ["splice", "auto"] {
        costs(
            &format!("path = \"{path}\""),
            1,
            BULK,
            &Bounds { moving: 1.0, all: 3.0 },
        );
    }
}

fn a_large_spliced_piece() {
    costs("path = \"splice\"", 1, LARGE, &Bounds { moving: 3.0, all: 8.0 });
}

fn a_copied_piece() {
    costs("path = \"copy\"", 1, BULK, &Bounds { moving: 3.0, all: 5.0 });
}

fn a_piece_of_lines() {
    costs("framing = \"lines\"", 1, LINES, &Bounds { moving: 3.0, all: 5.0 });
}

fn a_piece_to_three() {
    costs("path = \"auto\"", 3, BULK, &Bounds { moving: 6.0, all: 8.0 });
}

fn a_small_message() {
    for settings in ["path = \"auto\"", "framing = \"lines\""] {
        costs(settings, 1, LINE, &Bounds { moving: 3.0, all: 4.0 });
    }
}

fn a_small_message_to_three() {
    costs("path = \"auto\"", 3, LINE, &Bounds { moving: 5.0, all: 6.0 });
}
