use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use sluiced::config::{self, Diagnostics};
use sluiced::model::Config;

use super::{check, nowhere};

const CAT: &str = "command = [\"cat\"]\n";

fn load(paths: &[&Path], default: &Path) -> Result<Config, Diagnostics> {
    let paths: Vec<PathBuf> = paths.iter().map(|path| path.to_path_buf()).collect();
    config::load_from(&paths, default, &nowhere())
}

/// `FILE:LINE:COL message`, files by their names alone.
fn told(result: Result<Config, Diagnostics>) -> Vec<String> {
    let diagnostics = result.unwrap_err();
    let line = |d: &config::Diagnostic| {
        let name = Path::new(&d.file).file_name().unwrap().to_string_lossy().into_owned();
        format!("{name}:{}:{} {}", d.line, d.column, d.message)
    };
    diagnostics.iter().map(line).collect()
}

#[test]
fn tables_may_be_spread_over_files_and_the_same_key_may_not() {
    let config = check(&[
        (
            "a.toml",
            "[daemon]\ndrain-timeout = \"1s\"\n[process.b]\ncommand = [\"cat\"]\n",
        ),
        (
            "b.toml",
            "[daemon]\nlog-level = \"warn\"\n[process.a]\ncommand = [\"cat\"]\n",
        ),
    ])
    .unwrap();
    let names: Vec<&str> = config.processes.iter().map(|process| process.name.as_str()).collect();
    assert_eq!(names, ["b", "a"], "in the order in which they were written");
    assert_eq!(config.daemon.drain_timeout.as_secs(), 1);
    assert_eq!(config.daemon.log_level, tracing::Level::WARN);
    assert_eq!(config.files.len(), 2);

    let told = told(check(&[
        (
            "a.toml",
            "[daemon]\nlog-level = \"info\"\n[process.a]\ncommand = [\"cat\"]\n",
        ),
        (
            "b.toml",
            "[process.a]\ncommand = [\"dog\"]\n[daemon]\nlog-level = \"info\"\n",
        ),
    ]));
    assert_eq!(
        told,
        [
            "b.toml:1:10 `a` of [process] is given already, at a.toml:3:10",
            "b.toml:4:1 `log-level` of [daemon] is given already, at a.toml:2:1",
        ]
    );
}

#[test]
fn an_endpoint_of_two_files_is_told_with_both_places() {
    let told = told(check(&[
        ("a.toml", "[route.a]\nfrom = \"fifo:x\"\nto = \"null\"\n"),
        (
            "b.toml",
            "[route.b]\nto = \"null\"\nfrom = \"fifo:/run/sluiced/y/../x\"\n",
        ),
    ]));
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].starts_with("b.toml:3:8 ") && told[0].contains("the route `a` already, at a.toml:2:8"),
        "{told:?}"
    );
}

#[test]
fn a_directory_means_its_toml_files_in_the_order_of_their_names() {
    let dir = tempfile::tempdir().unwrap();
    for (name, process) in [
        ("20.toml", "c"),
        ("10.toml", "b"),
        (".hidden.toml", "x"),
        ("a.toml.bak", "y"),
    ] {
        fs::write(dir.path().join(name), format!("[process.{process}]\n{CAT}")).unwrap();
    }
    let config = load(&[dir.path()], dir.path()).unwrap();
    let names: Vec<&str> = config.processes.iter().map(|process| process.name.as_str()).collect();
    assert_eq!(names, ["b", "c"]);
    let twice = load(&[dir.path(), &dir.path().join("10.toml")], dir.path()).unwrap();
    assert_eq!(twice.files.len(), 2, "a file that is named twice is read once");
}

#[test]
fn the_default_files_are_those_of_etc() {
    let etc = tempfile::tempdir().unwrap();
    let told = |etc: &Path| told(load(&[], etc));
    assert!(told(etc.path())[0].starts_with("sluiced.toml:0:0 there is no config"));

    fs::create_dir(etc.path().join("conf.d")).unwrap();
    assert!(told(etc.path())[0].starts_with("sluiced.toml:0:0 there is no config"));

    fs::write(etc.path().join("conf.d/b.toml"), format!("[process.b]\n{CAT}")).unwrap();
    assert_eq!(
        load(&[], etc.path()).unwrap().processes.len(),
        1,
        "conf.d alone will do"
    );

    fs::write(etc.path().join("sluiced.toml"), format!("[process.z]\n{CAT}")).unwrap();
    let config = load(&[], etc.path()).unwrap();
    let names: Vec<&str> = config.processes.iter().map(|process| process.name.as_str()).collect();
    assert_eq!(names, ["z", "b"]);
}

#[test]
fn what_cannot_be_read_does_not_hide_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::create_dir(at("empty")).unwrap();
    fs::create_dir_all(at("odd/sub.toml")).unwrap();
    fs::write(at("latin.toml"), b"[daemon]\nx=\"gr\xfc\xdfe\"\n").unwrap();
    fs::write(at("last.toml"), "[daemon]\nlogs = 1\n").unwrap();
    let paths = [
        at("missing.toml"),
        at("empty"),
        at("odd"),
        at("latin.toml"),
        at("last.toml"),
        "/dev/zero".into(),
    ];
    let paths: Vec<&Path> = paths.iter().map(PathBuf::as_path).collect();
    let told = told(load(&paths, dir.path()));
    let expected = [
        "missing.toml:0:0 there is no such file",
        "empty:0:0 there is no *.toml in this directory",
        "sub.toml:0:0 it is a directory",
        "latin.toml:2:6 the byte 0xfc here is not UTF-8",
        "last.toml:2:1 unknown key `logs`",
        "zero:0:0 this is more than 16 MiB",
    ];
    assert_eq!(told.len(), expected.len(), "{told:#?}");
    for (told, expected) in told.iter().zip(expected) {
        assert!(told.starts_with(expected), "{told} is not {expected}");
    }
}

#[test]
fn a_file_that_may_not_be_read_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("secret.toml");
    fs::write(&path, "").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    // Root reads everything, and then it is an empty config.
    if let Err(diagnostics) = load(&[&path], dir.path()) {
        assert!(diagnostics.render(false).contains("permission denied"), "{diagnostics}");
    }
}

#[test]
fn a_process_of_a_file_that_is_missing_is_not_told_as_missing_too() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.toml");
    fs::write(
        &path,
        "[route.r]\nfrom = \"fifo:a\"\nto = \"process:elsewhere.stdin\"\n",
    )
    .unwrap();
    let told = told(load(&[&path, &dir.path().join("missing.toml")], dir.path()));
    assert_eq!(told.len(), 1, "{told:?}");
}
