//! `${NAME}` in a file's raw text, before it is YAML: in keys and comments as well as in values.
//!
//! A name that is not set becomes a marker no file can contain by chance. Only a marker that is still there when all
//! files are merged is a problem: a variable in a comment, or in a value that a later file replaces, is not missed.

use crate::path::{KeyPath, Step};
use crate::source::{Finding, Show, Span, explain, offset, read};
use std::fs::File;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// What a load may know about the process it runs in.
pub trait Env {
    /// The value of an environment variable, if it is set; a value that is no UTF-8 counts as not set.
    fn var(&self, name: &str) -> Option<String>;

    /// What relative paths on the command line, and in `NAME_FILE` variables, start from.
    fn current_dir(&self) -> PathBuf;
}

/// The environment of this process.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessEnv;

impl Env for ProcessEnv {
    fn var(&self, name: &str) -> Option<String> {
        // `std::env::var` panics on no name, but never finds one that is empty or holds these.
        if name.is_empty() || name.contains(['=', '\0']) {
            return None;
        }
        std::env::var(name).ok()
    }

    fn current_dir(&self) -> PathBuf {
        std::env::current_dir().unwrap_or_default()
    }
}

/// What an environment variable that is not set means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The deployment will be served: it is a problem, if the value is still needed after the merge.
    Strict,
    /// The deployment is only looked at: it reads as empty text.
    Lenient,
    /// Providers' `config` is prepared for where they will be served: the placeholder stays, to be expanded there.
    Preserve,
}

/// An expanded text, and which part of it came from where.
#[derive(Debug, Default)]
pub(crate) struct Expanded {
    pub(crate) text: String,
    splices: Vec<Splice>,
}

/// A replaced part: so many bytes of the expanded text for so many of the original.
#[derive(Debug)]
struct Splice {
    at: usize,
    len: usize,
    from: usize,
    from_len: usize,
}

impl Expanded {
    /// The span in the original of a range of the expanded text. Whatever lies in a replaced part is the placeholder.
    pub(crate) fn origin(&self, file: u16, start: usize, end: usize) -> Span {
        let (start, end) = (self.back(start, false), self.back(end, true));
        Span { file, start: offset(start), end: offset(end.max(start)) }
    }

    /// What was put in, and the range in the original of the placeholder it was put in for.
    pub(crate) fn put_in(&self) -> impl Iterator<Item = (&str, Range<usize>)> {
        let value = |splice: &Splice| self.text.get(splice.at..splice.at + splice.len).unwrap_or("");
        self.splices.iter().map(move |splice| (value(splice), splice.from..splice.from + splice.from_len))
    }

    fn back(&self, at: usize, is_end: bool) -> usize {
        let before = |s: &Splice| s.at < at || (s.at == at && !is_end);
        let Some(splice) = self.splices.partition_point(before).checked_sub(1).map(|i| &self.splices[i]) else {
            return at;
        };
        match at.checked_sub(splice.at + splice.len) {
            Some(past) => splice.from + splice.from_len + past,
            None if is_end => splice.from + splice.from_len,
            None => splice.from,
        }
    }
}

/// Stands in for variables that are not set.
#[derive(Debug)]
pub(crate) struct Markers {
    prefix: String,
    missing: Vec<(String, Span)>,
}

impl Markers {
    pub(crate) fn new() -> Self {
        Self {
            prefix: format!("gestaltmissing{:016x}n", RandomState::new().build_hasher().finish()),
            missing: Vec::new(),
        }
    }

    fn mark(&mut self, name: &str, span: Span) -> String {
        self.missing.push((name.to_owned(), span));
        format!("{}{}e", self.prefix, self.missing.len() - 1)
    }

    /// Whether `text` holds a marker.
    pub(crate) fn marked(&self, text: &str) -> bool {
        !self.missing.is_empty() && text.contains(&self.prefix)
    }

    /// The path as it was written.
    fn unmark(&self, path: &KeyPath) -> KeyPath {
        let written = |key: &String| {
            let mut parts = key.split(&self.prefix);
            let mut written = parts.next().unwrap_or_default().to_owned();
            for part in parts {
                let (number, rest) = part.split_once('e').unwrap_or((part, ""));
                let name = number.parse().ok().and_then(|n: usize| self.missing.get(n)).map_or("", |(name, _)| name);
                written += &format!("${{{name}}}{rest}");
            }
            written
        };
        KeyPath(
            path.0
                .iter()
                .map(|step| match step {
                    Step::Key(key) => Step::Key(written(key)),
                    Step::Index(index) => Step::Index(*index),
                })
                .collect(),
        )
    }

