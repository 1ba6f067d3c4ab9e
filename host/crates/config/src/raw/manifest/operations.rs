//! What is said about operations that come from elsewhere, as manifests write it.

use schemars::JsonSchema;
use serde::Deserialize;

/// An operation that is offered, and what is different about it.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawAllowedOperation {
    /// Its id for callers.
    pub(crate) alias: Option<String>,
    /// Instead of the upstream's.
    pub(crate) description: Option<String>,
    /// Roles that may call it.
    pub(crate) allowed_roles: Option<Vec<String>>,
    /// Free labels.
    pub(crate) tags: Option<Vec<String>>,
    /// Whether one call fetches several pages.
    pub(crate) paginate: Option<bool>,
    /// How, where it differs from the app's `pagination`.
    pub(crate) pagination: Option<RawPagination>,
    /// GraphQL: the document to send.
    pub(crate) graphql: Option<RawGraphqlDocument>,
}

/// A GraphQL document.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawGraphqlDocument {
    /// Its text.
    pub(crate) document: Option<String>,
    /// Which of its operations is meant.
    pub(crate) operation_name: Option<String>,
}

/// How an upstream hands out results page by page.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawPagination {
    /// What a request says to get the next page.
    pub(crate) style: Option<RawPaginationStyle>,
    /// Query parameter for the cursor.
    pub(crate) cursor_param: Option<String>,
    /// Where the answer has the next cursor.
    pub(crate) cursor: Option<RawPick>,
    /// Query parameter for the page's size.
    pub(crate) limit_param: Option<String>,
    /// Size of a page when the caller names none.
    pub(crate) default_limit: Option<i64>,
    /// Where the answer has the results; empty when the whole body is the results.
    pub(crate) results_path: Option<String>,
    /// Most pages one call fetches.
    pub(crate) max_pages: Option<i64>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum RawPaginationStyle {
    Cursor,
    Offset,
    Page,
}

/// One value of an answer.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawPick {
    /// Which part of the answer.
    pub(crate) source: Option<RawPickSource>,
    /// Where in it: a dotted path, or the name of a header.
    pub(crate) path: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum RawPickSource {
    Body,
    Header,
}
