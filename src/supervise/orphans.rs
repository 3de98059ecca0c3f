//! What has escaped from a process's group, where there are no cgroups: found among the orphans that come to the daemon,
//! and told by SLUICED_PROCESS in its environment whose it is.

use std::collections::HashSet;
use std::time::Duration;

use signal_hook::consts::SIGCHLD;
use tokio::sync::mpsc;

use crate::sys::clock;
use crate::sys::orphans::{self, Orphan};

/// At the end: how long a killed orphan may take.
const LAST_WAIT: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(5);

/// Reaps orphans, and tells of those that run.
pub struct Orphans {
    exits: signal_hook_tokio::Signals,
    known: HashSet<i32>,
    /// There may be some of which no signal tells.
    unseen: bool,
    ask: std::sync::mpsc::Sender<i32>,
    answers: mpsc::UnboundedReceiver<(i32, String)>,
}

impl Orphans {
    /// Makes the daemon the one that orphans come to. Within a runtime.
    pub fn adopt() -> std::io::Result<Orphans> {
        Orphans::told(orphans::adopt)
    }

    /// The same in the daemon's next life, after an execve(2): the children that are there already are its own. Fails where
    /// [`Orphans::adopt`] had failed. Those of processes have to be supervised again ([`super::restore`]) before
    /// [`Orphans::next`], which begins with a look: what exited meanwhile tells nobody any more.
    pub fn adopt_again() -> std::io::Result<Orphans> {
        let mut again = Orphans::told(orphans::adopt_again)?;
        again.unseen = true;
        Ok(again)
    }

    fn told(adopt: impl FnOnce() -> std::io::Result<()>) -> std::io::Result<Orphans> {
        let exits = signal_hook_tokio::Signals::new([SIGCHLD])?;
        let (ask, asked) = std::sync::mpsc::channel::<i32>();
        let (answer, answers) = mpsc::unbounded_channel();
        // A thread that hangs in one environment leaves the others without a name until the end, and holds nobody up.
        std::thread::Builder::new().name("orphans".to_owned()).spawn(move || {
            for pid in asked {
                if answer.send((pid, owner(&orphans::environment(pid)))).is_err() {
                    return;
                }
            }
        })?;
        adopt()?;
        let known = HashSet::new();
        Ok(Orphans {
            exits,
            known,
            unseen: false,
            ask,
            answers,
        })
    }

    /// The next orphan that runs, with the name of its process as shown. Can be dropped at any time.
    pub async fn next(&mut self) -> (Orphan, String) {
        use futures_util::StreamExt;
        if std::mem::take(&mut self.unseen) {
            self.look();
        }
        loop {
            tokio::select! {
                _ = self.exits.next() => self.look(),
                Some((pid, owner)) = self.answers.recv() => {
                    self.look();
                    if self.known.contains(&pid) && let Some(orphan) = Orphan::hold(pid) {
                        return (orphan, owner);
                    }
                }
            }
        }
    }

    fn look(&mut self) {
        let running = orphans::reap();
        for pid in &running {
            if !self.known.contains(pid) {
                // The thread lives as long as this.
                let _ = self.ask.send(*pid);
            }
        }
        self.known = running.into_iter().collect();
    }

    /// The daemon ends, and every process has: kills what is left of any.
    pub async fn end(self) {
        let until = clock::now() + LAST_WAIT;
        let mut told = HashSet::new();
        loop {
            let running = orphans::reap();
            if running.is_empty() || clock::now() >= until {
                return;
            }
            for pid in running {
                if told.insert(pid) {
                    let name = Orphan::hold(pid).map(|orphan| orphan.name).unwrap_or_default();
                    tracing::warn!(
                        "pid {pid} ({name}) has left the process group of its process and still runs: killing it"
                    );
                }
                orphans::kill(pid);
            }
            clock::sleep_until(clock::now() + LOOK).await;
        }
    }
}

/// `NAME` or `NAME@I` by the variables that each child is given; empty where they are not there any more.
fn owner(environment: &[u8]) -> String {
    let value = |key: &[u8]| {
        let mut variables = environment.split(|byte| *byte == 0);
        let value = variables.find_map(|variable| variable.strip_prefix(key));
        String::from_utf8_lossy(value.unwrap_or_default()).into_owned()
    };
    let (name, instance) = (value(b"SLUICED_PROCESS="), value(b"SLUICED_INSTANCE="));
    if instance.is_empty() {
        name
    } else {
        format!("{name}@{instance}")
    }
}

#[cfg(test)]
mod tests {
    use super::owner;

    #[test]
    fn whose_it_is_stands_in_its_environment() {
        assert_eq!(owner(b"A=1\0SLUICED_PROCESS=p\0SLUICED_INSTANCE=\0"), "p");
        assert_eq!(owner(b"SLUICED_PROCESS=p\0SLUICED_INSTANCE=2"), "p@2");
        assert_eq!(owner(b"XSLUICED_PROCESS=p\0"), "");
        assert_eq!(owner(b""), "");
    }
}
