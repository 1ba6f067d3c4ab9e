//! `source`: where a package comes from.

use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum RawSource {
    Text(String),
    Form(Box<RawSourceForm>),
}

/// Exactly one of the forms.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawSourceForm {
    /// A manifest, or a `provider-release.yaml`, on this machine.
    pub(crate) path: Option<String>,
    /// A `provider-release.yaml` on the web.
    pub(crate) url: Option<String>,
    /// The address of a package in a repository.
    pub(crate) package: Option<String>,
    /// `package`: which versions will do.
    pub(crate) version: Option<String>,
    /// `package`: a key of `providerRepositories`.
    pub(crate) repo: Option<String>,
    /// An asset of a GitHub release.
    pub(crate) github_release: Option<RawGithubRelease>,
    /// A commit.
    pub(crate) git: Option<RawGit>,
    /// Credentials for the download.
    pub(crate) auth: Option<RawSourceAuth>,
}

/// An asset of a GitHub release.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawGithubRelease {
    /// `owner/name`.
    pub(crate) repo: Option<String>,
    /// The release.
    pub(crate) tag: Option<String>,
    /// The file.
    pub(crate) asset: Option<String>,
}

/// A commit.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawGit {
    /// URL of the repository.
    pub(crate) repo: Option<String>,
    /// The commit, all 40 digits.
    #[serde(rename = "ref")]
    pub(crate) commit: Option<String>,
    /// The manifest in it.
    pub(crate) path: Option<String>,
    /// `snapshot`: a key of `providerSnapshotRepositories`.
    pub(crate) artifact_repository: Option<String>,
    /// What is fetched: the source, or what was made of it.
    pub(crate) materialization: Option<RawMaterialization>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum RawMaterialization {
    Source,
    Snapshot,
}

/// Credentials for the download.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawSourceAuth {
    /// Bearer token.
    pub(crate) token: Option<String>,
}

/// An index of packages.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawRepository {
    /// http(s) or file URL of the index.
    pub(crate) url: Option<String>,
}

/// A root of prepared artifacts.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawSnapshotRepository {
    /// http(s) URL.
    pub(crate) url: Option<String>,
    /// The Gestalt commit its artifacts were made for.
    pub(crate) gestalt_ref: Option<String>,
}
