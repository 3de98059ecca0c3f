//! The cases, one file a group.

mod balance;
mod bulk;
mod busy;
mod control;
mod fan_in;
mod fan_out;
mod idle;
mod latency;
mod pairs;
mod small;

use crate::support::{Plan, Table};

/// A group of measurements.
pub struct Case {
    /// By which it is chosen.
    pub id: &'static str,
    pub about: &'static str,
    /// Adds its rows to the table. It always comes to an end; what fails is a row that says so.
    pub run: fn(&Plan, &mut Table),
}

/// In the order in which they are run.
pub const ALL: &[Case] = &[
    Case {
        id: "a-bulk",
        about: "bulk from one to one, 64 KiB a write",
        run: bulk::run,
    },
    Case {
        id: "b-small",
        about: "small writes from one to one",
        run: small::run,
    },
    Case {
        id: "c-fan-out",
        about: "one to several, each gets everything",
        run: fan_out::run,
    },
    Case {
        id: "d-lines",
        about: "lines of 100 bytes from several to one",
        run: fan_in::run,
    },
    Case {
        id: "e-balance",
        about: "lines from one to two, each to one of them",
        run: balance::run,
    },
    Case {
        id: "f-latency",
        about: "a message of 64 bytes, back to back",
        run: latency::run,
    },
    Case {
        id: "g-busy",
        about: "many busy routes",
        run: busy::run,
    },
    Case {
        id: "g-idle",
        about: "many idle routes",
        run: idle::run,
    },
    Case {
        id: "h-control",
        about: "the control socket under load",
        run: control::run,
    },
];

/// Whether some case begins so.
pub fn exists(part: &str) -> bool {
    ALL.iter().any(|case| case.id.starts_with(part))
}

/// What a case is about.
pub fn about(id: &str) -> &'static str {
    ALL.iter().find(|case| case.id == id).map_or("", |case| case.about)
}

/// All of them, a line each.
pub fn list() -> String {
    let lines: Vec<String> = ALL
        .iter()
        .map(|case| format!("{:<10}  {}", case.id, case.about))
        .collect();
    lines.join("\n")
}
