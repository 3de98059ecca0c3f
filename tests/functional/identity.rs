//! As whom a process runs, and what it may use: user, groups, umask, limits, nice, privileges.

use std::os::unix::fs::PermissionsExt;

use nix::unistd::User;
use serde_json::json;

use crate::support::{Builder, Daemon, FifoWriter, Shown, make_fifo, require_root, require_tool, stories, until};

stories!(
    a_process_is_its_user,
    groups_are_those_of_the_user,
    a_user_has_a_login,
    pipes_belong_to_the_user,
    what_it_may_use,
    each_refusal_has_its_own_words,
    a_user_that_is_missing_is_exit_1,
    a_daemon_that_may_not_says_so,
    a_user_database_that_hangs_stalls_nobody,
    a_process_without_autostart_waits,
    a_signal_that_is_success_is_not_restarted,
);

/// `/proc/self/status`, as a shell shows it.
const STATUS: &str = "grep -E '^(Uid|Gid|Groups|CapPrm|CapEff|CapAmb|NoNewPrivs):' /proc/self/status";

/// A process `p` that runs a shell script once, with its output in `$DIR/out`.
fn config(script: &str, settings: &str) -> String {
    format!(
        r#"
        [process.p]
        command = ["/bin/sh", "-c", {script:?}]
        restart = "never"
        {settings}

        [route.o]
        from = "process:p.stdout"
        to = "file:$DIR/out"
        "#
    )
}

fn told_of(builder: Builder) -> String {
    let daemon = builder.start();
    let out = daemon.file("out");
    daemon.wait_for("process.p", "finished");
    daemon.wait_for("route.o", "closed");
    assert_eq!(daemon.process("p").object("lastExit").int("code"), 0);
    let told = std::fs::read_to_string(out).expect("what it told");
    daemon.finish();
    told
}

/// Has files of the story stand in the place of others, for the daemon and its children alone (mount_namespaces(7)).
fn with_databases(builder: Builder, files: &[(&str, &str)]) -> Builder {
    let mounts = files.iter().map(|(file, place)| {
        let file = builder.place().file(file);
        format!("mount --bind '{}' {place} && ", file.display())
    });
    let script = format!("{}exec \"$@\"", mounts.collect::<String>());
    builder.wrapped_in(&["unshare", "--mount", "sh", "-c", &script, "sh"])
}

fn told(script: &str, settings: &str) -> String {
    told_of(Daemon::config(&config(script, settings)))
}

/// The words behind `NAME:` in [`STATUS`].
fn words(told: &str, name: &str) -> Vec<String> {
    let line = told.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let line = line.unwrap_or_else(|| panic!("no {name} in {told}"));
    line.split_whitespace().map(str::to_owned).collect()
}

/// A user that every Linux has, and that is neither root nor the numbers' neighbour of it by accident.
fn nobody() -> User {
    User::from_name("nobody").expect("the user database").expect("nobody")
}

/// The text of a process that could not be started, which is no exit.
fn refusal(daemon: &Daemon, name: &str, state: &str) -> String {
    let process = daemon.wait_for(&format!("process.{name}"), state);
    let exit: Shown = process.object("lastExit");
    assert!(
        exit.maybe_int("code").is_none() && exit.text_or_empty("signal").is_empty(),
        "{exit}"
    );
    exit.text("text").to_owned()
}

/// daemontools' setuidgid and systemd's User=: real, effective and saved, no group of the daemon's, no capability.
fn a_process_is_its_user() {
    if !require_root() || !require_tool("setpriv") {
        return;
    }
    let nobody = nobody();
    // The daemon has groups that its children are not to have.
    let builder = Daemon::config(&config(STATUS, "user = \"nobody\""));
    let told = told_of(builder.wrapped_in(&["setpriv", "--groups", "0,4,6", "--"]));
    assert_eq!(words(&told, "Uid"), vec![nobody.uid.to_string(); 4], "{told}");
    assert_eq!(words(&told, "Gid"), vec![nobody.gid.to_string(); 4], "{told}");
    let groups = words(&told, "Groups");
    for of_daemon in ["0", "4", "6"] {
        assert!(!groups.iter().any(|group| group == of_daemon), "{told}");
    }
    for set in ["CapPrm", "CapEff", "CapAmb"] {
        assert_eq!(words(&told, set), ["0000000000000000"], "{told}");
    }
    // By number, with another group, and as somebody whom no database knows.
    let by_number = self::told("id -u; id -g", &format!("user = \"{}\"\ngroup = \"4\"", nobody.uid));
    assert_eq!(by_number, format!("{}\n4\n", nobody.uid));
    let unknown = self::told(STATUS, "user = \"4123456\"\ngroup = \"4123457\"");
    assert_eq!(words(&unknown, "Uid"), ["4123456"; 4], "{unknown}");
    assert_eq!(words(&unknown, "Groups"), ["4123457"], "{unknown}");
    // A group alone leaves the user.
    assert_eq!(self::told("id -u; id -g", "group = \"4\""), "0\n4\n");
}

