use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The name of a process or a route: `[a-z0-9][a-z0-9_-]*`. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(Arc<str>);

/// Why a text is not a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a name: use a-z, 0-9, _ and -, beginning with a letter or digit")]
pub struct InvalidName(pub String);

impl Name {
    /// Checks `text` and makes it a name.
    pub fn new(text: &str) -> Result<Name, InvalidName> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let valid = text.starts_with(plain) && text.chars().all(|c| plain(c) || c == '_' || c == '-');
        if valid {
            Ok(Name(text.into()))
        } else {
            Err(InvalidName(text.to_owned()))
        }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Name {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Name, InvalidName> {
        Name::new(&text)
    }
}

impl From<Name> for String {
    fn from(name: Name) -> String {
        name.0.as_ref().to_owned()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

/// One supervised child: `NAME`, or `NAME@I` where the config gives `instances`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ProcessId {
    /// The process's name in the config.
    pub name: Name,
    /// 1 … N; `None` where `instances` is not given.
    pub instance: Option<u16>,
}

impl ProcessId {
    /// A process without instances.
    #[must_use]
    pub fn single(name: Name) -> ProcessId {
        ProcessId { name, instance: None }
    }
}

impl fmt::Display for ProcessId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.instance {
            Some(instance) => write!(f, "{}@{instance}", self.name),
            None => write!(f, "{}", self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Name;

    #[test]
    fn names_are_checked() {
        for good in ["a", "0", "a-b_c", "9lives"] {
            assert!(Name::new(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "_a", "A", "a.b", "a b", "ä", "a@1"] {
            assert!(Name::new(bad).is_err(), "{bad}");
        }
    }
}
