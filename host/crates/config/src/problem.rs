use gestalt_core::foreign::Foreign;
use serde::Serialize;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// A place in a file somebody wrote.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Location {
    /// The file, as it was named to us.
    pub file: Arc<Path>,
    /// 1-based; 0 when the file as a whole is meant.
    pub line: u32,
    /// 1-based, in characters; 0 when the file as a whole is meant.
    pub column: u32,
}

impl Location {
    /// The file as a whole.
    pub fn file(file: &Path) -> Self {
        Self { file: file.into(), line: 0, column: 0 }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.to_string_lossy();
        let file = Foreign::phrase(&file);
        match self.line {
            0 => write!(f, "{file}"),
            line => write!(f, "{file}:{line}:{}", self.column),
        }
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One thing that is wrong with a file, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Where.
    #[serde(flatten)]
    pub at: Location,
    /// The key, from the top of the file: `apps.github.egress.allowedHosts[2]`. Empty when no key is meant.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// The offending value as it stands in the file. Never a secret, never the value of an environment variable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The line to show, secrets blotted out.
    #[serde(skip)]
    pub(crate) excerpt: Option<Excerpt>,
}

/// One line of a file and the part of it that is meant, in characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Excerpt {
    pub(crate) line: String,
    pub(crate) start: usize,
    pub(crate) len: usize,
}

impl Problem {
    /// A problem found later, by whoever used what stood at `at`.
    pub fn new(at: Location, path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { at, path: path.into(), value: None, message: message.into(), hint: None, excerpt: None }
    }
}

/// Files come from packages, too, and what is wrong with one quotes it: each part is one line, and the lines are ours.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.at)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", Foreign::phrase(&self.path))?;
        }
        write!(f, "{}", Foreign::phrase(&self.message))?;
        let number = self.at.line.to_string();
        let gutter = " ".repeat(number.len());
        if let Some(Excerpt { line, start, len }) = &self.excerpt {
            write!(f, "\n{gutter} |\n{number} | {line}\n{gutter} | {}{}", " ".repeat(*start), "^".repeat(*len))?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\n{gutter} = help: {}", Foreign::phrase(hint))?;
        }
        Ok(())
    }
}

/// Everything that is wrong with what was read, in the order of the files. As an error it is never empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Problems(pub Vec<Problem>);

impl Problems {
    /// Just one.
    pub fn one(problem: Problem) -> Self {
        Self(vec![problem])
    }

    /// Adds those of another file.
    pub fn extend(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each problem in turn.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.0.iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("\n\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_a_problem_are_ours_whatever_it_quotes() {
        let forged = "x\nconfig.yaml:1:1: all is well\r\u{1b}[2K\u{202e}";
        let mut problem = Problem::new(Location { file: Path::new(forged).into(), line: 3, column: 1 }, forged, forged);
        problem.hint = Some(forged.to_owned());
        let shown = problem.to_string();
        let lines: Vec<_> = shown.lines().collect();
        assert!(
            lines.len() == 2 && lines[0].starts_with("x\\n") && lines[1].starts_with("  = help: x\\n"),
            "{shown:?}"
        );
        assert!(!shown.contains(['\r', '\u{1b}', '\u{202e}']), "{shown:?}");
    }
}
