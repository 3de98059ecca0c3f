//! The container: a systemd of its own over a root file system that `tests/install-lab.sh` has made, booted with the
//! first story that needs it and ended with the last. `container.sh` keeps it, and ends it too when this process dies.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock};

use crate::support::{Finished, output_of, program};

/// Which systemd.
#[derive(Clone, Copy, Debug)]
pub enum Release {
    /// systemd 257, of Debian 13.
    Trixie,
    /// systemd 252, of Debian 12: the oldest that the unit is for.
    Bookworm,
}

const HERE: &str = env!("CARGO_MANIFEST_DIR");
/// Where the scripted peer is in the container.
pub const PEER: &str = "/opt/peer";

static LABS: [OnceLock<Result<Lab, NoLab>>; 2] = [OnceLock::new(), OnceLock::new()];

/// Why there is no container.
#[derive(Clone, Debug)]
pub enum NoLab {
    /// The machine has not what it takes, or lets no container be: stories are skipped.
    Missing(String),
    /// The service cannot be installed in it: stories fail.
    Broken(String),
}

/// The booted container.
pub struct Lab {
    leader: i32,
    /// Closing its stdin ends the container.
    keeper: Mutex<Child>,
}

/// The one container of this test run with that systemd; why there is none, in words.
pub fn booted(release: Release) -> Result<&'static Lab, NoLab> {
    let lab = LABS[release as usize].get_or_init(|| boot(release));
    lab.as_ref().map_err(Clone::clone)
}

/// Ends the containers, and waits until nothing of them is left.
pub fn shut_down() {
    LABS.iter().filter_map(|lab| lab.get()?.as_ref().ok()).for_each(end);
}

fn end(lab: &Lab) {
    let mut keeper = lab.keeper.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    drop(keeper.stdin.take());
    let _ = keeper.wait();
}

fn boot(release: Release) -> Result<Lab, NoLab> {
    let suite = match release {
        Release::Trixie => "trixie",
        Release::Bookworm => "bookworm",
    };
    let lab = launch(suite, &root(suite)?).map_err(NoLab::Missing)?;
    match lab.install() {
        Ok(()) => Ok(lab),
        Err(why) => {
            end(&lab);
            Err(NoLab::Broken(why))
        }
    }
}

/// The root file system.
fn root(suite: &str) -> Result<PathBuf, NoLab> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    let root = Path::new(HERE).join(target).join("systemd-lab").join(suite);
    if !nix::unistd::geteuid().is_root() {
        return Err(NoLab::Missing("a container needs root".to_owned()));
    }
    if !root.with_extension("edition").is_file() {
        let why = format!("{} is not there; tests/install-lab.sh makes it", root.display());
        return Err(NoLab::Missing(why));
    }
    Ok(root)
}

fn launch(suite: &str, root: &Path) -> Result<Lab, String> {
    let here = Path::new(HERE);
    let name = format!("sluiced-{suite}-{}", std::process::id());
    let bind = |from: &Path, to: &str| format!("--bind-ro={}:{to}", from.display());
    let exe = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut keeper = Command::new(here.join("tests/systemd_lab/container.sh"))
        .args([&name, &root.display().to_string()])
        // As the README has them.
        .arg(bind(&here.join("systemd"), "/src/systemd"))
        .arg(bind(&here.join("config"), "/src/config"))
        .arg(bind(&program("sluiced"), "/src/target/release/sluiced"))
        .arg(bind(&program("sluicectl"), "/src/target/release/sluicectl"))
        .arg(bind(&exe, PEER))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // A Ctrl-C is for the tests; the end of its stdin is how it learns of it.
        .process_group(0)
        .spawn()
        .map_err(|error| format!("cannot run container.sh: {error}"))?;
    let mut line = String::new();
    let stdout = keeper.stdout.take().expect("a piped stdout");
    // It gives up by itself after 30 s.
    let _ = BufReader::new(stdout).read_line(&mut line);
    let Some(leader) = line.trim().strip_prefix("leader ").and_then(|pid| pid.parse().ok()) else {
        let mut why = String::new();
        let _ = keeper.stderr.take().expect("a piped stderr").read_to_string(&mut why);
        let _ = keeper.wait();
        return Err(why);
    };
    let keeper = Mutex::new(keeper);
    Ok(Lab { leader, keeper })
}

impl Lab {
    /// By the README, line for line, but for what builds it. Leaves the service and its socket stopped.
    fn install(&self) -> Result<(), String> {
        let readme = include_str!("../../README.md");
        let section = readme.split_once("## As a systemd service").map(|(_, after)| after);
        let block = section.and_then(|text| text.split_once("```sh\n")?.1.split_once("```"));
        let (block, _) = block.ok_or("the README tells no more how to install the service")?;
        let script = block.replace("cargo build --release\n", "");
        let script = format!("set -eu\n{script}systemctl stop sluiced.socket sluiced.service\n");
        let finished = self.run(&["sh", "-c", &script]);
        match finished.code {
            0 => Ok(()),
            _ => Err(format!("what the README says does not install it: {finished:#?}")),
        }
    }

    /// A command in the container, run by root there with nothing of this process's environment.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command
            .args([
                "-t",
                &self.leader.to_string(),
                "-a",
                "env",
                "-C",
                "/src",
                "-i",
                "LANG=C.UTF-8",
            ])
            .args([
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "SYSTEMD_COLORS=0",
            ])
            .args(["SYSTEMD_PAGER="])
            .args(words);
        command
    }

    /// Runs it to its end.
    pub fn run(&self, words: &[&str]) -> Finished {
        output_of(&mut self.command(words))
    }

    /// Runs it to its end, which has to be a good one; what it says.
    pub fn told(&self, words: &[&str]) -> String {
        let finished = self.run(words);
        assert_eq!(finished.code, 0, "{words:?}: {finished:#?}");
        finished.stdout
    }

    /// A file of the container, as this process can open it.
    pub fn file(&self, path: &str) -> PathBuf {
        format!("/proc/{}/root{path}", self.leader).into()
    }

    /// Writes one, with the directories above it.
    pub fn write(&self, path: &str, text: &str) {
        let file = self.file(path);
        std::fs::create_dir_all(file.parent().expect("a directory")).expect("a directory in the container");
        std::fs::write(file, text).unwrap_or_else(|error| panic!("cannot write {path}: {error}"));
    }

    /// What is in one.
    pub fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.file(path)).unwrap_or_else(|error| panic!("cannot read {path}: {error}"))
    }
}
