//! `connections`, and what binds them.

use super::Report;
use super::app::trimmed;
use super::known::Known;
use super::manifest::connections::{discovery, refresh};
use crate::deployment::{Binding, Connection, Param};
use crate::manifest::connections::{AuthKind, ConnectionMode};
use crate::path::KeyPath;
use crate::raw::connections::{RawConnection, RawConnectionMode, RawConnections, RawExposure, RawParam};
use std::collections::BTreeMap;

/// The top-level connections.
pub(crate) fn connections(report: &mut Report<'_>, raw: RawConnections) -> BTreeMap<String, Connection> {
    let top = KeyPath::default().key("connections");
    let mut connections = BTreeMap::new();
    for (id, raw) in raw {
        let at = top.key(&id);
        name(report, &at, &id);
        let Some(raw) = report.entry(&at, raw, "a connection has `auth`, `mode`, `params`, …") else { continue };
        if raw.reference.is_some() {
            report.problem(&at.key("ref"), "only an app's or agent's own connection can refer to another");
        }
        if raw.exposure.is_some() {
            report.problem(&at.key("exposure"), "belongs to the app's own connection, not to a shared one");
        }
        let connection = connection(report, &at, raw);
        connections.insert(id, connection);
    }
    connections
}

/// The connections of an app or agent provider.
pub(crate) fn bindings(
    report: &mut Report<'_>,
    at: &KeyPath,
    raw: RawConnections,
    known: &Known,
) -> BTreeMap<String, Binding> {
    let mut bindings = BTreeMap::new();
    for (local, raw) in raw {
        let at = at.key(&local);
        name(report, &at, &local);
        let Some(raw) = report.entry(&at, raw, "a binding needs a `ref`, or `auth: {type: none}`") else { continue };
        bindings.extend(binding(report, &at, raw, known).map(|binding| (local, binding)));
    }
    bindings
}

fn binding(report: &mut Report<'_>, at: &KeyPath, raw: RawConnection, known: &Known) -> Option<Binding> {
    if raw.reference.is_none() {
        let mode_given = raw.mode.is_some();
        let connection = connection(report, at, raw);
        let collects = connection.auth.kind.is_some_and(|kind| kind != AuthKind::None);
        if connection.mode() == ConnectionMode::Subject && collects {
            let hint = "declare it under the top-level `connections`, and bind it here with `ref`".to_owned();
            let at = if mode_given { at.key("mode") } else { at.key("auth") };
            report.hinted(
                &at,
                "a connection that collects a subject's credentials cannot be declared here",
                Some(hint),
            );
            return None;
        }
        return Some(Binding::Inline(Box::new(connection)));
    }
    let also = [
        ("mode", raw.mode.is_some()),
        ("auth", raw.auth.is_some()),
        ("params", raw.params.is_some()),
        ("discovery", raw.discovery.is_some()),
    ];
    for (key, _) in also.into_iter().filter(|(_, given)| *given) {
        report.problem(&at.key(key), "is the referred connection's, and cannot be changed beside `ref`");
    }
    let connection = report.must_name(&at.key("ref"), raw.reference, &known.connections);
    let refresh = raw.credential_refresh.and_then(|raw| refresh(report, &at.key("credentialRefresh"), raw));
    Some(Binding::Reference {
        connection: connection?,
        display_name: trimmed(raw.display_name),
        refresh,
        internal: matches!(raw.exposure, Some(RawExposure::Internal)),
        at: report.locate(at),
    })
}

/// Connection names are part of URLs and storage keys.
fn name(report: &mut Report<'_>, at: &KeyPath, name: &str) {
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)) {
        report.problem(at, "the name of a connection may hold letters, digits, `.`, `_` and `-` only");
    }
}

fn connection(report: &mut Report<'_>, at: &KeyPath, raw: RawConnection) -> Connection {
    let params = raw.params.unwrap_or_default().into_iter();
    Connection {
        at: report.locate(at),
        display_name: trimmed(raw.display_name),
        given_mode: raw.mode.map(mode),
        auth: super::auth::auth(report, &at.key("auth"), raw.auth.unwrap_or_default()),
        params: params.map(|(name, raw)| (name, raw.map(param).unwrap_or_default())).collect(),
        discovery: raw.discovery.and_then(|raw| discovery(report, &at.key("discovery"), raw)),
        refresh: raw.credential_refresh.and_then(|raw| refresh(report, &at.key("credentialRefresh"), raw)),
    }
}

pub(crate) fn mode(raw: RawConnectionMode) -> ConnectionMode {
    match raw {
        RawConnectionMode::None => ConnectionMode::None,
        RawConnectionMode::Subject => ConnectionMode::Subject,
    }
}

fn param(raw: RawParam) -> Param {
    match raw {
        RawParam::Value(value) => Param { default: Some(value), ..Param::default() },
        RawParam::Rule(rule) => Param {
            required: rule.required.unwrap_or(false),
            description: trimmed(rule.description),
            default: rule.default,
            from: trimmed(rule.from),
            field: trimmed(rule.field),
        },
    }
}
