//! One client's stream: messages in, replies out, each bounded in size and time. Depends on `codec` and `table`.

use std::future::poll_fn;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::Stream;
use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio_util::codec::{Decoder, FramedRead};

use super::backend::Caller;
use super::codec::{self, Budget, CodecError, NulCodec};
use super::error::Error;
use super::hangup;
use super::table::{Doing, Seat};
use super::types::Snapshot;
use crate::sys::clock;

/// A reply, or so many replies of a stream, are written at once; what is longer counts as long.
pub(super) const BATCH: usize = 64 * 1024;
/// After so many items of a long reply the other connections have their turn.
const ITEMS_A_TURN: usize = 32;
/// How long a client that sent too much may go on sending before it must have read why.
const LINGER: Duration = Duration::from_secs(2);

/// The connection is of no use any more.
#[derive(Debug)]
pub(super) struct Broken;

/// One client's stream.
#[derive(Debug)]
pub(super) struct Link {
    stream: FramedRead<UnixStream, NulCodec>,
    out: BytesMut,
    stall: Duration,
    /// What the daemon's last life had read is looked at first.
    is_taken_over: bool,
}

impl Link {
    pub(super) fn new(stream: UnixStream, limit: usize, budget: &Rc<Budget>, stall: Duration) -> Link {
        let codec = NulCodec::new(limit, Rc::clone(budget));
        Link {
            stream: FramedRead::with_capacity(stream, codec, codec::ROOM),
            out: BytesMut::new(),
            stall,
            is_taken_over: false,
        }
    }

    /// Goes on with what the daemon's last life had read and not answered.
    pub(super) fn go_on_from(&mut self, begun: &[u8]) {
        self.stream.read_buffer_mut().extend_from_slice(begun);
        self.is_taken_over = true;
    }

    /// A copy of it for the daemon's next life.
    pub(super) fn caller(&self) -> std::io::Result<Caller> {
        Ok(Caller {
            socket: self.stream.get_ref().as_fd().try_clone_to_owned()?,
            begun: Bytes::copy_from_slice(self.stream.read_buffer()),
        })
    }

    /// Whether something has come that was not read yet. A socket that is closed then is an error to the other end, and not
    /// the end of its stream (unix(7)).
    pub(super) fn has_unread(&self) -> bool {
        hangup::has_unread(self.stream.get_ref())
    }

    /// A message of what the last life had read.
    fn next_taken_over(&mut self) -> Option<Result<BytesMut, CodecError>> {
        let mut begun = std::mem::take(self.stream.read_buffer_mut());
        let message = self.stream.decoder_mut().decode(&mut begun).transpose();
        *self.stream.read_buffer_mut() = begun;
        self.is_taken_over = message.is_some();
        message
    }

    /// The next message; `None` at the end of the stream, and when a begun message does not get on.
    pub(super) async fn next(&mut self) -> Option<Result<BytesMut, CodecError>> {
        if self.is_taken_over
            && let Some(message) = self.next_taken_over()
        {
            return Some(message);
        }
        let mut deadline = None;
        poll_fn(|context| {
            if let Poll::Ready(message) = Pin::new(&mut self.stream).poll_next(context) {
                return Poll::Ready(message);
            }
            if self.stream.read_buffer().is_empty() {
                return Poll::Pending;
            }
            // Only a begun message has a deadline: an idle connection must not wake anybody.
            let deadline = deadline.get_or_insert_with(|| Box::pin(tokio::time::sleep(self.stall)));
            deadline.as_mut().poll(context).map(|()| None)
        })
        .await
    }

    /// Puts a reply into the write buffer.
    pub(super) fn put(&mut self, parameters: &impl Serialize, continues: bool) -> Result<(), Broken> {
        self.raw("{\"parameters\":");
        self.json(parameters)?;
        self.end(continues);
        Ok(())
    }

