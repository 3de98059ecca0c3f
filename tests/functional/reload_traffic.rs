//! Reloads and upgrades under traffic: four routes (splice, tee, lines fan-in, balance) move bytes while something else
//! changes every moment. Every byte arrives once and in order where it is awaited, the accounting is exact at each look, and who was not
//! changed is the same process with the same counters.
//!
//! `SLUICED_STORY_SCALE=128` moves a gigabyte. `SLUICED_STORY_SEED` plays one run again, as far as threads let it;
//! `SLUICED_STORY_ONLY` takes only the disturbances with this in their name.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::support::{
    Background, Checker, Daemon, Deadline, Dice, FifoReader, FifoWriter, LineChecker, Lines, Numbered, PATIENCE,
    Pattern, Shown, Taken, Tally, each_once, let_pass, make_fifo, pause_briefly, piece_size, scale, stories, until,
};

stories!(four_routes_flow_while_everything_changes);

/// Through each of the four routes, at least; more when the disturbances take longer.
const BYTES: u64 = 2 << 20;
/// The greatest line, above the smaller `max-record`.
const LINE: u64 = 40_000;
/// Of a straight stream, one that is teed, three of lines, and one of records that are dealt out.
const WRITERS: u64 = 6;
const RECORDS: (usize, usize) = (100, 1900);

fn numbered() -> Numbered {
    Numbered::lines(RECORDS.0, RECORDS.1)
}

/// The config as it is just now. A disturbance changes some of it.
#[derive(Clone)]
struct Wanted {
    log_level: &'static str,
    splice: String,
    splice_path: &'static str,
    pipe_size: &'static str,
    rate: &'static str,
    relay: String,
    relay_environment: u64,
    relay_settings: &'static str,
    tee: String,
    tee_path: &'static str,
    tee_from: &'static str,
    tee_more: Vec<&'static str>,
    tee_mark: &'static str,
    lines: String,
    lines_more: bool,
    lines_record: &'static str,
    lines_mark: &'static str,
    balance: String,
    instances: u64,
    worker_environment: u64,
    worker_mark: &'static str,
    chat: bool,
    chat_routed: bool,
    swapped: bool,
    more: String,
}

impl Wanted {
    fn first() -> Wanted {
        Wanted {
            log_level: "info",
            splice: "splice".to_owned(),
            splice_path: "auto",
            pipe_size: "",
            rate: "",
            relay: "relay".to_owned(),
            relay_environment: 0,
            relay_settings: "",
            tee: "tee".to_owned(),
            tee_path: "auto",
            tee_from: "",
            tee_more: Vec::new(),
            tee_mark: "64KiB",
            lines: "lines".to_owned(),
            lines_more: false,
            lines_record: "64KiB",
            lines_mark: "64KiB",
            balance: "balance".to_owned(),
            instances: 2,
            worker_environment: 0,
            worker_mark: "64KiB",
            chat: false,
            chat_routed: false,
            swapped: false,
            more: String::new(),
        }
    }

