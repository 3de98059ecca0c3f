use std::path::Path;

use super::{EndpointError, Settings, capabilities, identity, split};
use crate::model::EndpointSpec;

fn parse(text: &str) -> Result<EndpointSpec, EndpointError> {
    let (kind, rest) = split(text)?;
    (kind.build)(rest, &Settings::default(), Path::new("/run/s")).map(|written| written.endpoint)
}

#[test]
fn endpoints_are_shown_resolved() {
    for (written, shown) in [
        ("process:a.stdout", "process:a.stdout"),
        ("process:a-b@12.fd9", "process:a-b@12.fd9"),
        ("fifo:in", "fifo:/run/s/in"),
        ("fifo:./x//in", "fifo:/run/s/x/in"),
        ("fifo:/a:b", "fifo:/a:b"),
        ("fifo:/a/../b", "fifo:/a/../b"),
        ("file:/var/log/x", "file:/var/log/x"),
        ("null", "null"),
    ] {
        assert_eq!(parse(written).map(|e| e.to_string()), Ok(shown.to_owned()), "{written}");
    }
}

#[test]
fn what_is_no_endpoint_is_refused_in_words_of_its_own() {
    use EndpointError as E;
    for (written, error) in [
        ("", E::NoKind(String::new())),
        ("stdout", E::NoKind("stdout".into())),
        ("pipe:x", E::UnknownKind("pipe".into())),
        ("process:a", E::NoStream("a".into())),
        ("process:a.stdoot", E::UnknownStream("stdoot".into())),
        ("process:a.fd2", E::UnknownStream("fd2".into())),
        ("process:a.fd10", E::UnknownStream("fd10".into())),
        ("process:A.stdin", E::BadProcess("A".into())),
        ("process:.stdin", E::BadProcess(String::new())),
        ("process:a@0.stdin", E::BadInstance("0".into())),
        ("process:a@+1.stdin", E::BadInstance("+1".into())),
        ("process:a@65536.stdin", E::BadInstance("65536".into())),
        ("fifo:", E::NoPath("fifo")),
        ("fifo:/", E::Directory("/".into(), "FIFO")),
        ("fifo:a/", E::Directory("a/".into(), "FIFO")),
        ("fifo:a/..", E::Directory("a/..".into(), "FIFO")),
        ("fifo:.", E::Directory(".".into(), "FIFO")),
        ("fifo:a\0b", E::Nul("a\0b".into())),
        ("file:x", E::Relative("x".into())),
        ("null:", E::NullTakesNothing),
        ("null:x", E::NullTakesNothing),
    ] {
        assert_eq!(parse(written), Err(error), "{written}");
    }
}

#[test]
fn one_place_has_one_identity() {
    let same = |a: &str, b: &str| identity(&parse(a).unwrap()) == identity(&parse(b).unwrap());
    assert!(same("fifo:x", "fifo:/run/s/x"));
    assert!(same("fifo:/run/s/y/.././x", "fifo:x"));
    assert!(same("fifo:/../a", "fifo:/a"));
    assert!(same("fifo:/a", "file:/a"));
    assert!(!same("fifo:a", "fifo:b"));
    assert!(!same("process:a.stdout", "process:a.stderr"));
    assert_eq!(identity(&EndpointSpec::Null), None);
}

#[test]
fn only_pipes_are_spliceable_and_streams_have_a_direction() {
    let of = |text: &str| {
        let can = capabilities(&parse(text).unwrap());
        (can.source, can.destination, can.spliceable)
    };
    assert_eq!(of("process:a.stdin"), (false, true, true));
    assert_eq!(of("process:a.stdout"), (true, false, true));
    assert_eq!(of("process:a.stderr"), (true, false, true));
    assert_eq!(of("process:a.fd3"), (true, true, true));
    assert_eq!(of("fifo:x"), (true, true, true));
    assert_eq!(of("file:/x"), (false, true, false));
    assert_eq!(of("null"), (false, true, false));
}
