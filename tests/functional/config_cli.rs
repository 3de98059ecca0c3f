//! `sluiced --check`, and the files that it reads.

use serde_json::Value;

use crate::support::{Daemon, Place, sluiced, stories};

stories!(
    eight_mistakes_are_eight_diagnostics,
    a_good_config_is_counted,
    a_check_touches_nothing,
    diagnostics_as_json,
    a_missing_config_is_78,
    usage_errors_are_2,
    the_version_is_told,
    a_bad_config_does_not_start,
    a_directory_is_its_toml_files_in_name_order,
    the_same_table_in_two_files_names_both,
    an_endpoint_twice_names_both_places,
    what_is_not_built_yet_is_refused,
    a_cycle_is_warned_of,
);

fn check(text: &str) -> (Place, crate::support::Finished) {
    let place = Place::new();
    std::fs::write(place.config(), text).expect("a config");
    let config = place.config().display().to_string();
    let finished = sluiced(&["--check", "--config", &config]);
    (place, finished)
}

/// Line and column of each mistake, and a word that its message has to have.
const MISTAKES: &str = r#"[daemon]
drain-timeot = "10s"
relay-threads = 0

[process.Bad]
command = ["true"]

[process.worker]
command = []
restart = "sometimes"
stop-timeout = 10

[route.a]
from = "process:nobody.stdout"
to = "process:worker.stdout"
"#;

const EXPECTED: [(usize, usize, &str); 8] = [
    (2, 1, "drain-timeout"),
    (3, 17, "relay-threads"),
    (5, 10, "Bad"),
    (9, 11, "command"),
    (10, 11, "on-failure"),
    (11, 16, "unit"),
    (14, 8, "nobody"),
    (15, 6, "stdin"),
];

/// All of them in one go, each where it is.
fn eight_mistakes_are_eight_diagnostics() {
    let (place, finished) = check(MISTAKES);
    let finished = finished.expect_code(78);
    let said = &finished.stderr;
    let file = place.config().display().to_string();
    let places: Vec<(usize, usize)> = said.lines().filter_map(|line| place_in(line, &file)).collect();
    let expected: Vec<(usize, usize)> = EXPECTED.iter().map(|(line, column, _)| (*line, *column)).collect();
    assert_eq!(places, expected, "{said}");
    for (line, _, word) in EXPECTED {
        assert!(said.contains(word), "nothing says {word:?} for line {line}: {said}");
    }
    // The line itself and a caret.
    assert!(said.contains("drain-timeot = \"10s\"") && said.contains('^'), "{said}");
}

