//! From a message's bytes to a checked call. Pure; depends on `call` and `error`.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::call::{self, RELAY, SERVICE};
use super::error::Error;

/// One message from a client.
#[derive(Debug)]
pub(super) struct Request {
    /// The client wants no reply, not even an error.
    pub(super) oneway: bool,
    /// The client takes several replies.
    pub(super) more: bool,
    /// What is to be done, or why it cannot be.
    pub(super) call: Result<Call, Error>,
}

/// A call whose parameters are checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Call {
    Info,
    Describe(String),
    Status,
    ListRoutes(Option<String>),
    ListProcesses(Option<String>),
    PauseRoute(String),
    ResumeRoute(String),
    DrainRoute {
        name: String,
        timeout: Option<Duration>,
        wait: bool,
    },
    StartProcess {
        name: String,
        wait: bool,
    },
    StopProcess {
        name: String,
        wait: bool,
    },
    RestartProcess {
        name: String,
        wait: bool,
    },
    SignalProcess {
        name: String,
        signal: String,
    },
    ReopenFiles {
        wait: bool,
    },
    Reload {
        dry_run: bool,
        wait: bool,
    },
    Upgrade,
    Explain(String),
    GetConfig,
    Monitor(Option<Vec<String>>),
    Shutdown,
}

impl Call {
    /// Whether it may take long because the caller wants to wait.
    pub(super) fn waits(&self) -> bool {
        match self {
            Call::DrainRoute { wait, .. }
            | Call::StartProcess { wait, .. }
            | Call::StopProcess { wait, .. }
            | Call::RestartProcess { wait, .. }
            | Call::ReopenFiles { wait } => *wait,
            // Even if it is only asked what it would do, another one may be under way.
            Call::Reload { .. } => true,
            _ => false,
        }
    }

    /// Whether its reply grows with the config.
    pub(super) fn long(&self) -> bool {
        matches!(
            self,
            Call::ListRoutes(None) | Call::ListProcesses(None) | Call::Explain(_) | Call::GetConfig | Call::Monitor(_)
        )
    }
}

/// Reads a message. Fields of it that Varlink does not name are ignored; unknown parameters are refused.
pub(super) fn read(message: &[u8]) -> Request {
    let refused = |error| Request {
        oneway: false,
        more: false,
        call: Err(error),
    };
    let mut message = match serde_json::from_slice(message) {
        Ok(Value::Object(message)) => message,
        Ok(_) => {
            return refused(Error::Failed(
                "the message is not a JSON object; send {\"method\": …}".into(),
            ));
        }
        Err(error) => return refused(Error::Failed(format!("the message is not JSON: {error}"))),
    };
    let oneway = message.get("oneway") == Some(&Value::Bool(true));
    let more = message.get("more") == Some(&Value::Bool(true)) && !oneway;
    let call = envelope(&mut message).and_then(|(method, parameters)| {
        if method == call::MONITOR && !more {
            return Err(Error::expected_more());
        }
        parse(&method, parameters, oneway)
    });
    Request { oneway, more, call }
}

fn envelope(message: &mut Map<String, Value>) -> Result<(String, Map<String, Value>), Error> {
    let wrong = |field: &str| Err(Error::InvalidParameter(field.to_owned()));
    for flag in ["oneway", "more", "upgrade"] {
        match message.get(flag) {
            None | Some(Value::Bool(_) | Value::Null) => {}
            Some(_) => return wrong(flag),
        }
    }
    if message.get("upgrade") == Some(&Value::Bool(true)) {
        // Answering as if nothing were asked would let the client speak another protocol from then on.
        return wrong("upgrade");
    }
    let Some(Value::String(method)) = message.remove("method") else {
        return wrong("method");
    };
    match message.remove("parameters") {
        None | Some(Value::Null) => Ok((method, Map::new())),
        Some(Value::Object(parameters)) => Ok((method, parameters)),
        Some(_) => wrong("parameters"),
    }
}

fn parse(method: &str, parameters: Map<String, Value>, oneway: bool) -> Result<Call, Error> {
    let (interface, short) = method.rsplit_once('.').unwrap_or(("", method));
    match interface {
        SERVICE => parse_service(method, short, parameters),
        RELAY => parse_relay(method, short, parameters, oneway),
        _ => Err(Error::service("InterfaceNotFound", "interface", interface)),
    }
}

fn parse_service(method: &str, short: &str, parameters: Map<String, Value>) -> Result<Call, Error> {
    match short {
        "GetInfo" => typed::<call::Nothing>(parameters).map(|_| Call::Info),
        "GetInterfaceDescription" => typed::<call::Interface>(parameters).map(|of| Call::Describe(of.interface)),
        _ => Err(Error::service("MethodNotFound", "method", method)),
    }
}