    /// Puts a reply into the write buffer whose parameters are JSON already.
    pub(super) fn put_json(&mut self, parameters: &[u8]) {
        self.raw("{\"parameters\":");
        self.out.put_slice(parameters);
        self.end(false);
    }

    /// Puts an error into the write buffer.
    pub(super) fn put_error(&mut self, error: &Error) -> Result<(), Broken> {
        self.json(&error.to_wire())?;
        self.raw("\0");
        Ok(())
    }

    /// Puts one reply with all `items` into the write buffer, in many turns.
    pub(super) async fn put_list<T: Serialize>(&mut self, key: &str, items: Vec<T>) -> Result<(), Broken> {
        self.raw("{\"parameters\":{");
        self.list(key, items).await?;
        self.raw("}");
        self.end(false);
        Ok(())
    }

    /// Puts the event that a Monitor begins with, in many turns.
    pub(super) async fn put_snapshot(&mut self, seq: u64, at_usec: u64, snapshot: Snapshot) -> Result<(), Broken> {
        self.raw(&format!(
            "{{\"parameters\":{{\"seq\":{seq},\"atUSec\":{at_usec},\"kind\":\"snapshot\",\"subject\":\"daemon\",\
             \"detail\":{{\"status\":"
        ));
        self.json(&snapshot.status)?;
        self.raw(",");
        self.list("routes", snapshot.routes).await?;
        self.raw(",");
        self.list("processes", snapshot.processes).await?;
        self.raw("}}");
        self.end(true);
        Ok(())
    }

    async fn list<T: Serialize>(&mut self, key: &str, items: Vec<T>) -> Result<(), Broken> {
        self.raw(&format!("\"{key}\":["));
        for (index, item) in items.into_iter().enumerate() {
            if index > 0 {
                self.raw(",");
            }
            self.json(&item)?;
            if index % ITEMS_A_TURN == ITEMS_A_TURN - 1 {
                tokio::task::yield_now().await;
            }
        }
        self.raw("]");
        Ok(())
    }

    fn raw(&mut self, text: &str) {
        self.out.put_slice(text.as_bytes());
    }

    fn json(&mut self, value: &impl Serialize) -> Result<(), Broken> {
        serde_json::to_writer((&mut self.out).writer(), value).map_err(|_| Broken)
    }

    fn end(&mut self, continues: bool) {
        self.raw(if continues { ",\"continues\":true}\0" } else { "}\0" });
    }

    /// Bytes put and not written.
    pub(super) fn pending(&self) -> usize {
        self.out.len()
    }

    /// Writes what was put. A client that takes nothing of it for the stall time is given up; with `patient`, only one
    /// that has gone.
    pub(super) async fn flush(&mut self, seat: &Seat, patient: bool) -> Result<(), Broken> {
        let long = self.out.len() > BATCH;
        seat.does(Doing::Writing { long }, clock::now());
        let stream = self.stream.get_mut();
        while !self.out.is_empty() {
            let write = stream.write_buf(&mut self.out);
            let written = if patient && !long {
                write.await
            } else {
                tokio::time::timeout(self.stall, write).await.map_err(|_| Broken)?
            };
            match written {
                Ok(0) | Err(_) => return Err(Broken),
                Ok(_) => {}
            }
        }
        if self.out.capacity() > BATCH || long {
            // A connection that had one long reply does not keep the room for it.
            self.out = BytesMut::new();
        }
        Ok(())
    }

    /// Resolves when the client has closed its socket.
    pub(super) async fn gone(&self) {
        hangup::gone(self.stream.get_ref()).await;
    }

    /// Ends the stream, and lets the client read what was written: a close with unread bytes would be an error to it
    /// while it still writes.
    pub(super) async fn linger(mut self) {
        let stream = self.stream.get_mut();
        let mut thrown_away = [0; 4096];
        let drain = async {
            let _ = stream.shutdown().await;
            while stream.read(&mut thrown_away).await.is_ok_and(|length| length > 0) {}
        };
        let _ = tokio::time::timeout(LINGER, drain).await;
    }
}
