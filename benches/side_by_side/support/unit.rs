//! What numbers count, and what is aimed at.

use super::statistics::shorten;

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    GigabytesPerSecond,
    Microseconds,
    Milliseconds,
    Seconds,
    KibibytesEach,
    PercentOfACore,
    /// The slowest by the fastest.
    Share,
}

impl Unit {
    /// Behind a number.
    pub fn shown(self) -> &'static str {
        match self {
            Unit::GigabytesPerSecond => "GB/s",
            Unit::Microseconds => "µs",
            Unit::Milliseconds => "ms",
            Unit::Seconds => "s",
            Unit::KibibytesEach => "KiB each",
            Unit::PercentOfACore => "% of a core",
            Unit::Share => "slowest/fastest",
        }
    }
}

/// What is aimed at: for the ratio where there is somebody to be compared with, else for the number itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target {
    AtLeast(f64),
    AtMost(f64),
}

impl Target {
    fn is_met(self, value: f64) -> bool {
        match self {
            Target::AtLeast(bound) => value >= bound,
            Target::AtMost(bound) => value <= bound,
        }
    }

    /// With whether a value meets it.
    pub fn shown(self, value: Option<f64>) -> String {
        let met = match value {
            Some(value) if self.is_met(value) => "met",
            Some(_) => "MISSED",
            None => "not measured",
        };
        match self {
            Target::AtLeast(bound) => format!("≥ {} {met}", shorten(bound)),
            Target::AtMost(bound) => format!("≤ {} {met}", shorten(bound)),
        }
    }
}
