//! Finding, making and claiming a FIFO: what its source and its destination have in common.

use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::time::Duration;

use crate::endpoint::ends::{Claim, OpenError, Surroundings};
use crate::model::{FifoSpec, Moment};
use crate::store::{Claimed, Deposit};
use crate::sys::fifo::{self, Found, NotFound};
use crate::sys::{clock, pipe};

/// The first pause before another try; it doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// The longest.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// What looking for a FIFO came to.
pub(super) enum Sought {
    /// Here it is.
    Found(Found),
    /// It is not there, and somebody else is to make it.
    NotThereYet,
}

/// Looks for the FIFO, and makes it where the config says so.
pub(super) fn seek(spec: &FifoSpec) -> Result<Sought, OpenError> {
    match fifo::find(&spec.path) {
        Ok(found) => return Ok(Sought::Found(found)),
        Err(NotFound::Io(error)) if error.kind() == ErrorKind::NotFound && !spec.create => {
            return Ok(Sought::NotThereYet);
        }
        Err(NotFound::Io(error)) if error.kind() == ErrorKind::NotFound => make(spec)?,
        Err(not_found) => return Err(explain(spec, not_found)),
    }
    fifo::find(&spec.path)
        .map(Sought::Found)
        .map_err(|not_found| explain(spec, not_found))
}

/// What is said while the FIFO is not there.
pub(super) fn absent(spec: &FifoSpec) -> std::sync::Arc<str> {
    format!(
        "{} is not there yet, and `create` is false; looking for it every second",
        spec.path.display()
    )
    .into()
}

fn make(spec: &FifoSpec) -> Result<(), OpenError> {
    let path = spec.path.display();
    let user = match &spec.owner.user {
        None => None,
        Some(name) => Some(known(fifo::user(name), &format!("user {name:?}"), spec)?),
    };
    let group = match &spec.owner.group {
        None => None,
        Some(name) => Some(known(fifo::group(name), &format!("group {name:?}"), spec)?),
    };
    match fifo::make(&spec.path, spec.mode, user, group) {
        // Somebody else made one meanwhile; what it is will be seen.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let text = format!("cannot make the FIFO {path}: its directory is not there; make it first");
            Err(OpenError::refused(text, "ENOENT"))
        }
        made => made.map_err(|error| OpenError::new(format!("cannot make the FIFO {path}"), &error)),
    }
}

fn known<T>(found: io::Result<Option<T>>, what: &str, spec: &FifoSpec) -> Result<T, OpenError> {
    let path = spec.path.display();
    match found {
        Ok(Some(id)) => Ok(id),
        Ok(None) => {
            let text = format!("cannot make the FIFO {path}: there is no {what} on this machine");
            Err(OpenError::refused(text, "EINVAL"))
        }
        Err(error) => Err(OpenError::new(
            format!("cannot make the FIFO {path}: looking for the {what} failed"),
            &error,
        )),
    }
}

fn explain(spec: &FifoSpec, not_found: NotFound) -> OpenError {
    let path = spec.path.display();
    match not_found {
        NotFound::Io(error) => OpenError::new(format!("cannot look at {path}"), &error),
        NotFound::Other(other) => {
            let text = format!(
                "{path} is {}, not a FIFO; remove it or point `fifo` elsewhere",
                other.as_str()
            );
            OpenError::refused(text, "EINVAL")
        }
    }
}

/// Takes the FIFO into use for this endpoint alone.
pub(super) fn claim(
    spec: &FifoSpec,
    found: &Found,
    mine: &mut Option<Claim>,
    around: &Surroundings,
    place: &str,
) -> Result<(), OpenError> {
    if mine.as_ref().is_some_and(|claim| claim.identity() == found.identity()) {
        return Ok(());
    }
    *mine = None;
    match around.taken.claim(found.identity(), place) {
        Ok(claim) => {
            *mine = Some(claim);
            Ok(())
        }
        Err(other) => {
            let path = spec.path.display();
            let text = format!("{path} is the same FIFO as that of {other}; an endpoint belongs to one route");
            Err(OpenError::refused(text, "EBUSY"))
        }
    }
}

/// What a dead life of the daemon has left of this FIFO: an end, and by which it is in the store. One of another FIFO, which
/// stood at the path then, is of no use.
pub(super) fn left(spec: &FifoSpec, found: &Found, left: Option<Claimed>) -> Option<(OwnedFd, Deposit)> {
    let Claimed { mut ends, deposit } = left?;
    let end = ends.pop()?;
    if fifo::identity(&end).is_ok_and(|identity| identity == found.identity()) {
        return Some((end, deposit));
    }
    let (path, unread) = (spec.path.display(), pipe::unread(&end));
    tracing::warn!(fifo = %path, "another FIFO stands at {path} than before: {unread} bytes that stood in that are lost");
    None
}

/// Asks for the configured capacity. What cannot be had is told once in the log and is no reason to stop.
pub(super) fn size(spec: &FifoSpec, end: impl std::os::fd::AsFd) {
    let Some(wanted) = spec.pipe_size else { return };
    if pipe::size(&end).is_ok_and(|size| size == wanted) {
        return;
    }
    if let Err(error) = pipe::set_size(&end, wanted) {
        let path = spec.path.display();
        let now = pipe::size(&end).unwrap_or(0);
        tracing::warn!(fifo = %path, "cannot give {path} a pipe of {wanted} bytes, it has {now}: {error}");
    }
}

/// Tries again after a while, and then after a longer one.
#[derive(Debug, Default)]
pub(super) struct Retry {
    pause: Option<Duration>,
    sleep: Option<std::pin::Pin<Box<tokio::time::Sleep>>>,
}

impl Retry {
    /// Ready when it is time for another try.
    pub(super) fn poll(&mut self, cx: &mut std::task::Context<'_>) -> std::task::Poll<()> {
        use std::future::Future;
        let sleep = self.sleep.get_or_insert_with(|| {
            let pause = self.pause.map_or(FIRST_PAUSE, |before| (before * 2).min(LONGEST_PAUSE));
            self.pause = Some(pause);
            let until: Moment = clock::now() + pause;
            Box::pin(tokio::time::sleep_until(clock::instant_at(until)))
        });
        let polled = sleep.as_mut().poll(cx);
        if polled.is_ready() {
            self.sleep = None;
        }
        polled
    }

    /// The next pause is the first one again.
    pub(super) fn reset(&mut self) {
        *self = Retry::default();
    }
}
