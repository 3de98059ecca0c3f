//! The methods: their names, and what goes in and out. Depends on `types`.
//!
//! What goes in refuses fields that it does not know; what comes out may have more fields than a client knows.

use serde::{Deserialize, Serialize};

use super::types::{Cause, ConfigFile, Process, Route};

/// The daemon's own interface.
pub const RELAY: &str = "io.sluiced.Relay";
/// The interface that every Varlink service has.
pub const SERVICE: &str = "org.varlink.service";

/// A method of [`RELAY`], as it stands in a message.
macro_rules! methods {
    ($($constant:ident = $name:literal),+ $(,)?) => {
        $(
            #[doc = concat!("`", $name, "`")]
            pub const $constant: &str = concat!("io.sluiced.Relay.", $name);
        )+
    };
}

methods! {
    GET_STATUS = "GetStatus", LIST_ROUTES = "ListRoutes", LIST_PROCESSES = "ListProcesses",
    PAUSE_ROUTE = "PauseRoute", RESUME_ROUTE = "ResumeRoute", DRAIN_ROUTE = "DrainRoute",
    START_PROCESS = "StartProcess", STOP_PROCESS = "StopProcess", RESTART_PROCESS = "RestartProcess",
    SIGNAL_PROCESS = "SignalProcess", REOPEN_FILES = "ReopenFiles", GET_CONFIG = "GetConfig", EXPLAIN = "Explain",
    RELOAD = "Reload", UPGRADE = "Upgrade", MONITOR = "Monitor", SHUTDOWN = "Shutdown",
}

/// No parameters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Nothing {}

/// PauseRoute, ResumeRoute.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Named {
    /// Of a route or process.
    pub name: String,
}

/// ListRoutes, ListProcesses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Listed {
    /// All where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// DrainRoute.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Drain {
    /// Of a route.
    pub name: String,
    /// Microseconds; 0 aborts; absent: `drain-timeout`.
    #[serde(rename = "timeoutUSec", default, skip_serializing_if = "Option::is_none")]
    pub timeout_usec: Option<u64>,
    /// Default true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<bool>,
}

/// StartProcess, StopProcess, RestartProcess.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Waited {
    /// Of a process.
    pub name: String,
    /// Default true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<bool>,
}

/// SignalProcess.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Signal {
    /// Of a process.
    pub name: String,
    /// A name, with or without SIG.
    pub signal: String,
}

/// Reload.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Reload {
    /// Only tell what would be done. Default false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dry_run: Option<bool>,
    /// Default true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<bool>,
}

/// Explain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Explain {
    /// The name of a route.
    pub route: String,
}

/// Monitor.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Monitor {
    /// All where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subjects: Option<Vec<String>>,
}

/// `org.varlink.service.GetInterfaceDescription`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Interface {
    /// Its name.
    pub interface: String,
}

/// What the verbs reply that change something.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Changed {
    /// False when it was so already.
    pub changed: bool,
}

/// ReopenFiles' reply.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reopened {
    /// How many files.
    pub reopened: u64,
}

/// Upgrade's reply.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Upgraded {
    /// The process id, which has not changed.
    pub pid: i32,
    /// Of the life that answers.
    pub life: u64,
}

/// ListRoutes' reply.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Routes {
    /// In config order.
    pub routes: Vec<Route>,
}

/// ListProcesses' reply.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Processes {
    /// In config order.
    pub processes: Vec<Process>,
}

/// GetConfig's reply.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfigFiles {
    /// In the order in which they were read.
    pub files: Vec<ConfigFile>,
}

/// Explain's reply.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Causes {
    /// From the route that was asked about to the root cause.
    pub causes: Vec<Cause>,
}

/// Every Varlink service answers this at once.
pub const GET_INFO: &str = "org.varlink.service.GetInfo";

/// `org.varlink.service.GetInfo`'s reply.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Info {
    /// Who made it.
    pub vendor: String,
    /// What it is.
    pub product: String,
    /// Which version.
    pub version: String,
    /// Where to read more.
    pub url: String,
    /// What it speaks.
    pub interfaces: Vec<String>,
}

/// `org.varlink.service.GetInterfaceDescription`'s reply.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Description {
    /// The IDL.
    pub description: String,
}
