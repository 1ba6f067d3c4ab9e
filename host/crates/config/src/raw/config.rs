//! `gestaltd.config/v6` (seed 004).

use super::OneOrMany;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// A deployment.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawConfig {
    /// Exactly `gestaltd.config/v6`, in every file.
    #[allow(dead_code, reason = "judged file by file, before the merge")]
    pub(crate) api_version: Option<String>,
    /// The daemon itself.
    pub(crate) server: Option<RawServer>,
    /// Where apps run.
    pub(crate) runtime: Option<RawRuntimes>,
    /// The apps, by name.
    pub(crate) apps: Option<BTreeMap<String, Option<RawApp>>>,
}

/// The daemon itself.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawServer {
    /// The listener for callers.
    pub(crate) public: Option<RawListener>,
    /// A second listener for operators.
    pub(crate) management: Option<RawManagement>,
    /// How browsers reach the public listener.
    pub(crate) base_url: Option<String>,
    /// The root secret of the deployment.
    pub(crate) encryption_key: Option<String>,
    /// Where the daemon keeps what it prepares.
    pub(crate) artifacts_dir: Option<String>,
    /// What apps may reach.
    pub(crate) egress: Option<RawServerEgress>,
    /// Which runtime is used when none is named.
    pub(crate) runtime: Option<RawServerRuntime>,
}

/// A listener.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawListener {
    /// Address to bind; all interfaces when absent.
    pub(crate) host: Option<String>,
    /// TCP port.
    pub(crate) port: Option<i64>,
}

/// The listener for operators.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawManagement {
    /// Address to bind; all interfaces when absent.
    pub(crate) host: Option<String>,
    /// TCP port.
    pub(crate) port: Option<i64>,
    /// How browsers reach it.
    pub(crate) base_url: Option<String>,
}

/// What apps may reach.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawServerEgress {
    /// For an app with no `egress.allowedHosts`.
    pub(crate) default_action: Option<RawAction>,
    /// Addresses of private networks.
    pub(crate) private_networks: Option<RawAction>,
    /// Whether what an app's policy refuses is refused, or sent and recorded; for apps that do not say it themselves.
    pub(crate) mode: Option<RawEgressMode>,
    /// Whether requests in the clear are refused; for apps that do not say it themselves.
    pub(crate) require_tls: Option<bool>,
    /// Whether `64:ff9b::/96` leads to this network's NAT64.
    pub(crate) nat64: Option<bool>,
    /// What becomes of `Forwarded`, `Via`, `X-Real-IP` and `X-Forwarded-*`.
    pub(crate) forwarded_headers: Option<RawForwardedHeaders>,
    /// The proxy every connection goes through; proxy variables of the environment are never read.
    pub(crate) proxy_url: Option<String>,
    /// Networks, optionally with a port, that may be reached although they are private or special.
    pub(crate) allowed_networks: Option<Vec<String>>,
    /// Ports no app may reach: `fetch`, `none`, or a list.
    pub(crate) blocked_ports: Option<RawBlockedPorts>,
    /// PEM file of certificate authorities trusted besides the platform's.
    pub(crate) ca_file: Option<String>,
    /// Name resolution.
    pub(crate) dns: Option<RawDns>,
    /// Records of what was allowed and denied.
    pub(crate) audit: Option<RawEgressAudit>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum RawAction {
    Allow,
    Deny,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum RawEgressMode {
    Enforce,
    Observe,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum RawForwardedHeaders {
    Strip,
    Pass,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum RawBlockedPorts {
    Named(RawBlockedPortsName),
    List(Vec<i64>),
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum RawBlockedPortsName {
    Fetch,
    None,
}

/// Name resolution.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawDns {
    /// For one name.
    pub(crate) timeout: Option<String>,
    /// In one answer.
    pub(crate) max_addresses: Option<i64>,
    /// For one app.
    pub(crate) max_queries_per_minute: Option<i64>,
    /// Names that are not asked for: their addresses.
    pub(crate) hosts: Option<BTreeMap<String, Option<OneOrMany>>>,
}

/// Records of what was allowed and denied.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawEgressAudit {
    /// For one app; more attempts share records.
    pub(crate) max_records_per_minute: Option<i64>,
    /// What is written of requests that were allowed.
    pub(crate) allowed: Option<RawAuditAllowed>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum RawAuditAllowed {
    All,
    Sampled,
    None,
}

/// Which runtime is used when none is named.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawServerRuntime {
    /// A key of `runtime.providers`, or `wasm`.
    pub(crate) default_provider: Option<String>,
}

/// Where apps run.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawRuntimes {
    /// The runtimes, by name.
    pub(crate) providers: Option<BTreeMap<String, Option<RawRuntime>>>,
}

/// One runtime.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawRuntime {
    /// A built-in runtime: `local` or `wasm`.
    pub(crate) driver: Option<RawDriver>,
    /// Used when no other is named. At most one is.
    pub(crate) default: Option<bool>,
    /// The runtime's own configuration.
    pub(crate) config: Option<Map<String, Value>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum RawDriver {
    Local,
    Wasm,
}

/// One app.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawApp {
    /// The package: the path of its manifest.
    pub(crate) source: Option<RawSource>,
    /// Name for people, instead of the manifest's.
    pub(crate) display_name: Option<String>,
    /// One or two sentences, instead of the manifest's.
    pub(crate) description: Option<String>,
    /// SVG icon, instead of the manifest's.
    pub(crate) icon_file: Option<String>,
    /// The app's own configuration.
    pub(crate) config: Option<Map<String, Value>>,
    /// Environment variables of the app.
    pub(crate) env: Option<BTreeMap<String, Option<String>>>,
    /// What the app may reach.
    pub(crate) egress: Option<RawAppEgress>,
    /// Where the app runs.
    pub(crate) runtime: Option<RawPlacement>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum RawSource {
    Path(String),
    Form(RawSourceForm),
}

/// Where a package comes from.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawSourceForm {
    /// A manifest on this machine.
    pub(crate) path: Option<String>,
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

/// Where an app runs.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawPlacement {
    /// A key of `runtime.providers`, or `wasm`; the default runtime when absent.
    pub(crate) provider: Option<String>,
    /// A profile of that runtime.
    pub(crate) template: Option<String>,
}
