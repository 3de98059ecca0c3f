//! FIFOs as endpoints: what they may be, how they are opened, what an end of file means.

use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;

use crate::support::{Builder, Daemon, FifoReader, FifoWriter, Taken, make_fifo, stories, until};

stories!(
    a_fifo_is_made_with_its_mode,
    an_existing_fifo_is_used_as_it_is,
    a_file_is_refused_and_kept,
    a_directory_is_refused_and_kept,
    a_symlink_is_refused_and_kept,
    a_socket_is_refused_and_kept,
    reopen_shows_no_end_between_writers,
    close_ends_after_the_first_writer,
    hold_has_no_end,
    an_overlapping_writer_makes_no_end,
    a_blocking_open_for_reading_returns,
    blocking_shell_tools_at_both_ends,
);

/// POSIX mkfifo(1): `mode` regardless of the umask.
fn a_fifo_is_made_with_its_mode() {
    let builder = Daemon::config(
        r#"
        [route.a]
        from = { fifo = "in", mode = "0622" }
        to = "fifo:out"
        "#,
    );
    let daemon = builder
        .wrapped_in(&["sh", "-c", "umask 077; exec \"$0\" \"$@\""])
        .start();
    let mode = |name: &str| {
        std::fs::metadata(daemon.fifo(name))
            .expect("a FIFO")
            .permissions()
            .mode()
            & 0o7777
    };
    FifoWriter::open(daemon.fifo("in"));
    FifoReader::open(daemon.fifo("out"));
    assert_eq!((mode("in"), mode("out")), (0o622, 0o600));
}

/// POSIX mkfifo: one that is there is used, its mode is nobody's business.
fn an_existing_fifo_is_used_as_it_is() {
    let builder = Daemon::config("[route.a]\nfrom = { fifo = \"in\", create = false }\nto = \"fifo:out\"\n");
    let path = builder.place().fifo("in");
    make_fifo(&path);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).expect("chmod");
    let daemon = builder.start();
    let mut reader = FifoReader::open(daemon.fifo("out"));
    FifoWriter::open(&path).write_all(b"through");
    assert_eq!(reader.read_exact(7), b"through");
    assert_eq!(
        std::fs::metadata(&path).expect("the FIFO").permissions().mode() & 0o7777,
        0o640
    );
}

const WRONG_KIND: &str = "
    [route.wrong]
    from = \"fifo:wrong\"
    to = \"null\"

    [route.right]
    from = \"fifo:in\"
    to = \"fifo:out\"
    ";

/// CPython test_asyncio (connect_read_pipe on a file: ValueError) and uvloop: a clear error that names the path, the
/// thing itself untouched, and no other route the worse for it.
fn refused(make: impl Fn(&Path)) -> (Daemon, std::path::PathBuf) {
    let builder: Builder = Daemon::config(WRONG_KIND);
    let path = builder.place().fifo("wrong");
    make(&path);
    let daemon = builder.start();
    let route = daemon.wait_until("route.wrong", "failed", |route| route.source(0).state() == "failed");
    assert_eq!(route.source(0).int("bytes"), 0);
    // The log is written behind the daemon's back: it comes a moment later.
    let named = || {
        let names = |line: &str| line.contains(&path.display().to_string());
        let says = |line: &str| line.contains("not a FIFO") || line.contains("symlink");
        daemon.log().lines().any(|line| names(line) && says(line)).then_some(())
    };
    until(named, || {
        let log = daemon.log();
        format!("no line of the log names the path and says that it is not a FIFO:\n{log}")
    });
    let mut reader = FifoReader::open(daemon.fifo("out"));
    FifoWriter::open(daemon.fifo("in")).write_all(b"ok");
    assert_eq!(reader.read_exact(2), b"ok");
    (daemon, path)
}

fn removed_then_finished(daemon: Daemon, path: &Path) {
    // It is not the daemon's, and the check of the runtime directory would take it for that.
    let removed = if path.is_dir() {
        std::fs::remove_dir(path)
    } else {
        std::fs::remove_file(path)
    };
    removed.expect("what the story has put there");
    daemon.finish();
}

fn a_file_is_refused_and_kept() {
    let (daemon, path) = refused(|path| std::fs::write(path, "precious").expect("a file"));
    assert_eq!(std::fs::read_to_string(&path).expect("the file"), "precious");
    removed_then_finished(daemon, &path);
}

fn a_directory_is_refused_and_kept() {
    let (daemon, path) = refused(|path| std::fs::create_dir(path).expect("a directory"));
    assert!(path.is_dir());
    removed_then_finished(daemon, &path);
}

