//! A client that sends what it is told to, byte for byte.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

pub struct Raw(BufReader<UnixStream>);

impl Raw {
    pub fn connect(path: &Path) -> Raw {
        let stream = UnixStream::connect(path).unwrap();
        // No test waits for longer.
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
        Raw(BufReader::new(stream))
    }

    pub fn stream(&self) -> &UnixStream {
        self.0.get_ref()
    }

    /// Whether all of it was taken.
    pub fn send(&mut self, bytes: &[u8]) -> bool {
        self.0.get_mut().write_all(bytes).is_ok()
    }

    pub fn request(&mut self, json: &str) {
        assert!(self.send(format!("{json}\0").as_bytes()));
    }

    pub fn begin(&mut self, method: &str, parameters: &str) {
        self.request(&format!(
            r#"{{"method":"io.sluiced.Relay.{method}","parameters":{parameters}}}"#
        ));
    }

    pub fn begin_more(&mut self, method: &str, parameters: &str) {
        self.request(&format!(
            r#"{{"method":"io.sluiced.Relay.{method}","parameters":{parameters},"more":true}}"#
        ));
    }

    pub fn call(&mut self, method: &str, parameters: &str) -> Value {
        self.begin(method, parameters);
        self.reply()
    }

    /// `None` at the end of the stream.
    pub fn next(&mut self) -> Option<Value> {
        let mut message = Vec::new();
        match self.0.read_until(0, &mut message) {
            Ok(0) => return None,
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
            other => other.unwrap(),
        };
        assert_eq!(message.pop(), Some(0), "a reply without its end");
        Some(serde_json::from_slice(&message).unwrap())
    }

    pub fn reply(&mut self) -> Value {
        self.next().unwrap()
    }

    pub fn error(&mut self) -> String {
        let reply = self.reply();
        reply["error"]
            .as_str()
            .unwrap_or_else(|| panic!("no error: {reply}"))
            .to_owned()
    }

    pub fn half_close(&self) {
        self.stream().shutdown(Shutdown::Write).unwrap();
    }

    /// Asserts that the server closed it and said nothing more.
    pub fn closed(&mut self) {
        let mut rest = Vec::new();
        match self.0.read_to_end(&mut rest) {
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
            other => assert_eq!(other.unwrap(), 0),
        }
    }
}