/// `FILE:LINE:COL` in a line of the output.
fn place_in(line: &str, file: &str) -> Option<(usize, usize)> {
    let rest = &line[line.find(file)? + file.len()..];
    let mut numbers = rest.strip_prefix(':')?.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn a_good_config_is_counted() {
    let text = "[process.p]\ncommand = [\"true\"]\n[route.a]\nfrom = \"process:p.stdout\"\nto = \"null\"\n";
    let (_place, finished) = check(text);
    let finished = finished.expect_code(0);
    let said = format!("{}{}", finished.stdout, finished.stderr);
    assert!(said.contains("ok: 1 processes, 1 routes"), "{said}");
    let (_place, empty) = check("");
    let empty = empty.expect_code(0);
    assert!(
        format!("{}{}", empty.stdout, empty.stderr).contains("ok: 0 processes, 0 routes"),
        "{empty:?}"
    );
}

/// It starts nothing and looks at no user, program or path.
fn a_check_touches_nothing() {
    let place = Place::new();
    let text = format!(
        "[daemon]\nruntime-directory = \"{0}/never\"\n[process.p]\ncommand = [\"/nowhere\"]\n\
         working-directory = \"/nowhere\"\n[route.a]\nfrom = \"fifo:in\"\nto = \"file:{0}/never/out\"\n",
        place.home().display()
    );
    std::fs::write(place.config(), text).expect("a config");
    let config = place.config().display().to_string();
    sluiced(&["--check", "--config", &config]).expect_code(0);
    assert!(!place.file("never").exists());
}

/// `--check --json`: for editors.
fn diagnostics_as_json() {
    let place = Place::new();
    std::fs::write(place.config(), MISTAKES).expect("a config");
    let config = place.config().display().to_string();
    let finished = sluiced(&["--check", "--json", "--config", &config]).expect_code(78);
    let values: Value =
        serde_json::from_str(finished.stdout.trim()).unwrap_or_else(|error| panic!("{error}: {}", finished.stdout));
    let diagnostics = values["diagnostics"].as_array().unwrap_or_else(|| panic!("{values:#}"));
    let places: Vec<(u64, u64)> = diagnostics
        .iter()
        .map(|one| (one["line"].as_u64().unwrap_or(0), one["column"].as_u64().unwrap_or(0)))
        .collect();
    let expected: Vec<(u64, u64)> = EXPECTED
        .iter()
        .map(|(line, column, _)| (*line as u64, *column as u64))
        .collect();
    assert_eq!(places, expected, "{values:#}");
}

/// systemd's EX_CONFIG, also for one that is missing or cannot be read.
fn a_missing_config_is_78() {
    let finished = sluiced(&["--config", "/nonexistent/sluiced.toml"]).expect_code(78);
    assert!(finished.stderr.contains("/nonexistent/sluiced.toml"), "{finished:?}");
    sluiced(&["--check", "--config", "/nonexistent/sluiced.toml"]).expect_code(78);
    let (_place, not_toml) = check("[[[\n");
    assert!(not_toml.expect_code(78).stderr.contains(":1:"));
    let place = Place::new();
    std::fs::write(place.config(), [b'a', 0xff, 0xfe]).expect("bytes");
    sluiced(&["--check", "--config", &place.config().display().to_string()]).expect_code(78);
}

fn usage_errors_are_2() {
    for arguments in [&["--nonsense"] as &[&str], &["--config"], &["surplus"], &["--json"]] {
        let finished = sluiced(arguments).expect_code(2);
        assert!(!finished.stderr.is_empty(), "{arguments:?}");
    }
}

fn the_version_is_told() {
    let finished = sluiced(&["--version"]).expect_code(0);
    assert_eq!(finished.stdout.trim(), format!("sluiced {}", env!("CARGO_PKG_VERSION")));
}

fn a_bad_config_does_not_start() {
    let mut daemon = Daemon::config("[route.a]\nfrom = 5\n").launch();
    assert_eq!(daemon.ending().status, "code 78");
    assert!(!daemon.place().socket().exists());
}

/// A directory means its `*.toml`, in name order; other files in it are not read.
fn a_directory_is_its_toml_files_in_name_order() {
    let builder = Daemon::config("[route.main]\nfrom = \"fifo:in\"\nto = \"fifo:out\"\n");
    let parts = builder.place().file("conf.d");
    std::fs::create_dir(&parts).expect("conf.d");
    let route = |name: &str| format!("[route.{name}]\nfrom = \"fifo:{name}\"\nto = \"null\"\n");
    std::fs::write(parts.join("20-second.toml"), route("second")).expect("a part");
    std::fs::write(parts.join("10-first.toml"), route("first")).expect("a part");
    std::fs::write(parts.join("README"), "not TOML").expect("no part");
    let daemon = builder
        .argument("--config")
        .argument(&parts.display().to_string())
        .start();
    let names: Vec<String> = daemon
        .routes()
        .iter()
        .map(|route| route.text("name").to_owned())
        .collect();
    assert_eq!(names, ["main", "first", "second"]);
    let status = daemon.call("GetStatus", serde_json::json!({})).expect("GetStatus");
    assert_eq!(
        status.field("configPaths").as_array().map(Vec::len),
        Some(3),
        "{status}"
    );
}

fn the_same_table_in_two_files_names_both() {
    let place = Place::new();
    let route = "[route.same]\nfrom = \"fifo:in\"\nto = \"null\"\n";
    let (one, two) = (place.file("one.toml"), place.file("two.toml"));
    std::fs::write(&one, route).expect("a config");
    std::fs::write(&two, route).expect("a config");
    let said = sluiced(&["--check", "--config", &place.home().display().to_string()])
        .expect_code(78)
        .stderr;
    assert!(said.contains("one.toml") && said.contains("two.toml"), "{said}");
}

fn an_endpoint_twice_names_both_places() {
    let (_place, finished) = check(
        "[route.a]\nfrom = \"fifo:in\"\nto = \"null\"\n[route.b]\nfrom = \"fifo:./in\"\nto = [\"null\", \"null\"]\n",
    );
    let said = finished.expect_code(78).stderr;
    assert!(said.contains(":2:") && said.contains(":5:"), "{said}");
    assert!(!said.contains(":6:"), "null is exempt: {said}");
}

/// A key whose effect is not built yet is refused when it is not at its default, never silently ignored.
fn what_is_not_built_yet_is_refused() {
    let (_place, finished) = check(
        "[control]\n\nread-group = \"users\"\n[process.p]\ncommand = [\"true\"]\n\
         [route.a]\nfrom = \"fifo:in\"\nto = \"null\"\nwhen-full = \"block\"\n",
    );
    if finished.code != 0 {
        let said = finished.expect_code(78).stderr;
        assert!(said.contains("not supported yet") && said.contains(":3:"), "{said}");
        assert!(!said.contains(":8:"), "a default is no problem: {said}");
    }
}

fn a_cycle_is_warned_of() {
    let (_place, finished) = check(
        "[process.p]\ncommand = [\"cat\"]\n[process.q]\ncommand = [\"cat\"]\n\
         [route.a]\nfrom = \"process:p.stdout\"\nto = \"process:q.stdin\"\n\
         [route.b]\nfrom = \"process:q.stdout\"\nto = \"process:p.stdin\"\n",
    );
    let finished = finished.expect_code(0);
    assert!(finished.stderr.contains("cycle"), "{finished:?}");
}
