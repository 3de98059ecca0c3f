use std::path::{Component, Path, PathBuf};

use super::EndpointError;

/// The path of a FIFO or file, checked as text: `what` it is to be, in `base` when it is relative. `.` and doubled
/// slashes go; `..` stays, because after a symlink it does not mean what it seems to.
pub(super) fn resolve(text: &str, kind: &'static str, base: Option<&Path>) -> Result<PathBuf, EndpointError> {
    if text.is_empty() {
        return Err(EndpointError::NoPath(kind));
    }
    if text.contains('\0') {
        return Err(EndpointError::Nul(text.to_owned()));
    }
    let what = if kind == "fifo" { "FIFO" } else { "file" };
    let path = Path::new(text);
    if text.ends_with('/') || text.ends_with("/.") || text == "." || path.file_name().is_none() {
        return Err(EndpointError::Directory(text.to_owned(), what));
    }
    let whole = match base {
        _ if path.is_absolute() => path.to_owned(),
        Some(base) => base.join(path),
        None => return Err(EndpointError::Relative(text.to_owned())),
    };
    Ok(whole.components().collect())
}

/// The path as text that is equal for paths that name the same place, as far as text can tell.
pub(super) fn identity(path: &Path) -> String {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                plain.pop();
            }
            Component::CurDir => {}
            other => plain.push(other),
        }
    }
    format!("path:{}", plain.display())
}
