//! A file on its way into the daemon's next life: its staging pipe, the open file, and what the writer had in hand when it
//! came to rest.
//!
//! A file that was just being opened is opened by the next life. So is one that was to be opened anew, after that: until
//! then the old one is written on.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, Weak};

use serde::{Deserialize, Serialize};

use super::destination::{FileDestination, State};
use super::progress::{Outcome, Progress, Resting};
use super::target::Target;
use super::{reopen, writer};
use crate::endpoint::ends::{OpenError, Reached};
use crate::store::Kept;
use crate::sys::parcel::{Blob, Parcel, Slot, Unpacking};
use crate::transport::WriteEnd;

/// As it is written down.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Packed {
    state: PackedState,
    /// By all writers.
    written: Reached,
    /// The last one, where it matters still.
    writer: Option<Writer>,
    /// The file is to be opened anew.
    reopens: bool,
    #[serde(default)]
    deposit: Option<u64>,
}

#[derive(Debug, Serialize, Deserialize)]
enum PackedState {
    Unopened,
    Opening(Slot),
    Lent,
    Failed,
    Over,
}

#[derive(Debug, Serialize, Deserialize)]
enum Writer {
    /// It was opening the file, and this is what it reads then.
    Opens(Slot),
    /// It was at rest.
    Writes(Writes),
    /// It had ended, and it may not be told yet how.
    Failed(OpenError),
    Done,
}

#[derive(Debug, Serialize, Deserialize)]
struct Writes {
    from: Slot,
    target: Slot,
    device: bool,
    within: bool,
    /// Taken out of the pipe, and not written.
    rest: Blob,
    trouble: Option<String>,
}

/// What somebody is told whose reopening is not done when the daemon goes into its next life.
pub(super) fn put_off(path: &Path) -> OpenError {
    let text = format!(
        "{} is not opened anew yet: the daemon is being upgraded",
        path.display()
    );
    OpenError::refused(text, "EAGAIN")
}

impl Packed {
    /// Changes nothing.
    pub(super) fn new(of: &FileDestination, parcel: &mut Parcel) -> io::Result<Packed> {
        // Before it is looked whether the writer has ended: it closes this end only after it has told.
        let from = of.staging.upgrade();
        let resting = of.progress.as_ref().map(|progress| progress.resting());
        let mut written = of.written_before;
        if let Some(resting) = &resting {
            written.add(resting.written);
        }
        let (state, of_interest) = match &of.state {
            State::Unopened => (PackedState::Unopened, None),
            State::Opening(end) => (PackedState::Opening(parcel.put(end.descriptor())?), resting),
            State::Lent => (PackedState::Lent, resting),
            State::Failed => (PackedState::Failed, resting),
            // What its writer still had is written, or given up.
            State::Over => (PackedState::Over, None),
        };
        let reopens = of_interest.as_ref().is_some_and(|resting| resting.reopens);
        let writer = of_interest.map(|resting| Writer::new(resting, from.as_deref(), parcel));
        Ok(Packed {
            state,
            written,
            writer: writer.transpose()?,
            reopens,
            deposit: of.kept.number(),
        })
    }

    /// Its writer goes on at once.
    pub(super) fn unpack(self, into: &mut FileDestination, parcel: &mut Unpacking) -> io::Result<()> {
        into.written_before = self.written;
        into.kept = into.store.again(self.deposit).map_or(Kept::No, Kept::Yes);
        into.state = match self.state {
            PackedState::Unopened => State::Unopened,
            PackedState::Opening(end) => State::Opening(WriteEnd::new(parcel.take(end)?)?.of_fixed_size(true)),
            PackedState::Lent => State::Lent,
            PackedState::Failed => State::Failed,
            PackedState::Over => State::Over,
        };
        let Some(writer) = self.writer else { return Ok(()) };
        let progress = Arc::new(Progress::new(into.record_end));
        into.progress = Some(Arc::clone(&progress));
        into.staging = writer.unpack(&into.path, &progress, parcel)?;
        if self.reopens {
            // Whoever asked for it was answered in the last life.
            drop(reopen::begin(&into.path, &progress));
        }
        Ok(())
    }
}

impl Writer {
    fn new(resting: Resting, from: Option<&OwnedFd>, parcel: &mut Parcel) -> io::Result<Writer> {
        Ok(match (resting.outcome, from, resting.target) {
            (Outcome::Failed(error), _, _) => Writer::Failed(error),
            (Outcome::Opening, Some(from), _) if !resting.stop => Writer::Opens(parcel.put(from)?),
            (Outcome::Writing, Some(from), Some(target)) if !resting.stop => Writer::Writes(Writes {
                from: parcel.put(from)?,
                target: parcel.put(&target.file)?,
                device: target.device,
                within: resting.within,
                rest: parcel.put_bytes(resting.rest),
                trouble: resting.trouble.as_deref().map(str::to_owned),
            }),
            (Outcome::Opening | Outcome::Writing | Outcome::Done, _, _) => Writer::Done,
        })
    }

    /// Where it reads.
    fn unpack(self, path: &Path, progress: &Arc<Progress>, parcel: &mut Unpacking) -> io::Result<Weak<OwnedFd>> {
        let writes = match self {
            Writer::Writes(writes) => writes,
            Writer::Opens(from) => {
                let from = Arc::new(parcel.take(from)?);
                let staging = Arc::downgrade(&from);
                writer::start(path, from, Arc::clone(progress))?;
                return Ok(staging);
            }
            Writer::Failed(error) => {
                progress.over(Outcome::Failed(error));
                return Ok(Weak::new());
            }
            Writer::Done => {
                progress.over(Outcome::Done);
                return Ok(Weak::new());
            }
        };
        let from = Arc::new(parcel.take(writes.from)?);
        let staging = Arc::downgrade(&from);
        let target = Target {
            file: File::from(parcel.take(writes.target)?),
            device: writes.device,
        };
        let rest = parcel.bytes(writes.rest)?;
        progress.go_on(target, writes.within, writes.trouble.map(Arc::from), rest.clone());
        writer::go_on(path, from, rest, Arc::clone(progress))?;
        Ok(staging)
    }
}
