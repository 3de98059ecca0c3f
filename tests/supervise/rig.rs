//! One supervised process and what it has told, with deadlines on every wait.

use std::future::Future;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::sys::wait::{Id, WaitPidFlag, waitid};
use sluiced::model::{
    EventDetail, Name, OutputPolicy, ProcessId, ProcessSpec, ProcessState, Readiness, Restart, StartLimit, StopSignal,
    Stream, SuccessExit,
};
use sluiced::store::Store;
use sluiced::supervise::{Command, Handle, Means, Notice, Wiring, restore, start};
use sluiced::sys::parcel::{Packed, Unpacked};
use sluiced::sys::process as sys;
use tokio::sync::{mpsc, oneshot};

const PATIENCE: Duration = Duration::from_secs(20);
static ALONE: Mutex<()> = Mutex::new(());

/// A process that runs a shell script.
pub fn spec(script: &str) -> ProcessSpec {
    ProcessSpec {
        name: Name::new("p").unwrap(),
        command: ["sh", "-c", script].map(str::to_owned).to_vec(),
        working_directory: None,
        environment: Vec::new(),
        clear_environment: false,
        user: None,
        group: None,
        umask: None,
        no_new_privileges: false,
        limits: Vec::new(),
        nice: None,
        autostart: true,
        instances: None,
        restart: Restart::Always,
        success_exit: vec![SuccessExit::Code(0)],
        restart_delay: Duration::from_millis(100),
        restart_delay_max: Duration::from_secs(30),
        start_limit: StartLimit {
            burst: 5,
            interval: Duration::from_secs(10),
        },
        stop_signal: StopSignal {
            number: 15,
            name: "SIGTERM".to_owned(),
        },
        stop_timeout: Duration::from_secs(10),
        ready: Readiness::Spawned,
        ready_timeout: Duration::from_secs(30),
        watchdog: None,
        keep_stdin: true,
        stdout: OutputPolicy::Null,
        stderr: OutputPolicy::Null,
    }
}

/// Runs a test on a control thread of its own, while no other test has children or descriptors; afterwards there are
/// none more than before.
pub fn alone<T>(test: impl Future<Output = T> + 'static) -> T {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let before = descriptors();
    let result = {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let local = tokio::task::LocalSet::new();
        runtime.block_on(local.run_until(test))
    };
    // The test runner's own threads may have had one open before.
    let after = descriptors();
    assert!(after <= before, "descriptors are left: {after}, and {before} before");
    let any = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    assert_eq!(waitid(Id::All, any), Err(nix::errno::Errno::ECHILD), "a child is left");
    result
}

fn numbers() -> Vec<u64> {
    let names = std::fs::read_dir("/proc/self/fd").unwrap();
    names
        .filter_map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().ok())
        .collect()
}

/// How many are open.
/// Looks until `condition` holds, but not for ever.
pub async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let look_again = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, look_again).await.is_ok(), "never {what}");
}

/// Another process lives meanwhile, from its begin to its end: what was due before has come to pass.
pub async fn a_life_elsewhere() {
    let mut spec = spec("exit 0");
    spec.restart = Restart::Never;
    let mut rig = Rig::start(spec, Wiring::default());
    rig.until(ProcessState::Finished).await;
    rig.end().await;
}

pub fn descriptors() -> usize {
    numbers().len()
}

pub fn highest_descriptor() -> u64 {
    // The listing's own descriptor is gone by the time this is used.
    let mut numbers = numbers();
    numbers.sort_unstable();
    numbers[numbers.len() - 2]
}

/// What was logged.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    pub fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub struct Rig {
    pub handle: Handle,
    /// For its next life, after an upgrade.
    pub spec: ProcessSpec,
    pub wiring: Wiring,
    notices: mpsc::UnboundedReceiver<Notice>,
    /// What was told, except for what was lent.
    told: Vec<Notice>,
    /// Each stream that was lent, and how much was told before.
    lends: Vec<(Stream, usize)>,
    lent: Vec<(Stream, u64, OwnedFd)>,
    output: Vec<(Stream, u64, Vec<u8>)>,
    logging: Option<tracing::subscriber::DefaultGuard>,
}

