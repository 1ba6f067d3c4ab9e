//! `spec.surfaces` of an app.

use crate::raw::manifest::operations::RawPagination;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// Upstream APIs.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawSurfaces {
    /// Requests described one by one.
    pub(crate) rest: Option<RawRest>,
    /// An OpenAPI document.
    pub(crate) openapi: Option<RawOpenapi>,
    /// A GraphQL endpoint.
    pub(crate) graphql: Option<RawGraphql>,
    /// An MCP server.
    pub(crate) mcp: Option<RawMcp>,
}

/// An OpenAPI document.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawOpenapi {
    /// The connection whose credentials are used.
    pub(crate) connection: Option<String>,
    /// File in the package, or an http(s) URL.
    pub(crate) document: Option<String>,
    /// What each path is appended to, instead of the document's own server.
    pub(crate) base_url: Option<String>,
}

/// A GraphQL endpoint.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawGraphql {
    /// The connection whose credentials are used.
    pub(crate) connection: Option<String>,
    /// The endpoint.
    pub(crate) url: Option<String>,
    /// What each operation selects of its result, by operation.
    pub(crate) operation_selections: Option<BTreeMap<String, Option<String>>>,
}

/// An MCP server.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawMcp {
    /// The connection whose credentials are used.
    pub(crate) connection: Option<String>,
    /// The endpoint.
    pub(crate) url: Option<String>,
}

/// Requests described one by one.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawRest {
    /// The connection whose credentials are used.
    pub(crate) connection: Option<String>,
    /// What each path is appended to.
    pub(crate) base_url: Option<String>,
    /// The requests.
    pub(crate) operations: Option<Vec<RawOperation>>,
}

/// One request.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawOperation {
    /// The operation's id.
    pub(crate) name: Option<String>,
    /// GET, POST, PUT, PATCH or DELETE.
    pub(crate) method: Option<String>,
    /// Path below the base URL, with `{placeholders}`.
    pub(crate) path: Option<String>,
    /// What it does.
    pub(crate) description: Option<String>,
    /// What goes into it.
    pub(crate) parameters: Option<Vec<RawParameter>>,
    /// Roles that may call it.
    pub(crate) allowed_roles: Option<Vec<String>>,
    /// Free labels.
    pub(crate) tags: Option<Vec<String>>,
    /// The connection whose credentials are used, instead of the surface's.
    pub(crate) connection: Option<String>,
    /// Chooses the connection by a parameter.
    pub(crate) connection_selector: Option<RawConnectionSelector>,
    /// Whether one call fetches several pages.
    pub(crate) paginate: Option<bool>,
    /// How, where it differs from the app's `pagination`.
    pub(crate) pagination: Option<RawPagination>,
}

/// Chooses the connection by a parameter.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawConnectionSelector {
    /// The parameter.
    pub(crate) parameter: Option<String>,
    /// The value that is meant when a call has none.
    pub(crate) default: Option<String>,
    /// The connection of each value.
    pub(crate) values: Option<BTreeMap<String, Option<String>>>,
}

/// One parameter.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawParameter {
    /// Name for callers.
    pub(crate) name: Option<String>,
    /// Name upstream, when it differs.
    pub(crate) wire_name: Option<String>,
    /// `string`, `integer`, `number`, `boolean`, `object`, `array`.
    #[serde(rename = "type")]
    pub(crate) kind: Option<String>,
    /// `path`, `query`, `header` or `body`.
    #[serde(rename = "in")]
    pub(crate) location: Option<String>,
    /// What it means.
    pub(crate) description: Option<String>,
    /// Whether a call must have it.
    pub(crate) required: Option<bool>,
    /// Set by the host only.
    pub(crate) internal: Option<bool>,
    /// Used when a call has none.
    pub(crate) default: Option<Value>,
}
