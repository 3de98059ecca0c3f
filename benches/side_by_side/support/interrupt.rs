//! Ctrl-C and SIGTERM: every wait ends, and what was started is ended by those who started it.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

static CAME: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// From now on these signals only set the flag. A second one ends the program at once.
pub fn listen() -> io::Result<()> {
    let came = Arc::clone(CAME.get_or_init(Arc::default));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register_conditional_default(signal, Arc::clone(&came))?;
        signal_hook::flag::register(signal, Arc::clone(&came))?;
    }
    Ok(())
}

/// Whether one came.
pub fn came() -> bool {
    CAME.get().is_some_and(|came| came.load(Ordering::Relaxed))
}