    /// The problem of each marker in `text`, which stands at `path`.
    pub(crate) fn findings<'a>(&'a self, text: &'a str, path: &'a KeyPath) -> impl Iterator<Item = Finding> + 'a {
        let numbers = text.split(&self.prefix).skip(1).filter_map(|rest| rest.split('e').next()?.parse::<usize>().ok());
        numbers.filter_map(|n| self.missing.get(n)).map(|(name, span)| Finding {
            path: self.unmark(path),
            hint: Some(match name.chars().all(is_name) && !name.is_empty() {
                true => {
                    format!("set {name}, or {name}_FILE to a file that holds it; `${{{name}:-}}` allows it to be empty")
                }
                false => "a `$` before such a character is always a placeholder; there is no escape for it".to_owned(),
            }),
            ..problem(*span, format!("environment variable `{name}` is not set"))
        })
    }
}

/// Expands every placeholder of `text`, which is file number `file`.
///
/// # Errors
/// One finding for each placeholder that is malformed, or whose `NAME_FILE` cannot be read.
pub(crate) fn expand(
    text: &str,
    file: u16,
    mode: Mode,
    env: &dyn Env,
    markers: &mut Markers,
) -> Result<Expanded, Vec<Finding>> {
    let (mut out, mut findings) = (Expanded::default(), Vec::new());
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        out.text.push_str(&rest[..dollar]);
        let from = text.len() - rest.len() + dollar;
        let (kind, len) = placeholder(&rest[dollar + 1..]);
        rest = &rest[dollar + 1 + len..];
        let span = Span { file, start: offset(from), end: offset(from + 1 + len) };
        let value = match kind {
            Placeholder::Literal => "$".to_owned(),
            Placeholder::Swallowed => String::new(),
            Placeholder::Invalid(message) => {
                findings.push(problem(span, message.to_owned()));
                String::new()
            }
            Placeholder::Name { name, or_empty } => match look_up(name, env) {
                Ok(Some(value)) => value,
                Ok(None) if mode == Mode::Preserve => text[from..=from + len].to_owned(),
                Ok(None) if or_empty || mode == Mode::Lenient => String::new(),
                Ok(None) => markers.mark(name, span),
                Err(message) => {
                    findings.push(problem(span, message));
                    String::new()
                }
            },
        };
        if !matches!(kind, Placeholder::Literal) {
            out.splices.push(Splice { at: out.text.len(), len: value.len(), from, from_len: 1 + len });
        }
        out.text.push_str(&value);
    }
    out.text.push_str(rest);
    if findings.is_empty() { Ok(out) } else { Err(findings) }
}

fn problem(span: Span, message: String) -> Finding {
    Finding { span, path: KeyPath::default(), message, hint: None, show: Show::Nothing }
}

