use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::libc::O_NONBLOCK;

use crate::model::ConfigFile;

/// The most that is read of one file, in bytes: beyond it, it is no config.
const LARGEST: u64 = 16 << 20;

/// A file that was to be read.
pub(super) enum Input {
    /// And was.
    Text(ConfigFile),
    /// And could not be.
    Unreadable(Unreadable),
}

/// Why a file, or a directory, gave no text.
pub(super) struct Unreadable {
    path: PathBuf,
    /// What is wrong.
    pub(super) message: String,
    /// What to do.
    pub(super) help: &'static str,
    /// The text up to the first byte that is not UTF-8.
    valid: Option<String>,
}

impl Input {
    /// As given or found.
    pub(super) fn path(&self) -> &Path {
        match self {
            Input::Text(file) => &file.path,
            Input::Unreadable(unreadable) => &unreadable.path,
        }
    }

    /// What there is of its text.
    pub(super) fn text(&self) -> &str {
        match self {
            Input::Text(file) => &file.text,
            Input::Unreadable(unreadable) => unreadable.valid.as_deref().unwrap_or_default(),
        }
    }

    /// The file, when it was read.
    pub(super) fn into_file(self) -> Option<ConfigFile> {
        match self {
            Input::Text(file) => Some(file),
            Input::Unreadable(_) => None,
        }
    }
}

impl Unreadable {
    fn input(path: &Path, message: String, help: &'static str) -> Input {
        Input::Unreadable(Unreadable {
            path: path.to_owned(),
            message,
            help,
            valid: None,
        })
    }

    /// The offset of the byte that is not UTF-8, when that is what is wrong.
    pub(super) fn offset(&self) -> Option<usize> {
        self.valid.as_ref().map(String::len)
    }
}

/// Reads everything that `paths` name, or the default files when they name nothing. A file is read once, however often
/// it is named. `again`: it was read before, and nothing is waited for.
pub(super) fn inputs(paths: &[PathBuf], default: &Path, again: bool) -> Vec<Input> {
    let mut seen = HashSet::new();
    let found = if paths.is_empty() {
        defaults(default)
    } else {
        paths.iter().flat_map(|path| named(path)).collect()
    };
    found
        .into_iter()
        .filter(|found| match found {
            Ok(path) => seen.insert(path.canonicalize().unwrap_or_else(|_| path.clone())),
            Err(_) => true,
        })
        .map(|found| {
            found.map_or_else(
                |input| input,
                // What somebody writes just now (`<(…)`) can be read once, by whoever was started with it.
                |path| read(&path, !again && paths.contains(&path)),
            )
        })
        .collect()
}

fn defaults(directory: &Path) -> Vec<Result<PathBuf, Input>> {
    let main = directory.join("sluiced.toml");
    let parts = directory.join("conf.d");
    let mut found = Vec::new();
    if !matches!(main.try_exists(), Ok(false)) {
        found.push(Ok(main.clone()));
    }
    match toml_files(&parts) {
        Ok(files) => found.extend(files.into_iter().map(Ok)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => found.push(Err(unreadable(&parts, &error))),
    }
    if found.is_empty() {
        let message = format!(
            "there is no config: neither this file nor a *.toml in {} is there",
            parts.display()
        );
        found.push(Err(Unreadable::input(
            &main,
            message,
            "write one, or name one with --config",
        )));
    }
    found
}

fn named(path: &Path) -> Vec<Result<PathBuf, Input>> {
    if !path.is_dir() {
        return vec![Ok(path.to_owned())];
    }
    match toml_files(path) {
        Ok(files) if files.is_empty() => {
            let message = "there is no *.toml in this directory".to_owned();
            vec![Err(Unreadable::input(
                path,
                message,
                "put a config there, or name another with --config",
            ))]
        }
        Ok(files) => files.into_iter().map(Ok).collect(),
        Err(error) => vec![Err(unreadable(path, &error))],
    }
}

/// The `*.toml` of a directory in the order of their names. As with a shell's `*`, names that begin with a dot (what
/// editors leave behind) are not among them.
fn toml_files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let name = entry?.file_name();
        let bytes = name.as_encoded_bytes();
        if bytes.ends_with(b".toml") && !bytes.starts_with(b".") {
            names.push(name);
        }
    }
    names.sort();
    Ok(names.into_iter().map(|name| directory.join(name)).collect())
}

fn read(path: &Path, waits: bool) -> Input {
    let mut bytes = Vec::new();
    let file = match open(path, waits) {
        Ok(Some(file)) => file,
        Ok(None) => {
            let message = "it is a FIFO, which is read once and then empty".to_owned();
            return Unreadable::input(path, message, "put a file in its place");
        }
        Err(error) => return unreadable(path, &error),
    };
    let read = file.take(LARGEST + 1).read_to_end(&mut bytes);
    if let Err(error) = read {
        return unreadable(path, &error);
    }
    if bytes.len() as u64 > LARGEST {
        let message = format!("this is more than {} MiB, and no config", LARGEST >> 20);
        return Unreadable::input(path, message, "name another file with --config");
    }
    match String::from_utf8(bytes) {
        Ok(text) => Input::Text(ConfigFile {
            path: path.to_owned(),
            text,
        }),
        Err(error) => {
            let valid = error.utf8_error().valid_up_to();
            let mut bytes = error.into_bytes();
            let wrong = bytes.get(valid).copied().unwrap_or_default();
            bytes.truncate(valid);
            Input::Unreadable(Unreadable {
                path: path.to_owned(),
                message: format!("the byte 0x{wrong:02x} here is not UTF-8, so nothing of this file was checked"),
                help: "a config is UTF-8 text",
                valid: String::from_utf8(bytes).ok(),
            })
        }
    }
}

/// `None`: it is a FIFO, and whoever reads it would wait for a writer.
fn open(path: &Path, waits: bool) -> io::Result<Option<File>> {
    if waits {
        return File::open(path).map(Some);
    }
    // Nor is a terminal waited for.
    let file = File::options().read(true).custom_flags(O_NONBLOCK).open(path)?;
    let is_fifo = file.metadata()?.file_type().is_fifo();
    Ok((!is_fifo).then_some(file))
}

fn unreadable(path: &Path, error: &io::Error) -> Input {
    let (message, help) = match error.kind() {
        io::ErrorKind::NotFound => (
            "there is no such file or directory".to_owned(),
            "write it, or name another",
        ),
        io::ErrorKind::PermissionDenied => (
            "it may not be read: permission denied".to_owned(),
            "let the daemon's user read it",
        ),
        io::ErrorKind::IsADirectory => ("it is a directory, not a file".to_owned(), "rename it, or take it away"),
        _ => (format!("it cannot be read: {error}"), "name another file with --config"),
    };
    Unreadable::input(path, message, help)
}
