//! Text that must have a certain form.

use super::Report;
use crate::path::KeyPath;
use url::Url;

impl Report<'_> {
    /// Like [`Report::base_url`] with a query allowed, and perhaps with `{param}` placeholders that connections fill in.
    pub(crate) fn template_url(&mut self, path: &KeyPath, raw: Option<&str>) -> Option<String> {
        let text = raw.map(str::trim).filter(|text| !text.is_empty())?;
        let Some(filled) = fill_placeholders(text) else {
            self.problem(path, "has a `{placeholder}` that is empty or not closed");
            return None;
        };
        let wrong = match Url::parse(&filled) {
            Err(_) => "is not an absolute URL",
            Ok(url) if !matches!(url.scheme(), "http" | "https") => "must begin with http:// or https://",
            Ok(url) if !url.username().is_empty() || url.password().is_some() => "must not hold a user or password",
            Ok(url) if url.fragment().is_some() => "must have no fragment",
            Ok(_) => return Some(text.to_owned()),
        };
        self.problem(path, wrong);
        None
    }

    /// A list of which no item is blank.
    pub(crate) fn names(&mut self, path: &KeyPath, raw: Vec<String>) -> Vec<String> {
        for (i, _) in raw.iter().enumerate().filter(|(_, name)| name.trim().is_empty()) {
            self.problem(&path.index(i), "must not be blank");
        }
        raw.into_iter().map(|name| name.trim().to_owned()).collect()
    }

    /// Text that must be there.
    pub(crate) fn required(&mut self, path: &KeyPath, raw: Option<String>) -> Option<String> {
        let text = raw.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        if text.is_none() {
            self.problem(path, "is required");
        }
        text
    }
}

/// The text with something harmless in the place of each placeholder. `None` when one is empty or not closed.
fn fill_placeholders(text: &str) -> Option<String> {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, behind) = after.split_once('}')?;
        if name.is_empty() || name.contains(['{', '/']) || before.contains('}') {
            return None;
        }
        filled.push_str(before);
        filled.push('1');
        rest = behind;
    }
    filled.push_str(rest);
    (!rest.contains('}')).then_some(filled)
}

/// A token in HTTP's sense.
pub(crate) fn is_header_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}
