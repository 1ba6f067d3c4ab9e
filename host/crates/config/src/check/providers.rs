//! `providers`: every kind.

use super::app::{environment, icon, trimmed};
use super::builtin::Typed;
use super::known::{Known, Names};
use super::placement::{Of, Runtimes, indexeddb, placement};
use super::{Report, app_egress, connections, harness, source};
use crate::deployment::{Agent, Config, Entries, Provider, Providers, UiBundle, WorkflowProvider};
use crate::path::KeyPath;
use crate::raw::placement::RawRestartPolicy;
use crate::raw::placement::{RawBinding, RawPlacement};
use crate::raw::providers::{RawAgent, RawProvider, RawProviders, RawUiBundle, RawWorkflowProvider};
use crate::raw::server::RawSelection;
use crate::raw::source::RawSource;
use std::collections::BTreeMap;

/// What is built in, by kind.
pub(crate) const BUILTINS: [(&str, &[&str]); 4] = [
    ("audit", &["inherit", "noop", "stdout", "otlp"]),
    ("indexeddb", &["relationaldb"]),
    ("secrets", &["env", "file"]),
    ("telemetry", &["noop", "stdout", "otlp"]),
];

/// Whether some kind has a built-in of that name.
pub(crate) fn is_builtin(name: &str) -> bool {
    BUILTINS.iter().any(|(_, names)| names.contains(&name))
}

/// What the entries of all kinds are checked against.
pub(crate) struct Around<'a> {
    pub(crate) known: &'a Known,
    pub(crate) runtimes: Runtimes<'a>,
    pub(crate) typed: &'a Typed,
}

type RawEntries<T> = Option<BTreeMap<String, Option<T>>>;

pub(crate) fn providers(
    report: &mut Report<'_>,
    raw: RawProviders,
    named: RawSelection,
    around: &Around<'_>,
) -> Providers {
    let known = around.known;
    let plain = |report: &mut Report<'_>, at: &KeyPath, raw: RawProvider, _: &str| provider(report, at, raw, known);
    Providers {
        agent: kind(report, "agent", raw.agent, None, |report, at, raw, name| agent(report, at, raw, name, around)),
        audit: kind(report, "audit", raw.audit, Some(named.audit), |report, at, raw, name| {
            super::builtin::audit(report, at, raw, name, around)
        }),
        authentication: kind(report, "authentication", raw.authentication, Some(named.authentication), plain),
        authorization: kind(report, "authorization", raw.authorization, Some(named.authorization), plain),
        cache: kind(report, "cache", raw.cache, None, |report, at, raw: crate::raw::providers::RawCache, name| {
            plain(report, at, raw.into(), name)
        })
        .unselected(),
        external_credentials: kind(
            report,
            "externalCredentials",
            raw.external_credentials,
            Some(named.external_credentials),
            plain,
        ),
        indexeddb: kind(report, "indexeddb", raw.indexeddb, Some(named.indexeddb), |report, at, raw, name| {
            super::builtin::database(report, at, raw, name, around)
        }),
        s3: kind(report, "s3", raw.s3, None, plain).unselected(),
        secrets: kind(report, "secrets", raw.secrets, Some(named.secrets), |report, at, raw, name| {
            super::builtin::secrets(report, at, raw, name, around)
        }),
        telemetry: kind(report, "telemetry", raw.telemetry, Some(named.telemetry), |report, at, raw, name| {
            super::builtin::telemetry(report, at, raw, name, around)
        }),
        ui: kind(report, "ui", raw.ui, None, |report, at, raw, _| ui(report, at, raw, known)).unselected(),
        workflow: kind(report, "workflow", raw.workflow, None, |report, at, raw, name| {
            workflow(report, at, raw, name, around)
        }),
    }
    .with_defaults()
}

