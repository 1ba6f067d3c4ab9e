//! Where an app or provider runs, and which database it is given.

use super::Report;
use super::app::trimmed;
use super::known::Known;
use crate::deployment::{Indexeddb, Placement, Runtime, SessionPool, Workspace};
use crate::path::KeyPath;
use crate::raw::placement::{
    RawBinding, RawBindingForm, RawImagePullAuth, RawPlacement, RawRestartPolicy, RawSessionPool, RawWorkspace,
};
use crate::shape::{did_you_mean, list, nearest};
use gestalt_core::Secret;
use std::collections::BTreeMap;
use std::time::Duration;

/// What a placement is checked against.
pub(crate) struct Runtimes<'a> {
    pub(crate) all: &'a BTreeMap<String, Runtime>,
    pub(crate) default: Option<&'a str>,
}

/// Whose placement it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Of {
    App,
    Agent,
    Workflow,
}

pub(crate) fn placement(
    report: &mut Report<'_>,
    at: &KeyPath,
    raw: RawPlacement,
    runtimes: &Runtimes<'_>,
    of: Of,
) -> Option<Placement> {
    let image = trimmed(raw.image);
    let image_pull_auth =
        raw.image_pull_auth.and_then(|raw| pull_auth(report, &at.key("imagePullAuth"), raw, image.is_some()));
    let metadata = super::manifest::connections::texts(raw.metadata);
    if metadata.keys().any(|key| key.trim().is_empty()) {
        report.problem(&at.key("metadata"), "has a key that is blank");
    }
    let pool = match of {
        Of::App => {
            if raw.pool.is_some() {
                report.problem(&at.key("pool"), "an app has no pool; agents and workflow providers do");
            }
            None
        }
        _ => pool(report, &at.key("pool"), raw.pool, of),
    };
    let workspace = raw.workspace.and_then(|raw| {
        if of != Of::Agent {
            report.problem(&at.key("workspace"), "only agents have a workspace");
            return None;
        }
        Some(workspace(report, &at.key("workspace"), raw))
    });
    let (runtime, template) = runtime(report, at, trimmed(raw.provider), trimmed(raw.template), runtimes)?;
    let location = report.locate(at);
    Some(Placement { runtime, template, image, image_pull_auth, metadata, pool, workspace, at: location })
}

fn runtime(
    report: &mut Report<'_>,
    at: &KeyPath,
    named: Option<String>,
    template: Option<String>,
    runtimes: &Runtimes<'_>,
) -> Option<(String, Option<String>)> {
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
                    true => None,
                    false => Some(format!("it has {}", list(&known, "and"))),
                });
                report.hinted(&at, format!("runtime `{runtime}` has no such template"), hint);
            }
            Runtime::Wasm(_) | Runtime::Hosted(_) => {}
        }
    }
    Some((runtime, template))
}

fn pull_auth(report: &mut Report<'_>, at: &KeyPath, raw: RawImagePullAuth, image: bool) -> Option<Secret<String>> {
    if !image {
        report.problem(at, "means nothing without an `image`");
    }
    let at = at.key("dockerConfigJson");
    let text = report.needed(&at, raw.docker_config_json, "the JSON text of a Docker configuration")?;
    let fits = serde_json::from_str::<serde_json::Value>(&text).is_ok_and(|json| {
        json.get("auths").and_then(serde_json::Value::as_object).is_some_and(|auths| !auths.is_empty())
    });
    if !fits {
        report.problem(&at, "is no Docker configuration: a JSON object with `auths` in it");
    }
    Some(Secret::new(text))
}

fn pool(report: &mut Report<'_>, at: &KeyPath, raw: Option<RawSessionPool>, of: Of) -> Option<SessionPool> {
    let Some(raw) = raw else {
        report.problem(at, "is required beside `runtime`: how many sessions are kept ready, and how");
        return None;
    };
    let mut instances = |key: &str, raw: Option<i64>| -> Option<u32> {
        if raw.is_none() {
            report.problem(&at.key(key), "is required");
        }
        raw.map(|n| report.count(&at.key(key), Some(n), 1..=10_000, 1))
    };
    let min = instances("minReadyInstances", raw.min_ready_instances);
    let max = instances("maxReadyInstances", raw.max_ready_instances);
    if let (Some(min), Some(max)) = (min, max) {
        if max < min {
            report.problem(&at.key("maxReadyInstances"), "must not be less than `minReadyInstances`");
        } else if max != min && of == Of::Workflow {
            report.problem(&at.key("maxReadyInstances"), "must equal `minReadyInstances`: these pools do not grow");
        }
    }
    let mut duration = |key: &str, raw: Option<String>| -> Option<Duration> {
        let text = report.needed(&at.key(key), raw, "a duration such as `2m`")?;
        report.some_duration(&at.key(key), &text)
    };
    let startup_timeout = duration("startupTimeout", raw.startup_timeout);
    let health_check_interval = duration("healthCheckInterval", raw.health_check_interval);
    let drain_timeout = duration("drainTimeout", raw.drain_timeout);
    if raw.restart_policy.is_none() {
        report.problem(&at.key("restartPolicy"), "is required: `always` or `never`");
    }
    Some(SessionPool {
        ready: min?..=max?,
        startup_timeout: startup_timeout?,
        health_check_interval: health_check_interval?,
        restart: matches!(raw.restart_policy?, RawRestartPolicy::Always),
        drain_timeout: drain_timeout?,
    })
}

fn workspace(report: &mut Report<'_>, at: &KeyPath, raw: RawWorkspace) -> Workspace {
    const PREPARE: Duration = Duration::from_secs(600);
    let prepare_timeout = report.duration(&at.key("prepareTimeout"), raw.prepare_timeout.as_deref(), PREPARE);
    let at = at.dotted("git.allowedRepositories");
    let repositories = report.numbered(&at, raw.git.unwrap_or_default().allowed_repositories);
    for (i, text) in &repositories {
        let part = |p: &str| !p.is_empty() && p.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        let path = text.strip_suffix("/*").unwrap_or(text);
        let (host, rest) = path.split_once('/').unwrap_or((path, ""));
        if !host.contains('.') || !part(host) || !rest.split('/').all(part) || path.ends_with(".git") {
            let hint = "write `github.com/owner/name` or `github.com/owner/*`".to_owned();
            report.hinted(&at.index(*i), "is no repository without scheme and `.git`", Some(hint));
        }
    }
    Workspace { prepare_timeout, allowed_repositories: repositories.into_iter().map(|(_, text)| text).collect() }
}

/// The database of the entry called `name`. Only apps may leave the provider out.
pub(crate) fn indexeddb(
    report: &mut Report<'_>,
    at: &KeyPath,
    raw: RawBinding,
    name: &str,
    known: &Known,
    of: Of,
) -> Indexeddb {
    let (provider_at, raw) = match raw {
        RawBinding::Provider(provider) => {
            (at.clone(), RawBindingForm { provider: Some(provider), ..RawBindingForm::default() })
        }
        RawBinding::Form(form) => (at.key("provider"), form),
    };
    let provider = match of {
        Of::App => report.named(&provider_at, raw.provider, &known.indexeddb),
        _ => report.must_name(&provider_at, raw.provider, &known.indexeddb),
    };
    Indexeddb {
        provider,
        db: trimmed(raw.db).unwrap_or_else(|| name.to_owned()),
        object_stores: report.distinct(&at.key("objectStores"), raw.object_stores),
    }
}
