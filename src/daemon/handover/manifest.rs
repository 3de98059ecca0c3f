//! The manifest: what one life of the daemon writes down for the next. A line that names the format, the length of a JSON text,
//! the text, and behind it the bytes that it names by their places.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::control::{Access, Made};
use crate::model::{Moment, ProcessId, Stream};
use crate::sys::execute;
use crate::sys::parcel::{Packed, Unpacked};

/// The number is raised when what was written before cannot be read any more.
const FORMAT: &str = "sluiced handover 1\n";
/// Larger than any that is written; smaller than what a broken length could ask for.
const LONGEST: u64 = 1 << 32;

/// All of it.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Manifest {
    /// Of the program that has written it.
    pub version: String,
    /// Of the daemon that has written it.
    pub life: u64,
    /// As shown.
    pub generation: u64,
    /// When the first life began.
    pub started_at: Moment,
    /// The number of the last event.
    pub sequence: u64,
    /// As shown.
    pub last_reload_error: Option<String>,
    /// The sides of reopened routes of which nobody has come yet: the route, and whether it is that of its sources.
    pub waits_anew: Vec<(String, bool)>,
    /// The soft limit of descriptors for children.
    pub nofile: Option<u64>,
    /// The signals that were blocked before.
    pub blocked: Vec<i32>,
    /// The config as it runs.
    pub files: Vec<ConfigFile>,
    /// That of the runtime directory.
    pub lock: RawFd,
    /// The control socket.
    pub listener: RawFd,
    /// Its file, where the daemon has made it.
    pub made: Option<Made>,
    /// Who may use it, by numbers that were looked up once.
    pub access: Access,
    /// The journal of the descriptor store, and the number of the next deposit.
    #[serde(default)]
    pub kept: Option<(RawFd, u64)>,
    /// Names that the service manager has to be told to give up, and was not.
    #[serde(default)]
    pub owed: Vec<String>,
    /// Who is to be answered.
    pub callers: Vec<SavedCaller>,
    /// What routes have told and nobody has heard.
    pub reports: Vec<SavedReport>,
    /// By name.
    pub routes: Vec<Item>,
    /// By name.
    pub processes: Vec<Item>,
}

/// One config file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigFile {
    /// As given or found.
    pub path: PathBuf,
    /// As it was read.
    pub text: String,
}

/// A client that waits for the next life.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct SavedCaller {
    /// Its connection.
    pub socket: RawFd,
    /// What was read of it and not answered.
    pub begun: Span,
}

/// A word of a route to a process that was at rest already.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SavedReport {
    /// `relay::Report::InputEnded`
    InputEnded(ProcessId, Stream, u64),
    /// `relay::Report::KillGroup`
    KillGroup(ProcessId, u64),
}

/// A route or a process.
#[derive(Debug, Serialize, Deserialize)]
pub struct Item {
    /// As shown.
    pub name: String,
    /// What it has written down.
    pub state: Value,
    /// By the places that the state names.
    pub descriptors: Vec<RawFd>,
    /// The same.
    pub blobs: Vec<Span>,
}

/// Where bytes stand behind the text.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Span(u64, u64);

/// What goes with a manifest.
#[derive(Debug, Default)]
pub struct Luggage {
    /// Open over the execve(2).
    pub descriptors: Vec<OwnedFd>,
    blobs: Vec<Bytes>,
    length: u64,
}

impl Luggage {
    /// Takes a descriptor along; its number then.
    pub fn descriptor(&mut self, end: OwnedFd) -> RawFd {
        let number = end.as_raw_fd();
        self.descriptors.push(end);
        number
    }

    /// Takes bytes along.
    pub fn bytes(&mut self, bytes: Bytes) -> Span {
        let span = Span(self.length, bytes.len() as u64);
        self.length += span.1;
        self.blobs.push(bytes);
        span
    }

    /// Takes along what a route or process has packed.
    pub fn item(&mut self, name: String, packed: Packed) -> Item {
        let (state, descriptors, blobs) = packed.into_parts();
        Item {
            name,
            state,
            descriptors: descriptors.into_iter().map(|end| self.descriptor(end)).collect(),
            blobs: blobs.into_iter().map(|bytes| self.bytes(bytes)).collect(),
        }
    }
}

impl Manifest {
    /// Writes it into a file in memory.
    pub fn write(&self, luggage: &Luggage) -> io::Result<File> {
        let text = serde_json::to_vec(self)?;
        let mut file = execute::memory_file("sluiced-handover")?;
        let mut out = io::BufWriter::new(&mut file);
        out.write_all(FORMAT.as_bytes())?;
        out.write_all(format!("{}\n", text.len()).as_bytes())?;
        out.write_all(&text)?;
        for blob in &luggage.blobs {
            out.write_all(blob)?;
        }
        out.flush()?;
        drop(out);
        file.rewind()?;
        Ok(file)
    }