fn parse_relay(method: &str, short: &str, parameters: Map<String, Value>, oneway: bool) -> Result<Call, Error> {
    // Nobody waits for the end of a call that is not answered.
    let waited = |wait: Option<bool>| wait.unwrap_or(true) && !oneway;
    let on_process = |parameters| -> Result<(String, bool), Error> {
        let of: call::Waited = typed(parameters)?;
        Ok((process(of.name)?, waited(of.wait)))
    };
    Ok(match short {
        "GetStatus" => typed::<call::Nothing>(parameters).map(|_| Call::Status)?,
        "ListRoutes" => Call::ListRoutes(typed::<call::Listed>(parameters)?.name.map(route).transpose()?),
        "ListProcesses" => Call::ListProcesses(typed::<call::Listed>(parameters)?.name.map(process).transpose()?),
        "PauseRoute" => Call::PauseRoute(route(typed::<call::Named>(parameters)?.name)?),
        "ResumeRoute" => Call::ResumeRoute(route(typed::<call::Named>(parameters)?.name)?),
        "DrainRoute" => {
            let of: call::Drain = typed(parameters)?;
            Call::DrainRoute {
                name: route(of.name)?,
                timeout: of.timeout_usec.map(Duration::from_micros),
                wait: waited(of.wait),
            }
        }
        "StartProcess" => on_process(parameters).map(|(name, wait)| Call::StartProcess { name, wait })?,
        "StopProcess" => on_process(parameters).map(|(name, wait)| Call::StopProcess { name, wait })?,
        "RestartProcess" => on_process(parameters).map(|(name, wait)| Call::RestartProcess { name, wait })?,
        "SignalProcess" => {
            let of: call::Signal = typed(parameters)?;
            Call::SignalProcess {
                name: process(of.name)?,
                signal: of.signal,
            }
        }
        "ReopenFiles" => typed::<call::Nothing>(parameters).map(|_| Call::ReopenFiles { wait: !oneway })?,
        "Reload" => {
            let of: call::Reload = typed(parameters)?;
            Call::Reload {
                dry_run: of.dry_run.unwrap_or(false),
                wait: waited(of.wait),
            }
        }
        "Upgrade" => typed::<call::Nothing>(parameters).map(|_| Call::Upgrade)?,
        "Explain" => Call::Explain(route(typed::<call::Explain>(parameters)?.route)?),
        "GetConfig" => typed::<call::Nothing>(parameters).map(|_| Call::GetConfig)?,
        "Monitor" => Call::Monitor(subjects(typed::<call::Monitor>(parameters)?.subjects)?),
        "Shutdown" => typed::<call::Nothing>(parameters).map(|_| Call::Shutdown)?,
        _ => return Err(Error::service("MethodNotFound", "method", method)),
    })
}

/// An empty name never means "all", whatever the daemon does with names.
fn route(name: String) -> Result<String, Error> {
    if name.is_empty() {
        Err(Error::NoSuchRoute(name))
    } else {
        Ok(name)
    }
}

fn process(name: String) -> Result<String, Error> {
    if name.is_empty() {
        Err(Error::NoSuchProcess(name))
    } else {
        Ok(name)
    }
}

/// A Monitor that could never tell anything is a mistake of the caller's.
fn subjects(subjects: Option<Vec<String>>) -> Result<Option<Vec<String>>, Error> {
    let Some(list) = &subjects else { return Ok(None) };
    let meaningful = |subject: &String| {
        let named = |kind| subject.strip_prefix(kind).is_some_and(|name: &str| !name.is_empty());
        subject == "daemon" || named("route:") || named("process:")
    };
    if list.is_empty() {
        return Err(Error::InvalidParameter("subjects".into()));
    }
    match list.iter().position(|subject| !meaningful(subject)) {
        Some(index) => Err(Error::InvalidParameter(format!("subjects[{index}]"))),
        None => Ok(subjects),
    }
}

fn typed<T: DeserializeOwned>(parameters: Map<String, Value>) -> Result<T, Error> {
    serde_path_to_error::deserialize(Value::Object(parameters)).map_err(|error| {
        // serde tells of a field that is missing or unknown in its text only: "missing field `name`".
        let text = error.inner().to_string();
        let quoted = ["missing field `", "unknown field `"]
            .iter()
            .find_map(|start| text.strip_prefix(start)?.split('`').next());
        Error::InvalidParameter(quoted.map_or_else(|| error.path().to_string(), str::to_owned))
    })
}

#[cfg(test)]
mod tests;
