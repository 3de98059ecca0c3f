//! One connection: request, reply, request, reply, until it ends. Depends on `link`, `dispatch` and `monitor`.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use tokio::net::UnixStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::access::{Access, Right};
use super::backend::Backend;
use super::call::{Processes, Routes};
use super::codec::{self, Budget, CodecError};
use super::dispatch::{Answer, perform};
use super::error::Error;
use super::link::{BATCH, Broken, Link};
use super::monitor::{self, Filter};
use super::request::{self, Call, Request};
use super::server::Limits;
use super::table::{Doing, Seat, Table};
use crate::sys::clock;

/// How often one that waits for a place looks whether another's client has stopped reading.
const LOOK: Duration = Duration::from_millis(250);

/// What all connections of a server share.
#[derive(Debug)]
pub(super) struct Shared<B> {
    pub(super) backend: Rc<B>,
    pub(super) access: Access,
    pub(super) limits: Limits,
    pub(super) budget: Rc<Budget>,
    pub(super) table: Rc<RefCell<Table>>,
    /// The places for replies that grow with the config: few, so that what clients leave unread is bounded.
    pub(super) places: Arc<Semaphore>,
    /// By which connections are told to end.
    pub(super) ending: RefCell<Ending>,
    /// How many connections wait for the daemon's next life.
    pub(super) upgrading: Cell<usize>,
}

/// How the connections of a time are told to end; when the server goes on, the next time has another.
#[derive(Clone, Debug, Default)]
pub(super) struct Ending {
    /// Who waits for a request, or watches, ends.
    pub(super) stop: CancellationToken,
    /// Who waits for the end of a call is sent away.
    pub(super) hurry: CancellationToken,
    /// For a handover: without a word.
    pub(super) silent: Rc<Cell<bool>>,
}

/// What becomes of a connection after a request.
enum Next {
    Request,
    End,
}

/// Serves one client until it leaves, is evicted, or the server stops.
pub(super) async fn serve<B: Backend>(shared: Rc<Shared<B>>, stream: UnixStream, seat: Seat, right: Right) {
    let evicted = seat.evicted.clone();
    tokio::select! {
        biased;
        () = evicted.cancelled() => tracing::debug!("a control connection was closed to make room"),
        _ = converse(&shared, shared.link(stream, right), &seat, right) => {}
    }
}

/// Answers a client that has asked the daemon's last life, and serves it then like any other.
pub(super) async fn go_on<B: Backend>(
    shared: Rc<Shared<B>>,
    (stream, begun): (UnixStream, Bytes),
    reply: Vec<u8>,
    seat: Seat,
    right: Right,
) {
    let mut link = shared.link(stream, right);
    link.go_on_from(&begun);
    link.put_json(&reply);
    if link.flush(&seat, false).await.is_ok() {
        seat.does(Doing::Idle, clock::now());
        let _ = converse(&shared, link, &seat, right).await;
    }
}

impl<B> Shared<B> {
    fn link(&self, stream: UnixStream, right: Right) -> Link {
        let limits = &self.limits;
        // A stranger has nothing to say that takes of what all have together.
        let longest = match right {
            Right::Introspect => limits.message.min(codec::FREE),
            Right::Ask | Right::Change => limits.message,
        };
        Link::new(stream, longest, &self.budget, limits.stall)
    }

    fn ending(&self) -> Ending {
        self.ending.borrow().clone()
    }
}

async fn converse<B: Backend>(shared: &Shared<B>, mut link: Link, seat: &Seat, right: Right) -> Result<(), Broken> {
    loop {
        let stop = shared.ending().stop;
        let message = tokio::select! {
            biased;
            message = link.next() => message,
            () = stop.cancelled() => match link.has_unread() {
                // It has asked already, and is answered.
                true => link.next().await,
                false => return Ok(()),
            },
        };
        let message = match message {
            None | Some(Err(CodecError::Io(_))) => return Ok(()),
            Some(Err(error)) => {
                link.put_error(&Error::Failed(format!("{error}; the connection ends")))?;
                link.flush(seat, false).await?;
                link.linger().await;
                return Ok(());
            }
            Some(Ok(message)) => message,
        };
        seat.does(Doing::Working, clock::now());
        let mut request = request::read(&message);
        drop(message);
        request.call = request
            .call
            .and_then(|call| shared.access.check(right, &call).map(|()| call));
        if let Next::End = answer(shared, &mut link, seat, request).await? {
            return Ok(());
        }
        seat.does(Doing::Idle, clock::now());
        // One client's pipelined requests take turns with the others'.
        tokio::task::yield_now().await;
    }
}

