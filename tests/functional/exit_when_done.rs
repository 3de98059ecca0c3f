//! `--exit-when-done`: a config as a shell pipeline.

use std::path::Path;
use std::process::Command;

use crate::support::{Background, Daemon, FifoReader, FifoWriter, output_of, require_tool, stories};

stories!(
    tar_gzip_sha256sum_as_the_shell_has_it,
    random_bytes_through_fifos,
    a_process_that_fails_is_exit_1,
    a_program_that_is_missing_is_exit_1,
    a_signal_in_success_exit_is_exit_0,
    a_lost_byte_is_exit_1,
    nothing_to_do_is_done,
    what_can_never_end_is_warned_of,
    a_signal_stops_it_all_the_same,
);

/// A directory that every Debian has, and that is worth compressing.
fn some_tree() -> &'static str {
    let trees = ["/usr/include", "/usr/share/perl5", "/usr/share/doc", "/etc"];
    trees
        .into_iter()
        .find(|tree| Path::new(tree).is_dir())
        .expect("a directory to pack")
}

/// The shell's own checksum, and exit 0.
fn tar_gzip_sha256sum_as_the_shell_has_it() {
    if !["tar", "gzip", "sha256sum"].into_iter().all(require_tool) {
        return;
    }
    let tree = some_tree();
    let pipeline = format!("tar -cf - -C {tree} . 2>/dev/null | gzip -n1 | sha256sum");
    let expected = output_of(Command::new("sh").args(["-c", &pipeline]))
        .expect_code(0)
        .stdout;
    let config = r#"
        [process.tar]
        command = ["tar", "-cf", "-", "-C", "TREE", "."]
        restart = "never"

        [process.gzip]
        command = ["gzip", "-n1"]
        restart = "never"

        [process.sha256sum]
        command = ["sha256sum"]
        restart = "never"

        [route.tarball]
        from = "process:tar.stdout"
        to = "process:gzip.stdin"

        [route.packed]
        from = "process:gzip.stdout"
        to = "process:sha256sum.stdin"

        [route.sum]
        from = "process:sha256sum.stdout"
        to = "file:$DIR/sum"
        "#;
    let daemon = Daemon::config(&config.replace("TREE", tree))
        .argument("--exit-when-done")
        .launch();
    let sum = daemon.file("sum");
    daemon.expect_end_then(0, || {
        assert_eq!(std::fs::read_to_string(&sum).expect("the checksum"), expected);
    });
}

/// /dev/urandom through a FIFO, a process and another FIFO.
fn random_bytes_through_fifos() {
    const LENGTH: u64 = 64 * 1024 * 1024;
    let config = r#"
        [process.cat]
        command = ["cat"]
        restart = "never"

        [route.a]
        from = { fifo = "in", on-eof = "close" }
        to = "process:cat.stdin"

        [route.b]
        from = "process:cat.stdout"
        to = "fifo:out"
        "#;
    let daemon = Daemon::config(config).argument("--exit-when-done").launch();
    let path = daemon.fifo("in");
    let feeder = Background::run(move || {
        use std::hash::{DefaultHasher, Hasher};
        use std::io::Read;
        let mut random = std::fs::File::open("/dev/urandom").expect("/dev/urandom");
        let mut writer = FifoWriter::open(path);
        let mut hasher = DefaultHasher::new();
        let mut piece = vec![0; 1024 * 1024];
        while writer.written() < LENGTH {
            random.read_exact(&mut piece).expect("random bytes");
            hasher.write(&piece);
            writer.write_all(&piece);
        }
        hasher.finish()
    });
    let mut reader = FifoReader::open(daemon.fifo("out"));
    let received = {
        use std::hash::{DefaultHasher, Hasher};
        let mut hasher = DefaultHasher::new();
        for _ in 0..LENGTH / (1024 * 1024) {
            hasher.write(&reader.read_exact(1024 * 1024));
        }
        hasher.finish()
    };
    assert_eq!(reader.read_to_end(), b"");
    assert!(feeder.done() == received, "the checksums differ");
    daemon.expect_end(0);
}

fn alone(process: &str) -> Daemon {
    let config = format!("[process.p]\n{process}\nrestart = \"never\"\n");
    Daemon::config(&config).argument("--exit-when-done").launch()
}

fn a_process_that_fails_is_exit_1() {
    alone("command = [$PEER, \"exit 3\"]").expect_end(1);
    alone("command = [$PEER, \"die SIGKILL\"]").expect_end(1);
    alone("command = [$PEER, \"exit 3\"]\nsuccess-exit = [0, 3]").expect_end(0);
}

fn a_program_that_is_missing_is_exit_1() {
    let log = alone("command = [\"$DIR/nowhere\"]").expect_end(1);
    assert!(log.contains("nowhere"), "{log}");
}

fn a_signal_in_success_exit_is_exit_0() {
    alone("command = [$PEER, \"die SIGKILL\"]\nsuccess-exit = [\"SIGKILL\"]").expect_end(0);
}

/// The consumer leaves before it has read all: what the daemon had accepted for it is lost, and that is no success.
fn a_lost_byte_is_exit_1() {
    let config = r#"
        [process.producer]
        command = [$PEER, "write 3000000"]
        restart = "never"
        success-exit = [0, 32, "SIGPIPE"]

        [process.consumer]
        command = [$PEER, "read 1000"]
        restart = "never"

        [route.a]
        from = "process:producer.stdout"
        to = "process:consumer.stdin"
        path = "copy"
        "#;
    Daemon::config(config)
        .argument("--exit-when-done")
        .launch()
        .expect_end(1);
}

fn nothing_to_do_is_done() {
    Daemon::config("").argument("--exit-when-done").launch().expect_end(0);
    alone("command = [\"true\"]").expect_end(0);
}

/// A `reopen` source and a producer that is always restarted have no end.
fn what_can_never_end_is_warned_of() {
    let config = r#"
        [process.for-ever]
        command = [$PEER, "hold"]

        [route.a]
        from = "fifo:in"
        to = "null"
        "#;
    let daemon = Daemon::config(config).argument("--exit-when-done").start();
    daemon.wait_for_log("never end");
    let log = daemon.log();
    let warned = |name: &str| {
        log.lines()
            .any(|line| line.contains("never end") && line.contains(name))
    };
    assert!(warned("for-ever") && warned("/in"), "{log}");
}

fn a_signal_stops_it_all_the_same() {
    let daemon = Daemon::config("[process.p]\ncommand = [$PEER, \"hold\"]\n")
        .argument("--exit-when-done")
        .start();
    daemon.wait_for("process.p", "ready");
    daemon.finish();
}
