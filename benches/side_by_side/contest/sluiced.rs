//! The daemon under test.

use std::fmt::Write;
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use super::{Contestant, Control, Ends, Load, Relay, start_gen, start_sink};
use crate::load::{GEN, SINK};
use crate::support::clock::{self, Deadline};
use crate::support::{Stage, interrupt};

/// One route between the generators.
#[derive(Clone, Debug)]
pub struct Sluiced {
    /// What it is shown as, if it is not set as it comes.
    pub called: &'static str,
    /// More lines of the route.
    pub route: &'static str,
    /// More settings of each FIFO.
    pub fifo: &'static str,
    /// The directory of another build.
    pub base: Option<PathBuf>,
}

impl Sluiced {
    /// As it comes.
    pub const PLAIN: Sluiced = Sluiced {
        called: "sluiced",
        route: "",
        fifo: "",
        base: None,
    };
}

impl Contestant for Sluiced {
    fn name(&self) -> String {
        match &self.base {
            None => self.called.to_owned(),
            Some(base) => format!("{} of {}", self.called, base.display()),
        }
    }

    fn tool(&self) -> Option<&'static str> {
        None
    }

    fn set_up(&self, stage: &mut Stage, load: &Load) -> Result<Relay, String> {
        let mut text = String::new();
        let (mut from, mut to) = (Vec::new(), Vec::new());
        if load.ends == Ends::Processes {
            let fields = (load.gen_fields(), load.sink_fields());
            for i in 0..load.sources {
                let words = stage.words(GEN, &format!("g{i}"), &fields.0);
                let _ = write!(text, "[process.g{i}]\nrestart = \"never\"\ncommand = {words:?}\n");
                from.push(format!("\"process:g{i}.stdout\""));
            }
            for i in 0..load.sinks {
                let tag = if load.shared { "s0".to_owned() } else { format!("s{i}") };
                let words = stage.words(SINK, &tag, &fields.1);
                let _ = write!(text, "[process.s{i}]\nrestart = \"never\"\ncommand = {words:?}\n");
                to.push(format!("\"process:s{i}.stdin\""));
            }
        } else {
            let settings = self.fifo;
            from.extend((0..load.sources).map(|i| format!("{{ fifo = \"in{i}\", on-eof = \"close\"{settings} }}")));
            to.extend((0..load.sinks).map(|i| format!("{{ fifo = \"out{i}\"{settings} }}")));
        }
        let (from, to) = (from.join(", "), to.join(", "));
        let _ = write!(text, "[route.bench]\nfrom = [{from}]\nto = [{to}]\n{}\n", self.route);
        let daemon = Daemon::start(stage, &text, self.base.as_deref())?;
        if load.ends == Ends::Fifos {
            daemon.await_routes(1)?;
            for i in 0..load.sinks {
                start_sink(stage, load, i, Some(daemon.fifo(&format!("out{i}"))), Stdio::null())?;
            }
            for i in 0..load.sources {
                start_gen(stage, load, i, Some(daemon.fifo(&format!("in{i}"))), Stdio::null())?;
            }
        }
        Ok(Relay::Stays(daemon.pid))
    }
}

/// A daemon that was started on a stage, and ends with it.
#[derive(Debug)]
pub struct Daemon {
    pub pid: u32,
    /// From its start to READY=1, in seconds.
    pub ready_after: f64,
    runtime: PathBuf,
    config: PathBuf,
}

impl Daemon {
    /// Starts it, of this build or of that in `base`, and waits until it says that it is ready (sd_notify(3)).
    pub fn start(stage: &mut Stage, text: &str, base: Option<&Path>) -> Result<Daemon, String> {
        let (runtime, config) = (stage.path("run"), stage.path("sluiced.toml"));
        fs::create_dir(&runtime).map_err(|error| format!("cannot make {}: {error}", runtime.display()))?;
        let address = stage.path("notify");
        let notified = UnixDatagram::bind(&address).and_then(|socket| {
            socket.set_read_timeout(Some(Duration::from_millis(100)))?;
            Ok(socket)
        });
        let notified = notified.map_err(|error| format!("cannot listen at {}: {error}", address.display()))?;
        let mut daemon = Daemon {
            pid: 0,
            ready_after: 0.0,
            runtime,
            config,
        };
        daemon.configure(text)?;
        let mut command = crate::support::quiet(super::program("sluiced", base));
        command.arg("--config").arg(&daemon.config);
        // Of a service manager it is told only where to say that it is ready.
        for name in ["LISTEN_FDS", "LISTEN_PID", "WATCHDOG_USEC", "JOURNAL_STREAM"] {
            command.env_remove(name);
        }
        command.env("NOTIFY_SOCKET", &address).env("FDSTORE", "0");
        let log = fs::File::create(stage.path("log")).map_err(|error| format!("cannot make a log: {error}"))?;
        let began = clock::now();
        let place = stage.start(command.stderr(log))?;
        let deadline = Deadline::within(Duration::from_secs(60));
        let mut message = [0; 4096];
        loop {
            if let Ok(length) = notified.recv(&mut message)
                && message[..length]
                    .split(|byte| *byte == b'\n')
                    .any(|line| line == b"READY=1")
            {
                break;
            }
            if stage.started(place).has_ended() || deadline.passed() || interrupt::came() {
                let log = fs::read_to_string(stage.path("log")).unwrap_or_default();
                return Err(format!("the daemon does not get ready: {}", log.trim()));
            }
        }
        daemon.ready_after = (clock::now() - began) as f64 / 1e9;
        daemon.pid = stage.started(place).pid();
        Ok(daemon)
    }

    /// Writes its config.
    pub fn configure(&self, text: &str) -> Result<(), String> {
        let runtime = self.runtime.display();
        let text = format!("[daemon]\nruntime-directory = \"{runtime}\"\ndrain-timeout = \"200ms\"\n{text}");
        fs::write(&self.config, text).map_err(|error| format!("cannot write its config: {error}"))
    }

    /// One of its FIFOs.
    pub fn fifo(&self, name: &str) -> PathBuf {
        self.runtime.join(name)
    }

    /// Its control socket.
    pub fn socket(&self) -> PathBuf {
        self.fifo("control.sock")
    }

    /// A connection.
    pub fn control(&self) -> Result<Control, String> {
        Control::connect(&self.socket())
    }

    /// Waits until so many routes have been opened: their FIFOs are there.
    pub fn await_routes(&self, count: u64) -> Result<(), String> {
        let deadline = Deadline::within(Duration::from_secs(30));
        let mut control = self.control()?;
        loop {
            let status = control.ask("GetStatus")?;
            let routes = status["routes"].as_object().cloned().unwrap_or_default();
            let open = routes.iter().filter(|(state, _)| *state != "opening");
            if open.filter_map(|(_, count)| count.as_u64()).sum::<u64>() >= count {
                return Ok(());
            }
            if deadline.passed() || interrupt::came() {
                return Err(format!("the routes do not open: {routes:?}"));
            }
            clock::pause(Duration::from_millis(2));
        }
    }
}
