//! `spec.surfaces.rest` of a manifest.

use super::surfaces::Connections;
use crate::catalog::{MAX_OPERATIONS, MAX_PARAMETERS, is_operation_id};
use crate::check::Report;
use crate::check::app::trimmed;
use crate::check::manifest::http::METHODS;
use crate::check::manifest::operations::pagination_override;
use crate::check::texts::is_header_name;
use crate::manifest::app::{OperationConnection, RestOperation, RestParameter, RestSurface};
use crate::path::KeyPath;
use crate::raw::manifest::surfaces::{RawConnectionSelector, RawOperation, RawParameter, RawRest};
use crate::shape::{did_you_mean, list, nearest};
use gestalt_core::ParameterLocation;
use std::collections::{BTreeMap, HashSet};

/// Checks the surface. Without operations it is none; its base URL may then be meant for the OpenAPI document.
pub(crate) fn surface(
    report: &mut Report<'_>,
    at: &KeyPath,
    raw: RawRest,
    connections: &Connections<'_>,
    has_openapi: bool,
) -> Option<RestSurface> {
    let connection = connections.named(report, &at.key("connection"), raw.connection);
    let raw_operations = raw.operations.unwrap_or_default();
    let base_url = trimmed(raw.base_url);
    if raw_operations.is_empty() {
        if base_url.is_some() && !has_openapi {
            report.problem(&at.key("operations"), "is required: a base URL alone offers nothing");
        }
        return None;
    }
    if raw_operations.len() > MAX_OPERATIONS {
        report.problem(&at.key("operations"), format!("has more than {MAX_OPERATIONS} operations"));
        return None;
    }
    let base_url = base_url_of(report, &at.key("baseUrl"), base_url);
    let mut names = HashSet::new();
    let mut operations = Vec::with_capacity(raw_operations.len());
    for (i, raw) in raw_operations.into_iter().enumerate() {
        let at = at.key("operations").index(i);
        let Some(operation) = operation(report, &at, raw, connections) else { continue };
        if !names.insert(operation.name.clone()) {
            report.problem(&at.key("name"), "is the name of an earlier operation");
        }
        operations.push(operation);
    }
    Some(RestSurface { connection, base_url: base_url?, operations })
}

fn base_url_of(report: &mut Report<'_>, at: &KeyPath, raw: Option<String>) -> Option<String> {
    let text = report.required(at, raw)?;
    if text.contains('?') {
        report.problem(at, "must have no query and no fragment");
        return None;
    }
    report.template_url(at, Some(&text)).map(|url| url.trim_end_matches('/').to_owned())
}

fn operation(
    report: &mut Report<'_>,
    at: &KeyPath,
    raw: RawOperation,
    connections: &Connections<'_>,
) -> Option<RestOperation> {
    let mut required = |key: &str, text: Option<String>| report.required(&at.key(key), text);
    let name = required("name", raw.name);
    let (method, path) = (required("method", raw.method), required("path", raw.path));
    if name.as_ref().is_some_and(|name| !is_operation_id(name)) {
        report.problem(&at.key("name"), "must be letters, digits, `_` and `-`, in segments parted by dots");
    }
    if let Some(text) = method.as_deref().filter(|text| !METHODS.contains(text)) {
        let hint = METHODS.iter().find(|m| m.eq_ignore_ascii_case(text)).map(|m| format!("write `{m}`"));
        report.hinted(&at.key("method"), format!("must be one of {}", list(&METHODS, "or")), hint);
    }
    let mut parameters = parameters(report, at, raw.parameters.unwrap_or_default());
    let path = path.and_then(|path| template(report, &at.key("path"), &path).map(|names| (path, names)));
    if let Some((path, placeholders)) = &path {
        match_placeholders(report, at, path, placeholders, &mut parameters);
    }
    let allowed_roles = report.names(&at.key("allowedRoles"), raw.allowed_roles.unwrap_or_default());
    let named = connections.named(report, &at.key("connection"), raw.connection);
    let connection = match raw.connection_selector {
        Some(raw) => selector(report, &at.key("connectionSelector"), raw, named, &parameters, connections),
        None => named.map(OperationConnection::Named),
    };
    let pagination = raw.pagination.map(|raw| pagination_override(report, &at.key("pagination"), raw));
    let (path, _) = path?;
    Some(RestOperation {
        name: name?,
        method: method?,
        path: if path.starts_with('/') { path } else { format!("/{path}") },
        description: trimmed(raw.description).unwrap_or_default(),
        parameters,
        allowed_roles,
        tags: raw.tags.unwrap_or_default(),
        connection,
        paginate: raw.paginate,
        pagination,
    })
}

fn selector(
    report: &mut Report<'_>,
    at: &KeyPath,
    raw: RawConnectionSelector,
    otherwise: Option<String>,
    parameters: &[RestParameter],
    connections: &Connections<'_>,
) -> Option<OperationConnection> {
    let parameter = report.required(&at.key("parameter"), raw.parameter);
    if let Some(name) = parameter.as_ref().filter(|name| parameters.iter().all(|p| p.name != **name)) {
        let meant = nearest(name, parameters.iter().map(|p| p.name.as_str())).map(did_you_mean);
        report.hinted(&at.key("parameter"), "the operation has no parameter of this name", meant);
    }
    let mut values = BTreeMap::new();
    for (value, name) in raw.values.unwrap_or_default() {
        let at = at.key("values").key(&value);
        let Some(name) = trimmed(name).filter(|_| !value.trim().is_empty()) else {
            report.problem(&at, "needs a value and a connection");
            continue;
        };
        values.extend(connections.named(report, &at, Some(name)).map(|name| (value, name)));
    }
    if values.is_empty() && !report.is_troubled(&at.key("values")) {
        report.problem(&at.key("values"), "is required: the connection of each value");
    }
    if let Some(value) = raw.default.as_ref().filter(|value| !values.contains_key(*value)) {
        let meant = nearest(value, values.keys().map(String::as_str)).map(did_you_mean);
        report.hinted(&at.key("default"), "is none of `values`", meant);
    }
    if raw.default.is_some() && otherwise.is_some() {
        report.problem(&at.key("default"), "says the same as the operation's `connection`: keep one");
    }
    Some(OperationConnection::Selected { parameter: parameter?, default: raw.default, values, otherwise })
}