/// Without cgroups and a store.
fn means(notices: mpsc::UnboundedSender<Notice>) -> Means {
    Means {
        notices,
        cgroups: None,
        store: Store::default(),
    }
}

impl Rig {
    pub fn start(spec: ProcessSpec, wiring: Wiring) -> Rig {
        let id = ProcessId::single(spec.name.clone());
        let (sender, notices) = mpsc::unbounded_channel();
        Rig {
            handle: start(Arc::new(spec.clone()), id, wiring.clone(), &means(sender)),
            spec,
            wiring,
            notices,
            told: Vec::new(),
            lends: Vec::new(),
            lent: Vec::new(),
            output: Vec::new(),
            logging: None,
        }
    }

    /// The same, with the log caught.
    pub fn logged(spec: ProcessSpec, wiring: Wiring) -> (Rig, Log) {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        let logging = tracing::subscriber::set_default(subscriber);
        let mut rig = Rig::start(spec, wiring);
        rig.logging = Some(logging);
        (rig, log)
    }

    fn take(&mut self, notice: Notice) {
        match notice {
            Notice::Lend { stream, life, end, .. } => {
                self.lends.push((stream, self.told.len()));
                self.lent.push((stream, life, end));
            }
            other => self.told.push(other),
        }
    }

    pub fn drain_notices(&mut self) {
        while let Ok(notice) = self.notices.try_recv() {
            self.take(notice);
        }
    }

    async fn next(&mut self, what: &str) {
        match tokio::time::timeout(PATIENCE, self.notices.recv()).await {
            Ok(Some(notice)) => self.take(notice),
            other => panic!(
                "waiting for {what}: {other:?}; {:?}; {:?}",
                self.handle.snapshot(),
                self.kinds()
            ),
        }
    }

    pub async fn until(&mut self, state: ProcessState) {
        self.until_any(&[state]).await;
    }

    pub async fn until_any(&mut self, states: &[ProcessState]) {
        self.drain_notices();
        while !states.contains(&self.handle.snapshot().state) {
            self.next(&format!("{states:?}")).await;
        }
        self.drain_notices();
    }

    pub async fn until_life(&mut self, life: u64) {
        while self.handle.snapshot().restarts + 1 < life {
            self.next(&format!("life {life}")).await;
        }
        self.drain_notices();
    }

    pub async fn until_event(&mut self, wanted: impl Fn(&EventDetail) -> bool) {
        while !self
            .told
            .iter()
            .any(|notice| matches!(notice, Notice::Event(event) if wanted(&event.detail)))
        {
            self.next("an event").await;
        }
    }

    /// Looks again and again at something that nobody tells.
    pub async fn until_true(&self, what: &str, condition: impl Fn() -> bool) {
        until(what, async || condition()).await;
    }

    /// Looks again and again at what would be packed.
    pub async fn until_packed(&mut self, what: &str, wanted: impl Fn(Packed) -> bool) {
        until(what, async || {
            let (packed, _thaw) = self.freeze().await;
            wanted(packed)
        })
        .await;
    }

