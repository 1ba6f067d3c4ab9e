//! Executables of a package.

use schemars::JsonSchema;
use serde::Deserialize;

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
