//! Drives routes: readiness → `decide` → `transport`, one task a route, each owned by one relay thread.
//!
//! A relay thread never blocks, never waits for the control plane, and takes only locks that are held for a copy. The
//! control plane sends it `Command`s, reads each route's `RouteCell`, and hears of changes through `Reports`. Depends on
//! `decide`, `endpoint`, `framing`, `overflow`, `transport`, `sys` and `model`.

mod act;
mod backlog;
mod balance;
mod cell;
mod destination;
mod fast;
mod hand_on;
mod handover;
mod message;
mod obey;
mod publish;
mod rate;
mod retune;
mod rewire;
mod route;
mod source;
mod thread;
mod turn;
mod wait;

pub use cell::{RouteCell, Turn};
pub use handover::check_packed;
pub use message::{
    Brought, Command, DestinationCommand, Leave, Left, Notices, Queued, Reopening, Report, Reports, SourceCommand,
    reports,
};
pub use thread::{RelayThread, RouteHandle};