    pub fn kinds(&self) -> Vec<&'static str> {
        let kind = |notice: &Notice| match notice {
            Notice::Event(event) => Some(event.detail.kind()),
            _ => None,
        };
        self.told.iter().filter_map(kind).collect()
    }

    pub fn position(&self, wanted: impl Fn(&Notice) -> bool) -> Option<usize> {
        self.told.iter().position(wanted)
    }

    pub fn count(&self, wanted: impl Fn(&Notice) -> bool) -> usize {
        self.told.iter().filter(|notice| wanted(notice)).count()
    }

    /// How often.
    pub fn lent(&self, wanted: Stream) -> usize {
        self.lends.iter().filter(|(stream, _)| *stream == wanted).count()
    }

    /// How much was told before the first of these was lent.
    pub fn lent_at(&self, wanted: Stream) -> Option<usize> {
        self.lends
            .iter()
            .find(|(stream, _)| *stream == wanted)
            .map(|(_, told)| *told)
    }

    pub fn end_of(&self, stream: Stream, life: u64) -> &OwnedFd {
        let found = self.lent.iter().find(|(s, l, _)| (*s, *l) == (stream, life));
        &found
            .unwrap_or_else(|| panic!("{stream} of life {life} was not lent"))
            .2
    }

    /// The last end that was lent of stdin.
    fn input(&self) -> (u64, &OwnedFd) {
        let last = self.lent.iter().rev().find(|(stream, ..)| *stream == Stream::Stdin);
        let (_, life, end) = last.expect("stdin was not lent");
        (*life, end)
    }

    pub fn write(&self, bytes: &[u8]) {
        assert_eq!(nix::unistd::write(self.input().1, bytes), Ok(bytes.len()));
    }

    pub fn unread(&self) -> u64 {
        sluiced::sys::pipe::unread(self.input().1)
    }

    pub async fn until_unread(&self, count: usize) {
        let end = self.input().1.try_clone().unwrap();
        let wanted = u64::try_from(count).unwrap();
        self.until_true("read so far", || sluiced::sys::pipe::unread(&end) == wanted)
            .await;
    }

    /// Drops the write end of stdin for good.
    pub fn end_input(&mut self) {
        let life = self.input().0;
        self.lent
            .retain(|(stream, lent, _)| (*stream, *lent) != (Stream::Stdin, life));
        self.handle.send(Command::InputEnded {
            stream: Stream::Stdin,
            life,
        });
    }

    /// Everything a life writes, to EOF.
    pub async fn output(&mut self, stream: Stream, life: u64) -> String {
        self.read(stream, life, None).await
    }

    /// What a life has written until it is this.
    pub async fn until_output(&mut self, stream: Stream, life: u64, wanted: &str) {
        self.read(stream, life, Some(wanted)).await;
    }

    async fn read(&mut self, stream: Stream, life: u64, wanted: Option<&str>) -> String {
        while !self.lent.iter().any(|(s, l, _)| (*s, *l) == (stream, life)) {
            self.next("an output").await;
        }
        let deadline = tokio::time::sleep(PATIENCE);
        tokio::pin!(deadline);
        if !self.output.iter().any(|(s, l, _)| (*s, *l) == (stream, life)) {
            self.output.push((stream, life, Vec::new()));
        }
        loop {
            let end = self.end_of(stream, life).as_fd();
            let mut buffer = [0; 4096];
            let result = sys::read(end, &mut buffer);
            let place = self
                .output
                .iter()
                .position(|(s, l, _)| (*s, *l) == (stream, life))
                .unwrap();
            let text = &mut self.output[place].2;
            let ended = match result {
                Ok(count) => {
                    text.extend_from_slice(&buffer[..count]);
                    count == 0
                }
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::WouldBlock);
                    false
                }
            };
            let text = String::from_utf8_lossy(text).into_owned();
            if wanted == Some(&text) || (wanted.is_none() && ended) {
                return text;
            }
            assert!(!ended, "{text:?} instead of {wanted:?}");
            tokio::select! {
                () = &mut deadline => panic!("{text:?} instead of {wanted:?}"),
                () = tokio::time::sleep(Duration::from_millis(2)) => {}
            }
        }
    }

    async fn ask(&self, command: impl FnOnce(oneshot::Sender<bool>) -> Command) -> bool {
        let (reply, answer) = oneshot::channel();
        self.handle.send(command(reply));
        tokio::time::timeout(PATIENCE, answer).await.unwrap().unwrap()
    }

    pub async fn start_it(&self) -> bool {
        self.ask(|reply| Command::Start { reply }).await
    }

    pub async fn stop(&self) -> bool {
        self.ask(|reply| Command::Stop { reply }).await
    }

    pub async fn restart(&self) -> bool {
        self.ask(|reply| Command::Restart { reply }).await
    }

    pub async fn signal(&self, number: i32) -> Result<(), String> {
        let (reply, answer) = oneshot::channel();
        self.handle.send(Command::Signal { number, reply });
        tokio::time::timeout(PATIENCE, answer).await.unwrap().unwrap()
    }

    /// Brings it to rest, until what is answered is used or dropped. Everything that it has told is heard.
    pub async fn freeze(&mut self) -> (Packed, oneshot::Sender<()>) {
        let (reply, answer) = oneshot::channel();
        let (thaw, thawed) = oneshot::channel();
        self.handle.send(Command::Freeze { reply, thaw: thawed });
        let packed = tokio::time::timeout(PATIENCE, answer).await.unwrap().unwrap();
        self.drain_notices();
        (packed.unwrap(), thaw)
    }

    /// What would be packed now.
    pub async fn state(&mut self) -> serde_json::Value {
        let (packed, thaw) = self.freeze().await;
        thaw.send(()).unwrap();
        packed.state
    }

    /// Goes on with what was packed, as after an execve(2). Whoever has packed it rests to the end of the test.
    pub fn go_on(&mut self, packed: Packed, thaw: oneshot::Sender<()>) {
        let (handle, notices) = self.restore(packed, usize::MAX).unwrap();
        let last = (
            std::mem::replace(&mut self.handle, handle),
            std::mem::replace(&mut self.notices, notices),
            thaw,
        );
        tokio::task::spawn_local(async move {
            std::future::pending::<()>().await;
            drop(last);
        });
    }

    /// What comes of this, with no more than so many of its descriptors.
    pub fn restore(&self, packed: Packed, most: usize) -> io::Result<(Handle, mpsc::UnboundedReceiver<Notice>)> {
        let (state, mut descriptors, bytes) = packed.into_parts();
        descriptors.truncate(most);
        let text = state.to_string();
        let unpacked = Unpacked::new(serde_json::from_str(&text).unwrap(), descriptors, bytes);
        let (sender, notices) = mpsc::unbounded_channel();
        let (spec, id) = (Arc::new(self.spec.clone()), self.handle.id().clone());
        let handle = restore(spec, id, self.wiring.clone(), &means(sender), unpacked)?;
        Ok((handle, notices))
    }

    /// As the daemon does it: once to see whether it goes, and once in earnest.
    pub async fn upgrade(&mut self) {
        self.state().await;
        let (packed, thaw) = self.freeze().await;
        self.go_on(packed, thaw);
    }

    /// The same of one to which nothing happens meanwhile: it is exactly as it was.
    pub async fn upgrade_at_rest(&mut self) {
        let (before, shown) = (self.state().await, self.handle.snapshot());
        self.upgrade().await;
        assert_eq!(self.handle.snapshot(), shown);
        assert_eq!(self.state().await, before);
    }

    /// Shuts it down; whatever happened before, in the end everything was told in pairs.
    pub async fn end(mut self) {
        self.handle.send(Command::Shutdown { kill: false });
        let stopped = tokio::time::timeout(PATIENCE, self.handle.stopped()).await;
        assert!(stopped.is_ok(), "never stopped: {:?}", self.handle.snapshot());
        self.drain_notices();
        let of = |kind: &str| self.kinds().iter().filter(|k| **k == kind).count();
        assert_eq!(of("process_started"), of("process_exited"), "{:?}", self.kinds());
        assert!(self.count(|notice| matches!(notice, Notice::Ended { finished: true, .. })) >= 1);
        drop(self.logging);
    }
}
