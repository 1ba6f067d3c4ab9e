//! The example apps, and packages made for a test, as configuration.

use crate::{artifacts_dir, root};
use std::path::{Path, PathBuf};

/// The manifest of a built example.
pub fn manifest(example: &str) -> PathBuf {
    root().join("guest-examples").join(example).join("manifest.yaml")
}

/// One entry of `apps`, with more keys of the entry as flow YAML, such as `egress: {allowedHosts: [h.test]}`.
pub fn app(name: &str, manifest: &Path, more: &str) -> String {
    let comma = if more.is_empty() { "" } else { ", " };
    format!("  {name}: {{source: {{path: {manifest:?}}}{comma}{more}}}\n")
}

/// A file that a test's package consists of.
pub struct File<'a> {
    /// Path below the package.
    pub name: &'a str,
    /// What is in it.
    pub text: &'a str,
}

/// Writes a package into `dir` and returns its manifest, which gets `kind`, `source` and `version` by itself.
pub fn package(dir: &Path, manifest: &str, files: &[File<'_>]) -> PathBuf {
    std::fs::create_dir_all(dir).unwrap();
    for file in files {
        std::fs::write(dir.join(file.name), file.text).unwrap();
    }
    let path = dir.join("manifest.yaml");
    let head = "kind: app\nsource: github.com/gestaltd/tests/package\nversion: 0.1.0\n";
    std::fs::write(&path, format!("{head}{manifest}")).unwrap();
    path
}

/// The native Python example with the SDK of another of its environments, such as `.venv-a22`.
///
/// A package runs with its own `.venv`, so this is a second package with the same files. It stays from run to run.
pub fn python_with(venv: &str) -> PathBuf {
    let example = root().join("guest-examples/echo-native-python");
    let own = artifacts_dir().join("packages").join(format!("echo-native-python{venv}"));
    std::fs::create_dir_all(&own).unwrap();
    for name in ["manifest.yaml", "pyproject.toml", "echo.py"] {
        let (from, to) = (std::fs::read(example.join(name)).unwrap(), own.join(name));
        if std::fs::read(&to).ok().as_ref() != Some(&from) {
            // Tests run at the same time and all of them come by here: nobody may see half a file.
            let part = tempfile::NamedTempFile::new_in(&own).unwrap();
            std::fs::write(part.path(), from).unwrap();
            part.persist(to).unwrap();
        }
    }
    let (venv, link) = (example.join(venv), own.join(".venv"));
    assert!(venv.join("bin/python").exists(), "{} is missing; `make guests` makes it", venv.display());
    let _ = std::os::unix::fs::symlink(venv, link);
    own.join("manifest.yaml")
}
