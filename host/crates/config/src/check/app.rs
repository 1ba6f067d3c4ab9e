//! `apps.<name>`.

use super::{Report, app_egress};
use crate::deployment::{App, Placement, Runtime};
use crate::env::Mode;
use crate::manifest;
use crate::path::KeyPath;
use crate::raw::config::{RawApp, RawPlacement, RawSource};
use crate::shape::{did_you_mean, list, nearest};
use gestalt_core::AppName;
use gestalt_core::egress::Settings;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What an app's entry is checked against.
pub(crate) struct Runtimes<'a> {
    pub(crate) all: &'a BTreeMap<String, Runtime>,
    pub(crate) default: Option<&'a str>,
}

/// The rest of the deployment, as far as an app's entry depends on it.
pub(crate) struct Around<'a> {
    pub(crate) runtimes: Runtimes<'a>,
    pub(crate) egress: &'a Settings,
    pub(crate) mode: Mode,
}

/// `None` when the entry is beyond use; what is wrong has been reported.
pub(crate) fn app(
    report: &mut Report<'_>,
    at: &KeyPath,
    key: &str,
    raw: Option<RawApp>,
    around: &Around<'_>,
) -> Option<App> {
    let name = AppName::parse(key).map_err(|why| report.problem(at, format!("the app's name {why}"))).ok();
    let Some(raw) = raw else {
        report.problem(at, "the entry is empty; an app needs a `source`");
        return None;
    };
    let manifest = source(report, at, raw.source);
    let env = raw.env.unwrap_or_default();
    for name in env.keys().filter(|name| name.is_empty() || name.contains(['=', '\0'])) {
        report.problem(&at.key("env").key(name), "is not the name of an environment variable");
    }
    let placement = raw.runtime.and_then(|raw| placement(report, &at.key("runtime"), raw, &around.runtimes));
    let icon_file = raw.icon_file.filter(|f| !f.trim().is_empty()).map(PathBuf::from);
    if icon_file.as_ref().is_some_and(|file| !file.is_file()) {
        report.problem(&at.key("iconFile"), "there is no such file");
    }
    let egress = app_egress::rules(report, &at.key("egress"), raw.egress.unwrap_or_default(), &env, around);
    Some(App {
        name: name?,
        at: report.locate(at),
        manifest: manifest?,
        manifest_at: report.locate(&at.key("source")),
        display_name: trimmed(raw.display_name),
        description: trimmed(raw.description),
        icon_file,
        config: raw.config.map(serde_json::Value::Object),
        env: env.into_iter().map(|(name, value)| (name, value.unwrap_or_default())).collect(),
        egress,
        placement,
    })
}

/// Text without surrounding space; `None` when nothing is left.
pub(crate) fn trimmed(text: Option<String>) -> Option<String> {
    text.map(|t| t.trim().to_owned()).filter(|t| !t.is_empty())
}

/// The manifest file the entry names. Of the forms of a source, only a manifest on this machine is available yet.
fn source(report: &mut Report<'_>, at: &KeyPath, raw: Option<RawSource>) -> Option<PathBuf> {
    let at = at.key("source");
    let (at, text) = match raw {
        Some(RawSource::Path(text)) => (at, text),
        Some(RawSource::Form(form)) if form.path.is_none() && report.is_troubled(&at) => return None,
        Some(RawSource::Form(form)) => (at.key("path"), form.path.unwrap_or_default()),
        None => (at, String::new()),
    };
    let text = text.trim();
    let message = match kind_of_source(text) {
        Source::Missing => "is required: the path of the app's manifest".to_owned(),
        Source::Url => "is a URL; such sources are part of config v6, but not available yet".to_owned(),
        Source::Release => {
            "is a provider release; such sources are part of config v6, but not available yet".to_owned()
        }
        Source::OtherScheme => "is a kind of URL that is not supported".to_owned(),
        Source::Manifest => match manifest::find(Path::new(text)) {
            Ok(file) => return Some(file),
            Err(why) => why,
        },
    };
    report.problem(&at, message);
    None
}

/// What a scalar `source` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Missing,
    Url,
    Release,
    OtherScheme,
    Manifest,
}

pub(crate) fn kind_of_source(text: &str) -> Source {
    let is_scheme = |s: &str| {
        s.len() > 1
            && s.starts_with(|c: char| c.is_ascii_alphabetic())
            && s.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
    };
    match text.split_once(':') {
        _ if text.is_empty() => Source::Missing,
        Some(("http" | "https", rest)) if rest.starts_with("//") => Source::Url,
        Some((scheme, _)) if is_scheme(scheme) => Source::OtherScheme,
        _ if Path::new(text).file_name().is_some_and(|name| name == "provider-release.yaml") => Source::Release,
        _ => Source::Manifest,
    }
}

fn placement(report: &mut Report<'_>, at: &KeyPath, raw: RawPlacement, runtimes: &Runtimes<'_>) -> Option<Placement> {
    let named = trimmed(raw.provider);
    let Some(runtime) = named.as_deref().or(runtimes.default).map(str::to_owned) else {
        let hint = "name one here, or in `server.runtime.defaultProvider`".to_owned();
        report.hinted(&at.key("provider"), "no runtime is named, and there is no default one", Some(hint));
        return None;
    };
    let Some(entry) = runtimes.all.get(&runtime) else {
        let hint = nearest(&runtime, runtimes.all.keys().map(String::as_str)).map(did_you_mean);
        report.hinted(&at.key("provider"), "`runtime.providers` has no such entry", hint);
        return None;
    };
    let template = trimmed(raw.template);
    if let Some(name) = &template {
        let at = at.key("template");
        match entry {
            Runtime::Local => {
                report.problem(&at, format!("runtime `{runtime}` is `driver: local`, which has no templates"))
            }
            Runtime::Wasm(wasm) if !wasm.templates.contains_key(name) => {
                let known: Vec<_> = wasm.templates.keys().map(String::as_str).collect();
                let meant = nearest(name, known.iter().copied()).map(did_you_mean);
                let hint = meant.or_else(|| match known.is_empty() {
                    true => Some(format!("`runtime.providers.{runtime}.config.templates` has none")),
                    false => Some(format!("it has {}", list(&known, "and"))),
                });
                report.hinted(&at, format!("runtime `{runtime}` has no such template"), hint);
            }
            Runtime::Wasm(_) => {}
        }
    }
    Some(Placement { runtime, template, at: report.locate(at) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_by_their_spelling() {
        for (text, expect) in [
            ("", Source::Missing),
            ("./a/manifest.yaml", Source::Manifest),
            ("a", Source::Manifest),
            ("/a:b/manifest.yaml", Source::Manifest),
            ("https://h/provider-release.yaml", Source::Url),
            ("git+https://h/x", Source::OtherScheme),
            ("file:///x", Source::OtherScheme),
            ("dist/provider-release.yaml", Source::Release),
        ] {
            assert_eq!(kind_of_source(text), expect, "{text}");
        }
    }
}
