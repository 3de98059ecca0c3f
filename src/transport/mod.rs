//! Moves bytes between opened ends: by copy, by splice, by tee, and which of them when. Depends on `sys` and `model`.
//!
//! Everything here is one system call deep and never waits: a call says what it did or what it would have to wait for,
//! and the relay waits for that. What a call means is decided with the kernel's facts at hand (pipe(7), splice(2)):
//! EAGAIN of splice(2) means *source empty or destination full*, a read of 0 bytes is an end of file only when the pipe
//! has hung up, and EPIPE leaves the source's bytes where they are.

mod choose;
mod chunk;
mod end;
mod growth;
mod queue;
mod splice;
mod tee;

pub use choose::{Choice, Chooser, Fast};
pub use chunk::Chunk;
pub use end::{ReadEnd, Took, WriteEnd, Wrote};
pub use growth::{Growth, SavedGrowth};
pub use queue::{Queue, SLICES};
pub use splice::{Moved, splice};
pub use tee::{SavedTee, Tee, TeeMoved};

/// The most that one read takes from a source, in bytes: a pipe's default capacity.
pub const CHUNK: usize = 64 * 1024;

/// So many bytes in one call mean that bulk goes through: the faster paths and larger pipes are worth it.
const BULKY: usize = CHUNK / 2;