fn a_symlink_is_refused_and_kept() {
    let (daemon, path) = refused(|path| {
        make_fifo(path.with_file_name("elsewhere"));
        symlink("elsewhere", path).expect("a symlink");
    });
    assert!(path.is_symlink());
    std::fs::remove_file(&path).expect("the symlink");
    daemon.finish();
}

fn a_socket_is_refused_and_kept() {
    let (daemon, path) = refused(|path| drop(UnixListener::bind(path).expect("a socket")));
    assert!(std::fs::metadata(&path).expect("the socket").file_type().is_socket());
    removed_then_finished(daemon, &path);
}

/// Shell loops over `mkfifo`: writers open, write, close in turn, and the reader sees one stream.
fn reopen_shows_no_end_between_writers() {
    let daemon = Daemon::start("[route.a]\nfrom = \"fifo:in\"\nto = \"fifo:out\"\n");
    let mut reader = FifoReader::open(daemon.fifo("out"));
    for word in ["one", "two", "three"] {
        FifoWriter::open(daemon.fifo("in")).write_all(word.as_bytes());
        assert_eq!(reader.read_exact(word.len()), word.as_bytes());
    }
    assert_eq!(reader.try_read(1), Taken::Nothing);
    assert_ne!(daemon.route("a").state(), "closed");
}

/// asyncio's read pipe: the first EOF is the end; a later writer finds nobody.
fn close_ends_after_the_first_writer() {
    let daemon = Daemon::start("[route.a]\nfrom = { fifo = \"in\", on-eof = \"close\" }\nto = \"fifo:out\"\n");
    let mut reader = FifoReader::open(daemon.fifo("out"));
    FifoWriter::open(daemon.fifo("in")).write_all(b"one");
    assert_eq!(reader.read_to_end(), b"one");
    let route = daemon.wait_for("route.a", "closed");
    assert!(!route.source(0).flag("isReading"));
}

/// Shell `exec 3<>fifo`: a keeper, so that there is no end at all.
fn hold_has_no_end() {
    let daemon = Daemon::start("[route.a]\nfrom = { fifo = \"in\", on-eof = \"hold\" }\nto = \"fifo:out\"\n");
    let mut reader = FifoReader::open(daemon.fifo("out"));
    for word in ["one", "two", "three"] {
        FifoWriter::open(daemon.fifo("in")).write_all(word.as_bytes());
        assert_eq!(reader.read_exact(word.len()), word.as_bytes());
    }
    let source = daemon.route("a").source(0);
    assert_eq!(source.int("opens"), 1, "{source}");
    assert!(!source.flag("peerHungUp"), "{source}");
    assert_eq!(reader.try_read(1), Taken::Nothing);
}

/// pipe(7): end of file comes when the *last* writer has gone.
fn an_overlapping_writer_makes_no_end() {
    let daemon = Daemon::start("[route.a]\nfrom = { fifo = \"in\", on-eof = \"close\" }\nto = \"fifo:out\"\n");
    let mut reader = FifoReader::open(daemon.fifo("out"));
    let mut first = FifoWriter::open(daemon.fifo("in"));
    let mut second = FifoWriter::open(daemon.fifo("in"));
    first.write_all(b"first ");
    drop(first);
    assert_eq!(reader.read_exact(6), b"first ");
    second.write_all(b"second");
    assert_eq!(reader.read_exact(6), b"second");
    drop(second);
    assert_eq!(reader.read_to_end(), b"");
    daemon.wait_for("route.a", "closed");
}

/// fifo(7): open for reading blocks until there is a writer; the daemon is one although nothing flows yet.
fn a_blocking_open_for_reading_returns() {
    let daemon = Daemon::start("[route.a]\nfrom = \"fifo:in\"\nto = \"fifo:out\"\n");
    for round in 0..5_u8 {
        let mut reader = FifoReader::open_blocking(daemon.fifo("out"));
        FifoWriter::open(daemon.fifo("in")).write_all(&[round]);
        assert_eq!(reader.read_exact(1), [round]);
    }
}

/// What people do: `cat > in`, `cat out`, both blocking.
fn blocking_shell_tools_at_both_ends() {
    let daemon = Daemon::start("[route.a]\nfrom = { fifo = \"in\", on-eof = \"close\" }\nto = \"fifo:out\"\n");
    FifoReader::open(daemon.fifo("out"));
    let script = "head -c 3000000 /dev/zero > \"$0/in\" & cat \"$0/out\" | wc -c; wait";
    let mut shell = std::process::Command::new("sh");
    let finished = crate::support::output_of(shell.args(["-c", script]).arg(daemon.place().runtime_directory()));
    assert_eq!(finished.expect_code(0).stdout.trim(), "3000000");
    assert_eq!(daemon.wait_for("route.a", "closed").int("acceptedBytes"), 3_000_000);
}
