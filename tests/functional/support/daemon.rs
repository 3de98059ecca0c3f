//! A real daemon under test.

use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use super::warden::Warden;
use super::{
    CallError, Client, Deadline, Ending, Finished, Monitor, PATIENCE, Place, Probe, Shown, closing, config_text, log,
    peer, program, run, until,
};

/// What is to be started, and how.
///
/// ```ignore
/// let daemon = Daemon::config(text).argument("--exit-when-done").launch();
/// daemon.expect_end(0);
/// ```
pub struct Builder {
    text: String,
    place: Rc<Place>,
    arguments: Vec<String>,
    wrapper: Vec<String>,
    environment: Vec<(String, String)>,
    program: PathBuf,
}

impl Builder {
    /// One more argument of `sluiced`.
    pub fn argument(mut self, argument: &str) -> Builder {
        self.arguments.push(argument.to_owned());
        self
    }

    /// One more environment variable.
    pub fn environment(mut self, name: &str, value: &str) -> Builder {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// In a directory that another life used (see [`Daemon::killed`]).
    pub fn at(mut self, place: Rc<Place>) -> Builder {
        self.place = place;
        self
    }

    /// Puts a file into the directory (`$DIR/NAME`) before it starts.
    pub fn with_file(self, name: &str, text: &str) -> Builder {
        std::fs::write(self.place.file(name), text).expect("writing a file of the story");
        self
    }

    /// The directory, to put other things into it before it starts.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Runs it as `$DIR/sluiced`, which the story may replace.
    pub fn with_own_binary(mut self) -> Builder {
        let own = self.place.file("sluiced");
        if std::fs::hard_link(&self.program, &own).is_err() {
            self.place
                .replace_binary("cp \"$1\" \"$2\"", &[&self.program.display().to_string()]);
        }
        self.program = own;
        self
    }

    /// Runs the daemon by another command, which is to execute what follows it.
    pub fn wrapped_in(mut self, wrapper: &[&str]) -> Builder {
        self.wrapper = wrapper.iter().map(|&word| word.to_owned()).collect();
        self
    }

    /// Under `strace -f`, e.g. `["-e", "inject=splice:error=ENOSYS"]`. It injects into the children too: use FIFO
    /// peers, or processes that never make the injected call. What it writes is in [`Place::trace`].
    pub fn under_strace(self, expressions: &[&str]) -> Builder {
        let output = self.place.trace().display().to_string();
        let mut wrapper = vec!["strace", "-f", "-qq", "-o", &output];
        let home = self.place.home().display().to_string();
        let completed: Vec<String> = expressions.iter().map(|one| one.replace("$DIR", &home)).collect();
        wrapper.extend(completed.iter().map(String::as_str));
        wrapper.push("--");
        self.wrapped_in(&wrapper)
    }

    /// Starts it without waiting for anything.
    pub fn launch(self) -> Daemon {
        let place = self.place;
        let text = config_text::complete(&self.text, place.home(), &place.runtime_directory(), peer::PART);
        std::fs::write(place.config(), text).expect("writing the config");
        let mut command = self.wrapper;
        command.push(self.program.display().to_string());
        command.extend(["--config".to_owned(), place.config().display().to_string()]);
        command.extend(self.arguments);
        let warden = Warden::start(&place.log(), &command, &self.environment);
        Daemon {
            pid: warden.pid(),
            place,
            warden,
            closed: false,
        }
    }

    /// Starts it and waits until its control socket answers.
    pub fn start(self) -> Daemon {
        let mut daemon = self.launch();
        daemon.wait_until_it_answers();
        daemon
    }
}

/// A daemon that runs in a private directory. [`Daemon::finish`] (or its drop) checks what every story has to keep.
pub struct Daemon {
    pub(super) place: Rc<Place>,
    pub(super) warden: Warden,
    pub(super) pid: i32,
    pub(super) closed: bool,
}

impl Daemon {
    /// With this config, to be started. See [`config_text::complete`] for what the harness adds to the text.
    pub fn config(text: &str) -> Builder {
        Builder {
            text: text.to_owned(),
            place: Rc::new(Place::new()),
            arguments: Vec::new(),
            wrapper: Vec::new(),
            environment: Vec::new(),
            program: program("sluiced"),
        }
    }

    /// With this config, started, its control socket answering.
    pub fn start(text: &str) -> Daemon {
        Daemon::config(text).start()
    }

    pub(super) fn wait_until_it_answers(&mut self) {
        let deadline = Deadline::within(PATIENCE);
        loop {
            let ended = self.warden.ending(&Deadline::within(std::time::Duration::ZERO));
            let problem = match (ended, Client::connect(&self.place.socket())) {
                (Some(ending), _) => panic!("the daemon ended: {ending:?}\n{}", self.log_tail()),
                (None, Ok(mut client)) => {
                    let status = client.call("GetStatus", json!({}));
                    let status = status.unwrap_or_else(|error| panic!("GetStatus: {error:?}"));
                    // Under strace it is not what the warden started.
                    self.pid = i32::try_from(status.int("pid")).expect("a process id");
                    return;
                }
                (None, Err(error)) => error,
            };
            assert!(
                !deadline.passed(),
                "no control socket in {PATIENCE:?}: {problem}\n{}",
                self.log_tail()
            );
            super::pause_briefly();
        }
    }

