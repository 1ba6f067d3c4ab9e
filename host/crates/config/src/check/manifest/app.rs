//! `spec` of an app.

use super::http::is_header_value;
use super::surfaces::Connections;
use super::{Header, address, connections, http as bindings, operations, rest, surfaces, ui};
use crate::check::Report;
use crate::check::texts::is_header_name;
use crate::manifest::app::{AppSpec, ManagedParameter, Surfaces};
use crate::manifest::connections::{AuthKind, Connection};
use crate::manifest::http::{HttpBinding, SecurityScheme};
use crate::manifest::{Form, Manifest};
use crate::path::KeyPath;
use crate::raw::http::{RawHttpBinding, RawSecurityScheme};
use crate::raw::manifest::app::{RawAppSpec, RawManagedLocation, RawManagedParameter, RawSpecAuth};
use crate::raw::manifest::connections::RawConnection;
use crate::raw::manifest::surfaces::RawSurfaces;
use crate::shape::list;
use crate::source::{Finding, Show};
use crate::tree::{Node, Tree};
use gestalt_core::{ParameterLocation, ResponseHeaders};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// Checks `spec` of an app.
pub(crate) fn spec(report: &mut Report<'_>, at: &KeyPath, raw: RawAppSpec, header: &Header, form: Form) -> AppSpec {
    let (auth_provider, legacy) = route_auth(report, &at.key("auth"), raw.auth.unwrap_or_default());
    let mut connections = all_connections(report, &at.key("connections"), raw.connections.unwrap_or_default());
    if let Some(connection) = legacy {
        if connections.is_empty() {
            connections.insert("default".to_owned(), connection);
        } else {
            let hint = Some("move it to `connections.default.auth`".to_owned());
            report.hinted(&at.dotted("auth.type"), "says the same as `connections`, which is here already", hint);
        }
    }
    let names: BTreeSet<String> = connections.keys().cloned().collect();
    let known = Connections(&names);
    let default_connection = known.named(report, &at.key("defaultConnection"), raw.default_connection);
    let surfaces = all_surfaces(report, &at.key("surfaces"), raw.surfaces.unwrap_or_default(), &known);
    fitting_surfaces(report, at, &connections, &surfaces);
    let security_schemes = schemes(report, &at.key("securitySchemes"), raw.security_schemes.unwrap_or_default());
    AppSpec {
        auth_provider,
        http: http(report, at, raw.http.unwrap_or_default()),
        security_schemes,
        mcp: raw.mcp.unwrap_or_default(),
        headers: headers(report, &at.key("headers"), raw.headers.unwrap_or_default()),
        response_headers: response_headers(
            report,
            &at.key("responseHeaders"),
            raw.response_headers.unwrap_or_default(),
        ),
        managed_parameters: managed(report, &at.key("managedParameters"), raw.managed_parameters.unwrap_or_default()),
        surfaces,
        allowed_operations: raw
            .allowed_operations
            .map(|raw| operations::allowed(report, &at.key("allowedOperations"), raw)),
        connections,
        default_connection,
        response_mapping: raw
            .response_mapping
            .and_then(|raw| operations::response_mapping(report, &at.key("responseMapping"), raw)),
        pagination: raw.pagination.and_then(|raw| operations::pagination(report, &at.key("pagination"), raw)),
        requires: requires(report, &at.key("requires"), raw.requires.unwrap_or_default(), header),
        ui: raw.ui.and_then(|raw| ui::owned(report, &at.key("ui"), raw, header, form)),
    }
}

/// Headers of the app's own on its answers.
fn response_headers(report: &mut Report<'_>, at: &KeyPath, raw: Vec<String>) -> ResponseHeaders {
    let mut headers = ResponseHeaders::default();
    for (i, name) in raw.iter().enumerate() {
        if let Err(why) = headers.add(name.trim()) {
            report.problem(&at.index(i), why.to_string());
        }
    }
    headers
}