/// initgroups(3): what the group database says of the user. The database is the story's own, in a mount namespace.
fn groups_are_those_of_the_user() {
    if !require_root() || !require_tool("unshare") {
        return;
    }
    let builder = Daemon::config(&config(STATUS, "user = \"somebody\""))
        .with_file("passwd", "root:x:0:0::/root:/bin/sh\nsomebody:x:7001:7002::/:/bin/sh\n")
        .with_file(
            "group",
            "root:x:0:\nown:x:7002:\none:x:7003:somebody\nother:x:7004:root\ntwo:x:7005:root,somebody\n",
        );
    let told = told_of(with_databases(
        builder,
        &[("passwd", "/etc/passwd"), ("group", "/etc/group")],
    ));
    let mut groups = words(&told, "Groups");
    groups.sort();
    assert_eq!(
        (groups, words(&told, "Gid")[0].as_str()),
        (["7002", "7003", "7005"].map(str::to_owned).to_vec(), "7002")
    );
}

/// systemd.exec(5), HOME, USER, LOGNAME and SHELL; the table `environment` comes after them.
fn a_user_has_a_login() {
    if !require_root() {
        return;
    }
    let nobody = nobody();
    let script = "echo $HOME $USER $LOGNAME [$SHELL]";
    let told_with = |settings: &str| {
        let builder = Daemon::config(&config(script, &format!("user = \"nobody\"\n{settings}")));
        told_of(
            builder
                .environment("HOME", "/the/daemons")
                .environment("SHELL", "/the/daemons"),
        )
    };
    let home = nobody.dir.display();
    let expected = |home: &str| format!("{home} nobody nobody []\n");
    // Its shell is nologin, which is no shell to name.
    assert_eq!(told_with(""), expected(&home.to_string()));
    assert_eq!(told_with("clear-environment = true"), expected(&home.to_string()));
    assert_eq!(told_with("environment = { HOME = \"/given\" }"), expected("/given"));
}

/// Opening /dev/stdin or /proc/self/fd/1 asks for the pipe's owner: so do `sh -c '… > /dev/stderr'`, and many more. Also
/// the pipe that outlives its readers.
fn pipes_belong_to_the_user() {
    if !require_root() {
        return;
    }
    let script = "read -r x < /dev/stdin; echo $x > /proc/self/fd/1; echo e$x > /dev/stderr; echo 3$x > /dev/fd/3";
    let daemon = Daemon::start(&format!(
        r#"
        [process.p]
        command = ["/bin/sh", "-c", {script:?}]
        user = "nobody"
        restart-delay = "1ms"
        start-limit = {{ burst = 0 }}

        [route.i]
        from = {{ fifo = "in", on-eof = "close" }}
        to = "process:p.stdin"

        [route.o]
        from = ["process:p.stdout", "process:p.fd3"]
        to = "file:$DIR/out"
        "#
    ));
    FifoWriter::open(daemon.fifo("in")).write_all(b"1\n2\n3\n");
    daemon.wait_for("process.p", "finished");
    daemon.wait_for("route.o", "closed");
    let out = std::fs::read_to_string(daemon.file("out")).expect("the output");
    let mut lines: Vec<&str> = out.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["1", "2", "3", "31", "32", "33"]);
    for line in ["e1", "e2", "e3"] {
        daemon.wait_for_log(line);
    }
    // What was not a pipe has not been given away.
    let null = std::fs::metadata("/dev/null").expect("/dev/null");
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&null), 0);
}

