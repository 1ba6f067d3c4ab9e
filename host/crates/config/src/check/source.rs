//! `source`: where a package comes from; and the repositories it may come from.

use super::Report;
use super::app::trimmed;
use super::known::Known;
use crate::deployment::{SnapshotRepository, Source, SourceForm};
use crate::manifest;
use crate::path::KeyPath;
use crate::raw::source::{
    RawGit, RawGithubRelease, RawMaterialization, RawRepository, RawSnapshotRepository, RawSource, RawSourceForm,
};
use crate::shape::list;
use gestalt_core::Secret;
use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use url::Url;

const FORMS: [&str; 5] = ["path", "url", "package", "githubRelease", "git"];

/// What the entry at `at` is made of. `None` when that cannot be told; what is wrong has been reported.
pub(crate) fn source(report: &mut Report<'_>, at: &KeyPath, raw: Option<RawSource>, known: &Known) -> Option<Source> {
    let at = at.key("source");
    let form = match raw {
        None => {
            report.problem(&at, "is required: where the package comes from");
            return None;
        }
        Some(RawSource::Text(text)) => {
            let form = text_source(report, &at, text.trim(), true)?;
            return Some(Source { at: report.locate(&at), form, token: None });
        }
        Some(RawSource::Form(form)) => *form,
    };
    let token = form.auth.as_ref().and_then(|auth| trimmed(auth.token.clone()));
    if form.auth.is_some() && token.is_none() {
        report.problem(&at.dotted("auth.token"), "is required: the bearer token for the download");
    }
    let has_auth = form.auth.is_some();
    let location = report.locate(&at);
    let form = one_form(report, &at, form, known)?;
    if has_auth && matches!(form, SourceForm::Manifest(_)) {
        report.problem(&at.key("auth"), "means nothing for a manifest on this machine: nothing is downloaded");
    }
    Some(Source { at: location, form, token: token.map(Secret::new) })
}

/// Exactly one of the forms.
fn one_form(report: &mut Report<'_>, at: &KeyPath, raw: RawSourceForm, known: &Known) -> Option<SourceForm> {
    let given =
        [raw.path.is_some(), raw.url.is_some(), raw.package.is_some(), raw.github_release.is_some(), raw.git.is_some()];
    let given: Vec<_> = FORMS.into_iter().zip(given).filter_map(|(form, given)| given.then_some(form)).collect();
    match given.as_slice() {
        [_] => {}
        [] if report.is_troubled(at) => return None,
        [] => {
            report.problem(at, format!("is required: one of {}", list(&FORMS, "or")));
            return None;
        }
        [_, second, ..] => {
            let message = format!("a source is one of {}, not several", list(&given, "and"));
            report.problem(&at.key(second), message);
            return None;
        }
    }
    if raw.package.is_none() {
        for (key, _) in [("version", &raw.version), ("repo", &raw.repo)].into_iter().filter(|(_, v)| v.is_some()) {
            report.problem(&at.key(key), "means something beside `package` only");
        }
    }
    if let Some(path) = raw.path {
        return text_source(report, &at.key("path"), path.trim(), false);
    }
    if let Some(url) = raw.url {
        return report.http_url(&at.key("url"), &url).map(SourceForm::Url);
    }
    if let Some(release) = raw.github_release {
        return github_release(report, &at.key("githubRelease"), release);
    }
    if let Some(raw) = raw.git {
        return git(report, &at.key("git"), raw, known);
    }
    package(report, at, raw.package, raw.version, raw.repo)
}

/// A source that is one text. In a `path`, only files are meant.
fn text_source(report: &mut Report<'_>, at: &KeyPath, text: &str, urls: bool) -> Option<SourceForm> {
    match kind_of_source(text) {
        Text::Missing => report.problem(at, "is required: the path of a manifest"),
        Text::Url if urls => return report.http_url(at, text).map(SourceForm::Url),
        Text::Url => report.hinted(at, "is a URL", Some("write `url` instead of `path`".to_owned())),
        Text::OtherScheme => {
            let hint = text.starts_with("git").then(|| "write `source: {git: {repo, ref, path}}`".to_owned());
            report.hinted(at, "is a kind of URL that is not supported", hint);
        }
        Text::Release => match Path::new(text).is_file() {
            true => return Some(SourceForm::Release(text.into())),
            false => report.problem(at, "there is no such file"),
        },
        Text::Manifest => match manifest::find(Path::new(text)) {
            Ok(file) => return Some(SourceForm::Manifest(file)),
            Err(why) if super::providers::is_builtin(text) => {
                report.hinted(at, why, Some(format!("`{text}` is built in, but not for this kind of provider")));
            }
            Err(why) => report.problem(at, why),
        },
    }
    None
}