/// Who must be logged in; or the one connection of an older manifest.
fn route_auth(report: &mut Report<'_>, at: &KeyPath, raw: RawSpecAuth) -> (Option<String>, Option<Connection>) {
    let map = report.tree.find(at).node.and_then(Node::map);
    let Some(map) = map else { return (None, None) };
    let is_upstream =
        map.iter().any(|(key, entry)| key != "provider" && !matches!(entry.node.tree, Tree::Null | Tree::Reported));
    if !is_upstream {
        return (report.required(&at.key("provider"), raw.provider), None);
    }
    if raw.provider.is_some() {
        let hint = Some("how the app gets at its upstream belongs to `connections.default.auth`".to_owned());
        report.hinted(at, "mixes who may reach the app with how the app reaches its upstream", hint);
        return (None, None);
    }
    let auth = connections::auth(report, at, raw.upstream);
    (None, Some(Connection { auth, ..Connection::default() }))
}

fn all_connections(
    report: &mut Report<'_>,
    at: &KeyPath,
    raw: BTreeMap<String, Option<RawConnection>>,
) -> BTreeMap<String, Connection> {
    let mut all = BTreeMap::new();
    for (name, raw) in raw {
        let at = at.key(&name);
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        if name.trim().is_empty() {
            report.problem(&at, "a connection needs a name");
        } else if !name.bytes().all(plain) {
            report.problem(&at, "the name must be letters, digits, `.`, `_` and `-`");
        }
        let connection = connections::connection(report, &at, raw.unwrap_or_default());
        all.insert(name, connection);
    }
    all
}

fn all_surfaces(report: &mut Report<'_>, at: &KeyPath, raw: RawSurfaces, known: &Connections<'_>) -> Surfaces {
    let openapi = raw.openapi.map(|raw| surfaces::openapi(report, &at.key("openapi"), raw, known));
    Surfaces {
        rest: raw.rest.and_then(|raw| rest::surface(report, &at.key("rest"), raw, known, openapi.is_some())),
        openapi: openapi.flatten(),
        graphql: raw.graphql.and_then(|raw| surfaces::graphql(report, &at.key("graphql"), raw, known)),
        mcp: raw.mcp.and_then(|raw| surfaces::mcp(report, &at.key("mcp"), raw, known)),
    }
}

/// What a connection needs of the surfaces.
fn fitting_surfaces(
    report: &mut Report<'_>,
    at: &KeyPath,
    connections: &BTreeMap<String, Connection>,
    surfaces: &Surfaces,
) {
    for (name, connection) in connections {
        let at = at.key("connections").key(name);
        if connection.auth.kind == AuthKind::McpOAuth && surfaces.mcp.is_none() {
            let hint = Some("write `surfaces.mcp.url`, the server that describes its OAuth".to_owned());
            report.hinted(&at.dotted("auth.type"), "`mcp_oauth` needs an MCP surface", hint);
        }
        if connection.post_connect.is_some() && surfaces.is_empty() {
            report.problem(&at.key("postConnect"), "needs a surface: an app with code only is asked itself");
        }
    }
}

fn schemes(
    report: &mut Report<'_>,
    at: &KeyPath,
    raw: BTreeMap<String, Option<RawSecurityScheme>>,
) -> BTreeMap<String, SecurityScheme> {
    let checked = raw.into_iter().filter_map(|(name, raw)| {
        let scheme = bindings::scheme(report, &at.key(&name), raw.unwrap_or_default());
        scheme.map(|scheme| (name, scheme))
    });
    checked.collect()
}

fn http(
    report: &mut Report<'_>,
    at: &KeyPath,
    raw: BTreeMap<String, Option<RawHttpBinding>>,
) -> BTreeMap<String, HttpBinding> {
    // All that are written: a scheme with a mistake in it is there nevertheless.
    let written = report.tree.find(&at.key("securitySchemes")).node.and_then(Node::map);
    let schemes: BTreeSet<String> = written.into_iter().flat_map(|map| map.keys().cloned()).collect();
    let at = at.key("http");
    let (mut routes, mut all) = (HashMap::new(), BTreeMap::new());
    for (name, raw) in raw {
        let at = at.key(&name);
        let Some(binding) = bindings::binding(report, &at, raw.unwrap_or_default(), &schemes) else { continue };
        let route = (binding.method.clone(), binding.path.clone());
        if let Some(other) = routes.insert(route, name.clone()) {
            let message = format!("`{other}` has {} {} already", binding.method, binding.path);
            report.problem(&at.key("path"), message);
        }
        all.insert(name, binding);
    }
    all
}

