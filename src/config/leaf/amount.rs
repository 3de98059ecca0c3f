use std::time::Duration;

use serde::{Deserialize, Deserializer};

use super::{Leaf, Written};

/// Bytes: an integer, or a text with a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) struct Size(pub(in crate::config) u64);

/// The largest size: what an integer of the control socket can hold.
const LARGEST: u64 = i64::MAX.unsigned_abs();

const UNITS: [(&str, u64); 7] = [
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
];

impl Leaf for Size {
    const EXPECTED: &'static str = "a size, such as \"64KiB\" or 65536";

    fn help(_: Option<&str>) -> String {
        "write a number of bytes, or a text with one of the units B, KiB, MiB, GiB, KB, MB, GB".to_owned()
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Size, D::Error> {
        let integer = |number: i64| match u64::try_from(number) {
            Ok(bytes) => Ok(Size(bytes)),
            Err(_) => Err(format!("{number} is negative; a size is not")),
        };
        Written::read(from, Some(|text| bytes(text).map(Size)), Some(integer))
    }
}

/// "1.5MiB": digits, a fraction when whole bytes come of it, perhaps a space, a unit (none: bytes).
fn bytes(text: &str) -> Result<u64, String> {
    let digits = |c: char| c.is_ascii_digit();
    let unit_at = text.find(|c: char| !digits(c) && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let malformed =
        whole.is_empty() || !whole.chars().all(digits) || !fraction.chars().all(digits) || number.ends_with('.');
    if text.starts_with('-') && text[1..].starts_with(digits) {
        return Err(format!("{text:?} is negative; a size is not"));
    }
    if malformed {
        return Err(format!("{text:?} is not a size"));
    }
    let unit = unit.trim_start_matches(' ');
    let unit = if unit.is_empty() { "B" } else { unit };
    let Some((_, factor)) = UNITS.iter().find(|(name, _)| *name == unit) else {
        return Err(format!("{text:?} is not a size: `{unit}` is not a unit"));
    };
    let too_large = || format!("{text:?} is too large");
    let whole: u64 = whole.parse().map_err(|_| too_large())?;
    let fraction = fraction.trim_end_matches('0');
    // A fraction of more digits than the largest unit has cannot make whole bytes, except by zeros, which are gone.
    let part = match u32::try_from(fraction.len()) {
        Ok(0) => 0,
        Ok(length @ 1..=30) => {
            let scaled = fraction.parse::<u128>().unwrap_or(1) * u128::from(*factor);
            let scale = 10u128.pow(length.min(27));
            if length > 27 || !scaled.is_multiple_of(scale) {
                return Err(format!("{text:?} is not a whole number of bytes"));
            }
            u64::try_from(scaled / scale).unwrap_or(0)
        }
        _ => return Err(format!("{text:?} is not a whole number of bytes")),
    };
    let bytes = whole.checked_mul(*factor).and_then(|whole| whole.checked_add(part));
    bytes.filter(|bytes| *bytes <= LARGEST).ok_or_else(too_large)
}

/// Bytes a second; more than 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) struct Rate(pub(in crate::config) u64);

impl Leaf for Rate {
    const EXPECTED: &'static str = "a rate, such as \"10MiB/s\"";

    fn help(_: Option<&str>) -> String {
        "write a size, more than 0, and /s: \"10MiB/s\"".to_owned()
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Rate, D::Error> {
        Written::text(from, |text| {
            let Some(size) = text.strip_suffix("/s") else {
                return Err(format!("{text:?} is not a rate: it does not end with /s"));
            };
            match bytes(size)? {
                0 => Err(format!("{text:?} lets nothing through")),
                rate => Ok(Rate(rate)),
            }
        })
    }
}

/// A time with a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) struct Time(pub(in crate::config) Duration);

/// The longest time: what is longer was not meant, and clocks would overflow.
const LONGEST: Duration = Duration::from_secs(100 * 366 * 24 * 60 * 60);

impl Leaf for Time {
    const EXPECTED: &'static str = "a duration, such as \"10s\" or \"500ms\"";

    fn help(text: Option<&str>) -> String {
        match text.map(str::trim) {
            Some(number) if !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) => {
                format!("give it a unit: \"{number}s\" or \"{number}ms\"")
            }
            _ => "write a number and a unit (ms, s, min, h), in quotes: \"10s\", \"500ms\", \"1min 30s\"".to_owned(),
        }
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Time, D::Error> {
        Written::text(from, |text| {
            if text.trim_start().starts_with('-') {
                return Err(format!("{text:?} is negative; a duration is not"));
            }
            if !text.contains(|c: char| c.is_alphabetic()) {
                return Err(format!("{text:?} is not a duration: it has no unit"));
            }
            match humantime::parse_duration(text) {
                Ok(time) if time <= LONGEST => Ok(Time(time)),
                Ok(_) | Err(humantime::DurationError::NumberOverflow) => {
                    Err(format!("{text:?} is too long: at most 100 years"))
                }
                Err(_) => Err(format!("{text:?} is not a duration")),
            }
        })
    }
}

/// An integer from LEAST to MOST.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) struct Bounded<const LEAST: i64, const MOST: i64>(pub(in crate::config) i64);

impl<const LEAST: i64, const MOST: i64> Leaf for Bounded<LEAST, MOST> {
    const EXPECTED: &'static str = "an integer";

    fn help(_: Option<&str>) -> String {
        format!("write an integer from {LEAST} to {MOST}, without quotes")
    }
}

impl<'de, const LEAST: i64, const MOST: i64> Deserialize<'de> for Bounded<LEAST, MOST> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let integer = |number: i64| match number {
            number if number < LEAST => Err(format!("{number} is too small")),
            number if number > MOST => Err(format!("{number} is too large")),
            number => Ok(Bounded(number)),
        };
        Written::read(from, None, Some(integer))
    }
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn sizes_are_exact() {
        for (text, expected) in [
            ("0", 0),
            ("17", 17),
            ("17B", 17),
            ("64KiB", 65536),
            ("64 KiB", 65536),
            ("1.5MiB", 1_572_864),
            ("1.50MiB", 1_572_864),
            ("0.5KiB", 512),
            ("1.001KB", 1001),
            ("2GB", 2_000_000_000),
            ("2GiB", 2 << 30),
            ("9223372036854775807", i64::MAX.unsigned_abs()),
        ] {
            assert_eq!(bytes(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_is_refused() {
        for text in [
            "",
            " ",
            "KiB",
            "-1",
            "-1KiB",
            "1.KiB",
            ".5KiB",
            "1.5B",
            "0.3KiB",
            "1,5MiB",
            "64kib",
            "64 K",
            "1e3",
            "+1",
            "1_000",
            "9223372036854775808",
            "99999999999GiB",
            "1.5.5KiB",
            "64KiB ",
            "0x10",
            "1.0000000000000000000000000000000001GiB",
            "0.123456789012345678901234567GiB",
            "0.99999999999999999999999999999999999999999999B",
        ] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }
}
