//! As whom a child runs, looked up in the user and group databases (getpwnam(3), getgrnam(3), getgrouplist(3)). These
//! may ask a network and take as long as it likes: never on a thread that others wait for.

use std::ffi::{CString, OsString};
use std::path::PathBuf;

use nix::errno::Errno;
use nix::unistd::{Gid, Group, User, getgrouplist};
use serde::{Deserialize, Serialize};

/// Login shells that are none: what runs as their user is not to be told of them.
const NO_SHELLS: &[&str] = &["nologin", "false"];

/// Why there is no [`Identity`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// Neither a name nor a number of a user.
    #[error("there is no user {0:?}; create it, or correct `user`")]
    NoSuchUser(String),
    /// Neither a name nor a number of a group.
    #[error("there is no group {0:?}; create it, or correct `group`")]
    NoSuchGroup(String),
    /// A number that the user database does not know, and no `group`.
    #[error("user {0} is not in the user database, which would tell its group; give `group` as well")]
    NoPrimaryGroup(String),
    /// The database could not be asked.
    #[error("cannot look up {what} {name:?}: {}; see nsswitch.conf(5)", .errno.desc())]
    Database {
        /// User or group.
        what: &'static str,
        /// As configured.
        name: String,
        /// Why.
        errno: Errno,
    },
}

impl IdentityError {
    /// Whether it may pass by itself.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, IdentityError::Database { .. })
    }
}

/// A user, its groups, and what its login tells. The default is the daemon's own in everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// As configured.
    pub(super) user: Option<String>,
    /// As configured, else the number of the user's primary group.
    pub(super) group: Option<String>,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    /// The supplementary groups; `None` leaves the daemon's.
    pub(super) groups: Option<Vec<u32>>,
    /// For the environment alone: nothing of it is wanted once the child is forked.
    #[serde(skip)]
    login: Option<Login>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Login {
    name: String,
    home: PathBuf,
    shell: PathBuf,
}

impl Identity {
    /// Looks up a user and a group, each by name or number. Without `group` it is the user's primary one; the
    /// supplementary groups are those of the user, as initgroups(3) has them. Blocks.
    pub fn look_up(user: Option<&str>, group: Option<&str>) -> Result<Identity, IdentityError> {
        let own_gid = group.map(group_id).transpose()?;
        let Some(name) = user else {
            return Ok(Identity {
                group: group.map(str::to_owned),
                gid: own_gid,
                ..Identity::default()
            });
        };
        let (uid, entry) = user_of(name)?;
        let primary = entry.as_ref().map(|entry| entry.gid.as_raw());
        let gid = own_gid
            .or(primary)
            .ok_or_else(|| IdentityError::NoPrimaryGroup(name.to_owned()))?;
        let groups = match &entry {
            Some(entry) => groups_of(&entry.name, gid, name)?,
            None => vec![gid],
        };
        Ok(Identity {
            user: Some(name.to_owned()),
            group: Some(group.map_or_else(|| gid.to_string(), str::to_owned)),
            uid: Some(uid),
            gid: Some(gid),
            groups: Some(groups),
            login: entry.map(|entry| Login {
                name: entry.name,
                home: entry.dir,
                shell: entry.shell,
            }),
        })
    }

    /// The user that pipes are to belong to; `None` when it is the daemon's own.
    #[must_use]
    pub fn uid(&self) -> Option<u32> {
        self.uid
    }

    /// HOME, USER, LOGNAME and SHELL as a login sets them; `None` where there is nothing to say, and the daemon's would
    /// be wrong. Empty without a user.
    #[must_use]
    pub fn variables(&self) -> Vec<(&'static str, Option<OsString>)> {
        if self.user.is_none() {
            return Vec::new();
        }
        let login = self.login.as_ref();
        let given = |text: OsString| (!text.is_empty()).then_some(text);
        let name = login.and_then(|login| given(login.name.clone().into()));
        let home = login.and_then(|login| given(login.home.clone().into()));
        let shell = login.filter(|login| {
            let program = login.shell.file_name().unwrap_or_default();
            !NO_SHELLS.iter().any(|none| program == *none)
        });
        let shell = shell.and_then(|login| given(login.shell.clone().into()));
        vec![
            ("HOME", home),
            ("USER", name.clone()),
            ("LOGNAME", name),
            ("SHELL", shell),
        ]
    }
}

/// A number, where it is one that an id can have: -1 means "leave it" to the kernel.
fn number(text: &str) -> Option<u32> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = digits.then(|| text.parse().ok())?;
    number.filter(|number| *number != u32::MAX)
}

