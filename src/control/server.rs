//! Accepts clients of the control socket, as many as there is room for. Depends on `connection`, `listener`, `table`.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::{self, Write};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::access::{Access, Right};
use super::backend::{Backend, Caller};
use super::codec::Budget;
use super::connection::{Shared, go_on, serve};
use super::error::Error;
use super::listener::Listener;
use super::table::{Seat, Table};
use crate::sys::{clock, peer};

/// How long accept(2) rests after it failed for want of something.
const REST: Duration = Duration::from_millis(100);
/// How long connections may take to end before a handover.
const ENDING: Duration = Duration::from_millis(50);

/// What one client, and what all clients, may take.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections at once. Beyond it the one that has been idle for longest makes room.
    pub connections: usize,
    /// Bytes of one message in.
    pub message: usize,
    /// Bytes of all unfinished messages in, beyond 16 KiB for each.
    pub unfinished: usize,
    /// Replies at once that grow with the config.
    pub long_replies: usize,
    /// How long a begun message may take, and how long a client may take nothing of a reply.
    pub stall: Duration,
    /// How long connections have to end when the server stops. Half of it is for calls that wait.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: 640,
            message: 1 << 20,
            unfinished: 16 << 20,
            long_replies: 4,
            stall: Duration::from_secs(30),
            grace: Duration::from_secs(1),
        }
    }
}

/// Brings a server to rest for a handover.
#[derive(Debug)]
pub struct Hold {
    /// Told when it is.
    pub at_rest: oneshot::Sender<()>,
    /// When this resolves, one way or the other, it goes on.
    pub go_on: oneshot::Receiver<()>,
}

/// The control server. [`Server::run`] must be called within a `LocalSet`.
#[derive(Debug)]
pub struct Server<B> {
    listener: Listener,
    shared: Rc<Shared<B>>,
    connections: JoinSet<()>,
    /// Given up for a moment when there are no descriptors left, so that a client can be told so.
    spare: Option<File>,
    troubled: bool,
}

impl<B: Backend> Server<B> {
    /// A server of `backend` on `listener`, for those who have `access`.
    #[must_use]
    pub fn new(listener: Listener, access: Access, backend: Rc<B>, limits: Limits) -> Server<B> {
        let shared = Shared {
            backend,
            access,
            budget: Budget::new(limits.unfinished),
            table: Rc::new(RefCell::new(Table::default())),
            places: Arc::new(Semaphore::new(limits.long_replies)),
            ending: RefCell::default(),
            upgrading: Cell::new(0),
            limits,
        };
        Server {
            listener,
            shared: Rc::new(shared),
            connections: JoinSet::new(),
            spare: spare(),
            troubled: false,
        }
    }

    /// Answers a client that has asked the daemon's last life, and serves it from then on. `reply`: the parameters.
    pub fn go_on(&mut self, caller: Caller, reply: Vec<u8>) -> io::Result<()> {
        let stream = std::os::unix::net::UnixStream::from(caller.socket);
        stream.set_nonblocking(true)?;
        let stream = UnixStream::from_std(stream)?;
        let right = self.right_of(&stream);
        let seat = Seat::take(&self.shared.table, right == Right::Introspect, clock::now());
        let shared = Rc::clone(&self.shared);
        let client = (stream, caller.begun);
        self.connections.spawn_local(go_on(shared, client, reply, seat, right));
        Ok(())
    }

