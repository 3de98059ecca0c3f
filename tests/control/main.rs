//! The control server on a real socket, hammered with raw bytes, and `sluicectl` against it. The daemon behind it is a
//! small one in memory: `backend.rs`.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

mod backend;
mod calls;
mod ctl;
mod hostile;
mod limits;
mod monitor;
mod raw;
mod stop;
