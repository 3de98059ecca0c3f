//! RLIMIT_NOFILE: the daemon uses all it may have; its children get back what the daemon was started with, because
//! programs that use select(2) break, and programs that close every possible descriptor crawl, with a high soft limit.

use std::io;
use std::sync::OnceLock;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigHandler, Signal, signal};

static ORIGINAL: OnceLock<u64> = OnceLock::new();

/// Raises the soft limit of descriptors to the hard one, and remembers the old one for the children. Returns the soft
/// limit that holds now. A second call changes nothing that is remembered.
pub fn raise_nofile() -> io::Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    ORIGINAL.get_or_init(|| soft);
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    }
    Ok(hard)
}

/// What [`original_nofile`] was before an execve(2) of this program, which keeps the raised limit. To be called before
/// [`raise_nofile`], which would take that for what the daemon was started with.
pub fn keep_original_nofile(soft: u64) {
    ORIGINAL.get_or_init(|| soft);
}

/// Makes a write beyond RLIMIT_FSIZE an error (EFBIG) instead of the end of the daemon. Children get the default back.
/// setrlimit(2), signal(7).
pub fn survive_file_size_limit() -> io::Result<()> {
    // SAFETY: SIG_IGN runs no code.
    unsafe { signal(Signal::SIGXFSZ, SigHandler::SigIgn) }?;
    Ok(())
}

/// The soft limit from before [`raise_nofile`]; `None` when it was not called.
#[must_use]
pub fn original_nofile() -> Option<u64> {
    ORIGINAL.get().copied()
}
