//! A daemon in memory, and a server of it on a thread of its own.

use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Map;
use sluiced::control::types::{
    Cause, ConfigFile, Destination, Event, LastExit, Process, Reloaded, Route, Snapshot, Source, Status, Step,
};
use sluiced::control::{Access, Backend, Caller, Error, Limits, Server, Subscription, listen};
use sluiced::sys::clock;
use tokio::sync::{Notify, broadcast, mpsc};
use tokio_util::sync::CancellationToken;

use crate::raw::Raw;

/// What a test can see and do from outside of the server's thread.
#[derive(Debug, Default)]
pub struct Knobs {
    /// Calls that wait now.
    pub waiting: AtomicUsize,
    /// Ends them.
    pub release: Notify,
    /// Routes and processes to show besides the two that there always are.
    pub more_routes: AtomicUsize,
    /// Monitors that there are.
    pub monitors: AtomicUsize,
}

pub struct Memory {
    knobs: Arc<Knobs>,
    events: broadcast::Sender<Arc<Event>>,
    seq: Cell<u64>,
    paused: Cell<bool>,
    signals: RefCell<Vec<String>>,
}

impl Memory {
    fn tell(&self, kind: &str, subject: &str) {
        self.seq.set(self.seq.get() + 1);
        let event = Event {
            seq: self.seq.get(),
            at_usec: clock::realtime_usec(),
            kind: kind.into(),
            subject: subject.into(),
            detail: Map::new(),
        };
        let _ = self.events.send(Arc::new(event));
    }

    fn route(&self, name: &str) -> Route {
        Route {
            name: name.into(),
            state: if self.paused.get() { "paused" } else { "flowing" }.into(),
            pause_reasons: if self.paused.get() {
                vec!["operator".into()]
            } else {
                Vec::new()
            },
            paused_since_usec: self.paused.get().then(|| clock::realtime_usec() - 12_000_000),
            framing: "bytes".into(),
            distribution: "broadcast".into(),
            path: "splice".into(),
            accepted_bytes: 1 << 20,
            sources: vec![Source {
                name: "fifo:/run/in".into(),
                state: "open".into(),
                is_reading: !self.paused.get(),
                ..Source::default()
            }],
            destinations: vec![Destination {
                name: "process:web@2.stdin".into(),
                state: "open".into(),
                bytes: 1 << 20,
                high_watermark: 65536,
                low_watermark: 16384,
                when_full: "block".into(),
                trouble: Some("evil \u{1b}[2J".into()),
                ..Destination::default()
            }],
            ..Route::default()
        }
    }

    fn process(name: &str) -> Process {
        Process {
            name: name.into(),
            state: "backing_off".into(),
            wanted: "up".into(),
            last_exit: Some(LastExit {
                code: Some(1),
                signal: None,
                text: "exit 1".into(),
            }),
            next_start_in_usec: Some(3_200_000),
            ..Process::default()
        }
    }

    fn known_route(name: &str) -> Result<(), Error> {
        if name == "ingest" || name == "web" {
            Ok(())
        } else {
            Err(Error::NoSuchRoute(name.into()))
        }
    }

    fn known_process(name: &str) -> Result<(), Error> {
        if ["web", "web@1", "web@2"].contains(&name) {
            Ok(())
        } else {
            Err(Error::NoSuchProcess(name.into()))
        }
    }

    async fn until_released(&self, wait: bool) -> bool {
        struct Count<'a>(&'a AtomicUsize);
        impl Drop for Count<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::SeqCst);
            }
        }
        if wait {
            let released = self.knobs.release.notified();
            self.knobs.waiting.fetch_add(1, Ordering::SeqCst);
            let _count = Count(&self.knobs.waiting);
            released.await;
        }
        true
    }
}

impl Backend for Memory {
    async fn status(&self) -> Result<Status, Error> {
        self.knobs
            .monitors
            .store(self.events.receiver_count(), Ordering::SeqCst);
        Ok(Status {
            version: "0.0.0".into(),
            pid: 7,
            generation: 1,
            life: 1,
            routes: [("flowing".to_owned(), 1)].into(),
            ..Status::default()
        })
    }
    async fn list_routes(&self, name: Option<&str>) -> Result<Vec<Route>, Error> {
        if let Some(name) = name {
            Self::known_route(name)?;
            return Ok(vec![self.route(name)]);
        }
        let more = self.knobs.more_routes.load(Ordering::SeqCst);
        let names = ["ingest".to_owned(), "web".to_owned()].into_iter();
        Ok(names
            .chain((0..more).map(|i| format!("r{i}")))
            .map(|name| self.route(&name))
            .collect())
    }
    async fn list_processes(&self, name: Option<&str>) -> Result<Vec<Process>, Error> {
        name.map_or(Ok(()), Self::known_process)?;
        let all = ["web@1", "web@2"].into_iter();
        let shown = all.filter(|one| name.is_none_or(|name| *one == name || one.starts_with(&format!("{name}@"))));
        Ok(shown.map(Self::process).collect())
    }
    async fn pause_route(&self, name: &str) -> Result<bool, Error> {
        Self::known_route(name)?;
        self.tell("route_paused", &format!("route:{name}"));
        Ok(!self.paused.replace(true))
    }
    async fn resume_route(&self, name: &str) -> Result<bool, Error> {
        Self::known_route(name)?;
        self.tell("route_resumed", &format!("route:{name}"));
        Ok(self.paused.replace(false))
    }
    async fn drain_route(&self, name: &str, timeout: Option<Duration>, wait: bool) -> Result<bool, Error> {
        Self::known_route(name)?;
        Ok(self.until_released(wait && timeout != Some(Duration::ZERO)).await)
    }
    async fn start_process(&self, name: &str, wait: bool) -> Result<bool, Error> {
        Self::known_process(name)?;
        Ok(self.until_released(wait).await)
    }
    async fn stop_process(&self, name: &str, wait: bool) -> Result<bool, Error> {
        Self::known_process(name)?;
        self.tell("process_stopping", &format!("process:{name}"));
        Ok(self.until_released(wait).await)
    }
    async fn restart_process(&self, name: &str, _wait: bool) -> Result<bool, Error> {
        Self::known_process(name)?;
        Err(Error::Busy("it is stopping".into()))
    }
    async fn signal_process(&self, name: &str, signal: &str) -> Result<(), Error> {
        Self::known_process(name)?;
        if signal != "HUP" {
            return Err(Error::InvalidParameter("signal".into()));
        }
        self.signals.borrow_mut().push(signal.into());
        Ok(())
    }
    async fn reopen_files(&self, wait: bool) -> Result<u64, Error> {
        Ok(2 + u64::from(self.until_released(wait && self.paused.get()).await))
    }
    async fn reload(&self, dry_run: bool, _wait: bool) -> Result<Reloaded, Error> {
        let step = Step {
            kind: "retune".to_owned(),
            subject: "daemon".to_owned(),
            reason: "log-level has changed".to_owned(),
        };
        Ok(Reloaded {
            steps: vec![step],
            generation: if dry_run { 1 } else { 2 },
        })
    }

