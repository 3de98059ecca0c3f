//! Every decision, and no IO: `(state, event, now) → (state, actions)`. Owns no descriptor and reads no clock; depends on
//! `model` only. What is decided here is executed by `relay/`, `supervise/` and `daemon/`.
#![forbid(unsafe_code)]

pub mod delegation;
pub mod dropping;
pub mod gate;
pub mod notification;
pub mod pauses;
pub mod process;
pub mod rate;
pub mod reload;
pub mod restart;
pub mod route;
pub mod shares;
pub mod start_order;
pub mod stop_order;
pub mod watermark;
pub mod why;
