use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer};

use super::{Leaf, Written};
use crate::config::nearest;
use crate::model::{Distribution, Framing, OnEof, OutputPolicy, PathChoice, Restart, WhenFull, WhenGone};

/// A text that can be handed to the kernel; it may be empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::config) struct Argument(pub(in crate::config) String);

impl Leaf for Argument {
    const EXPECTED: &'static str = "a text";

    fn help(_: Option<&str>) -> String {
        "write a text in quotes, without NUL characters".to_owned()
    }
}

impl<'de> Deserialize<'de> for Argument {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Argument, D::Error> {
        Written::text(from, |text| without_nul(text).map(|text| Argument(text.to_owned())))
    }
}

/// As [`Argument`], and not empty: the name of something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::config) struct Word(pub(in crate::config) String);

impl Leaf for Word {
    const EXPECTED: &'static str = "a text";

    fn help(_: Option<&str>) -> String {
        "write a name in quotes, or take the key out".to_owned()
    }
}

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Word, D::Error> {
        Written::text(from, |text| match without_nul(text)? {
            "" => Err("this is empty".to_owned()),
            text => Ok(Word(text.to_owned())),
        })
    }
}

/// A path that begins with a slash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::config) struct AbsolutePath(pub(in crate::config) PathBuf);

impl Leaf for AbsolutePath {
    const EXPECTED: &'static str = "a path";

    fn help(_: Option<&str>) -> String {
        "write the whole path, beginning with /, in quotes".to_owned()
    }
}

impl<'de> Deserialize<'de> for AbsolutePath {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<AbsolutePath, D::Error> {
        Written::text(from, |text| {
            let path = Path::new(without_nul(text)?);
            if path.is_absolute() {
                Ok(AbsolutePath(path.components().collect()))
            } else {
                Err(format!("{text:?} is not an absolute path"))
            }
        })
    }
}

fn without_nul(text: &str) -> Result<&str, String> {
    if text.contains('\0') {
        Err(format!("{text:?} holds a NUL character"))
    } else {
        Ok(text)
    }
}

/// A type whose values have names.
pub(in crate::config) trait Named: Copy + 'static {
    /// Every value, as written.
    const NAMES: &'static [(&'static str, Self)];
}

macro_rules! named {
    ($($type:ty),+) => { $(
        impl Named for $type {
            const NAMES: &'static [(&'static str, Self)] = <$type>::WRITTEN;
        }
    )+ };
}
named!(
    Restart,
    OutputPolicy,
    Framing,
    Distribution,
    PathChoice,
    WhenFull,
    WhenGone,
    OnEof
);

impl Named for tracing::Level {
    const NAMES: &'static [(&'static str, Self)] = &[
        ("error", tracing::Level::ERROR),
        ("warn", tracing::Level::WARN),
        ("info", tracing::Level::INFO),
        ("debug", tracing::Level::DEBUG),
        ("trace", tracing::Level::TRACE),
    ];
}

/// One of a few words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) struct Choice<T>(pub(in crate::config) T);

impl<T: Named> Leaf for Choice<T> {
    const EXPECTED: &'static str = "a text";

    fn help(text: Option<&str>) -> String {
        let names: Vec<&str> = T::NAMES.iter().map(|(name, _)| *name).collect();
        let all: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
        match text.and_then(|text| nearest::likely(text, names.iter().copied())) {
            Some(likely) => format!("did you mean {likely:?}? There are {}", all.join(", ")),
            None => format!("write one of {}", all.join(", ")),
        }
    }
}

impl<'de, T: Named> Deserialize<'de> for Choice<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Choice<T>, D::Error> {
        Written::text(from, |text| {
            let found = T::NAMES.iter().find(|(name, _)| *name == text);
            found
                .map(|(_, value)| Choice(*value))
                .ok_or_else(|| format!("{text:?} is not known here"))
        })
    }
}
