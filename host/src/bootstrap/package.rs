//! Stage 4, first half: what a package's code is, and where it runs.

use super::apps::Stage;
use super::confine;
use anyhow::{Context, bail};
use gestalt_config::deployment::Build;
use gestalt_config::manifest::phases::Command;
use gestalt_config::{App, Manifest, Runtime};
use gestalt_runtime_process::ProcessError;
use gestalt_runtime_process::source::{self, Builds, ConfinedBuilds, Entrypoint, Prepared, SourcePackage, Step};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

/// How an app's own code is run.
pub(super) enum Code {
    /// It has none: all its operations are declared.
    None,
    /// A component, on the named runtime.
    Component { runtime: String, file: PathBuf },
    /// A native provider, and where its code is.
    Native(Prepared),
}

/// Builds the package if need be, and decides by the bytes of what it names.
pub(super) async fn choose(stage: &Stage, app: &App, manifest: &Manifest) -> anyhow::Result<Code> {
    let package = package(manifest, app, stage.cache(app)?);
    let placed = stage.deployment.placed(app);
    let wants_wasm = matches!(placed, Some(Runtime::Wasm(_)));
    if matches!(placed, Some(Runtime::Hosted(_))) {
        bail!("a runtime from a package is not available yet");
    }
    if let Some(artifact) = artifact(manifest, wants_wasm) {
        let prepared = prepare(stage, app, only(package.clone(), artifact)).await.map_err(PrepareError::told)?;
        if is_wasm(&prepared.command.program)? {
            return placed_component(stage, app, prepared.command.program);
        }
        if !wants_wasm {
            return Ok(Code::Native(prepared));
        }
    }
    if wants_wasm {
        bail!("the app is placed on a wasm runtime, and {} names no component", manifest.file.display());
    }
    match prepare(stage, app, package).await {
        Ok(prepared) => Ok(Code::Native(prepared)),
        Err(PrepareError::Process(ProcessError::NoSource { .. }))
            if manifest.app().is_some_and(|app| !app.surfaces.is_empty()) =>
        {
            Ok(Code::None)
        }
        Err(error) => Err(error.told()),
    }
}

fn placed_component(stage: &Stage, app: &App, file: PathBuf) -> anyhow::Result<Code> {
    match (stage.deployment.placed(app), &app.placement) {
        (Some(Runtime::Local), _) => {
            bail!("{} is a component, and the runtime the app is placed on runs native providers", file.display())
        }
        (Some(Runtime::Wasm(_)), Some(placement)) => Ok(Code::Component { runtime: placement.runtime.clone(), file }),
        _ => Ok(Code::Component { runtime: stage.deployment.component_runtime().to_owned(), file }),
    }
}

/// The executable the manifest names, unless the package is to be run from its source instead.
fn artifact(manifest: &Manifest, wants_wasm: bool) -> Option<Entrypoint> {
    let entrypoint = manifest.entrypoint.as_ref();
    let args = entrypoint.map(|e| e.args.clone()).unwrap_or_default();
    if let Some(component) = manifest.component() {
        return Some(Entrypoint { artifact_path: component.path.clone(), args });
    }
    let entrypoint = entrypoint.filter(|_| wants_wasm || manifest.run.is_none())?;
    Some(Entrypoint { artifact_path: entrypoint.artifact_path.clone(), args })
}

/// The package without any other way to be started.
fn only(package: SourcePackage, entrypoint: Entrypoint) -> SourcePackage {
    SourcePackage { run: Vec::new(), entrypoint: Some(entrypoint), ..package }
}

/// Whether the file's bytes say WebAssembly, whatever its name says.
fn is_wasm(file: &Path) -> anyhow::Result<bool> {
    let mut head = Vec::with_capacity(4);
    // Before it is opened: opening a pipe waits for whoever writes to it.
    if !std::fs::metadata(file).is_ok_and(|meta| meta.is_file()) {
        bail!("{} is not a regular file", file.display());
    }
    let opened = std::fs::File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
    opened.take(4).read_to_end(&mut head)?;
    Ok(head == *b"\0asm")
}

/// The app's environment variables, on their way into its process.
pub(super) fn environment(app: &App) -> BTreeMap<String, String> {
    app.env.iter().map(|(name, value)| (name.clone(), value.expose().clone())).collect()
}

/// Brings the package to where it can be started: builds it if need be, as far as the deployment lets it.
async fn prepare(stage: &Stage, app: &App, mut package: SourcePackage) -> Result<Prepared, PrepareError> {
    package.builds = match stage.deployment.server.package_build {
        Build::Allow => Builds::Allow,
        // Only where there is something to run: making a cell asks what the machine can do.
        Build::Confined if source::has_to_run(&package)?.is_some() => {
            let mut confine = confine::cell(stage, app, &package.root, true).await?;
            confine.view.read.extend(confine::toolchains());
            let dir = std::path::absolute(&stage.deployment.server.artifacts_dir).map_err(anyhow::Error::from)?;
            let builds = ConfinedBuilds { confine, app: app.name.clone(), dir: dir.join("builds") };
            Builds::Confined(Box::new(builds))
        }
        Build::Confined | Build::Deny => Builds::Deny,
    };
    Ok(source::prepare(&package).await?)
}

/// Why a package cannot be started.
#[derive(Debug, thiserror::Error)]
enum PrepareError {
    /// The package's own fault.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// It cannot be confined.
    #[error("{0:#}")]
    Cell(anyhow::Error),
}

impl PrepareError {
    /// The error itself, and not this one around it: who starts the app looks for what may pass.
    fn told(self) -> anyhow::Error {
        let error = match self {
            Self::Process(error) => error.into(),
            Self::Cell(error) => error,
        };
        error.context("preparing the package")
    }
}

impl From<anyhow::Error> for PrepareError {
    fn from(error: anyhow::Error) -> Self {
        Self::Cell(error)
    }
}

/// The manifest's phases in the words of the crate that runs them.
fn package(manifest: &Manifest, app: &App, cache: PathBuf) -> SourcePackage {
    let step = |command: &Command, inputs: &[PathBuf]| Step {
        argv: command.argv.clone(),
        workdir: (!command.workdir.as_os_str().is_empty()).then(|| command.workdir.clone()),
        env: command.env.clone(),
        inputs: inputs.to_vec(),
    };
    let build = manifest.build.iter().flat_map(|build| build.commands.iter().map(|c| step(c, &build.inputs)));
    SourcePackage {
        root: manifest.root.clone(),
        install: manifest.install.iter().map(|c| step(c, &[])).collect(),
        build: build.collect(),
        run: manifest.run.iter().map(|run| step(&run.command, &[])).collect(),
        entrypoint: manifest
            .entrypoint
            .as_ref()
            .map(|e| Entrypoint { artifact_path: e.artifact_path.clone(), args: e.args.clone() }),
        env: environment(app),
        cache,
        builds: Builds::Deny,
    }
}