/// What a `$` begins.
enum Placeholder<'a> {
    Name { name: &'a str, or_empty: bool },
    Swallowed,
    Literal,
    Invalid(&'static str),
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Reads what follows a `$`, and how many bytes of it belong to the placeholder.
fn placeholder(rest: &str) -> (Placeholder<'_>, usize) {
    if let Some(inner) = rest.strip_prefix('{') {
        return match inner.find('}') {
            None => (Placeholder::Swallowed, 1),
            Some(0) => (Placeholder::Swallowed, 2),
            Some(end) => (braced(&inner[..end]), end + 2),
        };
    }
    let len = match rest.chars().next() {
        Some('0'..='9' | '*' | '#' | '$' | '@' | '!' | '?' | '-') => 1,
        _ => rest.find(|c| !is_name(c)).unwrap_or(rest.len()),
    };
    match len {
        0 => (Placeholder::Literal, 0),
        len => (Placeholder::Name { name: &rest[..len], or_empty: false }, len),
    }
}

fn braced(inner: &str) -> Placeholder<'_> {
    match inner.split_once(":-") {
        None => Placeholder::Name { name: inner, or_empty: false },
        Some(("", _)) => Placeholder::Invalid("a placeholder needs a name"),
        Some((name, "")) => Placeholder::Name { name, or_empty: true },
        Some(_) => Placeholder::Invalid("only an empty default is allowed: `${NAME:-}`"),
    }
}

fn look_up(name: &str, env: &dyn Env) -> Result<Option<String>, String> {
    if let Some(value) = env.var(name) {
        return Ok(Some(value));
    }
    let variable = format!("{name}_FILE");
    let Some(file) = env.var(&variable).filter(|file| !file.is_empty()) else {
        return Ok(None);
    };
    let path = env.current_dir().join(Path::new(&file));
    let text = File::open(path).map_err(|e| explain(&e)).and_then(read);
    match text {
        Ok(text) => Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned())),
        Err(why) => Err(format!("the file that `{variable}` names {why}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fake;
    impl Env for Fake {
        fn var(&self, name: &str) -> Option<String> {
            Some(match name {
                "A" => "one".to_owned(),
                "EMPTY" => String::new(),
                "1" => "digit".to_owned(),
                "LONG" => "0123456789".to_owned(),
                "SECRET_FILE" => concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/secret.txt").to_owned(),
                "GONE_FILE" => "/nowhere/at/all".to_owned(),
                _ => return None,
            })
        }
        fn current_dir(&self) -> PathBuf {
            PathBuf::new()
        }
    }

    fn run(text: &str, mode: Mode) -> Result<String, String> {
        let mut markers = Markers::new();
        match expand(text, 0, mode, &Fake, &mut markers) {
            Ok(out) => {
                let path = KeyPath::default();
                let missing: Vec<_> = markers.findings(&out.text, &path).map(|f| f.message).collect();
                if missing.is_empty() { Ok(out.text) } else { Err(missing.join("; ")) }
            }
            Err(findings) => Err(findings.into_iter().map(|f| f.message).collect()),
        }
    }

    #[test]
    fn the_grammar() {
        let missing = |name: &str| Err(format!("environment variable `{name}` is not set"));
        let is = |text: &str| Ok(text.to_owned());
        let bad = |text: &str| Err(text.to_owned());
        for (text, expect) in [
            ("x${A}y", is("xoney")),
            ("x$A-y", is("xone-y")),
            ("$A_B", missing("A_B")),
            ("${A:-}", is("one")),
            ("${NONE:-}", is("")),
            ("${EMPTY}", is("")),
            ("${NONE:-x}", bad("only an empty default is allowed: `${NAME:-}`")),
            ("${A:-x}", bad("only an empty default is allowed: `${NAME:-}`")),
            ("${:-}", bad("a placeholder needs a name")),
            ("${:-x}", bad("a placeholder needs a name")),
            ("$$", missing("$")),
            ("$12", is("digit2")),
            ("$*", missing("*")),
            ("a${}b", is("ab")),
            ("a${b", is("ab")),
            ("$ $.\"$\" $", is("$ $.\"$\" $")),
            ("${a b}", missing("a b")),
            ("${NONE}", missing("NONE")),
            ("$NONE ${NONE2}", bad("environment variable `NONE` is not set; environment variable `NONE2` is not set")),
            ("${SECRET}", is("from a file")),
            ("${GONE}", bad("the file that `GONE_FILE` names does not exist")),
            ("ü$A€", is("üone€")),
        ] {
            assert_eq!(run(text, Mode::Strict), expect, "{text}");
        }
        assert_eq!(run("a${NONE}b$$", Mode::Lenient), is("ab"));
        for kept in ["a${NONE}b", "ü$NONE.", "${NONE:-}", "$$"] {
            assert_eq!(run(kept, Mode::Preserve), is(kept));
        }
        assert_eq!(run("${A} ${NONE} ${EMPTY}${SECRET}", Mode::Preserve), is("one ${NONE} from a file"));
        assert_eq!(run("${GONE}", Mode::Preserve), bad("the file that `GONE_FILE` names does not exist"));
    }

    #[test]
    fn positions_lead_back_to_what_was_written() {
        let out = expand("a ${LONG} b $A.", 0, Mode::Strict, &Fake, &mut Markers::new()).unwrap();
        assert_eq!(out.text, "a 0123456789 b one.");
        let origin = |start, end| {
            let span = out.origin(0, start, end);
            (span.start, span.end)
        };
        assert_eq!(origin(0, 1), (0, 1));
        assert_eq!(origin(2, 12), (2, 9));
        assert_eq!(origin(5, 6), (2, 9));
        assert_eq!(origin(13, 14), (10, 11));
        assert_eq!(origin(15, 18), (12, 14));
        assert_eq!(origin(18, 19), (14, 15));
    }
}