async fn answer<B: Backend>(
    shared: &Shared<B>,
    link: &mut Link,
    seat: &Seat,
    request: Request,
) -> Result<Next, Broken> {
    let Request { oneway, more, call } = request;
    let mut place = None;
    let result = match call {
        Ok(Call::Upgrade) => Err(upgrade(shared, link, oneway).await),
        Ok(call) => {
            if call.long() {
                place = Some(place_for_long_reply(shared).await?);
            }
            match perform_while_wanted(shared, link, call).await {
                Some(result) => result,
                None => return Ok(Next::End),
            }
        }
        Err(error) => Err(error),
    };
    if oneway {
        return Ok(Next::Request);
    }
    match result {
        Err(error) => link.put_error(&error)?,
        Ok(Answer::One(parameters)) => link.put_json(&parameters),
        Ok(Answer::Routes(routes)) if more => {
            put_each(link, seat, routes, |route| Routes { routes: route }).await?;
        }
        Ok(Answer::Routes(routes)) => link.put_list("routes", routes).await?,
        Ok(Answer::Processes(processes)) if more => {
            put_each(link, seat, processes, |process| Processes { processes: process }).await?;
        }
        Ok(Answer::Processes(processes)) => link.put_list("processes", processes).await?,
        Ok(Answer::Events(subscription, subjects)) => {
            let stop = shared.ending().stop;
            monitor::run(link, seat, *subscription, Filter(subjects), place, &stop).await?;
            return Ok(Next::End);
        }
    }
    link.flush(seat, false).await?;
    Ok(Next::Request)
}

/// One item a reply; of nothing, one reply that says so.
async fn put_each<T, R: Serialize>(
    link: &mut Link,
    seat: &Seat,
    items: Vec<T>,
    reply: impl Fn(Vec<T>) -> R,
) -> Result<(), Broken> {
    let count = items.len();
    if count == 0 {
        return link.put(&reply(Vec::new()), false);
    }
    for (index, item) in items.into_iter().enumerate() {
        link.put(&reply(vec![item]), index + 1 < count)?;
        if link.pending() >= BATCH {
            link.flush(seat, false).await?;
            tokio::task::yield_now().await;
        }
    }
    Ok(())
}

/// `None` when nobody waits for the result any more.
async fn perform_while_wanted<B: Backend>(
    shared: &Shared<B>,
    link: &Link,
    call: Call,
) -> Option<Result<Answer, Error>> {
    if !call.waits() {
        return Some(perform(&*shared.backend, call).await);
    }
    let ending = shared.ending();
    tokio::select! {
        biased;
        result = perform(&*shared.backend, call) => Some(result),
        () = link.gone() => None,
        () = ending.hurry.cancelled() => {
            (!ending.silent.get()).then(|| Err(Error::Busy("the daemon is stopping".into())))
        }
    }
}

/// Returns only when it is refused. Whether or not the client stays to hear of it, it goes on.
async fn upgrade<B: Backend>(shared: &Shared<B>, link: &Link, oneway: bool) -> Error {
    let caller = match oneway {
        true => None,
        false => match link.caller() {
            Ok(caller) => Some(caller),
            Err(error) => return Error::Failed(format!("cannot copy this connection for the next life: {error}")),
        },
    };
    shared.upgrading.set(shared.upgrading.get() + 1);
    let error = shared.backend.upgrade(caller).await;
    shared.upgrading.set(shared.upgrading.get() - 1);
    error
}

async fn place_for_long_reply<B>(shared: &Shared<B>) -> Result<OwnedSemaphorePermit, Broken> {
    loop {
        let place = Arc::clone(&shared.places).acquire_owned();
        match tokio::time::timeout(LOOK, place).await {
            Ok(place) => return place.map_err(|_| Broken),
            Err(_) => shared.table.borrow_mut().make_room_for_long_reply(clock::now()),
        };
    }
}
