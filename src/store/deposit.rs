//! Putting copies into the store, and taking them out.

use std::collections::HashSet;
use std::future::Future;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::sync::{mpsc, oneshot};

use super::{Claimed, Left, Meaning};
use crate::model::Name;

/// What is asked of whoever talks to the service manager. Their number is bounded by what is opened and closed.
#[derive(Debug)]
pub enum Request {
    /// Keep these.
    Put {
        /// By which it is taken out again.
        number: u64,
        /// What it is.
        meaning: Meaning,
        /// Copies.
        ends: Vec<OwnedFd>,
        /// Told when the manager has them, or when that is waited for no longer.
        stored: oneshot::Sender<()>,
    },
    /// Keep this no longer.
    Remove(u64),
    /// Of the numbers below this one, only these are known to anybody.
    Only {
        /// Those that an earlier life has given.
        below: u64,
        /// Those that somebody has.
        known: HashSet<u64>,
    },
}

/// The way to the store. Without one nothing is kept, and nobody waits.
#[derive(Clone, Debug, Default)]
pub struct Store {
    inner: Option<Arc<Inner>>,
}

#[derive(Debug)]
struct Inner {
    requests: mpsc::UnboundedSender<Request>,
    next: AtomicU64,
    left: Mutex<Left>,
    /// The first number that this life gives.
    first: u64,
    /// Those of earlier lives that somebody has.
    known: Mutex<HashSet<u64>>,
}

/// Something in the store. When this is dropped, it is taken out.
#[derive(Debug)]
pub struct Deposit {
    number: u64,
    requests: mpsc::UnboundedSender<Request>,
}

/// Something on its way into the store: ready when it is there. Dropped before, it is taken out.
#[derive(Debug, Default)]
pub struct Depositing(Option<(Deposit, oneshot::Receiver<()>)>);

impl Store {
    /// One whose requests go to the other end of `requests`. Numbers below `next` are in use; `left`: what a dead life has
    /// left.
    #[must_use]
    pub fn new(requests: mpsc::UnboundedSender<Request>, next: u64, left: Left) -> Store {
        Store {
            inner: Some(Arc::new(Inner {
                requests,
                next: AtomicU64::new(next),
                left: Mutex::new(left),
                first: next,
                known: Mutex::default(),
            })),
        }
    }

    /// Whether there is one.
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.inner.is_some()
    }

    /// Puts copies of these in. Before the answer is ready, no byte should enter them.
    #[must_use]
    pub fn put(&self, meaning: Meaning, ends: &[BorrowedFd<'_>]) -> Depositing {
        let Some(inner) = &self.inner else {
            return Depositing(None);
        };
        let copies: std::io::Result<Vec<OwnedFd>> = ends.iter().map(BorrowedFd::try_clone_to_owned).collect();
        let ends = match copies {
            Ok(ends) => ends,
            Err(error) => {
                tracing::warn!("{meaning:?} will not outlive this daemon, since it cannot be copied: {error}");
                return Depositing(None);
            }
        };
        let number = inner.next.fetch_add(1, Ordering::Relaxed);
        let (stored, answer) = oneshot::channel();
        inner.ask(Request::Put {
            number,
            meaning,
            ends,
            stored,
        });
        Depositing(Some((inner.deposit(number), answer)))
    }

    /// One that an earlier life has put in.
    #[must_use]
    pub fn again(&self, number: Option<u64>) -> Option<Deposit> {
        let (inner, number) = (self.inner.as_ref()?, number?);
        inner
            .known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(number);
        Some(inner.deposit(number))
    }

    /// After an upgrade, when everybody has what was handed over: takes the rest out.
    pub fn keep_only_what_is_known(&self) {
        if let Some(inner) = &self.inner {
            let known = std::mem::take(&mut *inner.known.lock().unwrap_or_else(PoisonError::into_inner));
            let below = inner.first;
            inner.ask(Request::Only { below, known });
        }
    }

    /// Takes what a dead life has left of this, oldest first.
    #[must_use]
    pub fn claim(&self, meaning: &Meaning) -> Vec<Claimed> {
        let Some(inner) = &self.inner else { return Vec::new() };
        let left = inner.left().take(meaning);
        let claimed = |(number, ends): (u64, Vec<OwnedFd>)| Claimed {
            ends,
            deposit: inner.deposit(number),
        };
        left.into_iter().map(claimed).collect()
    }

    /// Whether an operator had paused this route in a dead life (true), or let it run; `None`: nobody has, or it was asked for
    /// before.
    #[must_use]
    pub fn operator(&self, route: &Name) -> Option<bool> {
        self.inner.as_ref()?.left().operator(route)
    }

    /// What nobody has claimed, with the bytes that stand in it.
    #[must_use]
    pub fn unclaimed(&self) -> Vec<(Meaning, u64, Deposit)> {
        let Some(inner) = &self.inner else { return Vec::new() };
        let rest = inner.left().take_all();
        rest.into_iter()
            .map(|(meaning, unread, number)| (meaning, unread, inner.deposit(number)))
            .collect()
    }
}

impl Inner {
    fn left(&self) -> std::sync::MutexGuard<'_, Left> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask(&self, request: Request) {
        // Nobody takes it any more when the daemon is at its end.
        let _ = self.requests.send(request);
    }

    fn deposit(&self, number: u64) -> Deposit {
        Deposit {
            number,
            requests: self.requests.clone(),
        }
    }
}

impl Deposit {
    /// By which the next life knows it again.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }
}

impl Drop for Deposit {
    fn drop(&mut self) {
        let _ = self.requests.send(Request::Remove(self.number));
    }
}

impl Depositing {
    /// By which the deposit is known; `None`: there is no store.
    #[must_use]
    pub fn number(&self) -> Option<u64> {
        self.0.as_ref().map(|(deposit, _)| deposit.number)
    }

    /// Whatever becomes of it, without waiting.
    #[must_use]
    pub fn unwaited(self) -> Option<Deposit> {
        self.0.map(|(deposit, _)| deposit)
    }
}

/// Ready with the deposit; with nothing where there is no store.
impl Future for Depositing {
    type Output = Option<Deposit>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Deposit>> {
        let Some((_, stored)) = &mut self.0 else {
            return Poll::Ready(None);
        };
        // Whoever would tell may have gone: then it is waited for no longer.
        match Pin::new(stored).poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(_) => Poll::Ready(self.0.take().map(|(deposit, _)| deposit)),
        }
    }
}
