//! `manifest.yaml`: what a package says about itself.

pub mod app;
pub mod artifacts;
pub mod connections;
pub mod http;
mod kind;
pub mod operations;
pub mod phases;

pub use kind::Kind;

use crate::catalog;
use crate::check::manifest::targets::Described;
use crate::check::{self, Report};
use crate::config_schema::Origin;
use crate::load::{blot_secrets, decode, verbatim};
use crate::path::KeyPath;
use crate::problem::{Location, Problem, Problems};
use crate::raw::manifest::RawManifest;
use crate::raw::manifest::app::RawAppSpec;
use crate::raw::manifest::spec::{RawProviderSpec, RawUiSpec};
use crate::shape::{LazyShape, Shape, Surroundings, check as check_shape};
use crate::source::{Finding, Show, Sources, Span, explain, read};
use crate::tree::{Node, Patterns, Tree};
use crate::{vocabulary, yaml};
use app::AppSpec;
use artifacts::{Artifact, Entrypoint};
use cap_std::ambient_authority;
use cap_std::fs::Dir;
use gestalt_core::Catalog;
use phases::{Build, Command, Run};
use serde::de::DeserializeOwned;

use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

/// Names a manifest may have in a package, the first one found winning.
const NAMES: [&str; 3] = ["manifest.json", "manifest.yaml", "manifest.yml"];

/// Files of a source tree that say it has code, and in which language.
const LANGUAGES: [&str; 4] = ["Cargo.toml", "go.mod", "package.json", "pyproject.toml"];

static APP: LazyShape = LazyLock::new(Shape::of::<RawManifest<RawAppSpec>>);
static UI: LazyShape = LazyLock::new(Shape::of::<RawManifest<RawUiSpec>>);
static PROVIDER: LazyShape = LazyLock::new(Shape::of::<RawManifest<RawProviderSpec>>);

/// Where secrets stand in a manifest: nothing under these is ever shown.
static SECRET: LazyLock<Patterns> = LazyLock::new(|| Patterns::new(SECRETS));

const SECRETS: [&str; 12] = [
    "build.env",
    "install.env",
    "run.env",
    "spec.auth.clientSecret",
    "spec.auth.tokenParams",
    "spec.connections.*.auth.authMapping",
    "spec.connections.*.auth.clientSecret",
    "spec.connections.*.auth.refreshParams",
    "spec.connections.*.auth.tokenParams",
    "spec.headers",
    "spec.securitySchemes.*.secret",
    "spec.ui.auth.token",
];

/// A checked manifest.
///
/// Every path in it is relative to [`Manifest::root`] and stays below it; read files through [`Manifest::read`].
#[derive(Clone, Debug)]
pub struct Manifest {
    /// The manifest file.
    pub file: PathBuf,
    /// The package: the directory the manifest lies in.
    pub root: PathBuf,
    /// Canonical address, `host/owner/repo/path…`; the last segment is the package's name.
    pub source: String,
    /// Its version.
    pub version: semver::Version,
    /// Name for people.
    pub display_name: Option<String>,
    /// One or two sentences.
    pub description: Option<String>,
    /// SVG file.
    pub icon_file: Option<PathBuf>,
    /// Commands that fetch what the package needs. Empty when it declares none.
    pub install: Vec<Command>,
    /// Commands that make the executable.
    pub build: Option<Build>,
    /// The command that runs the package from its source, and how long it may take to answer.
    pub run: Option<Run>,
    /// Executables in the package.
    pub artifacts: Vec<Artifact>,
    /// What is started; also what `build` makes when no artifacts are listed.
    pub entrypoint: Option<Entrypoint>,
    /// JSON Schema file of the `config` that the deployment gives the package.
    pub config_schema: Option<PathBuf>,
    /// What is particular to its kind.
    pub spec: Spec,
    /// What is allowed but likely not meant, and what has no effect yet.
    pub warnings: Problems,
    /// What the package asks for, is not there yet, and must not be missing: above all restrictions. It is not started
    /// without.
    pub unenforced: Problems,
    pub(crate) origin: Arc<Origin>,
}

/// Where a manifest lies, which decides what it must say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Source,
    Released,
}

/// What is particular to a kind.
#[derive(Clone, Debug, PartialEq)]
pub enum Spec {
    /// An app.
    App(Box<AppSpec>),
    /// A UI.
    Ui(UiSpec),
    /// An executable of any other kind, which says nothing of its own.
    Provider(Kind),
}

