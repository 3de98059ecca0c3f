//! One run of `sluicectl`: the connection, how replies are wanted, and the output.

use std::io::{self, BufWriter, StdoutLock, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::Failure;
use crate::control::call;
use crate::control::client::{Client, ClientError, typed};

/// The connection, and how replies are wanted.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) client: Client,
    pub(super) json: bool,
    pub(super) wait: bool,
    pub(super) out: BufWriter<StdoutLock<'static>>,
}

impl Session {
    pub(super) fn new(client: Client, json: bool, wait: bool) -> Session {
        Session {
            client,
            json,
            wait,
            out: BufWriter::new(io::stdout().lock()),
        }
    }

    /// A call whose reply comes at once. `None` when it was shown as JSON already.
    pub(super) fn ask<T: DeserializeOwned>(
        &mut self,
        method: &str,
        parameters: &impl Serialize,
    ) -> Result<Option<T>, Failure> {
        let reply = self.call(method, parameters, false)?;
        self.reply(reply)
    }

    /// A call whose reply may come when a state is reached.
    pub(super) fn ask_and_wait<T: DeserializeOwned>(
        &mut self,
        method: &str,
        parameters: &impl Serialize,
    ) -> Result<Option<T>, Failure> {
        let reply = self.call(method, parameters, self.wait)?;
        self.reply(reply)
    }

    fn call(
        &mut self,
        method: &str,
        parameters: &impl Serialize,
        waits: bool,
    ) -> Result<Map<String, Value>, ClientError> {
        match method {
            // Whether it was done is not known, and twice is not the same as once.
            // The next life answers, whenever that is.
            call::UPGRADE => self.client.call(method, parameters, true),
            call::SIGNAL_PROCESS | call::RESTART_PROCESS | call::SHUTDOWN => {
                self.client.call(method, parameters, waits)
            }
            _ => self.client.call_again(method, parameters, waits),
        }
    }

    /// Shows the reply as one line where JSON is wanted.
    pub(super) fn reply<T: DeserializeOwned>(&mut self, reply: Map<String, Value>) -> Result<Option<T>, Failure> {
        if !self.json {
            return Ok(Some(typed(reply)?));
        }
        serde_json::to_writer(&mut self.out, &reply).map_err(io::Error::from)?;
        self.out.write_all(b"\n")?;
        Ok(None)
    }

    /// What a verb has to say to people.
    pub(super) fn say(&mut self, text: &str) -> Result<(), Failure> {
        Ok(self.out.write_all(text.as_bytes())?)
    }

    /// Writes what is left.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Whether a call failed because the daemon does not know the name.
pub(super) fn is_unknown(failure: &Failure) -> bool {
    use crate::control::Error::{NoSuchProcess, NoSuchRoute};
    matches!(
        failure,
        Failure::Client(ClientError::Refused(NoSuchRoute(_) | NoSuchProcess(_)))
    )
}
