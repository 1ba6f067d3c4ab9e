//! Hosted HTTP bindings and security schemes of manifests.

use crate::catalog::is_operation_id;
use crate::check::Report;
use crate::check::app::trimmed;
use crate::check::texts::is_header_name;
use crate::manifest::http::{Ack, HttpBinding, PayloadPart, Proof, RequestBody, SchemeSecret, SecurityScheme};
use crate::path::KeyPath;
use crate::raw::http::{
    RawAck, RawHttpBinding, RawHttpScheme, RawKeyLocation, RawRequestBody, RawSchemeKind, RawSecretPlace,
    RawSecurityScheme,
};
use crate::shape::{did_you_mean, list, nearest};
use crate::tree::Tree;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Methods an operation or a binding can have.
pub(crate) const METHODS: [&str; 5] = ["GET", "POST", "PUT", "PATCH", "DELETE"];

/// Longest age of a request that counts as fresh: replays are remembered this long.
const MAX_AGE_SECONDS: i64 = 24 * 60 * 60;

/// Checks a scheme.
pub(crate) fn scheme(report: &mut Report<'_>, at: &KeyPath, raw: RawSecurityScheme) -> Option<SecurityScheme> {
    let Some(kind) = raw.kind else {
        let kinds = list(&["hmac", "apiKey", "http", "none"], "or");
        report.problem(&at.key("type"), format!("is required: {kinds}"));
        return None;
    };
    foreign_keys(report, at, kind);
    let description = trimmed(raw.description.clone());
    let proof = match kind {
        RawSchemeKind::None => Proof::Open,
        RawSchemeKind::Hmac => hmac(report, at, raw)?,
        RawSchemeKind::ApiKey => {
            if raw.location.is_none() {
                report.problem(&at.key("in"), format!("is required: {}", list(&["header", "query"], "or")));
            }
            let name = report.required(&at.key("name"), raw.name);
            let secret = secret(report, &at.key("secret"), raw.secret);
            match raw.location? {
                RawKeyLocation::Header => {
                    header_name(report, &at.key("name"), name.as_deref());
                    Proof::HeaderKey { name: name?, secret: secret? }
                }
                RawKeyLocation::Query => Proof::QueryKey { name: name?, secret: secret? },
            }
        }
        RawSchemeKind::Http => {
            if raw.scheme.is_none() {
                report.problem(&at.key("scheme"), format!("is required: {}", list(&["basic", "bearer"], "or")));
            }
            let secret = secret(report, &at.key("secret"), raw.secret);
            match raw.scheme? {
                RawHttpScheme::Basic => Proof::Basic { secret: secret? },
                RawHttpScheme::Bearer => Proof::Bearer { secret: secret? },
            }
        }
    };
    Some(SecurityScheme { description, proof })
}

/// Keys that belong to another kind of scheme promise something that will not happen.
fn foreign_keys(report: &mut Report<'_>, at: &KeyPath, kind: RawSchemeKind) {
    let (own, name): (&[&str], _) = match kind {
        RawSchemeKind::Hmac => (
            &["signatureHeader", "signaturePrefix", "payloadTemplate", "timestampHeader", "maxAgeSeconds", "secret"],
            "hmac",
        ),
        RawSchemeKind::ApiKey => (&["name", "in", "secret"], "apiKey"),
        RawSchemeKind::Http => (&["scheme", "secret"], "http"),
        RawSchemeKind::None => (&[], "none"),
    };
    let map = report.tree.find(at).node.and_then(|node| node.map());
    let given = map.into_iter().flatten().filter(|(_, entry)| !matches!(entry.node.tree, Tree::Null | Tree::Reported));
    let foreign = given.map(|(key, _)| key.clone()).filter(|key| !["type", "description"].contains(&key.as_str()));
    for key in foreign.filter(|key| !own.contains(&key.as_str())).collect::<Vec<_>>() {
        report.problem(&at.key(&key), format!("means nothing when `type` is `{name}`"));
    }
}

pub(crate) fn header_name(report: &mut Report<'_>, at: &KeyPath, name: Option<&str>) {
    if name.is_some_and(|name| !is_header_name(name)) {
        report.problem(at, "is not the name of a header");
    }
}

