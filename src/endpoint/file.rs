//! `file:PATH`: a file or character device that is appended to. Its path is absolute: the daemon's own directory is
//! nobody's business.

pub mod destination;
mod handover;
mod progress;
mod reopen;
mod target;
mod writer;

use std::path::Path;

use super::{Capabilities, EndpointError, Kind, Settings, Side, Written, path};
use crate::model::{EndpointSpec, OnEof, WhenGone};

/// Everything that a config needs to know of it.
pub const KIND: Kind = Kind {
    name: "file",
    example: "file:/PATH",
    settings,
    build,
};

/// Written only, and never by splice(2): that refuses O_APPEND (EINVAL), and a file's writes block.
pub const CAPABILITIES: Capabilities = Capabilities {
    source: false,
    destination: true,
    spliceable: false,
};

fn settings(_: Side) -> &'static [&'static str] {
    &[]
}

fn build(rest: &str, _: &Settings, _: &Path) -> Result<Written, EndpointError> {
    Ok(Written {
        endpoint: EndpointSpec::File(path::resolve(rest, KIND.name, None)?),
        on_eof: OnEof::Close,
        when_gone: WhenGone::Wait,
    })
}
