//! What a child is given: descriptors, signals, limits, environment.

use crate::support::{Daemon, stories};

stories!(
    a_child_gets_blocking_pipes_and_nothing_else,
    a_child_starts_with_default_signals_and_its_own_group,
    a_child_knows_its_name_and_has_the_limits_put_back,
    environment_and_working_directory,
);

/// Everything that a shell can say of itself, as one process's output.
fn told(script: &str, settings: &str) -> String {
    let daemon = Daemon::start(&format!(
        r#"
        [process.p]
        command = ["/bin/sh", "-c", {script:?}]
        restart = "never"
        {settings}

        [route.i]
        from = {{ fifo = "in", on-eof = "close" }}
        to = "process:p.stdin"

        [route.o]
        from = "process:p.stdout"
        to = "file:$DIR/out"

        [route.e]
        from = "process:p.stderr"
        to = "null"
        "#
    ));
    let out = daemon.file("out");
    daemon.wait_for("process.p", "finished");
    daemon.wait_for("route.o", "closed");
    let told = std::fs::read_to_string(out).expect("what it told");
    daemon.finish();
    told
}

/// POSIX, and uvloop test_process.py: 0, 1 and 2 are blocking pipes, and there is no other descriptor.
fn a_child_gets_blocking_pipes_and_nothing_else() {
    let told = told(
        "cd /proc/$$/fd; n=0; while [ $n -lt 64 ]; do \
         if [ -e $n ]; then echo $n $(readlink $n) $(grep flags ../fdinfo/$n); fi; n=$((n + 1)); done",
        "",
    );
    let lines: Vec<Vec<&str>> = told.lines().map(|line| line.split_whitespace().collect()).collect();
    let numbers: Vec<&str> = lines.iter().map(|words| words[0]).collect();
    assert_eq!(numbers, ["0", "1", "2"], "{told}");
    for words in lines {
        assert!(words[1].starts_with("pipe:"), "{told}");
        let flags = u32::from_str_radix(words[3], 8).expect("octal flags");
        assert_eq!(flags & nix::libc::O_NONBLOCK.cast_unsigned(), 0, "non-blocking: {told}");
    }
}

/// CPython bpo-1736483 and every supervisor's list: default dispositions, an empty mask, a group of its own.
fn a_child_starts_with_default_signals_and_its_own_group() {
    // cat is a child of the shell's and gets what the shell was given.
    let told = told("cat /proc/self/status; cat /proc/$$/stat; echo $$", "");
    for name in ["SigBlk:", "SigIgn:", "SigCgt:"] {
        let line = told
            .lines()
            .find(|line| line.starts_with(name))
            .expect("a line of status");
        let mask = line.split_whitespace().nth(1).expect("a mask");
        assert!(mask.chars().all(|digit| digit == '0'), "{told}");
    }
    let mut lines = told.lines().skip_while(|line| !line.contains("(sh)"));
    let stat: Vec<&str> = lines.next().expect("stat").split_whitespace().collect();
    assert_eq!(Some(stat[4]), lines.next(), "its group is its own: {told}");
}

/// The soft limit of descriptors that the daemon raises for itself is put back.
fn a_child_knows_its_name_and_has_the_limits_put_back() {
    let told = told("echo $SLUICED_PROCESS; ulimit -Sn; ulimit -Hn", "");
    let (soft, hard) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).expect("a limit");
    let limit = |value: u64| {
        if value == u64::MAX {
            "unlimited".to_owned()
        } else {
            value.to_string()
        }
    };
    assert_eq!(told, format!("p\n{}\n{}\n", limit(soft), limit(hard)));
}

fn environment_and_working_directory() {
    let told = told(
        "echo $A-$HOME; pwd",
        "working-directory = \"/usr\"\nenvironment = { A = \"$x\" }",
    );
    assert_eq!(
        told,
        format!("$x-{}\n/usr\n", std::env::var("HOME").unwrap_or_default())
    );
    let cleared = self::told(
        "echo [$HOME] $A $SLUICED_PROCESS",
        "clear-environment = true\nenvironment = { A = \"1\" }",
    );
    assert_eq!(cleared, "[] 1 p\n");
}
