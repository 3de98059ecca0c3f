//! The control socket of this daemon, and who may use it. Depends on `control` and `sys`.

use std::os::fd::OwnedFd;

use crate::control::{self, Access, Group, ListenError, Listener};
use crate::model::ControlSpec;
use crate::sys::activation;
use crate::sys::process::{IdentityError, group_id};

/// `FileDescriptorName=` of the control socket.
const CONTROL: &str = "control";

/// What the service manager passed: a descriptor and its name.
pub type Passed = (OwnedFd, String);

/// Why it is not known who may use the control socket.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// No such group.
    #[error("there is no group {name:?}; create it, or correct `{key}` in [control]")]
    NoSuchGroup {
        /// `group` or `read-group`.
        key: &'static str,
        /// As configured.
        name: String,
    },
    /// The database could not be asked.
    #[error("cannot tell who is in `{key}` of [control]")]
    Database {
        /// `group` or `read-group`.
        key: &'static str,
        /// Why.
        source: IdentityError,
    },
}

/// Who may use the control socket. Blocks while it looks up groups.
pub fn access(control: &ControlSpec) -> Result<Access, AccessError> {
    Ok(Access {
        user: nix::unistd::geteuid().as_raw(),
        group: group("group", control.group.as_deref())?,
        read_group: group("read-group", control.read_group.as_deref())?,
    })
}

fn group(key: &'static str, name: Option<&str>) -> Result<Option<Group>, AccessError> {
    let Some(name) = name else { return Ok(None) };
    match group_id(name) {
        Ok(gid) => Ok(Some(Group {
            name: name.to_owned(),
            gid,
        })),
        Err(IdentityError::NoSuchGroup(name)) => Err(AccessError::NoSuchGroup { key, name }),
        Err(source) => Err(AccessError::Database { key, source }),
    }
}

/// Whether the socket is systemd's: its mode and group are, too.
pub fn is_passed(passed: &[Passed]) -> bool {
    passed.iter().any(|(_, name)| name == CONTROL)
}

/// Before an exit that systemd takes as final: who has called already is told that there is no daemon. Left in the queue, it
/// would have systemd start this daemon again at once, and again, until it gives up the socket (StartLimitBurst=); with no
/// more than an end of stream, a client would call again, as it does over an upgrade.
pub fn turn_away(why: &control::Error) {
    // Nothing has been opened yet, and nobody is left to tell of an error to.
    for (descriptor, name) in activation::take().unwrap_or_default() {
        if name == CONTROL
            && let Ok(listener) = control::from_activation(descriptor)
        {
            control::turn_away(&listener, why);
        }
    }
}

/// The control socket, and the others.
pub fn sorted(passed: Vec<Passed>) -> (Vec<Passed>, Vec<Passed>) {
    passed.into_iter().partition(|(_, name)| name == CONTROL)
}

/// The control socket: handed over by systemd, or one of our own.
pub fn listener(config: &ControlSpec, passed: Vec<Passed>, access: &Access) -> Result<Listener, ListenError> {
    if let Some((descriptor, _)) = passed.into_iter().next() {
        return control::from_activation(descriptor);
    }
    control::listen(&config.socket, config.mode, access.file_group())
}
