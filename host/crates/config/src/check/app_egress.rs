//! `apps.<name>.egress`.

use super::Report;
use super::app::{Around, trimmed};
use super::paths::sandbox_paths;
use crate::env::Mode;
use crate::path::KeyPath;
use crate::raw::app::{RawAllowedHosts, RawAppEgress, RawHeldCredential};
use crate::raw::config::{RawEgressMode, RawSandbox};
use gestalt_core::Secret;
use gestalt_core::egress::fields::{is_of_connection, speaks_for_proxy};
use gestalt_core::egress::{self, Entry, HeldCredential, Rules, Sandbox};
use gestalt_core::host::{HostPattern, PatternError};
use http::header::CONTENT_LENGTH;
use http::{HeaderName, HeaderValue};
use std::collections::BTreeMap;

/// What the app may reach; the server's settings fill in what the entry leaves open.
pub(crate) fn rules(
    report: &mut Report<'_>,
    at: &KeyPath,
    raw: RawAppEgress,
    env: &BTreeMap<String, Option<String>>,
    around: &Around<'_>,
) -> Rules {
    let list = at.key("allowedHosts");
    let allowed = entries(report, &list, raw.allowed_hosts.unwrap_or_default());
    let credentials = credentials(report, &at.key("credentials"), raw.credentials.unwrap_or_default(), around.mode);
    for (at, held) in &credentials {
        check_against_app(report, at, held, &allowed, env);
    }
    let shown = raw.sandbox_paths.map(|paths| sandbox_paths(report, &at.key("sandboxPaths"), paths));
    Rules {
        allowed,
        at: report.locate(&list).to_string().into(),
        mode: raw.mode.map_or(around.egress.mode, mode),
        require_tls: raw.require_tls.unwrap_or(around.egress.require_tls),
        credentials: credentials.into_iter().map(|(_, held)| held).collect(),
        sandbox: raw.sandbox.map_or(around.egress.sandbox, sandbox),
        sandbox_paths: shown.unwrap_or_else(|| around.egress.sandbox_paths.clone()),
    }
}

/// What a credential needs of the rest of the app's entry.
fn check_against_app(
    report: &mut Report<'_>,
    at: &KeyPath,
    held: &HeldCredential,
    allowed: &[Entry],
    env: &BTreeMap<String, Option<String>>,
) {
    if held.env.as_ref().is_some_and(|name| env.contains_key(name)) {
        report.problem(&at.key("env"), "the app's `env` has that variable already");
    }
    for (i, pattern) in held.hosts.iter().enumerate() {
        if !allowed.is_empty() && !allowed.iter().any(|entry| entry.pattern.covers(pattern)) {
            let hint = format!("add `{pattern}` to `egress.allowedHosts`");
            report.hinted(&at.key("hosts").index(i), "the app may not reach that host", Some(hint));
        }
    }
}

pub(crate) fn mode(raw: RawEgressMode) -> egress::Mode {
    match raw {
        RawEgressMode::Enforce => egress::Mode::Enforce,
        RawEgressMode::Observe => egress::Mode::Observe,
    }
}

pub(crate) fn sandbox(raw: RawSandbox) -> Sandbox {
    match raw {
        RawSandbox::Required => Sandbox::Required,
        RawSandbox::BestEffort => Sandbox::BestEffort,
        RawSandbox::Off => Sandbox::Off,
    }
}

/// Suffixes under which anybody can have a name: a wildcard over one is a wildcard over strangers.
const SHARED: [&str; 12] = [
    ".amazonaws.com",
    ".azurewebsites.net",
    ".cloudfront.net",
    ".github.io",
    ".herokuapp.com",
    ".netlify.app",
    ".ngrok.io",
    ".nip.io",
    ".pages.dev",
    ".sslip.io",
    ".vercel.app",
    ".workers.dev",
];

/// The hosts that the provider at `at` may reach.
pub(crate) fn allowed(report: &mut Report<'_>, at: &KeyPath, raw: Option<RawAllowedHosts>) -> Vec<Entry> {
    entries(report, &at.dotted("egress.allowedHosts"), raw.and_then(|raw| raw.allowed_hosts).unwrap_or_default())
}

fn entries(report: &mut Report<'_>, at: &KeyPath, raw: Vec<String>) -> Vec<Entry> {
    let mut hosts = Vec::with_capacity(raw.len());
    for (i, text) in raw.into_iter().enumerate() {
        let at = at.index(i);
        let pattern = match HostPattern::parse(&text) {
            Ok(pattern) => pattern,
            Err(why) => {
                report.hinted(&at, why.to_string(), host_hint(&text, why));
                continue;
            }
        };
        if let HostPattern::Below(suffix) = &pattern
            && (suffix.matches('.').count() == 1 || SHARED.contains(&&**suffix))
        {
            let hint = "name the hosts, or a suffix that is yours".to_owned();
            report.warning(&at, "EGRESS_BROAD_WILDCARD: allows names that belong to anybody", Some(hint));
        }
        let location = report.locate(&at).to_string().into();
        hosts.push(Entry { pattern, text, at: location });
    }
    hosts
}

