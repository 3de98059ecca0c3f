//! How a thread is scheduled.

use std::io;

/// This thread need not run the moment it is woken where somebody else runs: SCHED_BATCH, sched(7). It gets as much of the
/// processor as ever, and at once where one is idle.
pub fn batch() -> io::Result<()> {
    let parameters = nix::libc::sched_param { sched_priority: 0 };
    // SAFETY: 0 is the calling thread, and the parameters are a live local that the kernel only reads.
    match unsafe { nix::libc::sched_setscheduler(0, nix::libc::SCHED_BATCH, &raw const parameters) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
