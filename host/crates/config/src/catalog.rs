//! `catalog.yaml`: the operations of an executable package, as its SDK wrote them.

use crate::check::{Report, app::trimmed};
use crate::load::decode;
use crate::manifest::read_tree;
use crate::path::KeyPath;
use crate::problem::Problems;
use crate::raw::catalog::{RawAnnotations, RawCatalog, RawCatalogOperation, RawCatalogParameter, RawSchema};
use crate::shape::{LazyShape, Shape, Surroundings, check, list};
use crate::source::{Finding, MAX_FILE, Show, Sources, Span};
use crate::tree::{Map, Node, Tree};
use crate::vocabulary;
use gestalt_core::{Annotations, Catalog, Operation, Parameter, ParameterLocation, Transport};
use std::collections::HashSet;
use std::path::Path;
use std::sync::LazyLock;

/// Most operations of one app. Each is a route, an MCP tool and a line of every list; real catalogs have about fifty.
pub(crate) const MAX_OPERATIONS: usize = 10_000;
/// Most parameters of one operation.
pub(crate) const MAX_PARAMETERS: usize = 1_000;
/// Longest operation id: it is a URL segment and a metric label.
const MAX_ID: usize = 256;

static FORM: LazyShape = LazyLock::new(Shape::of::<RawCatalog>);

/// Reads a catalog; both spellings of its keys are accepted (`inputSchema` and `input_schema`), and schemas as maps or
/// as JSON text. `origin` is the file the text came from.
///
/// # Errors
/// Everything that is wrong with it.
pub fn read_catalog(text: &str, origin: &Path) -> Result<Catalog, Problems> {
    let (mut sources, mut findings) = (Sources::default(), Vec::new());
    let fits = text.len() as u64 <= MAX_FILE;
    let number = sources.add(origin, if fits { text.to_owned() } else { String::new() });
    if !fits {
        let span = Span { file: number, ..Span::default() };
        let message = format!("the catalog is larger than {} MiB", MAX_FILE >> 20);
        return Err(sources.report(vec![Finding {
            span,
            path: KeyPath::default(),
            message,
            hint: None,
            show: Show::File,
        }]));
    }
    let mut root = match read_tree(&sources, number, "a catalog") {
        Ok(root) => root,
        Err(findings) => return Err(sources.report(findings)),
    };
    one_spelling(&mut root, &mut findings);
    let (top, keys) = (KeyPath::default(), &vocabulary::CATALOG);
    let mut around = Surroundings { sources: &mut sources, findings: &mut findings, markers: None, keys };
    check(&mut root, &top, &FORM, &mut around);
    let Some(raw) = decode(&root, &top, &mut findings) else { return Err(sources.report(findings)) };
    let mut report = Report::new(&root, &sources);
    let catalog = catalog(&mut report, raw);
    findings.extend(report.findings);
    if findings.is_empty() { Ok(catalog) } else { Err(sources.report(findings)) }
}

/// Whether `id` is dot-separated segments of letters, digits, `_` and inner `-`.
pub(crate) fn is_operation_id(id: &str) -> bool {
    let edge = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_';
    let segment = |s: &str| {
        let bytes = s.as_bytes();
        bytes.first().is_some_and(edge) && bytes.last().is_some_and(edge) && bytes.iter().all(|b| edge(b) || *b == b'-')
    };
    id.len() <= MAX_ID && id.split('.').all(segment)
}

