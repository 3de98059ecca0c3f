//! Real children: what they are given, how failures are told, what their exits say.

use std::ffi::OsString;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::{fs, io};

use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::*;
use crate::model::Exit;

mod standing;

const SECONDS_MS: u16 = 10_000;

fn plan(command: &[&str], environment: &[(&str, &str)], directory: Option<&Path>) -> Plan {
    let command: Vec<String> = command.iter().map(ToString::to_string).collect();
    let environment: Vec<(OsString, OsString)> = environment.iter().map(|(k, v)| (k.into(), v.into())).collect();
    Plan::new(&command, &environment, Some("/usr/bin:/bin".as_ref()), directory).unwrap()
}

fn wait_for(end: impl AsFd, what: &str) {
    let mut ready = [PollFd::new(end.as_fd(), PollFlags::POLLIN)];
    let count = poll(&mut ready, PollTimeout::from(SECONDS_MS)).unwrap();
    assert_eq!(count, 1, "no {what} within {SECONDS_MS} ms");
}

/// Starts a child with its stdout in a pipe; the rest is /dev/null.
fn start(plan: &Plan) -> (Child, OwnedFd, OwnedFd) {
    let null = null().unwrap();
    let (reader, writer) = output_pipe().unwrap();
    let held = spawn(plan, &[(0, null.as_fd()), (1, writer.as_fd()), (2, null.as_fd())]).unwrap();
    let (child, status) = held.into_parts();
    Held::release(status.as_fd());
    (child, status, reader)
}

fn reap(child: &mut Child) -> Exit {
    wait_for(&*child, "exit");
    child.try_reap().unwrap().unwrap()
}

fn output(reader: &OwnedFd) -> String {
    let mut text = Vec::new();
    loop {
        let mut buffer = [0; 4096];
        wait_for(reader, "output");
        match read(reader.as_fd(), &mut buffer) {
            Ok(0) => return String::from_utf8(text).unwrap(),
            Ok(count) => text.extend_from_slice(&buffer[..count]),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
        }
    }
}

