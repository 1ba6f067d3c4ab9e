//! `providers`: what the daemon and apps are served by, one map for each kind.

use super::app::RawAllowedHosts;
use super::connections::RawConnections;
use super::placement::{RawBinding, RawPlacement};
use super::source::RawSource;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

type Entries<T> = Option<BTreeMap<String, Option<T>>>;

/// Providers by kind, and by name within a kind.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawProviders {
    /// Agents.
    pub(crate) agent: Entries<RawAgent>,
    /// Where audit records go.
    pub(crate) audit: Entries<RawProvider>,
    /// How users log in.
    pub(crate) authentication: Entries<RawProvider>,
    /// Policy engines and relationship stores.
    pub(crate) authorization: Entries<RawProvider>,
    /// Caches for apps.
    pub(crate) cache: Entries<RawCache>,
    /// Keepers of upstream credentials.
    pub(crate) external_credentials: Entries<RawProvider>,
    /// Databases.
    pub(crate) indexeddb: Entries<RawProvider>,
    /// Object stores for apps.
    pub(crate) s3: Entries<RawProvider>,
    /// Where secrets come from.
    pub(crate) secrets: Entries<RawProvider>,
    /// Where traces, metrics and logs go.
    pub(crate) telemetry: Entries<RawProvider>,
    /// Web pages.
    pub(crate) ui: Entries<RawUiBundle>,
    /// Schedulers.
    pub(crate) workflow: Entries<RawWorkflowProvider>,
}

/// What entries of every kind have.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawProvider {
    /// The package; for some kinds a built-in.
    pub(crate) source: Option<RawSource>,
    /// Used when no other is named. At most one of its kind is.
    pub(crate) default: Option<bool>,
    /// The provider's own configuration.
    pub(crate) config: Option<Map<String, Value>>,
    /// Environment variables of the provider.
    pub(crate) env: Option<BTreeMap<String, Option<String>>>,
    /// What the provider may reach.
    pub(crate) egress: Option<RawAllowedHosts>,
    /// Name for people, instead of the manifest's.
    pub(crate) display_name: Option<String>,
    /// One or two sentences, instead of the manifest's.
    pub(crate) description: Option<String>,
    /// SVG icon, instead of the manifest's.
    pub(crate) icon_file: Option<String>,
}

/// A cache.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawCache {
    /// The package.
    pub(crate) source: Option<RawSource>,
    /// The provider's own configuration.
    pub(crate) config: Option<Map<String, Value>>,
    /// Environment variables of the provider.
    pub(crate) env: Option<BTreeMap<String, Option<String>>>,
    /// What the provider may reach.
    pub(crate) egress: Option<RawAllowedHosts>,
    /// Name for people, instead of the manifest's.
    pub(crate) display_name: Option<String>,
    /// One or two sentences, instead of the manifest's.
    pub(crate) description: Option<String>,
    /// SVG icon, instead of the manifest's.
    pub(crate) icon_file: Option<String>,
}

impl From<RawCache> for RawProvider {
    fn from(raw: RawCache) -> Self {
        let RawCache { source, config, env, egress, display_name, description, icon_file } = raw;
        Self { source, default: None, config, env, egress, display_name, description, icon_file }
    }
}

/// A bundle of web pages.
// Here and below: serde cannot refuse unknown keys beside a flattened struct; the schema can, and is asked first.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(crate) struct RawUiBundle {
    /// Where it is mounted, unless an app mounts it.
    pub(crate) path: Option<String>,
    /// A key of `authorization.policies`.
    pub(crate) authorization_policy: Option<String>,
    #[serde(flatten)]
    pub(crate) provider: RawProvider,
}

/// A scheduler.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(crate) struct RawWorkflowProvider {
    /// The database it is given.
    pub(crate) indexeddb: Option<RawBinding>,
    /// Where it runs.
    pub(crate) runtime: Option<RawPlacement>,
    #[serde(flatten)]
    pub(crate) provider: RawProvider,
}

/// An agent.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(crate) struct RawAgent {
    /// Its connections, by its own names.
    pub(crate) connections: Option<RawConnections>,
    /// The harness used when none is named.
    pub(crate) default_harness: Option<String>,
    /// What `gestalt agent` runs on an operator's machine, by name.
    pub(crate) harnesses: Option<BTreeMap<String, Option<RawHarness>>>,
    /// The database it is given.
    pub(crate) indexeddb: Option<RawBinding>,
    /// Where it runs.
    pub(crate) runtime: Option<RawPlacement>,
    #[serde(flatten)]
    pub(crate) provider: RawProvider,
}

/// A program on an operator's machine.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawHarness {
    /// The program.
    pub(crate) command: Option<String>,
    /// Its arguments.
    pub(crate) args: Option<Vec<String>>,
    /// Environment variables.
    pub(crate) env: Option<BTreeMap<String, Option<String>>>,
    /// Where it runs.
    pub(crate) working_directory: Option<String>,
    /// Programs that must be there.
    pub(crate) required_commands: Option<Vec<String>>,
    /// What to do when one is not.
    pub(crate) install: Option<RawHarnessInstall>,
}

/// How missing programs are installed.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawHarnessInstall {
    /// For people.
    pub(crate) instructions: Option<String>,
    /// One after the other.
    pub(crate) commands: Option<Vec<RawInstallCommand>>,
}

/// Either `command` with `args`, or `shell`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawInstallCommand {
    /// For people.
    pub(crate) description: Option<String>,
    /// The program.
    pub(crate) command: Option<String>,
    /// Its arguments.
    pub(crate) args: Option<Vec<String>>,
    /// A line for the platform's shell.
    pub(crate) shell: Option<String>,
    /// Environment variables.
    pub(crate) env: Option<BTreeMap<String, Option<String>>>,
}
