//! Executables of a package.

use super::address::package_path;
use crate::check::Report;
use crate::check::app::trimmed;
use crate::manifest::Form;
use crate::manifest::artifacts::{Artifact, Entrypoint};
use crate::path::KeyPath;
use crate::raw::manifest::artifacts::{RawArtifact, RawEntrypoint};
use std::collections::HashSet;

pub(crate) fn artifacts(report: &mut Report<'_>, at: &KeyPath, raw: Vec<RawArtifact>, form: Form) -> Vec<Artifact> {
    let (mut paths, mut platforms) = (HashSet::new(), HashSet::new());
    let mut artifacts = Vec::new();
    for (i, raw) in raw.into_iter().enumerate() {
        let at = at.index(i);
        let Some(artifact) = artifact(report, &at, raw) else { continue };
        if form == Form::Released && artifact.sha256.is_none() {
            report.problem(&at.key("sha256"), "is required in a released package");
        }
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
    let mut required = |key: &str, text: Option<String>| report.required(&at.key(key), text);
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

pub(crate) fn entrypoint(
    report: &mut Report<'_>,
    at: &KeyPath,
    raw: RawEntrypoint,
    artifacts: &[Artifact],
) -> Option<Entrypoint> {
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
