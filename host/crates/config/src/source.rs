//! Files as they were written, and what is found wrong with them.

use crate::path::{KeyPath, Step};
use crate::problem::{Excerpt, Location, Problem, Problems};
use gestalt_core::foreign;
use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// Largest file read. A catalog of ten thousand operations is below it; a log file passed by mistake is not.
pub(crate) const MAX_FILE: u64 = 16 << 20;

/// Part of one file, in bytes of its text as written (before expansion).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Span {
    pub(crate) file: u16,
    pub(crate) start: u32,
    pub(crate) end: u32,
}

/// One file's text and the parts of it that must not be shown.
#[derive(Clone, Debug)]
struct Source {
    file: Arc<Path>,
    text: String,
    line_starts: Vec<u32>,
    secrets: Vec<Range<usize>>,
    /// Keys that came out of the environment, in whole or in part: each as it reads, and as it was written.
    expanded_keys: HashMap<String, String>,
    /// Values out of the environment, and the placeholder of each.
    expanded: HashMap<String, String>,
}

/// The files of one load.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sources(Vec<Source>);

/// What is wrong, before it is laid out for reading.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    pub(crate) span: Span,
    pub(crate) path: KeyPath,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
    /// What of the file to show.
    pub(crate) show: Show,
}

/// What of the file a finding shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Show {
    /// The place only: the text around it is not understood well enough to know that it holds no secret.
    Nothing,
    /// The line.
    Line,
    /// The line, and the marked text as the offending value.
    Value,
    /// Neither line nor column mean anything.
    File,
}

impl Sources {
    /// Takes a text in and numbers it.
    pub(crate) fn add(&mut self, file: &Path, text: String) -> u16 {
        let breaks = text.bytes().enumerate().filter(|&(_, b)| b == b'\n').map(|(i, _)| offset(i + 1));
        let line_starts = std::iter::once(0).chain(breaks).collect();
        let (secrets, expanded_keys, expanded) = (Vec::new(), HashMap::new(), HashMap::new());
        self.0.push(Source { file: file.into(), text, line_starts, secrets, expanded_keys, expanded });
        u16::try_from(self.0.len() - 1).unwrap_or(u16::MAX)
    }

    pub(crate) fn files(&self) -> impl Iterator<Item = &Path> {
        self.0.iter().map(|source| &*source.file)
    }

    pub(crate) fn text(&self, file: u16) -> &str {
        self.0.get(usize::from(file)).map_or("", |s| &s.text)
    }

    /// From now on the text at `span` is shown to nobody.
    pub(crate) fn blot(&mut self, span: Span) {
        if let Some(source) = self.0.get_mut(usize::from(span.file)) {
            source.secrets.push(span.start as usize..span.end as usize);
        }
    }

    /// From now on `key`, which is written at `span`, is called what is written there: a message that named it by what
    /// the environment made of it would show a value of the environment.
    pub(crate) fn call_as_written(&mut self, key: &str, span: Span) {
        if !self.is_expanded(span) {
            return;
        }
        if let Some(source) = self.0.get_mut(usize::from(span.file)) {
            let written = source.text.get(span.start as usize..span.end as usize).unwrap_or("");
            source.expanded_keys.insert(key.to_owned(), written.trim_matches(['"', '\'']).to_owned());
        }
    }

    /// Whether what is written there has a placeholder in it.
    pub(crate) fn is_expanded(&self, span: Span) -> bool {
        let source = self.0.get(usize::from(span.file));
        let written = source.and_then(|source| source.text.get(span.start as usize..span.end as usize));
        written.is_some_and(|written| written.contains('$'))
    }

    /// What a key is called.
    fn written<'a>(&'a self, key: &'a str) -> &'a str {
        self.0.iter().find_map(|source| source.expanded_keys.get(key)).map_or(key, String::as_str)
    }

    /// From now on `value` is called `written`: it is what the environment made of that placeholder.
    pub(crate) fn call_by_placeholder(&mut self, file: u16, value: &str, written: Range<usize>) {
        let Some(source) = self.0.get_mut(usize::from(file)).filter(|_| !value.is_empty()) else { return };
        if let Some(written) = source.text.get(written).filter(|_| !source.expanded.contains_key(value)) {
            source.expanded.insert(value.to_owned(), written.to_owned());
        }
    }

    /// The text with every value of the environment called by its placeholder. One that looks like an ordinary word is
    /// looked for between backticks only, where messages quote what they found.
    pub(crate) fn in_written_words(&self, text: String) -> String {
        let mut values: Vec<_> = self.0.iter().flat_map(|source| &source.expanded).collect();
        if values.is_empty() {
            return text;
        }
        // The longest first: one may be part of another.
        values.sort_by(|(a, _), (b, _)| b.len().cmp(&a.len()).then(a.cmp(b)));
        let mut parts: Vec<String> = text.split('`').map(str::to_owned).collect();
        for (i, part) in parts.iter_mut().enumerate() {
            if i % 2 == 1 {
                *part = self.written(part).to_owned();
            }
            for (value, written) in &values {
                if is_telling(value) {
                    *part = part.replace(value.as_str(), written);
                } else if i % 2 == 1 {
                    *part = replace_word(part, value, written);
                }
            }
        }
        parts.join("`")
    }

    pub(crate) fn locate(&self, span: Span) -> Location {
        match self.0.get(usize::from(span.file)) {
            Some(source) => source.locate(span.start),
            None => Location::file(Path::new("")),
        }
    }