fn headers(report: &mut Report<'_>, at: &KeyPath, raw: BTreeMap<String, Option<String>>) -> BTreeMap<String, String> {
    let mut headers = BTreeMap::new();
    for (name, value) in raw {
        let at = at.key(&name);
        let value = value.unwrap_or_default();
        if !is_header_name(&name) {
            report.problem(&at, "the key is not the name of a header");
        } else if !is_header_value(&value) {
            report.problem(&at, "must be printable ASCII");
        } else if headers.insert(name.to_ascii_lowercase(), value).is_some() {
            report.problem(&at, "is here twice, in two spellings");
        }
    }
    headers
}

fn managed(report: &mut Report<'_>, at: &KeyPath, raw: Vec<RawManagedParameter>) -> Vec<ManagedParameter> {
    let (mut seen, mut all) = (HashSet::new(), Vec::with_capacity(raw.len()));
    for (i, raw) in raw.into_iter().enumerate() {
        let at = at.index(i);
        let location = match raw.location {
            Some(RawManagedLocation::Header) => Some(ParameterLocation::Header),
            Some(RawManagedLocation::Path) => Some(ParameterLocation::Path),
            None => {
                report.problem(&at.key("in"), format!("is required: {}", list(&["header", "path"], "or")));
                None
            }
        };
        let name = report.required(&at.key("name"), raw.name);
        let value = raw.value.filter(|value| !value.is_empty());
        if value.is_none() {
            report.problem(&at.key("value"), "is required");
        }
        let (Some(location), Some(name), Some(value)) = (location, name, value) else { continue };
        if location == ParameterLocation::Header {
            if !is_header_name(&name) {
                report.problem(&at.key("name"), "is not the name of a header");
            } else if !is_header_value(&value) {
                report.problem(&at.key("value"), "must be printable ASCII");
            }
        }
        let folded = if location == ParameterLocation::Header { name.to_ascii_lowercase() } else { name.clone() };
        if !seen.insert((location == ParameterLocation::Header, folded)) {
            report.problem(&at.key("name"), "is the name of an earlier parameter");
        }
        all.push(ManagedParameter { location, name, value });
    }
    all
}

fn requires(report: &mut Report<'_>, at: &KeyPath, raw: Vec<String>, header: &Header) -> Vec<String> {
    let mut all: Vec<String> = Vec::with_capacity(raw.len());
    for (i, text) in raw.into_iter().enumerate() {
        let at = at.index(i);
        let Some(source) = address::address(report, &at, Some(text)) else { continue };
        if header.source.as_ref() == Some(&source) {
            report.problem(&at, "is the package itself");
        } else if all.contains(&source) {
            report.problem(&at, "is here twice");
        } else {
            all.push(source);
        }
    }
    all
}

/// What an app must not be started without, and is not there yet.
pub(crate) fn unenforced(manifest: &Manifest) -> Vec<Finding> {
    let Some(spec) = manifest.app() else { return Vec::new() };
    let rest = spec.surfaces.rest.is_some();
    let templated = spec.surfaces.rest.as_ref().is_some_and(|rest| rest.base_url.contains('{'));
    let asked = [
        ("spec.auth", spec.auth_provider.is_some(), "who may reach the app cannot be restricted yet"),
        ("spec.allowedOperations", rest && spec.allowed_operations.is_some(), "operations cannot be left out yet"),
        (
            "spec.managedParameters",
            rest && !spec.managed_parameters.is_empty(),
            "parameters cannot be taken from callers yet",
        ),
        ("spec.surfaces.rest.baseUrl", templated, "placeholders cannot be filled in yet"),
    ];
    let tree = &manifest.origin.tree;
    let asked = asked.into_iter().filter(|(_, asked, _)| *asked);
    asked
        .map(|(key, _, message)| {
            let path = KeyPath::default().dotted(key);
            Finding { span: tree.find(&path).span, path, message: message.to_owned(), hint: None, show: Show::Line }
        })
        .collect()
}
