//! Who may ask for what, by whom a client was when it connected. Pure; depends on `request`, `error` and `sys::peer`.

use serde::{Deserialize, Serialize};

use super::error::Error;
use super::request::Call;
use crate::sys::peer::Peer;

/// How far a client may go. Each includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Right {
    /// It may ask what is spoken here.
    Introspect,
    /// It may ask how things stand.
    Ask,
    /// It may change things, and see the config, which may have secrets in it.
    Change,
}

/// A group, as configured and looked up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// As configured.
    pub name: String,
    /// Its number.
    pub gid: u32,
}

/// Who may use the control socket, besides root. The default: nobody else.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// The daemon's own user, who may change things.
    pub user: u32,
    /// Its members may change things.
    pub group: Option<Group>,
    /// Its members may ask how things stand.
    pub read_group: Option<Group>,
}

impl Access {
    /// Root and this user alone.
    #[must_use]
    pub fn of_user(user: u32) -> Access {
        Access {
            user,
            group: None,
            read_group: None,
        }
    }

    /// The group of a socket file that this daemon makes: a file has one only.
    #[must_use]
    pub fn file_group(&self) -> Option<&Group> {
        self.group.as_ref().or(self.read_group.as_ref())
    }

    pub(super) fn right_of(&self, peer: &Peer) -> Right {
        let member = |group: &Option<Group>| {
            let gid = group.as_ref().map(|group| group.gid);
            gid.is_some_and(|gid| peer.gid == gid || peer.groups.contains(&gid))
        };
        if peer.uid == 0 || peer.uid == self.user || member(&self.group) {
            Right::Change
        } else if member(&self.read_group) {
            Right::Ask
        } else {
            Right::Introspect
        }
    }

    /// Refuses a call that goes too far.
    pub(super) fn check(&self, right: Right, call: &Call) -> Result<(), Error> {
        let needed = needed(call);
        if right >= needed {
            Ok(())
        } else {
            Err(Error::NotPermitted(self.who_has(needed)))
        }
    }

    fn who_has(&self, right: Right) -> String {
        let mut who = match self.user {
            0 => "root".to_owned(),
            user => format!("root, user {user} (the daemon's own)"),
        };
        let asking = self.read_group.as_ref().filter(|_| right == Right::Ask);
        match (&self.group, asking) {
            (None, None) => {
                let key = if right == Right::Ask {
                    "`group` or `read-group`"
                } else {
                    "`group`"
                };
                who.push_str(&format!("; {key} in [control] lets others in"));
            }
            (Some(group), Some(other)) if group != other => {
                who.push_str(&format!(" or a member of group {:?} or {:?}", group.name, other.name));
            }
            (Some(group), _) | (None, Some(group)) => who.push_str(&format!(" or a member of group {:?}", group.name)),
        }
        who
    }
}

fn needed(call: &Call) -> Right {
    match call {
        Call::Info | Call::Describe(_) => Right::Introspect,
        Call::Status | Call::ListRoutes(_) | Call::ListProcesses(_) | Call::Explain(_) | Call::Monitor(_) => Right::Ask,
        Call::GetConfig
        | Call::PauseRoute(_)
        | Call::ResumeRoute(_)
        | Call::DrainRoute { .. }
        | Call::StartProcess { .. }
        | Call::StopProcess { .. }
        | Call::RestartProcess { .. }
        | Call::SignalProcess { .. }
        | Call::Reload { .. }
        | Call::Upgrade
        | Call::ReopenFiles { .. }
        | Call::Shutdown => Right::Change,
    }
}

#[cfg(test)]
mod tests;