fn secret(report: &mut Report<'_>, at: &KeyPath, raw: Option<RawSecretPlace>) -> Option<SchemeSecret> {
    let hint = Some("write `secret: {env: NAME}`, or `secret: {secret: name}`".to_owned());
    let Some(raw) = raw else {
        report.hinted(at, "is required", hint);
        return None;
    };
    match (trimmed(raw.env), trimmed(raw.secret)) {
        (Some(name), None) => Some(SchemeSecret::Env(name)),
        (None, Some(name)) => Some(SchemeSecret::Secret(name)),
        (None, None) => {
            report.hinted(at, "does not say where the secret is", hint);
            None
        }
        (Some(_), Some(_)) => {
            report.hinted(at, "names two places", hint);
            None
        }
    }
}

fn hmac(report: &mut Report<'_>, at: &KeyPath, raw: RawSecurityScheme) -> Option<Proof> {
    let header = report.required(&at.key("signatureHeader"), raw.signature_header);
    header_name(report, &at.key("signatureHeader"), header.as_deref());
    let template = raw.payload_template.filter(|text| !text.is_empty());
    if template.is_none() {
        let hint = Some("write `{raw_body}` to sign the body as it is".to_owned());
        report.hinted(&at.key("payloadTemplate"), "is required", hint);
    }
    let payload = template.and_then(|text| payload(report, &at.key("payloadTemplate"), &text));
    let timestamp = trimmed(raw.timestamp_header);
    header_name(report, &at.key("timestampHeader"), timestamp.as_deref());
    let freshness = match (timestamp, raw.max_age_seconds) {
        (None, None) => None,
        (Some(header), Some(seconds)) => {
            let age: u64 = report.count(&at.key("maxAgeSeconds"), Some(seconds), 1..=MAX_AGE_SECONDS, 1);
            Some((header, Duration::from_secs(age)))
        }
        (Some(_), None) => {
            report.problem(&at.key("maxAgeSeconds"), "is required together with `timestampHeader`");
            None
        }
        (None, Some(_)) => {
            report.problem(&at.key("timestampHeader"), "is required together with `maxAgeSeconds`");
            None
        }
    };
    if let (Some((header, _)), Some(parts)) = (&freshness, &payload) {
        let signed =
            |part: &PayloadPart| matches!(part, PayloadPart::Header(name) if name.eq_ignore_ascii_case(header));
        if !parts.iter().any(signed) {
            let hint = Some(format!("add `{{header:{header}}}`, or anybody can date an old request anew"));
            report.hinted(&at.key("payloadTemplate"), "does not sign the timestamp", hint);
        }
    }
    let prefix = raw.signature_prefix.map(|text| text.trim().to_owned()).unwrap_or_default();
    let secret = secret(report, &at.key("secret"), raw.secret);
    Some(Proof::Hmac { header: header?, prefix, payload: payload?, freshness, secret: secret? })
}

/// Text with `{raw_body}` and `{header:Name}` in it. A closing brace on its own is text.
pub(crate) fn payload(report: &mut Report<'_>, at: &KeyPath, template: &str) -> Option<Vec<PayloadPart>> {
    let (mut parts, mut rest) = (Vec::new(), template);
    while let Some((before, after)) = rest.split_once('{') {
        if !before.is_empty() {
            parts.push(PayloadPart::Text(before.to_owned()));
        }
        let Some((token, behind)) = after.split_once('}') else {
            report.problem(at, "has a `{` that is not closed");
            return None;
        };
        parts.push(match (token, token.strip_prefix("header:").map(str::trim)) {
            ("raw_body", _) => PayloadPart::RawBody,
            (_, Some(name)) if is_header_name(name) => PayloadPart::Header(name.to_owned()),
            (_, Some(_)) => {
                report.problem(at, format!("`{{{token}}}` does not name a header"));
                return None;
            }
            (_, None) => {
                let hint = Some("there are `{raw_body}` and `{header:Name}`".to_owned());
                report.hinted(at, format!("`{{{token}}}` means nothing here"), hint);
                return None;
            }
        });
        rest = behind;
    }
    if !rest.is_empty() {
        parts.push(PayloadPart::Text(rest.to_owned()));
    }
    Some(parts)
}