    /// The directory.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The directory, to look into after the end.
    pub fn shared_place(&self) -> &Rc<Place> {
        &self.place
    }

    /// Writes another config into its file, for a reload.
    pub fn rewrite(&self, text: &str) {
        let place = &self.place;
        let text = config_text::complete(text, place.home(), &place.runtime_directory(), peer::PART);
        std::fs::write(place.config(), text).expect("writing the config");
    }

    /// Writes another config and reloads; the steps, as `KIND SUBJECT`.
    pub fn reload(&self, text: &str) -> Vec<String> {
        self.rewrite(text);
        let reply = self.call("Reload", json!({}));
        let reply = reply.unwrap_or_else(|error| panic!("Reload: {error:?}\n{}", self.log_tail()));
        let steps = reply.list("steps");
        let shown = steps
            .iter()
            .map(|step| format!("{} {}", step.text("kind"), step.text("subject")));
        let directory = format!("{}/", self.place.runtime_directory().display());
        shown.map(|step| step.replace(&directory, "")).collect()
    }

    /// A FIFO by its relative name in the config.
    pub fn fifo(&self, name: &str) -> PathBuf {
        self.place.fifo(name)
    }

    /// `$DIR/NAME`.
    pub fn file(&self, name: &str) -> PathBuf {
        self.place.file(name)
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Its process seen from outside.
    pub fn probe(&self) -> Probe {
        Probe::new(self.pid)
    }

    /// A connection of its own.
    pub fn client(&self) -> Client {
        let client = Client::connect(&self.place.socket());
        client.unwrap_or_else(|error| panic!("cannot connect: {error}\n{}", self.log_tail()))
    }

    /// One call on a connection of its own.
    pub fn call(&self, method: &str, parameters: Value) -> Result<Shown, CallError> {
        self.client().call(method, parameters)
    }

    /// One call that must succeed and tells `changed`.
    pub fn changes(&self, method: &str, parameters: Value) -> bool {
        let reply = self.call(method, parameters);
        let reply = reply.unwrap_or_else(|error| panic!("{method}: {error:?}\n{}", self.log_tail()));
        reply.flag("changed")
    }

    /// Subscribes to all events.
    pub fn monitor(&self) -> Monitor {
        Monitor::subscribe(self.client(), &[])
    }

    /// Runs `sluicectl` against it.
    pub fn ctl(&self, arguments: &[&str]) -> Finished {
        run::sluicectl(&self.place.socket(), arguments)
    }

    /// Its log as it stands.
    pub fn log(&self) -> String {
        log::read(&self.place.log())
    }

    pub(super) fn log_tail(&self) -> String {
        log::tail(&self.log())
    }

    /// Waits until its log has this text.
    pub fn wait_for_log(&self, text: &str) {
        until(
            || self.log().contains(text).then_some(()),
            || format!("the log has no {text:?}\n{}", self.log_tail()),
        );
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid), signal).expect("a signal to the daemon");
    }

    /// Waits for its end, which the story has brought about.
    pub fn ending(&mut self) -> Ending {
        self.closed = true;
        let ending = self.warden.ending(&Deadline::within(PATIENCE));
        ending.unwrap_or_else(|| panic!("the daemon has not ended within {PATIENCE:?}\n{}", self.log_tail()))
    }

    /// SIGKILL, as a crash would have it. The directory stays for the next life.
    pub fn killed(mut self) -> Rc<Place> {
        self.signal(Signal::SIGKILL);
        self.ending();
        Rc::clone(&self.place)
    }

    /// SIGKILL to it, and then to everything beneath it, until nobody is left. The directory stays for the next life.
    pub fn killed_with_all(mut self) -> Rc<Place> {
        self.closed = true;
        self.signal(Signal::SIGKILL);
        let deadline = Deadline::within(PATIENCE);
        while self
            .warden
            .ending(&Deadline::within(Duration::from_millis(10)))
            .is_none()
        {
            assert!(!deadline.passed(), "somebody lives on\n{}", self.log_tail());
            self.warden.kill_beneath();
        }
        Rc::clone(&self.place)
    }

    /// Waits for an end that comes by itself (`--exit-when-done`, a signal that the story has sent), with this exit
    /// code; then the checks of [`Daemon::finish`] that can still be made. Gives back the log.
    pub fn expect_end(mut self, code: i32) -> String {
        closing::after_its_end(&mut self, code);
        self.log()
    }

    /// [`Daemon::expect_end`], and a last look at its files before the directory goes.
    pub fn expect_end_then(mut self, code: i32, look: impl FnOnce()) {
        closing::after_its_end(&mut self, code);
        look();
    }

    /// Checks the accounting of every route, stops it, and checks that it leaves nothing: exit 0, no child, no zombie,
    /// no panic in the log, nothing in the runtime directory but what belongs there.
    pub fn finish(mut self) {
        closing::close(&mut self);
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if self.closed {
            return;
        }
        if std::thread::panicking() {
            eprintln!("{}", self.log_tail());
        } else {
            closing::close(self);
        }
    }
}
