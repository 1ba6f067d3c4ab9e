//! `spec` of everything that is no app.

use schemars::JsonSchema;
use serde::Deserialize;

/// What a provider of the daemon's own parts says about itself.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawProviderSpec {
    /// JSON Schema file of the provider's `config`.
    pub(crate) config_schema_path: Option<String>,
}

/// A directory of files for browsers.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawUiSpec {
    /// JSON Schema file of the UI's `config`.
    pub(crate) config_schema_path: Option<String>,
    /// Directory of the built files.
    pub(crate) asset_root: Option<String>,
    /// Who may load what, when the deployment binds the UI to a policy.
    pub(crate) routes: Option<Vec<RawRoute>>,
}

/// Who may load what.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawRoute {
    /// A path, or all below one: `/admin/*`.
    pub(crate) path: Option<String>,
    /// Roles that may load it.
    pub(crate) allowed_roles: Option<Vec<String>>,
}
