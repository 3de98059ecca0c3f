//! A service manager, as far as a daemon sees of it: no root, no systemd, no unit. It hears what the daemon tells
//! (sd_notify(3)), keeps what it deposits (FDSTORE=1), and passes that to its next life.
//!
//! ```ignore
//! let manager = Manager::new();
//! let daemon = manager.start(CONFIG);
//! manager.wait_ready();
//! let place = manager.kill_all(daemon);
//! let daemon = manager.restart(place);
//! ```

mod activated;
mod descriptors;
mod service;

use std::cell::{Cell, RefCell};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, bind, getsockname, setsockopt, socket, sockopt,
};

use super::daemon::Builder;
use super::{Daemon, Place, notification, until};
pub use activated::{PART, play};
pub use service::{Kept, Message, Phase};

/// FileDescriptorStoreMax= of the shipped unit is not needed here; enough for every story.
const MAX: usize = 512;
/// How often it looks for what is hung up.
const ROUND: u16 = 20;

struct Shared {
    service: Mutex<Service>,
    is_deaf: AtomicBool,
    is_over: AtomicBool,
    /// What is passed before what is stored.
    sockets: Mutex<Vec<(OwnedFd, String)>>,
}

use service::Service;

impl Shared {
    fn service(&self) -> MutexGuard<'_, Service> {
        self.service.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The service manager of one daemon, through all of its lives.
pub struct Manager {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    /// As it stands in NOTIFY_SOCKET.
    address: String,
    lends_socket: Cell<bool>,
    tells_max: Cell<bool>,
    text: RefCell<String>,
}

impl Manager {
    /// One that listens.
    pub fn new() -> Manager {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(AddressFamily::Unix, SockType::Datagram, flags, None).expect("a notify socket");
        setsockopt(&socket, sockopt::PassCred, &true).expect("credentials of who sends");
        // The kernel chooses a name that nobody has (unix(7), autobind), and nothing is left of it.
        bind(socket.as_raw_fd(), &UnixAddr::new_unnamed()).expect("an address");
        let address: UnixAddr = getsockname(socket.as_raw_fd()).expect("its address");
        let name = address.as_abstract().and_then(|name| str::from_utf8(name).ok());
        let name = name.expect("an abstract address").to_owned();
        let shared = Arc::new(Shared {
            service: Mutex::new(Service::new(MAX)),
            is_deaf: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
            sockets: Mutex::default(),
        });
        let listener = activated::listener(&format!("{name}-passes"));
        let theirs = Arc::clone(&shared);
        let thread = std::thread::spawn(move || attend(&theirs, &socket, &listener));
        Manager {
            shared,
            thread: Some(thread),
            address: format!("@{name}"),
            lends_socket: Cell::new(false),
            tells_max: Cell::new(true),
            text: RefCell::default(),
        }
    }

    /// FileDescriptorStoreMax=
    pub fn max(self, most: usize) -> Manager {
        self.shared.service().max = most;
        self
    }

    /// It does not say how much it stores ($FDSTORE), like systemd before 254.
    pub fn taciturn(self) -> Manager {
        self.tells_max.set(false);
        self
    }

    /// It does not read what it is told, until [`Manager::listen`].
    pub fn deaf(self) -> Manager {
        self.shared.is_deaf.store(true, Ordering::SeqCst);
        self
    }

    /// It keeps the descriptors of barriers, until [`Manager::release_barriers`].
    pub fn holding_barriers(self) -> Manager {
        self.shared.service().holds_barriers = true;
        self
    }

    /// It makes the control socket and passes it as `control`, like `sluiced.socket`.
    pub fn with_control_socket(self) -> Manager {
        self.lends_socket.set(true);
        self
    }

    /// Reads nothing of what it is told from now on.
    pub fn turn_deaf(&self) {
        self.shared.is_deaf.store(true, Ordering::SeqCst);
    }

    /// Reads what it is told from now on.
    pub fn listen(&self) {
        self.shared.is_deaf.store(false, Ordering::SeqCst);
    }

    /// Lets all barriers pass from now on.
    pub fn release_barriers(&self) {
        self.shared.service().release();
    }

    /// A first life with this config, to be started.
    pub fn config(&self, text: &str) -> Builder {
        self.life(Daemon::config(text), text)
    }

    /// A first life.
    pub fn start(&self, text: &str) -> Daemon {
        self.run(self.config(text))
    }

    /// The next life: with the same config, and with what is in the store.
    pub fn restart(&self, place: Rc<Place>) -> Daemon {
        self.run(self.again(place))
    }

    /// The next life, with another config.
    pub fn restart_with(&self, place: Rc<Place>, text: &str) -> Daemon {
        self.run(self.life(Daemon::config(text).at(place), text))
    }

    /// The next life with the same config, to be started.
    pub fn again(&self, place: Rc<Place>) -> Builder {
        let text = self.text.borrow().clone();
        self.life(Daemon::config(&text).at(place), &text)
    }

    fn life(&self, builder: Builder, text: &str) -> Builder {
        text.clone_into(&mut self.text.borrow_mut());
        self.settle();
        self.shared.service().begin_anew();
        let mut sockets = self.shared.sockets.lock().unwrap_or_else(PoisonError::into_inner);
        if self.lends_socket.get() && sockets.is_empty() {
            let listener = UnixListener::bind(builder.place().socket()).expect("a control socket");
            sockets.push((listener.into(), "control".to_owned()));
            builder.place().lend_socket();
        }
        drop(sockets);
        let exe = std::env::current_exe().expect("the path of this executable");
        let name = format!("{}-passes", &self.address[1..]);
        let most = self.shared.service().max;
        // Nor does systemd say it when that is 0.
        let builder = match self.tells_max.get() && most > 0 {
            true => builder.environment("FDSTORE", &most.to_string()),
            false => builder,
        };
        builder
            .environment("NOTIFY_SOCKET", &self.address)
            .wrapped_in(&[&exe.display().to_string(), PART, &name])
    }

