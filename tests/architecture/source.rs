//! Source text as far as its rules need it: words, paths and `use` groups. Comments and texts are left out.

use std::fs;
use std::path::{Path, PathBuf};

/// One file below src/.
pub struct Source {
    /// Below src/, with `/`.
    pub path: String,
    pub text: String,
}

/// A path in the source that begins at the crate's root, or with a crate's name.
pub struct Used {
    pub line: usize,
    pub path: Vec<String>,
}

impl Used {
    pub fn top(&self) -> &str {
        self.path.first().map_or("", String::as_str)
    }

    pub fn shown(&self) -> String {
        format!("crate::{}", self.path.join("::"))
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Token<'a> {
    Word(&'a str),
    PathSeparator,
    Mark(char),
}

impl<'a> Token<'a> {
    pub fn word(&self) -> Option<&'a str> {
        match self {
            Token::Word(word) => Some(word),
            Token::PathSeparator | Token::Mark(_) => None,
        }
    }
}

type Tokens<'a> = Vec<(usize, Token<'a>)>;

impl Source {
    pub fn top(&self) -> &str {
        let first = self.path.split('/').next().unwrap_or_default();
        first.strip_suffix(".rs").unwrap_or(first)
    }

    pub fn at(&self, line: usize) -> String {
        format!("src/{}:{line}", self.path)
    }

    /// How many modules deep: 0 for lib.rs, 1 for a/mod.rs, 2 for a/b.rs.
    fn depth(&self) -> usize {
        let parts: Vec<&str> = self.path.split('/').collect();
        match parts[..] {
            ["lib.rs"] => 0,
            [.., "mod.rs"] => parts.len() - 1,
            _ => parts.len(),
        }
    }

    pub fn tokens(&self) -> Tokens<'_> {
        Lexer {
            text: &self.text,
            at: 0,
            line: 1,
        }
        .tokens()
    }

    /// Every path that begins at the crate's root: `crate::…`, `super::…` that climbs so far, and in a binary
    /// `sluiced::…`.
    pub fn uses(&self) -> Vec<Used> {
        let mut found = self.paths_below("crate", 1);
        // In a module inside of a file the chain is one longer and reaches less far; a name of a top-level module
        // behind it is a chain that climbs all the same, or one that had better be written `crate::…`.
        let tops: Vec<&str> = super::ALLOWED.iter().map(|(module, _)| *module).collect();
        let climbs = self.paths_below("super", self.depth().max(1));
        found.extend(climbs.into_iter().filter(|used| tops.contains(&used.top())));
        if self.top() == "bin" {
            found.extend(self.paths_below("sluiced", 1));
        }
        found
    }

    /// Every path that begins with the crate `root`, with it.
    pub fn paths_from(&self, root: &str) -> Vec<Used> {
        let mut found = self.paths_below(root, 1);
        for used in &mut found {
            used.path.insert(0, root.to_owned());
        }
        found
    }

    /// Every path that begins with `root`, at least `times` times, without it.
    fn paths_below(&self, root: &str, times: usize) -> Vec<Used> {
        let tokens = self.tokens();
        let is = |i: usize, token: Token<'_>| tokens.get(i).is_some_and(|(_, there)| *there == token);
        let mut found = Vec::new();
        for i in 0..tokens.len() {
            let begins = is(i, Token::Word(root)) && (i == 0 || !is(i - 1, Token::PathSeparator));
            let mut at = i;
            let mut count = 0;
            while begins && is(at, Token::Word(root)) && is(at + 1, Token::PathSeparator) {
                at += 2;
                count += 1;
            }
            if count >= times {
                collect(&tokens, at, &mut Vec::new(), &mut found);
            }
        }
        found
    }
}

