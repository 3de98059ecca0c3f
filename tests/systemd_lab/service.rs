//! The installed service, for one story: its config, its drop-ins, what systemd and the daemon say of it. When it is
//! dropped it is stopped, everything is as before, and nothing of it runs.

use std::cell::Cell;

use serde_json::{Value, json};

use crate::lab::{Lab, PEER};
use crate::support::{Client, Shown, check_law, until};

/// What systemd calls it.
pub const UNIT: &str = "sluiced.service";
/// Its cgroup, in the container.
pub const CGROUP: &str = "/sys/fs/cgroup/system.slice/sluiced.service";
const SOCKET: &str = "sluiced.socket";
const DROP_INS: &str = "/run/systemd/system/sluiced.service.d";

/// `sluiced.service` with a config of the story's own.
pub struct Service<'l> {
    /// The container.
    pub lab: &'l Lab,
    /// Where the journal was before the story.
    cursor: String,
    drop_ins: Cell<usize>,
}

impl<'l> Service<'l> {
    /// Puts the config where the unit looks for it, and starts nothing. `$PEER` in it is the scripted peer.
    pub fn with(lab: &'l Lab, config: &str) -> Service<'l> {
        let told = lab.told(&["journalctl", "-n", "1", "-o", "cat", "--show-cursor"]);
        let cursor = told.rsplit_once("-- cursor: ").expect("a cursor").1.trim().to_owned();
        let service = Service {
            lab,
            cursor,
            drop_ins: Cell::new(0),
        };
        service.configure(config);
        service
    }

    /// The same, with its socket, and up.
    pub fn started(lab: &'l Lab, config: &str) -> Service<'l> {
        let service = Service::with(lab, config);
        service.start();
        service
    }

    /// Another config, not yet looked at. Without a `[daemon]` of its own it gets a short `drain-timeout`.
    pub fn configure(&self, config: &str) {
        let peer = format!("{PEER:?}, {:?}", "@peer");
        let mut config = config.replace("$PEER", &peer);
        if !config.contains("[daemon]") {
            config.push_str("\n[daemon]\ndrain-timeout = \"1s\"\n");
        }
        self.lab.write("/etc/sluiced/sluiced.toml", &config);
    }

    /// A drop-in of the unit, until the end of the story.
    pub fn drop_in(&self, text: &str) {
        let number = self.drop_ins.get();
        self.drop_ins.set(number + 1);
        self.lab.write(&format!("{DROP_INS}/story-{number}.conf"), text);
        self.lab.told(&["systemctl", "daemon-reload"]);
    }

    /// Starts it; when this comes back systemd holds it for ready.
    pub fn start(&self) {
        let started = self.lab.run(&["systemctl", "start", SOCKET, UNIT]);
        assert_eq!(started.code, 0, "{started:#?}\n{}", self.journal_text());
    }

    /// `systemctl VERB sluiced.service`, which has to succeed.
    pub fn systemctl(&self, verb: &[&str]) {
        let mut words = vec!["systemctl"];
        words.extend(verb);
        words.push(UNIT);
        self.lab.told(&words);
    }

    /// A property of the unit, as `systemctl show` has it.
    pub fn property(&self, name: &str) -> String {
        let told = self.lab.told(&["systemctl", "show", "--value", "-p", name, UNIT]);
        told.trim().to_owned()
    }

    /// Waits until a property is this.
    pub fn wait_property(&self, name: &str, value: &str) {
        until(
            || (self.property(name) == value).then_some(()),
            || {
                format!(
                    "{name} is not {value}, but {}\n{}",
                    self.property(name),
                    self.journal_text()
                )
            },
        );
    }

    /// The daemon's process id in the container.
    pub fn pid(&self) -> String {
        self.property("MainPID")
    }

    /// What the unit has told the journal since the story began: one object a line.
    pub fn journal(&self) -> Vec<Shown> {
        let after = format!("--after-cursor={}", self.cursor);
        self.lab.told(&["journalctl", "--sync"]);
        let told = self
            .lab
            .told(&["journalctl", "-u", UNIT, &after, "-o", "json", "--all"]);
        told.lines()
            .map(|line| Shown(serde_json::from_str(line).expect("JSON of the journal")))
            .collect()
    }

    /// Its messages.
    pub fn messages(&self) -> Vec<String> {
        let entries = self.journal();
        entries
            .iter()
            .map(|entry| entry.text_or_empty("MESSAGE").to_owned())
            .collect()
    }

    fn journal_text(&self) -> String {
        self.messages().join("\n")
    }

    /// Waits for a message with this in it.
    pub fn wait_message(&self, part: &str) -> Shown {
        until(
            || {
                self.journal()
                    .into_iter()
                    .find(|entry| entry.text_or_empty("MESSAGE").contains(part))
            },
            || format!("no {part:?} in the journal:\n{}", self.journal_text()),
        )
    }

    /// A connection to the control socket, as root.
    pub fn client(&self) -> Client {
        let socket = self.lab.file("/run/sluiced/control.sock");
        Client::connect(&socket).unwrap_or_else(|error| panic!("{}: {error}", socket.display()))
    }

    /// One call.
    pub fn call(&self, method: &str, parameters: Value) -> Shown {
        let reply = self.client().call(method, parameters);
        reply.unwrap_or_else(|error| panic!("{method}: {error:?}\n{}", self.journal_text()))
    }

    /// One route; the law of accounting is checked.
    pub fn route(&self, name: &str) -> Shown {
        let route = self.one("ListRoutes", "routes", name);
        check_law(&route).unwrap_or_else(|breach| panic!("{breach}"));
        route
    }

    /// One process.
    pub fn process(&self, name: &str) -> Shown {
        self.one("ListProcesses", "processes", name)
    }

    fn one(&self, method: &str, list: &str, name: &str) -> Shown {
        self.call(method, json!({ "name": name })).list(list).remove(0)
    }

    /// Waits until what `look` shows is as `holds` wants it.
    pub fn wait_until(&self, look: impl Fn(&Self) -> Shown, what: &str, holds: impl Fn(&Shown) -> bool) -> Shown {
        until(
            || Some(look(self)).filter(&holds),
            || format!("it is not {what}, but {}\n{}", look(self), self.journal_text()),
        )
    }

    /// The names of the cgroups below the unit's, in order.
    pub fn cgroups(&self) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.lab.file(CGROUP)) else {
            return Vec::new();
        };
        let directories = entries.flatten().filter(|entry| entry.path().is_dir());
        let mut names: Vec<String> = directories
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    /// Whether a process of that id (in the container) is there and no zombie.
    pub fn lives(&self, pid: u64) -> bool {
        let stat = std::fs::read_to_string(self.lab.file(&format!("/proc/{pid}/stat"))).unwrap_or_default();
        stat.rsplit_once(") ")
            .is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
    }
}

impl Drop for Service<'_> {
    fn drop(&mut self) {
        let failed = std::thread::panicking();
        if failed {
            eprintln!("--- the journal of the story:\n{}\n---", self.journal_text());
        }
        let stopped = self.lab.run(&["systemctl", "stop", SOCKET, UNIT]);
        let _ = std::fs::remove_dir_all(self.lab.file(DROP_INS));
        let _ = self.lab.run(&["systemctl", "daemon-reload"]);
        let _ = self.lab.run(&["systemctl", "reset-failed"]);
        if failed {
            return;
        }
        assert_eq!(stopped.code, 0, "{stopped:#?}");
        until(
            || (!self.lab.file(CGROUP).exists()).then_some(()),
            || format!("the unit's cgroup is still there, with {:?}", self.cgroups()),
        );
        let messages = self.messages();
        let panic = messages.iter().find(|message| message.contains("panicked"));
        assert!(
            panic.is_none(),
            "the journal tells of a panic: {panic:?}\n{}",
            messages.join("\n")
        );
        let left: Vec<&String> = messages
            .iter()
            .filter(|message| message.contains("left-over process"))
            .collect();
        assert!(left.is_empty(), "systemd found {left:?}");
    }
}
