//! `sluicectl config`: each file under a comment that names it, so that the whole is TOML still.

use crate::cli::Failure;
use crate::cli::session::Session;
use crate::cli::text::{plain, plain_lines};
use crate::control::call::{self, ConfigFiles, Nothing};

pub(super) fn run(session: &mut Session) -> Result<(), Failure> {
    let Some(config) = session.ask::<ConfigFiles>(call::GET_CONFIG, &Nothing {})? else {
        return Ok(());
    };
    for file in config.files {
        let text = plain_lines(&file.text);
        let end = if text.is_empty() || text.ends_with('\n') {
            ""
        } else {
            "\n"
        };
        session.say(&format!("# {}\n{text}{end}", plain(&file.path)))?;
    }
    Ok(())
}
