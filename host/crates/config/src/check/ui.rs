//! Where web pages are mounted.

use super::Report;
use crate::deployment::{App, UiBundle};
use crate::path::KeyPath;
use gestalt_core::AppName;
use std::collections::BTreeMap;

/// What the daemon serves itself.
const RESERVED: [&str; 6] = ["/api", "/mcp", "/admin", "/metrics", "/health", "/ready"];

/// A path to mount pages under: one slash in front, none behind.
pub(crate) fn mount_path(report: &mut Report<'_>, at: &KeyPath, text: &str) -> Option<String> {
    let path = match text.trim_end_matches('/') {
        "" if text.starts_with('/') => "/",
        trimmed => trimmed,
    };
    let wrong = if !path.starts_with('/') {
        Some("must begin with a slash".to_owned())
    } else if path.contains(['{', '}', '*', '?', '#']) {
        Some("must be a plain path, without wildcards".to_owned())
    } else if path.split('/').skip(1).any(|part| matches!(part, "." | "..") || (part.is_empty() && path != "/")) {
        Some("must be a plain path, without `.`, `..` and empty parts".to_owned())
    } else {
        let taken = RESERVED.into_iter().find(|own| path != "/" && (below(path, own) || below(own, path)));
        taken.map(|own| format!("meets `{own}`, which the daemon serves itself"))
    };
    if let Some(wrong) = wrong {
        report.problem(at, wrong);
        return None;
    }
    Some(path.to_owned())
}

/// Whether `path` is `above`, or inside it.
fn below(path: &str, above: &str) -> bool {
    path.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// What is mounted where, together: each bundle once, each path once, and an app's pages beside all others.
pub(crate) fn mounts(report: &mut Report<'_>, apps: &BTreeMap<AppName, App>, bundles: &BTreeMap<String, UiBundle>) {
    let top = KeyPath::default();
    let mut bound: BTreeMap<&str, &AppName> = BTreeMap::new();
    let mut mounted: Vec<(KeyPath, &str, bool)> = Vec::new();
    for (name, bundle) in bundles {
        if let Some(path) = &bundle.path {
            mounted.push((top.dotted("providers.ui").key(name).key("path"), path, false));
        }
    }
    for (name, app) in apps {
        let Some(ui) = &app.ui else { continue };
        let at = top.key("apps").key(name.as_str()).key("ui");
        if let Some(bundle) = ui.bundle.as_deref() {
            if let Some(first) = bound.insert(bundle, name) {
                report.problem(&at.key("bundle"), format!("is app `{first}`'s already; a bundle has one app"));
            }
            let entry = bundles.get(bundle);
            if entry.and_then(|b| b.path.as_ref()).is_some_and(|path| *path != ui.path) {
                report.problem(&at.key("path"), "differs from the bundle's own `path`");
                continue;
            }
            let policy = entry.and_then(|b| b.authorization_policy.as_ref());
            if policy.is_some() && policy != app.authorization_policy.as_ref() {
                let message = "this bundle has an `authorizationPolicy` of its own, other than the app's";
                report.problem(&at.key("bundle"), message);
            }
            mounted.retain(|(path, ..)| *path != top.dotted("providers.ui").key(bundle).key("path"));
        }
        mounted.push((at.key("path"), &ui.path, true));
    }
    conflicts(report, &mounted);
    for name in bundles.iter().filter(|(name, b)| b.path.is_none() && !bound.contains_key(name.as_str())).map(|b| b.0) {
        let at = top.dotted("providers.ui").key(name);
        if report.tree.find(&at.key("path")).node.is_some() {
            continue;
        }
        let hint = "write `path`, or name the bundle in an app's `ui.bundle`".to_owned();
        report.hinted(&at, "is mounted nowhere", Some(hint));
    }
}

fn conflicts(report: &mut Report<'_>, mounted: &[(KeyPath, &str, bool)]) {
    for (i, (at, path, of_app)) in mounted.iter().enumerate() {
        for (other_at, other, other_of_app) in &mounted[..i] {
            let nested = *path != "/" && *other != "/" && (below(path, other) || below(other, path));
            if path == other {
                report.problem(at, format!("is where `{other_at}` is mounted already"));
            } else if nested && (*of_app || *other_of_app) {
                report.problem(at, format!("and `{other_at}` are inside one another"));
            }
        }
    }
}
