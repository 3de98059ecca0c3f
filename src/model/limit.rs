//! Resource limits of a child.

use serde::{Deserialize, Serialize};

/// One resource limit of setrlimit(2). `None` is infinity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitSpec {
    /// Of what.
    pub resource: LimitedResource,
    /// The soft limit.
    pub soft: Option<u64>,
    /// The hard limit.
    pub hard: Option<u64>,
}

/// What can be limited. setrlimit(2)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LimitedResource {
    /// Descriptors.
    Nofile,
    /// Bytes of a core file.
    Core,
    /// Bytes of address space.
    As,
    /// Bytes of a file that it writes.
    Fsize,
    /// Processes of its user.
    Nproc,
    /// Bytes locked into memory.
    Memlock,
}
