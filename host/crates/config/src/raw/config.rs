//! `gestaltd.config/v6` (seed 004).

use super::OneOrMany;
use super::app::RawApp;
use super::authorization::RawAuthorization;
use super::connections::RawConnections;
use super::providers::{RawProvider, RawProviders};
use super::server::RawServer;
use super::source::{RawRepository, RawSnapshotRepository};
use super::workflows::RawWorkflows;
use schemars::JsonSchema;
use serde::Deserialize;
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
    /// Who may do what.
    pub(crate) authorization: Option<RawAuthorization>,
    /// Upstream credentials, by name.
    pub(crate) connections: Option<RawConnections>,
    /// Indexes of packages, by name.
    pub(crate) provider_repositories: Option<BTreeMap<String, Option<RawRepository>>>,
    /// Roots of prepared artifacts, by name.
    pub(crate) provider_snapshot_repositories: Option<BTreeMap<String, Option<RawSnapshotRepository>>>,
    /// Where apps run.
    pub(crate) runtime: Option<RawRuntimes>,
    /// What the daemon and apps are served by.
    pub(crate) providers: Option<RawProviders>,
    /// What runs by itself.
    pub(crate) workflows: Option<RawWorkflows>,
    /// The apps, by name.
    pub(crate) apps: Option<BTreeMap<String, Option<RawApp>>>,
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
    /// What becomes of header fields that servers believe of proxies, in any spelling: those that name another client,
    /// host, path or method (`Forwarded`, `X-Forwarded-*`, `X-Original-*`, `X-Rewrite-*`, `X-Host`, `X-Real-IP`,
    /// `*-Client-IP`, `*-Connecting-IP`, `X-HTTP-Method-Override`, `X-Envoy-*`, `Via` and their kin). `strip`, the default,
    /// sends none of them for apps, and the log names what it withheld; `pass` sends them all.
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
    /// Tunnels through the proxy of a native process.
    pub(crate) connect: Option<RawConnect>,
    /// What confines native processes, unless everything is allowed; for apps that do not say it themselves.
    pub(crate) sandbox: Option<RawSandbox>,
    /// Absolute paths that confined native processes may read besides the system's programs and libraries and their own
    /// package, such as `/opt/python3.12`; for apps that do not say it themselves. None when absent. A key of this
    /// daemon's own.
    pub(crate) sandbox_paths: Option<Vec<String>>,
}

/// Tunnels through the proxy of a native process.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawConnect {
    /// Where a tunnel may lead.
    pub(crate) ports: Option<Vec<i64>>,
    /// How long no byte may pass.
    pub(crate) idle_timeout: Option<String>,
    /// How long a tunnel lasts at most.
    pub(crate) total_timeout: Option<String>,
    /// Bytes to the server.
    pub(crate) max_sent: Option<String>,
    /// Bytes from the server.
    pub(crate) max_received: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum RawSandbox {
    Required,
    BestEffort,
    Off,
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

/// Where apps run.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawRuntimes {
    /// The runtimes, by name.
    pub(crate) providers: Option<BTreeMap<String, Option<RawRuntime>>>,
}

/// One runtime: a driver, or a package.
// serde cannot refuse unknown keys beside a flattened struct; the schema can, and is asked first.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(crate) struct RawRuntime {
    /// A built-in runtime: `local` or `wasm`.
    pub(crate) driver: Option<RawDriver>,
    #[serde(flatten)]
    pub(crate) provider: RawProvider,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum RawDriver {
    Local,
    Wasm,
}
