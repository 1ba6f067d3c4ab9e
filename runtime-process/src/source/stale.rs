//! Whether something has to be done again.

use super::SourcePackage;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Files that say what a package depends on.
const DEPENDENCY_FILES: [&str; 14] = [
    "manifest.yaml",
    "manifest.yml",
    "manifest.json",
    "pyproject.toml",
    "uv.lock",
    "requirements.txt",
    "package.json",
    "package-lock.json",
    "bun.lock",
    "bun.lockb",
    "go.mod",
    "go.sum",
    "Cargo.toml",
    "Cargo.lock",
];

/// Directories a tool writes and a build does not read.
const GENERATED: [&str; 5] = ["node_modules", "target", "dist", "build", "__pycache__"];

/// Most files looked at. A package beyond that is taken for changed: building once too often beats walking forever.
const MAX_FILES: usize = 50_000;

/// Whether a dependency file was written after the stamp was.
pub(super) fn dependencies_changed(stamp: &Path, package: &SourcePackage) -> bool {
    let Some(installed) = written(stamp) else { return true };
    DEPENDENCY_FILES.iter().filter_map(|name| written(&package.root.join(name))).any(|at| at > installed)
}

/// Whether the output is missing, or older than one of its inputs.
pub(super) fn is_stale(output: &Path, package: &SourcePackage) -> bool {
    let Some(built) = written(output) else { return true };
    let declared = package.build.iter().flat_map(|step| &step.inputs);
    let mut inputs: Vec<PathBuf> = declared.map(|path| package.root.join(path)).collect();
    if inputs.is_empty() {
        inputs.push(package.root.clone());
    }
    let mut left = MAX_FILES;
    while let Some(path) = inputs.pop() {
        left = left.saturating_sub(1);
        if left == 0 {
            return true;
        }
        // A declared input that is gone is a change, too.
        let Ok(meta) = fs::symlink_metadata(&path) else { return true };
        if meta.is_dir() {
            inputs.extend(children(&path).filter(|child| child != output && *child != package.cache));
        } else if meta.modified().map_or(true, |at| at > built) {
            return true;
        }
    }
    false
}

/// What a directory holds, without what tools put there. One that cannot be read holds nothing.
fn children(dir: &Path) -> impl Iterator<Item = PathBuf> {
    let skipped = |name: &str| name.starts_with('.') || GENERATED.contains(&name);
    fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .filter(move |entry| !skipped(&entry.file_name().to_string_lossy()))
        .map(|entry| entry.path())
}

fn written(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|meta| meta.modified()).ok()
}