/// Checks a binding. `schemes` are the names of the security schemes.
pub(crate) fn binding(
    report: &mut Report<'_>,
    at: &KeyPath,
    raw: RawHttpBinding,
    schemes: &BTreeSet<String>,
) -> Option<HttpBinding> {
    let path = report.required(&at.key("path"), raw.path).and_then(|text| route(report, &at.key("path"), &text));
    let method = report.required(&at.key("method"), raw.method).map(|text| method(report, &at.key("method"), &text));
    let security = report.required(&at.key("security"), raw.security);
    if let Some(name) = security.as_ref().filter(|name| !schemes.contains(*name)) {
        let meant = nearest(name, schemes.iter().map(String::as_str)).map(did_you_mean);
        let hint = meant.or_else(|| Some("a scheme with `type: none` lets anybody call".to_owned()));
        report.hinted(&at.key("security"), "`securitySchemes` has no such entry", hint);
    }
    let target = report.required(&at.key("target"), raw.target);
    if target.as_deref().is_some_and(|id| !is_operation_id(id)) {
        report.problem(&at.key("target"), "is not the id of an operation");
    }
    let body = raw.request_body.map(|raw| request_body(report, &at.key("requestBody"), raw));
    let ack = raw.ack.map(|raw| ack(report, &at.key("ack"), raw));
    Some(HttpBinding {
        path: path?,
        method: method?,
        credential_mode: super::connections::mode(report, &at.key("credentialMode"), raw.credential_mode.as_deref()),
        security: security?,
        target: target?,
        body,
        ack,
    })
}

/// A method in capitals.
pub(crate) fn method(report: &mut Report<'_>, at: &KeyPath, text: &str) -> String {
    let method = text.to_ascii_uppercase();
    if !METHODS.contains(&method.as_str()) {
        report.problem(at, format!("must be one of {}", list(&METHODS, "or")));
    }
    method
}

/// A path in its one spelling: `events\\x//` is `/events/x`.
pub(crate) fn route(report: &mut Report<'_>, at: &KeyPath, text: &str) -> Option<String> {
    let bad = |c: char| c.is_whitespace() || c.is_control() || "?#{}%".contains(c);
    if text.contains('*') {
        report.problem(at, "must be one path: no `*`");
        return None;
    }
    if text.contains(bad) {
        report.problem(at, "is not a path: no space, query, fragment, escape or placeholder");
        return None;
    }
    let mut segments = Vec::new();
    for segment in text.split(['/', '\\']) {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            segment => segments.push(segment),
        }
    }
    if segments.is_empty() {
        report.problem(at, "must name something below the app's own prefix");
        return None;
    }
    Some(format!("/{}", segments.join("/")))
}

fn request_body(report: &mut Report<'_>, at: &KeyPath, raw: RawRequestBody) -> RequestBody {
    let content = raw.content.map(|raw| media_types(report, &at.key("content"), raw)).unwrap_or_default();
    RequestBody { required: raw.required.unwrap_or_default(), content }
}

/// Media types in lower case without parameters.
pub(crate) fn media_types(
    report: &mut Report<'_>,
    at: &KeyPath,
    raw: BTreeMap<String, Option<Map<String, Value>>>,
) -> BTreeSet<String> {
    let mut types = BTreeSet::new();
    for (text, options) in raw {
        let at = at.key(&text);
        if options.is_some_and(|options| !options.is_empty()) {
            report.problem(&at, "must be an empty map");
        }
        let bare = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let is_type = bare.split_once('/').is_some_and(|(kind, rest)| {
            bare == "*/*" || (is_header_name(kind) && is_header_name(rest) && !bare.contains('*'))
        });
        if !is_type {
            report.problem(&at, "the key is not a media type such as `application/json`, or `*/*`");
        } else if !types.insert(bare) {
            report.problem(&at, "is here twice, in two spellings");
        }
    }
    types
}

pub(crate) fn ack(report: &mut Report<'_>, at: &KeyPath, raw: RawAck) -> Ack {
    let headers: BTreeMap<_, _> = super::connections::texts(raw.headers);
    for (name, value) in &headers {
        let at = at.key("headers").key(name);
        if !is_header_name(name) {
            report.problem(&at, "the key is not the name of a header");
        } else if !is_header_value(value) {
            report.problem(&at, "must be printable ASCII");
        }
    }
    Ack { status: report.count(&at.key("status"), raw.status, 200..=299, 200), headers, body: raw.body }
}

/// Printable ASCII and tabs.
pub(crate) fn is_header_value(value: &str) -> bool {
    value.bytes().all(|b| b == b'\t' || (b' '..=b'~').contains(&b))
}
