//! How a local source package is started.
//!
//! In this order (provider reference, "Recommended decision"), the first that fits:
//!
//! 1. `run` in the manifest: its command, after `install` when dependencies changed.
//! 2. `build` with an `entrypoint`: the entrypoint, after `build` when it is missing or older than its inputs. An
//!    `entrypoint` without `build` is taken as it is.
//! 3. A Cargo package: its own binary, or its library behind a generated `main`.
//! 4. `[tool.gestalt]` in `pyproject.toml`: the SDK's runtime module in the package's own Python.
//!
//! No command goes through a shell, and what it writes is kept to be quoted only as far as [`Output`](crate::Output) says.

mod cargo;
mod catalog;
mod phase;
mod python;
mod stale;

use crate::error::ProcessError;
use crate::spec::AppCommand;
pub use catalog::export as export_catalog;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

/// A package as its manifest describes it. Phases are sequences: the steps run one after the other.
#[derive(Clone, Debug, Default)]
pub struct SourcePackage {
    /// The manifest's directory, absolute.
    pub root: PathBuf,
    /// Fetches dependencies.
    pub install: Vec<Step>,
    /// Makes the entrypoint, or merely prepares.
    pub build: Vec<Step>,
    /// Serves the app; of several steps the last one does.
    pub run: Vec<Step>,
    /// What to execute when there is no `run`.
    pub entrypoint: Option<Entrypoint>,
    /// The app entry's `env`; wins over the daemon's own when an interpreter is searched.
    pub env: BTreeMap<String, String>,
    /// A directory of this package's own for what is generated: stamps, the wrapper crate, its build.
    pub cache: PathBuf,
}

/// One command of a phase.
#[derive(Clone, Debug, Default)]
pub struct Step {
    /// Program and arguments; not empty.
    pub argv: Vec<String>,
    /// Relative to the package's root and inside it; `None` for the root itself.
    pub workdir: Option<PathBuf>,
    /// Additional variables.
    pub env: BTreeMap<String, String>,
    /// Files and directories of a build step whose change makes its output stale; empty for the whole package.
    pub inputs: Vec<PathBuf>,
}

/// The program a package consists of.
#[derive(Clone, Debug, Default)]
pub struct Entrypoint {
    /// Relative to the package's root and inside it.
    pub artifact_path: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
}

/// Brings the package to where it can be started, and says how.
///
/// May install and build, which takes as long as it takes, but no more than fifteen minutes a command.
///
/// # Errors
/// When a command fails, a file of the package makes no sense, or there is nothing to start.
pub async fn prepare(package: &SourcePackage) -> Result<AppCommand, ProcessError> {
    if let Some((last, before)) = package.run.split_last() {
        phase::install(package).await?;
        if package.entrypoint.is_none() {
            phase::run_all("build", &package.build, package).await?;
        }
        phase::run_all("run", before, package).await?;
        return phase::command(last, package);
    }
    if let Some(entrypoint) = &package.entrypoint {
        return built(entrypoint, package).await;
    }
    phase::install(package).await?;
    phase::run_all("build", &package.build, package).await?;
    if let Some(command) = cargo::find(package).await? {
        return Ok(command);
    }
    if let Some(command) = python::find(package)? {
        return Ok(command);
    }
    Err(ProcessError::NoSource {
        root: package.root.clone(),
        reason: "no `run`, no `entrypoint`, no Cargo.toml, no [tool.gestalt] in pyproject.toml".into(),
    })
}

async fn built(entrypoint: &Entrypoint, package: &SourcePackage) -> Result<AppCommand, ProcessError> {
    let output = inside(package, &entrypoint.artifact_path)?;
    if !package.build.is_empty() && stale::is_stale(&output, package) {
        phase::install(package).await?;
        phase::run_all("build", &package.build, package).await?;
    }
    if !output.is_file() {
        let reason = match package.build.is_empty() {
            true => "the entrypoint does not exist, and there is no `build`",
            false => "the build did not make the entrypoint",
        };
        return Err(ProcessError::Package { path: output, reason: reason.into() });
    }
    Ok(AppCommand {
        program: output,
        args: entrypoint.args.iter().map(Into::into).collect(),
        workdir: package.root.clone(),
        env: BTreeMap::new(),
        direct: true,
    })
}

/// A path of the manifest, which must not lead out of the package.
fn inside(package: &SourcePackage, path: &Path) -> Result<PathBuf, ProcessError> {
    let relative = path.components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
    if relative && path.components().next().is_some() {
        return Ok(package.root.join(path));
    }
    Err(ProcessError::Package { path: path.to_owned(), reason: "must be a relative path inside the package".into() })
}

impl SourcePackage {
    /// A variable as the app's process would see it, or else the daemon.
    fn var(&self, name: &str) -> Option<OsString> {
        self.env.get(name).map(Into::into).or_else(|| std::env::var_os(name)).filter(|v| !v.is_empty())
    }
}

/// Operating system and processor in Go's words, which manifests and variables use.
fn platform() -> (&'static str, &'static str) {
    let os = match std::env::consts::OS {
        "macos" => "darwin",
        other => other,
    };
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    (os, arch)
}