/// A directory of files for browsers (seed 003, `spec` of kind `ui`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UiSpec {
    /// The directory.
    pub asset_root: PathBuf,
    /// Who may load what, when the deployment binds the UI to a policy. Paths are unique.
    pub routes: Vec<UiRoute>,
}

/// Who may load what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UiRoute {
    /// Begins with a slash; ends with `/*` when everything below is meant.
    pub path: String,
    /// Roles that may load it.
    pub allowed_roles: Vec<String>,
}

impl Manifest {
    /// Reads and checks the manifest at `path`: the file, or the directory it lies in. It lies in a source tree: it may
    /// say how to build and run, and may leave out what a build adds.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn load(path: &Path) -> Result<Self, Problems> {
        Self::load_as(path, Form::Source)
    }

    /// Like [`Manifest::load`], of a released or installed package: every executable is there and has a digest, and
    /// nothing is built.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn load_released(path: &Path) -> Result<Self, Problems> {
        Self::load_as(path, Form::Released)
    }

    fn load_as(path: &Path, form: Form) -> Result<Self, Problems> {
        let whole = |path: &Path, why: String| Problems::one(Problem::new(Location::file(path), "", why));
        let file = find(path).map_err(|why| whole(path, why))?;
        let (root, name) = (file.parent().unwrap_or(Path::new("")), file.file_name().unwrap_or_default());
        let root = if root.as_os_str().is_empty() { Path::new(".") } else { root };
        let text = read_below(root, Path::new(name)).map_err(|error| match error.kind() {
            std::io::ErrorKind::InvalidData => error.to_string(),
            _ => explain(&error),
        });
        let text = text.map_err(|why| whole(&file, format!("the manifest {why}")))?;
        Self::parse(&file, text, form)
    }

    /// Checks the manifest `text` of `file`.
    fn parse(file: &Path, text: String, form: Form) -> Result<Self, Problems> {
        let mut sources = Sources::default();
        let number = sources.add(file, text);
        let root = match read_tree(&sources, number, "a manifest") {
            Ok(root) => root,
            Err(findings) => return Err(sources.report(findings)),
        };
        blot_secrets(&root, &SECRET, &mut sources);
        let read = Read { root, sources, file, form };
        match check::manifest::kind(&read.root) {
            Ok(Kind::App) => read.check(&APP, check::manifest::app),
            Ok(Kind::Ui) => read.check(&UI, check::manifest::ui),
            Ok(kind) => read.check(&PROVIDER, |report, raw, about| check::manifest::provider(report, raw, about, kind)),
            Err(finding) => Err(read.sources.report(vec![finding])),
        }
    }

    /// What the package is.
    pub fn kind(&self) -> Kind {
        match &self.spec {
            Spec::App(_) => Kind::App,
            Spec::Ui(_) => Kind::Ui,
            Spec::Provider(kind) => *kind,
        }
    }

    /// What it says as an app, if it is one.
    pub fn app(&self) -> Option<&AppSpec> {
        match &self.spec {
            Spec::App(spec) => Some(spec),
            _ => None,
        }
    }

    /// Reads a file of the package. A link that leads out of it is not followed, and a pipe not waited for.
    ///
    /// # Errors
    /// The operating system's, and when the file is not below the root or larger than 16 MiB.
    pub fn read(&self, path: &Path) -> std::io::Result<String> {
        read_below(&self.root, path)
    }

    /// The package's `catalog.yaml`, when it has one; and what the manifest says about operations holds.
    ///
    /// # Errors
    /// Everything that is wrong with the catalog; and every operation the manifest names that does not exist, as far as
    /// that can be told without running the package or fetching a document.
    pub fn catalog(&self) -> Result<Option<Catalog>, Problems> {
        let catalog = self.read_catalog()?;
        if let Some(spec) = self.app() {
            let described = Described { catalog: catalog.as_ref(), has_code: self.has_code() };
            let mut report = Report::new(&self.origin.tree, &self.origin.sources);
            check::manifest::targets::operations(&mut report, spec, &described);
            if !report.findings.is_empty() {
                return Err(self.origin.sources.report(report.findings));
            }
        }
        Ok(catalog)
    }

    fn read_catalog(&self) -> Result<Option<Catalog>, Problems> {
        let file = self.root.join("catalog.yaml");
        match self.read(Path::new("catalog.yaml")) {
            Ok(text) => catalog::read_catalog(&text, &file).map(Some),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => {
                let why = match error.kind() {
                    std::io::ErrorKind::InvalidData => error.to_string(),
                    _ => explain(&error),
                };
                Err(Problems::one(Problem::new(Location::file(&file), "", format!("the catalog {why}"))))
            }
        }
    }

    /// Whether there is something to run, or to build into it.
    fn has_code(&self) -> bool {
        let says =
            self.entrypoint.is_some() || self.run.is_some() || self.build.is_some() || !self.artifacts.is_empty();
        says || LANGUAGES.iter().any(|file| self.root.join(file).exists())
    }

    /// The component among the artifacts.
    pub fn component(&self) -> Option<&Artifact> {
        self.artifacts.iter().find(|artifact| artifact.is_component())
    }

    /// Where problems with the manifest as a whole are.
    pub fn at(&self) -> Location {
        Location::file(&Arc::<Path>::from(self.file.as_path()))
    }
}

