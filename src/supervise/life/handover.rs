//! What a life hands over to the daemon's next one.

use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tokio::io::Interest;
use tokio::sync::watch;

use super::{Life, Refusal};
use crate::model::ProcessId;
use crate::supervise::ear::{self, Ear};
use crate::supervise::remains::leaf_again;
use crate::sys::parcel::{Parcel, Slot, Unpacking};
use crate::sys::process::{Attempt, Child, watch_child};
use crate::sys::reactor;

/// What is written of it. Its exit, if it has come, is still in the kernel.
#[derive(Serialize, Deserialize)]
pub(in crate::supervise) struct Written {
    number: u64,
    pid: i32,
    pidfd: Slot,
    status: Option<(Slot, Attempt)>,
    leaf: Option<PathBuf>,
    refusal: Option<Refusal>,
    ear: ear::Written,
    status_text: Option<String>,
}

impl Life {
    pub(in crate::supervise) fn pack(&self, parcel: &mut Parcel) -> io::Result<Written> {
        let child = self.child.get_ref();
        let status = match &self.status {
            Some((socket, attempt)) => Some((parcel.put(socket.get_ref())?, attempt.clone())),
            None => None,
        };
        Ok(Written {
            number: self.number,
            pid: child.pid(),
            pidfd: parcel.put(child)?,
            status,
            leaf: self.leaf.as_ref().map(|leaf| leaf.path().to_owned()),
            refusal: self.refusal.clone(),
            ear: self.ear.pack(parcel)?,
            status_text: self.status_text.clone(),
        })
    }
}

impl Written {
    pub(in crate::supervise) fn pid(&self) -> i32 {
        self.pid
    }

    pub(in crate::supervise) fn again(self, id: &ProcessId, parcel: &mut Unpacking) -> io::Result<Life> {
        let child = watch_child(Child::again(self.pid, parcel.take(self.pidfd)?, false))?;
        let status = match self.status {
            Some((socket, attempt)) => {
                let socket = reactor::register_own(parcel.take(socket)?, Interest::READABLE)?;
                Some((socket, attempt))
            }
            None => None,
        };
        let (deadline, _) = watch::channel(None);
        Ok(Life {
            number: self.number,
            child,
            status,
            leaf: self.leaf.and_then(|path| leaf_again(id, &path)),
            refusal: self.refusal,
            ear: Ear::again(self.ear, parcel)?,
            status_text: self.status_text,
            deadline,
        })
    }
}
