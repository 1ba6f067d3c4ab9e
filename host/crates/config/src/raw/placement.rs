//! Where an app or provider runs, and which database it is given.

use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Where an app or provider runs.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawPlacement {
    /// A key of `runtime.providers`, or `wasm`; the default runtime when absent.
    pub(crate) provider: Option<String>,
    /// A profile of that runtime.
    pub(crate) template: Option<String>,
    /// OCI image.
    pub(crate) image: Option<String>,
    /// Credentials for the image.
    pub(crate) image_pull_auth: Option<RawImagePullAuth>,
    /// Labels of the session.
    pub(crate) metadata: Option<BTreeMap<String, Option<String>>>,
    /// Agents: sessions kept ready. Workflow providers: workers.
    pub(crate) pool: Option<RawSessionPool>,
    /// Agents: checkouts before a session.
    pub(crate) workspace: Option<RawWorkspace>,
}

/// Credentials for an image.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawImagePullAuth {
    /// The JSON text of a Docker configuration.
    pub(crate) docker_config_json: Option<String>,
}

/// Sessions kept ready.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawSessionPool {
    /// At least so many.
    pub(crate) min_ready_instances: Option<i64>,
    /// At most so many.
    pub(crate) max_ready_instances: Option<i64>,
    /// For one session.
    pub(crate) startup_timeout: Option<String>,
    /// Between two looks at a session.
    pub(crate) health_check_interval: Option<String>,
    /// What becomes of a session that ended.
    pub(crate) restart_policy: Option<RawRestartPolicy>,
    /// For work in flight when a session is stopped.
    pub(crate) drain_timeout: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum RawRestartPolicy {
    Always,
    Never,
}

/// Checkouts before a session.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawWorkspace {
    /// For all checkouts of a session.
    pub(crate) prepare_timeout: Option<String>,
    /// What may be checked out.
    pub(crate) git: Option<RawWorkspaceGit>,
}

/// What may be checked out.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawWorkspaceGit {
    /// `host/owner/name`, or `host/owner/*`.
    pub(crate) allowed_repositories: Option<Vec<String>>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum RawBinding {
    Provider(String),
    Form(RawBindingForm),
}

/// A database of an app or provider.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawBindingForm {
    /// A key of `providers.indexeddb`.
    pub(crate) provider: Option<String>,
    /// Its name there; the entry's own when absent.
    pub(crate) db: Option<String>,
    /// Stores that may be used; all when absent.
    pub(crate) object_stores: Option<Vec<String>>,
}
