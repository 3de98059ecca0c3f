//! What all cases use: the plan, the clock, processes and their CPU time, one sample's stage, statistics, the table.

mod arguments;
pub mod clock;
pub mod cpu;
pub mod interrupt;
pub mod machine;
mod process;
mod stage;
mod statistics;
mod table;
mod unit;

use std::path::Path;

pub use arguments::{Arguments, Plan};
pub use process::{Guard, quiet};
pub use stage::{Report, Stage};
pub use statistics::{Spread, percentile};
pub use table::{Cpu, Row, Table, ratio};
pub use unit::{Target, Unit};

/// Writes a file, and the directory that it is in.
pub fn write_report(path: &Path, text: &str) -> std::io::Result<()> {
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        std::fs::create_dir_all(directory)?;
    }
    std::fs::write(path, text)
}
