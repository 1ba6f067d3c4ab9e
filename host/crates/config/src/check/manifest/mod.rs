//! `manifest.yaml`. What every kind has is checked here; what is particular to one, in a file of its own.

mod address;
mod app;
mod artifacts;
pub(crate) mod connections;
pub(crate) mod http;
mod operations;
mod phases;
mod rest;
mod surfaces;
pub(crate) mod targets;
mod ui;

pub(crate) use app::unenforced;

use super::Report;
use super::app::trimmed;
use crate::manifest::artifacts::Artifact;
use crate::manifest::phases::{Build, Command, Run};
use crate::manifest::{About, Form, Kind, Manifest, Spec};
use crate::path::KeyPath;
use crate::problem::Problems;
use crate::raw::manifest::RawManifest;
use crate::raw::manifest::app::RawAppSpec;
use crate::raw::manifest::phases::{RawPhase, RawRelease};
use crate::raw::manifest::spec::{RawProviderSpec, RawUiSpec};
use crate::shape::{did_you_mean, nearest};
use crate::source::{Finding, Show};
use crate::tree::Node;
use address::package_path;
use std::path::{Path, PathBuf};

/// What the package is. Everything else depends on it, so it is judged first.
///
/// # Errors
/// When it does not say, or says something else.
pub(crate) fn kind(root: &Node) -> Result<Kind, Finding> {
    let node = root.get("kind");
    let given = node.and_then(Node::text).unwrap_or_default();
    let (message, hint) = match Kind::parse(given) {
        Some(kind) => return Ok(kind),
        None if given.is_empty() => ("is required", Some("write `kind: app`, or what else the package is".to_owned())),
        None => {
            let known = Kind::ALL.iter().flat_map(|kind| kind.spellings()).copied();
            ("is not a kind of package", nearest(given, known).map(did_you_mean))
        }
    };
    let (span, show) = node.map_or((root.span, Show::Nothing), |node| (node.span, Show::Value));
    Err(Finding { span, path: KeyPath::default().key("kind"), message: message.to_owned(), hint, show })
}

/// Checks the manifest of an app. `None` when what must be there is not.
pub(crate) fn app(report: &mut Report<'_>, mut raw: RawManifest<RawAppSpec>, about: &About<'_>) -> Option<Manifest> {
    let at = KeyPath::default().key("spec");
    let spec = raw.spec.take().unwrap_or_else(|| {
        report.hinted(&at, "is required", Some("write `spec: {}`, at the least".to_owned()));
        RawAppSpec::default()
    });
    let header = Header::of(report, &raw);
    let schema = schema(report, &at, spec.config_schema_path.as_deref());
    let spec = app::spec(report, &at, spec, &header, about.form);
    let has_component = raw.artifacts.iter().flatten().any(|artifact| artifact.os.as_deref() == Some("wasi"));
    let needs_entrypoint = spec.surfaces.is_empty() && !has_component;
    finish(report, raw, about, header, schema, needs_entrypoint, Spec::App(Box::new(spec)))
}

/// Checks the manifest of a UI. `None` when what must be there is not.
pub(crate) fn ui(report: &mut Report<'_>, mut raw: RawManifest<RawUiSpec>, about: &About<'_>) -> Option<Manifest> {
    let top = KeyPath::default();
    let at = top.key("spec");
    let spec = raw.spec.take().unwrap_or_default();
    let header = Header::of(report, &raw);
    let schema = schema(report, &at, spec.config_schema_path.as_deref());
    if raw.entrypoint.is_some() {
        report.problem(&top.key("entrypoint"), "a UI is files only: it has no executable");
    }
    let spec = ui::spec(report, &at, spec);
    finish(report, raw, about, header, schema, false, Spec::Ui(spec?))
}

/// Checks the manifest of any other `kind`. `None` when what must be there is not.
pub(crate) fn provider(
    report: &mut Report<'_>,
    mut raw: RawManifest<RawProviderSpec>,
    about: &About<'_>,
    kind: Kind,
) -> Option<Manifest> {
    let spec = raw.spec.take().unwrap_or_default();
    let header = Header::of(report, &raw);
    let schema = schema(report, &KeyPath::default().key("spec"), spec.config_schema_path.as_deref());
    finish(report, raw, about, header, schema, true, Spec::Provider(kind))
}

