//! `sandboxPaths`: what confined processes may read besides what every one may.

use super::Report;
use crate::path::KeyPath;
use gestalt_core::egress::SandboxPath;
use std::path::Path;

/// Most entries of one list. Each is a mount of its own, in every process the list is for.
const MOST: usize = 64;

/// What is never shown. The sandbox makes its own `/proc` and `/dev`; the rest is how the kernel and the services of the
/// machine are spoken to, and is not for reading.
const NEVER: [&str; 5] = ["/dev", "/proc", "/run", "/sys", "/var/run"];

pub(crate) fn sandbox_paths(report: &mut Report<'_>, at: &KeyPath, raw: Vec<String>) -> Vec<SandboxPath> {
    if raw.len() > MOST {
        report.problem(at, format!("has more than {MOST} entries"));
        return Vec::new();
    }
    let mut paths: Vec<SandboxPath> = Vec::with_capacity(raw.len());
    for (i, text) in raw.into_iter().enumerate() {
        let at = at.index(i);
        if let Some((why, hint)) = wrong(&text) {
            report.hinted(&at, why, hint);
            continue;
        }
        if paths.iter().any(|other| other.path == Path::new(&text)) {
            report.problem(&at, "is listed twice");
            continue;
        }
        paths.push(SandboxPath { path: text.into(), at: report.locate(&at).to_string().into() });
    }
    paths
}

/// Why a text is no path that can be shown, and what would be one.
fn wrong(text: &str) -> Option<(String, Option<String>)> {
    if !text.starts_with('/') {
        return Some((
            "must be an absolute path".to_owned(),
            Some("write it from `/` on: `/opt/python3.12`".to_owned()),
        ));
    }
    if text.contains(|c: char| c.is_control()) {
        return Some(("has control characters".to_owned(), None));
    }
    if text == "/" {
        return Some(("is the whole machine".to_owned(), Some("list the directories that are needed".to_owned())));
    }
    // Judged as text: `Path` reads `/a//b/.` as `/a/b`, and two spellings of one place would be two entries.
    if text[1..].split('/').any(|part| matches!(part, "" | "." | "..")) {
        let hint = "write the path without `.`, `..`, doubled and final slashes".to_owned();
        return Some(("is not in its shortest spelling".to_owned(), Some(hint)));
    }
    let under = NEVER.iter().find(|never| Path::new(text).starts_with(never))?;
    Some((format!("is in `{under}`, which no confined process is shown"), None))
}
