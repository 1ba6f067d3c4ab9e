//! What the workspace promises about itself and no compiler checks: `crates` looks at the dependency graph, `sources`
//! at the text of the files, `corpus` at the one file that is made from others.

mod corpus;
mod crates;
mod doors;
mod promises;
mod sources;

use std::path::{Path, PathBuf};

/// The repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().canonicalize().unwrap()
}

/// Fails with every finding at once, so that one run shows all there is to mend.
fn assert_none(rule: &str, findings: Vec<String>) {
    assert!(findings.is_empty(), "{rule}:\n  {}", findings.join("\n  "));
}
