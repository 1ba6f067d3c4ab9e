//! `apps.<name>`.

use super::auth::secrets;
use super::connections::{bindings, mode};
use super::known::Known;
use super::placement::{Of, Runtimes, indexeddb, placement};
use super::workflows::{app_name, run_as};
use super::{Report, app_egress, http, source, ui};
use crate::deployment::{AllowedOperation, App, AppUi, Config, Invokes, RouteAuth, SurfaceUrls};
use crate::env::Mode;
use crate::path::KeyPath;
use crate::problem::Problems;
use crate::raw::app::{RawAllowedOperation, RawApp, RawAppUi, RawInvokes, RawRouteAuth, RawSurfaces};
use gestalt_core::egress::Settings;
use gestalt_core::{AppName, Secret};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// What an app's entry is checked against.
pub(crate) struct Around<'a> {
    pub(crate) known: &'a Known,
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
    let known = around.known;
    let name = AppName::parse(key).map_err(|why| report.problem(at, format!("the app's name {why}"))).ok();
    let raw = report.entry(at, raw, "an app needs a `source`")?;
    let source = source::source(report, at, raw.source, known);
    let authorization_policy = report.named(&at.key("authorizationPolicy"), raw.authorization_policy, &known.policies);
    let attach = raw.dev.and_then(|dev| dev.attach).and_then(|attach| attach.allowed_roles);
    let attach_roles = report.distinct(&at.dotted("dev.attach.allowedRoles"), attach);
    if !attach_roles.is_empty() && authorization_policy.is_none() {
        let hint = Some("give the app an `authorizationPolicy`".to_owned());
        report.hinted(&at.dotted("dev.attach.allowedRoles"), "are roles of the app's policy, and it has none", hint);
    }
    let env = raw.env.unwrap_or_default();
    Some(App {
        at: report.locate(at),
        display_name: trimmed(raw.display_name),
        description: trimmed(raw.description),
        icon_file: icon(report, at, raw.icon_file),
        authorization_policy,
        route_auth: raw.auth.and_then(|raw| route_auth(report, &at.key("auth"), raw, known)),
        ui: raw.ui.and_then(|raw| app_ui(report, &at.key("ui"), raw, known)),
        config: Config(raw.config.map(serde_json::Value::Object)),
        egress: app_egress::rules(report, &at.key("egress"), raw.egress.unwrap_or_default(), &env, around),
        env: environment(report, at, Some(env)),
        connections: bindings(report, &at.key("connections"), raw.connections.unwrap_or_default(), known),
        surfaces: surfaces(report, &at.key("surfaces"), raw.surfaces.unwrap_or_default()),
        allowed_operations: raw
            .allowed_operations
            .map(|raw| allowed_operations(report, &at.key("allowedOperations"), raw)),
        security_schemes: http::schemes(report, &at.key("securitySchemes"), raw.security_schemes.unwrap_or_default()),
        http: http::bindings(report, &at.key("http"), raw.http.unwrap_or_default()),
        mcp: raw.mcp,
        attach_roles,
        placement: raw.runtime.and_then(|raw| placement(report, &at.key("runtime"), raw, &around.runtimes, Of::App)),
        indexeddb: raw.indexeddb.map(|raw| indexeddb(report, &at.key("indexeddb"), raw, key, known, Of::App)),
        cache: sockets(report, &at.key("cache"), raw.cache, &known.cache),
        s3: sockets(report, &at.key("s3"), raw.s3, &known.s3),
        invokes: invokes(report, &at.key("invokes"), raw.invokes.unwrap_or_default(), known),
        unenforced: Problems::default(),
        name: name?,
        source: source?,
    })
}

/// Text without surrounding space; `None` when nothing is left.
pub(crate) fn trimmed(text: Option<String>) -> Option<String> {
    text.map(|t| t.trim().to_owned()).filter(|t| !t.is_empty())
}

/// The `env` of the entry at `at`.
pub(crate) fn environment(
    report: &mut Report<'_>,
    at: &KeyPath,
    raw: Option<BTreeMap<String, Option<String>>>,
) -> BTreeMap<String, Secret<String>> {
    for name in raw.iter().flat_map(BTreeMap::keys).filter(|name| name.is_empty() || name.contains(['=', '\0'])) {
        report.problem(&at.key("env").key(name), "is not the name of an environment variable");
    }
    secrets(raw)
}

/// The `iconFile` of the entry at `at`.
pub(crate) fn icon(report: &mut Report<'_>, at: &KeyPath, raw: Option<String>) -> Option<PathBuf> {
    let file = PathBuf::from(trimmed(raw)?);
    if !file.is_file() {
        report.problem(&at.key("iconFile"), "there is no such file");
    }
    Some(file)
}

