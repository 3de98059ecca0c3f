//! A small Varlink client: NUL-terminated JSON over a UNIX stream socket.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde_json::{Value, json};

use super::{Deadline, PATIENCE, Shown};

/// The interface that a method without a dot is of.
const INTERFACE: &str = "io.sluiced.Relay";

/// An error reply.
#[derive(Clone, Debug, PartialEq)]
pub struct CallError {
    /// Its full name, e.g. `io.sluiced.Relay.NoSuchRoute`.
    pub name: String,
    /// What it says.
    pub parameters: Shown,
}

/// One connection.
///
/// ```ignore
/// let mut client = daemon.client();
/// let status = client.call("GetStatus", json!({})).expect("GetStatus");
/// let error = client.call("PauseRoute", json!({ "name": "nope" })).expect_err("no such route");
/// assert_eq!(error.name, "io.sluiced.Relay.NoSuchRoute");
/// ```
pub struct Client {
    stream: UnixStream,
    received: VecDeque<u8>,
}

impl Client {
    /// Connects; an error where nobody listens.
    pub fn connect(socket: &Path) -> std::io::Result<Client> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Client {
            stream,
            received: VecDeque::new(),
        })
    }

    /// Sends bytes as they are; an error when the daemon has closed the connection.
    pub fn send_raw(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends one message.
    pub fn send(&mut self, message: &Value) {
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.send_raw(&bytes)
            .unwrap_or_else(|error| panic!("cannot send {message}: {error}"));
    }

    /// Sends a call; `extra` are the varlink flags (`more`, `oneway`).
    pub fn send_call(&mut self, method: &str, parameters: &Value, extra: &[&str]) {
        let mut message = call_of(method, parameters);
        for flag in extra {
            message[*flag] = json!(true);
        }
        self.send(&message);
    }

    /// Sends a call; an error when the daemon has closed the connection.
    pub(super) fn try_send_call(&mut self, method: &str, parameters: &Value) -> std::io::Result<()> {
        let mut bytes = call_of(method, parameters).to_string().into_bytes();
        bytes.push(0);
        self.send_raw(&bytes)
    }

    /// The next message; `None` when the daemon has closed the connection; panics when none comes.
    pub fn receive(&mut self) -> Option<Shown> {
        self.receive_within(&Deadline::within(PATIENCE))
            .unwrap_or_else(|| panic!("no reply within {PATIENCE:?}"))
    }

    /// `Some(None)` for an orderly end, `None` when nothing came before the deadline.
    #[expect(clippy::option_option, reason = "the outer is the deadline, the inner the end")]
    pub fn receive_within(&mut self, deadline: &Deadline) -> Option<Option<Shown>> {
        loop {
            if let Some(end) = self.received.iter().position(|byte| *byte == 0) {
                let message: Vec<u8> = self.received.drain(..=end).collect();
                let value = serde_json::from_slice(&message[..end]);
                let value =
                    value.unwrap_or_else(|error| panic!("not JSON ({error}): {}", String::from_utf8_lossy(&message)));
                return Some(Some(Shown(value)));
            }
            let left = deadline.left().max(std::time::Duration::from_millis(1));
            self.stream.set_read_timeout(Some(left)).expect("a read timeout");
            let mut chunk = [0; 65536];
            match self.stream.read(&mut chunk) {
                Ok(0) => return Some(None),
                Ok(count) => self.received.extend(&chunk[..count]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return None,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Some(None),
                Err(error) => panic!("cannot read from the control socket: {error}"),
            }
        }
    }

    /// One reply, taken apart.
    pub fn reply(&mut self) -> Result<Shown, CallError> {
        let message = self.receive().expect("a reply, and not the end of the connection");
        parameters_of(&message)
    }

    /// Calls and waits for the reply.
    #[expect(clippy::needless_pass_by_value, reason = "so that a story can write json! in place")]
    pub fn call(&mut self, method: &str, parameters: Value) -> Result<Shown, CallError> {
        self.send_call(method, &parameters, &[]);
        self.reply()
    }

    /// Calls with `more` and collects the replies until the last.
    #[expect(clippy::needless_pass_by_value, reason = "so that a story can write json! in place")]
    pub fn call_more(&mut self, method: &str, parameters: Value) -> Result<Vec<Shown>, CallError> {
        self.send_call(method, &parameters, &["more"]);
        let mut replies = Vec::new();
        loop {
            let message = self.receive().expect("a reply, and not the end of the connection");
            replies.push(parameters_of(&message)?);
            if message.field("continues") != &Value::Bool(true) {
                return Ok(replies);
            }
        }
    }
}

fn call_of(method: &str, parameters: &Value) -> Value {
    let method = if method.contains('.') {
        method.to_owned()
    } else {
        format!("{INTERFACE}.{method}")
    };
    json!({ "method": method, "parameters": parameters })
}

pub(super) fn parameters_of(message: &Shown) -> Result<Shown, CallError> {
    let parameters = message.field("parameters");
    let parameters = Shown(if parameters.is_null() {
        json!({})
    } else {
        parameters.clone()
    });
    match message.field("error").as_str() {
        Some(name) => Err(CallError {
            name: name.to_owned(),
            parameters,
        }),
        None => Ok(parameters),
    }
}

/// A `Monitor` call that is being answered. The events it has told are kept.
pub struct Monitor {
    client: Client,
    told: Vec<Shown>,
}

impl Monitor {
    /// Subscribes and takes the first event, which is the snapshot.
    pub fn subscribe(mut client: Client, subjects: &[&str]) -> Monitor {
        let parameters = if subjects.is_empty() {
            json!({})
        } else {
            json!({ "subjects": subjects })
        };
        client.send_call("Monitor", &parameters, &["more"]);
        let mut monitor = Monitor {
            client,
            told: Vec::new(),
        };
        let first = monitor.next_event();
        assert_eq!(first.text("kind"), "snapshot", "the first event of a Monitor: {first}");
        monitor
    }

    /// The next event, whatever it is.
    pub fn next_event(&mut self) -> Shown {
        let event = self.client.reply();
        let event = event.unwrap_or_else(|error| panic!("Monitor was refused: {error:?}"));
        self.told.push(event.clone());
        event
    }

    /// Reads until an event of this kind about this subject comes (or has come already); panics with all that did.
    pub fn wait_for(&mut self, kind: &str, subject: &str) -> Shown {
        let is_it = |event: &&Shown| event.text("kind") == kind && event.text("subject") == subject;
        if let Some(event) = self.told.iter().find(is_it) {
            return event.clone();
        }
        let deadline = Deadline::within(PATIENCE);
        loop {
            let Some(Some(message)) = self.client.receive_within(&deadline) else {
                panic!("no {kind} of {subject} came, but: {:#?}", self.kinds());
            };
            let event = parameters_of(&message).unwrap_or_else(|error| panic!("Monitor ended: {error:?}"));
            self.told.push(event.clone());
            if is_it(&&event) {
                return event;
            }
        }
    }

    /// How many events of this kind about this subject have been read.
    pub fn count(&self, kind: &str, subject: &str) -> usize {
        let of_it = |event: &&Shown| event.text("kind") == kind && event.text("subject") == subject;
        self.told.iter().filter(of_it).count()
    }

    /// What has been read, in short.
    pub fn kinds(&self) -> Vec<String> {
        let brief = |event: &Shown| format!("{} {}", event.text("kind"), event.text_or_empty("subject"));
        self.told.iter().map(brief).collect()
    }
}
