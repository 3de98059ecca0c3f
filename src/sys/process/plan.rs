//! What a child is to be, ready for execve(2): everything that needs memory is made here, before the fork.

use std::ffi::{CStr, CString, OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use serde::{Deserialize, Serialize};

use super::Standing;
use crate::sys::cgroup::Leaf;

/// Searched when neither the process nor the daemon has a PATH.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Why there is no plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// A text for the kernel would end at its NUL.
    #[error("cannot execute {program:?}: {what} contains a NUL byte; take it out of the config")]
    Nul {
        /// The program.
        program: String,
        /// Which text.
        what: &'static str,
    },
    /// Nothing to execute.
    #[error("there is no program to execute: `command` is empty")]
    Empty,
}

/// What a child is to become, and as whom: by it a refusal is put in words ([`super::read_status`]).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Attempt {
    /// The program as the config names it.
    pub(super) program: String,
    /// The paths to try, in order.
    pub(super) candidates: Vec<CString>,
    /// The PATH that was searched; `None` when the program was given by a path.
    pub(super) searched: Option<OsString>,
    pub(super) directory: Option<CString>,
    pub(super) standing: Standing,
}

/// All that a child gets besides its descriptors. What a later setting needs becomes a field here, or in [`Attempt`], and a
/// step in `child::run`.
#[derive(Clone, Debug)]
pub struct Plan {
    pub(super) attempt: Attempt,
    pub(super) arguments: Vec<CString>,
    pub(super) environment: Vec<CString>,
    /// The variable that is to hold the child's own process id.
    pub(super) own_pid: Option<&'static str>,
    /// Its directory: where the child is born.
    pub(super) cgroup: Option<Rc<Leaf>>,
}

impl Plan {
    /// A plan for `command` (program and arguments) with exactly `environment`. A program without a slash is looked
    /// for in `environment`'s PATH, else in `daemon_path`; one with a slash is relative to `directory`.
    pub fn new(
        command: &[String],
        environment: &[(OsString, OsString)],
        daemon_path: Option<&OsStr>,
        directory: Option<&Path>,
    ) -> Result<Plan, PlanError> {
        let program = command.first().ok_or(PlanError::Empty)?.clone();
        let text = |bytes: &[u8], what| {
            CString::new(bytes).map_err(|_| PlanError::Nul {
                program: program.clone(),
                what,
            })
        };
        let own_path = environment.iter().find(|(key, _)| key == "PATH");
        let path = own_path.map(|(_, value)| value.as_os_str()).or(daemon_path);
        let path = path.unwrap_or_else(|| OsStr::new(DEFAULT_PATH));
        let searched = (!program.contains('/')).then(|| path.to_owned());
        let candidates = match &searched {
            None => vec![text(program.as_bytes(), "the program's path")?],
            Some(_) if program.is_empty() => Vec::new(),
            Some(path) => std::env::split_paths(path)
                .map(|directory| text(candidate(&directory, &program).as_os_str().as_bytes(), "its path"))
                .collect::<Result<_, _>>()?,
        };
        let variable = |(key, value): &(OsString, OsString)| {
            let pair = [key.as_bytes(), b"=", value.as_bytes()].concat();
            text(&pair, "its environment")
        };
        let directory = directory.map(|path| text(path.as_os_str().as_bytes(), "the working directory"));
        Ok(Plan {
            arguments: command
                .iter()
                .map(|argument| text(argument.as_bytes(), "an argument"))
                .collect::<Result<_, _>>()?,
            environment: environment.iter().map(variable).collect::<Result<_, _>>()?,
            own_pid: None,
            cgroup: None,
            attempt: Attempt {
                candidates,
                searched,
                directory: directory.transpose()?,
                standing: Standing::default(),
                program,
            },
        })
    }

    /// The same, as somebody else or with other limits.
    #[must_use]
    pub fn with(mut self, standing: Standing) -> Plan {
        self.attempt.standing = standing;
        self
    }

    /// Besides, the child's process id in this variable.
    #[must_use]
    pub fn telling_own_pid(self, variable: &'static str) -> Plan {
        Plan {
            own_pid: Some(variable),
            ..self
        }
    }

    /// The same, in a cgroup.
    #[must_use]
    pub fn born_in(self, cgroup: Option<Rc<Leaf>>) -> Plan {
        Plan { cgroup, ..self }
    }

    /// What is tried, once the child is forked.
    #[must_use]
    pub fn into_attempt(self) -> Attempt {
        self.attempt
    }
}

impl Attempt {
    pub(super) fn directory(&self) -> Option<&CStr> {
        self.directory.as_deref()
    }

    /// ` as user "nobody"`, for messages about what that user may not do.
    pub(super) fn as_user(&self) -> String {
        let user = self.standing.identity.user.as_ref();
        user.map_or_else(String::new, |user| format!(" as user {user:?}"))
    }
}

/// An empty entry of PATH means the current directory (exec(3)), which is the child's own by then.
fn candidate(directory: &Path, program: &str) -> PathBuf {
    if directory.as_os_str().is_empty() {
        Path::new(".").join(program)
    } else {
        directory.join(program)
    }
}
