//! `null`: a destination in which everything vanishes.

pub mod destination;

use std::path::Path;

use super::{Capabilities, EndpointError, Kind, Settings, Side, Written};
use crate::model::{EndpointSpec, OnEof, WhenGone};

/// Everything that a config needs to know of it.
pub const KIND: Kind = Kind {
    name: "null",
    example: "null",
    settings,
    build,
};

/// Only written to, and no pipe.
pub const CAPABILITIES: Capabilities = Capabilities {
    source: false,
    destination: true,
    spliceable: false,
};

fn settings(_: Side) -> &'static [&'static str] {
    &[]
}

fn build(_: &str, _: &Settings, _: &Path) -> Result<Written, EndpointError> {
    Ok(Written {
        endpoint: EndpointSpec::Null,
        on_eof: OnEof::Close,
        when_gone: WhenGone::Wait,
    })
}
