//! As whom the next life runs. The user database may ask a network, so a thread of its own looks it up, anew for each
//! life, and nobody waits for that thread: one that hangs is left behind when the process is stopped meanwhile.

use std::{io, thread};

use nix::errno::Errno;
use tokio::sync::oneshot;

use crate::model::ProcessSpec;
use crate::sys::execute;
use crate::sys::process::{Identity, IdentityError};

/// What a look-up has found.
pub(super) type Found = Result<Identity, IdentityError>;

/// A look-up under way.
pub(super) struct Lookup {
    /// For which life.
    pub(super) life: u64,
    found: oneshot::Receiver<Found>,
}

impl Lookup {
    /// Begins it; `None` where the spec names neither user nor group.
    pub(super) fn begin(life: u64, spec: &ProcessSpec) -> io::Result<Option<Lookup>> {
        let (user, group) = (spec.user.clone(), spec.group.clone());
        if user.is_none() && group.is_none() {
            return Ok(None);
        }
        let (tell, found) = oneshot::channel();
        let look_up = move || {
            // Where that fails, a signal to the daemon may be heard late.
            let _ = execute::hold_back_signals();
            // Nobody may want to know any more.
            let _ = tell.send(Identity::look_up(user.as_deref(), group.as_deref()));
        };
        thread::Builder::new().name("user look-up".to_owned()).spawn(look_up)?;
        Ok(Some(Lookup { life, found }))
    }

    /// Waits for it. May be cancelled and begun anew.
    pub(super) async fn found(&mut self) -> Found {
        (&mut self.found).await.unwrap_or_else(|_| {
            Err(IdentityError::Database {
                what: "user",
                name: String::new(),
                errno: Errno::EIO,
            })
        })
    }
}
