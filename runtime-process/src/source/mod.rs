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
//! What runs before the app starts is a stranger's code as much as the app is ([`Builds`]): unless the deployment says
//! otherwise, it runs in a cell, on a copy of the package, and the copy is what starts.
//!
//! No command goes through a shell, and what it writes is kept to be quoted only as far as [`Output`](crate::Output) says.

mod cargo;
mod catalog;
mod copy;
mod phase;
mod python;
mod stale;

use crate::confined::Confine;
use crate::error::ProcessError;
use crate::spec::AppCommand;
pub use catalog::export as export_catalog;
use copy::{Copy, Plan};
use gestalt_core::AppName;
use phase::Site;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How often it is looked whether somebody else has finished building the same package.
const BUSY: Duration = Duration::from_millis(200);

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
    /// What becomes of its `install` and `build`.
    pub builds: Builds,
}

/// What becomes of what a package runs before it starts: `server.packages.build`.
#[derive(Clone, Debug, Default)]
pub enum Builds {
    /// It runs as the daemon's user, with the daemon's environment.
    #[default]
    Allow,
    /// It runs in a cell, on a copy of the package.
    Confined(Box<ConfinedBuilds>),
    /// It does not run: a package that would have to be built is not started.
    Deny,
}

/// How builds are confined.
#[derive(Clone, Debug)]
pub struct ConfinedBuilds {
    /// The cell, and the app's way out of it.
    pub confine: Confine,
    /// The app that is built.
    pub app: AppName,
    /// The directory of all copies.
    pub dir: PathBuf,
}

/// A package that can be started.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// The command.
    pub command: AppCommand,
    /// Where its code is: the package's root, or what a confined build has made of it.
    pub root: PathBuf,
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
pub async fn prepare(package: &SourcePackage) -> Result<Prepared, ProcessError> {
    let Some(what) = has_to_run(package)? else {
        return Ok(Prepared { command: start(package)?, root: package.root.clone() });
    };
    match &package.builds {
        Builds::Allow => {
            let program = run_phases(package, None, None).await?;
            let command = program.map_or_else(|| start(package), |program| Ok(own(program, package)))?;
            Ok(Prepared { command, root: package.root.clone() })
        }
        Builds::Confined(builds) => in_copy(package, builds).await,
        Builds::Deny => Err(ProcessError::Package {
            path: package.root.clone(),
            reason: format!("{what} would have to run, and server.packages.build is `deny`: build it beforehand"),
        }),
    }
}

/// Builds a copy of the package in a cell, unless that has been done, and says how the copy is started.
async fn in_copy(package: &SourcePackage, builds: &ConfinedBuilds) -> Result<Prepared, ProcessError> {
    let copy = copy_of(package, builds).await?;
    let inside = SourcePackage { root: copy.package(), ..package.clone() };
    if !copy.is_complete {
        let cache = package.cache.join("build");
        let cache = private(&cache).map_err(|error| refused(&cache, &error.to_string()))?;
        let write = vec![copy.package(), cache.clone()];
        let site = Site { confine: builds.confine.clone(), app: builds.app.clone(), write, cache };
        if let Some(made) = run_phases(&inside, Some(&site), Some(&copy.wrapper())).await? {
            let places = [copy.package(), site.cache];
            keep(&made, &places, &copy.program()).map_err(|error| refused(&made, &error.to_string()))?;
        }
        copy.complete()?;
    }
    let program = Some(copy.program()).filter(|program| program.is_file());
    let command = program.map_or_else(|| start(&inside), |program| Ok(own(program, &inside)))?;
    if let Some(entrypoint) = inside.entrypoint.as_ref().filter(|_| inside.run.is_empty()) {
        // Written by the build: it must be what it seems to be before anybody opens it by its name.
        gestalt_confine::lookup::open_beneath(&inside.root, &entrypoint.artifact_path)
            .map_err(|error| refused(&command.program, &error.to_string()))?;
    }
    Ok(Prepared { command, root: copy.dir().to_owned() })
}

/// The copy of the package, once nobody else builds it.
async fn copy_of(package: &SourcePackage, builds: &ConfinedBuilds) -> Result<Copy, ProcessError> {
    let failed = |error: tokio::task::JoinError| refused(&package.root, &error.to_string());
    let (root, dir, hidden) = (package.root.clone(), builds.dir.clone(), builds.confine.view.hide.clone());
    let plan = tokio::task::spawn_blocking(move || Plan::read(&root, &dir, &hidden)).await.map_err(failed)??;
    let plan = Arc::new(plan);
    loop {
        let made = plan.clone();
        match tokio::task::spawn_blocking(move || made.make()).await.map_err(failed)?? {
            Some(copy) => return Ok(copy),
            // Not waited for in a thread, which nobody could end.
            None => tokio::time::sleep(BUSY).await,
        }
    }
}

/// Puts a program that a confined build has made where no build can change it. The build says where it lies, and may say
/// anything: it has to be in one of `places`, in which the build may write, and no link is followed out of there.
fn keep(made: &Path, places: &[PathBuf], program: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let within = places.iter().find_map(|place| Some((place, made.strip_prefix(place).ok()?)));
    let (place, relative) = within.ok_or_else(|| std::io::Error::other("no build may leave a program there"))?;
    let mut made = gestalt_confine::lookup::open_beneath(place, relative)?;
    let mut file = std::fs::File::options().write(true).create_new(true).mode(0o755).open(program)?;
    std::io::copy(&mut made, &mut file).map(drop)
}