/// The placeholders of a path; `None` when it is no path.
fn template(report: &mut Report<'_>, at: &KeyPath, path: &str) -> Option<Vec<String>> {
    let mut names = Vec::new();
    let mut rest = path;
    let wrong = loop {
        let Some(open) = rest.find(['{', '}']) else {
            break path.contains(|c: char| c.is_whitespace() || c.is_control() || "?#\\".contains(c));
        };
        let Some(inner) = rest[open..].strip_prefix('{') else { break true };
        let Some(close) = inner.find('}') else { break true };
        let name = &inner[..close];
        if name.is_empty() || name.contains(['{', '/']) {
            break true;
        }
        names.push(name.to_owned());
        rest = &inner[close + 1..];
    };
    if wrong {
        report.problem(at, "is not a path: no space, query or fragment, and every `{placeholder}` closed");
        return None;
    }
    if path.split('/').any(|segment| matches!(segment, "." | "..")) {
        report.problem(at, "must not have `.` or `..` segments");
        return None;
    }
    Some(names)
}

/// Every path parameter has its placeholder. A placeholder nobody declared becomes a parameter of its own.
fn match_placeholders(
    report: &mut Report<'_>,
    at: &KeyPath,
    path: &str,
    placeholders: &[String],
    parameters: &mut Vec<RestParameter>,
) {
    for (i, parameter) in parameters.iter_mut().enumerate() {
        let in_path = placeholders.contains(&parameter.wire_name);
        if parameter.location == Some(ParameterLocation::Path) && !in_path {
            let hint = Some(format!("write `{{{}}}` in `path`", parameter.wire_name));
            report.hinted(&at.key("parameters").index(i), format!("has no placeholder in `{path}`"), hint);
        }
        if in_path && parameter.location.is_none() {
            parameter.location = Some(ParameterLocation::Path);
        }
        parameter.required |= parameter.location == Some(ParameterLocation::Path) && parameter.default.is_none();
    }
    let declared = |name: &String, parameters: &[RestParameter]| {
        parameters.iter().any(|p| p.wire_name == *name && p.location == Some(ParameterLocation::Path))
    };
    for name in placeholders {
        if declared(name, parameters) {
            continue;
        }
        if parameters.iter().any(|p| p.name == *name) {
            report.problem(&at.key("path"), format!("`{{{name}}}` is the name of a parameter that is not in the path"));
            continue;
        }
        parameters.push(RestParameter {
            name: name.clone(),
            wire_name: name.clone(),
            kind: "string".to_owned(),
            location: Some(ParameterLocation::Path),
            description: String::new(),
            required: true,
            internal: false,
            default: None,
        });
    }
}

fn parameters(report: &mut Report<'_>, at: &KeyPath, raw: Vec<RawParameter>) -> Vec<RestParameter> {
    let at = at.key("parameters");
    if raw.len() > MAX_PARAMETERS {
        report.problem(&at, format!("has more than {MAX_PARAMETERS} parameters"));
        return Vec::new();
    }
    let mut names = HashSet::new();
    let mut parameters = Vec::with_capacity(raw.len());
    for (i, raw) in raw.into_iter().enumerate() {
        let at = at.index(i);
        let Some(name) = trimmed(raw.name) else {
            report.problem(&at.key("name"), "is required");
            continue;
        };
        if !names.insert(name.clone()) {
            report.problem(&at.key("name"), "is the name of an earlier parameter");
        }
        let wire_name = trimmed(raw.wire_name).unwrap_or_else(|| name.clone());
        let location = location(report, &at.key("in"), raw.location.as_deref());
        if location == Some(ParameterLocation::Header) && !is_header_name(&wire_name) {
            report.problem(&at, "is not the name of a header");
        }
        parameters.push(RestParameter {
            kind: kind(report, &at.key("type"), raw.kind.as_deref().unwrap_or("string")),
            name,
            wire_name,
            location,
            description: trimmed(raw.description).unwrap_or_default(),
            required: raw.required.unwrap_or_default(),
            internal: raw.internal.unwrap_or_default(),
            default: raw.default,
        });
    }
    parameters
}

fn location(report: &mut Report<'_>, at: &KeyPath, raw: Option<&str>) -> Option<ParameterLocation> {
    match raw? {
        "path" => Some(ParameterLocation::Path),
        "query" => Some(ParameterLocation::Query),
        "header" => Some(ParameterLocation::Header),
        "body" => Some(ParameterLocation::Body),
        _ => {
            report.problem(at, format!("must be one of {}", list(&["path", "query", "header", "body"], "or")));
            None
        }
    }
}

/// The type by its JSON Schema name; manifests also say `int` and `bool`.
fn kind(report: &mut Report<'_>, at: &KeyPath, raw: &str) -> String {
    const KINDS: [&str; 6] = ["string", "integer", "number", "boolean", "object", "array"];
    let kind = match raw.trim() {
        "int" => "integer",
        "bool" => "boolean",
        "float" => "number",
        other => other,
    };
    if !KINDS.contains(&kind) {
        report.hinted(
            at,
            format!("must be one of {}", list(&KINDS, "or")),
            nearest(kind, KINDS.iter().copied()).map(did_you_mean),
        );
    }
    kind.to_owned()
}
