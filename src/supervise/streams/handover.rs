//! What the pipes of a process hand over to the daemon's next life. What a route was lent is the route's to hand over.

use std::io;

use serde::{Deserialize, Serialize};

use super::{Input, Streams};
use crate::model::{ProcessSpec, Stream};
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
            })
        };
        self.inputs.iter().map(pack).collect()
    }

    pub(in crate::supervise) fn again(
        spec: &ProcessSpec,
        wiring: Wiring,
        written: Vec<Written>,
        parcel: &mut Unpacking,
    ) -> io::Result<Streams> {
        let mut streams = Streams::new(spec, Wiring::default());
        for input in written {
            streams.inputs.push(Input {
                stream: input.stream,
                lent: input.lent,
                ended: input.ended,
                spare: parcel.take_some(input.spare)?,
                to_lend: parcel.take_some(input.to_lend)?,
            });
        }
        streams.rewire(spec, wiring);
        Ok(streams)
    }
}