    async fn upgrade(&self, _: Option<Caller>) -> Error {
        Error::Busy("there is no other program".to_owned())
    }

    async fn explain(&self, route: &str) -> Result<Vec<Cause>, Error> {
        Self::known_route(route)?;
        let cause = |subject: &str, text: &str, since_usec| Cause {
            subject: subject.into(),
            text: text.into(),
            since_usec,
        };
        let since = clock::realtime_usec() - 12_000_000;
        Ok(vec![
            cause(
                "route:ingest",
                "ingest is paused: web@2.stdin is full (64 KiB)",
                Some(since),
            ),
            cause("process:web@2", "web@2 is frozen\u{1b}", None),
        ])
    }
    async fn get_config(&self) -> Result<Vec<ConfigFile>, Error> {
        Ok(vec![ConfigFile {
            path: "/etc/a.toml".into(),
            text: "[daemon]\n\u{7}".into(),
        }])
    }
    async fn subscribe(&self) -> Result<Subscription, Error> {
        let events = self.events.subscribe();
        Ok(Subscription {
            seq: self.seq.get(),
            at_usec: clock::realtime_usec(),
            snapshot: Snapshot {
                status: self.status().await?,
                routes: self.list_routes(None).await?,
                processes: self.list_processes(None).await?,
            },
            events,
        })
    }
    async fn shutdown(&self) -> Result<(), Error> {
        self.tell("stopping", "daemon");
        Ok(())
    }
}

/// A server that runs until it is dropped.
pub struct Running {
    directory: tempfile::TempDir,
    pub knobs: Arc<Knobs>,
    pub stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    pub fn start() -> Running {
        Running::with(Limits::default())
    }

    pub fn with(limits: Limits) -> Running {
        let directory = tempfile::tempdir().unwrap();
        let (knobs, stop) = (Arc::new(Knobs::default()), CancellationToken::new());
        let listener = listen(&directory.path().join("control.sock"), 0o600, None).unwrap();
        let access = Access::of_user(nix::unistd::geteuid().as_raw());
        let (shared, token) = (Arc::clone(&knobs), stop.clone());
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            let memory = Memory {
                knobs: shared,
                events: broadcast::channel(64).0,
                seq: Cell::new(0),
                paused: Cell::new(false),
                signals: RefCell::default(),
            };
            let server = Server::new(listener, access, Rc::new(memory), limits);
            tokio::task::LocalSet::new()
                .block_on(&runtime, server.run(token, mpsc::channel(1).1))
                .unwrap();
        });
        Running {
            directory,
            knobs,
            stop,
            thread: Some(thread),
        }
    }

    pub fn path(&self) -> PathBuf {
        self.directory.path().join("control.sock")
    }

    pub fn connect(&self) -> Raw {
        Raw::connect(&self.path())
    }

    /// Asks with fresh calls until it is so; fails after ten seconds.
    pub fn until(&self, what: &str, so: impl Fn(&Knobs) -> bool) {
        until(what, || {
            self.connect().call("GetStatus", "{}");
            so(&self.knobs)
        });
    }

    pub fn ended(&mut self) {
        self.thread.take().unwrap().join().unwrap();
    }
}

pub fn until(what: &str, mut so: impl FnMut() -> bool) {
    let begin = clock::now();
    while !so() {
        assert!(
            clock::now().since(begin) < Duration::from_secs(10),
            "not within 10 s: {what}"
        );
        std::thread::yield_now();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the server panicked");
        }
    }
}

/// Descriptors of this test's process that are sockets.
pub fn sockets() -> usize {
    let all = std::fs::read_dir("/proc/self/fd").unwrap();
    let target = |entry: std::io::Result<std::fs::DirEntry>| std::fs::read_link(entry.ok()?.path()).ok();
    let socket = |path: &PathBuf| Path::to_string_lossy(path).starts_with("socket:");
    all.filter_map(target).filter(socket).count()
}
