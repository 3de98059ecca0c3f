//! A process comes to rest for an upgrade, and goes on in the daemon's next life: the same child, since it is a child of
//! the same process. What is packed here, and by whoever it belongs to below, is all that the next life knows of it.

use std::io::{self, ErrorKind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use super::Wiring;
use super::driver::{Driver, answer};
use super::identity::{Found, Lookup};
use super::life::WrittenLife;
use super::log::{self, Packing};
use super::remains::{self, Remains};
use super::shown::snapshot_of;
use super::streams::{self, Streams};
use crate::decide::process::Process;
use crate::model::{Moment, ProcessSnapshot, ProcessSpec, Stream};
use crate::sys::parcel::{self, Packed, Parcel, Unpacked};
use crate::sys::process::Identity;

/// What is written of a process.
#[derive(Serialize, Deserialize)]
struct Written {
    machine: Process,
    since: Option<Moment>,
    waits: bool,
    look: (Moment, Duration),
    #[serde(default)]
    hurry: Option<Moment>,
    #[serde(default)]
    routed: Vec<Stream>,
    /// The life that runs was begun with another one than the spec has now.
    #[serde(default)]
    watchdog: Option<Watchdog>,
    inputs: Vec<streams::Written>,
    life: Option<WrittenLife>,
    remains: remains::Written,
    readers: Vec<log::Written>,
}

#[derive(Serialize, Deserialize)]
struct Watchdog {
    every: Option<Duration>,
}

/// Whether this version can read what some version has written of a process.
pub fn check_packed(state: &serde_json::Value) -> io::Result<()> {
    parcel::read::<Written>(state.clone()).map(drop)
}

impl Driver {
    /// Comes to rest, the readers of output first, and stays so until `thaw` resolves.
    pub(super) async fn freeze(&mut self, reply: oneshot::Sender<io::Result<Packed>>, thaw: oneshot::Receiver<()>) {
        let (answers, mut answered) = mpsc::unbounded_channel();
        let parcel = Rc::default();
        let packing = Packing {
            parcel: Rc::clone(&parcel),
            answers,
        };
        self.packing.send_replace(Some(packing));
        let readers = self.at_rest(&mut answered).await;
        self.packing.send_replace(None);
        // What a reader has asked for on its way.
        while let Ok(life) = self.overdue.1.try_recv() {
            self.remains.kill_life(life);
        }
        let packed = readers.and_then(|readers| self.pack(readers, parcel.take()));
        answer(reply, packed);
        let _ = thaw.await;
        // By this they go on.
        drop(answered);
    }

    /// Waits for the readers. One that ends meanwhile has nothing to hand over.
    async fn at_rest(
        &mut self,
        answered: &mut mpsc::UnboundedReceiver<io::Result<log::Written>>,
    ) -> io::Result<Vec<log::Written>> {
        let mut answers = Vec::new();
        while answers.len() < self.readers.len() {
            tokio::select! {
                Some(answer) = answered.recv() => answers.push(answer),
                Some(_) = self.readers.join_next() => {}
                else => break,
            }
        }
        answers.into_iter().collect()
    }

    fn pack(&self, readers: Vec<log::Written>, mut parcel: Parcel) -> io::Result<Packed> {
        let watchdog = self.next_spec.as_ref().map(|_| Watchdog {
            every: self.spec.watchdog,
        });
        let life = self.life.as_ref().map(|life| life.pack(&mut parcel));
        let written = Written {
            machine: self.machine.clone(),
            since: self.snapshot.borrow().since,
            waits: self.waits,
            look: self.look,
            hurry: *self.hurry.borrow(),
            routed: self.routed.borrow().clone(),
            watchdog,
            inputs: self.streams.pack(&mut parcel)?,
            life: life.transpose()?,
            remains: self.remains.pack(&mut parcel)?,
            readers,
        };
        let state = parcel::written(&written)?;
        Ok(Packed { state, parcel })
    }

    /// Takes on what was packed. The answer: the life whose user has to be looked up again ([`Driver::go_on`]).
    pub(super) fn again(&mut self, wiring: Wiring, packed: Unpacked) -> io::Result<Option<u64>> {
        let (written, mut parcel) = packed.read::<Written>()?;
        let forked = written.machine.life().and_then(|life| life.pid);
        if forked != written.life.as_ref().map(WrittenLife::pid) {
            let text = "the handover tells two things about whether it runs";
            return Err(io::Error::new(ErrorKind::InvalidData, text));
        }
        // First of all: what fails from here on leaves no child without somebody to reap it.
        self.life = written.life.map(|life| life.again(&self.id, &mut parcel)).transpose()?;
        self.leaf.replace(
            self.life
                .as_ref()
                .and_then(|life| life.leaf.as_ref())
                .map(Rc::downgrade)
                .unwrap_or_default(),
        );
        self.remains = Remains::again(self.id.clone(), written.remains, &mut parcel)?;
        self.streams = Streams::again(
            &self.spec,
            wiring,
            self.streams.keeping(),
            (written.inputs, &mut parcel),
        )?;
        if let Some(watchdog) = written.watchdog {
            let mut present = ProcessSpec::clone(&self.spec);
            present.watchdog = watchdog.every;
            self.next_spec = Some(std::mem::replace(&mut self.spec, Arc::new(present)));
        }
        self.waits = written.waits;
        self.look = written.look;
        self.hurry.send_replace(written.hurry);
        self.routed.send_replace(written.routed);
        for reader in written.readers {
            self.read_again(reader, &mut parcel)?;
        }
        self.machine = written.machine;
        let says = self.life.as_ref().and_then(|life| life.status_text.as_deref());
        self.snapshot.replace(ProcessSnapshot {
            since: written.since,
            ..snapshot_of(&self.machine, &self.id, says)
        });
        // One that is not forked waits for a look-up, or for its pipes, and begins that again.
        let unborn = self.machine.life().filter(|life| life.pid.is_none());
        Ok(unborn.map(|_| self.machine.lives))
    }

    /// In its task, before anything else.
    pub(super) fn go_on(&mut self, lookup: Option<u64>) {
        let Some(life) = lookup else { return };
        let event = match Lookup::begin(life, &self.spec) {
            Ok(Some(lookup)) => {
                self.lookup = Some(lookup);
                return;
            }
            // It has got another spec since it began.
            Ok(None) => self.identified(life, Found::Ok(Identity::default())),
            Err(error) => self.not_looked_up(life, &error),
        };
        event.map(|event| self.take(event));
    }
}
