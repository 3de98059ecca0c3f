//! sluiced beside its peers: the release build and socat, pv, mbuffer, tee, GNU parallel, syslog-ng and others in turn,
//! A B A B, on the same load generators. It is a measurement and no test: no number of it fails anything.
//!
//! ```text
//! cargo bench --bench side_by_side                          everything, about a quarter of an hour
//! cargo bench --bench side_by_side -- --quick               everything with short samples
//! cargo bench --bench side_by_side -- --only a --only g     some cases; --list names them
//! ```
//!
//! `benches/install-peers.sh` installs the peers. One that is missing is named, and its rows say so.
//!
//! The executable plays several parts, told by its first argument: the runner, and the load generators (`load/`), which
//! the runner, a peer or the daemon under test starts. Generators tell what they measured through a FIFO of the sample's
//! (`support/stage.rs`), by the machine's one monotonic clock. Nothing is pinned to a core, and no pipe has another size
//! than its owner gives it; where a bare pipe is to be larger, the row says so.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod cases;
mod contest;
mod load;
mod support;

use std::process::ExitCode;

use support::{Arguments, Table, interrupt, machine};

fn main() -> ExitCode {
    if let Some(part) = load::other_part() {
        return part;
    }
    let plan = match Arguments::parse(std::env::args().skip(1)) {
        Ok(Arguments::Run(plan)) => plan,
        Ok(Arguments::Tell(text)) => {
            println!("{text}");
            return ExitCode::SUCCESS;
        }
        Err(text) => {
            eprintln!("side_by_side: {text}");
            return ExitCode::from(2);
        }
    };
    if let Err(error) = interrupt::listen() {
        eprintln!("side_by_side: cannot catch signals: {error}");
        return ExitCode::FAILURE;
    }
    let machine = machine::look();
    println!("{machine}");
    let missing = contest::missing_tools();
    for tool in &missing {
        eprintln!("side_by_side: {tool} IS MISSING: its rows stay empty. benches/install-peers.sh installs it");
    }
    let mut table = Table::begin();
    for case in cases::ALL {
        if plan.wants(case.id) && !interrupt::came() {
            println!("\n{}: {}", case.id, case.about);
            (case.run)(&plan, &mut table);
        }
    }
    let machine = format!("{machine}\nLoad average afterwards: {}", machine::load_average());
    let text = table.markdown(&plan, &machine, &missing);
    match support::write_report(&plan.output, &text) {
        Ok(()) => println!("\nwritten to {}", plan.output.display()),
        Err(error) => {
            eprintln!("side_by_side: cannot write {}: {error}", plan.output.display());
            return ExitCode::FAILURE;
        }
    }
    if interrupt::came() {
        eprintln!("side_by_side: interrupted; the table is not complete");
        return ExitCode::FAILURE;
    }
    match table.failures() {
        0 => ExitCode::SUCCESS,
        count => {
            eprintln!("side_by_side: {count} rows could not be measured");
            ExitCode::FAILURE
        }
    }
}
