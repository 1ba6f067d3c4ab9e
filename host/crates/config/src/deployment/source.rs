use crate::problem::Location;
use gestalt_core::Secret;
use std::path::{Path, PathBuf};

/// Where a package comes from (seed 004, `apps.*.source`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Where it was written.
    pub at: Location,
    /// Which of the forms.
    pub form: SourceForm,
    /// Bearer token for the download.
    pub token: Option<Secret<String>>,
}

/// The forms of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceForm {
    /// A manifest on this machine, which exists.
    Manifest(PathBuf),
    /// A `provider-release.yaml` on this machine, which exists.
    Release(PathBuf),
    /// An absolute http(s) URL of a `provider-release.yaml`.
    Url(String),
    /// A package of a repository.
    Package {
        /// `host/owner/repo/path…`.
        address: String,
        /// Which versions will do; any when absent.
        version: Option<semver::VersionReq>,
        /// The repository to look in; all when absent. A key of
        /// [`Deployment::provider_repositories`](super::Deployment::provider_repositories), or one known to the
        /// operator's own store.
        repository: Option<String>,
    },
    /// An asset of a GitHub release.
    GithubRelease {
        /// `owner/name`.
        repository: String,
        /// The release.
        tag: String,
        /// The file.
        asset: String,
    },
    /// A manifest in a commit.
    Git {
        /// URL of the repository.
        repository: String,
        /// All 40 hex digits.
        commit: String,
        /// Relative path of the manifest in it.
        path: PathBuf,
        /// `Some`: what was made of the commit is taken from this key of
        /// [`Deployment::snapshot_repositories`](super::Deployment::snapshot_repositories), and from nowhere else.
        snapshots: Option<String>,
    },
}

impl Source {
    /// The manifest, when the package lies on this machine as its source.
    pub fn manifest(&self) -> Option<&Path> {
        match &self.form {
            SourceForm::Manifest(file) => Some(file),
            _ => None,
        }
    }
}

/// A root of prepared artifacts (seed 004, `providerSnapshotRepositories.<name>`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotRepository {
    /// An absolute http(s) URL without final slash.
    pub url: String,
    /// The Gestalt commit its artifacts were made for, all 40 hex digits.
    pub gestalt_ref: Option<String>,
}
