//! Commands of a package.

use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

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
    /// `run`: `ui` when the command serves the app's UI.
    pub(crate) role: Option<String>,
}

/// The older place of `build`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawRelease {
    /// What is run before a release is made.
    pub(crate) build: Option<RawReleaseBuild>,
}

/// What is run before a release is made.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawReleaseBuild {
    /// Directory in the package; its root when absent.
    pub(crate) workdir: Option<String>,
    /// Program and arguments; no shell.
    pub(crate) command: Option<Vec<String>>,
}
