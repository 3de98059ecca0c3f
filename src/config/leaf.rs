//! The values at the ends of the tree, each a type that serde reads from TOML.

mod amount;
mod system;
mod text;

pub(super) use amount::{Bounded, Rate, Size, Time};
pub(super) use system::{ExitKind, Limit, Mode, Ready, Signal};
pub(super) use text::{AbsolutePath, Argument, Choice, Word};

use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeOwned, Deserializer, Error, Visitor};

/// A value that is written as one text, number or truth value.
pub(super) trait Leaf: DeserializeOwned {
    /// What is expected, for "invalid type: ..., expected ...".
    const EXPECTED: &'static str;

    /// What to do, when `text` (or something that is no text) was given instead.
    fn help(text: Option<&str>) -> String;
}

impl Leaf for bool {
    const EXPECTED: &'static str = "true or false";

    fn help(_: Option<&str>) -> String {
        "write true or false, without quotes".to_owned()
    }
}

/// Makes a value of an integer, or says why it cannot.
type ReadInteger<T> = fn(i64) -> Result<T, String>;

/// Makes a value of a text, or says why it cannot.
type ReadText<T> = fn(&str) -> Result<T, String>;

/// Reads a value from a text, an integer, or either.
struct Written<T> {
    expected: &'static str,
    text: Option<ReadText<T>>,
    integer: Option<ReadInteger<T>>,
    made: PhantomData<T>,
}

impl<T: Leaf> Written<T> {
    fn text<'de, D: Deserializer<'de>>(from: D, read: fn(&str) -> Result<T, String>) -> Result<T, D::Error> {
        Written::read(from, Some(read), None)
    }

    fn read<'de, D: Deserializer<'de>>(
        from: D,
        text: Option<ReadText<T>>,
        integer: Option<ReadInteger<T>>,
    ) -> Result<T, D::Error> {
        from.deserialize_any(Written {
            expected: T::EXPECTED,
            text,
            integer,
            made: PhantomData,
        })
    }
}

impl<T> Visitor<'_> for Written<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        match self.text {
            Some(read) => read(text).map_err(E::custom),
            None => Err(E::invalid_type(serde::de::Unexpected::Str(text), &self)),
        }
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        match self.integer {
            Some(read) => read(number).map_err(E::custom),
            None => Err(E::invalid_type(serde::de::Unexpected::Signed(number), &self)),
        }
    }
}
