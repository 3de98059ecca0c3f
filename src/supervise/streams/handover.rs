//! What the pipes of a process hand over to the daemon's next life. What a route was lent is the route's to hand over.

use std::io;
use std::os::fd::AsFd;

use serde::{Deserialize, Serialize};

use super::{Input, Streams};
use crate::model::{ProcessId, ProcessSpec, Stream};
use crate::store::{Kept, Meaning, Store};
use crate::supervise::Wiring;
use crate::sys::parcel::{Parcel, Slot, Unpacking};

/// What is written of an input. Everything else follows from the spec and the wiring.
#[derive(Serialize, Deserialize)]
pub(in crate::supervise) struct Written {
    stream: Stream,
    lent: u64,
    ended: bool,
    spare: Option<Slot>,
    to_lend: Option<Slot>,
    #[serde(default)]
    deposit: Option<u64>,
}

impl Streams {
    pub(in crate::supervise) fn pack(&self, parcel: &mut Parcel) -> io::Result<Vec<Written>> {
        let pack = |input: &Input| {
            Ok(Written {
                stream: input.stream,
                lent: input.lent,
                ended: input.ended,
                spare: parcel.put_some(input.spare.as_ref())?,
                to_lend: parcel.put_some(input.to_lend.as_ref())?,
                deposit: input.kept.number(),
            })
        };
        self.inputs.iter().map(pack).collect()
    }

    pub(in crate::supervise) fn again(
        spec: &ProcessSpec,
        wiring: Wiring,
        keeping: (Store, ProcessId),
        (written, parcel): (Vec<Written>, &mut Unpacking),
    ) -> io::Result<Streams> {
        let mut streams = Streams::new(spec, Wiring::default(), keeping);
        for input in written {
            let spare = parcel.take_some(input.spare)?;
            let kept = spare.as_ref().map_or(Kept::No, |spare| {
                let (store, id) = &streams.keeping;
                let meaning = Meaning::Input(id.clone(), input.stream);
                Kept::again(store, input.deposit, meaning, &[spare.as_fd()])
            });
            streams.inputs.push(Input {
                kept,
                stream: input.stream,
                lent: input.lent,
                ended: input.ended,
                spare,
                to_lend: parcel.take_some(input.to_lend)?,
            });
        }
        streams.rewire(spec, wiring);
        Ok(streams)
    }
}
