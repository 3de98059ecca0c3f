//! A part of a story that runs beside it: a writer or a reader that would block.

use std::thread::JoinHandle;

/// A thread whose panic is the story's. What runs in it is bounded by its own deadlines.
pub struct Background<T> {
    thread: JoinHandle<T>,
}

impl<T: Send + 'static> Background<T> {
    /// Runs `work` beside the story.
    pub fn run(work: impl FnOnce() -> T + Send + 'static) -> Background<T> {
        Background {
            thread: std::thread::spawn(work),
        }
    }

    /// Whether it has ended.
    pub fn is_done(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits for its end; goes on with its panic if it had one.
    pub fn done(self) -> T {
        match self.thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}