/// As it is after an upgrade.
fn attempt(plan: &Plan) -> Attempt {
    let text = serde_json::to_string(&plan.clone().into_attempt()).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Runs it to its end; its output and exit.
fn run(plan: &Plan) -> (String, Exit) {
    let (mut child, status, reader) = start(plan);
    let text = output(&reader);
    let exit = reap(&mut child);
    assert_eq!(
        read_status(status.as_fd(), &attempt(plan)).unwrap(),
        Some(Status::Executed)
    );
    (text, exit)
}

/// Runs one that cannot be executed.
fn refused(plan: &Plan) -> ExecError {
    let (mut child, status, _reader) = start(plan);
    wait_for(&status, "report");
    let said = read_status(status.as_fd(), &attempt(plan)).unwrap();
    assert_eq!(reap(&mut child), Exit::Code(127));
    match said {
        Some(Status::Failed(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_child_has_its_own_descriptors_and_nothing_else() {
    let strangers: Vec<_> = (0..5).map(|_| nix::unistd::pipe().unwrap()).collect();
    let (text, exit) = run(&plan(&["ls", "/proc/self/fd"], &[], None));
    drop(strangers);
    // 3 is ls's own, for the directory that it lists.
    assert_eq!((text.as_str(), exit), ("0\n1\n2\n3\n", Exit::Code(0)));
}

#[test]
fn any_of_ten_descriptors_can_be_given() {
    let null = null().unwrap();
    let (reader, writer) = output_pipe().unwrap();
    let ends = [
        (0, null.as_fd()),
        (1, writer.as_fd()),
        (2, null.as_fd()),
        (9, null.as_fd()),
        (4, null.as_fd()),
    ];
    let (mut child, status) = spawn(&plan(&["ls", "/proc/self/fd"], &[], None), &ends)
        .unwrap()
        .into_parts();
    Held::release(status.as_fd());
    drop(writer);
    assert_eq!(output(&reader), "0\n1\n2\n3\n4\n9\n");
    assert_eq!(reap(&mut child), Exit::Code(0));
}

#[test]
fn signals_group_and_environment_are_as_after_login() {
    let script = "grep -E '^Sig(Blk|Ign)' /proc/self/status; set -- $(cat /proc/$$/stat); test $1 = $5 && env";
    let (text, exit) = run(&plan(&["sh", "-c", script], &[("A", "b c")], None));
    assert_eq!(exit, Exit::Code(0), "{text}");
    let zero = "0000000000000000";
    let start = format!("SigBlk:\t{zero}\nSigIgn:\t{zero}\n");
    assert!(text.starts_with(&start), "{text}");
    let rest = &text[start.len()..];
    assert!(rest.lines().any(|line| line == "A=b c"), "{rest}");
    // What a shell adds by itself.
    assert!(rest.lines().all(|line| {
        ["A=", "PWD=", "SHLVL=", "_=", "OLDPWD="]
            .iter()
            .any(|key| line.starts_with(key))
    }));
}

#[test]
fn its_stdout_blocks() {
    let script = "grep flags: /proc/self/fdinfo/1";
    let (text, _) = run(&plan(&["sh", "-c", script], &[], None));
    let flags = i32::from_str_radix(text.split_whitespace().nth(1).unwrap(), 8).unwrap();
    assert_eq!(flags & libc::O_NONBLOCK, 0);
}

#[test]
fn the_search_is_in_the_childs_own_path_and_directory() {
    let place = tempfile::tempdir().unwrap();
    let bin = place.path().join("bin");
    fs::create_dir(&bin).unwrap();
    fs::create_dir(place.path().join("tool")).unwrap();
    fs::copy("/bin/echo", bin.join("tool")).unwrap();
    let path = bin.to_str().unwrap();
    let found = |plan: &Plan| assert_eq!(run(plan), ("x\n".to_owned(), Exit::Code(0)));
    found(&plan(&["tool", "x"], &[("PATH", path)], None));
    found(&plan(&["bin/tool", "x"], &[], Some(place.path())));
    // An empty entry of PATH is the directory it runs in; a directory of that name is passed over.
    found(&plan(
        &["tool", "x"],
        &[("PATH", &format!("{}:{path}", place.path().display()))],
        None,
    ));
    found(&plan(&["tool", "x"], &[("PATH", "/nowhere:")], Some(&bin)));
}

#[test]
fn each_reason_has_its_own_words() {
    let place = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str, mode: u32| {
        let path = place.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let told = |command: &[&str], directory: Option<&Path>| {
        let error = refused(&plan(command, &[("PATH", "/nowhere:/usr/nowhere")], directory));
        assert!(!error.is_transient(), "{error}");
        error.to_string()
    };
    let wrong = [
        (
            told(&["no-such-tool"], None),
            "no such program in PATH (/nowhere:/usr/nowhere)",
        ),
        (told(&[""], None), "no such program in PATH"),
        (told(&["/no/such"], None), "\"/no/such\": no such file; correct"),
        (
            told(&["./such"], Some(place.path())),
            "no such file (relative to working-directory /",
        ),
        (told(&["/etc/passwd/x"], None), "no such file"),
        (told(&["/tmp"], None), "is a directory"),
        (told(&["/dev/null"], None), "is not a regular file"),
        (
            told(&[&file("plain", "#!/bin/sh\n", 0o644)], None),
            "not executable; `chmod +x`",
        ),
        (
            told(&[&file("script", "#! /no/interp -x\n", 0o755)], None),
            "interpreter \"/no/interp\" does not exist",
        ),
        (
            told(&[&file("dos", "#!/bin/sh\r\n", 0o755)], None),
            "interpreter \"/bin/sh\\r\" does not exist",
        ),
        (
            told(&[&file("denied", "#!/etc/passwd\n", 0o755)], None),
            "interpreter \"/etc/passwd\" may not be executed",
        ),
        (told(&[&file("empty", "", 0o755)], None), "exec format error"),
        (
            told(&["/bin/true"], Some(Path::new("/no/dir"))),
            "cannot enter working-directory \"/no/dir\"",
        ),
        (told(&["/bin/true"], Some(Path::new("/etc/passwd"))), "Not a directory"),
        (
            told(&["/bin/true", &"x".repeat(200_000)], None),
            "argument list too long",
        ),
    ];
    for (text, expected) in &wrong {
        assert!(text.contains(expected), "{text:?} should contain {expected:?}");
    }
}

#[test]
fn a_busy_program_file_is_a_passing_trouble() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("busy");
    fs::copy("/bin/true", &path).unwrap();
    let _writer = fs::OpenOptions::new().append(true).open(&path).unwrap();
    let error = refused(&plan(&[path.to_str().unwrap()], &[], None));
    assert!(error.is_transient(), "{error}");
}

#[test]
fn a_nul_is_refused_before_anything_is_made() {
    let error = Plan::new(&["a\0b".to_owned()], &[], None, None).unwrap_err();
    assert!(error.to_string().contains("NUL"), "{error}");
}

#[test]
fn exits_are_told_exactly() {
    let (_, exit) = run(&plan(&["sh", "-c", "exit 7"], &[], None));
    assert_eq!(exit.to_string(), "exit 7");
    for (signal, name) in [("KILL", "SIGKILL"), ("TERM", "SIGTERM"), ("40", "SIGRTMIN+6")] {
        let (_, exit) = run(&plan(&["sh", "-c", &format!("kill -{signal} $$")], &[], None));
        assert_eq!(exit.to_string(), format!("killed by {name}"));
    }
}

#[test]
fn a_hundred_that_end_at_once_each_keep_their_status() {
    let plans: Vec<_> = (0..100)
        .map(|n| plan(&["sh", "-c", &format!("exit {n}")], &[], None))
        .collect();
    let mut children: Vec<_> = plans.iter().map(start).collect();
    for (code, (child, ..)) in children.iter_mut().enumerate() {
        assert_eq!(reap(child), Exit::Code(i32::try_from(code).unwrap()));
    }
}

#[test]
fn a_group_is_signalled_after_its_leader_is_reaped() {
    let script = "sh -c 'echo there; exec sleep 100' & read x < /proc/self/stat; exit 3";
    let (mut child, _status, reader) = start(&plan(&["sh", "-c", script], &[], None));
    assert_eq!(reap(&mut child), Exit::Code(3));
    let members = group_members(&[child.pid()]).unwrap();
    let pipe = pipe_identity(reader.as_fd()).unwrap();
    assert!(child.group_is_there());
    assert!(
        members
            .iter()
            .any(|member| member.group == child.pid() && member.holds(pipe))
    );
    assert_eq!(child.signal(libc::SIGTERM), Err(Errno::ESRCH));
    // The way of kernels before 6.9.
    super::group::signal_by_number(child.pid(), true, 0).unwrap();
    child.signal_group(libc::SIGKILL).unwrap();
    let text = output(&reader);
    assert!(text.is_empty() || text == "there\n");
}

#[test]
fn a_dropped_child_is_killed_and_reaped() {
    let (child, status, reader) = start(&plan(&["sleep", "100"], &[], None));
    let pid = child.pid();
    drop(child);
    assert_eq!(output(&reader), "");
    assert!(!Path::new(&format!("/proc/{pid}")).exists());
    drop(status);
}

#[test]
fn a_held_child_that_is_not_released_never_runs() {
    let place = tempfile::tempdir().unwrap();
    let mark = place.path().join("mark");
    let null = null().unwrap();
    let touch = plan(&["touch", mark.to_str().unwrap()], &[], None);
    let held = spawn(&touch, &[(0, null.as_fd()), (1, null.as_fd()), (2, null.as_fd())]).unwrap();
    let pid = held.pid();
    drop(held);
    assert!(!Path::new(&format!("/proc/{pid}")).exists());
    assert!(!mark.exists());
}

#[test]
fn a_fresh_reader_shares_bytes_but_no_flags() {
    let (reader, writer) = input_pipe().unwrap();
    nix::unistd::write(&writer, b"abc").unwrap();
    let fresh = fresh_reader(reader.as_fd()).unwrap();
    let flags = nix::fcntl::OFlag::O_NONBLOCK;
    nix::fcntl::fcntl(&fresh, nix::fcntl::FcntlArg::F_SETFL(flags)).unwrap();
    assert_eq!(
        nix::fcntl::fcntl(&reader, nix::fcntl::FcntlArg::F_GETFL).unwrap() & libc::O_NONBLOCK,
        0
    );
    assert_eq!(crate::sys::pipe::unread(&reader), 3);
    assert_ne!(fresh.as_raw_fd(), reader.as_raw_fd());
    drop(writer);
    let mut text = String::new();
    fs::File::from(fresh).read_to_string(&mut text).unwrap();
    assert_eq!((text.as_str(), crate::sys::pipe::unread(&reader)), ("abc", 0));
    // Without a writer too it opens at once.
    fresh_reader(reader.as_fd()).unwrap();
}

#[test]
fn names_of_signals() {
    assert_eq!(signal_name(15), "SIGTERM");
    assert_eq!(signal_name(libc::SIGRTMIN()), "SIGRTMIN");
    assert_eq!(
        signal_name(libc::SIGRTMAX()),
        format!("SIGRTMIN+{}", libc::SIGRTMAX() - libc::SIGRTMIN())
    );
    assert_eq!(signal_name(99), "signal 99");
}
