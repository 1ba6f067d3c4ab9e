//! `manifest.yaml` of an app.

use super::app::trimmed;
use super::{Report, phases, rest};
use crate::manifest::{Artifact, Entrypoint, Manifest};
use crate::path::KeyPath;
use crate::raw::manifest::{RawArtifact, RawConnection, RawEntrypoint, RawManifest, RawSpec};
use crate::shape::{did_you_mean, list, nearest};
use crate::source::{Finding, Show};
use crate::tree::Node;
use std::collections::{BTreeMap, HashSet};
use std::path::{Component, Path, PathBuf};

/// What a manifest can describe (seed 003), with the older spellings.
const KINDS: [&str; 17] = [
    "app",
    "plugin",
    "agent",
    "auth",
    "authentication",
    "authorization",
    "cache",
    "external_credentials",
    "external-credentials",
    "externalcredentials",
    "identity",
    "indexeddb",
    "runtime",
    "s3",
    "secrets",
    "ui",
    "workflow",
];

/// What is wrong with the kind, if anything. Everything else depends on it, so it is judged first.
pub(crate) fn kind(root: &Node) -> Option<Finding> {
    let node = root.get("kind");
    let given = node.and_then(Node::text).unwrap_or_default();

    let (message, hint) = match given {
        "app" | "plugin" => return None,
        "" => ("is required".to_owned(), Some("write `kind: app`".to_owned())),
        kind if KINDS.contains(&kind) => ("packages of this kind are not available yet; `app` is".to_owned(), None),
        kind => ("is not a kind of package".to_owned(), nearest(kind, KINDS.iter().copied()).map(did_you_mean)),
    };
    let (span, show) = node.map_or((root.span, Show::Nothing), |node| (node.span, Show::Value));
    Some(Finding { span, path: KeyPath::default().key("kind"), message, hint, show })
}

/// Checks everything else. `None` when what must be there is not.
pub(crate) fn manifest(report: &mut Report<'_>, raw: RawManifest, file: &Path) -> Option<Manifest> {
    let top = KeyPath::default();
    let source = source(report, &top.key("source"), raw.source);
    let version = version(report, &top.key("version"), raw.version);
    let icon_file = raw.icon_file.and_then(|text| package_path(report, &top.key("iconFile"), &text));
    let install = raw.install.map_or_else(Vec::new, |raw| phases::install(report, &top.key("install"), raw));
    let build = raw.build.and_then(|raw| phases::build(report, &top.key("build"), raw));
    let run = raw.run.and_then(|raw| phases::run(report, &top.key("run"), raw));
    let artifacts = artifacts(report, &top.key("artifacts"), raw.artifacts.unwrap_or_default());
    let entrypoint = raw.entrypoint.and_then(|raw| entrypoint(report, &top.key("entrypoint"), raw, &artifacts));
    let at = top.key("spec");
    let spec = raw.spec.unwrap_or_else(|| {
        report.hinted(&at, "is required", Some("write `spec: {}`, at the least".to_owned()));
        RawSpec::default()
    });
    let known = connections(report, &at, &spec);
    let headers = headers(report, &at.key("headers"), spec.headers.unwrap_or_default());
    let surfaces = spec.surfaces.unwrap_or_default();
    let rest = surfaces.rest.and_then(|raw| rest::surface(report, &at.dotted("surfaces.rest"), raw, &known));
    let config_schema = spec.config_schema_path.and_then(|p| package_path(report, &at.key("configSchemaPath"), &p));
    let root = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Some(Manifest {
        file: file.to_owned(),
        root: root.to_owned(),
        source: source?,
        version: version?,
        display_name: trimmed(raw.display_name),
        description: trimmed(raw.description),
        icon_file,
        install,
        build,
        run,
        artifacts,
        entrypoint,
        config_schema,
        headers,
        rest,
    })
}

