//! `manifest.yaml` of an app (seed 003 with kind `app`; phases from seed 004).

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// An app's package.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawManifest {
    /// `app`.
    #[allow(dead_code, reason = "judged first, on the tree")]
    pub(crate) kind: Option<String>,
    /// `host/owner/repo/path`.
    pub(crate) source: Option<String>,
    /// Semver.
    pub(crate) version: Option<String>,
    /// Name for people.
    pub(crate) display_name: Option<String>,
    /// One or two sentences.
    pub(crate) description: Option<String>,
    /// SVG file in the package.
    pub(crate) icon_file: Option<String>,
    /// Fetches what the package needs.
    pub(crate) install: Option<RawPhase>,
    /// Makes the executable.
    pub(crate) build: Option<RawPhase>,
    /// Runs the package from its source.
    pub(crate) run: Option<RawPhase>,
    /// Executables in the package, by platform.
    pub(crate) artifacts: Option<Vec<RawArtifact>>,
    /// What is started.
    pub(crate) entrypoint: Option<RawEntrypoint>,
    /// What the app is.
    pub(crate) spec: Option<RawSpec>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum RawPhase {
    Steps(Vec<RawStep>),
    Command(RawCommand),
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum RawStep {
    Word(String),
    Argv(Vec<String>),
    Command(RawCommand),
}

/// A command with options.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawCommand {
    /// Program and arguments; no shell.
    pub(crate) command: Option<Vec<String>>,
    /// Directory in the package; its root when absent.
    pub(crate) workdir: Option<String>,
    /// Environment variables.
    pub(crate) env: Option<BTreeMap<String, Option<String>>>,
    /// `build`: files and directories whose content decides whether the output is stale.
    pub(crate) inputs: Option<Vec<String>>,
    /// `run`: how long it may take until it answers.
    pub(crate) ready_timeout: Option<String>,
}

/// An executable for one platform.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawArtifact {
    /// `linux`, `darwin`, …; `wasi` for a component.
    pub(crate) os: Option<String>,
    /// `amd64`, `arm64`, …; `wasm32` for a component.
    pub(crate) arch: Option<String>,
    /// `musl`, on linux only.
    pub(crate) libc: Option<String>,
    /// File in the package.
    pub(crate) path: Option<String>,
    /// Digest of the file, in hex.
    pub(crate) sha256: Option<String>,
}

/// What is started.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawEntrypoint {
    /// File in the package; also what `build` makes.
    pub(crate) artifact_path: Option<String>,
    /// Arguments.
    pub(crate) args: Option<Vec<String>>,
}

/// What the app is.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawSpec {
    /// JSON Schema file of the app's `config`.
    pub(crate) config_schema_path: Option<String>,
    /// Headers of every upstream request.
    pub(crate) headers: Option<BTreeMap<String, Option<String>>>,
    /// Upstream APIs the app's operations come from.
    pub(crate) surfaces: Option<RawSurfaces>,
    /// Connections to upstreams.
    pub(crate) connections: Option<BTreeMap<String, Option<RawConnection>>>,
    /// The connection that is meant when none is named.
    pub(crate) default_connection: Option<String>,
}

/// A connection. Only those without credentials are available yet.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawConnection {
    /// Name for people.
    #[allow(dead_code, reason = "part of the format; nothing shows a connection yet")]
    pub(crate) display_name: Option<String>,
    /// `none` or `subject`.
    pub(crate) mode: Option<String>,
    /// How credentials come about.
    pub(crate) auth: Option<Map<String, Value>>,
}

/// Upstream APIs.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawSurfaces {
    /// Requests described one by one.
    pub(crate) rest: Option<RawRest>,
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
