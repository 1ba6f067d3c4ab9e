//! `spec.surfaces` of an app, but for `rest`.

use super::address::package_path;
use crate::check::Report;
use crate::check::manifest::connections::texts;
use crate::manifest::app::{Document, GraphqlSurface, McpSurface, OpenapiSurface};
use crate::path::KeyPath;
use crate::raw::manifest::surfaces::{RawGraphql, RawMcp, RawOpenapi};
use crate::shape::{did_you_mean, nearest};
use std::collections::BTreeSet;

/// The names of an app's connections.
pub(crate) struct Connections<'a>(pub(crate) &'a BTreeSet<String>);

impl Connections<'_> {
    /// A connection by its name, which must be one of these.
    pub(crate) fn named(&self, report: &mut Report<'_>, at: &KeyPath, raw: Option<String>) -> Option<String> {
        let name = raw?;
        if self.0.contains(&name) {
            return Some(name);
        }
        let meant = nearest(&name, self.0.iter().map(String::as_str)).map(did_you_mean);
        report.hinted(at, "`spec.connections` has no such entry", meant);
        None
    }
}

pub(crate) fn openapi(
    report: &mut Report<'_>,
    at: &KeyPath,
    raw: RawOpenapi,
    connections: &Connections<'_>,
) -> Option<OpenapiSurface> {
    let connection = connections.named(report, &at.key("connection"), raw.connection);
    let base_url = report.template_url(&at.key("baseUrl"), raw.base_url.as_deref());
    let at = at.key("document");
    let text = report.required(&at, raw.document)?;
    let document = match text.split_once("://") {
        Some(_) => report.template_url(&at, Some(&text)).map(Document::Url),
        None => package_path(report, &at, &text).map(Document::File),
    };
    let base_url = base_url.map(|url| url.trim_end_matches('/').to_owned());
    Some(OpenapiSurface { connection, document: document?, base_url })
}

pub(crate) fn graphql(
    report: &mut Report<'_>,
    at: &KeyPath,
    raw: RawGraphql,
    connections: &Connections<'_>,
) -> Option<GraphqlSurface> {
    let connection = connections.named(report, &at.key("connection"), raw.connection);
    let url = endpoint(report, &at.key("url"), raw.url);
    Some(GraphqlSurface { connection, url: url?, selections: texts(raw.operation_selections) })
}

pub(crate) fn mcp(
    report: &mut Report<'_>,
    at: &KeyPath,
    raw: RawMcp,
    connections: &Connections<'_>,
) -> Option<McpSurface> {
    let connection = connections.named(report, &at.key("connection"), raw.connection);
    let url = endpoint(report, &at.key("url"), raw.url);
    Some(McpSurface { connection, url: url? })
}

fn endpoint(report: &mut Report<'_>, at: &KeyPath, raw: Option<String>) -> Option<String> {
    let text = report.required(at, raw)?;
    report.template_url(at, Some(&text))
}
