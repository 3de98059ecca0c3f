use super::*;

const OWN: u32 = 997;

fn group(name: &str, gid: u32) -> Option<Group> {
    Some(Group {
        name: name.to_owned(),
        gid,
    })
}

fn access(group: Option<Group>, read_group: Option<Group>) -> Access {
    Access {
        user: OWN,
        group,
        read_group,
    }
}

fn peer(uid: u32, gid: u32, groups: &[u32]) -> Peer {
    Peer {
        uid,
        gid,
        groups: groups.to_vec(),
    }
}

#[test]
fn who_has_which_right() {
    use Right::{Ask, Change, Introspect};
    let none = access(None, None);
    let both = access(group("adm", 4), group("users", 100));
    let write = access(group("adm", 4), None);
    let read = access(None, group("users", 100));
    let same = access(group("adm", 4), group("adm", 4));
    let root_group = access(group("root", 0), None);
    // Its rights where neither group is set, both are, only `group`, only `read-group`, both are the same.
    let table = [
        (peer(0, 0, &[]), [Change; 5]),
        (peer(0, 1000, &[1000]), [Change; 5]),
        (peer(OWN, OWN, &[]), [Change; 5]),
        (peer(1000, 4, &[]), [Introspect, Change, Change, Introspect, Change]),
        (
            peer(1000, 1000, &[7, 4]),
            [Introspect, Change, Change, Introspect, Change],
        ),
        (peer(1000, 100, &[]), [Introspect, Ask, Introspect, Ask, Introspect]),
        (peer(1000, 1000, &[100]), [Introspect, Ask, Introspect, Ask, Introspect]),
        (peer(1000, 100, &[4]), [Introspect, Change, Change, Ask, Change]),
        // Root's group, and a group with the number of the daemon's user, are nobody's right.
        (peer(1000, 0, &[0, OWN]), [Introspect; 5]),
        (peer(4, 1000, &[]), [Introspect; 5]),
    ];
    for (peer, rights) in table {
        for (access, right) in [&none, &both, &write, &read, &same].into_iter().zip(rights) {
            assert_eq!(access.right_of(&peer), right, "{peer:?} of {access:?}");
        }
    }
    // Unless it is asked for.
    assert_eq!(root_group.right_of(&peer(1000, 0, &[])), Change);
}

fn calls() -> Vec<(Call, Right)> {
    use Right::{Ask, Change, Introspect};
    let name = || "x".to_owned();
    vec![
        (Call::Info, Introspect),
        (Call::Describe(name()), Introspect),
        (Call::Status, Ask),
        (Call::ListRoutes(None), Ask),
        (Call::ListProcesses(Some(name())), Ask),
        (Call::Explain(name()), Ask),
        (Call::Monitor(None), Ask),
        (Call::GetConfig, Change),
        (Call::PauseRoute(name()), Change),
        (Call::ResumeRoute(name()), Change),
        (
            Call::DrainRoute {
                name: name(),
                timeout: None,
                wait: true,
            },
            Change,
        ),
        (
            Call::StartProcess {
                name: name(),
                wait: false,
            },
            Change,
        ),
        (
            Call::StopProcess {
                name: name(),
                wait: true,
            },
            Change,
        ),
        (
            Call::RestartProcess {
                name: name(),
                wait: true,
            },
            Change,
        ),
        (
            Call::SignalProcess {
                name: name(),
                signal: "HUP".to_owned(),
            },
            Change,
        ),
        (
            Call::Reload {
                dry_run: true,
                wait: true,
            },
            Change,
        ),
        (Call::ReopenFiles { wait: true }, Change),
        (Call::Shutdown, Change),
    ]
}

#[test]
fn which_call_takes_which_right() {
    let access = access(group("adm", 4), group("users", 100));
    for (call, needed) in calls() {
        for right in [Right::Introspect, Right::Ask, Right::Change] {
            let allowed = access.check(right, &call);
            assert_eq!(allowed.is_ok(), right >= needed, "{right:?} {call:?}");
            if let Err(error) = allowed {
                assert!(matches!(error, Error::NotPermitted(_)), "{error:?}");
            }
        }
    }
}

#[test]
fn what_is_needed_in_words() {
    let told = |access: &Access, right| access.who_has(right);
    let root = Access::of_user(0);
    assert_eq!(told(&root, Right::Change), "root; `group` in [control] lets others in");
    assert_eq!(
        told(&root, Right::Ask),
        "root; `group` or `read-group` in [control] lets others in"
    );
    let read = access(None, group("users", 100));
    assert_eq!(
        told(&read, Right::Change),
        "root, user 997 (the daemon's own); `group` in [control] lets others in"
    );
    assert_eq!(
        told(&read, Right::Ask),
        "root, user 997 (the daemon's own) or a member of group \"users\""
    );
    let both = access(group("adm", 4), group("users", 100));
    assert_eq!(
        told(&both, Right::Change),
        "root, user 997 (the daemon's own) or a member of group \"adm\""
    );
    assert_eq!(
        told(&both, Right::Ask),
        "root, user 997 (the daemon's own) or a member of group \"adm\" or \"users\""
    );
}

#[test]
fn the_file_belongs_to_those_who_may_do_most() {
    let gid = |access: &Access| access.file_group().map(|group| group.gid);
    assert_eq!(gid(&access(group("adm", 4), group("users", 100))), Some(4));
    assert_eq!(gid(&access(None, group("users", 100))), Some(100));
    assert_eq!(gid(&Access::of_user(0)), None);
}