/// The host in what was written, when that is a URL or carries a port, a path or space.
fn host_hint(text: &str, why: PatternError) -> Option<String> {
    if matches!(why, PatternError::Wildcard | PatternError::WildcardAddress) {
        return Some("write a host name, an address, or `*.` and a name: `*.example.com`".to_owned());
    }
    let bare = text.trim().rsplit_once("://").map_or(text.trim(), |(_, rest)| rest);
    let bare = bare.rsplit_once('@').map_or(bare, |(_, rest)| rest);
    let bare = bare.split(['/', ':', '?', '#']).next().unwrap_or_default();
    (bare != text && HostPattern::parse(bare).is_ok())
        .then(|| format!("write only the host: `{bare}`; any port is meant"))
}

/// Shortest credential that can be kept from an app: every place where an answer repeats it is covered up, and a shorter
/// text would be found where it is not meant.
const SHORTEST: usize = 8;
/// Longest credential, and most of them for one app: every byte of every answer is compared with each.
const LONGEST: usize = 8192;
const MOST: usize = 16;

fn credentials(
    report: &mut Report<'_>,
    at: &KeyPath,
    raw: Vec<RawHeldCredential>,
    mode: Mode,
) -> Vec<(KeyPath, HeldCredential)> {
    if raw.len() > MOST {
        report.problem(at, format!("has more than {MOST} entries"));
        return Vec::new();
    }
    let mut held: Vec<(KeyPath, HeldCredential)> = Vec::new();
    for (i, raw) in raw.into_iter().enumerate() {
        let at = at.index(i);
        let Some(one) = credential(report, &at, raw, mode) else { continue };
        if one.token && held.iter().any(|(_, other)| other.token) {
            report.problem(&at.key("token"), "another credential is the token already");
        }
        if one.env.is_some() && held.iter().any(|(_, other)| other.env == one.env) {
            report.problem(&at.key("env"), "another credential has that variable already");
        }
        held.push((at, one));
    }
    held
}

fn credential(report: &mut Report<'_>, at: &KeyPath, raw: RawHeldCredential, mode: Mode) -> Option<HeldCredential> {
    let header = header(report, &at.key("header"), trimmed(raw.header));
    let texts = raw.hosts.unwrap_or_default();
    if texts.is_empty() {
        report.problem(&at.key("hosts"), "is required: the hosts that may get the credential");
    }
    let hosts = entries(report, &at.key("hosts"), texts).into_iter().map(|entry| entry.pattern).collect();
    let value = raw.value.unwrap_or_default();
    let visible = |text: &str| HeaderValue::from_str(text).is_ok() && !text.contains('\t');
    if !(value.is_empty() && mode == Mode::Lenient) {
        if !(SHORTEST..=LONGEST).contains(&value.len()) {
            report.problem(&at.key("value"), format!("must have between {SHORTEST} and {LONGEST} bytes"));
        } else if value.trim() != value || !visible(&value) {
            report.problem(&at.key("value"), "has characters that no header can carry");
        }
    }
    if let Some(format) = &raw.format
        && (format.matches("{}").count() != 1 || !visible(format))
    {
        let hint = "write `Bearer {}`".to_owned();
        report.hinted(&at.key("format"), "must be the header's text with one `{}` for the credential", Some(hint));
    }
    let (env, token) = (trimmed(raw.env), raw.token.unwrap_or(false));
    if env.as_ref().is_some_and(|name| name.contains(['=', '\0'])) {
        report.problem(&at.key("env"), "is not the name of an environment variable");
    }
    if env.is_none() && !token {
        let hint = "add `env: NAME`, or `token: true`".to_owned();
        report.hinted(at, "gives the app no placeholder to send", Some(hint));
    }
    Some(HeldCredential { header: header?, hosts, value: Secret::new(value), format: raw.format, env, token })
}

fn header(report: &mut Report<'_>, at: &KeyPath, raw: Option<String>) -> Option<HeaderName> {
    let Some(text) = raw else {
        report.problem(at, "is required: the header that carries the credential");
        return None;
    };
    match HeaderName::try_from(&text) {
        Ok(name) if is_of_connection(name.as_str()) || name == CONTENT_LENGTH => {
            report.problem(at, "is a field that apps cannot set");
            None
        }
        Ok(name) if speaks_for_proxy(name.as_str()).is_some() => {
            report
                .problem(at, "is a field that servers believe of proxies: it is not sent, and the credential with it");
            None
        }
        Ok(name) => Some(name),
        Err(_) => {
            report.problem(at, "is not the name of a header");
            None
        }
    }
}