    /// Lays findings out, in the order of files and lines.
    pub(crate) fn report(&self, mut findings: Vec<Finding>) -> Problems {
        findings.sort_by_key(|f| f.span);
        findings.dedup_by(|a, b| (a.span, &a.message, &a.path) == (b.span, &b.message, &b.path));
        Problems(findings.into_iter().map(|f| self.lay_out(f)).collect())
    }

    fn lay_out(&self, finding: Finding) -> Problem {
        let Finding { span, path, message, hint, show } = finding;
        let (mut at, mut value, mut excerpt) = (self.locate(span), None, None);
        if let Some(source) = self.0.get(usize::from(span.file)) {
            match show {
                Show::File => at = Location::file(&source.file),
                Show::Nothing => {}
                Show::Line => excerpt = source.excerpt(span),
                Show::Value => (excerpt, value) = (source.excerpt(span), source.value(span)),
            }
        }
        let steps = path.0.into_iter().map(|step| match step {
            Step::Key(key) => Step::Key(self.written(&key).to_owned()),
            index => index,
        });
        let path = self.in_written_words(KeyPath(steps.collect()).to_string());
        let (message, hint) = (self.in_written_words(message), hint.map(|hint| self.in_written_words(hint)));
        Problem { at, path, value, message, hint, excerpt }
    }
}

impl Source {
    fn locate(&self, at: u32) -> Location {
        let line = self.line_starts.partition_point(|&start| start <= at);
        let start = self.line_starts.get(line.saturating_sub(1)).copied().unwrap_or(0);
        let before = self.text.get(start as usize..at as usize).unwrap_or("");
        Location { file: self.file.clone(), line: offset(line), column: offset(before.chars().count() + 1) }
    }

    /// The value as written, when it fits a line and is no secret.
    fn value(&self, span: Span) -> Option<String> {
        const MOST: usize = 80;
        let range = span.start as usize..span.end as usize;
        let secret = self.secrets.iter().any(|s| s.start < range.end && range.start < s.end);
        let text = self.text.get(range).filter(|t| !secret && !t.contains('\n') && !t.is_empty())?;
        match text.char_indices().nth(MOST) {
            Some((cut, _)) => Some(format!("{}…", &text[..cut])),
            None => Some(text.to_owned()),
        }
    }

    /// The line `span` begins on, with every secret in it replaced by three stars.
    fn excerpt(&self, span: Span) -> Option<Excerpt> {
        const WIDEST: usize = 160;
        let line = self.line_starts.partition_point(|&start| start <= span.start);
        let start = *self.line_starts.get(line.checked_sub(1)?)? as usize;
        let end = self.text.get(start..)?.find('\n').map_or(self.text.len(), |i| start + i);
        let secrets: Vec<_> = self.secrets.iter().filter(|s| s.start < end && start < s.end).collect();
        let (mut shown, mut caret, mut len) = (String::new(), 0, 0);
        let mut starred = false;
        for (i, c) in self.text.get(start..end)?.trim_end_matches('\r').char_indices() {
            let at = start + i;
            let secret = secrets.iter().any(|s| s.contains(&at));
            let width = if !secret { 1 } else { usize::from(!starred) * 3 };
            if at < span.start as usize {
                caret += width;
            } else if at < span.end as usize {
                len += width;
            }
            match (secret, starred) {
                (true, false) => shown.push_str("***"),
                (true, true) => {}
                (false, _) => shown.push(if foreign::stands(c) { c } else { ' ' }),
            }
            starred = secret;
        }
        let wide = shown.chars().count();
        if wide > WIDEST {
            return None;
        }
        Some(Excerpt { line: shown, start: caret, len: len.clamp(1, wide.saturating_sub(caret).max(1)) })
    }
}

/// Whether a value is nothing a message would say of itself.
fn is_telling(value: &str) -> bool {
    const SHORT: usize = 6;
    value.len() >= SHORT && !value.bytes().all(|b| b.is_ascii_lowercase())
}

/// `text` with `word` replaced where it stands by itself.
fn replace_word(text: &str, word: &str, by: &str) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while let Some(at) = rest.find(word) {
        let (before, after) = (&rest[..at], &rest[at + word.len()..]);
        let bounded = !before.ends_with(char::is_alphanumeric) && !after.starts_with(char::is_alphanumeric);
        out.push_str(before);
        out.push_str(if bounded { by } else { word });
        rest = after;
    }
    out + rest
}

/// Offsets fit: [`MAX_FILE`] is far below `u32::MAX`.
pub(crate) fn offset(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// Reads a whole file of text.
///
/// # Errors
/// Why not, in words that can follow the file's name.
pub(crate) fn read(mut file: File) -> Result<String, String> {
    let mut bytes = Vec::new();
    file.by_ref().take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(|e| explain(&e))?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(format!("is larger than {} MiB", MAX_FILE >> 20));
    }
    String::from_utf8(bytes).map_err(|_| "is not UTF-8 text".to_owned())
}

/// The operating system's reason, without its number.
pub(crate) fn explain(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "does not exist".to_owned(),
        std::io::ErrorKind::PermissionDenied => "may not be read by this user".to_owned(),
        std::io::ErrorKind::IsADirectory => "is a directory".to_owned(),
        kind => format!("cannot be read: {kind}"),
    }
}
