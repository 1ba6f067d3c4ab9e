//! What is verified: a component, a package or an app, under the rules of a configuration.

use gestalt_config::{App, Deployment, Manifest, Mode, Problems, ProcessEnv, Runtime, WasmRuntime};
use gestalt_core::AppName;
use gestalt_core::egress::{self, Action, Rules};
use gestalt_core::host::{Host, HostPattern};
use std::io::Read;
use std::path::{Path, PathBuf};

/// What the command line names.
#[derive(Clone, Debug)]
pub struct Target {
    /// A component, a manifest or its directory; or an app's name.
    pub name: String,
    /// The configuration, if one was given.
    pub deployment: Option<Deployment>,
}

/// Why there is nothing to verify.
#[derive(Debug, thiserror::Error)]
pub enum SubjectError {
    /// Neither a file nor an app.
    #[error("{0:?} is no component, manifest or directory, and no app of the configuration")]
    Unknown(String),
    /// A name, and no configuration that could know it.
    #[error("{0:?} is no file; to verify an app of that name, give its configuration with --config")]
    NoConfig(String),
    /// A file cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The package's own manifest is refused.
    #[error("manifest refused\n{0}")]
    Manifest(Problems),
    /// The package is somewhere else.
    #[error("the package of {0:?} is to be fetched first")]
    NotHere(String),
    /// The package is to be built first.
    #[error("{} is not there; build the package first", .0.display())]
    Unbuilt(PathBuf),
    /// The configuration the verification makes for itself.
    #[error("configuration refused\n{0}")]
    Config(Problems),
}

/// How an app's code is run, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// In the sandbox.
    Component,
    /// As a process on this machine.
    Native,
    /// Not at all: requests are the daemon's own.
    Declarative,
}

/// What is verified, under which rules.
#[derive(Clone, Debug)]
pub struct Subject {
    /// For people: the app's name or the file's.
    pub name: String,
    /// How its code runs.
    pub form: Form,
    /// Its component.
    pub component: Option<PathBuf>,
    /// The directory of its package, if it is in one.
    pub root: Option<PathBuf>,
    /// The configuration as it is, with all that is in it.
    pub whole: Deployment,
    /// A configuration with exactly one app, whose rules count.
    pub deployment: Deployment,
    /// Whether the rules are the app's own. Otherwise there is no entry for it, and a sample stands for one.
    pub is_configured: bool,
}

/// What an app's list comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// What is listed, and nothing else.
    Listed,
    /// Nothing.
    Nothing,
    /// Every public and private host.
    Open,
}

impl Policy {
    /// In words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Listed => "what is listed",
            Self::Nothing => "nothing",
            Self::Open => "every public and private host: nothing is listed, and the default is to allow",
        }
    }
}

impl Subject {
    /// Finds what `target` names.
    ///
    /// # Errors
    /// When there is no such thing, or it cannot be read.
    pub fn find(target: Target) -> Result<Self, SubjectError> {
        let path = Path::new(&target.name);
        let named = AppName::parse(&target.name).ok();
        let entry = target.deployment.as_ref().and_then(|d| d.apps.get(&named?)).cloned();
        match (entry, path.exists()) {
            (Some(app), false) => Self::of_app(app, target.deployment),
            (_, true) if is_component(path)? => Self::of_file(target.name.clone(), absolute(path), target.deployment),
            (_, true) => {
                let manifest = Manifest::load(path).map_err(SubjectError::Manifest)?;
                let of_it = |app: &&App| app.source.manifest().is_some_and(|file| same(file, &manifest.file));
                let app = target.deployment.as_ref().and_then(|d| d.apps.values().find(of_it)).cloned();
                match app {
                    Some(app) => Self::of_app(app, target.deployment),
                    None => Self::of_package(target.name.clone(), &manifest, target.deployment),
                }
            }
            (None, false) if target.deployment.is_none() => Err(SubjectError::NoConfig(target.name)),
            (None, false) => Err(SubjectError::Unknown(target.name)),
        }
    }

    fn of_app(app: App, deployment: Option<Deployment>) -> Result<Self, SubjectError> {
        let file = app.source.manifest().ok_or_else(|| SubjectError::NotHere(app.name.to_string()))?;
        let manifest = Manifest::load(file).map_err(SubjectError::Manifest)?;
        let (form, component) = code(&manifest)?;
        let name = app.name.to_string();
        Self::with(name, form, component, Some(&manifest), Some(app), deployment)
    }

    fn of_package(name: String, manifest: &Manifest, deployment: Option<Deployment>) -> Result<Self, SubjectError> {
        let (form, component) = code(manifest)?;
        Self::with(name, form, component, Some(manifest), None, deployment)
    }

    fn of_file(name: String, file: PathBuf, deployment: Option<Deployment>) -> Result<Self, SubjectError> {
        Self::with(name, Form::Component, Some(file), None, None, deployment)
    }

    fn with(
        name: String,
        form: Form,
        component: Option<PathBuf>,
        manifest: Option<&Manifest>,
        app: Option<App>,
        deployment: Option<Deployment>,
    ) -> Result<Self, SubjectError> {
        let is_configured = app.is_some();
        let sample = sample()?;
        let stand_in = sample.apps.values().next().cloned();
        let mut deployment = deployment.unwrap_or(sample);
        let whole = deployment.clone();
        let root = manifest.map(|manifest| manifest.root.clone());
        deployment.apps = app.or(stand_in).map(|app| (app.name.clone(), app)).into_iter().collect();
        Ok(Self { name, form, component, root, whole, deployment, is_configured })
    }

