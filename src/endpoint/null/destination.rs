//! /dev/null: takes everything at once.

use std::io;
use std::task::{Context, Poll};

use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use serde_json::Value;

use crate::endpoint::ends::{Destination, DestinationOpening, OpenError};
use crate::sys::errno;
use crate::sys::parcel::{Parcel, Unpacking, read, written};
use crate::transport::WriteEnd;

/// `null` as a destination.
#[derive(Debug, Default)]
pub struct NullDestination {
    opened: bool,
}

impl Destination for NullDestination {
    fn poll_open(&mut self, _: &mut Context<'_>) -> Poll<Result<DestinationOpening, OpenError>> {
        if std::mem::replace(&mut self.opened, true) {
            return Poll::Pending;
        }
        let end = open("/dev/null", OFlag::O_WRONLY | OFlag::O_CLOEXEC, Mode::empty());
        let end = end.map_err(|error| OpenError::new("cannot open /dev/null", &errno::io(error)));
        Poll::Ready(end.map(|end| DestinationOpening::Open(WriteEnd::always_writable(end))))
    }

    fn gone(&mut self, _: WriteEnd) -> u64 {
        0
    }

    fn close(&mut self, _: Option<WriteEnd>) -> u64 {
        0
    }

    fn revive(&mut self) {
        self.opened = false;
    }

    fn pack(&self, _: &mut Parcel) -> io::Result<Value> {
        written(&self.opened)
    }

    fn unpack(&mut self, packed: Value, _: &mut Unpacking) -> io::Result<()> {
        self.opened = read(packed)?;
        Ok(())
    }
}