fn route_auth(report: &mut Report<'_>, at: &KeyPath, raw: RawRouteAuth, known: &Known) -> Option<RouteAuth> {
    let at = at.key("provider");
    let name = report.needed(&at, raw.provider, "`server`, or a key of `providers.authentication`")?;
    if name != "server" {
        return report.named(&at, Some(name), &known.authentication).map(RouteAuth::Provider);
    }
    if known.authentication.keys.is_empty() {
        report.problem(&at, "is the server's login, and `providers.authentication` has no entry");
    }
    Some(RouteAuth::Server)
}

fn app_ui(report: &mut Report<'_>, at: &KeyPath, raw: RawAppUi, known: &Known) -> Option<AppUi> {
    let path = report.needed(&at.key("path"), raw.path, "where the pages are mounted");
    let path = path.and_then(|path| ui::mount_path(report, &at.key("path"), &path));
    let bundle = report.named(&at.key("bundle"), raw.bundle, &known.ui);
    Some(AppUi { path: path?, bundle, at: report.locate(at) })
}

fn surfaces(report: &mut Report<'_>, at: &KeyPath, raw: RawSurfaces) -> SurfaceUrls {
    let mut url = |path: &str, url: Option<String>| report.template_url(&at.dotted(path), url.as_deref());
    SurfaceUrls {
        rest: url("rest.baseUrl", raw.rest.and_then(|s| s.base_url)),
        openapi: url("openapi.baseUrl", raw.openapi.and_then(|s| s.base_url)),
        graphql: url("graphql.url", raw.graphql.and_then(|s| s.url)),
        mcp: url("mcp.url", raw.mcp.and_then(|s| s.url)),
    }
}

fn allowed_operations(
    report: &mut Report<'_>,
    at: &KeyPath,
    raw: BTreeMap<String, Option<RawAllowedOperation>>,
) -> BTreeMap<String, AllowedOperation> {
    let mut ids: BTreeMap<String, String> = BTreeMap::new();
    let mut operations = BTreeMap::new();
    for (id, raw) in raw {
        let at = at.key(&id);
        let raw = raw.unwrap_or_default();
        let alias = trimmed(raw.alias);
        let shown = alias.clone().unwrap_or_else(|| id.clone());
        if let Some(other) = ids.insert(shown, id.clone()) {
            let at = if alias.is_some() { at.key("alias") } else { at.clone() };
            report.problem(&at, format!("callers know operation `{other}` by this id already"));
        }
        let operation = AllowedOperation {
            at: report.locate(&at),
            alias,
            description: trimmed(raw.description),
            allowed_roles: raw.allowed_roles.map(|roles| report.distinct(&at.key("allowedRoles"), Some(roles))),
            tags: raw.tags.map(|tags| report.distinct(&at.key("tags"), Some(tags))),
            paginate: raw.paginate,
        };
        operations.insert(id, operation);
    }
    operations
}

/// Providers an app reaches by a socket each, whose names become names of environment variables.
fn sockets(
    report: &mut Report<'_>,
    at: &KeyPath,
    raw: Option<Vec<String>>,
    known: &super::known::Names,
) -> Vec<String> {
    let variable = |name: &str| -> String {
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect()
    };
    let names = report.all_named(at, raw, known);
    for (i, name) in names.iter().enumerate() {
        if let Some(other) = names[..i].iter().find(|other| variable(other) == variable(name)) {
            report.problem(at, format!("`{other}` and `{name}` would be the same environment variable"));
        }
    }
    names
}

fn invokes(report: &mut Report<'_>, at: &KeyPath, raw: Vec<RawInvokes>, known: &Known) -> Vec<Invokes> {
    let mut all: Vec<Invokes> = Vec::new();
    for (i, raw) in raw.into_iter().enumerate() {
        let at = at.index(i);
        let Some(one) = invoke(report, &at, raw, known) else { continue };
        if all.iter().any(|other| (&other.app, &other.operation) == (&one.app, &one.operation)) {
            report.problem(&at, "is listed twice");
        } else {
            all.push(one);
        }
    }
    all
}

fn invoke(report: &mut Report<'_>, at: &KeyPath, raw: RawInvokes, known: &Known) -> Option<Invokes> {
    let app = app_name(report, &at.key("app"), raw.app, known);
    let operation = trimmed(raw.operation);
    match (&operation, raw.surface) {
        (Some(_), None) | (None, Some(_)) => {}
        (Some(_), Some(_)) => {
            report.problem(at, "has both `operation` and `surface`; write one of them");
            return None;
        }
        (None, None) => {
            if !report.is_troubled(at) {
                report.problem(at, "needs `operation`, or `surface: graphql`");
            }
            return None;
        }
    }
    if raw.run_as.is_some() && operation.is_none() {
        report.problem(&at.key("runAs"), "needs an `operation`: it is for one operation only");
    }
    Some(Invokes {
        at: report.locate(at),
        credential_mode: raw.credential_mode.map(mode),
        run_as: raw.run_as.and_then(|raw| run_as(report, &at.key("runAs"), raw)),
        app: app?,
        operation,
    })
}
