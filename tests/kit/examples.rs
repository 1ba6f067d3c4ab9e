//! The example apps, and packages made for a test, as configuration.

use crate::{artifacts_dir, root, target_dir};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

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

/// The native Python example with the published SDK `release`, such as `a22`.
///
/// A package runs with its own `.venv`, so this is a second package with the same files. It stays from run to run.
pub fn python_with(release: &str) -> PathBuf {
    let own = artifacts_dir().join("packages").join(format!("echo-native-python-{release}"));
    std::fs::create_dir_all(&own).unwrap();
    for name in ["manifest.yaml", "pyproject.toml", "echo.py"] {
        let (from, to) = (std::fs::read(manifest("echo-native-python").with_file_name(name)).unwrap(), own.join(name));
        if std::fs::read(&to).ok().as_ref() != Some(&from) {
            // Tests run at the same time and all of them come by here: nobody may see half a file.
            let part = tempfile::NamedTempFile::new_in(&own).unwrap();
            std::fs::write(part.path(), from).unwrap();
            part.persist(to).unwrap();
        }
    }
    environment(&own, release);
    own.join("manifest.yaml")
}

/// Gives a package the Python environment of an SDK release, as its own: a link to one elsewhere would lead out of what a
/// cell shows. The files are the same ones on disk where they can be.
pub fn environment(package: &Path, release: &str) {
    let venv = target_dir().join("python").join(release);
    assert!(venv.join("complete").exists(), "{} is missing; `make python` makes it", venv.display());
    let own = package.join(".venv");
    if own.exists() {
        return;
    }
    // In one step, for tests run at the same time and all of them come by here.
    let part = tempfile::tempdir_in(package).unwrap();
    let copied = |how: &str| {
        let mut copy = std::process::Command::new("cp");
        copy.args([how, "."]).arg(part.path().join("venv")).current_dir(&venv);
        copy.stderr(Stdio::null()).status().unwrap().success()
    };
    assert!(copied("-alT") || copied("-aT"), "{} cannot be copied", venv.display());
    match std::fs::rename(part.path().join("venv"), &own) {
        Err(_) if own.exists() => {}
        renamed => renamed.unwrap(),
    }
}

/// Starts the service behind the declarative example on a free port, until the child is dropped.
pub async fn service() -> (Child, u16) {
    let mut python = Command::new("python3");
    python.arg(root().join("guest-examples/quickstart/upstream.py")).arg("0");
    let mut child = python.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let mut address = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut address).await.unwrap();
    let port = address.trim().rsplit_once(':').unwrap().1.parse().unwrap();
    (child, port)
}

/// The declarative example with another base URL, as a package in `dir`.
pub fn declarative_for(dir: &Path, base_url: &str) -> PathBuf {
    let text = std::fs::read_to_string(manifest("echo-declarative")).unwrap();
    let ours = text.replace("http://127.0.0.1:8081", base_url);
    assert_ne!(text, ours, "the example has another base URL");
    std::fs::create_dir_all(dir).unwrap();
    let path = dir.join("manifest.yaml");
    std::fs::write(&path, ours).unwrap();
    path
}