    fn text(&self) -> String {
        let Wanted { relay, rate, .. } = self;
        let tee_more: String = self.tee_more.iter().map(|end| format!(", {end}")).collect();
        let chat = match self.chat {
            true => "[process.chat]\ncommand = [$PEER, \"drip 100000000 10 5\"]\nrestart = \"never\"\n",
            false => "",
        };
        let chat_route = match self.chat && self.chat_routed {
            true => "[route.chat]\nfrom = \"process:chat.stdout\"\nto = \"null\"\n",
            false => "",
        };
        let (one, other) = if self.swapped { ("two", "one") } else { ("one", "two") };
        format!(
            "[daemon]\nlog-level = \"{log_level}\"\ndrain-timeout = \"20s\"\nrelay-threads = 2\n\
             [process.{relay}]\ncommand = [$PEER, \"pass\"]\nenvironment = {{ TURN = \"{relay_environment}\" }}\n{relay_settings}\n\
             [process.liner]\ncommand = [$PEER, \"pass\"]\n\
             [process.worker]\ncommand = [$PEER, \"pass\"]\ninstances = {instances}\n\
             environment = {{ TURN = \"{worker_environment}\" }}\nstart-limit = {{ burst = 0 }}\n\
             [process.still]\ncommand = [$PEER, \"hold\"]\n{chat}{chat_route}\
             [route.{splice}]\nfrom = {{ fifo = \"splice-in\"{pipe_size} }}\nto = \"process:{relay}.stdin\"\n\
             path = \"{splice_path}\"\n{rate}\n\
             [route.{splice}-out]\nfrom = \"process:{relay}.stdout\"\nto = \"fifo:splice-out\"\npath = \"{splice_path}\"\n\
             [route.{tee}]\nfrom = {{ fifo = \"tee-in\"{tee_from} }}\nto = [\"fifo:tee-one\", \"fifo:tee-two\"{tee_more}]\n\
             path = \"{tee_path}\"\nhigh-watermark = \"{tee_mark}\"\n\
             [route.liner]\nfrom = \"fifo:line-c\"\nto = \"process:liner.stdin\"\n\
             [route.{lines}]\nfrom = [\"fifo:line-a\", \"fifo:line-b\"{lines_more}, \"process:liner.stdout\"]\n\
             to = \"fifo:lines-out\"\nframing = \"lines\"\nmax-record = \"{lines_record}\"\nhigh-watermark = \"{lines_mark}\"\n\
             [route.{balance}]\nfrom = \"fifo:balance-in\"\nto = {{ process = \"worker.stdin\", high-watermark = \"{worker_mark}\" }}\n\
             framing = \"lines\"\ndistribution = \"balance\"\n\
             [route.{balance}-out]\nfrom = \"process:worker.stdout\"\nto = \"fifo:balance-out\"\nframing = \"lines\"\n\
             [route.quiet-one]\nfrom = \"fifo:quiet-a\"\nto = [\"null\", \"fifo:quiet-{one}\"]\n\
             [route.quiet-two]\nfrom = \"fifo:quiet-b\"\nto = [\"null\", \"fifo:quiet-{other}\"]\n{more}",
            log_level = self.log_level,
            relay_environment = self.relay_environment,
            relay_settings = self.relay_settings,
            instances = self.instances,
            worker_environment = self.worker_environment,
            splice = self.splice,
            pipe_size = self.pipe_size,
            splice_path = self.splice_path,
            tee = self.tee,
            tee_from = self.tee_from,
            tee_path = self.tee_path,
            tee_mark = self.tee_mark,
            lines = self.lines,
            lines_more = if self.lines_more { ", \"fifo:line-x\"" } else { "" },
            lines_record = self.lines_record,
            lines_mark = self.lines_mark,
            balance = self.balance,
            worker_mark = self.worker_mark,
            more = self.more,
        )
    }
}

/// Who plays the disturbances.
struct Run {
    daemon: Daemon,
    wanted: Wanted,
    dice: Dice,
    turn: u64,
}