/// setrlimit(2), umask(2), nice(2), prctl(2).
fn what_it_may_use() {
    let script = "ulimit -Sn; ulimit -Hn; ulimit -c; umask; grep NoNewPrivs /proc/self/status; nice; touch made; \
                  stat -c %a made";
    let settings = "working-directory = \"$DIR\"\numask = \"0027\"\nno-new-privileges = true\nnice = 19\n\
                    limits = { nofile = \"60:70\", core = 0 }";
    assert_eq!(told(script, settings), "60\n70\n0\n0027\nNoNewPrivs:\t1\n19\n640\n");
    let of_daemon = std::fs::read_to_string("/proc/self/status").expect("status");
    let mask = words(&of_daemon, "Umask").remove(0);
    let plain = told("umask; grep NoNewPrivs /proc/self/status", "");
    assert_eq!(plain, format!("{mask}\nNoNewPrivs:\t0\n"));
}

/// Each thing that can go wrong before the program runs is told as what it is, at once and for good.
fn each_refusal_has_its_own_words() {
    if !require_root() {
        return;
    }
    let builder = Daemon::config(
        r#"
        [process.no-user]
        command = ["true"]
        user = "no-such-user"

        [process.no-group]
        command = ["true"]
        user = "nobody"
        group = "no-such-group"

        [process.no-primary-group]
        command = ["true"]
        user = "4123456"

        [process.limit]
        command = ["true"]
        limits = { nofile = "infinity" }

        [process.directory]
        command = ["true"]
        user = "nobody"
        working-directory = "$DIR/closed"

        [process.program]
        command = ["$DIR/closed/program"]
        user = "nobody"

        [process.missing]
        command = ["$DIR/nowhere"]
        user = "nobody"

        [process.fine]
        command = ["sleep", "1000"]
        user = "nobody"
        "#,
    );
    let home = builder.place().home().to_owned();
    let closed = builder.place().file("closed");
    std::fs::create_dir(&closed).expect("a directory");
    std::fs::copy("/bin/true", closed.join("program")).expect("a program");
    let mode = |path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("a mode");
    mode(&home, 0o755);
    mode(&closed, 0o700);
    let daemon = builder.start();
    daemon.wait_for("process.fine", "ready");
    for (name, parts) in [
        ("no-user", ["there is no user", "no-such-user"]),
        ("no-group", ["there is no group", "no-such-group"]),
        ("no-primary-group", ["4123456", "give `group` as well"]),
        ("limit", ["limit nofile to infinity", "fs.nr_open"]),
        ("directory", ["cannot enter working-directory", "as user \"nobody\""]),
        ("program", ["permission denied", "as user \"nobody\""]),
        ("missing", ["no such file", "nowhere"]),
    ] {
        let text = refusal(&daemon, name, "failed");
        for part in parts {
            assert!(text.contains(part), "{name}: {text:?} has no {part:?}");
        }
        daemon.wait_for_log(parts[1]);
    }
}

/// A script that waits for the end learns it from the exit code.
fn a_user_that_is_missing_is_exit_1() {
    let config = "[process.p]\ncommand = [\"true\"]\nuser = \"no-such-user\"\nrestart = \"never\"\n";
    let daemon = Daemon::config(config).argument("--exit-when-done").launch();
    let log = daemon.expect_end(1);
    assert!(log.contains("there is no user \"no-such-user\""), "{log}");
}

/// capabilities(7): a root that lacks them is told what it lacks.
fn a_daemon_that_may_not_says_so() {
    if !require_root() || !require_tool("setpriv") {
        return;
    }
    let config = r#"
        [process.p]
        command = ["true"]
        user = "nobody"

        [process.nicer]
        command = ["true"]
        nice = -20

        [process.own]
        command = ["sleep", "1000"]
        user = "root"
        "#;
    let told = |without: &str| {
        let bounding = format!("--bounding-set={without}");
        let wrapper = ["setpriv", "--clear-groups", &bounding, "--"];
        let daemon = Daemon::config(config).wrapped_in(&wrapper).start();
        // What it is already it may become.
        daemon.wait_for("process.own", "ready");
        (refusal(&daemon, "p", "failed"), refusal(&daemon, "nicer", "failed"))
    };
    let (groups, nice) = told("-setgid,-sys_nice");
    assert!(
        groups.contains("supplementary groups of user \"nobody\"") && groups.contains("CAP_SETGID"),
        "{groups}"
    );
    assert!(
        nice.contains("nice value to -20") && nice.contains("only root"),
        "{nice}"
    );
    let (user, _) = told("-setuid,-sys_nice");
    assert!(
        user.contains("cannot become user \"nobody\"") && user.contains("CAP_SETUID"),
        "{user}"
    );
}