    /// Starts it and waits until its control socket answers.
    pub fn run(&self, builder: Builder) -> Daemon {
        let mut daemon = self.launch(builder);
        daemon.wait_until_it_answers();
        daemon
    }

    /// Starts it without waiting for anything.
    pub fn launch(&self, builder: Builder) -> Daemon {
        let daemon = builder.launch();
        self.shared.service().main = Some(daemon.pid());
        daemon
    }

    /// SIGKILL to the daemon, and then to all that was beneath it, as systemd does with what is left in a cgroup; until
    /// nobody is left, and all that they have said is heard.
    pub fn kill_all(&self, daemon: Daemon) -> Rc<Place> {
        let place = daemon.killed_with_all();
        self.settle();
        place
    }

    /// Until it has heard all that was said before; not if it is deaf or holds barriers.
    pub fn settle(&self) {
        if self.shared.is_deaf.load(Ordering::SeqCst) || self.shared.service().holds_barriers {
            return;
        }
        let barrier = self.barrier();
        let passed = || {
            let mut polled = [PollFd::new(barrier.as_fd(), PollFlags::empty())];
            (poll(&mut polled, PollTimeout::ZERO) == Ok(1)).then_some(())
        };
        until(passed, || "the service manager does not listen".to_owned());
        let mut service = self.shared.service();
        // Nobody of the service has said that.
        service
            .messages
            .retain(|message| message.sender != nix::unistd::getpid().as_raw());
    }

    /// Sends BARRIER=1; what is given back is hung up when that has passed.
    pub fn barrier(&self) -> OwnedFd {
        let (ours, theirs) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).expect("a pipe");
        notification::send(&self.address, "BARRIER=1", &[theirs.as_raw_fd()]).expect("a barrier");
        ours
    }

    /// As it stands in NOTIFY_SOCKET.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Puts something into the store that the daemon has not put there.
    pub fn put(&self, descriptor: OwnedFd, name: &str) {
        self.shared.service().put(descriptor, name, false);
    }

    /// What is in the store, the newest first.
    pub fn stored(&self) -> Vec<Kept> {
        self.shared.service().kept()
    }

    /// The names of what is in the store, sorted.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.stored().into_iter().map(|kept| kept.name).collect();
        names.sort();
        names
    }

    /// Copies of what is in the store, with the names.
    pub fn copies(&self) -> Vec<(OwnedFd, String)> {
        self.shared.service().passed()
    }

    /// All that it has been told.
    pub fn messages(&self) -> Vec<Message> {
        self.shared.service().messages.clone()
    }

    /// The last STATUS=.
    pub fn status_text(&self) -> String {
        self.shared.service().status.clone()
    }

    /// What the service has said of itself in this life.
    pub fn phase(&self) -> Phase {
        self.shared.service().phase
    }

    /// How often this life has said READY=1.
    pub fn times_ready(&self) -> usize {
        self.shared.service().times_ready
    }

    /// Takes out what it has had to complain of.
    pub fn complaints(&self) -> Vec<String> {
        std::mem::take(&mut self.shared.service().complaints)
    }

    /// Waits until this life has said READY=1.
    pub fn wait_ready(&self) {
        self.wait("ready", |manager| manager.times_ready() > 0);
    }

    /// Waits until something of it is as it should be.
    pub fn wait(&self, what: &str, holds: impl Fn(&Manager) -> bool) {
        until(
            || holds(self).then_some(()),
            || {
                let messages = self.messages();
                let last = &messages[messages.len().saturating_sub(20)..];
                format!(
                    "it is not {what}; in the store: {:?}; last told: {last:#?}",
                    self.names()
                )
            },
        );
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        let ended = self.thread.take().map(JoinHandle::join);
        let complaints = self.complaints();
        if std::thread::panicking() {
            eprintln!("the service manager complains of {complaints:#?}");
            return;
        }
        assert!(matches!(ended, Some(Ok(()))), "the service manager has panicked");
        assert!(
            complaints.is_empty(),
            "the service manager complains of {complaints:#?}"
        );
    }
}

/// Takes the messages one after the other, as systemd does, and passes what is stored to who asks for it.
fn attend(shared: &Shared, socket: &OwnedFd, listener: &UnixListener) {
    while !shared.is_over.load(Ordering::SeqCst) {
        let is_deaf = shared.is_deaf.load(Ordering::SeqCst);
        let heard = if is_deaf { PollFlags::empty() } else { PollFlags::POLLIN };
        let mut polled = [
            PollFd::new(socket.as_fd(), heard),
            PollFd::new(listener.as_fd(), PollFlags::POLLIN),
        ];
        let _ = poll(&mut polled, PollTimeout::from(ROUND));
        while !shared.is_deaf.load(Ordering::SeqCst)
            && let Ok(received) = descriptors::receive(socket.as_fd(), MsgFlags::MSG_DONTWAIT)
        {
            shared.service().take(received);
        }
        shared.service().drop_hung_up();
        if let Ok((stream, _)) = listener.accept() {
            let lent = shared.sockets.lock().unwrap_or_else(PoisonError::into_inner);
            let copies = lent.iter().map(|(socket, name)| {
                let copy = socket.try_clone().expect("a copy of a socket");
                (copy, name.clone())
            });
            let all = copies.chain(shared.service().passed()).collect();
            drop(lent);
            // Who asks may have been killed meanwhile.
            let _ = activated::pass(&stream, all);
        }
    }
}
