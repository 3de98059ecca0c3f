//! The table itself.

use super::*;

const STATES: [&str; 8] = [
    "stopped",
    "waiting",
    "starting",
    "ready",
    "backing_off",
    "stopping",
    "finished",
    "failed",
];

const STAY: [&str; 8] = [""; 8];

/// A row in which one state does something.
fn only(state: &str, cell: &'static str) -> [&'static str; 8] {
    std::array::from_fn(|i| if STATES[i] == state { cell } else { "" })
}

fn commands() -> Vec<(Event, [&'static str; 8])> {
    let asked = "stopping: stopping ask";
    let killed = "stopping: stopping kill";
    let start = "starting: spawn";
    let again = "starting: revive spawn";
    let finish = "finished: stopped close";
    let (stopped, failed) = ("stopped: close", "failed: close");
    let rest = "stopped: stopped";
    vec![
        (Event::Await, only("stopped", "waiting:")),
        (Event::Proceed, only("waiting", start)),
        (Event::Start, [start, start, "", "", start, "", again, again]),
        (Event::Stop, ["", rest, asked, asked, rest, "", "", ""]),
        (Event::Restart, [start, start, asked, asked, start, "", again, again]),
        (Event::BeginShutdown, [stopped, finish, "", "", finish, "", "", failed]),
        (
            Event::Shutdown { kill: false },
            [stopped, finish, asked, asked, finish, "", "", failed],
        ),
        (
            Event::Shutdown { kill: true },
            [stopped, finish, killed, killed, finish, killed, "", failed],
        ),
    ]
}

fn news() -> Vec<(Event, [&'static str; 8])> {
    let life = 1;
    let not_spawned = |transient| Event::NotSpawned {
        life,
        text: "no".to_owned(),
        transient,
    };
    let exited = Event::Exited {
        life,
        exit: Exit::Code(1),
        transient: false,
    };
    let ready = "ready: started ready";
    let aborted = "stopping: stopping abort";
    let over = "stopped: stopped";
    let backs_off = "backing_off: exited backing_off";
    vec![
        (Event::InputEnded, STAY),
        (Event::Spawned { life, pid: 7 }, only("stopping", "stopping: ask")),
        (
            not_spawned(true),
            ["", "", "backing_off: backing_off", "", "", over, "", ""],
        ),
        (not_spawned(false), ["", "", "failed: failed end", "", "", over, "", ""]),
        (Event::Executed { life }, only("starting", ready)),
        (Event::Ready { life }, only("starting", ready)),
        (Event::Alive { life }, STAY),
        (Event::Hung { life }, ["", "", aborted, aborted, "", "", "", ""]),
        (
            Event::Extend {
                life,
                by: Duration::from_secs(1),
            },
            STAY,
        ),
        (
            exited,
            ["", "", backs_off, backs_off, "", "stopped: exited stopped", "", ""],
        ),
        (Event::GroupGone, STAY),
        (
            Event::Due,
            [
                "",
                "",
                "stopping: stopping ask",
                "",
                "starting: spawn",
                "stopping: stopping kill",
                "",
                "",
            ],
        ),
    ]
}

#[test]
fn every_cell() {
    for (event, cells) in commands().into_iter().chain(news()) {
        for (state, cell) in STATES.iter().zip(cells) {
            let mut story = Story::in_state(state);
            story.facts = at(1000);
            // One of which nothing was ever begun has no life to tell of.
            if event.life().is_some() && story.process.lives == 0 {
                story.process.lives = 1;
            }
            let step = story.on(event.clone());
            let expected = if cell.is_empty() {
                format!("{state}:")
            } else {
                cell.to_owned()
            };
            let got = format!("{}: {}", story.process.shown(), actions(&step));
            assert_eq!(got.trim_end(), expected, "{event:?} in {state}");
        }
    }
}
