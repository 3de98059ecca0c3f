//! The store as the daemon has it: from its begin, with what a life before has left, to its end.

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Asked, Copy, Notes, Passed, go_on, open};
use crate::model::{Config, PathChoice};
use crate::store::Store;

/// What outlives the daemon, and by what the end of that is told.
#[derive(Debug)]
pub struct Keeping {
    /// The way to it.
    pub store: Store,
    /// What is written down beside.
    pub notes: Notes,
    /// By which an upgrade asks for the journal.
    pub asking: mpsc::UnboundedSender<Asked>,
    end: CancellationToken,
    keeper: tokio::task::JoinHandle<()>,
}

/// The descriptor store, where there is one.
pub fn keep(kept: Option<Copy>, left: Passed, life: u64) -> Option<Keeping> {
    let (store, keeper) = match kept {
        Some(copy) => go_on(copy, life)?,
        None => open(left, life)?,
    };
    let (asking, asked) = mpsc::unbounded_channel();
    let end = CancellationToken::new();
    let ended = end.clone().cancelled_owned();
    let notes = keeper.notes();
    let keeper = tokio::task::spawn_local(keeper.run(ended, asked));
    Some(Keeping {
        store,
        notes,
        asking,
        end,
        keeper,
    })
}

impl Keeping {
    /// Takes everything out: the daemon ends in order.
    pub async fn end(self) {
        self.end.cancel();
        let _ = self.keeper.await;
    }
}

/// A life was killed, and what it had in its own memory is gone.
pub fn tell_risk(life: u64, config: &Config) {
    let at_risk = config.routes.iter().filter(|route| route.path != PathChoice::Splice);
    let names: Vec<&str> = at_risk.map(|route| route.name.as_str()).collect();
    if names.is_empty() {
        tracing::warn!(
            "life {life}: the last one was killed; it had read nothing into its own memory, since every route has path = \"splice\""
        );
    } else {
        tracing::warn!(
            "life {life}: the last one was killed; what it had in its own memory, of what it had read and not written, is lost: of the \
             routes {}",
            names.join(", ")
        );
    }
}

/// What a dead life has left, and nothing in the config wants; after an upgrade: what was handed over to nobody.
pub fn give_up_unclaimed(store: &Store, upgraded: bool) {
    if upgraded {
        return store.keep_only_what_is_known();
    }
    for (meaning, unread, _deposit) in store.unclaimed() {
        tracing::warn!(
            "closed: {meaning}, which the last life has left, with {unread} bytes in it: it belongs to nothing in the config"
        );
    }
}
