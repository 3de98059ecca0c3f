//! System calls that answer what they rarely answer, by strace's fault injection. strace -f injects into the children,
//! too: the peers here are FIFO peers, which are not beneath it.

use serde_json::json;

use crate::support::{Daemon, FifoReader, FifoWriter, Pattern, require_tool, stories, until};

stories!(
    splice_that_is_not_there_enosys,
    splice_that_refuses_einval,
    splice_that_is_interrupted_eintr,
    splice_that_says_eagain_now_and_then,
    splice_that_fails_in_the_middle,
    splice_that_says_nothing_came_though_something_stands,
    read_and_write_that_are_interrupted,
    accept_without_descriptors,
);

/// Bulk through one route with a fault injected; whatever the daemon makes of it, the bytes are the same.
fn same_bytes_with(path: &str, expressions: &[&str]) -> Option<String> {
    if !require_tool("strace") {
        return None;
    }
    let config =
        format!("[route.a]\nfrom = {{ fifo = \"in\", on-eof = \"close\" }}\nto = \"fifo:out\"\npath = \"{path}\"\n");
    let daemon = Daemon::config(&config).under_strace(expressions).start();
    let (pattern, length) = (Pattern::new(24), 3 * 1024 * 1024 + 11);
    let reader = FifoReader::to_end_in_background(daemon.fifo("out"), pattern);
    FifoWriter::in_background(daemon.fifo("in"), pattern, length).done();
    assert_eq!(reader.done(), length);
    let route = daemon.wait_for("route.a", "closed");
    assert_eq!(route.source(0).text("closeCause"), "eof");
    assert_eq!(route.destination(0).int("droppedBytes"), 0);
    let shown = route.text("path").to_owned();
    daemon.finish();
    Some(shown)
}

/// Old kernels, seccomp: splice(2) is not there; copy, and for good.
fn splice_that_is_not_there_enosys() {
    let shown = same_bytes_with("auto", &["-e", "trace=splice", "-e", "inject=splice:error=ENOSYS"]);
    assert!(shown.is_none_or(|path| path == "copy"));
}

/// splice(2): EINVAL for descriptors that cannot.
fn splice_that_refuses_einval() {
    let shown = same_bytes_with("auto", &["-e", "trace=splice", "-e", "inject=splice:error=EINVAL"]);
    assert!(shown.is_none_or(|path| path == "copy"));
}

fn splice_that_is_interrupted_eintr() {
    for path in ["auto", "splice"] {
        same_bytes_with(
            path,
            &["-e", "trace=splice", "-e", "inject=splice:error=EINTR:when=1+2"],
        );
    }
}

/// sozu#1323: EAGAIN says neither which end it is of nor that either is not ready.
fn splice_that_says_eagain_now_and_then() {
    for path in ["auto", "splice"] {
        same_bytes_with(
            path,
            &["-e", "trace=splice", "-e", "inject=splice:error=EAGAIN:when=2+3"],
        );
    }
}

/// It works, and then it does not: not a byte twice, not a byte lost at the change.
fn splice_that_fails_in_the_middle() {
    same_bytes_with(
        "auto",
        &["-e", "trace=splice", "-e", "inject=splice:error=EINVAL:when=5+"],
    );
}

fn read_and_write_that_are_interrupted() {
    // Only on the two FIFOs: an interrupted write to an eventfd, say, is nothing that a kernel does.
    let expressions = [
        ["-P", "$DIR/run/in"],
        ["-P", "$DIR/run/out"],
        ["-e", "trace=read,write,readv,writev"],
        ["-e", "inject=read,write,readv,writev:error=EINTR:when=5+7"],
    ];
    same_bytes_with("copy", &expressions.concat());
}

/// accept(2): EMFILE is no reason to end, nor to spin; who comes later is served.
fn accept_without_descriptors() {
    if !require_tool("strace") {
        return;
    }
    let daemon = Daemon::config("[route.a]\nfrom = \"fifo:in\"\nto = \"fifo:out\"\n")
        .under_strace(&[
            "-e",
            "trace=accept4,accept",
            "-e",
            "inject=accept4,accept:error=EMFILE:when=3..6",
        ])
        .start();
    // A client that comes meanwhile is told so, and served when it comes again.
    let mut served = 0;
    let look = || match daemon.call("ListRoutes", json!({ "name": "a" })) {
        Ok(_) => {
            served += 1;
            (served == 10).then_some(())
        }
        Err(error) => {
            assert_eq!(error.name, "io.sluiced.Relay.Busy", "{error:?}");
            None
        }
    };
    until(look, || "ten replies have not come".to_owned());
}

/// An answer of 0 is an end of file only where the pipe says so, too; one that never changes is a refusal, not a reason
/// to ask for ever.
fn splice_that_says_nothing_came_though_something_stands() {
    let shown = same_bytes_with("auto", &["-e", "trace=splice", "-e", "inject=splice:retval=0"]);
    assert!(shown.is_none_or(|path| path == "copy"));
    same_bytes_with(
        "splice",
        &["-e", "trace=splice", "-e", "inject=splice:retval=0:when=3+5"],
    );
}
