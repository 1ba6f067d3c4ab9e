use std::fmt;
use std::sync::Arc;

/// The key of an app under `apps:`; also its URL segment and its name in logs, audit and metrics.
///
/// Cheap to clone: every request carries several.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AppName(Arc<str>);

/// Why a text is not an app name.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NameError {
    /// The name is empty or longer than [`AppName::MAX_LEN`] bytes.
    #[error("must have 1 to {max} characters", max = AppName::MAX_LEN)]
    Length,
    /// The name holds a character outside `A-Z a-z 0-9 . _ -`, or starts with one of the last three.
    #[error("must start with a letter or digit and hold only letters, digits, `.`, `_` and `-`")]
    Characters,
}

impl AppName {
    /// Longest accepted name in bytes: a name is a URL segment, a metric label and part of a socket path's log line.
    pub const MAX_LEN: usize = 128;

    /// Checks `text` and wraps it.
    ///
    /// # Errors
    /// When the text is empty, too long, or not usable as one URL segment.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if text.is_empty() || text.len() > Self::MAX_LEN {
            return Err(NameError::Length);
        }
        let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        let first = text.as_bytes()[0];
        if !first.is_ascii_alphanumeric() || !text.bytes().all(inner) {
            return Err(NameError::Characters);
        }
        Ok(Self(text.into()))
    }

    /// The name as written in the config.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AppName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for AppName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl std::borrow::Borrow<str> for AppName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_url_segments_only() {
        let long = "a".repeat(129);
        for (text, expect) in [
            ("github", Ok(())),
            ("slack_v2", Ok(())),
            ("9lives.beta-1", Ok(())),
            ("", Err(NameError::Length)),
            (long.as_str(), Err(NameError::Length)),
            ("-x", Err(NameError::Characters)),
            ("a/b", Err(NameError::Characters)),
            ("a b", Err(NameError::Characters)),
            ("ünï", Err(NameError::Characters)),
        ] {
            assert_eq!(AppName::parse(text).map(|_| ()), expect, "{text:?}");
        }
    }
}
