//! Every decision, and no IO: `(state, event, now) → (state, actions)`. Owns no descriptor and reads no clock; depends on
//! `model` only. What is decided here is executed by `relay/`, `supervise/` and `daemon/`.
#![forbid(unsafe_code)]
//! Every decision and no IO. Depends on `model` only; owns no descriptor and reads no clock: what happened and when is
//! given, what to do is returned.

pub mod gate;
pub mod pauses;
pub mod process;
pub mod restart;
pub mod route;
pub mod watermark;
