//! `spec` of a UI, and the UI an app owns.

use super::Header;
use super::address::{address, package_path, relative_path, version};
use crate::check::Report;
use crate::manifest::app::{OwnedUi, SourceToken};
use crate::manifest::{Form, UiRoute, UiSpec};
use crate::path::KeyPath;
use crate::raw::manifest::app::{RawOwnedUi, RawToken};
use crate::raw::manifest::spec::{RawRoute, RawUiSpec};
use gestalt_core::Secret;
use std::collections::HashSet;

/// Checks `spec` of a UI.
pub(crate) fn spec(report: &mut Report<'_>, at: &KeyPath, raw: RawUiSpec) -> Option<UiSpec> {
    let routes = routes(report, &at.key("routes"), raw.routes.unwrap_or_default());
    let root = report.required(&at.key("assetRoot"), raw.asset_root);
    let asset_root = root.and_then(|text| package_path(report, &at.key("assetRoot"), &text));
    Some(UiSpec { asset_root: asset_root?, routes })
}

fn routes(report: &mut Report<'_>, at: &KeyPath, raw: Vec<RawRoute>) -> Vec<UiRoute> {
    let mut paths = HashSet::new();
    let mut routes = Vec::with_capacity(raw.len());
    for (i, raw) in raw.into_iter().enumerate() {
        let at = at.index(i);
        let allowed_roles = report.names(&at.key("allowedRoles"), raw.allowed_roles.unwrap_or_default());
        let Some(text) = report.required(&at.key("path"), raw.path) else { continue };
        let Some(path) = route(report, &at.key("path"), &text) else { continue };
        if !paths.insert(path.clone()) {
            report.problem(&at.key("path"), "is the path of an earlier route");
        }
        routes.push(UiRoute { path, allowed_roles });
    }
    routes
}

/// A path in its one spelling: without final slash.
fn route(report: &mut Report<'_>, at: &KeyPath, text: &str) -> Option<String> {
    let (exact, below) = text.strip_suffix("/*").map_or((text, ""), |exact| (exact, "/*"));
    let message = if !text.starts_with('/') {
        "must begin with a slash"
    } else if exact.contains('*') {
        "may have a `*` only as the last segment: `/admin/*`"
    } else if exact.contains(|c: char| c.is_whitespace() || c.is_control() || "{}?#\\".contains(c)) {
        "is not a path: no placeholder, space, query or fragment"
    } else if exact.split('/').any(|segment| matches!(segment, "." | "..")) {
        "must not have `.` or `..` segments"
    } else {
        let exact = exact.trim_end_matches('/');
        return Some(if exact.is_empty() && below.is_empty() { "/".to_owned() } else { format!("{exact}{below}") });
    };
    report.problem(at, message);
    None
}

/// Checks the UI an app owns: a manifest beside its own, or an address.
pub(crate) fn owned(
    report: &mut Report<'_>,
    at: &KeyPath,
    raw: RawOwnedUi,
    app: &Header,
    form: Form,
) -> Option<OwnedUi> {
    let hint = || Some("write `path: ../ui/manifest.yaml`, or `ref: github.com/acme/web/ui`".to_owned());
    match (raw.path, raw.address) {
        (Some(path), None) => {
            for (key, given) in [("version", raw.version.is_some()), ("auth", raw.auth.is_some())] {
                if given {
                    report.problem(&at.key(key), "means something together with `ref` only");
                }
            }
            let at = at.key("path");
            let path = match form {
                Form::Source => relative_path(report, &at, &path),
                Form::Released => package_path(report, &at, &path),
            };
            path.map(OwnedUi::Path)
        }
        (None, Some(text)) => {
            let source = address(report, &at.key("ref"), Some(text));
            let version = match raw.version.filter(|text| !text.is_empty()) {
                Some(text) => version(report, &at.key("version"), &text),
                None => app.version.clone(),
            };
            let token = raw.auth.and_then(|auth| token(report, &at.dotted("auth.token"), auth.token));
            Some(OwnedUi::Ref { source: source?, version: version?, token })
        }
        (Some(_), Some(_)) => {
            report.hinted(at, "has both `path` and `ref`", hint());
            None
        }
        (None, None) => {
            report.hinted(at, "needs `path` or `ref`", hint());
            None
        }
    }
}

fn token(report: &mut Report<'_>, at: &KeyPath, raw: Option<RawToken>) -> Option<SourceToken> {
    match raw {
        Some(RawToken::Text(text)) if !text.trim().is_empty() => Some(SourceToken::Value(Secret::new(text))),
        Some(RawToken::Secret(raw)) => {
            let (at, raw) = (at.key("secret"), raw.secret.unwrap_or_default());
            let provider = report.required(&at.key("provider"), raw.provider);
            let name = report.required(&at.key("name"), raw.name);
            Some(SourceToken::Secret { provider: provider?, name: name? })
        }
        Some(RawToken::Text(_)) | None => {
            report.problem(at, "is required");
            None
        }
    }
}
