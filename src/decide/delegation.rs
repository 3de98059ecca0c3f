//! Whether the cgroup that the daemon finds itself in is its own to divide. Wrong by mistake in one direction costs some
//! numbers in `status`; in the other it breaks a container or somebody's session: only a clear sign counts.

/// Where the daemon puts itself, since a cgroup with controllers for its children holds no processes (cgroups(7), "no
/// internal processes"). Also the name that `DelegateSubgroup=` should give it.
pub const SUPERVISOR: &str = "supervisor";

/// One cgroup, as found.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Its path from the root of the hierarchy, as this process sees it.
    pub path: String,
    /// Whoever made it has marked it as given away: `user.delegate` or `trusted.delegate` is `1`, as systemd sets it
    /// with `Delegate=`.
    pub marked: bool,
    /// It belongs to the user of this daemon, who is not root, and the one above it to somebody else.
    pub given: bool,
    /// `cgroup.type`
    pub kind: String,
    /// Somebody in it besides this daemon.
    pub other: Option<i32>,
}

/// What may be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Divide it: a child for the daemon, and one for each life.
    Own,
    /// The one above it has been delegated, and the daemon is where it belongs already.
    Above,
    /// Keep off, and say so when somebody seems to have wanted it.
    Refused(String),
    /// Keep off.
    NotDelegated,
}

/// Judges the daemon's cgroup and the one above it.
#[must_use]
pub fn judge(own: &Found, above: &Found) -> Verdict {
    let delegated = |found: &Found| found.marked || found.given;
    let (verdict, base) = if delegated(own) {
        (Verdict::Own, own)
    } else if delegated(above) && own.path.ends_with(&format!("/{SUPERVISOR}")) {
        (Verdict::Above, above)
    } else {
        return Verdict::NotDelegated;
    };
    let path = &base.path;
    let refused = if path.is_empty() || path == "/" || path.starts_with("/..") {
        "it is the root of a system, or of a container, which others use too".to_owned()
    } else if path.ends_with(".scope") {
        "it is a scope, which belongs to whoever started what is in it: a session, a container's runtime".to_owned()
    } else if base.kind != "domain" {
        format!("its type is {:?}, and it must be \"domain\"", base.kind)
    } else if let Some(pid) = own.other.or(above.other.filter(|_| verdict == Verdict::Above)) {
        format!("process {pid} is in it, too; give the daemon one of its own")
    } else {
        return verdict;
    };
    Verdict::Refused(refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str) -> Found {
        Found {
            path: path.to_owned(),
            kind: "domain".to_owned(),
            ..Found::default()
        }
    }

    fn marked(path: &str) -> Found {
        Found {
            marked: true,
            ..found(path)
        }
    }

    #[test]
    fn only_a_clear_sign_counts() {
        let slice = found("/system.slice");
        let service = "/system.slice/sluiced.service";
        assert_eq!(judge(&marked(service), &slice), Verdict::Own);
        assert_eq!(judge(&found(service), &slice), Verdict::NotDelegated);
        let given = Found {
            given: true,
            ..found("/pool/sluiced")
        };
        assert_eq!(judge(&given, &found("/pool")), Verdict::Own);
        // DelegateSubgroup=
        let leaf = found("/system.slice/sluiced.service/supervisor");
        assert_eq!(judge(&leaf, &marked(service)), Verdict::Above);
        assert_eq!(judge(&leaf, &found(service)), Verdict::NotDelegated);
        // A user's manager has been given everything below itself; what it starts has not.
        let manager = marked("/user.slice/user-1000.slice/user@1000.service");
        let terminal = found("/user.slice/user-1000.slice/user@1000.service/init.scope");
        assert_eq!(judge(&terminal, &manager), Verdict::NotDelegated);
    }

    #[test]
    fn what_others_use_is_left_alone() {
        let refused = |own: &Found, above: &Found| match judge(own, above) {
            Verdict::Refused(text) => text,
            other => panic!("{other:?}"),
        };
        let slice = found("/system.slice");
        assert!(refused(&marked("/"), &found("")).contains("container"));
        assert!(refused(&marked("/../x"), &found("/..")).contains("container"));
        assert!(refused(&marked("/user.slice/session-3.scope"), &slice).contains("session"));
        assert!(refused(&found("/x.scope/supervisor"), &marked("/x.scope")).contains("runtime"));
        assert!(refused(&found("/supervisor"), &marked("/")).contains("container"));
        let mut crowded = marked("/system.slice/x.service");
        crowded.other = Some(42);
        assert!(refused(&crowded, &slice).contains("process 42"));
        let mut threaded = marked("/system.slice/x.service");
        threaded.kind = "domain threaded".to_owned();
        assert!(refused(&threaded, &slice).contains("threaded"));
    }
}