/// What a source that is one text means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Text {
    Missing,
    Url,
    Release,
    OtherScheme,
    Manifest,
}

pub(crate) fn kind_of_source(text: &str) -> Text {
    let is_scheme = |s: &str| {
        s.len() > 1
            && s.starts_with(|c: char| c.is_ascii_alphabetic())
            && s.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
    };
    match text.split_once(':') {
        _ if text.is_empty() => Text::Missing,
        Some(("http" | "https", rest)) if rest.starts_with("//") => Text::Url,
        Some((scheme, _)) if is_scheme(scheme) => Text::OtherScheme,
        _ if Path::new(text).file_name().is_some_and(|name| name == "provider-release.yaml") => Text::Release,
        _ => Text::Manifest,
    }
}

fn package(
    report: &mut Report<'_>,
    at: &KeyPath,
    address: Option<String>,
    version: Option<String>,
    repository: Option<String>,
) -> Option<SourceForm> {
    let address = report.needed(&at.key("package"), address, "`host/owner/repo/path`");
    if let Some(why) = address.as_deref().and_then(|address| address_fault(address)) {
        report.problem(&at.key("package"), why);
        return None;
    }
    let version = trimmed(version).and_then(|text| match parse_constraint(&text) {
        Some(version) => Some(version),
        None => {
            let hint = "write `1.2.3`, `^1.2.0`, `~1.2`, or `>=1.0.0, <2.0.0`".to_owned();
            report.hinted(&at.key("version"), "is no version constraint", Some(hint));
            None
        }
    });
    let repository = trimmed(repository).inspect(|name| {
        if !is_repository_name(name) {
            report.problem(&at.key("repo"), REPOSITORY_NAME);
        }
    });
    Some(SourceForm::Package { address: address?, version, repository })
}

/// A bare version means that very version, as in `version: 0.0.1-alpha.1`; several constraints may be parted by space.
fn parse_constraint(text: &str) -> Option<semver::VersionReq> {
    if let Ok(exact) = semver::Version::parse(text) {
        return semver::VersionReq::parse(&format!("={exact}")).ok();
    }
    semver::VersionReq::parse(text).ok()
}

/// What is wrong with `host/owner/repo/path…`, in words that can follow a key.
fn address_fault(address: &str) -> Option<&'static str> {
    let mut segments = address.split('/');
    let host = segments.next().unwrap_or_default();
    let label = |l: &str| !l.is_empty() && l.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if address.split('/').count() < 4 {
        return Some("must have at least four parts: `host/owner/repo/path`");
    }
    if !host.contains('.') || !host.split('.').all(label) {
        return Some("must begin with a host name in lower case, such as `github.com`");
    }
    let segment = |s: &str| {
        s.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
            && s.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b))
    };
    (!segments.all(segment)).then_some("each part after the host may hold `a-z`, `0-9`, `.`, `_` and `-` only")
}

fn github_release(report: &mut Report<'_>, at: &KeyPath, raw: RawGithubRelease) -> Option<SourceForm> {
    let repository = report.needed(&at.key("repo"), raw.repo, "`owner/name`");
    let tag = report.needed(&at.key("tag"), raw.tag, "the release's tag");
    let asset = report.needed(&at.key("asset"), raw.asset, "the file of the release");
    let part = |p: &str| !p.is_empty() && p.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    let repository = repository?;
    if !repository.split_once('/').is_some_and(|(owner, name)| part(owner) && part(name)) {
        report.problem(&at.key("repo"), "must be `owner/name`");
        return None;
    }
    Some(SourceForm::GithubRelease { repository, tag: tag?, asset: asset? })
}

fn git(report: &mut Report<'_>, at: &KeyPath, raw: RawGit, known: &Known) -> Option<SourceForm> {
    let repository = report.needed(&at.key("repo"), raw.repo, "the URL of the repository");
    let repository = repository.filter(|text| {
        let fits = Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https" | "file"));
        if !fits {
            report.problem(&at.key("repo"), "must be an http, https or file URL");
        }
        fits
    });
    let commit = report.needed(&at.key("ref"), raw.commit, "the commit, all 40 digits").filter(|text| {
        if !is_commit(text) {
            let hint = "a branch or tag can change what runs; write the commit it stands for".to_owned();
            report.hinted(&at.key("ref"), "must be a full commit: 40 hex digits", Some(hint));
        }
        is_commit(text)
    });
    let path = report.needed(&at.key("path"), raw.path, "the manifest in the repository");
    let path = path.and_then(|text| match manifest_path(&text) {
        Ok(path) => Some(path),
        Err(why) => {
            report.problem(&at.key("path"), why);
            None
        }
    });
    let snapshots = match (raw.materialization, raw.artifact_repository) {
        (Some(RawMaterialization::Snapshot), name) => {
            Some(report.must_name(&at.key("artifactRepository"), name, &known.snapshots)?)
        }
        (_, Some(_)) => {
            let hint = Some("write `materialization: snapshot` beside it".to_owned());
            report.hinted(&at.key("artifactRepository"), "is not used when the source is fetched", hint);
            None
        }
        (_, None) => None,
    };
    Some(SourceForm::Git { repository: repository?, commit: commit?, path: path?, snapshots })
}

