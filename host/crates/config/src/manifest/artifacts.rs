//! Executables of a package.

use std::path::PathBuf;

/// An executable in the package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    /// `linux`, `darwin`, …, or `wasi`.
    pub os: String,
    /// `amd64`, `arm64`, …, or `wasm32`.
    pub arch: String,
    /// Built against musl; linux only.
    pub musl: bool,
    /// The file.
    pub path: PathBuf,
    /// Digest of the file.
    pub sha256: Option<[u8; 32]>,
}

/// What is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entrypoint {
    /// The file; one of the artifacts' when there are any.
    pub artifact_path: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
}

impl Artifact {
    /// Whether it says that it is a WebAssembly component.
    pub fn is_component(&self) -> bool {
        self.os == "wasi"
    }
}
