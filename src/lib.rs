//! `sluiced` plumbs processes together: it supervises children and moves bytes between their stdio and named FIFOs
//! through managed transports.
//!
//! This file is the module map and the dependency rule, nothing else. Dependencies run one way:
//!
//! ```text
//! bin → daemon → relay, supervise, control → decide, overflow, framing, endpoint, transport → sys
//! relay, supervise, endpoint, transport → store → sys
//! cli → control (client and types), never daemon;  config → endpoint;  everything may see model
//! ```
//!
//! `tests/architecture.rs` checks the edges. The data's way through the modules is drawn in `docs/architecture.md`.

pub mod cli;
pub mod config;
pub mod control;
pub mod daemon;
pub mod decide;
pub mod endpoint;
pub mod framing;
pub mod model;
pub mod overflow;
pub mod relay;
pub mod store;
pub mod supervise;
pub mod sys;
pub mod transport;
