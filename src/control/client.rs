//! A small blocking client. Depends on `call`, `error` and `types`.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, UnixAddr, sockopt};
use nix::sys::time::TimeVal;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::call::GET_INFO;
use super::error::{Error, WireError};

/// How long a daemon that lives may take to accept, to read a request, and to answer one that does not wait.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often a call is tried again whose connection has ended.
const AGAIN: usize = 3;

/// What a daemon replies is shorter; what goes on for longer is none.
const LONGEST: u64 = 256 << 20;

/// Why a call has no result.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nothing can be reached there.
    #[error("cannot connect to {path}: {}", .source)]
    Connect {
        /// The socket.
        path: PathBuf,
        /// ENOENT, ECONNREFUSED, EACCES …
        source: io::Error,
    },
    /// The daemon closed the connection before it answered.
    #[error("the daemon went away before it answered")]
    Gone,
    /// The daemon takes too long.
    #[error("the daemon does not answer within {} s", .0.as_secs())]
    Silent(Duration),
    /// The daemon refused or failed the call.
    #[error(transparent)]
    Refused(#[from] Error),
    /// What came is not what the interface says.
    #[error("the daemon's reply cannot be understood: {0}")]
    Protocol(String),
    /// read(2) or write(2) failed otherwise.
    #[error("cannot talk to the daemon: {}", .0)]
    Io(io::Error),
}

#[derive(Deserialize)]
struct Reply {
    error: Option<String>,
    parameters: Option<Map<String, Value>>,
    #[serde(default)]
    continues: bool,
}

#[derive(Serialize)]
struct Message<'a, P> {
    method: &'a str,
    parameters: &'a P,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    more: bool,
}

/// A connection to the daemon.
#[derive(Debug)]
pub struct Client {
    path: PathBuf,
    stream: BufReader<UnixStream>,
}

impl Client {
    /// Connects to the daemon's socket.
    pub fn connect(path: &Path) -> Result<Client, ClientError> {
        let stream = open(path).map_err(|source| ClientError::Connect {
            path: path.to_owned(),
            source,
        })?;
        Ok(Client {
            path: path.to_owned(),
            stream: BufReader::with_capacity(64 * 1024, stream),
        })
    }

    /// As `call`, for what may be done twice: where the connection ends without a reply, since the daemon has been upgraded
    /// in this moment, it is asked again, if there is somebody who answers.
    pub fn call_again(
        &mut self,
        method: &str,
        parameters: &impl Serialize,
        waits: bool,
    ) -> Result<Map<String, Value>, ClientError> {
        for _ in 0..AGAIN {
            match self.call(method, parameters, waits) {
                Err(ClientError::Gone) => {}
                result => return result,
            }
            let Ok(next) = Client::connect(&self.path) else {
                return Err(ClientError::Gone);
            };
            *self = next;
            // A call that waits may have its reply at any time. That nobody is there has to be known before.
            match self.call(GET_INFO, &Map::new(), false) {
                Ok(_) | Err(ClientError::Gone) => {}
                Err(ClientError::Silent(_)) => return Err(ClientError::Gone),
                result => return result,
            }
        }
        self.call(method, parameters, waits)
    }

    /// One request, one reply. With `waits` the reply may take for ever.
    pub fn call(
        &mut self,
        method: &str,
        parameters: &impl Serialize,
        waits: bool,
    ) -> Result<Map<String, Value>, ClientError> {
        let patience = (!waits).then_some(PATIENCE);
        self.send(method, parameters, false)?;
        Ok(self.receive(patience)?.0)
    }

    /// One request, many replies: all that come until the last, or until an error.
    pub fn call_more(&mut self, method: &str, parameters: &impl Serialize) -> Result<Replies<'_>, ClientError> {
        self.send(method, parameters, true)?;
        Ok(Replies {
            client: self,
            first: true,
            ended: false,
        })
    }

    fn send(&mut self, method: &str, parameters: &impl Serialize, more: bool) -> Result<(), ClientError> {
        let message = Message {
            method,
            parameters,
            more,
        };
        let mut message = serde_json::to_vec(&message).map_err(|error| ClientError::Protocol(error.to_string()))?;
        message.push(0);
        match self.stream.get_mut().write_all(&message) {
            Ok(()) => Ok(()),
            // A server that is full says so and closes: what it said can still be read.
            Err(error) if matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) => Ok(()),
            Err(error) => Err(failed(error)),
        }
    }

    fn receive(&mut self, patience: Option<Duration>) -> Result<(Map<String, Value>, bool), ClientError> {
        self.stream
            .get_ref()
            .set_read_timeout(patience)
            .map_err(ClientError::Io)?;
        let mut message = Vec::new();
        match (&mut self.stream).take(LONGEST).read_until(0, &mut message) {
            Ok(_) if message.ends_with(&[0]) => drop(message.pop()),
            Ok(length) if length as u64 == LONGEST => {
                return Err(ClientError::Protocol(format!("it is longer than {LONGEST} bytes")));
            }
            Ok(_) => return Err(ClientError::Gone),
            Err(error) => return Err(failed(error)),
        }
        let reply: Reply =
            serde_json::from_slice(&message).map_err(|error| ClientError::Protocol(error.to_string()))?;
        let parameters = reply.parameters.unwrap_or_default();
        match reply.error {
            Some(error) => Err(Error::from_wire(WireError { error, parameters }).into()),
            None => Ok((parameters, reply.continues)),
        }
    }
}

/// The replies to a call with `more`.
#[derive(Debug)]
pub struct Replies<'a> {
    client: &'a mut Client,
    first: bool,
    ended: bool,
}

impl Replies<'_> {
    /// Whether the next reply, or a part of it, has come already.
    #[must_use]
    pub fn has_come(&self) -> bool {
        !self.client.stream.buffer().is_empty()
    }
}

impl AsFd for Replies<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.client.stream.get_ref().as_fd()
    }
}

impl Iterator for Replies<'_> {
    type Item = Result<Map<String, Value>, ClientError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        // The first reply comes at once; between two others anything may happen.
        let patience = self.first.then_some(PATIENCE);
        self.first = false;
        match self.client.receive(patience) {
            Ok((parameters, continues)) => {
                self.ended = !continues;
                Some(Ok(parameters))
            }
            Err(error) => {
                self.ended = true;
                Some(Err(error))
            }
        }
    }
}

/// A reply's parameters as what the interface says they are.
pub fn typed<T: DeserializeOwned>(parameters: Map<String, Value>) -> Result<T, ClientError> {
    serde_path_to_error::deserialize(Value::Object(parameters))
        .map_err(|error| ClientError::Protocol(error.to_string()))
}

/// The clock that fields in `…AtUSec` and `…SinceUSec` are told by, now.
#[must_use]
pub fn realtime_usec() -> u64 {
    crate::sys::clock::realtime_usec()
}

fn open(path: &Path) -> io::Result<UnixStream> {
    let address = UnixAddr::new(path)?;
    let socket = socket::socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    // connect(2) of a UNIX socket waits for room in the backlog for as long as SO_SNDTIMEO says.
    let seconds = i64::try_from(PATIENCE.as_secs()).unwrap_or(i64::MAX);
    socket::setsockopt(&socket, sockopt::SendTimeout, &TimeVal::new(seconds, 0))?;
    loop {
        match socket::connect(socket.as_raw_fd(), &address) {
            Ok(()) => return Ok(UnixStream::from(socket)),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

fn failed(error: io::Error) -> ClientError {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => ClientError::Silent(PATIENCE),
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof => ClientError::Gone,
        _ => ClientError::Io(error),
    }
}
