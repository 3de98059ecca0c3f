use std::fs;
use std::path::Path;

use sluiced::config::{self, shape};

use super::{good, told};

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The shipped file with every default taken out of its comment.
fn uncommented() -> String {
    let text = read("config/sluiced.toml");
    let line = |line: &str| match line.strip_prefix('#') {
        Some(rest) if rest.starts_with(|c: char| c == '[' || c.is_ascii_lowercase()) => format!("{rest}\n"),
        _ => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

#[test]
fn every_shipped_config_is_good() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let mut seen = 0;
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(told(&text), Vec::<String>::new(), "{}", path.display());
        seen += 1;
    }
    assert!(seen >= 2);
    assert_eq!(
        config::describe(&good(&read("config/sluiced.toml"))),
        "ok: 0 processes, 0 routes"
    );
    assert_eq!(
        config::describe(&good(&read("config/demo.toml"))),
        "ok: 3 processes, 2 routes"
    );
}

#[test]
fn the_defaults_of_the_shipped_config_are_the_real_ones() {
    let written = good(&uncommented());
    let real = good(
        "[process.example]\ncommand = [\"cat\"]\n\
         [route.example]\nfrom = \"fifo:in\"\nto = \"process:example.stdin\"\n\
         [route.settings]\nfrom = \"fifo:source\"\nto = \"fifo:destination\"\n",
    );
    assert_eq!(written.daemon, real.daemon);
    assert_eq!(written.control, real.control);
    assert_eq!(written.processes, real.processes);
    assert_eq!(written.routes, real.routes);
}

#[test]
fn every_key_is_in_the_shipped_config_and_in_the_reference() {
    let sluiced = read("config/sluiced.toml");
    let reference = read("docs/configuration.md");
    for table in [
        &shape::DAEMON,
        &shape::CONTROL,
        &shape::PROCESS,
        &shape::ROUTE,
        &shape::ENDPOINT,
        &shape::START_LIMIT,
    ] {
        for key in table.keys {
            let given = sluiced.lines().any(|line| {
                let line = line.trim_start_matches(['#', ' ']);
                line.starts_with(&format!("{key} = ")) || line.contains(&format!(" {key} = "))
            });
            let listed = table == &shape::ENDPOINT && sluiced.contains(key);
            assert!(given || listed, "config/sluiced.toml lacks `{key}` of {}", table.name);
            let documented = reference.contains(&format!("`{key}`")) || reference.contains(&format!("**{key}**"));
            assert!(
                documented || table == &shape::START_LIMIT,
                "docs/configuration.md lacks `{key}` of {}",
                table.name
            );
        }
    }
    for limit in shape::LIMITS.keys {
        assert!(
            reference.contains(&format!("`{limit}`")),
            "docs/configuration.md lacks `{limit}`"
        );
    }
}