/// Makes a directory that only the daemon's user looks into, for a build may leave set-user-ID programs there. Gives its
/// real path, which is the one the build sees.
fn private(dir: &Path) -> std::io::Result<PathBuf> {
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let dir = dir.canonicalize()?;
    std::fs::set_permissions(&dir, PermissionsExt::from_mode(0o700))?;
    Ok(dir)
}

/// What is in a regular file of at most so many bytes: strangers write these, and nobody waits for a pipe or follows a link.
fn read_regular(path: &Path, most: u64) -> Result<Vec<u8>, String> {
    use std::io::Read;
    let mut bytes = Vec::new();
    let file = copy::open_regular(path).map_err(|error| match error.raw_os_error().map(nix::Error::from_raw) {
        Some(nix::Error::ELOOP) => "is a link, which is not followed".to_owned(),
        _ => error.to_string(),
    })?;
    file.take(most + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > most { Err(format!("is larger than {} KiB", most >> 10)) } else { Ok(bytes) }
}

fn refused(path: &Path, why: &str) -> ProcessError {
    ProcessError::Package { path: path.to_owned(), reason: why.to_owned() }
}

/// Which of the package's commands have to run before it can be started, in words. `None` where it is ready.
///
/// # Errors
/// When the manifest names an entrypoint outside of the package.
pub fn has_to_run(package: &SourcePackage) -> Result<Option<&'static str>, ProcessError> {
    let installs =
        !package.install.is_empty() && stale::dependencies_changed(&package.cache.join("installed"), package);
    if let Some((_, before)) = package.run.split_last() {
        let builds = package.entrypoint.is_none() && !package.build.is_empty();
        return Ok((installs || builds || !before.is_empty()).then_some("its `install`, `build` or `run`"));
    }
    if let Some(entrypoint) = &package.entrypoint {
        let output = inside(package, &entrypoint.artifact_path)?;
        let builds = !package.build.is_empty() && stale::is_stale(&output, package);
        return Ok(builds.then_some("its `build`"));
    }
    let builds = !package.build.is_empty() || package.root.join("Cargo.toml").is_file();
    Ok((installs || builds).then_some("its `install`, `build` or cargo"))
}

/// Runs what has to run. Gives the program that cargo made, where it is cargo that makes it.
async fn run_phases(
    package: &SourcePackage,
    site: Option<&Site>,
    wrapper: Option<&Path>,
) -> Result<Option<PathBuf>, ProcessError> {
    match site {
        None => phase::install(package).await?,
        // A copy has never been installed.
        Some(_) => phase::run_all("install", &package.install, package, site).await?,
    }
    if package.run.is_empty() || package.entrypoint.is_none() {
        phase::run_all("build", &package.build, package, site).await?;
    }
    if let Some((_, before)) = package.run.split_last() {
        phase::run_all("run", before, package, site).await?;
        return Ok(None);
    }
    if package.entrypoint.is_some() {
        return Ok(None);
    }
    cargo::build_package(package, site, wrapper).await
}

/// How a package is started that is ready for it.
fn start(package: &SourcePackage) -> Result<AppCommand, ProcessError> {
    if let Some(last) = package.run.last() {
        return phase::command(last, package);
    }
    if let Some(entrypoint) = &package.entrypoint {
        let output = inside(package, &entrypoint.artifact_path)?;
        if !output.is_file() {
            let reason = match package.build.is_empty() {
                true => "the entrypoint does not exist, and there is no `build`",
                false => "the build did not make the entrypoint",
            };
            return Err(refused(&output, reason));
        }
        let args = entrypoint.args.iter().map(Into::into).collect();
        return Ok(AppCommand { args, ..own(output, package) });
    }
    python::find(package)?.ok_or_else(|| ProcessError::NoSource {
        root: package.root.clone(),
        reason: "no `run`, no `entrypoint`, no Cargo.toml, no [tool.gestalt] in pyproject.toml".into(),
    })
}

/// A program that is the provider itself.
fn own(program: PathBuf, package: &SourcePackage) -> AppCommand {
    AppCommand { program, args: vec![], workdir: package.root.clone(), env: BTreeMap::new(), direct: true }
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
pub fn platform() -> (&'static str, &'static str) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_taken_from_where_builds_write_and_from_nowhere_else() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let place = private(&root.join("place")).unwrap();
        for file in [root.join("secret"), place.join("made")] {
            std::fs::write(file, "x").unwrap();
        }
        std::os::unix::fs::symlink("../secret", place.join("link")).unwrap();
        std::os::unix::fs::symlink("..", place.join("up")).unwrap();
        let kept = |made: PathBuf| {
            let program = tempfile::tempdir().unwrap();
            keep(&made, std::slice::from_ref(&place), &program.path().join("program")).is_ok()
        };
        assert!(kept(place.join("made")));
        for made in ["secret", "place/link", "place/../secret", "place/up/secret", "place"] {
            assert!(!kept(root.join(made)), "{made}");
        }
    }
}
