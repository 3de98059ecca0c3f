//! Children as the kernel sees them: fork and exec, pidfds, reaping, signals to processes and groups, as whom they run
//! and with what limits, and the ends of the pipes that they get. Decides nothing. Depends on `model` for how an exit is
//! told.
//!
//! A child is made in two steps. [`spawn`] forks it and holds it at a gate, before it has done anything that could be
//! seen outside; [`Held::release`] lets it go on to execve(2). Between the two the caller registers its descriptors
//! and hands on the other ends of its pipes; when that fails, dropping the [`Held`] ends a child that never ran.

mod child;
mod ends;
mod group;
mod identity;
mod limits;
mod plan;
mod report;
mod spawn;
mod standing;
mod stat;
mod wait;
mod watch;

pub use ends::{discard, fresh_reader, give, input_pipe, null, output_pipe, pipe_identity, read};
pub use group::{Member, group_members, hold, holds, signal_held};
pub use identity::{Identity, IdentityError, group_id};
pub use limits::{keep_original_nofile, original_nofile, raise_nofile, survive_file_size_limit};
pub use plan::{Attempt, Plan, PlanError};
pub use report::{ExecError, Status, read_status};
pub use spawn::{Held, SpawnError, spawn};
pub use standing::Standing;
pub use stat::{belongs_to, state};
pub use wait::{Child, is_supervised, signal_name};
pub use watch::watch_child;

#[cfg(test)]
mod tests;
