//! `fifo:PATH`: a named FIFO, as a source or a destination. A relative path is in the runtime directory.

pub mod destination;
mod place;
pub mod source;

use std::path::Path;

use super::{Capabilities, EndpointError, Kind, Settings, Side, Written, path};
use crate::model::{EndpointSpec, FifoSpec, OnEof, Owner, WhenGone};

/// Everything that a config needs to know of it.
pub const KIND: Kind = Kind {
    name: "fifo",
    example: "fifo:PATH",
    settings,
    build,
};

/// A FIFO is a pipe, and has both ends.
pub const CAPABILITIES: Capabilities = Capabilities {
    source: true,
    destination: true,
    spliceable: true,
};

/// Permission bits of a FIFO that is made, where `mode` is not given.
pub const DEFAULT_MODE: u32 = 0o600;

fn settings(side: Side) -> &'static [&'static str] {
    match side {
        Side::Source => &["on-eof", "create", "mode", "owner", "group", "pipe-size"],
        Side::Destination => &["when-gone", "create", "mode", "owner", "group", "pipe-size"],
    }
}

fn build(rest: &str, settings: &Settings, directory: &Path) -> Result<Written, EndpointError> {
    let path = path::resolve(rest, KIND.name, Some(directory))?;
    Ok(Written {
        endpoint: EndpointSpec::Fifo(FifoSpec {
            path,
            create: settings.create.unwrap_or(true),
            mode: settings.mode.unwrap_or(DEFAULT_MODE),
            owner: Owner {
                user: settings.owner.clone(),
                group: settings.group.clone(),
            },
            pipe_size: settings.pipe_size,
        }),
        on_eof: settings.on_eof.unwrap_or(OnEof::Reopen),
        when_gone: settings.when_gone.unwrap_or(WhenGone::Wait),
    })
}