/// A manifest below the root of a repository.
fn manifest_path(text: &str) -> Result<PathBuf, &'static str> {
    let path = Path::new(text);
    if !path.components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir)) || text.contains('\\') {
        return Err("must be a relative path inside the repository");
    }
    match path.file_name().and_then(|name| name.to_str()) {
        Some("manifest.yaml" | "manifest.yml" | "manifest.json") => Ok(path.to_owned()),
        _ => Err("must name the manifest: a `manifest.yaml` or `manifest.json`"),
    }
}

fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

const REPOSITORY_NAME: &str = "must begin with `a-z` or `0-9` and hold only those, `.`, `_` and `-`";

fn is_repository_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b))
}

pub(crate) fn repositories(
    report: &mut Report<'_>,
    raw: BTreeMap<String, Option<RawRepository>>,
) -> BTreeMap<String, String> {
    let top = KeyPath::default().key("providerRepositories");
    let mut repositories = BTreeMap::new();
    for (name, raw) in raw {
        let at = top.key(&name);
        if !is_repository_name(&name) {
            report.problem(&at, format!("the name {REPOSITORY_NAME}"));
        }
        let Some(raw) = report.entry(&at, raw, "a repository needs a `url`") else { continue };
        let at = at.key("url");
        let Some(url) = report.needed(&at, raw.url, "the URL of the package index") else { continue };
        match Url::parse(&url) {
            Ok(parsed) if matches!(parsed.scheme(), "http" | "https" | "file") => {
                repositories.insert(name, url);
            }
            _ => report.problem(&at, "must be an http, https or file URL"),
        }
    }
    repositories
}

pub(crate) fn snapshot_repositories(
    report: &mut Report<'_>,
    raw: BTreeMap<String, Option<RawSnapshotRepository>>,
) -> BTreeMap<String, SnapshotRepository> {
    let top = KeyPath::default().key("providerSnapshotRepositories");
    let mut repositories = BTreeMap::new();
    for (name, raw) in raw {
        let at = top.key(&name);
        if !is_repository_name(&name) {
            report.problem(&at, format!("the name {REPOSITORY_NAME}"));
        }
        let Some(raw) = report.entry(&at, raw, "a snapshot repository needs a `url`") else { continue };
        let gestalt_ref = trimmed(raw.gestalt_ref).inspect(|text| {
            if !is_commit(text) {
                report.problem(&at.key("gestaltRef"), "must be a full commit: 40 hex digits");
            }
        });
        let url = report.needed(&at.key("url"), raw.url, "the root of the snapshots");
        let Some(url) = url.and_then(|url| report.base_url(&at.key("url"), Some(&url))) else { continue };
        repositories.insert(name, SnapshotRepository { url, gestalt_ref });
    }
    repositories
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_told_apart() {
        for (text, expect) in [
            ("", Text::Missing),
            ("./a/manifest.yaml", Text::Manifest),
            ("a", Text::Manifest),
            ("/a:b/manifest.yaml", Text::Manifest),
            ("https://h/provider-release.yaml", Text::Url),
            ("git+https://h/x", Text::OtherScheme),
            ("file:///x", Text::OtherScheme),
            ("dist/provider-release.yaml", Text::Release),
        ] {
            assert_eq!(kind_of_source(text), expect, "{text}");
        }
    }

    #[test]
    fn a_bare_version_is_exact() {
        let fits = |constraint: &str, version: &str| {
            parse_constraint(constraint).map(|c| c.matches(&semver::Version::parse(version).unwrap()))
        };
        assert_eq!(fits("0.0.1-alpha.1", "0.0.1-alpha.1"), Some(true));
        assert_eq!(fits("1.2.3", "1.2.4"), Some(false));
        assert_eq!(fits("^1.2.0", "1.9.0"), Some(true));
        assert_eq!(fits(">=1.0.0, <2.0.0", "2.0.0"), Some(false));
        assert_eq!(fits("newest", "1.0.0"), None);
    }
}
