//! The whole of `gestaltd.config/v6`.

use super::app::{self, trimmed};
use super::builtin::Typed;
use super::known::Known;
use super::placement::Runtimes;
use super::{Report, authorization, connections, providers, server, source, ui, wasm, workflows};
use crate::deployment::{
    App, Authorization, Connection, Providers, Runtime, Server, SnapshotRepository, WASM, Workflows,
};
use crate::env::Mode;
use crate::path::KeyPath;
use crate::raw::app::RawApp;
use crate::raw::config::{RawConfig, RawDriver, RawRuntime};
use crate::raw::wasm::RawWasm;
use crate::shape::{did_you_mean, nearest};
use gestalt_core::AppName;
use std::collections::BTreeMap;
use std::path::Path;

/// Everything of a deployment but what it was read from.
pub(crate) struct Checked {
    pub(crate) server: Server,
    pub(crate) authorization: Authorization,
    pub(crate) connections: BTreeMap<String, Connection>,
    pub(crate) provider_repositories: BTreeMap<String, String>,
    pub(crate) snapshot_repositories: BTreeMap<String, SnapshotRepository>,
    pub(crate) providers: Providers,
    pub(crate) runtimes: BTreeMap<String, Runtime>,
    pub(crate) workflows: Workflows,
    pub(crate) apps: BTreeMap<AppName, App>,
}

/// Checks `raw`. `typed` has the configurations whose form is known; `home` is the leftmost file's directory.
pub(crate) fn deployment(
    report: &mut Report<'_>,
    raw: RawConfig,
    mut typed: Typed,
    mode: Mode,
    home: &Path,
) -> Checked {
    let known = Known::of(&raw);
    let mut server_raw = raw.server.unwrap_or_default();
    let selection = server_raw.providers.take().unwrap_or_default();
    let named = trimmed(server_raw.runtime.as_mut().and_then(|runtime| runtime.default_provider.take()));

    let authorization = authorization::authorization(report, raw.authorization.unwrap_or_default());
    let connections = connections::connections(report, raw.connections.unwrap_or_default());
    let provider_repositories = source::repositories(report, raw.provider_repositories.unwrap_or_default());
    let snapshot_repositories =
        source::snapshot_repositories(report, raw.provider_snapshot_repositories.unwrap_or_default());

    let entries = raw.runtime.and_then(|r| r.providers).unwrap_or_default();
    let (runtimes, marked) = runtimes(report, entries, &mut typed.wasm, &known);
    if let Some(name) = named.as_deref().filter(|name| !runtimes.contains_key(*name)) {
        let hint = nearest(name, runtimes.keys().map(String::as_str)).map(did_you_mean);
        let at = KeyPath::default().dotted("server.runtime.defaultProvider");
        report.hinted(&at, "`runtime.providers` has no such entry", hint);
    }
    let default_runtime = named.or(marked);
    let placed = || Runtimes { all: &runtimes, default: default_runtime.as_deref() };
    let around = providers::Around { known: &known, runtimes: placed(), typed: &typed };
    let providers = providers::providers(report, raw.providers.unwrap_or_default(), selection, &around);

    let server = server::server(report, server_raw, default_runtime.clone(), &known, mode, home);
    let around = app::Around { known: &known, runtimes: placed(), egress: &server.egress, mode };
    let apps = apps(report, raw.apps.unwrap_or_default(), &around);
    ui::mounts(report, &apps, &providers.ui);
    let around = workflows::Around {
        known: &known,
        scheduler: providers.workflow.selected.as_deref(),
        agent: providers.agent.selected.as_deref(),
    };
    let workflows = workflows::workflows(report, raw.workflows.unwrap_or_default(), &around);
    databases(report, &apps, &providers);
    Checked {
        server,
        authorization,
        connections,
        provider_repositories,
        snapshot_repositories,
        providers,
        runtimes,
        workflows,
        apps,
    }
}

fn apps(
    report: &mut Report<'_>,
    raw: BTreeMap<String, Option<RawApp>>,
    around: &app::Around<'_>,
) -> BTreeMap<AppName, App> {
    let at = KeyPath::default().key("apps");
    let checked = raw.into_iter().filter_map(|(key, raw)| app::app(report, &at.key(&key), &key, raw, around));
    checked.map(|app| (app.name.clone(), app)).collect()
}

/// An app that names no database of its own uses the daemon's, and then there must be one that can be told.
fn databases(report: &mut Report<'_>, apps: &BTreeMap<AppName, App>, providers: &Providers) {
    let nothing_selected = providers.indexeddb.selected.is_none() && !providers.indexeddb.entries.is_empty();
    for app in apps.values().filter(|app| app.indexeddb.as_ref().is_some_and(|db| db.provider.is_none())) {
        if nothing_selected {
            let at = KeyPath::default().key("apps").key(app.name.as_str()).key("indexeddb");
            report.problem(&at, "names no `provider`, and the server has none selected");
        }
    }
}

/// The runtimes, and the one marked as default.
fn runtimes(
    report: &mut Report<'_>,
    raw: BTreeMap<String, Option<RawRuntime>>,
    wasm: &mut BTreeMap<String, RawWasm>,
    known: &Known,
) -> (BTreeMap<String, Runtime>, Option<String>) {
    let at = KeyPath::default().dotted("runtime.providers");
    let (mut runtimes, mut default): (_, Option<String>) = (BTreeMap::new(), None);
    for (name, raw) in raw {
        let at = at.key(&name);
        let Some(raw) = report.entry(&at, raw, "a runtime needs a `driver` or a `source`") else { continue };
        if raw.provider.default == Some(true) {
            match &default {
                Some(first) => report.problem(&at.key("default"), format!("runtime `{first}` is the default already")),
                None => default = Some(name.clone()),
            }
        }
        if name == WASM && raw.driver != Some(RawDriver::Wasm) && !report.is_troubled(&at) {
            report.problem(&at, "the name `wasm` is the built-in wasm runtime's; choose another name");
        }
        let runtime = runtime(report, &at, raw, wasm.remove(&name).unwrap_or_default(), known);
        // One that is wrong is there all the same, so that its uses are not wrong too.
        runtimes.insert(name, runtime.unwrap_or(Runtime::Local));
    }
    if !matches!(runtimes.get(WASM), Some(Runtime::Wasm(_))) {
        runtimes.insert(WASM.to_owned(), Runtime::Wasm(Box::default()));
    }
    (runtimes, default)
}

fn runtime(report: &mut Report<'_>, at: &KeyPath, raw: RawRuntime, config: RawWasm, known: &Known) -> Option<Runtime> {
    let Some(driver) = raw.driver else {
        if raw.provider.source.is_none() {
            if !report.is_troubled(at) {
                report.problem(&at.key("driver"), "is required: `local` or `wasm`; or a `source`");
            }
            return None;
        }
        let provider = providers::provider(report, at, raw.provider, known)?;
        return Some(Runtime::Hosted(Box::new(provider)));
    };
    for (key, given) in [
        ("source", raw.provider.source.is_some()),
        ("env", raw.provider.env.is_some()),
        ("egress", raw.provider.egress.is_some()),
    ] {
        if given {
            report.problem(&at.key(key), "means nothing beside `driver`: the runtime is built in");
        }
    }
    Some(match driver {
        RawDriver::Local => {
            if raw.provider.config.is_some_and(|config| !config.is_empty()) {
                report.problem(&at.key("config"), "`driver: local` has nothing to configure");
            }
            Runtime::Local
        }
        RawDriver::Wasm => Runtime::Wasm(Box::new(wasm::runtime(report, &at.key("config"), config))),
    })
}
