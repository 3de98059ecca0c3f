//! Where the daemon's socket is.

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::control::client::{Client, ClientError};

const SYSTEM: &str = "/run/sluiced/control.sock";

/// No daemon was reached: which sockets were tried, and why not.
#[derive(Debug)]
pub(super) struct NoDaemon {
    tried: Vec<(PathBuf, io::Error)>,
}

impl NoDaemon {
    /// A socket is there, and this user may not connect to it.
    pub(super) fn denied(&self) -> bool {
        let denied = |(_, error): &(_, io::Error)| error.kind() == io::ErrorKind::PermissionDenied;
        self.tried.last().is_some_and(denied)
    }
}

impl fmt::Display for NoDaemon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.denied() {
            "not allowed to ask the daemon; tried "
        } else {
            "no daemon answers; tried "
        })?;
        for (index, (path, error)) in self.tried.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{} ({})", path.display(), why(error))?;
        }
        f.write_str(if self.denied() {
            ". The socket's mode and group say who may connect; try as root, or as a member of its group"
        } else {
            ". Is sluiced running? Name another socket by --socket or $SLUICED_SOCKET"
        })
    }
}

impl std::error::Error for NoDaemon {}

fn why(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "not there".into(),
        io::ErrorKind::ConnectionRefused => "nobody listens there".into(),
        io::ErrorKind::PermissionDenied => "permission denied".into(),
        io::ErrorKind::WouldBlock => "it does not accept connections".into(),
        _ => error.to_string(),
    }
}

/// The sockets to try: one that was named, or the usual places.
fn candidates(named: Option<&Path>, variable: impl Fn(&str) -> Option<OsString>) -> Vec<PathBuf> {
    let variable = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(path) = named.map(Path::to_owned).or_else(|| variable("SLUICED_SOCKET")) {
        return vec![path];
    }
    let own = variable("XDG_RUNTIME_DIR").map(|directory| directory.join("sluiced/control.sock"));
    own.into_iter().chain([PathBuf::from(SYSTEM)]).collect()
}

/// Connects to the first candidate that exists.
pub(super) fn connect(named: Option<&Path>) -> Result<Client, NoDaemon> {
    let mut tried = Vec::new();
    for path in candidates(named, |name| env::var_os(name)) {
        match Client::connect(&path) {
            Ok(client) => return Ok(client),
            Err(ClientError::Connect { path, source }) => {
                let absent = source.kind() == io::ErrorKind::NotFound;
                tried.push((path, source));
                if !absent {
                    break;
                }
            }
            Err(other) => tried.push((path, io::Error::other(other))),
        }
    }
    Err(NoDaemon { tried })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_the_socket_is_looked_for() {
        let set = |pairs: &'static [(&str, &str)]| {
            move |name: &str| {
                pairs
                    .iter()
                    .find(|(key, _)| *key == name)
                    .map(|(_, value)| OsString::from(value))
            }
        };
        let both = set(&[("SLUICED_SOCKET", "/env"), ("XDG_RUNTIME_DIR", "/run/user/1")]);
        assert_eq!(candidates(Some(Path::new("/named")), both), [Path::new("/named")]);
        assert_eq!(candidates(None, both), [Path::new("/env")]);
        let own = set(&[("SLUICED_SOCKET", ""), ("XDG_RUNTIME_DIR", "/run/user/1")]);
        let usual = [Path::new("/run/user/1/sluiced/control.sock"), Path::new(SYSTEM)];
        assert_eq!(candidates(None, own), usual);
        assert_eq!(candidates(None, set(&[("XDG_RUNTIME_DIR", "")])), [Path::new(SYSTEM)]);
    }
}