fn user_of(name: &str) -> Result<(u32, Option<User>), IdentityError> {
    let database = |errno| database("user", name, errno);
    if let Some(number) = number(name) {
        let entry = found(User::from_uid(number.into())).map_err(database)?;
        return Ok((number, entry));
    }
    let entry = found(User::from_name(name)).map_err(database)?;
    let entry = entry.ok_or_else(|| IdentityError::NoSuchUser(name.to_owned()))?;
    Ok((entry.uid.as_raw(), Some(entry)))
}

/// A group's number, by its name or number. Blocks.
pub fn group_id(name: &str) -> Result<u32, IdentityError> {
    if let Some(number) = number(name) {
        return Ok(number);
    }
    let entry = found(Group::from_name(name)).map_err(|errno| database("group", name, errno))?;
    let entry = entry.ok_or_else(|| IdentityError::NoSuchGroup(name.to_owned()))?;
    Ok(entry.gid.as_raw())
}

/// Some name services say "not found" by an error (getpwnam(3)).
fn found<T>(answer: nix::Result<Option<T>>) -> nix::Result<Option<T>> {
    match answer {
        Err(Errno::ENOENT | Errno::ESRCH | Errno::EBADF | Errno::EPERM) => Ok(None),
        other => other,
    }
}

fn groups_of(login: &str, gid: u32, configured: &str) -> Result<Vec<u32>, IdentityError> {
    let failed = |errno| database("the groups of user", configured, errno);
    let login = CString::new(login).map_err(|_| failed(Errno::EINVAL))?;
    let groups = getgrouplist(&login, Gid::from_raw(gid)).map_err(failed)?;
    Ok(groups.into_iter().map(Gid::as_raw).collect())
}

fn database(what: &'static str, name: &str, errno: Errno) -> IdentityError {
    IdentityError::Database {
        what,
        name: name.to_owned(),
        errno,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_name_and_by_number() {
        let root = Identity::look_up(Some("root"), None).unwrap();
        assert_eq!((root.uid, root.gid), (Some(0), Some(0)));
        assert_eq!(root.groups.as_ref().map(|groups| groups.contains(&0)), Some(true));
        let by_number = Identity::look_up(Some("0"), None).unwrap();
        assert_eq!((by_number.uid, by_number.variables()), (root.uid, root.variables()));
        let unknown = Identity::look_up(Some("4123456789"), Some("77")).unwrap();
        assert_eq!((unknown.uid, unknown.gid), (Some(4_123_456_789), Some(77)));
        assert_eq!(unknown.groups, Some(vec![77]));
        assert!(unknown.variables().iter().all(|(_, value)| value.is_none()));
        let group = Identity::look_up(None, Some("root")).unwrap();
        assert_eq!((group.uid, group.gid, group.groups), (None, Some(0), None));
    }

    #[test]
    fn what_is_not_there() {
        let told = |user, group| Identity::look_up(user, group).unwrap_err().to_string();
        assert!(told(Some("no-such-user"), None).contains("no user \"no-such-user\""));
        assert!(told(Some("root"), Some("no-such-group")).contains("no group \"no-such-group\""));
        assert!(told(Some("4123456789"), None).contains("give `group` as well"));
        // -1 would leave the daemon's own.
        for none in ["4294967295", "-1", "99999999999", "+0"] {
            assert!(told(Some(none), None).contains("no user"), "{none}");
            assert!(told(None, Some(none)).contains("no group"), "{none}");
        }
    }

    #[test]
    fn a_login_that_has_no_shell_names_none() {
        let login = |home: &str, shell: &str| Identity {
            user: Some("u".to_owned()),
            login: Some(Login {
                name: "u".to_owned(),
                home: home.into(),
                shell: shell.into(),
            }),
            ..Identity::default()
        };
        let shown = |identity: Identity| {
            let shown = identity.variables().into_iter().map(|(key, value)| match value {
                Some(value) => format!("{key}={}", value.display()),
                None => format!("-{key}"),
            });
            shown.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(shown(login("/h", "/bin/sh")), "HOME=/h USER=u LOGNAME=u SHELL=/bin/sh");
        assert_eq!(shown(login("", "/usr/sbin/nologin")), "-HOME USER=u LOGNAME=u -SHELL");
        assert_eq!(shown(login("/h", "")), "HOME=/h USER=u LOGNAME=u -SHELL");
        assert_eq!(shown(Identity::default()), "");
    }
}
