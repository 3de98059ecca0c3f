//! What goes over an execve(2) together: something that can be written down, and the descriptors and bytes that it names
//! by number. Knows nothing of what it carries. Whoever packs does not change by it: the descriptors are copies (dup(2)),
//! so that everything goes on as before when the execve(2) does not come.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A descriptor in a parcel, by its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot(u32);

/// Bytes in a parcel, by their place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blob(u32);

/// Descriptors and bytes on their way to the next life.
#[derive(Debug, Default)]
pub struct Parcel {
    descriptors: Vec<OwnedFd>,
    blobs: Vec<Bytes>,
}

impl Parcel {
    /// Puts a copy of a descriptor in: another number of the same open file description, close-on-exec.
    pub fn put(&mut self, end: impl AsFd) -> io::Result<Slot> {
        let copy = end.as_fd().try_clone_to_owned()?;
        self.descriptors.push(copy);
        Ok(Slot(place(self.descriptors.len())))
    }

    /// The same where there may be none.
    pub fn put_some(&mut self, end: Option<impl AsFd>) -> io::Result<Option<Slot>> {
        end.map(|end| self.put(end)).transpose()
    }

    /// Puts bytes in.
    pub fn put_bytes(&mut self, bytes: impl Into<Bytes>) -> Blob {
        self.blobs.push(bytes.into());
        Blob(place(self.blobs.len()))
    }
}

/// Of the last of so many.
fn place(count: usize) -> u32 {
    u32::try_from(count.saturating_sub(1)).unwrap_or(u32::MAX)
}

/// What somebody has packed.
#[derive(Debug, Default)]
pub struct Packed {
    /// What is written of it.
    pub state: Value,
    /// The rest.
    pub parcel: Parcel,
}

impl Packed {
    /// Packs by `write`, which puts into the parcel what cannot be written down and answers with what can.
    pub fn new<S: Serialize>(write: impl FnOnce(&mut Parcel) -> io::Result<S>) -> io::Result<Packed> {
        let mut parcel = Parcel::default();
        let state = written(&write(&mut parcel)?)?;
        Ok(Packed { state, parcel })
    }

    /// The parts, for whoever carries them.
    #[must_use]
    pub fn into_parts(self) -> (Value, Vec<OwnedFd>, Vec<Bytes>) {
        (self.state, self.parcel.descriptors, self.parcel.blobs)
    }
}

/// What somebody in the last life has packed.
#[derive(Debug, Default)]
pub struct Unpacked {
    /// What was written of it.
    pub state: Value,
    /// The rest.
    pub parcel: Unpacking,
}

impl Unpacked {
    /// Of these parts.
    #[must_use]
    pub fn new(state: Value, descriptors: Vec<OwnedFd>, blobs: Vec<Bytes>) -> Unpacked {
        let parcel = Unpacking {
            descriptors: descriptors.into_iter().map(Some).collect(),
            blobs,
        };
        Unpacked { state, parcel }
    }

    /// What was written.
    #[must_use]
    pub fn state(&self) -> &Value {
        &self.state
    }

    /// What was written, as it was meant, and what it names.
    pub fn read<S: DeserializeOwned>(self) -> io::Result<(S, Unpacking)> {
        Ok((read(self.state)?, self.parcel))
    }
}

/// What a parcel holds, to be taken out piece by piece. What nobody takes is closed with it.
#[derive(Debug, Default)]
pub struct Unpacking {
    descriptors: Vec<Option<OwnedFd>>,
    blobs: Vec<Bytes>,
}

impl Unpacking {
    /// Takes a descriptor out. Once.
    pub fn take(&mut self, slot: Slot) -> io::Result<OwnedFd> {
        let there = usize::try_from(slot.0)
            .ok()
            .and_then(|place| self.descriptors.get_mut(place));
        there.and_then(Option::take).ok_or_else(|| {
            let text = format!("the handover names a descriptor that did not come with it: {}", slot.0);
            io::Error::new(io::ErrorKind::InvalidData, text)
        })
    }

    /// The same where there may be none.
    pub fn take_some(&mut self, slot: Option<Slot>) -> io::Result<Option<OwnedFd>> {
        slot.map(|slot| self.take(slot)).transpose()
    }

    /// Bytes of it.
    pub fn bytes(&self, blob: Blob) -> io::Result<Bytes> {
        let there = usize::try_from(blob.0).ok().and_then(|place| self.blobs.get(place));
        there.cloned().ok_or_else(|| {
            let text = format!("the handover names bytes that did not come with it: {}", blob.0);
            io::Error::new(io::ErrorKind::InvalidData, text)
        })
    }
}

/// As it is written down.
pub fn written(state: &impl Serialize) -> io::Result<Value> {
    serde_json::to_value(state).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// What was written down, as it was meant.
pub fn read<S: DeserializeOwned>(written: Value) -> io::Result<S> {
    serde_json::from_value(written).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::pipe;

    #[test]
    fn what_is_packed_is_unpacked_once() {
        let (reader, writer) = pipe::pair().unwrap();
        let packed = Packed::new(|parcel| {
            let slots = (parcel.put(&reader)?, parcel.put_some(None::<&OwnedFd>)?);
            Ok((slots, parcel.put_bytes(&b"abc"[..])))
        })
        .unwrap();
        drop(reader);
        let (state, descriptors, blobs) = packed.into_parts();
        assert_eq!((descriptors.len(), blobs.len()), (1, 1));
        let unpacked = Unpacked::new(state, descriptors, blobs);
        let (((slot, none), blob), mut parcel) = unpacked.read::<((Slot, Option<Slot>), Blob)>().unwrap();
        assert!(none.is_none());
        assert_eq!(&parcel.bytes(blob).unwrap()[..], b"abc");
        let reader = parcel.take(slot).unwrap();
        nix::unistd::write(&writer, b"x").unwrap();
        assert_eq!(pipe::unread(&reader), 1);
        assert!(parcel.take(slot).is_err());
        assert!(parcel.bytes(Blob(1)).is_err());
    }
}
