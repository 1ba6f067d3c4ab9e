//! Allow-lists, pagination and response mappings of manifests.

use crate::catalog::{MAX_OPERATIONS, is_operation_id};
use crate::check::Report;
use crate::check::app::trimmed;
use crate::check::texts::is_header_name;
use crate::manifest::operations::{
    AllowedOperation, GraphqlDocument, Pagination, PaginationDetails, PaginationOverride, PaginationStyle, Pick,
    ResponseMapping,
};
use crate::path::KeyPath;
use crate::raw::manifest::app::RawResponseMapping;
use crate::raw::manifest::operations::{
    RawAllowedOperation, RawPagination, RawPaginationStyle, RawPick, RawPickSource,
};
use crate::shape::list;
use std::collections::{BTreeMap, HashMap};

/// Checks an allow-list. An entry that is null or empty offers the operation as it is.
pub(crate) fn allowed(
    report: &mut Report<'_>,
    at: &KeyPath,
    raw: BTreeMap<String, Option<RawAllowedOperation>>,
) -> BTreeMap<String, AllowedOperation> {
    if raw.len() > MAX_OPERATIONS {
        report.problem(at, format!("has more than {MAX_OPERATIONS} operations"));
        return BTreeMap::new();
    }
    let (mut exposed, mut allowed) = (HashMap::<String, String>::new(), BTreeMap::new());
    for (id, raw) in raw {
        let at = at.key(&id);
        if id.trim().is_empty() {
            report.problem(&at, "an operation needs a name");
            continue;
        }
        let operation = allowed_operation(report, &at, raw.unwrap_or_default());
        let name = operation.alias.as_ref().unwrap_or(&id).clone();
        if let Some(other) = exposed.insert(name.clone(), id.clone()) {
            let key = if operation.alias.is_some() { at.key("alias") } else { at.clone() };
            report.problem(&key, format!("`{other}` is offered as `{name}` already"));
        }
        allowed.insert(id, operation);
    }
    allowed
}

fn allowed_operation(report: &mut Report<'_>, at: &KeyPath, raw: RawAllowedOperation) -> AllowedOperation {
    let alias = trimmed(raw.alias);
    if alias.as_deref().is_some_and(|alias| !is_operation_id(alias)) {
        report.problem(&at.key("alias"), "must be letters, digits, `_` and `-`, in segments parted by dots");
    }
    let graphql = raw.graphql.and_then(|raw| {
        let document = report.required(&at.dotted("graphql.document"), raw.document);
        Some(GraphqlDocument { document: document?, operation_name: trimmed(raw.operation_name) })
    });
    AllowedOperation {
        alias,
        description: trimmed(raw.description),
        allowed_roles: report.names(&at.key("allowedRoles"), raw.allowed_roles.unwrap_or_default()),
        tags: report.names(&at.key("tags"), raw.tags.unwrap_or_default()),
        paginate: raw.paginate,
        pagination: raw.pagination.map(|raw| pagination_override(report, &at.key("pagination"), raw)),
        graphql,
    }
}

/// Checks the pagination of a whole app.
pub(crate) fn pagination(report: &mut Report<'_>, at: &KeyPath, raw: RawPagination) -> Option<Pagination> {
    let PaginationOverride { style, details } = pagination_override(report, at, raw);
    if style.is_none() {
        let styles = list(&["cursor", "offset", "page"], "or");
        report.problem(&at.key("style"), format!("is required: {styles}"));
    }
    Some(Pagination { style: style?, details })
}

/// Checks what is different for one operation.
pub(crate) fn pagination_override(report: &mut Report<'_>, at: &KeyPath, raw: RawPagination) -> PaginationOverride {
    let mut count = |key: &str, number: Option<i64>| {
        number.map(|_| report.count(&at.key(key), number, 1..=i64::from(u32::MAX), 1_u32))
    };
    let (default_limit, max_pages) = (count("defaultLimit", raw.default_limit), count("maxPages", raw.max_pages));
    PaginationOverride {
        style: raw.style.map(|style| match style {
            RawPaginationStyle::Cursor => PaginationStyle::Cursor,
            RawPaginationStyle::Offset => PaginationStyle::Offset,
            RawPaginationStyle::Page => PaginationStyle::Page,
        }),
        details: PaginationDetails {
            cursor_param: trimmed(raw.cursor_param),
            cursor: raw.cursor.and_then(|raw| pick(report, &at.key("cursor"), raw)),
            limit_param: trimmed(raw.limit_param),
            default_limit,
            results_path: raw.results_path.map(|path| path.trim().to_owned()),
            max_pages,
        },
    }
}

fn pick(report: &mut Report<'_>, at: &KeyPath, raw: RawPick) -> Option<Pick> {
    if raw.source.is_none() {
        report.problem(&at.key("source"), format!("is required: {}", list(&["body", "header"], "or")));
    }
    let path = report.required(&at.key("path"), raw.path);
    match raw.source? {
        RawPickSource::Body => path.map(Pick::Body),
        RawPickSource::Header => {
            if path.as_deref().is_some_and(|name| !is_header_name(name)) {
                report.problem(&at.key("path"), "is not the name of a header");
            }
            path.map(Pick::Header)
        }
    }
}

/// Checks where answers have their results.
pub(crate) fn response_mapping(
    report: &mut Report<'_>,
    at: &KeyPath,
    raw: RawResponseMapping,
) -> Option<ResponseMapping> {
    let data_path = report.required(&at.key("dataPath"), raw.data_path);
    let paging = raw.pagination.unwrap_or_default();
    let at = at.key("pagination");
    let has_more = paging.has_more.and_then(|raw| pick(report, &at.key("hasMore"), raw));
    let cursor = paging.cursor.and_then(|raw| pick(report, &at.key("cursor"), raw));
    Some(ResponseMapping { data_path: data_path?, has_more, cursor })
}