/// Reads a regular file below `root`. A link that leads out of it is not followed, and a pipe is not waited for.
fn read_below(root: &Path, path: &Path) -> std::io::Result<String> {
    let wrong = |why: String| std::io::Error::new(std::io::ErrorKind::InvalidData, why);
    let dir = Dir::open_ambient_dir(root, ambient_authority())?;
    if !dir.metadata(path)?.is_file() {
        return Err(wrong("is not a regular file".to_owned()));
    }
    read(dir.open(path)?.into_std()).map_err(wrong)
}

/// A manifest whose kind is known.
struct Read<'a> {
    root: Node,
    sources: Sources,
    file: &'a Path,
    form: Form,
}

impl Read<'_> {
    fn check<S: DeserializeOwned>(
        mut self,
        shape: &LazyShape,
        checked: impl FnOnce(&mut Report<'_>, RawManifest<S>, &About<'_>) -> Option<Manifest>,
    ) -> Result<Manifest, Problems> {
        let (top, keys, mut findings) = (KeyPath::default(), &vocabulary::MANIFEST, Vec::new());
        let sources = &mut self.sources;
        let mut around = Surroundings { sources, findings: &mut findings, markers: None, keys };
        check_shape(&mut self.root, &top, shape, &mut around);
        let Some(raw) = decode(&self.root, &top, &mut findings) else { return Err(self.sources.report(findings)) };
        let origin = Arc::new(Origin { tree: self.root, sources: self.sources, removed: Vec::new() });
        let mut report = Report::new(&origin.tree, &origin.sources);
        let manifest = checked(&mut report, raw, &About { file: self.file, form: self.form, origin: &origin });
        let Report { findings: found, mut warnings, .. } = report;
        findings.extend(found);
        let Some(mut manifest) = manifest.filter(|_| findings.is_empty()) else {
            return Err(origin.sources.report(findings));
        };
        warnings.extend(keys.pending(&origin.tree));
        manifest.warnings = origin.sources.report(warnings);
        manifest.unenforced = origin.sources.report(check::manifest::unenforced(&manifest));
        Ok(manifest)
    }
}

/// What a check needs to know besides the manifest's text.
pub(crate) struct About<'a> {
    pub(crate) file: &'a Path,
    pub(crate) form: Form,
    pub(crate) origin: &'a Arc<Origin>,
}

/// The manifest file at `path`, which is that file or the directory of it.
///
/// # Errors
/// Why there is none, in words that can follow a key.
pub(crate) fn find(path: &Path) -> Result<PathBuf, String> {
    let Ok(metadata) = path.metadata() else { return Err("there is no such file".to_owned()) };
    if metadata.is_file() {
        return Ok(path.to_owned());
    }
    if !metadata.is_dir() {
        return Err("it is neither a file nor a directory".to_owned());
    }
    let mut candidates = NAMES.iter().map(|name| path.join(name));
    candidates.find(|file| file.is_file()).ok_or_else(|| format!("the directory has no {}", NAMES.join(", ")))
}

/// The tree of a file that is a map, and has no placeholders.
pub(crate) fn read_tree(sources: &Sources, number: u16, what: &str) -> Result<Node, Vec<Finding>> {
    let wrong = |span, message: String| {
        vec![Finding { span, path: KeyPath::default(), message, hint: None, show: Show::Nothing }]
    };
    let root = yaml::parse(sources.text(number), &verbatim(number))?;
    match root {
        Some(root) if root.map().is_some() => Ok(root),
        Some(Node { tree: Tree::Null, span }) => {
            Err(wrong(span, format!("{what} must be a map of keys, and this is empty")))
        }
        Some(other) => Err(wrong(other.span, format!("{what} must be a map of keys"))),
        None => {
            let span = Span { file: number, ..Span::default() };
            Err(wrong(span, format!("{what} must be a map of keys, and this is empty")))
        }
    }
}