    /// Reads it, wherever the file's offset is; and where the bytes begin.
    pub fn read(file: &File) -> io::Result<(Manifest, u64)> {
        let refuse = |text: String| io::Error::new(io::ErrorKind::InvalidData, text);
        let mut head = [0; 64];
        let count = file.read_at(&mut head, 0)?;
        let head = head.get(..count).unwrap_or_default();
        let Some(rest) = head.strip_prefix(FORMAT.as_bytes()) else {
            let first = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
            let text = format!(
                "it begins with {:?}, and this version reads {:?}",
                String::from_utf8_lossy(first),
                FORMAT.trim_end()
            );
            return Err(refuse(text));
        };
        let line = rest.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let length = std::str::from_utf8(line).ok().and_then(|line| line.parse::<u64>().ok());
        let begins = (FORMAT.len() + line.len() + 1) as u64;
        let length = length.filter(|length| *length < LONGEST && line.len() < rest.len());
        let length = length.ok_or_else(|| refuse("its second line is not the length of its text".to_owned()))?;
        let mut text = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
        file.read_exact_at(&mut text, begins)?;
        let manifest = serde_json::from_slice(&text)?;
        Ok((manifest, begins + length))
    }
}

/// Takes what a manifest names out of this process and out of its file.
#[derive(Debug)]
pub struct Unloading {
    file: File,
    begins: u64,
    taken: HashSet<RawFd>,
}

impl Unloading {
    /// Of a manifest that was read from this file.
    pub fn new(file: File, begins: u64) -> Unloading {
        let taken = HashSet::from([file.as_raw_fd()]);
        Unloading { file, begins, taken }
    }

    /// A descriptor that came along.
    pub fn descriptor(&mut self, number: RawFd) -> io::Result<OwnedFd> {
        if !self.taken.insert(number) {
            let text = format!("descriptor {number} is named twice in the handover");
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        execute::taken(number)
    }

    /// Bytes that came along.
    pub fn bytes(&self, span: Span) -> io::Result<Bytes> {
        let mut bytes = vec![0; usize::try_from(span.1.min(LONGEST)).unwrap_or(0)];
        self.file.read_exact_at(&mut bytes, self.begins + span.0)?;
        Ok(bytes.into())
    }

    /// What a route or process has packed. All of it is taken, whatever becomes of it.
    pub fn item(&mut self, item: Item) -> io::Result<Unpacked> {
        let descriptors: Vec<io::Result<OwnedFd>> =
            item.descriptors.iter().map(|number| self.descriptor(*number)).collect();
        let blobs = item
            .blobs
            .iter()
            .map(|span| self.bytes(*span))
            .collect::<io::Result<_>>()?;
        let descriptors = descriptors.into_iter().collect::<io::Result<_>>()?;
        Ok(Unpacked::new(item.state, descriptors, blobs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut luggage = Luggage::default();
        let manifest = Manifest {
            life: 7,
            callers: vec![SavedCaller {
                socket: 3,
                begun: luggage.bytes(Bytes::from_static(b"one")),
            }],
            routes: vec![luggage.item(
                "r".to_owned(),
                Packed::new(|parcel| Ok(parcel.put_bytes(&b"two\0"[..]))).unwrap(),
            )],
            ..Manifest::default()
        };
        let file = manifest.write(&luggage).unwrap();
        let (mut read, begins) = Manifest::read(&file).unwrap();
        assert_eq!(read.life, 7);
        let mut unloading = Unloading::new(file, begins);
        assert_eq!(&unloading.bytes(read.callers[0].begun).unwrap()[..], b"one");
        let unpacked = unloading.item(read.routes.remove(0)).unwrap();
        let (blob, parcel) = unpacked.read().unwrap();
        assert_eq!(&parcel.bytes(blob).unwrap()[..], b"two\0");
    }

    #[test]
    fn what_is_none_is_told_by_its_beginning() {
        for (text, told) in [
            ("", "it begins with \"\""),
            ("sluiced handover 2\n1\n{", "it begins with \"sluiced handover 2\""),
            ("sluiced handover 1\nx\n", "its second line"),
            ("sluiced handover 1\n99999999999999\n", "its second line"),
            ("sluiced handover 1\n5\n{}", "failed to fill whole buffer"),
            ("sluiced handover 1\n2\n{}", "missing field"),
        ] {
            let mut file = execute::memory_file("test").unwrap();
            file.write_all(text.as_bytes()).unwrap();
            let error = Manifest::read(&file).unwrap_err().to_string();
            assert!(error.contains(told), "{text:?}: {error}");
        }
    }
}
