//! Something that is in the store, on its way there, or of which there is no need.

use std::future::Future;
use std::os::fd::BorrowedFd;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::{Deposit, Depositing, Meaning, Store};

/// Whether something is kept.
#[derive(Debug, Default)]
pub enum Kept {
    /// There is no store, or nothing to keep.
    #[default]
    No,
    /// No byte should enter it before it is there.
    Coming(Depositing),
    /// It is there.
    Yes(Deposit),
}

impl Kept {
    /// Puts copies of these in, where there is a store.
    #[must_use]
    pub fn put(store: &Store, meaning: Meaning, ends: &[BorrowedFd<'_>]) -> Kept {
        match store.is_there() {
            true => Kept::Coming(store.put(meaning, ends)),
            false => Kept::No,
        }
    }

    /// What an earlier life has put in, by its number; what was on its way then is put in again.
    #[must_use]
    pub fn again(store: &Store, number: Option<u64>, meaning: Meaning, ends: &[BorrowedFd<'_>]) -> Kept {
        match store.again(number) {
            Some(deposit) => Kept::Yes(deposit),
            None => Kept::put(store, meaning, ends),
        }
    }

    /// It is on its way.
    #[must_use]
    pub fn is_coming(&self) -> bool {
        matches!(self, Kept::Coming(_))
    }

    /// By which it is known in the store, be it on its way: what is on its way when the daemon is upgraded has come before the
    /// next life begins. Put in twice, it would be kept under the first number alone.
    #[must_use]
    pub fn number(&self) -> Option<u64> {
        match self {
            Kept::No => None,
            Kept::Coming(depositing) => depositing.number(),
            Kept::Yes(deposit) => Some(deposit.number()),
        }
    }

    /// Whether it may be used: ready at once, unless it is on its way.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Kept::Coming(depositing) = self {
            match Pin::new(depositing).poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(deposit) => *self = deposit.map_or(Kept::No, Kept::Yes),
            }
        }
        Poll::Ready(())
    }

    /// Ready, once, when something that was on its way has come.
    pub fn poll_come(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self.is_coming() {
            true => self.poll(cx),
            false => Poll::Pending,
        }
    }

    /// Without waiting for it.
    #[must_use]
    pub fn into_deposit(self) -> Option<Deposit> {
        match self {
            Kept::No => None,
            Kept::Coming(depositing) => depositing.unwaited(),
            Kept::Yes(deposit) => Some(deposit),
        }
    }
}
