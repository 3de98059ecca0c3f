//! What a route costs: the same bytes through one bare FIFO, and through the daemon from one FIFO to another.
//!
//! The two are measured in turn, in pairs whose order alternates, so that a machine whose speed changes meanwhile changes
//! both. Shown are medians, the median of the pairs' ratios, and the daemon's CPU time. Writer and reader are threads of
//! this program, alike in both cases; all pipes have the kernel's default size.
//!
//! ```text
//! cargo bench --bench throughput                 fifteen pairs of 1 GiB, for each of two write sizes
//! cargo bench --bench throughput -- --quick      five pairs of 256 MiB; below 20 s
//! ```
#![allow(clippy::print_stdout)]

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use nix::sys::stat::Mode;
use sluiced::sys::clock;

/// One transfer takes no longer, or something is wrong.
const PATIENCE: Duration = Duration::from_secs(120);
const READ: usize = 256 * 1024;
const MIB: u64 = 1024 * 1024;

struct Plan {
    pairs: usize,
    bytes: u64,
}

fn main() -> ExitCode {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let (pairs, bytes) = if quick { (5, 256 * MIB) } else { (15, 1024 * MIB) };
    match run(&Plan { pairs, bytes }) {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            println!("throughput: {text}");
            ExitCode::FAILURE
        }
    }
}

fn run(plan: &Plan) -> Result<(), String> {
    let directory = tempfile::tempdir().map_err(|error| format!("cannot make a directory: {error}"))?;
    let bare = directory.path().join("bare");
    nix::unistd::mkfifo(&bare, Mode::S_IRWXU).map_err(|error| format!("cannot make {}: {error}", bare.display()))?;
    let daemon = Daemon::start(directory.path())?;
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    // Writer, relay and reader want a core each; with fewer, the relay's share is taken from the other two.
    println!(
        "{} MiB a transfer, {} pairs, {cores} cores; GB/s",
        plan.bytes / MIB,
        plan.pairs
    );
    println!(
        "{:>12}  {:>8}  {:>8}  {:>6}  daemon's CPU",
        "write size", "bare", "sluiced", "ratio"
    );
    for size in [64 * 1024, 4 * 1024] {
        let (mut bares, mut relayed, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        let before = daemon.cpu();
        for pair in 0..plan.pairs {
            let through_bare = || transfer(&bare, &bare, plan.bytes, size);
            let through_daemon = || transfer(&daemon.input, &daemon.output, plan.bytes, size);
            let (alone, routed) = if pair % 2 == 0 {
                let alone = through_bare()?;
                (alone, through_daemon()?)
            } else {
                let routed = through_daemon()?;
                (through_bare()?, routed)
            };
            bares.push(alone);
            relayed.push(routed);
            ratios.push(routed / alone);
        }
        let moved = plan.pairs as f64 * plan.bytes as f64 / 1e9;
        let cpu = (daemon.cpu() - before) / moved;
        let shown = (median(&mut bares), median(&mut relayed), median(&mut ratios));
        println!(
            "{size:>12}  {:>8.2}  {:>8.2}  {:>6.2}  {cpu:.3} s/GB",
            shown.0, shown.1, shown.2
        );
    }
    Ok(())
}

/// GB/s from the first write to the last byte read.
fn transfer(input: &Path, output: &Path, bytes: u64, size: usize) -> Result<f64, String> {
    let (done, finished) = mpsc::channel();
    let (input, output) = (input.to_owned(), output.to_owned());
    let began = clock::now();
    std::thread::spawn(move || {
        let written = File::create(&input).and_then(|mut fifo| {
            let chunk = vec![0x5a; size];
            for _ in 0..bytes / size as u64 {
                fifo.write_all(&chunk)?;
            }
            Ok(())
        });
        if let Err(error) = written {
            println!("throughput: cannot write {}: {error}", input.display());
        }
    });
    std::thread::spawn(move || {
        let read = File::open(&output).and_then(|mut fifo| {
            let mut buffer = vec![0; READ];
            let mut left = bytes;
            while left > 0 {
                match fifo.read(&mut buffer)? {
                    0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                    count => left -= count as u64,
                }
            }
            Ok(())
        });
        // Nobody waits any more: it took too long.
        let _ = done.send(read);
    });
    match finished.recv_timeout(PATIENCE) {
        Ok(Ok(())) => Ok(bytes as f64 / clock::now().since(began).as_secs_f64() / 1e9),
        Ok(Err(error)) => Err(format!("the reader failed: {error}")),
        Err(_) => Err(format!("a transfer was not over after {} s", PATIENCE.as_secs())),
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The daemon with one route; it is ended when this is dropped.
struct Daemon {
    child: Child,
    input: PathBuf,
    output: PathBuf,
}

impl Daemon {
    fn start(directory: &Path) -> Result<Daemon, String> {
        let config = directory.join("sluiced.toml");
        let shown = directory.display();
        let text = format!(
            "[daemon]\nruntime-directory = \"{shown}\"\ndrain-timeout = \"1s\"\n\
             [route.bench]\nfrom = \"fifo:in\"\nto = \"fifo:out\"\n"
        );
        fs::write(&config, text).map_err(|error| format!("cannot write {}: {error}", config.display()))?;
        let child = Command::new(env!("CARGO_BIN_EXE_sluiced"))
            .arg("--config")
            .arg(&config)
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("cannot start the daemon: {error}"))?;
        let (input, output) = (directory.join("in"), directory.join("out"));
        let daemon = Daemon { child, input, output };
        let until = clock::now() + Duration::from_secs(10);
        while !(daemon.input.exists() && daemon.output.exists()) {
            if clock::now() > until {
                return Err("the daemon has not made its FIFOs after 10 s".to_owned());
            }
            std::thread::yield_now();
        }
        Ok(daemon)
    }

    /// Seconds of CPU time, of all its threads. proc_pid_stat(5)
    fn cpu(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap_or_default();
        let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        let ticks: u64 = fields
            .skip(11)
            .take(2)
            .filter_map(|field| field.parse::<u64>().ok())
            .sum();
        let hertz = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK)
            .ok()
            .flatten()
            .unwrap_or(100);
        ticks as f64 / hertz as f64
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Both fail only where it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
