//! Addresses, versions and paths.

use crate::check::Report;
use crate::path::KeyPath;
use std::path::{Component, Path, PathBuf};

/// The address of a package: `host/owner/repo/path…`.
pub(crate) fn address(report: &mut Report<'_>, at: &KeyPath, raw: Option<String>) -> Option<String> {
    let hint = Some("write `host/owner/repo/path`, such as `github.com/acme/apps/support`".to_owned());
    let Some(text) = raw.filter(|text| !text.is_empty()) else {
        report.hinted(at, "is required", hint);
        return None;
    };
    let lower = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let mut segments = text.split('/');
    let host = segments.next().unwrap_or_default();
    let label = |l: &str| !l.is_empty() && l.bytes().all(|b| lower(b) || b == b'-');
    let segment = |s: &str| s.bytes().next().is_some_and(lower) && s.bytes().all(|b| lower(b) || b"._-".contains(&b));
    let message = if text.split('/').count() < 4 {
        "must have at least four segments"
    } else if !host.contains('.') || !host.split('.').all(label) {
        "must begin with a host name in lower case"
    } else if !segments.all(segment) {
        "must have segments of lower-case letters, digits, `.`, `_` and `-`"
    } else {
        return Some(text);
    };
    report.hinted(at, message, hint);
    None
}

/// A semantic version.
pub(crate) fn version(report: &mut Report<'_>, at: &KeyPath, text: &str) -> Option<semver::Version> {
    match semver::Version::parse(text) {
        Ok(version) => Some(version),
        Err(_) => {
            let bare = text.strip_prefix('v').filter(|bare| semver::Version::parse(bare).is_ok());
            let hint = bare.map_or("write `1.2.3`, or `1.2.3-alpha.1`".to_owned(), |bare| format!("write `{bare}`"));
            report.hinted(at, "is not a semantic version", Some(hint));
            None
        }
    }
}

/// A path inside the package: relative, forward slashes, never out of it. A leading `./` is dropped.
pub(crate) fn package_path(report: &mut Report<'_>, at: &KeyPath, text: &str) -> Option<PathBuf> {
    let path = relative_path(report, at, text)?;
    if path.components().any(|part| part == Component::ParentDir) {
        report.problem(at, "must not lead out of the package");
        return None;
    }
    Some(path)
}

/// A path that starts at the package, and may lead out of it.
pub(crate) fn relative_path(report: &mut Report<'_>, at: &KeyPath, text: &str) -> Option<PathBuf> {
    let bare = text.strip_prefix("./").unwrap_or(text);
    let path = Path::new(bare);
    let message = if bare.is_empty() {
        "must not be empty"
    } else if text.contains(['\\', '\0']) {
        "must use forward slashes"
    } else if path.is_absolute() {
        "must be relative to the package"
    } else if path.components().collect::<PathBuf>().as_os_str() != bare {
        "must be written without `.` parts, double slashes and a final slash"
    } else {
        return Some(path.to_owned());
    };
    report.problem(at, message);
    None
}
