//! The signals that the daemon hears. While it hands over to its next life, those that have come and were not heard yet are
//! known, so that they can be raised again for that.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::StreamExt;
use signal_hook::consts::signal::{SIGHUP, SIGINT, SIGTERM, SIGUSR2};
use signal_hook_tokio::Signals;

use crate::sys::execute;

/// Those that are heard here.
const HEARD: [i32; 4] = [SIGTERM, SIGINT, SIGHUP, SIGUSR2];

/// Signals as they come.
pub struct Caught {
    signals: Signals,
    unheard: Unheard,
}

/// Which have come and were not heard yet.
#[derive(Clone, Debug)]
pub struct Unheard(Vec<(i32, Arc<AtomicBool>)>);

/// Threads that are started from now on get no signal for which there are handlers. What was blocked before.
pub fn hold_back() -> io::Result<Vec<i32>> {
    execute::hold_back_signals()
}

/// From now on this thread gets all but these; what has waited comes at once.
pub fn let_come(blocked: &[i32]) -> io::Result<()> {
    execute::block_signals(blocked)
}

impl Caught {
    /// Sets the handlers up. Within a runtime.
    pub fn new() -> io::Result<Caught> {
        let flag = |number| {
            let flag = Arc::new(AtomicBool::new(false));
            // Before the stream's, so that what the stream tells was noted.
            signal_hook::flag::register(number, Arc::clone(&flag)).map(|_| (number, flag))
        };
        Ok(Caught {
            unheard: Unheard(HEARD.into_iter().map(flag).collect::<io::Result<_>>()?),
            signals: Signals::new(HEARD)?,
        })
    }

    /// The next one. Whoever hears it has to act before its next await.
    pub async fn next(&mut self) -> Option<i32> {
        let number = self.signals.next().await?;
        for (_, flag) in self.unheard.0.iter().filter(|(of, _)| *of == number) {
            flag.store(false, Ordering::SeqCst);
        }
        Some(number)
    }

    /// To ask later.
    #[must_use]
    pub fn unheard(&self) -> Unheard {
        self.unheard.clone()
    }
}

impl Unheard {
    /// Which they are.
    #[must_use]
    pub fn now(&self) -> Vec<i32> {
        let came = self.0.iter().filter(|(_, flag)| flag.load(Ordering::SeqCst));
        came.map(|(number, _)| *number).collect()
    }
}
