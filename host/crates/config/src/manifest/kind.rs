//! What a package can be.

use std::fmt;

/// What a package is (seed 003, `kind`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Operations for callers.
    App,
    /// An agent.
    Agent,
    /// Who somebody is.
    Authentication,
    /// What somebody may do.
    Authorization,
    /// Values that may be forgotten.
    Cache,
    /// Credentials for upstreams.
    ExternalCredentials,
    /// Records.
    IndexedDb,
    /// A place where apps run.
    Runtime,
    /// Objects.
    S3,
    /// Secrets.
    Secrets,
    /// Files for browsers.
    Ui,
    /// Runs, schedules and triggers.
    Workflow,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 12] = [
        Self::App,
        Self::Agent,
        Self::Authentication,
        Self::Authorization,
        Self::Cache,
        Self::ExternalCredentials,
        Self::IndexedDb,
        Self::Runtime,
        Self::S3,
        Self::Secrets,
        Self::Ui,
        Self::Workflow,
    ];

    /// Its spelling in a manifest, followed by its older ones.
    pub fn spellings(self) -> &'static [&'static str] {
        match self {
            Self::App => &["app", "plugin"],
            Self::Agent => &["agent"],
            Self::Authentication => &["authentication", "auth", "identity"],
            Self::Authorization => &["authorization"],
            Self::Cache => &["cache"],
            Self::ExternalCredentials => &["external_credentials", "externalcredentials", "external-credentials"],
            Self::IndexedDb => &["indexeddb"],
            Self::Runtime => &["runtime"],
            Self::S3 => &["s3"],
            Self::Secrets => &["secrets"],
            Self::Ui => &["ui"],
            Self::Workflow => &["workflow"],
        }
    }

    /// Its spelling in a manifest.
    pub fn as_str(self) -> &'static str {
        self.spellings()[0]
    }

    /// The kind of any spelling.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.spellings().contains(&text))
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
