//! `apps.<name>`.

use super::config::{RawEgressMode, RawSandbox};
use super::connections::{RawConnectionMode, RawConnections};
use super::http::{RawHttpBinding, RawSchemeSecret, RawSecurityScheme};
use super::placement::{RawBinding, RawPlacement};
use super::source::RawSource;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// One app.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawApp {
    /// The package.
    pub(crate) source: Option<RawSource>,
    /// Name for people, instead of the manifest's.
    pub(crate) display_name: Option<String>,
    /// One or two sentences, instead of the manifest's.
    pub(crate) description: Option<String>,
    /// SVG icon, instead of the manifest's.
    pub(crate) icon_file: Option<String>,
    /// A key of `authorization.policies`: who may call the app.
    pub(crate) authorization_policy: Option<String>,
    /// How callers of the app's routes log in.
    pub(crate) auth: Option<RawRouteAuth>,
    /// Web pages of the app.
    pub(crate) ui: Option<RawAppUi>,
    /// The app's own configuration.
    pub(crate) config: Option<Map<String, Value>>,
    /// Environment variables of the app.
    pub(crate) env: Option<BTreeMap<String, Option<String>>>,
    /// What the app may reach.
    pub(crate) egress: Option<RawAppEgress>,
    /// Its connections, by its own names.
    pub(crate) connections: Option<RawConnections>,
    /// Overrides of the surfaces its manifest declares.
    pub(crate) surfaces: Option<RawSurfaces>,
    /// The operations that are offered, instead of the manifest's list.
    pub(crate) allowed_operations: Option<BTreeMap<String, Option<RawAllowedOperation>>>,
    /// Laid over the manifest's; null removes one.
    pub(crate) security_schemes: Option<BTreeMap<String, Option<RawSecurityScheme<RawSchemeSecret>>>>,
    /// Laid over the manifest's; null removes one.
    pub(crate) http: Option<BTreeMap<String, Option<RawHttpBinding<RawConnectionMode>>>>,
    /// Whether operations are offered as MCP tools, instead of the manifest's word.
    pub(crate) mcp: Option<bool>,
    /// Development.
    pub(crate) dev: Option<RawAppDev>,
    /// Where the app runs.
    pub(crate) runtime: Option<RawPlacement>,
    /// Its database; the daemon's own provider when absent.
    pub(crate) indexeddb: Option<RawBinding>,
    /// Keys of `providers.cache`.
    pub(crate) cache: Option<Vec<String>>,
    /// Keys of `providers.s3`.
    pub(crate) s3: Option<Vec<String>>,
    /// What it may call of other apps.
    pub(crate) invokes: Option<Vec<RawInvokes>>,
}

/// What an app may reach.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawAppEgress {
    /// Host names, addresses, and `*.suffix`. When it has an entry, nothing else can be reached.
    pub(crate) allowed_hosts: Option<Vec<String>>,
    /// Whether what the policy refuses is refused, or sent and recorded.
    pub(crate) mode: Option<RawEgressMode>,
    /// Whether requests in the clear are refused.
    pub(crate) require_tls: Option<bool>,
    /// Credentials the app uses without holding them.
    pub(crate) credentials: Option<Vec<RawHeldCredential>>,
    /// What confines the app's process, if it is a native one and not everything is allowed.
    pub(crate) sandbox: Option<RawSandbox>,
    /// Absolute paths that the app's confined process may read besides what every one may, such as `/opt/python3.12`;
    /// the server's list when absent. A key of this daemon's own.
    pub(crate) sandbox_paths: Option<Vec<String>>,
}

/// A credential the app uses without holding it.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawHeldCredential {
    /// The one header that may carry it.
    pub(crate) header: Option<String>,
    /// The hosts that may get it.
    pub(crate) hosts: Option<Vec<String>>,
    /// The credential.
    pub(crate) value: Option<String>,
    /// What the header becomes, `{}` being the credential.
    pub(crate) format: Option<String>,
    /// The environment variable in which the app finds the placeholder.
    pub(crate) env: Option<String>,
    /// Whether the placeholder is the token of the app's calls.
    pub(crate) token: Option<bool>,
}

/// What a provider may reach.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawAllowedHosts {
    /// Host names, addresses, and `*.suffix`. When it has an entry, nothing else can be reached.
    pub(crate) allowed_hosts: Option<Vec<String>>,
}

/// How callers of an app's routes log in.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawRouteAuth {
    /// `server`, or a key of `providers.authentication`.
    pub(crate) provider: Option<String>,
}

/// Web pages of an app.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawAppUi {
    /// Where they are mounted.
    pub(crate) path: Option<String>,
    /// A key of `providers.ui`; the manifest's own pages when absent.
    pub(crate) bundle: Option<String>,
}

/// Overrides of declared surfaces.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawSurfaces {
    /// REST operations.
    pub(crate) rest: Option<RawBaseUrl>,
    /// An OpenAPI document.
    pub(crate) openapi: Option<RawBaseUrl>,
    /// A GraphQL endpoint.
    pub(crate) graphql: Option<RawUrl>,
    /// An MCP server.
    pub(crate) mcp: Option<RawUrl>,
}

/// Where requests go.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawBaseUrl {
    /// Before each path.
    pub(crate) base_url: Option<String>,
}

/// Where requests go.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawUrl {
    /// The endpoint.
    pub(crate) url: Option<String>,
}

/// An operation that is offered.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawAllowedOperation {
    /// Its id for callers.
    pub(crate) alias: Option<String>,
    /// Instead of its own.
    pub(crate) description: Option<String>,
    /// Roles of the app's policy that may call it; all when absent.
    pub(crate) allowed_roles: Option<Vec<String>>,
    /// Free labels.
    pub(crate) tags: Option<Vec<String>>,
    /// Whether all pages are fetched as one answer.
    pub(crate) paginate: Option<bool>,
}

/// Development.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawAppDev {
    /// Standing in for the app from a developer's machine.
    pub(crate) attach: Option<RawAttach>,
}

/// Standing in for the app.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawAttach {
    /// Roles of the app's policy that may.
    pub(crate) allowed_roles: Option<Vec<String>>,
}

/// What an app may call of another.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawInvokes {
    /// The other app.
    pub(crate) app: Option<String>,
    /// One operation; or `surface`.
    pub(crate) operation: Option<String>,
    /// A whole surface; or `operation`.
    pub(crate) surface: Option<RawInvokedSurface>,
    /// Whose credentials are used.
    pub(crate) credential_mode: Option<RawConnectionMode>,
    /// On whose behalf.
    pub(crate) run_as: Option<RawRunAs>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum RawInvokedSurface {
    Graphql,
}

/// On whose behalf.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawRunAs {
    /// Who.
    pub(crate) subject: Option<RawRunAsSubject>,
}

/// Who.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawRunAsSubject {
    /// `service_account:<id>`.
    pub(crate) id: Option<String>,
    /// The kind in `id`, said again.
    pub(crate) kind: Option<String>,
    /// Whose credentials, when not the subject's own.
    pub(crate) credential_subject_id: Option<String>,
    /// Name for people.
    pub(crate) display_name: Option<String>,
    /// How it counts as having logged in.
    pub(crate) auth_source: Option<String>,
}
