//! What the manifest of an app says under `spec`.

use crate::manifest::connections::Connection;
use crate::manifest::http::{HttpBinding, SecurityScheme};
use crate::manifest::operations::{AllowedOperation, Pagination, PaginationOverride, ResponseMapping};
use gestalt_core::{ParameterLocation, ResponseHeaders, Secret};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// What an app is (seed 003, `spec` of kind `plugin`).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AppSpec {
    /// Who must be logged in with whom to reach the app's routes: `server`, or a key of `providers.authentication`.
    pub auth_provider: Option<String>,
    /// How hosted requests prove where they come from, by name.
    pub security_schemes: BTreeMap<String, SecurityScheme>,
    /// Routes of their own for operations, by name.
    pub http: BTreeMap<String, HttpBinding>,
    /// Whether the operations are MCP tools.
    pub mcp: bool,
    /// Headers of every upstream request of the surfaces; names in lower case.
    pub headers: BTreeMap<String, String>,
    /// What answers may carry to callers. A key of ours.
    pub response_headers: ResponseHeaders,
    /// Parameters of every upstream request that callers neither see nor set.
    pub managed_parameters: Vec<ManagedParameter>,
    /// Upstream APIs the operations come from.
    pub surfaces: Surfaces,
    /// Which operations of the surfaces are offered, by upstream id; all when `None`.
    pub allowed_operations: Option<BTreeMap<String, AllowedOperation>>,
    /// Connections to upstreams, by name.
    pub connections: BTreeMap<String, Connection>,
    /// The connection that is meant when none is named; a key of `connections`.
    pub default_connection: Option<String>,
    /// Where answers have their results.
    pub response_mapping: Option<ResponseMapping>,
    /// How upstreams hand out results page by page.
    pub pagination: Option<Pagination>,
    /// Addresses of packages that must be up first.
    pub requires: Vec<String>,
    /// The app's own UI.
    pub ui: Option<OwnedUi>,
}

/// A parameter that callers neither see nor set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManagedParameter {
    /// Header or path.
    pub location: ParameterLocation,
    /// Its name upstream.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// The app's own UI.
#[derive(Clone, Debug, PartialEq)]
pub enum OwnedUi {
    /// Manifest of a `kind: ui` package, relative to the app's. In source mode it may lie outside of the package.
    Path(PathBuf),
    /// Address of a `kind: ui` package.
    Ref {
        /// The address.
        source: String,
        /// Its version; the app's own when none was given.
        version: semver::Version,
        /// How to be let in.
        token: Option<SourceToken>,
    },
}

/// A token for a private source.
#[derive(Clone, Debug, PartialEq)]
pub enum SourceToken {
    /// The token itself.
    Value(Secret<String>),
    /// A reference to it.
    Secret {
        /// A key of `providers.secrets`.
        provider: String,
        /// Its name there.
        name: String,
    },
}

/// Upstream APIs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Surfaces {
    /// Requests described one by one.
    pub rest: Option<RestSurface>,
    /// An OpenAPI document.
    pub openapi: Option<OpenapiSurface>,
    /// A GraphQL endpoint.
    pub graphql: Option<GraphqlSurface>,
    /// An MCP server.
    pub mcp: Option<McpSurface>,
}

impl Surfaces {
    /// Whether there is one at all.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Operations that an OpenAPI document describes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenapiSurface {
    /// The connection whose credentials are used, which exists.
    pub connection: Option<String>,
    /// The document.
    pub document: Document,
    /// What each path is appended to, instead of the document's own server. May hold `{param}` placeholders.
    pub base_url: Option<String>,
}

/// Where a document is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Document {
    /// A file of the package.
    File(PathBuf),
    /// An http(s) URL.
    Url(String),
}

/// Operations that a GraphQL schema describes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GraphqlSurface {
    /// The connection whose credentials are used, which exists.
    pub connection: Option<String>,
    /// The endpoint. May hold `{param}` placeholders.
    pub url: String,
    /// What each operation selects of its result, by operation.
    pub selections: BTreeMap<String, String>,
}

/// Tools of an MCP server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct McpSurface {
    /// The connection whose credentials are used, which exists.
    pub connection: Option<String>,
    /// The endpoint. May hold `{param}` placeholders.
    pub url: String,
}

/// Operations that are upstream REST requests (seed 003, `spec.surfaces.rest`).
#[derive(Clone, Debug, PartialEq)]
pub struct RestSurface {
    /// The connection whose credentials are used, which exists.
    pub connection: Option<String>,
    /// Absolute http(s) URL without final slash, query and fragment. May hold `{param}` placeholders.
    pub base_url: String,
    /// Not empty; names are unique.
    pub operations: Vec<RestOperation>,
}

/// One upstream request.
#[derive(Clone, Debug, PartialEq)]
pub struct RestOperation {
    /// The operation's id.
    pub name: String,
    /// `GET`, `POST`, `PUT`, `PATCH` or `DELETE`.
    pub method: String,
    /// Begins with a slash. Each `{placeholder}` in it has a path parameter of that wire name.
    pub path: String,
    /// What it does; may be empty.
    pub description: String,
    /// Names are unique.
    pub parameters: Vec<RestParameter>,
    /// Roles that may call it; empty means every role.
    pub allowed_roles: Vec<String>,
    /// Free labels.
    pub tags: Vec<String>,
    /// The connection whose credentials are used, instead of the surface's.
    pub connection: Option<OperationConnection>,
    /// Whether one call fetches several pages; as the app's `pagination` says when `None`.
    pub paginate: Option<bool>,
    /// What differs from the app's `pagination`.
    pub pagination: Option<PaginationOverride>,
}

/// Which connection one operation uses. Every name in it exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OperationConnection {
    /// This one.
    Named(String),
    /// What a parameter says.
    Selected {
        /// Name of the parameter.
        parameter: String,
        /// The value that is meant when a call has none; a key of `values`.
        default: Option<String>,
        /// The connection of each value.
        values: BTreeMap<String, String>,
        /// The connection when a call has no value and there is no default.
        otherwise: Option<String>,
    },
}

/// One parameter of an upstream request.
#[derive(Clone, Debug, PartialEq)]
pub struct RestParameter {
    /// Name for callers.
    pub name: String,
    /// Name upstream.
    pub wire_name: String,
    /// `string`, `integer`, `number`, `boolean`, `object` or `array`.
    pub kind: String,
    /// Where it travels; `None` leaves it to the method.
    pub location: Option<ParameterLocation>,
    /// What it means; may be empty.
    pub description: String,
    /// Whether a call must have it. A path parameter without default always is.
    pub required: bool,
    /// Set by the host only.
    pub internal: bool,
    /// Used when a call has none.
    pub default: Option<serde_json::Value>,
}
