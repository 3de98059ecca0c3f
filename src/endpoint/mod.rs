//! What an endpoint is, one file a kind: how it is written, which settings it takes, what can be done with it. The only
//! match on the kind is here.
//!
//! This file and the kinds' own are pure: they open nothing, read no clock and depend on `model` alone. What a relay asks
//! of an endpoint is in `ends`, and each kind answers in a file below its own; those depend on `transport` and `sys`.

pub mod ends;
pub mod fifo;
pub mod file;
pub mod null;
mod path;
pub mod process;

use std::path::Path;

use crate::model::{DestinationSpec, EndpointSpec, Name, OnEof, ProcessId, SourceSpec, Stream, WhenGone};
use ends::{Destination, Source, Surroundings};

/// Which end of a route an endpoint stands at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// In `from`: the route reads it.
    Source,
    /// In `to`: the route writes it.
    Destination,
}

/// The settings of an endpoint's table that belong to the endpoint itself (watermarks and `when-full` belong to the
/// destination's queue, and are not here). `None`: not given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// What an end of file of a FIFO source means.
    pub on_eof: Option<OnEof>,
    /// What happens when a FIFO destination's reader leaves.
    pub when_gone: Option<WhenGone>,
    /// Make a FIFO that is not there.
    pub create: Option<bool>,
    /// Permission bits of a FIFO that is made.
    pub mode: Option<u32>,
    /// Owner of a FIFO that is made: a user's name or number.
    pub owner: Option<String>,
    /// Group of a FIFO that is made: its name or number.
    pub group: Option<String>,
    /// Capacity of a FIFO, in bytes.
    pub pipe_size: Option<u64>,
}

/// An endpoint as written, with its own settings applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// What it is.
    pub endpoint: EndpointSpec,
    /// What an end of file means when it is a source.
    pub on_eof: OnEof,
    /// What happens when its reader leaves, when it is a destination.
    pub when_gone: WhenGone,
}

/// What can be done with an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// May stand in `from`.
    pub source: bool,
    /// May stand in `to`.
    pub destination: bool,
    /// splice(2) moves its bytes: it is a pipe.
    pub spliceable: bool,
}

/// A kind of endpoint: everything that a config needs to know of it.
pub struct Kind {
    /// What stands before the colon, and the first key of the table form.
    pub name: &'static str,
    /// An example of the string form.
    pub example: &'static str,
    /// The keys that its table takes at this side, besides the kind itself and those that every destination takes.
    pub settings: fn(Side) -> &'static [&'static str],
    /// Makes an endpoint of what stands after the colon. Relative FIFO paths are in the directory.
    pub build: fn(&str, &Settings, &Path) -> Result<Written, EndpointError>,
}

/// Every kind, in the order in which they are documented.
pub const KINDS: [&Kind; 4] = [&process::KIND, &fifo::KIND, &file::KIND, &null::KIND];

/// Why a text is not an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// There is no kind before a colon.
    #[error("{0:?} is not an endpoint: it does not begin with a kind and a colon")]
    NoKind(String),
    /// The kind is not known.
    #[error("`{0}` is not a kind of endpoint")]
    UnknownKind(String),
    /// A process endpoint does not say which stream.
    #[error("`process:{0}` does not say which stream of the process")]
    NoStream(String),
    /// A process has no such stream.
    #[error("`{0}` is not a stream of a process")]
    UnknownStream(String),
    /// What stands before the stream is no process name.
    #[error("{0:?} is not the name of a process")]
    BadProcess(String),
    /// What stands after the `@` is no instance.
    #[error("{0:?} is not an instance: instances are numbered from 1 to 65535")]
    BadInstance(String),
    /// There is no path after the colon.
    #[error("`{0}:` needs a path")]
    NoPath(&'static str),
    /// A path that cannot be the name of a FIFO or file.
    #[error("{0:?} is not a path of a {1}: it ends with a directory")]
    Directory(String, &'static str),
    /// A NUL character in a path.
    #[error("{0:?} is not a path: it holds a NUL character")]
    Nul(String),
    /// A file's path is relative.
    #[error("{0:?} is a relative path")]
    Relative(String),
    /// Something after `null`.
    #[error("`null` takes nothing after it")]
    NullTakesNothing,
}

impl EndpointError {
    /// What to do about it.
    #[must_use]
    pub fn help(&self) -> String {
        match self {
            EndpointError::NoKind(_) | EndpointError::UnknownKind(_) => {
                let examples: Vec<String> = KINDS.iter().map(|kind| format!("{:?}", kind.example)).collect();
                format!("write it as one of {}", examples.join(", "))
            }
            EndpointError::NoStream(name) => {
                format!("write `process:{name}.stdout`, or another of stdin, stdout, stderr, fd3 ... fd9")
            }
            EndpointError::UnknownStream(_) => "use stdin, stdout, stderr, or fd3 ... fd9".to_owned(),
            EndpointError::BadProcess(_) => {
                "use a-z, 0-9, _ and -, beginning with a letter or digit, as in \"process:worker.stdout\"".to_owned()
            }
            EndpointError::BadInstance(_) => "write it as in \"process:worker@2.stdin\"".to_owned(),
            EndpointError::NoPath(kind) => format!("write it as in \"{kind}:/path/to/it\""),
            EndpointError::Directory(_, what) => format!("add the name of the {what} in that directory"),
            EndpointError::Nul(_) => "take the NUL character out".to_owned(),
            EndpointError::Relative(_) => "write the whole path, beginning with /".to_owned(),
            EndpointError::NullTakesNothing => "write just \"null\"".to_owned(),
        }
    }
}

/// Splits the string form into its kind and the rest.
pub fn split(text: &str) -> Result<(&'static Kind, &str), EndpointError> {
    let (name, rest) = match text.split_once(':') {
        Some(parts) => parts,
        None if text == null::KIND.name => (text, ""),
        None => return Err(EndpointError::NoKind(text.to_owned())),
    };
    let kind = kind(name).ok_or_else(|| EndpointError::UnknownKind(name.to_owned()))?;
    if kind.name == null::KIND.name && text != name {
        return Err(EndpointError::NullTakesNothing);
    }
    Ok((kind, rest))
}

/// The kind of this name.
#[must_use]
pub fn kind(name: &str) -> Option<&'static Kind> {
    KINDS.into_iter().find(|kind| kind.name == name)
}