    /// Serves until `shutdown` is cancelled: cancel it when the daemon has stopped, for clients want to watch that.
    /// Then connections end once their replies are written, within [`Limits::grace`], and the socket is removed.
    ///
    /// Fails only when the listening socket cannot be watched at all.
    ///
    /// When it is held, connections end, and those that come wait in the socket's queue.
    pub async fn run(mut self, shutdown: CancellationToken, mut holds: mpsc::Receiver<Hold>) -> io::Result<()> {
        let listener = UnixListener::from_std(self.listener.socket().try_clone()?)?;
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                Some(_) = self.connections.join_next() => {}
                Some(hold) = holds.recv() => self.hold(hold, &shutdown).await,
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        self.troubled = false;
                        self.admit(stream);
                    }
                    Err(error) => self.recover(&error, &shutdown).await,
                },
            }
        }
        drop(listener);
        self.stop().await;
        Ok(())
    }

    fn admit(&mut self, stream: UnixStream) {
        let now = clock::now();
        let limit = self.shared.limits.connections;
        let full = self.shared.table.borrow().len() >= limit;
        if full && !self.shared.table.borrow_mut().make_room(now) {
            if let Ok(stream) = stream.into_std() {
                let why = format!("{limit} connections are in use; try again");
                refuse(stream, &Error::Busy(why));
            }
            return;
        }
        let right = self.right_of(&stream);
        let seat = Seat::take(&self.shared.table, right == Right::Introspect, now);
        let shared = Rc::clone(&self.shared);
        self.connections.spawn_local(serve(shared, stream, seat, right));
    }

    /// Asked once: they are the client's of the moment when it connected, and stay those.
    fn right_of(&self, stream: &UnixStream) -> Right {
        match peer::of(stream) {
            Ok(peer) => self.shared.access.right_of(&peer),
            Err(error) => {
                tracing::warn!(%error, "cannot tell who a client of the control socket is, so it may do nothing");
                Right::Introspect
            }
        }
    }

    /// accept(2): most errors are of the connection that was to be accepted and mean nothing; some say that something
    /// has run out, and come again at once.
    async fn recover(&mut self, error: &io::Error, shutdown: &CancellationToken) {
        let errno = error.raw_os_error().map(Errno::from_raw);
        if matches!(errno, Some(Errno::ECONNABORTED | Errno::EINTR)) {
            return;
        }
        if !self.troubled {
            tracing::warn!(%error, "cannot accept control connections now; going on to try");
            self.troubled = true;
        }
        if matches!(errno, Some(Errno::EMFILE | Errno::ENFILE)) {
            let made_room = self.shared.table.borrow_mut().make_room(clock::now());
            if !made_room {
                self.refuse_by_spare();
            }
        }
        tokio::select! {
            () = tokio::time::sleep(REST) => {}
            () = shutdown.cancelled() => {}
        }
        self.spare = self.spare.take().or_else(spare);
    }

    /// Better a client that knows than one that waits for a descriptor for ever.
    fn refuse_by_spare(&mut self) {
        self.spare = None;
        if let Ok((stream, _)) = self.listener.socket().accept() {
            let why = "the daemon has no file descriptor left; try again";
            refuse(stream, &Error::Busy(why.to_owned()));
        }
    }

    /// Ends every connection but those that wait for the next life, and rests until it is told to go on.
    async fn hold(&mut self, hold: Hold, shutdown: &CancellationToken) {
        let ending = self.shared.ending.take();
        ending.silent.set(true);
        ending.stop.cancel();
        ending.hurry.cancel();
        let others_ended = async {
            while self.connections.len() > self.shared.upgrading.get() && self.connections.join_next().await.is_some() {
            }
        };
        // One that is at a reply which its client does not read is cut off by the handover.
        let _ = tokio::time::timeout(ENDING, others_ended).await;
        let _ = hold.at_rest.send(());
        tokio::select! {
            _ = hold.go_on => {}
            () = shutdown.cancelled() => {}
        }
    }

    async fn stop(&mut self) {
        let ending = self.shared.ending.borrow().clone();
        ending.stop.cancel();
        let half = self.shared.limits.grace / 2;
        if tokio::time::timeout(half, self.ended()).await.is_err() {
            ending.hurry.cancel();
            let _ = tokio::time::timeout(half, self.ended()).await;
        }
        self.connections.shutdown().await;
    }

    async fn ended(&mut self) {
        while self.connections.join_next().await.is_some() {}
    }
}

fn spare() -> Option<File> {
    File::open("/dev/null").ok()
}

/// Where no server will run: tells every client that waits in the socket's queue why, and closes.
pub fn turn_away(listener: &Listener, why: &Error) {
    while let Ok((stream, _)) = listener.socket().accept() {
        refuse(stream, why);
    }
}

/// Says why and closes, without waiting for anything.
fn refuse(mut stream: std::os::unix::net::UnixStream, why: &Error) {
    let reply = serde_json::to_vec(&why.to_wire());
    if let (Ok(mut reply), Ok(())) = (reply, stream.set_nonblocking(true)) {
        reply.push(0);
        let _ = stream.write(&reply);
    }
}
