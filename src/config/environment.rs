use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::thread::available_parallelism;

/// What a config depends on besides its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    /// `$RUNTIME_DIRECTORY`, as systemd sets it: a colon-separated list (systemd.exec(5)).
    pub runtime_directory: Option<OsString>,
    /// `$XDG_RUNTIME_DIR`.
    pub xdg_runtime_dir: Option<OsString>,
    /// How many threads can run at once.
    pub cores: usize,
}

impl Environment {
    /// That of this process.
    #[must_use]
    pub fn of_this_process() -> Environment {
        Environment {
            runtime_directory: std::env::var_os("RUNTIME_DIRECTORY"),
            xdg_runtime_dir: std::env::var_os("XDG_RUNTIME_DIR"),
            cores: available_parallelism().map_or(1, usize::from),
        }
    }

    /// The runtime directory where the config does not say. A variable that is empty or not an absolute path counts as
    /// not set, as the XDG base directory specification wants it.
    #[must_use]
    pub fn default_runtime_directory(&self) -> PathBuf {
        let absolute = |path: PathBuf| path.is_absolute().then_some(path);
        let given = self.runtime_directory.as_deref();
        let first = given
            .and_then(|list| std::env::split_paths(list).next())
            .and_then(absolute);
        let of_user = self.xdg_runtime_dir.as_deref().map(PathBuf::from).and_then(absolute);
        first
            .or_else(|| of_user.map(|directory| directory.join("sluiced")))
            .unwrap_or_else(|| Path::new("/run/sluiced").to_owned())
    }

    /// The number of relay threads where the config does not say: one a core, at most 4.
    #[must_use]
    pub fn default_relay_threads(&self) -> usize {
        self.cores.clamp(1, 4)
    }
}

#[cfg(test)]
mod tests {
    use super::Environment;

    #[test]
    fn the_runtime_directory_is_the_first_that_is_named() {
        for (systemd, xdg, expected) in [
            (None, None, "/run/sluiced"),
            (None, Some("/run/user/1000"), "/run/user/1000/sluiced"),
            (Some("/run/a"), Some("/run/user/1000"), "/run/a"),
            (Some("/run/a:/run/b"), None, "/run/a"),
            (Some(""), Some(""), "/run/sluiced"),
            (Some("relative"), Some("relative"), "/run/sluiced"),
        ] {
            let environment = Environment {
                runtime_directory: systemd.map(Into::into),
                xdg_runtime_dir: xdg.map(Into::into),
                cores: 1,
            };
            assert_eq!(environment.default_runtime_directory().to_str(), Some(expected));
        }
    }

    #[test]
    fn there_is_a_relay_thread_a_core_and_never_more_than_four() {
        for (cores, threads) in [(0, 1), (1, 1), (3, 3), (4, 4), (64, 4)] {
            let environment = Environment {
                runtime_directory: None,
                xdg_runtime_dir: None,
                cores,
            };
            assert_eq!(environment.default_relay_threads(), threads);
        }
    }
}
