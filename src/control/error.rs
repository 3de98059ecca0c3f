//! What can go wrong with a call: the daemon's own errors, and Varlink's, as they stand in a reply. Depends on `types`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::call::{RELAY, SERVICE};
use super::types::Diagnostic;

/// Why the daemon refused or failed a call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No route has this name.
    #[error("there is no route {0:?}")]
    NoSuchRoute(String),
    /// No process has this name.
    #[error("there is no process {0:?}")]
    NoSuchProcess(String),
    /// A config was refused.
    #[error("the config is not valid ({} problems)", .0.len())]
    InvalidConfig(Vec<Diagnostic>),
    /// The caller may not do this; what it takes.
    #[error("not permitted: it takes {0}")]
    NotPermitted(String),
    /// Something else is under way.
    #[error("busy: {0}")]
    Busy(String),
    /// In words: what was tried, on what, what to do.
    #[error("{0}")]
    Failed(String),
    /// A parameter's value means nothing; its name.
    #[error("parameter {0:?} is not valid")]
    InvalidParameter(String),
    /// A parameter that only Varlink's own errors have, or an error that this program does not know.
    #[error("{name}{}", shown(.parameters))]
    Varlink {
        /// `org.varlink.service.MethodNotFound` …
        name: String,
        /// As they stand in the reply.
        parameters: Map<String, Value>,
    },
}

fn shown(parameters: &Map<String, Value>) -> String {
    let mut text = String::new();
    for (key, value) in parameters {
        text.push_str(if text.is_empty() { ": " } else { ", " });
        text.push_str(key);
        text.push(' ');
        text.push_str(&value.to_string());
    }
    text
}

/// The `error` and `parameters` of a reply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireError {
    /// Qualified by its interface.
    pub error: String,
    /// What belongs to it.
    #[serde(default)]
    pub parameters: Map<String, Value>,
}

impl Error {
    /// One of Varlink's own errors with one parameter.
    pub(super) fn service(name: &str, key: &str, value: &str) -> Error {
        Error::Varlink {
            name: format!("{SERVICE}.{name}"),
            parameters: Map::from_iter([(key.to_owned(), Value::from(value))]),
        }
    }

    /// `org.varlink.service.ExpectedMore`
    pub(super) fn expected_more() -> Error {
        Error::Varlink {
            name: format!("{SERVICE}.ExpectedMore"),
            parameters: Map::new(),
        }
    }

    /// As it stands in a reply.
    #[must_use]
    pub fn to_wire(&self) -> WireError {
        let (name, key, value) = match self {
            Error::NoSuchRoute(name) => ("NoSuchRoute", "name", json!(name)),
            Error::NoSuchProcess(name) => ("NoSuchProcess", "name", json!(name)),
            Error::InvalidConfig(diagnostics) => ("InvalidConfig", "diagnostics", json!(diagnostics)),
            Error::NotPermitted(need) => ("NotPermitted", "need", json!(need)),
            Error::Busy(what) => ("Busy", "what", json!(what)),
            Error::Failed(text) => ("Failed", "text", json!(text)),
            Error::InvalidParameter(parameter) => {
                return Error::service("InvalidParameter", "parameter", parameter).to_wire();
            }
            Error::Varlink { name, parameters } => {
                return WireError {
                    error: name.clone(),
                    parameters: parameters.clone(),
                };
            }
        };
        WireError {
            error: format!("{RELAY}.{name}"),
            parameters: Map::from_iter([(key.to_owned(), value)]),
        }
    }

    /// From a reply. What this program does not know becomes [`Error::Varlink`].
    #[must_use]
    pub fn from_wire(wire: WireError) -> Error {
        let text = |key: &str| wire.parameters.get(key).and_then(Value::as_str).map(str::to_owned);
        let known = match wire.error.rsplit_once('.') {
            Some((RELAY, "NoSuchRoute")) => text("name").map(Error::NoSuchRoute),
            Some((RELAY, "NoSuchProcess")) => text("name").map(Error::NoSuchProcess),
            Some((RELAY, "NotPermitted")) => text("need").map(Error::NotPermitted),
            Some((RELAY, "Busy")) => text("what").map(Error::Busy),
            Some((RELAY, "Failed")) => text("text").map(Error::Failed),
            Some((RELAY, "InvalidConfig")) => wire
                .parameters
                .get("diagnostics")
                .and_then(|value| Vec::<Diagnostic>::deserialize(value).ok())
                .map(Error::InvalidConfig),
            Some((SERVICE, "InvalidParameter")) => text("parameter").map(Error::InvalidParameter),
            _ => None,
        };
        known.unwrap_or(Error::Varlink {
            name: wire.error,
            parameters: wire.parameters,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_survive_the_wire() {
        for error in [
            Error::NoSuchRoute("a".into()),
            Error::NoSuchProcess("b@2".into()),
            Error::InvalidConfig(vec![Diagnostic::default()]),
            Error::NotPermitted("group x".into()),
            Error::Busy("reload".into()),
            Error::Failed("no".into()),
            Error::InvalidParameter("name".into()),
            Error::service("MethodNotFound", "method", "x.Y"),
            Error::expected_more(),
        ] {
            assert_eq!(Error::from_wire(error.to_wire()), error);
        }
    }

    #[test]
    fn an_unknown_error_is_shown_whole() {
        let error = Error::from_wire(WireError {
            error: "io.sluiced.Relay.Later".into(),
            parameters: Map::from_iter([("why".into(), json!(3))]),
        });
        assert_eq!(error.to_string(), "io.sluiced.Relay.Later: why 3");
    }
}
