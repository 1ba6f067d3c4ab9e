//! `spec` of an app.

use super::surfaces::RawSurfaces;
use crate::raw::http::{RawHttpBinding, RawSecurityScheme};
use crate::raw::manifest::connections::{RawAuth, RawConnection};
use crate::raw::manifest::operations::{RawAllowedOperation, RawPagination, RawPick};
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

/// What the app is.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawAppSpec {
    /// JSON Schema file of the app's `config`.
    pub(crate) config_schema_path: Option<String>,
    /// Who must be logged in with whom to reach the app's routes.
    pub(crate) auth: Option<RawSpecAuth>,
    /// How hosted requests prove where they come from, by name.
    pub(crate) security_schemes: Option<BTreeMap<String, Option<RawSecurityScheme>>>,
    /// Routes of its own for operations, by name.
    pub(crate) http: Option<BTreeMap<String, Option<RawHttpBinding>>>,
    /// Whether the operations are MCP tools.
    pub(crate) mcp: Option<bool>,
    /// Headers of every upstream request.
    pub(crate) headers: Option<BTreeMap<String, Option<String>>>,
    /// Headers of the app's own that its answers may carry to callers, besides those that describe any answer, such as
    /// `[X-Request-Cost]`. A key of ours; default `[]`.
    pub(crate) response_headers: Option<Vec<String>>,
    /// Parameters of every upstream request that callers neither see nor set.
    pub(crate) managed_parameters: Option<Vec<RawManagedParameter>>,
    /// Upstream APIs the app's operations come from.
    pub(crate) surfaces: Option<RawSurfaces>,
    /// Which operations of the surfaces are offered; all when absent.
    pub(crate) allowed_operations: Option<BTreeMap<String, Option<RawAllowedOperation>>>,
    /// Connections to upstreams.
    pub(crate) connections: Option<BTreeMap<String, Option<RawConnection>>>,
    /// The connection that is meant when none is named.
    pub(crate) default_connection: Option<String>,
    /// Where answers have their results.
    pub(crate) response_mapping: Option<RawResponseMapping>,
    /// How upstreams hand out results page by page.
    pub(crate) pagination: Option<RawPagination>,
    /// Addresses of packages that must be up first.
    pub(crate) requires: Option<Vec<String>>,
    /// The app's own UI.
    pub(crate) ui: Option<RawOwnedUi>,
}

/// Who must be logged in; or, in older manifests without `connections`, the one connection's `auth`.
// serde cannot refuse unknown keys beside a flattened struct; the schema can, and is asked first.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(crate) struct RawSpecAuth {
    /// `server`, or a key of `providers.authentication`.
    pub(crate) provider: Option<String>,
    #[serde(flatten)]
    pub(crate) upstream: RawAuth,
}

/// A parameter that callers neither see nor set.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawManagedParameter {
    /// Where it travels.
    #[serde(rename = "in")]
    pub(crate) location: Option<RawManagedLocation>,
    /// Its name upstream.
    pub(crate) name: Option<String>,
    /// Its value.
    pub(crate) value: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum RawManagedLocation {
    Header,
    Path,
}

/// Where answers have their results.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawResponseMapping {
    /// The list of results.
    pub(crate) data_path: Option<String>,
    /// What says whether there is more.
    pub(crate) pagination: Option<RawResponsePagination>,
}

/// What says whether there is more.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawResponsePagination {
    /// Whether there is.
    pub(crate) has_more: Option<RawPick>,
    /// Where it goes on.
    pub(crate) cursor: Option<RawPick>,
}

/// The app's own UI: in the package, or by its address.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawOwnedUi {
    /// Manifest of a `kind: ui` package.
    pub(crate) path: Option<String>,
    /// Address of a `kind: ui` package.
    #[serde(rename = "ref")]
    pub(crate) address: Option<String>,
    /// With `ref`: its version; the app's own when absent.
    pub(crate) version: Option<String>,
    /// With `ref`: how to be let in.
    pub(crate) auth: Option<RawUiAuth>,
}

/// How to be let in.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawUiAuth {
    /// A token, or where it is.
    pub(crate) token: Option<RawToken>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum RawToken {
    Text(String),
    Secret(RawSecret),
}

/// A secret, by reference.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawSecret {
    /// Where it is.
    pub(crate) secret: Option<RawSecretRef>,
}

/// Where a secret is.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawSecretRef {
    /// A key of `providers.secrets`.
    pub(crate) provider: Option<String>,
    /// Its name there.
    pub(crate) name: Option<String>,
}
