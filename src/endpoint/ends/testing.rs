//! What the tests of all kinds need: endpoints that live on in the daemon's next life.

use std::io;
use std::os::fd::OwnedFd;
use std::task::{Context, Poll, Waker};

use super::{Destination, Source, Surroundings, Taken};
use crate::sys::parcel::{Packed, Parcel, Unpacked, Unpacking};
use crate::sys::pipe;
use crate::sys::watch::Openings;

pub(in crate::endpoint) fn in_runtime(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let local = tokio::task::LocalSet::new();
    runtime.unwrap().block_on(local.run_until(test));
}

/// Of a new life: nobody has taken anything, and inotify is served.
pub(in crate::endpoint) fn surroundings() -> Surroundings {
    let openings = Openings::new().unwrap();
    tokio::task::spawn_local(openings.clone().run());
    Surroundings {
        openings: Some(openings),
        taken: std::sync::Arc::new(Taken::default()),
        store: crate::store::Store::default(),
    }
}

/// Asks once.
pub(in crate::endpoint) fn once<T>(mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
    poll(&mut Context::from_waker(Waker::noop()))
}

/// Waits until it is ready.
pub(in crate::endpoint) async fn ready<T>(poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> T {
    let waited = tokio::time::timeout(std::time::Duration::from_secs(30), std::future::poll_fn(poll));
    waited.await.expect("it never came")
}

/// As it comes out of an execve(2).
fn carried(pack: impl FnOnce(&mut Parcel) -> io::Result<serde_json::Value>) -> (serde_json::Value, Unpacking) {
    let (state, descriptors, blobs) = Packed::new(pack).unwrap().into_parts();
    let text = serde_json::to_string(&state).unwrap();
    let unpacked = Unpacked::new(serde_json::from_str(&text).unwrap(), descriptors, blobs);
    unpacked.read().unwrap()
}

/// The old one goes, as all does that was not packed, and the new one knows what it knew.
pub(in crate::endpoint) fn next_source<S: Source>(old: S, mut new: S) -> S {
    let (state, mut parcel) = carried(|parcel| old.pack(parcel));
    drop(old);
    new.unpack(state, &mut parcel).unwrap();
    new
}

/// The same of a destination. Its threads go, too.
pub(in crate::endpoint) fn next_destination<D: Destination>(mut old: D, mut new: D) -> D {
    let (state, mut parcel) = carried(|parcel| old.pack(parcel));
    old.abort();
    drop(old);
    new.unpack(state, &mut parcel).unwrap();
    new
}

/// A pipe that blocks nobody.
pub(in crate::endpoint) fn pipe() -> (OwnedFd, OwnedFd) {
    let (read, write) = pipe::pair().unwrap();
    pipe::set_nonblocking(&read, true).unwrap();
    pipe::set_nonblocking(&write, true).unwrap();
    (read, write)
}