/// The entries of one kind, and which of them is used when none is named. `named` is `None` for kinds whose entries are
/// not selected by `server.providers`: for them an entry can still be the default or the only one.
fn kind<R: Marked, T>(
    report: &mut Report<'_>,
    kind: &'static str,
    raw: RawEntries<R>,
    named: Option<Option<String>>,
    mut check: impl FnMut(&mut Report<'_>, &KeyPath, R, &str) -> Option<T>,
) -> Entries<T> {
    let top = KeyPath::default().key("providers").key(kind);
    let raw = raw.unwrap_or_default();
    let names = Names { map: "", keys: raw.keys().cloned().collect() };
    let (mut entries, mut default): (_, Option<String>) = (BTreeMap::new(), None);
    for (name, raw) in raw {
        let at = top.key(&name);
        report.name(&at, &name);
        let Some(raw) = report.entry(&at, raw, "a provider needs a `source`") else { continue };
        if raw.is_default() {
            match &default {
                Some(first) => report.problem(&at.key("default"), format!("`{first}` is the default already")),
                None => default = Some(name.clone()),
            }
        }
        entries.extend(check(report, &at, raw, &name).map(|entry| (name, entry)));
    }
    let at = KeyPath::default().dotted("server.providers").key(kind);
    let by_server = named.is_some();
    let named = trimmed(named.flatten());
    if let Some(name) = named.as_deref().filter(|name| !names.keys.contains(*name)) {
        let hint = crate::shape::nearest(name, names.keys.iter().map(String::as_str)).map(crate::shape::did_you_mean);
        report.hinted(&at, format!("`providers.{kind}` has no such entry"), hint);
    }
    let only = || (names.keys.len() == 1).then(|| names.keys.first().cloned()).flatten();
    let selected = named.or(default).or_else(only);
    // References to secrets name their provider, so none of several needs to be the one.
    if selected.is_none() && names.keys.len() > 1 && by_server && kind != "secrets" {
        let hint = format!("name one in `server.providers.{kind}`, or mark one `default: true`");
        report.hinted(&top, "has several entries, and none of them is selected", Some(hint));
    }
    Entries { entries, selected }
}

/// Entries that may say that they are the default one.
trait Marked {
    fn is_default(&self) -> bool;
}

impl Marked for RawProvider {
    fn is_default(&self) -> bool {
        self.default == Some(true)
    }
}

impl Marked for crate::raw::providers::RawCache {
    fn is_default(&self) -> bool {
        false
    }
}

macro_rules! marked {
    ($($raw:ty),*) => {$(
        impl Marked for $raw {
            fn is_default(&self) -> bool {
                self.provider.is_default()
            }
        }
    )*};
}
marked!(RawAgent, RawUiBundle, RawWorkflowProvider);

impl<T> Entries<T> {
    /// Entries of this kind are always named.
    fn unselected(self) -> Self {
        Self { selected: None, ..self }
    }
}

/// The entry's source, when that is one of the kind's built-ins.
pub(crate) fn builtin_of(kind: &str, source: Option<&RawSource>) -> Option<&'static str> {
    let names = BUILTINS.iter().find(|(of, _)| *of == kind).map_or(&[][..], |(_, names)| names);
    match source {
        None => match kind {
            "audit" => Some("inherit"),
            "secrets" => Some("env"),
            "telemetry" => Some("stdout"),
            _ => None,
        },
        Some(RawSource::Text(text)) => names.iter().find(|name| **name == text.trim()).copied(),
        Some(RawSource::Form(_)) => None,
    }
}

/// An entry made of a package.
pub(crate) fn provider(report: &mut Report<'_>, at: &KeyPath, raw: RawProvider, known: &Known) -> Option<Provider> {
    let env = environment(report, at, raw.env);
    let icon_file = icon(report, at, raw.icon_file);
    let allowed_hosts = app_egress::allowed(report, at, raw.egress);
    let source = source::source(report, at, raw.source, known);
    Some(Provider {
        at: report.locate(at),
        source: source?,
        config: Config(raw.config.map(serde_json::Value::Object)),
        env,
        allowed_hosts,
        display_name: trimmed(raw.display_name),
        description: trimmed(raw.description),
        icon_file,
    })
}

fn ui(report: &mut Report<'_>, at: &KeyPath, raw: RawUiBundle, known: &Known) -> Option<UiBundle> {
    let path = trimmed(raw.path).and_then(|path| super::ui::mount_path(report, &at.key("path"), &path));
    let policy = report.named(&at.key("authorizationPolicy"), raw.authorization_policy, &known.policies);
    let provider = provider(report, at, raw.provider, known)?;
    Some(UiBundle { provider, path, authorization_policy: policy })
}

fn workflow(
    report: &mut Report<'_>,
    at: &KeyPath,
    raw: RawWorkflowProvider,
    name: &str,
    around: &Around<'_>,
) -> Option<WorkflowProvider> {
    let (indexeddb, placement) = placed(report, at, (raw.indexeddb, raw.runtime), name, Of::Workflow, around);
    let provider = provider(report, at, raw.provider, around.known)?;
    Some(WorkflowProvider { provider, indexeddb, placement })
}

fn agent(report: &mut Report<'_>, at: &KeyPath, raw: RawAgent, name: &str, around: &Around<'_>) -> Option<Agent> {
    let restarts = raw.runtime.as_ref().and_then(|r| r.pool.as_ref()).and_then(|pool| pool.restart_policy);
    if matches!(restarts, Some(RawRestartPolicy::Always)) && raw.indexeddb.is_none() {
        let at = at.dotted("runtime.pool.restartPolicy");
        let hint = "give the agent an `indexeddb`, or write `never`".to_owned();
        report.hinted(&at, "a session that is replaced loses what it knows without a database", Some(hint));
    }
    let (indexeddb, placement) = placed(report, at, (raw.indexeddb, raw.runtime), name, Of::Agent, around);
    let bound =
        connections::bindings(report, &at.key("connections"), raw.connections.unwrap_or_default(), around.known);
    let harnesses = harness::harnesses(report, &at.key("harnesses"), raw.harnesses.unwrap_or_default());
    let names = Names { map: "harnesses", keys: harnesses.keys().cloned().collect() };
    let default_harness = report.named(&at.key("defaultHarness"), raw.default_harness, &names);
    let provider = provider(report, at, raw.provider, around.known)?;
    Some(Agent { provider, connections: bound, indexeddb, placement, default_harness, harnesses })
}

/// The database and the place of an agent or workflow provider.
fn placed(
    report: &mut Report<'_>,
    at: &KeyPath,
    (database, runtime): (Option<RawBinding>, Option<RawPlacement>),
    name: &str,
    of: Of,
    around: &Around<'_>,
) -> (Option<crate::deployment::Indexeddb>, Option<crate::deployment::Placement>) {
    let database = database.map(|raw| indexeddb(report, &at.key("indexeddb"), raw, name, around.known, of));
    let place = runtime.and_then(|raw| placement(report, &at.key("runtime"), raw, &around.runtimes, of));
    (database, place)
}
