//! `manifest.yaml`: what a package says about itself.

use crate::catalog;
use crate::check::{self, Report};
use crate::load::{blot_secrets, decode, verbatim};
use crate::path::KeyPath;
use crate::problem::{Location, Problem, Problems};
use crate::raw::manifest::RawManifest;
use crate::shape::{LazyShape, Shape, Surroundings, check as check_shape};
use crate::source::{Finding, Show, Sources, Span, explain, read};
use crate::tree::{Node, Tree};
use crate::{vocabulary, yaml};
use cap_std::ambient_authority;
use cap_std::fs::Dir;
use gestalt_core::{Catalog, ParameterLocation};
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

/// Names a manifest may have in a package, the first one found winning.
const NAMES: [&str; 3] = ["manifest.json", "manifest.yaml", "manifest.yml"];

static FORM: LazyShape = LazyLock::new(Shape::of::<RawManifest>);

/// A checked manifest of an app, in source mode: a package as it lies in a source tree.
///
/// Every path in it is relative to [`Manifest::root`] and stays below it; read files through [`Manifest::read`].
#[derive(Clone, Debug, PartialEq)]
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
    /// JSON Schema file of the app's `config`.
    pub config_schema: Option<PathBuf>,
    /// Headers of every upstream request of the declarative surfaces; names in lower case.
    pub headers: BTreeMap<String, String>,
    /// Operations that are upstream REST requests.
    pub rest: Option<RestSurface>,
}

/// One command of a phase. No shell is involved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// Program and arguments; not empty, and no element is.
    pub argv: Vec<String>,
    /// Directory below the package's root; empty is the root itself.
    pub workdir: PathBuf,
    /// Environment variables on top of the daemon's own choice.
    pub env: BTreeMap<String, String>,
}

/// How the executable is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Build {
    /// One after the other.
    pub commands: Vec<Command>,
    /// Files and directories whose content decides whether the output is stale. Empty: it cannot be told.
    pub inputs: Vec<PathBuf>,
    /// Whether it was written as one object, which promises to make the entrypoint's artifact; the other forms only
    /// prepare the source tree.
    pub makes_artifact: bool,
}

/// How the package is run from its source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// What is started.
    pub command: Command,
    /// How long it may take to answer, when the package knows better than the daemon.
    pub ready_timeout: Option<Duration>,
}

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

/// Operations that are upstream REST requests (seed 003, `spec.surfaces.rest`).
#[derive(Clone, Debug, PartialEq)]
pub struct RestSurface {
    /// Absolute http(s) URL without final slash, query and fragment.
    pub base_url: String,
    /// Not empty; names are unique.
    pub operations: Vec<RestOperation>,
}

/// One upstream request.
#[derive(Clone, Debug, PartialEq)]
pub struct RestOperation {
    /// The operation's id.
    pub name: String,
    /// `GET`, `POST`, `PUT`, `PATCH` or `DELETE`.
    pub method: String,
    /// Begins with a slash. Each `{placeholder}` in it has a path parameter of that wire name.
    pub path: String,
    /// What it does; may be empty.
    pub description: String,
    /// Names are unique.
    pub parameters: Vec<RestParameter>,
    /// Roles that may call it; empty means every role.
    pub allowed_roles: Vec<String>,
    /// Free labels.
    pub tags: Vec<String>,
}

/// One parameter of an upstream request.
#[derive(Clone, Debug, PartialEq)]
pub struct RestParameter {
    /// Name for callers.
    pub name: String,
    /// Name upstream.
    pub wire_name: String,
    /// `string`, `integer`, `number`, `boolean`, `object` or `array`.
    pub kind: String,
    /// Where it travels; `None` leaves it to the method.
    pub location: Option<ParameterLocation>,
    /// What it means; may be empty.
    pub description: String,
    /// Whether a call must have it. A path parameter without default always is.
    pub required: bool,
    /// Set by the host only.
    pub internal: bool,
    /// Used when a call has none.
    pub default: Option<serde_json::Value>,
}

impl Manifest {
    /// Reads and checks the manifest at `path`: the file, or the directory it lies in.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn load(path: &Path) -> Result<Self, Problems> {
        let whole = |path: &Path, why: String| Problems::one(Problem::new(Location::file(path), "", why));
        let file = find(path).map_err(|why| whole(path, why))?;
        let opened = File::open(&file).map_err(|e| explain(&e));
        let text = opened.and_then(read).map_err(|why| whole(&file, format!("the manifest {why}")))?;
        Self::parse(&file, text)
    }

    /// Checks the manifest `text` of `file`.
    fn parse(file: &Path, text: String) -> Result<Self, Problems> {
        let (mut sources, mut findings) = (Sources::default(), Vec::new());
        let number = sources.add(file, text);
        let mut root = match read_tree(&sources, number, "a manifest") {
            Ok(root) => root,
            Err(findings) => return Err(sources.report(findings)),
        };
        blot_secrets(&root, &["spec.headers"], &mut sources);
        if let Some(problem) = check::manifest::kind(&root) {
            return Err(sources.report(vec![problem]));
        }
        let keys = &vocabulary::MANIFEST;
        let top = KeyPath::default();
        let mut around = Surroundings { sources: &mut sources, findings: &mut findings, markers: None, keys };
        check_shape(&mut root, &top, &FORM, &mut around);
        let Some(raw) = decode(&root, &top, &mut findings) else { return Err(sources.report(findings)) };
        let mut report = Report::new(&root, &sources);
        let manifest = check::manifest::manifest(&mut report, raw, file);
        findings.extend(report.findings);
        match manifest {
            Some(manifest) if findings.is_empty() => Ok(manifest),
            _ => Err(sources.report(findings)),
        }
    }

    /// Reads a file of the package. A link that leads out of it is not followed.
    ///
    /// # Errors
    /// The operating system's, and when the file is not below the root or larger than 16 MiB.
    pub fn read(&self, path: &Path) -> std::io::Result<String> {
        let file = Dir::open_ambient_dir(&self.root, ambient_authority())?.open(path)?.into_std();
        read(file).map_err(|why| std::io::Error::new(std::io::ErrorKind::InvalidData, why))
    }

    /// The package's `catalog.yaml`, when it has one.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn catalog(&self) -> Result<Option<Catalog>, Problems> {
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

    /// The component among the artifacts.
    pub fn component(&self) -> Option<&Artifact> {
        self.artifacts.iter().find(|artifact| artifact.is_component())
    }

    /// Where problems with the manifest as a whole are.
    pub fn at(&self) -> Location {
        Location::file(&Arc::<Path>::from(self.file.as_path()))
    }
}

impl Artifact {
    /// Whether it says that it is a WebAssembly component.
    pub fn is_component(&self) -> bool {
        self.os == "wasi"
    }
}

/// The manifest file at `path`, which is that file or the directory of it.
///
/// # Errors
/// Why there is none, in words that can follow a key.
pub(crate) fn find(path: &Path) -> Result<PathBuf, String> {
    let Ok(metadata) = path.metadata() else { return Err("there is no such file".to_owned()) };
    if !metadata.is_dir() {
        return Ok(path.to_owned());
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
