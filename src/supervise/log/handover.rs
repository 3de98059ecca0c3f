//! What a reader of output hands over to the daemon's next life: its pipe, and the line that it is in.

use std::cell::RefCell;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use serde::{Deserialize, Serialize};
use tokio::io::unix::AsyncFd;
use tokio::sync::{mpsc, watch};

use super::output::{self, Output};
use super::{Driver, Reader};
use crate::model::{Moment, Stream};
use crate::sys::clock;
use crate::sys::parcel::{Parcel, Slot, Unpacking};

/// What the readers of a process put what they hold into, when they are to come to rest.
#[derive(Clone)]
pub(in crate::supervise) struct Packing {
    pub(in crate::supervise) parcel: Rc<RefCell<Parcel>>,
    /// Each answers once, or ends. They rest until the other end of this goes.
    pub(in crate::supervise) answers: mpsc::UnboundedSender<io::Result<Written>>,
}

/// What is written of one.
#[derive(Serialize, Deserialize)]
pub(in crate::supervise) struct Written {
    stream: Stream,
    life: u64,
    pid: i32,
    end: Slot,
    deadline: Option<Moment>,
    last: Option<Moment>,
    output: output::Written,
}

impl Reader {
    pub(super) async fn rest(&mut self, end: &AsyncFd<OwnedFd>, packing: Packing) {
        let written = self.pack(end.get_ref(), &mut packing.parcel.borrow_mut());
        // Whoever asked is there, or drops this task as well.
        let _ = packing.answers.send(written);
        packing.answers.closed().await;
    }

    fn pack(&self, end: &OwnedFd, parcel: &mut Parcel) -> io::Result<Written> {
        Ok(Written {
            stream: self.stream,
            life: self.life,
            pid: self.pid,
            end: parcel.put(end)?,
            deadline: *self.deadline.borrow(),
            last: self.last,
            output: self.output.pack(parcel),
        })
    }
}

impl Driver {
    /// Goes on with a reader of the last life.
    pub(in crate::supervise) fn read_again(&mut self, written: Written, parcel: &mut Unpacking) -> io::Result<()> {
        let Written { stream, life, pid, .. } = written;
        let present = self.life.as_ref().filter(|present| present.number == life);
        let deadline = match (written.deadline, present) {
            (None, Some(present)) => present.deadline.subscribe(),
            (deadline, _) => {
                let deadline = deadline.unwrap_or_else(|| clock::now() + self.spec.stop_timeout);
                watch::Sender::new(Some(deadline)).subscribe()
            }
        };
        let output = Output::again(self.id.clone(), stream, written.output, parcel)?;
        let mut reader = self.reader((life, pid, stream), deadline, output);
        reader.last = written.last;
        let end = parcel.take(written.end)?;
        self.readers.spawn_local(reader.run(end));
        Ok(())
    }
}
