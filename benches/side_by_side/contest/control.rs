//! The smallest Varlink client that can ask the daemon something. What is timed is the daemon's answer, so the bytes can be
//! had without their being understood, which takes a client longer than the daemon needs.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

/// A connection to a daemon.
#[derive(Debug)]
pub struct Control {
    stream: UnixStream,
    buffer: Vec<u8>,
}

impl Control {
    /// Connects.
    pub fn connect(socket: &Path) -> Result<Control, String> {
        let stream = UnixStream::connect(socket).and_then(|stream| {
            stream.set_read_timeout(Some(Duration::from_secs(30)))?;
            Ok(stream)
        });
        Ok(Control {
            stream: stream.map_err(|error| format!("cannot connect to {}: {error}", socket.display()))?,
            buffer: vec![0; 1 << 20],
        })
    }

    /// One call without parameters; the reply as it comes, without its NUL.
    pub fn raw(&mut self, method: &str) -> Result<Vec<u8>, String> {
        let failed = |error: std::io::Error| format!("{method}: {error}");
        let message = format!("{{\"method\":\"io.sluiced.Relay.{method}\",\"parameters\":{{}}}}\0");
        self.stream.write_all(message.as_bytes()).map_err(failed)?;
        let mut reply = Vec::new();
        while reply.last() != Some(&0) {
            match self.stream.read(&mut self.buffer).map_err(failed)? {
                0 => return Err(format!("{method}: the daemon went away")),
                count => reply.extend_from_slice(&self.buffer[..count]),
            }
        }
        reply.pop();
        Ok(reply)
    }

    /// The same; what the reply says.
    pub fn ask(&mut self, method: &str) -> Result<Value, String> {
        let reply = self.raw(method)?;
        let reply: Value = serde_json::from_slice(&reply).map_err(|error| format!("{method}: {error}"))?;
        match &reply["error"] {
            Value::Null => Ok(reply.get("parameters").cloned().unwrap_or(json!({}))),
            error => Err(format!("{method}: {error} {}", reply["parameters"])),
        }
    }
}
