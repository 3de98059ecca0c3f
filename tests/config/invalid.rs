use std::fs;
use std::path::Path;

use super::{check, route, told};

/// Each file of `invalid/` ends with what is said of it, in order: `#! LINE:COL a part of the message`.
#[test]
fn every_mistake_is_told_once_and_at_its_place() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config/invalid");
    let mut files: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(files.len() >= 8, "{files:?}");
    for path in files {
        let text = fs::read_to_string(&path).unwrap();
        let expected: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("#! ")).collect();
        let told = told(&text);
        let shown = format!("{}:\n{}", path.display(), told.join("\n"));
        assert_eq!(told.len(), expected.len(), "{shown}");
        for (told, expected) in told.iter().zip(expected) {
            let (place, part) = expected.split_once(' ').unwrap();
            assert!(told.starts_with(&format!("{place} ")), "expected {expected}\n{shown}");
            assert!(told.contains(part), "expected {expected}\n{shown}");
        }
    }
}

#[test]
fn splice_is_refused_where_it_cannot_be() {
    for (from, to, reason) in [
        ("[\"fifo:a\", \"fifo:b\"]", "\"fifo:c\"", "several sources"),
        ("\"fifo:a\"", "\"file:/x\"", "file:/x is no pipe"),
        ("\"fifo:a\"", "\"null\"", "null is no pipe"),
    ] {
        let told = told(&format!("[route.r]\nfrom = {from}\nto = {to}\npath = \"splice\"\n"));
        assert!(
            told.len() == 1 && told[0].starts_with("4:8") && told[0].contains(reason),
            "{told:?}"
        );
    }
    assert!(told(&route("path = \"splice\"")).is_empty());
    for (count, refused) in [(1, false), (2, true)] {
        let told = told(&format!(
            "[route.r]\nfrom = \"process:w.stdout\"\nto = \"fifo:a\"\npath = \"splice\"\n\
             [process.w]\ncommand = [\"cat\"]\ninstances = {count}\n"
        ));
        assert_eq!(
            told.iter().any(|told| told.contains("several sources")),
            refused,
            "{told:?}"
        );
    }
}

#[test]
fn a_problem_looks_like_this() {
    let text = "# ü\n[process.a]\n\tenvironment = { \"ä\" = 1 }\ncommand = [\"cat\"]\n";
    let rendered = check(&[("/etc/sluiced/a.toml", text)]).unwrap_err().render(false);
    let lines: Vec<&str> = rendered.lines().collect();
    assert_eq!(lines[0], "error: `ä`: invalid type: integer `1`, expected a text");
    assert_eq!(lines[1], " --> /etc/sluiced/a.toml:3:24");
    assert!(
        lines[3].starts_with("3 | ") && lines[3].ends_with("environment = { \"ä\" = 1 }"),
        "{rendered}"
    );
    assert_eq!(
        lines[4].chars().position(|c| c == '^'),
        lines[3].chars().position(|c| c == '1'),
        "{rendered}"
    );
    assert!(lines[6].starts_with("  = help: "), "{rendered}");
    assert!(!rendered.contains('\u{1b}'), "{rendered}");
    assert!(check(&[("a", text)]).unwrap_err().render(true).contains('\u{1b}'));
}

#[test]
fn a_problem_is_json_for_programs() {
    let diagnostics = check(&[("a.toml", "[daemon]\nlog-level = \"inof\"\n")]).unwrap_err();
    let json = serde_json::to_value(&diagnostics).unwrap();
    let help = "did you mean \"info\"? There are \"error\", \"warn\", \"info\", \"debug\", \"trace\"";
    let expected = serde_json::json!([{
        "file": "a.toml", "line": 2, "column": 13,
        "message": "`log-level`: \"inof\" is not known here", "help": help,
    }]);
    assert_eq!(json, expected);
}

#[test]
fn control_characters_of_a_config_do_not_reach_the_terminal() {
    let text = "[daemon]\nlog-level = \"\\u001b[31m\" # \u{7f}\n'\u{9b}31m' = 1\n";
    let rendered = check(&[("a\u{1b}[31m\n.toml", text)]).unwrap_err().render(false);
    assert!(!rendered.chars().any(|c| c.is_control() && c != '\n'), "{rendered:?}");
}
