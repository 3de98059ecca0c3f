//! `process:NAME.STREAM`, `process:NAME@I.STREAM`: a stream of a supervised process. A pipe of the daemon's own.

pub mod ends;

use std::path::Path;

use super::{Capabilities, EndpointError, Kind, Settings, Side, Written};
use crate::model::{EndpointSpec, Name, OnEof, ProcessId, Stream, WhenGone};

/// Everything that a config needs to know of it.
pub const KIND: Kind = Kind {
    name: "process",
    example: "process:NAME.stdout",
    settings,
    build,
};

fn settings(_: Side) -> &'static [&'static str] {
    &[]
}

/// A child writes its outputs and reads its stdin; a numbered descriptor can be either.
#[must_use]
pub fn capabilities(stream: Stream) -> Capabilities {
    let (source, destination) = match stream {
        Stream::Stdin => (false, true),
        Stream::Stdout | Stream::Stderr => (true, false),
        Stream::Fd(_) => (true, true),
    };
    Capabilities {
        source,
        destination,
        spliceable: true,
    }
}

fn build(rest: &str, _: &Settings, _: &Path) -> Result<Written, EndpointError> {
    let Some((child, stream)) = rest.rsplit_once('.') else {
        return Err(EndpointError::NoStream(rest.to_owned()));
    };
    let process = process_id(child)?;
    let stream = stream_named(stream).ok_or_else(|| EndpointError::UnknownStream(stream.to_owned()))?;
    Ok(Written {
        endpoint: EndpointSpec::Process { process, stream },
        on_eof: OnEof::Close,
        when_gone: WhenGone::Wait,
    })
}

fn process_id(text: &str) -> Result<ProcessId, EndpointError> {
    let (name, instance) = match text.split_once('@') {
        Some((name, instance)) => (name, Some(instance)),
        None => (text, None),
    };
    let name = Name::new(name).map_err(|_| EndpointError::BadProcess(name.to_owned()))?;
    let instance = instance.map(instance_numbered).transpose()?;
    Ok(ProcessId { name, instance })
}

fn instance_numbered(text: &str) -> Result<u16, EndpointError> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
    match text.parse() {
        Ok(number) if digits => Ok(number),
        _ => Err(EndpointError::BadInstance(text.to_owned())),
    }
}

fn stream_named(text: &str) -> Option<Stream> {
    match text {
        "stdin" => Some(Stream::Stdin),
        "stdout" => Some(Stream::Stdout),
        "stderr" => Some(Stream::Stderr),
        _ => match text.strip_prefix("fd")?.as_bytes() {
            [digit @ b'3'..=b'9'] => Some(Stream::Fd(digit - b'0')),
            _ => None,
        },
    }
}
