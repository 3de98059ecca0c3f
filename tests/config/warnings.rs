use std::fmt::Write as _;

use sluiced::config::{cycles, never_ending, shut_out};

use super::good;

fn graph(edges: &[(&str, &str)]) -> Vec<String> {
    let mut names: Vec<&str> = edges.iter().flat_map(|(from, to)| [*from, *to]).collect();
    names.sort_unstable();
    names.dedup();
    let mut text = String::new();
    for name in &names {
        let _ = write!(text, "[process.{name}]\ncommand = [\"cat\"]\n");
    }
    // A stdout and a stdin are each in one route, so that a node with several edges has them all in one.
    for (index, (from, to)) in edges.iter().enumerate() {
        let stream = if edges[..index].iter().any(|(other, _)| other == from) {
            "stderr"
        } else {
            "stdout"
        };
        let _ = write!(
            text,
            "[route.r{index}]\nfrom = \"process:{from}.{stream}\"\nto = \"process:{to}.stdin\"\n"
        );
    }
    cycles(&good(&text)).iter().map(ToString::to_string).collect()
}

#[test]
fn a_circle_of_processes_is_told_once() {
    assert!(graph(&[("a", "b"), ("b", "c")]).is_empty());
    let one = graph(&[("x", "y"), ("c", "a"), ("a", "b"), ("b", "c"), ("b", "z")]);
    assert_eq!(one.len(), 1, "{one:?}");
    assert!(
        one[0].starts_with("route:r2: ") && one[0].contains("(a -> b -> c -> a)"),
        "{one:?}"
    );
    let itself = graph(&[("a", "a")]);
    assert!(itself.len() == 1 && itself[0].contains("(a -> a)"), "{itself:?}");
    assert_eq!(
        graph(&[("a", "b"), ("b", "a"), ("c", "d"), ("d", "c"), ("b", "e")]).len(),
        2
    );
}

/// unix(7): connect(2) takes permission to write the socket's file, which has one group.
#[test]
fn groups_that_the_mode_keeps_out_are_told() {
    let (adm, users) = ("group = \"adm\"\n", "read-group = \"users\"\n");
    // The default lets them all in. What is said, each as (key, mode to set).
    type Case<'a> = (&'a str, String, u32, &'a [(&'a str, &'a str)]);
    let table: [Case<'_>; 11] = [
        ("", String::new(), 0o600, &[]),
        ("", adm.to_owned(), 0o660, &[]),
        ("", users.to_owned(), 0o660, &[]),
        ("", format!("{adm}{users}"), 0o666, &[]),
        ("", format!("{adm}read-group = \"adm\"\n"), 0o660, &[]),
        ("0600", String::new(), 0o600, &[]),
        ("0600", adm.to_owned(), 0o600, &[("`group`", "0660")]),
        ("0606", users.to_owned(), 0o606, &[("`read-group`", "0660")]),
        ("0660", format!("{adm}{users}"), 0o660, &[("`read-group`", "0666")]),
        (
            "0600",
            format!("{adm}{users}"),
            0o600,
            &[("`group`", "0666"), ("`read-group`", "0666")],
        ),
        ("0777", format!("{adm}{users}"), 0o777, &[]),
    ];
    for (mode, groups, set, expected) in table {
        let mode = if mode.is_empty() {
            String::new()
        } else {
            format!("mode = \"{mode}\"\n")
        };
        let config = good(&format!("[control]\n{mode}{groups}"));
        assert_eq!(config.control.mode, set, "{mode}{groups}");
        let told: Vec<String> = shut_out(&config).iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), expected.len(), "{mode}{groups}{told:?}");
        for (told, (key, wanted)) in told.iter().zip(expected) {
            let told_mode = told.contains(&format!("set mode = \"{wanted}\""));
            assert!(told.starts_with(&format!("daemon: {key} ")) && told_mode, "{told}");
        }
    }
}

#[test]
fn what_never_ends_is_told() {
    let config = good(
        "[process.producer]\ncommand = [\"yes\"]\n\
         [process.once]\ncommand = [\"seq\", \"9\"]\nrestart = \"on-failure\"\n\
         [process.later]\ncommand = [\"yes\"]\nautostart = false\n\
         [process.consumer]\ncommand = [\"cat\"]\n\
         [route.a]\nfrom = [\"process:producer.stdout\", \"fifo:x\", { fifo = \"y\", on-eof = \"hold\" }]\nto = \"process:consumer.stdin\"\n\
         [route.b]\nfrom = { fifo = \"z\", on-eof = \"close\" }\nto = \"null\"\n",
    );
    let told: Vec<String> = never_ending(&config).iter().map(ToString::to_string).collect();
    let subjects: Vec<&str> = told.iter().filter_map(|told| told.split(": ").next()).collect();
    assert_eq!(
        subjects,
        [
            "route:a/fifo:/run/sluiced/x",
            "route:a/fifo:/run/sluiced/y",
            "process:later",
            "process:producer"
        ],
        "{told:?}"
    );
}