fn source(report: &mut Report<'_>, at: &KeyPath, raw: Option<String>) -> Option<String> {
    let hint = Some("write `host/owner/repo/path`, such as `github.com/acme/apps/support`".to_owned());
    let Some(text) = raw.filter(|text| !text.is_empty()) else {
        report.hinted(at, "is required", hint);
        return None;
    };
    let lower = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let mut segments = text.split('/');
    let host = segments.next().unwrap_or_default();
    let label = |l: &str| !l.is_empty() && l.bytes().all(|b| lower(b) || b == b'-');
    let segment = |s: &str| s.bytes().next().is_some_and(lower) && s.bytes().all(|b| lower(b) || b"._-".contains(&b));
    let message = if text.split('/').count() < 4 {
        "must have at least four segments"
    } else if !host.contains('.') || !host.split('.').all(label) {
        "must begin with a host name in lower case"
    } else if !segments.all(segment) {
        "must have segments of lower-case letters, digits, `.`, `_` and `-`"
    } else {
        return Some(text);
    };
    report.hinted(at, message, hint);
    None
}

fn version(report: &mut Report<'_>, at: &KeyPath, raw: Option<String>) -> Option<semver::Version> {
    let Some(text) = raw.filter(|text| !text.is_empty()) else {
        report.problem(at, "is required");
        return None;
    };
    match semver::Version::parse(&text) {
        Ok(version) => Some(version),
        Err(_) => {
            let bare = text.strip_prefix('v').filter(|bare| semver::Version::parse(bare).is_ok());
            let hint = bare.map_or("write `1.2.3`, or `1.2.3-alpha.1`".to_owned(), |bare| format!("write `{bare}`"));
            report.hinted(at, "is not a semantic version", Some(hint));
            None
        }
    }
}

/// A path inside the package: relative, forward slashes, never out of it. A leading `./` is dropped.
pub(crate) fn package_path(report: &mut Report<'_>, at: &KeyPath, text: &str) -> Option<PathBuf> {
    let bare = text.strip_prefix("./").unwrap_or(text);
    let path = Path::new(bare);
    let message = if bare.is_empty() {
        "must not be empty"
    } else if text.contains(['\\', '\0']) {
        "must use forward slashes"
    } else if path.is_absolute() {
        "must be relative to the package"
    } else if path.components().any(|part| part == Component::ParentDir) {
        "must not lead out of the package"
    } else if path.components().collect::<PathBuf>().as_os_str() != bare {
        "must be written without `.` parts, double slashes and a final slash"
    } else {
        return Some(path.to_owned());
    };
    report.problem(at, message);
    None
}

fn artifacts(report: &mut Report<'_>, at: &KeyPath, raw: Vec<RawArtifact>) -> Vec<Artifact> {
    let (mut paths, mut platforms) = (HashSet::new(), HashSet::new());
    let mut artifacts = Vec::new();
    for (i, raw) in raw.into_iter().enumerate() {
        let at = at.index(i);
        let Some(artifact) = artifact(report, &at, raw) else { continue };
        if !paths.insert(artifact.path.clone()) {
            report.problem(&at.key("path"), "is the path of an earlier artifact");
        }
        if !platforms.insert((artifact.os.clone(), artifact.arch.clone(), artifact.musl)) {
            report.problem(&at, format!("there is an artifact for {}/{} already", artifact.os, artifact.arch));
        }
        artifacts.push(artifact);
    }
    artifacts
}

fn artifact(report: &mut Report<'_>, at: &KeyPath, raw: RawArtifact) -> Option<Artifact> {
    let mut required = |key: &str, text: Option<String>| {
        let text = trimmed(text);
        if text.is_none() {
            report.problem(&at.key(key), "is required");
        }
        text
    };
    let (os, arch, path) = (required("os", raw.os), required("arch", raw.arch), required("path", raw.path));
    let path = path.and_then(|text| package_path(report, &at.key("path"), &text));
    let musl = match trimmed(raw.libc).as_deref() {
        None => false,
        Some("musl") => true,
        Some(_) => {
            report.problem(&at.key("libc"), "must be `musl`, or left out");
            false
        }
    };
    let sha256 = raw.sha256.and_then(|text| {
        let digest = digest(&text);
        if digest.is_none() {
            report.problem(&at.key("sha256"), "must be 64 hex digits");
        }
        digest
    });
    let (os, arch) = (os?, arch?);
    if (os == "wasi") != (arch == "wasm32") {
        let hint = "a component is `os: wasi` and `arch: wasm32`".to_owned();
        report.hinted(&at.key("arch"), format!("{os}/{arch} is no platform"), Some(hint));
    }
    if musl && os != "linux" {
        report.problem(&at.key("libc"), "is for linux only");
    }
    Some(Artifact { os, arch, musl, path: path?, sha256 })
}

