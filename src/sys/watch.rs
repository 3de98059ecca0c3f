//! Learning that somebody has opened a FIFO: inotify(7), one instance for each relay thread.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};
use tokio::io::Interest;

use super::{errno, reactor};

/// One inotify instance and who waits on it. Owned by a relay thread.
#[derive(Debug)]
pub struct Openings {
    inotify: Inotify,
    waiting: RefCell<HashMap<WatchDescriptor, Watched>>,
}

#[derive(Debug, Default)]
struct Watched {
    watches: usize,
    wakers: Vec<Waker>,
}

/// One watched FIFO; dropping it ends the watch.
#[derive(Debug)]
pub struct Watch {
    of: Rc<Openings>,
    descriptor: WatchDescriptor,
}

impl Openings {
    /// A new instance.
    pub fn new() -> io::Result<Rc<Openings>> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC).map_err(errno::io)?;
        Ok(Rc::new(Openings {
            inotify,
            waiting: RefCell::default(),
        }))
    }

    /// Watches the file behind `end` for IN_OPEN. Needs permission to read it (inotify_add_watch(2)).
    pub fn watch(self: &Rc<Openings>, end: impl AsFd) -> io::Result<Watch> {
        let path = format!("/proc/self/fd/{}", end.as_fd().as_raw_fd());
        let descriptor = self
            .inotify
            .add_watch(path.as_str(), AddWatchFlags::IN_OPEN)
            .map_err(errno::io)?;
        self.waiting.borrow_mut().entry(descriptor).or_default().watches += 1;
        Ok(Watch {
            of: Rc::clone(self),
            descriptor,
        })
    }

    /// Wakes those whose FIFO was opened, for ever. Run once on the thread that owns the instance.
    pub async fn run(self: Rc<Openings>) -> io::Result<()> {
        let readable = reactor::register(Arc::new(self.inotify.as_fd().try_clone_to_owned()?), Interest::READABLE)?;
        loop {
            let mut ready = readable.readable().await?;
            match self.inotify.read_events() {
                Ok(events) => {
                    for event in events {
                        self.wake(event.wd, event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW));
                    }
                }
                Err(Errno::EAGAIN) => ready.clear_ready(),
                Err(Errno::EINTR) => {}
                Err(error) => return Err(errno::io(error)),
            }
        }
    }

    fn wake(&self, descriptor: WatchDescriptor, overflow: bool) {
        let mut waiting = self.waiting.borrow_mut();
        if overflow {
            waiting
                .values_mut()
                .flat_map(|watched| watched.wakers.drain(..))
                .for_each(Waker::wake);
        } else if let Some(watched) = waiting.get_mut(&descriptor) {
            watched.wakers.drain(..).for_each(Waker::wake);
        }
    }
}

impl Watch {
    /// Wakes `waker` at the next opening. Call it before the state is looked at, so that no opening is missed.
    pub fn register(&self, waker: &Waker) {
        if let Some(watched) = self.of.waiting.borrow_mut().get_mut(&self.descriptor)
            && !watched.wakers.iter().any(|known| known.will_wake(waker))
        {
            watched.wakers.push(waker.clone());
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut waiting = self.of.waiting.borrow_mut();
        let Some(watched) = waiting.get_mut(&self.descriptor) else {
            return;
        };
        watched.watches -= 1;
        if watched.watches == 0 {
            waiting.remove(&self.descriptor);
            // EINVAL: the kernel has ended the watch already, because the file is gone.
            let _ = self.of.inotify.rm_watch(self.descriptor);
        }
    }
}