/// getpwnam(3) may ask a network. Here the database is a FIFO, which nobody can open before somebody writes it.
fn a_user_database_that_hangs_stalls_nobody() {
    if !require_root() || !require_tool("unshare") {
        return;
    }
    let builder = Daemon::config(
        r#"
        [process.p]
        command = ["sleep", "1000"]
        user = "somebody"

        [process.other]
        command = ["sleep", "1000"]
        "#,
    );
    let passwd = builder.place().file("passwd");
    make_fifo(&passwd);
    let daemon = with_databases(builder, &[("passwd", "/etc/passwd")]).start();
    daemon.wait_for("process.other", "ready");
    let process = daemon.wait_for("process.p", "starting");
    assert!(process.maybe_int("pid").is_none(), "{process}");
    // The answer comes late, and is that there is nobody.
    drop(FifoWriter::open(&passwd));
    let text = refusal(&daemon, "p", "failed");
    assert!(text.contains("there is no user \"somebody\""), "{text}");
    // It is asked anew for each life. Stopped, the process does not wait for the answer.
    let start = json!({ "name": "p", "wait": false });
    assert!(daemon.changes("StartProcess", start.clone()));
    daemon.wait_for("process.p", "starting");
    assert!(daemon.changes("StopProcess", json!({ "name": "p" })));
    let text = refusal(&daemon, "p", "stopped");
    assert!(text.contains("being looked up"), "{text}");
    assert!(daemon.changes("StartProcess", start));
    daemon.wait_for("process.p", "starting");
    // Nor does the daemon when it stops.
    daemon.finish();
}

/// supervisord's autostart=false: there, wired, and down until somebody starts it.
fn a_process_without_autostart_waits() {
    let daemon = Daemon::start(
        r#"
        [process.p]
        command = [$PEER, "cat"]
        autostart = false

        [route.i]
        from = "fifo:in"
        to = "process:p.stdin"

        [route.o]
        from = "process:p.stdout"
        to = "file:$DIR/out"
        "#,
    );
    let process = daemon.wait_for("process.p", "stopped");
    assert_eq!((process.text("wanted"), process.int("restarts")), ("down", 0));
    assert!(
        process.maybe_int("pid").is_none() && process.field("lastExit").is_null(),
        "{process}"
    );
    let mut writer = FifoWriter::open(daemon.fifo("in"));
    assert!(daemon.changes("StartProcess", json!({ "name": "p" })));
    writer.write_all(b"heard");
    let out = daemon.file("out");
    until(
        || (std::fs::read(&out).ok()? == b"heard").then_some(()),
        || "nothing came through".to_owned(),
    );
}

/// systemd's SuccessExitStatus= with Restart=on-failure: a signal's name, beside codes; without it the signal is a failure.
fn a_signal_that_is_success_is_not_restarted() {
    let daemon = Daemon::start(
        r#"
        [process.success]
        command = [$PEER, "die SIGTERM"]
        restart = "on-failure"
        success-exit = [3, "SIGTERM"]

        [process.failure]
        command = [$PEER, "die SIGTERM"]
        restart = "on-failure"
        restart-delay = "1ms"
        restart-delay-max = "1ms"

        # 0 is no success where the list has no 0.
        [process.zero]
        command = [$PEER, "exit 0"]
        restart = "on-failure"
        success-exit = [3]
        restart-delay = "1ms"
        restart-delay-max = "1ms"
        "#,
    );
    let success = daemon.wait_for("process.success", "finished");
    assert_eq!(
        (success.int("restarts"), success.object("lastExit").text("signal")),
        (0, "SIGTERM")
    );
    for name in ["failure", "zero"] {
        daemon.wait_until(&format!("process.{name}"), "restarted", |process| {
            process.int("restarts") >= 2
        });
    }
}