/// Follows a path from `at`, into every branch of its group, and gives the place behind it.
fn collect(tokens: &Tokens<'_>, mut at: usize, prefix: &mut Vec<String>, found: &mut Vec<Used>) -> usize {
    let before = prefix.len();
    let line = tokens.get(at).map_or(0, |(line, _)| *line);
    loop {
        match tokens.get(at).map(|(_, token)| *token) {
            Some(Token::Word(word)) => {
                prefix.push(word.to_owned());
                at += 1;
            }
            Some(Token::Mark('{')) => {
                at += 1;
                while tokens.get(at).is_some_and(|(_, token)| *token != Token::Mark('}')) {
                    let next = collect(tokens, at, prefix, found);
                    // `as name`, `*` and the comma.
                    at = next.max(at + 1);
                }
                prefix.truncate(before);
                return at + 1;
            }
            _ => break,
        }
        if tokens.get(at).is_some_and(|(_, token)| *token == Token::PathSeparator) {
            at += 1;
        } else {
            break;
        }
    }
    if prefix.len() > before {
        found.push(Used {
            line,
            path: prefix.clone(),
        });
    }
    prefix.truncate(before);
    at
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    line: usize,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn skip(&mut self, bytes: usize) {
        let bytes = bytes.min(self.text.len() - self.at);
        self.line += self.rest()[..bytes].matches('\n').count();
        self.at += bytes;
    }

    fn skip_past(&mut self, end: &str) {
        self.skip(self.rest().find(end).map_or(usize::MAX, |found| found + end.len()));
    }

    fn tokens(mut self) -> Tokens<'a> {
        let mut tokens = Vec::new();
        while let Some(next) = self.rest().chars().next() {
            let line = self.line;
            if self.rest().starts_with("//") {
                self.skip_past("\n");
            } else if self.rest().starts_with("/*") {
                self.block_comment();
            } else if next == '"' {
                self.quoted('"');
            } else if next == '\'' {
                self.character_or_lifetime();
            } else if next == '_' || next.is_alphabetic() {
                let word = self.word();
                if !self.prefixed(word) {
                    tokens.push((line, Token::Word(word)));
                }
            } else if self.rest().starts_with("::") {
                self.skip(2);
                tokens.push((line, Token::PathSeparator));
            } else {
                self.skip(next.len_utf8());
                if !next.is_whitespace() {
                    tokens.push((line, Token::Mark(next)));
                }
            }
        }
        tokens
    }

    fn word(&mut self) -> &'a str {
        let rest = self.rest();
        let end = rest
            .find(|c: char| c != '_' && !c.is_alphanumeric())
            .unwrap_or(rest.len());
        self.skip(end);
        &rest[..end]
    }

    /// `r"…"`, `br#"…"#`, `b'…'` and the like; true when `word` began one.
    fn prefixed(&mut self, word: &str) -> bool {
        let rest = self.rest();
        let hashes = rest.len() - rest.trim_start_matches('#').len();
        match word {
            "r" | "br" | "cr" if rest[hashes..].starts_with('"') => {
                self.skip(hashes + 1);
                self.skip_past(&format!("\"{}", "#".repeat(hashes)));
                true
            }
            "b" | "c" if rest.starts_with('"') => {
                self.quoted('"');
                true
            }
            "b" if rest.starts_with('\'') => {
                self.quoted('\'');
                true
            }
            // r#name: the name comes next.
            "r" if hashes == 1 => {
                self.skip(1);
                true
            }
            _ => false,
        }
    }

    fn quoted(&mut self, quote: char) {
        self.skip(1);
        while let Some(next) = self.rest().chars().next() {
            self.skip(next.len_utf8());
            if next == '\\' {
                let escaped = self.rest().chars().next().map_or(0, char::len_utf8);
                self.skip(escaped);
            } else if next == quote {
                return;
            }
        }
    }

    fn character_or_lifetime(&mut self) {
        let mut following = self.rest().chars().skip(1);
        let (first, second) = (following.next(), following.next());
        if first == Some('\\') || second == Some('\'') {
            self.quoted('\'');
        } else {
            self.skip(1);
            self.word();
        }
    }

    fn block_comment(&mut self) {
        let mut depth = 0;
        while !self.rest().is_empty() {
            if self.rest().starts_with("/*") {
                depth += 1;
                self.skip(2);
            } else if self.rest().starts_with("*/") {
                depth -= 1;
                self.skip(2);
                if depth == 0 {
                    return;
                }
            } else {
                self.skip(self.rest().chars().next().map_or(1, char::len_utf8));
            }
        }
    }
}

pub fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    find(&root, &mut files);
    files.sort();
    let sources: Vec<Source> = files
        .into_iter()
        .map(|file| Source {
            path: file
                .strip_prefix(&root)
                .expect("below src/")
                .to_string_lossy()
                .into_owned(),
            text: fs::read_to_string(&file).expect("a source file"),
        })
        .collect();
    assert!(sources.len() > 50, "src/ is not where it was");
    sources
}

fn find(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("src/ can be listed") {
        let path = entry.expect("an entry of src/").path();
        if path.is_dir() {
            find(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}
