//! As whom a child runs and what it may use, asked of the child itself. What needs root says so where it is not.

use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;

use nix::unistd::{User, geteuid};

use super::super::*;
use super::{output, plan, reap, refused, run, start, wait_for};
use crate::model::{Exit, LimitSpec, LimitedResource};

fn is_root() -> bool {
    let root = geteuid().is_root();
    if !root {
        assert!(std::env::var_os("CI").is_none(), "SKIPPED, which CI forbids: not root");
        eprintln!("SKIPPED: only root may change users");
    }
    root
}

fn limit(resource: LimitedResource, soft: Option<u64>, hard: Option<u64>) -> LimitSpec {
    LimitSpec { resource, soft, hard }
}

fn told(script: &str, standing: Standing) -> String {
    let (text, exit) = run(&plan(&["sh", "-c", script], &[("PATH", "/usr/bin:/bin")], None).with(standing));
    assert_eq!(exit, Exit::Code(0), "{text}");
    text
}

fn nobody() -> Identity {
    Identity::look_up(Some("nobody"), None).unwrap()
}

#[test]
fn limits_nice_umask_and_privileges() {
    let script = "ulimit -Sn; ulimit -Hn; ulimit -Sc; ulimit -f; umask; nice; grep NoNewPrivs /proc/self/status";
    let own_nice = told("nice", Standing::default()).trim().parse::<i32>().unwrap();
    let nice = (own_nice + 3).min(19);
    let standing = Standing {
        limits: vec![
            limit(LimitedResource::Nofile, Some(40), Some(50)),
            limit(LimitedResource::Core, Some(0), Some(0)),
            limit(LimitedResource::Fsize, Some(1024 * 1024), None),
        ],
        nice: Some(nice),
        umask: Some(0o027),
        no_new_privileges: true,
        ..Standing::default()
    };
    // A shell counts files in blocks of 512 bytes.
    let expected = format!("40\n50\n0\n2048\n0027\n{nice}\nNoNewPrivs:\t1\n");
    assert_eq!(told(script, standing), expected);
    let mask = told("umask; grep NoNewPrivs /proc/self/status", Standing::default());
    let own = std::fs::read_to_string("/proc/self/status").unwrap();
    let own_mask = own.lines().find_map(|line| line.strip_prefix("Umask:\t")).unwrap();
    assert_eq!(mask, format!("{own_mask}\nNoNewPrivs:\t0\n"));
}

#[test]
fn a_user_with_its_groups_and_no_capability() {
    if !is_root() {
        return;
    }
    let entry = User::from_name("nobody").unwrap().unwrap();
    let (uid, gid) = (entry.uid.as_raw(), entry.gid.as_raw());
    let script = "grep -E '^(Uid|Gid|Groups|CapPrm|CapEff|CapAmb):' /proc/self/status";
    let standing = |identity| Standing {
        identity,
        ..Standing::default()
    };
    let text = told(script, standing(nobody()));
    let line = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(line("Uid:"), vec![uid.to_string(); 4], "{text}");
    assert_eq!(line("Gid:"), vec![gid.to_string(); 4], "{text}");
    assert!(line("Groups:").contains(&gid.to_string()), "{text}");
    for set in ["CapPrm:", "CapEff:", "CapAmb:"] {
        assert_eq!(line(set), ["0000000000000000"], "{text}");
    }
    // A group of its own instead of the user's.
    let with_group = Identity::look_up(Some("nobody"), Some("1")).unwrap();
    assert_eq!(told("id -u; id -g", standing(with_group)), format!("{uid}\n1\n"));
    // A group alone: the daemon's user stays.
    let group = Identity::look_up(None, Some("1")).unwrap();
    assert_eq!(told("id -u; id -g", standing(group)), "0\n1\n");
}

#[test]
fn what_is_refused_has_its_own_words() {
    let infinite = Standing {
        limits: vec![
            limit(LimitedResource::Core, Some(0), Some(0)),
            limit(LimitedResource::Nofile, None, None),
        ],
        ..Standing::default()
    };
    let command = plan(&["/bin/true"], &[], None);
    let error = refused(&command.clone().with(infinite));
    assert!(!error.is_transient());
    let text = error.to_string();
    assert!(
        text.contains("limit nofile to infinity:infinity") && text.contains("fs.nr_open"),
        "{text}"
    );
    if !is_root() {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    std::fs::set_permissions(place.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
    let program = place.path().join("program");
    std::fs::copy("/bin/true", &program).unwrap();
    let as_nobody = |limits| Standing {
        identity: nobody(),
        limits,
        ..Standing::default()
    };
    let text_of = |command: Plan| refused(&command.with(as_nobody(Vec::new()))).to_string();
    // A directory of root's alone.
    let text = text_of(plan(&["/bin/true"], &[], Some(place.path())));
    assert!(
        text.contains("working-directory") && text.contains("as user \"nobody\"") && text.contains("let that user in"),
        "{text}"
    );
    let text = text_of(plan(&[program.to_str().unwrap()], &[], None));
    assert!(
        text.contains("as user \"nobody\"") && text.contains("permission denied"),
        "{text}"
    );
    // The kernel counts those that are there already.
    let (one, status, _) = start(&plan(&["sleep", "100"], &[], None).with(as_nobody(Vec::new())));
    wait_for(&status, "word of its execution");
    let none = vec![limit(LimitedResource::Nproc, Some(0), Some(0))];
    let error = refused(&command.with(as_nobody(none)));
    assert!(error.is_transient() && error.to_string().contains("nproc"), "{error}");
    drop(one);
}

/// A pipe's inode has mode 0600 and an owner, which open(2) by /proc asks (pipe(7), proc_pid_fd(5)).
#[test]
fn a_pipe_that_was_given_can_be_opened_anew() {
    if !is_root() {
        return;
    }
    let null = null().unwrap();
    let opened = |given: bool| {
        let (reader, writer) = output_pipe().unwrap();
        if given {
            give(writer.as_fd(), nobody().uid().unwrap()).unwrap();
        }
        let plan = plan(&["sh", "-c", "echo x > /proc/self/fd/1"], &[], None).with(Standing {
            identity: nobody(),
            ..Standing::default()
        });
        let ends = [(0, null.as_fd()), (1, writer.as_fd()), (2, null.as_fd())];
        let (mut child, status) = spawn(&plan, &ends).unwrap().into_parts();
        Held::release(status.as_fd());
        drop(writer);
        (output(&reader), reap(&mut child) == Exit::Code(0))
    };
    assert_eq!(opened(true), ("x\n".to_owned(), true));
    assert_eq!(opened(false), (String::new(), false));
}
