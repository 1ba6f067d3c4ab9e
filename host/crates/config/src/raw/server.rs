//! `server`, but for `server.egress`.

use super::config::RawServerEgress;
use schemars::JsonSchema;
use serde::Deserialize;

/// The daemon itself.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawServer {
    /// The listener for callers.
    pub(crate) public: Option<RawListener>,
    /// A second listener for operators.
    pub(crate) management: Option<RawManagement>,
    /// Proxies in front of the daemon, as addresses and networks such as `10.0.0.0/8`. Only what connects from there is
    /// believed in `X-Forwarded-For`, and has no bound of its own on connections. A key of ours; default `[]`.
    pub(crate) trusted_proxies: Option<Vec<String>>,
    /// What connections to the public listener may take. A key of ours.
    pub(crate) connections: Option<RawConnections>,
    /// How browsers reach the public listener.
    pub(crate) base_url: Option<String>,
    /// The root secret of the deployment.
    pub(crate) encryption_key: Option<String>,
    /// Lifetime of new API tokens.
    pub(crate) api_token_ttl: Option<String>,
    /// Where the daemon keeps what it prepares.
    pub(crate) artifacts_dir: Option<String>,
    /// The built-in operator pages under `/admin`.
    pub(crate) admin: Option<RawAdmin>,
    /// What agents are offered.
    pub(crate) agent: Option<RawServerAgent>,
    /// Attaching a provider that runs on a developer's machine.
    pub(crate) dev: Option<RawServerDev>,
    /// What apps may reach.
    pub(crate) egress: Option<RawServerEgress>,
    /// Which entry of each kind of provider the daemon itself uses.
    pub(crate) providers: Option<RawSelection>,
    /// Which runtime is used when none is named.
    pub(crate) runtime: Option<RawServerRuntime>,
    /// Packages that have to be built before they start. A key of this daemon's own.
    pub(crate) packages: Option<RawServerPackages>,
}

/// Packages that have to be built before they start.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawServerPackages {
    /// Whether the `install` and `build` commands of packages run: `allow` runs them as the daemon's user, `confined` in
    /// the sandbox and with the network of the entry's `egress`, `deny` not at all; `confined` when absent. A key of this
    /// daemon's own.
    pub(crate) build: Option<RawBuild>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum RawBuild {
    Allow,
    Confined,
    Deny,
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

/// What connections to the public listener may take. Keys of ours.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawConnections {
    /// Open connections, such as `4096`. A key of ours; default: half of the descriptors the process may have, at most 8192.
    pub(crate) max: Option<i64>,
    /// Open connections of one client address, and its requests under way, such as `256`; an IPv6 client is counted by its
    /// /64. A key of ours; default: half of `max`.
    pub(crate) max_per_address: Option<i64>,
    /// From a connection's first moment, or a later request's first byte, to the end of the request's head, such as `10s`.
    /// A key of ours; default `10s`.
    pub(crate) head_timeout: Option<String>,
    /// From a request's head to the end of its body, such as `1m`. A key of ours; default `60s`.
    pub(crate) body_timeout: Option<String>,
    /// Between an answer and the next request, such as `2m`. A key of ours; default `120s`.
    pub(crate) idle_timeout: Option<String>,
    /// How long a client may take nothing of its answer, such as `30s`; it must take 16 KiB in each second beyond. A key of
    /// ours; default `30s`.
    pub(crate) write_timeout: Option<String>,
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

/// The built-in operator pages.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawAdmin {
    /// A key of `authorization.policies`.
    pub(crate) authorization_policy: Option<String>,
    /// Roles of that policy that are let in; `admin` when absent.
    pub(crate) allowed_roles: Option<Vec<String>>,
    /// A key of `providers.ui` whose bundle has `admin/index.html`.
    pub(crate) ui: Option<String>,
}

/// What agents are offered.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawServerAgent {
    /// Catalogs larger than this are narrowed to a provider that is named.
    pub(crate) default_tool_narrowing_threshold: Option<i64>,
}

/// Attaching a provider that runs on a developer's machine.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawServerDev {
    /// Where the state of attachments is kept; attaching is off when absent.
    pub(crate) attachment_state: Option<RawAttachmentState>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum RawAttachmentState {
    Indexeddb,
}

/// Which entry of each kind of provider the daemon itself uses.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawSelection {
    /// A key of `providers.audit`.
    pub(crate) audit: Option<String>,
    /// A key of `providers.authentication`.
    pub(crate) authentication: Option<String>,
    /// A key of `providers.authorization`.
    pub(crate) authorization: Option<String>,
    /// A key of `providers.externalCredentials`.
    pub(crate) external_credentials: Option<String>,
    /// A key of `providers.indexeddb`.
    pub(crate) indexeddb: Option<String>,
    /// A key of `providers.secrets`.
    pub(crate) secrets: Option<String>,
    /// A key of `providers.telemetry`.
    pub(crate) telemetry: Option<String>,
}

/// Which runtime is used when none is named.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawServerRuntime {
    /// A key of `runtime.providers`, or `wasm`.
    pub(crate) default_provider: Option<String>,
    /// Where hosted runtimes call back.
    pub(crate) relay_base_url: Option<String>,
}
