use std::str::FromStr as _;

use serde::{Deserialize, Deserializer};

use super::{Leaf, Written};
use crate::config::nearest;
use crate::model::{Readiness, StopSignal, SuccessExit};

/// Permission bits: a text of octal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) struct Mode(pub(in crate::config) u32);

impl Leaf for Mode {
    const EXPECTED: &'static str = "a mode, such as \"0600\"";

    fn help(_: Option<&str>) -> String {
        "write one to four octal digits in quotes: \"0600\"".to_owned()
    }
}

impl<'de> Deserialize<'de> for Mode {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Mode, D::Error> {
        Written::text(from, |text| {
            let octal = (1..=4).contains(&text.len()) && text.bytes().all(|b| (b'0'..=b'7').contains(&b));
            match u32::from_str_radix(text, 8) {
                Ok(mode) if octal => Ok(Mode(mode)),
                _ => Err(format!("{text:?} is not a mode")),
            }
        })
    }
}

/// A signal's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::config) struct Signal(pub(in crate::config) StopSignal);

impl Leaf for Signal {
    const EXPECTED: &'static str = "the name of a signal, such as \"SIGTERM\"";

    fn help(text: Option<&str>) -> String {
        let known = nix::sys::signal::Signal::iterator().map(nix::sys::signal::Signal::as_str);
        let text = text.unwrap_or_default().to_uppercase();
        let whole = if text.starts_with("SIG") {
            text
        } else {
            format!("SIG{text}")
        };
        match nearest::likely(&whole, known) {
            Some(likely) if whole != "SIG" => format!("did you mean \"{likely}\"?"),
            _ => "write its name in quotes: \"SIGTERM\", \"SIGINT\", \"SIGUSR1\" (see signal(7))".to_owned(),
        }
    }
}

impl<'de> Deserialize<'de> for Signal {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Signal, D::Error> {
        Written::text(from, |text| signal(text).map(Signal))
    }
}

fn signal(text: &str) -> Result<StopSignal, String> {
    match nix::sys::signal::Signal::from_str(text) {
        Ok(signal) => Ok(StopSignal {
            number: signal as i32,
            name: signal.as_str().to_owned(),
        }),
        Err(_) => Err(format!("{text:?} is not the name of a signal")),
    }
}

/// One entry of `success-exit`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::config) struct ExitKind(pub(in crate::config) SuccessExit);

impl Leaf for ExitKind {
    const EXPECTED: &'static str = "an exit code or the name of a signal, such as 0 or \"SIGPIPE\"";

    fn help(text: Option<&str>) -> String {
        match text {
            Some(text) => Signal::help(Some(text)),
            None => "write exit codes from 0 to 255 and names of signals: [0, 3, \"SIGPIPE\"]".to_owned(),
        }
    }
}

impl<'de> Deserialize<'de> for ExitKind {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<ExitKind, D::Error> {
        let integer = |number: i64| match u8::try_from(number) {
            Ok(code) => Ok(ExitKind(SuccessExit::Code(code.into()))),
            Err(_) => Err(format!("{number} is not an exit code")),
        };
        let text = |text: &str| signal(text).map(|signal| ExitKind(SuccessExit::Signal(signal.name)));
        Written::read(from, Some(text), Some(integer))
    }
}

/// `ready`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) struct Ready(pub(in crate::config) Readiness);

impl Leaf for Ready {
    const EXPECTED: &'static str = "a text";

    fn help(text: Option<&str>) -> String {
        match text.and_then(|text| nearest::likely(text, ["spawned", "notify"])) {
            Some(likely) => format!("did you mean {likely:?}?"),
            None => "write \"spawned\", \"notify\", or \"fd:3\" ... \"fd:9\"".to_owned(),
        }
    }
}

impl<'de> Deserialize<'de> for Ready {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Ready, D::Error> {
        Written::text(from, |text| match (text, text.strip_prefix("fd:").map(str::as_bytes)) {
            ("spawned", _) => Ok(Ready(Readiness::Spawned)),
            ("notify", _) => Ok(Ready(Readiness::Notify)),
            (_, Some([digit @ b'3'..=b'9'])) => Ok(Ready(Readiness::Fd(digit - b'0'))),
            _ => Err(format!("{text:?} is not known here")),
        })
    }
}

/// One value of `limits`: soft and hard; `None` is infinity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) struct Limit {
    pub(in crate::config) soft: Option<u64>,
    pub(in crate::config) hard: Option<u64>,
}

impl Leaf for Limit {
    const EXPECTED: &'static str = "a limit, such as 1024, \"1024:4096\" or \"infinity\"";

    fn help(_: Option<&str>) -> String {
        "write a number for both, \"SOFT:HARD\", or \"infinity\"".to_owned()
    }
}

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Limit, D::Error> {
        let integer = |number: i64| match u64::try_from(number) {
            Ok(limit) => Ok(Limit {
                soft: Some(limit),
                hard: Some(limit),
            }),
            Err(_) => Err(format!("{number} is negative; a limit is not")),
        };
        Written::read(from, Some(limit), Some(integer))
    }
}

fn limit(text: &str) -> Result<Limit, String> {
    let one = |part: &str| match part {
        "infinity" => Some(None),
        digits if digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse().ok().map(Some),
        _ => None,
    };
    let (soft, hard) = text.split_once(':').unwrap_or((text, text));
    match (one(soft), one(hard)) {
        (Some(soft), Some(hard)) if soft.unwrap_or(u64::MAX) <= hard.unwrap_or(u64::MAX) => Ok(Limit { soft, hard }),
        (Some(_), Some(_)) => Err(format!("the soft limit of {text:?} is above the hard one")),
        _ => Err(format!("{text:?} is not a limit")),
    }
}