    /// The app whose rules count.
    pub fn app(&self) -> Option<&App> {
        self.deployment.apps.values().next()
    }

    /// Its rules.
    pub fn rules(&self) -> Rules {
        self.app().map(|app| app.egress.clone()).unwrap_or_default()
    }

    /// Whether what its rules refuse is sent all the same.
    pub fn observes(&self) -> bool {
        [self.rules().mode, self.deployment.server.egress.mode].contains(&egress::Mode::Observe)
    }

    /// Whether its rules let it name this host.
    pub fn allows(&self, host: &str) -> bool {
        let Ok(host) = Host::parse(host) else { return false };
        self.patterns().iter().any(|pattern| pattern.matches(&host))
    }

    /// What is listed.
    pub fn patterns(&self) -> Vec<HostPattern> {
        self.rules().allowed.into_iter().map(|entry| entry.pattern).collect()
    }

    /// What its list comes to.
    pub fn policy(&self) -> Policy {
        match (self.rules().allowed.is_empty(), self.deployment.server.egress.default_action) {
            (false, _) => Policy::Listed,
            (true, Action::Deny) => Policy::Nothing,
            (true, Action::Allow) => Policy::Open,
        }
    }

    /// The directories of other apps' packages, as far as none of them holds its own.
    pub fn neighbours(&self) -> Vec<PathBuf> {
        let own = self.app().map(|app| &app.name);
        let others = self.whole.apps.values().filter(|other| Some(&other.name) != own);
        let dirs = others.filter_map(|other| other.source.manifest()?.parent()?.canonicalize().ok());
        let root = self.root.as_ref().and_then(|root| root.canonicalize().ok());
        dirs.filter(|dir| root.as_ref().is_none_or(|root| !root.starts_with(dir))).collect()
    }

    /// The wasm runtime it is placed on, or would be.
    pub fn runtime(&self) -> WasmRuntime {
        let placed = self.app().and_then(|app| self.deployment.placed(app));
        let default = self.deployment.runtimes.get(self.deployment.component_runtime());
        match placed.or(default) {
            Some(Runtime::Wasm(runtime)) => (**runtime).clone(),
            _ => WasmRuntime::default(),
        }
    }
}

/// What a package's code is. A package that would have to be built is not: this command changes nothing.
fn code(manifest: &Manifest) -> Result<(Form, Option<PathBuf>), SubjectError> {
    let artifact = manifest.component().map(|component| component.path.clone());
    let path = artifact.or_else(|| manifest.entrypoint.as_ref().map(|entrypoint| entrypoint.artifact_path.clone()));
    let has_surfaces = manifest.app().is_some_and(|app| !app.surfaces.is_empty());
    let Some(path) = path.map(|path| manifest.root.join(path)) else {
        let runs = manifest.run.is_some() || manifest.build.is_some() || !has_surfaces;
        return Ok((if runs { Form::Native } else { Form::Declarative }, None));
    };
    if !path.exists() {
        return Err(SubjectError::Unbuilt(path));
    }
    Ok(if is_component(&path)? { (Form::Component, Some(path)) } else { (Form::Native, None) })
}

/// Whether the file's bytes say WebAssembly.
fn is_component(path: &Path) -> Result<bool, SubjectError> {
    let failed = |source| SubjectError::Read { path: path.to_owned(), source };
    if path.is_dir() {
        return Ok(false);
    }
    let mut head = Vec::new();
    std::fs::File::open(path).and_then(|file| file.take(4).read_to_end(&mut head)).map_err(failed)?;
    Ok(head == *b"\0asm")
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

fn same(a: &Path, b: &Path) -> bool {
    a.canonicalize().ok().is_some_and(|a| b.canonicalize().is_ok_and(|b| a == b))
}

/// A configuration for what has none: every kind of entry, and nothing else allowed.
fn sample() -> Result<Deployment, SubjectError> {
    const TEXT: &str = "apiVersion: gestaltd.config/v6\nserver:\n  egress: {defaultAction: deny}\napps:\n  sample:\n    \
        source: {path: ./manifest.yaml}\n    egress: {allowedHosts: [allowed.test, '*.wild.test']}\n";
    const MANIFEST: &str = "kind: app\nsource: github.com/gestaltd/verify/sample\nversion: 0.0.0\n\
        entrypoint: {artifactPath: sample.wasm}\nspec: {}\n";
    let dir = super::Scratch::make().map_err(|source| SubjectError::Read { path: std::env::temp_dir(), source })?;
    for (name, text) in [("config.yaml", TEXT), ("manifest.yaml", MANIFEST), ("sample.wasm", "")] {
        let path = dir.path().join(name);
        std::fs::write(&path, text).map_err(|source| SubjectError::Read { path, source })?;
    }
    gestalt_config::load(&[dir.path().join("config.yaml")], Mode::Lenient, &ProcessEnv).map_err(SubjectError::Config)
}
