//! One app's part of the policy.

use super::native::{Sandbox, SandboxPath};
use super::settings::Mode;
use crate::Secret;
use crate::host::{Host, HostPattern};
use http::HeaderName;
use std::sync::Arc;

/// What one app may reach and how (seed 004, `apps.<name>.egress`, and keys of our own under it).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// `allowedHosts`: the whole network the app has. When empty, the server's default action decides.
    pub allowed: Vec<Entry>,
    /// Where the list stands, or the nearest thing above it: `config.yaml:12:7`. Only for telling the operator.
    pub at: Arc<str>,
    /// Whether the rules are enforced.
    pub mode: Mode,
    /// Whether requests in the clear are refused.
    pub require_tls: bool,
    /// Credentials that are put into requests on their way out and that the app never sees.
    pub credentials: Vec<HeldCredential>,
    /// What confines the app's process, if it is a native one.
    pub sandbox: Sandbox,
    /// What the confined process may read besides what every one may.
    pub sandbox_paths: Vec<SandboxPath>,
}

impl Rules {
    /// Enforced rules that allow these hosts and were written nowhere.
    pub fn allowing(patterns: impl IntoIterator<Item = HostPattern>) -> Self {
        let entry = |pattern: HostPattern| Entry { text: pattern.to_string(), pattern, at: "".into() };
        Self { allowed: patterns.into_iter().map(entry).collect(), ..Self::default() }
    }
}

/// One entry of `egress.allowedHosts`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it allows.
    pub pattern: HostPattern,
    /// As it was written.
    pub text: String,
    /// Where it was written: `config.yaml:14:9`.
    pub at: Arc<str>,
}

/// One entry of `egress.credentials`: an upstream credential that the app uses without holding it.
///
/// The app is given a placeholder, and writes it where the credential would stand. On the way out the placeholder is
/// replaced in this header and toward these hosts; anywhere else it stays what it is, a random word without a use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldCredential {
    /// The one header that may carry it.
    pub header: HeaderName,
    /// The hosts that may get it, each allowed by the app's list.
    pub hosts: Vec<HostPattern>,
    /// The credential.
    pub value: Secret<String>,
    /// What the whole header becomes, `{}` being the credential: `Bearer {}`. Without it the placeholder alone is
    /// replaced, and the rest of the header stays as the app wrote it.
    pub format: Option<String>,
    /// The environment variable in which the app finds the placeholder.
    pub env: Option<String>,
    /// Whether the placeholder is the token of the app's calls that have no other.
    pub token: bool,
}

impl HeldCredential {
    /// Whether the credential may be sent to `host`.
    pub fn is_for(&self, host: &Host) -> bool {
        self.hosts.iter().any(|pattern| pattern.matches(host))
    }
}
