use std::fmt::{self, Write as _};
use std::ops::Range;
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Element, Group, Level, Origin, Renderer, Snippet};
use serde::Serialize;

/// How many problems are shown to a human; `--json` and the control socket have them all.
const MOST_SHOWN: usize = 1000;

/// One problem of a config. Its serde form is that of the control socket and of `--check --json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// The file as it was named or found.
    pub file: String,
    /// From 1; 0 when it is about the file as a whole.
    pub line: usize,
    /// From 1, in characters; 0 when it is about the file as a whole.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// The line and what in it is meant, in bytes.
    #[serde(skip)]
    pub(super) shown: Option<(Arc<str>, Range<usize>)>,
}

impl Diagnostic {
    /// `FILE:LINE:COL`, or `FILE` alone when it is about the file as a whole.
    #[must_use]
    pub fn place(&self) -> String {
        match self.line {
            0 => self.file.clone(),
            line => format!("{}:{line}:{}", self.file, self.column),
        }
    }

    /// For a human: the place, the line, a caret, what is wrong, what to do.
    fn render(&self, renderer: &Renderer) -> String {
        let mut group = Group::with_title(Level::ERROR.primary_title(self.message.as_str()));
        group = match &self.shown {
            Some((line, meant)) => group.element(
                Snippet::source(&**line)
                    .path(self.file.as_str())
                    .line_start(self.line)
                    .annotation(AnnotationKind::Primary.span(meant.clone())),
            ),
            None if self.line == 0 => group.element(Origin::path(self.file.as_str())),
            None => group.element(
                Origin::path(self.file.as_str())
                    .line(self.line)
                    .char_column(self.column),
            ),
        };
        if let Some(help) = &self.help {
            group = group.element(Element::from(Level::HELP.message(help.as_str())));
        }
        renderer.render(&[group])
    }
}

/// All problems of a config, in the order of the files and of their lines; never empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Diagnostics(pub(super) Vec<Diagnostic>);

impl Diagnostics {
    /// One after the other.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.0.iter()
    }

    /// How many: 1 or more.
    #[allow(clippy::len_without_is_empty)]
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// For a human, with colours or without; ends with a newline.
    #[must_use]
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour {
            Renderer::styled().hyperlink(false)
        } else {
            Renderer::plain()
        };
        let mut text = String::new();
        for diagnostic in self.0.iter().take(MOST_SHOWN) {
            text.push_str(&diagnostic.render(&renderer));
            text.push_str("\n\n");
        }
        let left_out = self.0.len().saturating_sub(MOST_SHOWN);
        if left_out > 0 {
            let _ = writeln!(text, "... and {left_out} more");
        }
        let _ = match self.0.len() {
            1 => writeln!(text, "the config has 1 problem"),
            many => writeln!(text, "the config has {many} problems"),
        };
        text
    }
}

impl<'d> IntoIterator for &'d Diagnostics {
    type Item = &'d Diagnostic;
    type IntoIter = std::slice::Iter<'d, Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Diagnostics {}