/// The kind of an endpoint.
#[must_use]
pub fn kind_of(endpoint: &EndpointSpec) -> &'static Kind {
    match endpoint {
        EndpointSpec::Process { .. } => &process::KIND,
        EndpointSpec::Fifo(_) => &fifo::KIND,
        EndpointSpec::File(_) => &file::KIND,
        EndpointSpec::Null => &null::KIND,
    }
}

/// What can be done with an endpoint.
#[must_use]
pub fn capabilities(endpoint: &EndpointSpec) -> Capabilities {
    match endpoint {
        EndpointSpec::Process { stream, .. } => process::capabilities(*stream),
        EndpointSpec::Fifo(_) => fifo::CAPABILITIES,
        EndpointSpec::File(_) => file::CAPABILITIES,
        EndpointSpec::Null => null::CAPABILITIES,
    }
}

/// Two endpoints of one identity are the same thing in the system, so that no two routes may have them. `None`: it may
/// stand anywhere as often as you like. Paths are compared as text, with `.` and `..` resolved; what only the file
/// system knows (links, mounts) is not looked at.
#[must_use]
pub fn identity(endpoint: &EndpointSpec) -> Option<String> {
    match endpoint {
        EndpointSpec::Process { .. } => Some(endpoint.to_string()),
        EndpointSpec::Fifo(fifo) => Some(path::identity(&fifo.path)),
        EndpointSpec::File(file) => Some(path::identity(file)),
        EndpointSpec::Null => None,
    }
}

/// The stream of a process that an endpoint is, for whoever lends it.
#[must_use]
pub fn stream_of(endpoint: &EndpointSpec) -> Option<(&ProcessId, Stream)> {
    match endpoint {
        EndpointSpec::Process { process, stream } => Some((process, *stream)),
        EndpointSpec::Fifo(_) | EndpointSpec::File(_) | EndpointSpec::Null => None,
    }
}

/// Of an endpoint that is one instance of a process: the endpoint that means all of them.
#[must_use]
pub fn of_all_instances(endpoint: &EndpointSpec) -> Option<EndpointSpec> {
    let (process, stream) = stream_of(endpoint)?;
    process.instance?;
    let process = ProcessId::single(process.name.clone());
    Some(EndpointSpec::Process { process, stream })
}

/// The endpoint for each instance of its process; itself where it is that of one process.
#[must_use]
pub fn of_each_instance(endpoint: &EndpointSpec, instances: &[ProcessId]) -> Vec<EndpointSpec> {
    match stream_of(endpoint) {
        Some((process, stream)) if process.instance.is_none() => {
            let of_one = |process: &ProcessId| EndpointSpec::Process {
                process: process.clone(),
                stream,
            };
            instances.iter().map(of_one).collect()
        }
        _ => vec![endpoint.clone()],
    }
}

/// A source of a route, to be opened by its relay. `None`: this kind is never a source; a config that says so is
/// refused.
#[must_use]
pub fn source(spec: &SourceSpec, route: &Name, around: &Surroundings) -> Option<Box<dyn Source>> {
    let place = || format!("route {route}, {}", spec.endpoint);
    match &spec.endpoint {
        EndpointSpec::Process { process, stream } => {
            let source = process::ends::ProcessSource::new(process.clone(), spec.endpoint.to_string());
            Some(Box::new(source.kept_in(&around.store, *stream)))
        }
        EndpointSpec::Fifo(fifo) => Some(Box::new(fifo::source::FifoSource::new(
            fifo.clone(),
            spec.on_eof,
            place(),
            around.clone(),
        ))),
        EndpointSpec::File(_) | EndpointSpec::Null => None,
    }
}

/// A destination of a route, to be opened by its relay. `record_end`: the byte that ends a record, where there are records.
#[must_use]
pub fn destination(
    spec: &DestinationSpec,
    route: &Name,
    record_end: Option<u8>,
    around: &Surroundings,
) -> Box<dyn Destination> {
    let place = || format!("route {route}, {}", spec.endpoint);
    match &spec.endpoint {
        EndpointSpec::Process { .. } => Box::new(process::ends::ProcessDestination::new(spec.endpoint.to_string())),
        EndpointSpec::Fifo(fifo) => Box::new(fifo::destination::FifoDestination::new(
            fifo.clone(),
            place(),
            around.clone(),
        )),
        EndpointSpec::File(path) => {
            let file = file::destination::FileDestination::new(path.clone(), spec.high_watermark, record_end);
            Box::new(file.kept_in(&around.store))
        }
        EndpointSpec::Null => Box::new(null::destination::NullDestination::default()),
    }
}

#[cfg(test)]
mod tests;