fn digest(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    for (i, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * i..2 * i + 2)?, 16).ok()?;
    }
    Some(bytes)
}

fn entrypoint(report: &mut Report<'_>, at: &KeyPath, raw: RawEntrypoint, artifacts: &[Artifact]) -> Option<Entrypoint> {
    let at = at.key("artifactPath");
    let Some(text) = raw.artifact_path else {
        report.problem(&at, "is required");
        return None;
    };
    let artifact_path = package_path(report, &at, &text)?;
    if !artifacts.is_empty() && artifacts.iter().all(|artifact| artifact.path != artifact_path) {
        report.problem(&at, "is not the path of one of `artifacts`");
    }
    Some(Entrypoint { artifact_path, args: raw.args.unwrap_or_default() })
}

/// The names of the connections. Those that need credentials are not available yet.
fn connections(report: &mut Report<'_>, at: &KeyPath, spec: &RawSpec) -> HashSet<String> {
    let listed = spec.connections.iter().flatten();
    for (name, raw) in listed.clone() {
        let at = at.key("connections").key(name);
        if name.trim().is_empty() {
            report.problem(&at, "a connection needs a name");
        }
        if let Some(raw) = raw {
            connection(report, &at, raw);
        }
    }
    let known: HashSet<String> = listed.map(|(name, _)| name.clone()).collect();
    if let Some(name) = spec.default_connection.as_ref().filter(|name| !known.contains(*name)) {
        let hint = nearest(name, known.iter().map(String::as_str)).map(did_you_mean);
        report.hinted(&at.key("defaultConnection"), "`spec.connections` has no such entry", hint);
    }
    known
}

fn connection(report: &mut Report<'_>, at: &KeyPath, raw: &RawConnection) {
    let later = "connections with credentials are not available yet";
    match raw.mode.as_deref() {
        None | Some("none") => {}
        Some("subject" | "user") => report.problem(&at.key("mode"), later),
        Some(_) => report.problem(&at.key("mode"), format!("must be {}", list(&["none", "subject"], "or"))),
    }
    let Some(auth) = &raw.auth else { return };
    let at = at.key("auth");
    match auth.get("type").and_then(serde_json::Value::as_str) {
        Some("none") => {
            for key in auth.keys().filter(|key| *key != "type") {
                report.problem(&at.key(key), "means nothing when `type` is `none`");
            }
        }
        Some("oauth2" | "mcp_oauth" | "bearer" | "manual") => report.problem(&at.key("type"), later),
        _ => {
            let types = list(&["oauth2", "mcp_oauth", "bearer", "manual", "none"], "or");
            report.problem(&at.key("type"), format!("must be {types}"));
        }
    }
}

fn headers(report: &mut Report<'_>, at: &KeyPath, raw: BTreeMap<String, Option<String>>) -> BTreeMap<String, String> {
    let mut headers = BTreeMap::new();
    for (name, value) in raw {
        let at = at.key(&name);
        let value = value.unwrap_or_default();
        if !is_header_name(&name) {
            report.problem(&at, "the key is not the name of a header");
        } else if !value.bytes().all(|b| b == b'\t' || (b' '..=b'~').contains(&b)) {
            report.problem(&at, "must be printable ASCII");
        } else if headers.insert(name.to_ascii_lowercase(), value).is_some() {
            report.problem(&at, "is here twice, in two spellings");
        }
    }
    headers
}

/// A token in HTTP's sense.
pub(crate) fn is_header_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}