/// Brings the keys the format defines to camel case. What stands inside schemas and defaults is left alone.
fn one_spelling(root: &mut Node, findings: &mut Vec<Finding>) {
    respell(root.map_mut(), &KeyPath::default(), findings);
    let operations = root.map_mut().and_then(|map| map.get_mut("operations")).map(|entry| &mut entry.node.tree);
    let Some(Tree::List(operations)) = operations else { return };
    for (i, operation) in operations.iter_mut().enumerate() {
        let at = KeyPath::default().key("operations").index(i);
        respell(operation.map_mut(), &at, findings);
        let Some(map) = operation.map_mut() else { continue };
        let annotations = map.get_mut("annotations").and_then(|entry| entry.node.map_mut());
        respell(annotations, &at.key("annotations"), findings);
        let Some(Tree::List(parameters)) = map.get_mut("parameters").map(|entry| &mut entry.node.tree) else {
            continue;
        };
        for (j, parameter) in parameters.iter_mut().enumerate() {
            respell(parameter.map_mut(), &at.key("parameters").index(j), findings);
        }
    }
}

fn respell(map: Option<&mut Map>, at: &KeyPath, findings: &mut Vec<Finding>) {
    let Some(map) = map else { return };
    if map.keys().all(|key| !key.contains('_')) {
        return;
    }
    for (key, entry) in std::mem::take(map) {
        let camel = camel_case(&key);
        if map.contains_key(&camel) {
            let message = format!("is `{camel}` in another spelling, which is here already");
            findings.push(Finding { span: entry.key, path: at.key(&key), message, hint: None, show: Show::Line });
            continue;
        }
        map.insert(camel, entry);
    }
}

fn camel_case(key: &str) -> String {
    let mut parts = key.split('_');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |mut word, part| {
        let mut chars = part.chars();
        word.extend(chars.next().map(|c| c.to_ascii_uppercase()));
        word.push_str(chars.as_str());
        word
    })
}

fn catalog(report: &mut Report<'_>, raw: RawCatalog) -> Catalog {
    let top = KeyPath::default();
    let styles = ["bearer", "raw", "none", "basic"];
    if raw.auth_style.as_deref().is_some_and(|style| !style.is_empty() && !styles.contains(&style)) {
        report.problem(&top.key("authStyle"), format!("must be one of {}", list(&styles, "or")));
    }
    let at = top.key("operations");
    let listed = raw.operations.unwrap_or_default();
    if listed.is_empty() {
        report.problem(&at, "is required: a catalog has at least one operation");
    }
    if listed.len() > MAX_OPERATIONS {
        report.problem(&at, format!("has more than {MAX_OPERATIONS} operations"));
        return Catalog::default();
    }
    let mut ids = HashSet::new();
    let mut operations = Vec::with_capacity(listed.len());
    for (i, raw) in listed.into_iter().enumerate() {
        let at = at.index(i);
        let Some(operation) = operation(report, &at, raw) else { continue };
        if !ids.insert(operation.id.clone()) {
            report.problem(&at.key("id"), "is the id of an earlier operation");
        }
        operations.push(operation);
    }
    let mut catalog = Catalog::new(operations);
    catalog.display_name = trimmed(raw.display_name).unwrap_or_default();
    catalog.description = trimmed(raw.description).unwrap_or_default();
    catalog.icon_svg = raw.icon_svg.unwrap_or_default();
    catalog
}

fn operation(report: &mut Report<'_>, at: &KeyPath, raw: RawCatalogOperation) -> Option<Operation> {
    let Some(id) = trimmed(raw.id) else {
        report.problem(&at.key("id"), "is required");
        return None;
    };
    if !is_operation_id(&id) {
        report.problem(&at.key("id"), "must be letters, digits, `_` and `-`, in segments parted by dots");
    }
    let allowed_roles = raw.allowed_roles.unwrap_or_default();
    for (i, _) in allowed_roles.iter().enumerate().filter(|(_, role)| role.trim().is_empty()) {
        report.problem(&at.key("allowedRoles").index(i), "must not be blank");
    }
    Some(Operation {
        id,
        method: trimmed(raw.method).unwrap_or_default().to_ascii_uppercase(),
        path: trimmed(raw.path).unwrap_or_default(),
        title: trimmed(raw.title).unwrap_or_default(),
        description: trimmed(raw.description).unwrap_or_default(),
        input_schema: raw.input_schema.and_then(|s| schema(report, &at.key("inputSchema"), s)),
        output_schema: raw.output_schema.and_then(|s| schema(report, &at.key("outputSchema"), s)),
        annotations: annotations(raw.annotations.unwrap_or_default()),
        parameters: parameters(report, &at.key("parameters"), raw.parameters.unwrap_or_default()),
        required_scopes: raw.required_scopes.unwrap_or_default(),
        tags: raw.tags.unwrap_or_default(),
        allowed_roles: allowed_roles.into_iter().map(|role| role.trim().to_owned()).collect(),
        read_only: raw.read_only.unwrap_or_default(),
        visible: raw.visible,
        transport: transport(report, &at.key("transport"), raw.transport.as_deref().unwrap_or("app")),
    })
}