/// One thing that is done to a daemon under traffic. Another kind of it is one more entry of the list.
type Disturbance = (&'static str, fn(&mut Run));

const DISTURBANCES: &[Disturbance] = &[
    ("watermarks", |run| {
        let marks = ["4KiB", "64KiB", "1MiB", "256KiB"];
        run.wanted.tee_mark = run.one_of(&marks);
        run.wanted.lines_mark = run.one_of(&marks);
        run.wanted.worker_mark = run.one_of(&marks);
        run.reload();
    }),
    ("a destination joins or leaves", |run| {
        let dropping = "{ fifo = \"tee-x\", when-full = \"drop-newest\" }";
        run.flip_tee(dropping);
    }),
    ("a file joins or leaves", |run| {
        run.flip_tee("\"file:$DIR/copy\"");
    }),
    ("when-full of who may lose", |run| {
        let [newest, oldest] = ["newest", "oldest"].map(|which| {
            format!(
                "[route.drops]\nfrom = \"fifo:drops\"\nto = {{ fifo = \"unread\", when-full = \"drop-{which}\" }}\n"
            )
        });
        run.wanted.more = if run.wanted.more.contains("drop-newest") {
            oldest
        } else {
            newest
        };
        run.reload();
    }),
    ("a rate comes or goes", |run| {
        run.wanted.rate = run.one_of(&["", "rate-limit = \"200MiB/s\"", "rate-limit = \"20MiB/s\""]);
        run.reload();
    }),
    ("a source joins or leaves", |run| {
        run.wanted.lines_more = !run.wanted.lines_more;
        run.reload();
    }),
    ("instances", |run| {
        run.wanted.instances = 1 + run.dice.below(5);
        run.reload();
    }),
    ("the environment of a process between two routes", |run| {
        run.wanted.relay_environment += 1;
        run.reload();
    }),
    ("the environment of the instances", |run| {
        run.wanted.worker_environment += 1;
        run.reload();
    }),
    ("a route is renamed", |run| {
        let name = format!("splice-{}", run.turn);
        run.wanted.splice = name;
        run.reload();
    }),
    ("two more are renamed", |run| {
        run.wanted.tee = format!("tee-{}", run.turn);
        run.wanted.lines = format!("lines-{}", run.turn);
        run.reload();
    }),
    ("the balance is renamed", |run| {
        run.wanted.balance = format!("balance-{}", run.turn);
        run.reload();
    }),
    ("max-record", |run| {
        run.wanted.lines_record = if run.wanted.lines_record == "8KiB" {
            "64KiB"
        } else {
            "8KiB"
        };
        run.reload();
    }),
    ("log-level", |run| {
        run.wanted.log_level = if run.wanted.log_level == "info" { "warn" } else { "info" };
        run.reload();
    }),
    ("a route comes or goes", |run| {
        let more = "[route.more]\nfrom = \"fifo:more\"\nto = \"null\"\n";
        run.wanted.more = if run.wanted.more.is_empty() {
            more.to_owned()
        } else {
            String::new()
        };
        run.reload();
    }),
    ("the path", |run| {
        run.wanted.splice_path = run.one_of(&["auto", "copy", "splice"]);
        run.wanted.tee_path = run.one_of(&["auto", "copy"]);
        run.reload();
    }),
    ("settings of FIFOs", |run| {
        run.wanted.pipe_size = run.one_of(&["", ", pipe-size = \"256KiB\"", ", mode = \"0640\""]);
        run.wanted.tee_from = run.one_of(&["", ", on-eof = \"hold\"", ", pipe-size = \"16KiB\""]);
        run.reload();
    }),
    ("settings of a process", |run| {
        run.wanted.relay_settings = run.one_of(&["", "stop-timeout = \"3s\"", "restart-delay = \"50ms\"\nnice = 1"]);
        run.reload();
    }),
    ("a process is renamed", |run| {
        run.wanted.relay = format!("relay-{}", run.turn);
        run.reload();
    }),
    ("an output goes from the log to a route, or back", |run| {
        run.wanted.chat_routed = run.wanted.chat && !run.wanted.chat_routed;
        run.wanted.chat = true;
        run.reload();
    }),
    ("two routes change ends", |run| {
        run.wanted.swapped = !run.wanted.swapped;
        run.reload();
    }),
    ("everything at once", |run| {
        let turn = run.turn;
        run.wanted.relay_environment += 1;
        run.wanted.worker_environment += 1;
        run.wanted.instances = 1 + run.dice.below(5);
        run.wanted.splice = format!("splice-{turn}");
        run.wanted.tee = format!("tee-{turn}");
        run.wanted.lines = format!("lines-{turn}");
        run.wanted.balance = format!("balance-{turn}");
        run.reload();
    }),
    ("the instances restart, and their routes are renamed", |run| {
        run.wanted.worker_environment += 1;
        run.wanted.balance = format!("balance-{}", run.turn);
        run.reload();
    }),
    ("an error", Run::refused),
    ("what needs a restart", |run| {
        let text = run.wanted.text();
        run.refused_with(&text.replace("relay-threads = 2", "relay-threads = 3"));
    }),
    ("a dry run", |run| {
        run.daemon.rewrite(&Wanted::first().text());
        run.daemon.call("Reload", json!({ "dryRun": true })).expect("a dry run");
    }),
    ("many SIGHUP", |run| {
        run.daemon.rewrite(&run.wanted.text());
        for _ in 0..100 {
            run.daemon.signal(Signal::SIGHUP);
        }
        run.reload();
    }),
    ("a pause and a resume", |run| {
        let name = json!({ "name": run.wanted.tee });
        run.daemon.changes("PauseRoute", name.clone());
        run.reload();
        run.daemon.changes("ResumeRoute", name);
    }),
    ("a restart by hand", |run| {
        let restarted = json!({ "name": run.wanted.relay });
        run.daemon.changes("RestartProcess", restarted);
    }),
    ("an upgrade", Run::upgrade),
    ("an upgrade after a reload", |run| {
        run.wanted.splice = format!("splice-{}", run.turn);
        run.wanted.instances = 1 + run.dice.below(5);
        run.reload();
        run.upgrade();
    }),
    ("an upgrade while a reload is under way", |run| {
        run.wanted.relay_environment += 1;
        run.wanted.tee = format!("tee-{}", run.turn);
        run.daemon.rewrite(&run.wanted.text());
        run.daemon.signal(Signal::SIGHUP);
        run.daemon.call("Upgrade", json!({})).expect("an upgrade");
        // The other may come first or last.
        run.reload_with_others();
    }),
    ("an upgrade while a route is paused", |run| {
        let name = json!({ "name": run.wanted.lines });
        run.daemon.changes("PauseRoute", name.clone());
        run.upgrade();
        run.daemon.changes("ResumeRoute", name);
    }),
    ("a reload beside a restart by hand", |run| {
        let mut client = run.daemon.client();
        client.send_call("RestartProcess", &json!({ "name": "worker@1" }), &[]);
        run.wanted.worker_environment += 1;
        run.wanted.balance = format!("balance-{}", run.turn);
        run.reload_with_others();
        // An error when the reload came first and took the life that it has begun.
        let _ = client.reply();
    }),
];

impl Run {
    fn one_of(&mut self, choices: &[&'static str]) -> &'static str {
        choices[self.dice.below(choices.len() as u64) as usize]
    }

    fn flip_tee(&mut self, end: &'static str) {
        let ends = &mut self.wanted.tee_more;
        match ends.iter().position(|other| *other == end) {
            Some(at) => drop(ends.remove(at)),
            None => ends.push(end),
        }
        self.reload();
    }

    fn look(&self) -> Look {
        // The law is checked on each route.
        let routes = self.daemon.routes();
        let processes = self.daemon.call("ListProcesses", json!({})).expect("ListProcesses");
        let shown = |list: Vec<Shown>| {
            list.into_iter()
                .map(|shown| (shown.text("name").to_owned(), shown))
                .collect()
        };
        Look {
            routes: shown(routes),
            processes: shown(processes.list("processes")),
        }
    }

    /// What is wanted is applied; who is in no step is as it was.
    fn reload(&mut self) {
        let before = self.look();
        let steps = self.apply();
        let after = self.look();
        for (name, process) in &before.processes {
            let touched = |kind: &str| steps.contains(&format!("{kind} process:{name}"));
            if !touched("restart") && !touched("stop") {
                let (was, is) = (process.maybe_int("pid"), after.processes[name].maybe_int("pid"));
                assert_eq!(was, is, "process {name} after {steps:?}");
            }
        }
        for (name, route) in &before.routes {
            if !steps.contains(&format!("close route:{name}")) {
                let (was, is) = (route.int("acceptedBytes"), after.routes[name].int("acceptedBytes"));
                assert!(was <= is, "route {name} after {steps:?}: {is} of {was}");
            }
        }
    }

    /// Every process is the same, and no counter falls.
    fn upgrade(&mut self) {
        let before = self.look();
        self.daemon.upgrade();
        let after = self.look();
        let pids = |look: &Look| -> Vec<_> {
            look.processes
                .iter()
                .map(|(name, process)| (name.clone(), process.maybe_int("pid")))
                .collect()
        };
        assert_eq!(pids(&before), pids(&after), "after an upgrade");
    }

    /// While others change things, too.
    fn reload_with_others(&mut self) {
        self.look();
        self.apply();
        self.look();
    }

    fn apply(&self) -> Vec<String> {
        self.daemon.reload(&self.wanted.text())
    }

    fn refused(&mut self) {
        let text = self.wanted.text();
        let wrong = [
            text.replace("\"fifo:splice-out\"", "\"fife:splice-out\""),
            text.replace("[process.liner]", "[process.lines"),
            text.replace("\"process:liner.stdout\"", "\"process:nobody.stdout\""),
            format!("{text}\n[route.again]\nfrom = \"fifo:tee-in\"\nto = \"null\"\n"),
            String::from_utf8(vec![0; 5000]).expect("text"),
        ];
        let which = self.dice.below(wrong.len() as u64) as usize;
        self.refused_with(&wrong[which]);
    }

    /// Nothing changes: no process, no route, no generation.
    fn refused_with(&mut self, text: &str) {
        let generation = |run: &Run| {
            run.daemon
                .call("GetStatus", json!({}))
                .expect("GetStatus")
                .int("generation")
        };
        let (before, number) = (self.look(), generation(self));
        self.daemon.rewrite(text);
        self.daemon.call("Reload", json!({})).expect_err("a refusal");
        let after = self.look();
        assert_eq!(generation(self), number);
        assert!(before.processes.keys().eq(after.processes.keys()) && before.routes.keys().eq(after.routes.keys()));
        for (name, process) in &before.processes {
            assert_eq!(
                process.maybe_int("pid"),
                after.processes[name].maybe_int("pid"),
                "{name}"
            );
        }
        let status = self.daemon.call("GetStatus", json!({})).expect("GetStatus");
        assert!(!status.text("lastReloadError").is_empty());
    }
}

/// Everything at one moment.
struct Look {
    routes: BTreeMap<String, Shown>,
    processes: BTreeMap<String, Shown>,
}

/// What writers and readers know of each other.
#[derive(Clone)]
struct Traffic {
    /// No more is written than what has to be.
    over: Arc<AtomicBool>,
    /// How many writers have written what has to be.
    enough: Arc<AtomicU64>,
    /// Bytes a second through each route.
    pace: u64,
    least: u64,
}

impl Traffic {
    fn goes_on(&self, written: u64) -> bool {
        written < self.least || !self.over.load(Ordering::SeqCst)
    }

    /// Tells once that enough is written.
    fn count(&self, counted: &mut bool, written: u64) {
        if written >= self.least && !std::mem::replace(counted, true) {
            self.enough.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// So that a long run of disturbances is no flood.
    fn keep_pace(&self, clock: &Deadline, written: u64) {
        while clock.elapsed().as_secs_f64() * (self.pace as f64) < written as f64 && !self.over.load(Ordering::SeqCst) {
            pause_briefly();
        }
    }

    /// Writes a pattern, in pieces of every size; gives back how much, and the writer, which stays open.
    fn write_pattern(&self, mut writer: FifoWriter, pattern: Pattern) -> Background<FifoWriter> {
        let traffic = self.clone();
        Background::run(move || {
            let (clock, mut round, mut counted) = (Deadline::within(PATIENCE), 0, false);
            while traffic.goes_on(writer.written()) {
                writer.write_pattern(pattern, piece_size(round) as u64);
                traffic.count(&mut counted, writer.written());
                traffic.keep_pace(&clock, writer.written());
                round += 1;
            }
            writer
        })
    }

    /// The same of whole records, cut anywhere.
    fn write_records(
        &self,
        mut writer: FifoWriter,
        record: impl Fn(u64) -> Vec<u8> + Send + 'static,
        share: u64,
    ) -> Background<(FifoWriter, u64)> {
        let traffic = self.clone();
        Background::run(move || {
            let (clock, mut round, mut number, mut counted) = (Deadline::within(PATIENCE), 0, 0, false);
            let mut held: Vec<u8> = Vec::new();
            while traffic.goes_on(writer.written() * share) && number < 999_999 {
                let cut = piece_size(round);
                while held.len() < cut && number < 999_999 {
                    held.extend(record(number));
                    number += 1;
                }
                let cut = cut.min(held.len());
                writer.write_all(&held[..cut]);
                held.drain(..cut);
                traffic.count(&mut counted, writer.written() * share);
                traffic.keep_pace(&clock, writer.written() * share);
                round += 1;
            }
            writer.write_all(&held);
            (writer, number)
        })
    }
}

/// Reads until as many bytes have come as were written, which is known at the end. There is no end of file in between.
struct Reading {
    written: Arc<AtomicU64>,
    done: Background<FifoReader>,
}

impl Reading {
    fn begin(mut reader: FifoReader, mut feed: impl FnMut(&[u8]) + Send + 'static) -> Reading {
        let written = Arc::new(AtomicU64::new(u64::MAX));
        let until = Arc::clone(&written);
        let done = Background::run(move || {
            let (mut read, mut patience) = (0, Deadline::within(PATIENCE * 2));
            while read < until.load(Ordering::SeqCst) {
                match reader.try_read(1 << 20) {
                    Taken::Bytes(piece) => {
                        feed(&piece);
                        read += piece.len() as u64;
                        patience = Deadline::within(PATIENCE * 2);
                    }
                    Taken::Nothing => {
                        let written = until.load(Ordering::SeqCst);
                        assert!(!patience.passed(), "nothing more comes after {read} of {written} bytes");
                        pause_briefly();
                    }
                    Taken::End => panic!("an end of file after {read} bytes"),
                }
            }
            assert_eq!(read, until.load(Ordering::SeqCst), "more came than was written");
            reader
        });
        Reading { written, done }
    }

    fn end(self, written: u64) -> FifoReader {
        self.written.store(written, Ordering::SeqCst);
        self.done.done()
    }
}

/// What a reader has found, for who waits for its end.
fn shared<T: Send + 'static>(value: T) -> Arc<std::sync::Mutex<T>> {
    Arc::new(std::sync::Mutex::new(value))
}

fn taken<T>(shared: Arc<std::sync::Mutex<T>>) -> T {
    let mutex = Arc::into_inner(shared).expect("the reader has ended");
    mutex.into_inner().expect("and not by a panic")
}

fn four_routes_flow_while_everything_changes() {
    let seed = std::env::var("SLUICED_STORY_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| u64::from(std::process::id()));
    let told = std::panic::catch_unwind(|| play(seed));
    if let Err(panic) = told {
        eprintln!("SLUICED_STORY_SEED={seed} plays this again");
        std::panic::resume_unwind(panic);
    }
}

fn play(seed: u64) {
    let wanted = Wanted::first();
    let mut run = Run {
        daemon: Daemon::start(&wanted.text()),
        wanted,
        dice: Dice::new(seed),
        turn: 0,
    };
    let traffic = Traffic {
        over: Arc::default(),
        enough: Arc::default(),
        pace: (BYTES / 2) * scale(),
        least: BYTES * scale(),
    };
    let fifo = |name: &str| run.daemon.fifo(name);
    let (bytes, teed) = (Pattern::new(seed), Pattern::new(seed + 1));
    let pattern_of = |name: &str, pattern| {
        let mut checker = Checker::new(pattern);
        Reading::begin(FifoReader::open(fifo(name)), move |piece| checker.feed(piece))
    };
    let straight = pattern_of("splice-out", bytes);
    let tees = ["tee-one", "tee-two"].map(|name| pattern_of(name, teed));
    let (lines, records) = (shared(LineChecker::new()), shared(Tally::new(numbered())));
    let (theirs, other) = (Arc::clone(&lines), Arc::clone(&records));
    let reading_lines = Reading::begin(FifoReader::open(fifo("lines-out")), move |piece| {
        theirs.lock().expect("no panic").feed(piece);
    });
    let reading_records = Reading::begin(FifoReader::open(fifo("balance-out")), move |piece| {
        other.lock().expect("no panic").feed(piece);
    });
    // Of who comes and goes: whatever it gets.
    make_fifo(fifo("tee-x"));
    let (mut any, over) = (FifoReader::open(fifo("tee-x")), Arc::clone(&traffic.over));
    let any = Background::run(move || {
        while !over.load(Ordering::SeqCst) {
            if !matches!(any.try_read(1 << 20), Taken::Bytes(_)) {
                pause_briefly();
            }
        }
    });
    let straight_in = traffic.write_pattern(FifoWriter::open(fifo("splice-in")), bytes);
    let tee_in = traffic.write_pattern(FifoWriter::open(fifo("tee-in")), teed);
    let lines_in = ["a", "b", "c"].map(|tag| {
        let of = Lines::new(tag, LINE, seed);
        let writer = FifoWriter::open(fifo(&format!("line-{tag}")));
        traffic.write_records(writer, move |number| of.line(number), 3)
    });
    let balance_in = traffic.write_records(
        FifoWriter::open(fifo("balance-in")),
        |number| numbered().record(number),
        1,
    );
    for process in ["relay", "liner", "worker@1", "worker@2", "still"] {
        run.daemon.wait_for(&format!("process.{process}"), "ready");
    }
    for route in ["splice", "tee", "lines", "balance"] {
        run.daemon.wait_accepted(route, 1);
    }
    let before = (run.daemon.probe().descriptors(), run.daemon.probe().threads());

    let only = std::env::var("SLUICED_STORY_ONLY").unwrap_or_default();
    let interval = Duration::from_millis(if scale() > 1 { 200 } else { 60 });
    let mut left: Vec<&Disturbance> = Vec::new();
    let mut played = 0;
    let began = Deadline::within(PATIENCE);
    loop {
        if left.is_empty() {
            if played >= DISTURBANCES.len() && traffic.enough.load(Ordering::SeqCst) == WRITERS {
                break;
            }
            left = DISTURBANCES.iter().filter(|(name, _)| name.contains(&only)).collect();
        }
        let next = left.swap_remove(run.dice.below(left.len() as u64) as usize);
        run.turn += 1;
        let (name, disturb) = next;
        if !only.is_empty() {
            eprintln!("{} at {:.3} s: {name}", run.turn, began.elapsed().as_secs_f64());
        }
        let told = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| disturb(&mut run)));
        if let Err(panic) = told {
            eprintln!("turn {}: {name}", run.turn);
            std::panic::resume_unwind(panic);
        }
        played += 1;
        let_pass(interval);
        run.look();
    }
    traffic.over.store(true, Ordering::SeqCst);
    any.done();
    let straight_in = straight_in.done();
    let tee_in = tee_in.done();
    let lines_in = lines_in.map(Background::done);
    let (balance_in, count) = balance_in.done();
    let mut readers = vec![straight.end(straight_in.written())];
    readers.extend(tees.map(|reading| reading.end(tee_in.written())));
    let written: u64 = lines_in.iter().map(|(writer, _)| writer.written()).sum();
    readers.push(reading_lines.end(written));
    readers.push(reading_records.end(balance_in.written()));
    let ended = taken(lines).ended();
    for (tag, (_, count)) in std::iter::zip(["a", "b", "c"], &lines_in) {
        assert_eq!(ended.get(tag).copied().unwrap_or(0), *count, "lines of {tag}");
    }
    each_once(taken(records).finish(), &(0..count)).unwrap_or_else(|fault| panic!("{fault}"));

    // As it was at first: so it has as many descriptors and threads as then, and is as quiet.
    run.wanted = Wanted::first();
    run.reload();
    until(
        || {
            (run.daemon.probe().descriptors().len() <= before.0.len() && run.daemon.probe().threads() <= before.1)
                .then_some(())
        },
        || {
            let now = run.daemon.probe().descriptors();
            format!(
                "{} threads of {}, and of {:#?} there are {now:#?}",
                run.daemon.probe().threads(),
                before.1,
                before.0
            )
        },
    );
    let share = run.daemon.probe().cpu_share_over(Duration::from_millis(300));
    assert!(share < 0.3, "it does not rest: {share}");
    let total = straight_in.written() + tee_in.written() + written + balance_in.written();
    eprintln!(
        "seed {seed}: {played} disturbances in {:.1} s, {total} bytes",
        began.elapsed().as_secs_f64()
    );
    drop((readers, straight_in, tee_in, lines_in, balance_in));
}