/// What names a package.
pub(crate) struct Header {
    pub(crate) source: Option<String>,
    pub(crate) version: Option<semver::Version>,
}

impl Header {
    fn of<S>(report: &mut Report<'_>, raw: &RawManifest<S>) -> Self {
        let top = KeyPath::default();
        let source = address::address(report, &top.key("source"), raw.source.clone());
        let at = top.key("version");
        let version = match raw.version.as_deref().filter(|text| !text.is_empty()) {
            Some(text) => address::version(report, &at, text),
            None => {
                report.problem(&at, "is required");
                None
            }
        };
        Self { source, version }
    }
}

fn schema(report: &mut Report<'_>, at: &KeyPath, raw: Option<&str>) -> Option<PathBuf> {
    package_path(report, &at.key("configSchemaPath"), raw?)
}

/// Checks what every kind has, and puts everything together.
fn finish<S>(
    report: &mut Report<'_>,
    raw: RawManifest<S>,
    about: &About<'_>,
    header: Header,
    config_schema: Option<PathBuf>,
    needs_entrypoint: bool,
    spec: Spec,
) -> Option<Manifest> {
    let top = KeyPath::default();
    let icon_file = raw.icon_file.and_then(|text| package_path(report, &top.key("iconFile"), &text));
    let (install, build, run) = phases(report, about.form, [raw.install, raw.build, raw.run], raw.release);
    let at = top.key("artifacts");
    let artifacts = artifacts::artifacts(report, &at, raw.artifacts.unwrap_or_default(), about.form);
    let entrypoint = raw.entrypoint.map(|raw| artifacts::entrypoint(report, &top.key("entrypoint"), raw, &artifacts));
    if about.form == Form::Released {
        packaged_code(report, &artifacts, entrypoint.is_some(), needs_entrypoint);
    }
    let root = about.file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Some(Manifest {
        file: about.file.to_owned(),
        root: root.to_owned(),
        source: header.source?,
        version: header.version?,
        display_name: trimmed(raw.display_name),
        description: trimmed(raw.description),
        icon_file,
        install,
        build,
        run,
        artifacts,
        entrypoint: entrypoint.flatten(),
        config_schema,
        spec,
        warnings: Problems::default(),
        unenforced: Problems::default(),
        origin: about.origin.clone(),
    })
}

/// A released package has everything it starts.
fn packaged_code(report: &mut Report<'_>, artifacts: &[Artifact], entrypoint: bool, needs_entrypoint: bool) {
    let top = KeyPath::default();
    if entrypoint && artifacts.is_empty() {
        report.problem(&top.key("artifacts"), "a released package lists its executables");
    }
    if !entrypoint && needs_entrypoint {
        report.problem(&top.key("entrypoint"), "is required in a released package");
    }
}

/// `install`, `build` and `run`; `release.build` is an older spelling of `build`.
fn phases(
    report: &mut Report<'_>,
    form: Form,
    raw: [Option<RawPhase>; 3],
    release: Option<RawRelease>,
) -> (Vec<Command>, Option<Build>, Option<Run>) {
    let top = KeyPath::default();
    let [install, build, run] = raw;
    let given = [("install", install.is_some()), ("build", build.is_some()), ("run", run.is_some())];
    if form == Form::Released {
        let given = given.into_iter().chain([("release", release.is_some())]).filter(|(_, given)| *given);
        for (key, _) in given {
            report.problem(&top.key(key), "means nothing in a released package, which is built already");
        }
    }
    let has_build = build.is_some();
    let install = install.map_or_else(Vec::new, |raw| phases::install(report, &top.key("install"), raw));
    let build = build.and_then(|raw| phases::build(report, &top.key("build"), raw));
    let run = run.and_then(|raw| phases::run(report, &top.key("run"), raw));
    let Some(release) = release.and_then(|release| release.build) else { return (install, build, run) };
    let at = top.dotted("release.build");
    if has_build && form == Form::Source {
        report.problem(&at, "is the older spelling of `build`, which is here already");
    }
    let older = phases::release(report, &at, release);
    (install, build.or(older), run)
}