fn annotations(raw: RawAnnotations) -> Annotations {
    Annotations {
        read_only_hint: raw.read_only_hint,
        idempotent_hint: raw.idempotent_hint,
        destructive_hint: raw.destructive_hint,
        open_world_hint: raw.open_world_hint,
    }
}

/// A schema; empty text is none.
fn schema(report: &mut Report<'_>, at: &KeyPath, raw: RawSchema) -> Option<serde_json::Value> {
    match raw {
        RawSchema::Map(map) => Some(map.into()),
        RawSchema::Text(text) if text.trim().is_empty() => None,
        RawSchema::Text(text) => match serde_json::from_str(&text) {
            Ok(schema @ (serde_json::Value::Object(_) | serde_json::Value::Bool(_))) => Some(schema),
            Ok(_) => {
                report.problem(at, "is JSON, but no schema");
                None
            }
            Err(error) => {
                report.problem(at, format!("is not JSON: {error}"));
                None
            }
        },
    }
}

fn transport(report: &mut Report<'_>, at: &KeyPath, raw: &str) -> Transport {
    match raw {
        "app" | "plugin" | "" => Transport::App,
        "rest" => Transport::Rest,
        "graphql" => Transport::Graphql,
        "mcp-passthrough" => Transport::McpPassthrough,
        _ => {
            let known = list(&["app", "rest", "graphql", "mcp-passthrough"], "or");
            report.problem(at, format!("must be one of {known}"));
            Transport::App
        }
    }
}

fn parameters(report: &mut Report<'_>, at: &KeyPath, raw: Vec<RawCatalogParameter>) -> Vec<Parameter> {
    if raw.len() > MAX_PARAMETERS {
        report.problem(at, format!("has more than {MAX_PARAMETERS} parameters"));
        return Vec::new();
    }
    let mut names = HashSet::new();
    let mut parameters = Vec::with_capacity(raw.len());
    for (i, raw) in raw.into_iter().enumerate() {
        let at = at.index(i);
        let (name, kind) = (trimmed(raw.name), trimmed(raw.kind));
        for (key, _) in [("name", &name), ("type", &kind)].into_iter().filter(|(_, text)| text.is_none()) {
            report.problem(&at.key(key), "is required");
        }
        let (Some(name), Some(kind)) = (name, kind) else { continue };
        if !names.insert(name.clone()) {
            report.problem(&at.key("name"), "is the name of an earlier parameter");
        }
        let location = match raw.location.as_deref() {
            None | Some("") => None,
            Some("path") => Some(ParameterLocation::Path),
            Some("query") => Some(ParameterLocation::Query),
            Some("header") => Some(ParameterLocation::Header),
            Some("body") => Some(ParameterLocation::Body),
            Some(_) => {
                let known = list(&["query", "path", "body", "header"], "or");
                report.problem(&at.key("location"), format!("must be one of {known}"));
                None
            }
        };
        parameters.push(Parameter {
            name,
            wire_name: trimmed(raw.wire_name),
            kind,
            location,
            description: trimmed(raw.description).unwrap_or_default(),
            required: raw.required.unwrap_or_default(),
            internal: raw.internal.unwrap_or_default(),
            default: raw.default,
        });
    }
    parameters
}
