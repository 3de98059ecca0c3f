//! Opens a file anew while it is written: its old one was renamed, or is to be left.
//!
//! Opening may take as long as the disk likes, so a thread does it, one at a time for each file. What is asked for while
//! it is at it is opened once more when it is done: what it opens may have been put there before that was asked.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::progress::Progress;
use super::{target, writer};
use crate::endpoint::ends::{OpenError, Reopened};

/// How long the end of a record is waited for. The rest of one that the relay has begun comes as fast as it is written,
/// but a last line without newline may be all for today.
const PATIENCE: Duration = Duration::from_secs(2);

/// Begins it. The answer comes when the next write(2) goes to the new file.
pub(super) fn begin(path: &Path, progress: &Arc<Progress>) -> Reopened {
    let (answer, answered) = oneshot::channel();
    if progress.ask(answer) {
        let theirs = (path.to_owned(), Arc::clone(progress));
        if let Err(error) = writer::thread(path, move || run(&theirs.0, &theirs.1)) {
            let error = OpenError::new(format!("cannot start a thread to open {}", path.display()), &error);
            while let Some(number) = progress.next_asked() {
                progress.refuse(number, &error);
            }
        }
    }
    answered
}

fn run(path: &Path, progress: &Progress) {
    while let Some(number) = progress.next_asked() {
        match target::open(path) {
            Ok(target) => {
                progress.offer(target, number);
                progress.insist(number, PATIENCE);
            }
            Err(error) => progress.refuse(number, &error),
        }
    }
}
