//! The control socket: the Varlink server that the daemon runs, and the client that `sluicectl` is built on.
//!
//! ```text
//! listener → server → connection → request → access → dispatch → Backend (the daemon)
//!                         link (bytes, codec)  monitor (events)
//! ```
//!
//! May depend on `model`, `sys::clock`, `sys::peer` and `sys::reactor`. The daemon implements [`Backend`]; nothing here knows the daemon. The IDL is
//! in `io.sluiced.Relay.varlink`; docs/control-protocol.md tells of it in words.
#![forbid(unsafe_code)]

mod access;
mod backend;
pub mod call;
pub mod client;
mod codec;
mod connection;
mod dispatch;
mod error;
mod hangup;
mod link;
mod listener;
mod monitor;
pub mod present;
mod request;
mod server;
mod table;
pub mod types;

pub use access::{Access, Group};
pub use backend::{Backend, Caller, Subscription};
pub use dispatch::{RELAY_IDL, SERVICE_IDL};
pub use error::{Error, WireError};
pub use listener::{ListenError, Listener, Made, from_activation, listen, taken_over};
pub use server::{Hold, Limits, Server, turn_away};

#[cfg(test)]
mod idl_tests;
