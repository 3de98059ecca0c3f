//! The command line of `sluiced`.

use std::path::PathBuf;

use clap::Parser;

/// Plumbs processes together: supervises children and moves bytes between them, named FIFOs and files.
#[derive(Clone, Debug, Parser)]
#[command(name = "sluiced", version, about, max_term_width = 100)]
pub struct Arguments {
    /// A config file, or a directory whose *.toml are read in name order. May be given several times. Without it:
    /// /etc/sluiced/sluiced.toml, then /etc/sluiced/conf.d/*.toml
    #[arg(long = "config", value_name = "FILE_OR_DIR")]
    pub configs: Vec<PathBuf>,

    /// Read and check the config, start nothing; exit 0 or 78
    #[arg(long)]
    pub check: bool,

    /// With --check: print the result on standard output as one line of JSON, too
    #[arg(long, requires = "check")]
    pub json: bool,

    /// Whether this program can take over what another life of the daemon has written to this descriptor; exit 0 or 78.
    /// Asked by an upgrade
    #[arg(long, value_name = "FD", exclusive = true)]
    pub check_handover: Option<i32>,

    /// Exit when every process has finished and every route has closed: 0 if all ended well, 1 if not
    #[arg(long, conflicts_with = "check")]
    pub exit_when_done: bool,
}
