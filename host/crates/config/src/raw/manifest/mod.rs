//! `manifest.yaml` (seed 003, with the kinds and phases of seed 004). What stands under `spec` depends on the kind.

pub(crate) mod app;
pub(crate) mod artifacts;
pub(crate) mod connections;
pub(crate) mod operations;
pub(crate) mod phases;
pub(crate) mod spec;
pub(crate) mod surfaces;

use artifacts::{RawArtifact, RawEntrypoint};
use phases::{RawPhase, RawRelease};
use schemars::JsonSchema;
use serde::Deserialize;

/// A package.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawManifest<S> {
    /// What the package is.
    #[allow(dead_code, reason = "judged first, on the tree")]
    pub(crate) kind: Option<String>,
    /// Its address: `host/owner/repo/path`.
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
    /// The older place of `build`.
    pub(crate) release: Option<RawRelease>,
    /// Executables in the package, by platform.
    pub(crate) artifacts: Option<Vec<RawArtifact>>,
    /// What is started.
    pub(crate) entrypoint: Option<RawEntrypoint>,
    /// What is particular to its kind.
    pub(crate) spec: Option<S>,
}
