//! `apps.<name>.securitySchemes` and `.http`. What is complete is only known with the manifest they are laid over.

use super::Report;
use super::app::trimmed;
use super::connections::{mode, texts};
use crate::deployment::{Ack, HttpBinding, SchemeKind, SchemeSecret, SecurityScheme};
use crate::path::KeyPath;
use crate::raw::http::{
    RawAck, RawHttpBinding, RawHttpScheme, RawKeyLocation, RawRequestBody, RawSchemeKind, RawSchemeSecret,
    RawSecurityScheme,
};
use gestalt_core::Secret;
use std::collections::BTreeMap;

pub(crate) fn schemes(
    report: &mut Report<'_>,
    at: &KeyPath,
    raw: BTreeMap<String, Option<RawSecurityScheme>>,
) -> BTreeMap<String, Option<SecurityScheme>> {
    let checked = raw.into_iter().map(|(name, raw)| {
        let at = at.key(&name);
        (name, raw.map(|raw| scheme(report, &at, raw)))
    });
    checked.collect()
}

fn scheme(report: &mut Report<'_>, at: &KeyPath, raw: RawSecurityScheme) -> SecurityScheme {
    SecurityScheme {
        kind: raw.kind.map(|kind| match kind {
            RawSchemeKind::Hmac => SchemeKind::Hmac,
            RawSchemeKind::ApiKey => SchemeKind::ApiKey,
            RawSchemeKind::Http => SchemeKind::Http,
            RawSchemeKind::None => SchemeKind::None,
        }),
        description: trimmed(raw.description),
        signature_header: header(report, &at.key("signatureHeader"), raw.signature_header),
        signature_prefix: raw.signature_prefix,
        payload_template: template(report, &at.key("payloadTemplate"), raw.payload_template),
        timestamp_header: header(report, &at.key("timestampHeader"), raw.timestamp_header),
        max_age_seconds: raw
            .max_age_seconds
            .map(|seconds| report.count(&at.key("maxAgeSeconds"), Some(seconds), 1..=31_536_000, 1)),
        name: trimmed(raw.name),
        in_query: raw.location.map(|location| matches!(location, RawKeyLocation::Query)),
        basic: raw.scheme.map(|scheme| matches!(scheme, RawHttpScheme::Basic)),
        secret: raw.secret.and_then(|raw| secret(report, &at.key("secret"), raw)),
    }
}

fn secret(report: &mut Report<'_>, at: &KeyPath, raw: RawSchemeSecret) -> Option<SchemeSecret> {
    let raw = match raw {
        RawSchemeSecret::Value(value) => return Some(SchemeSecret::Value(Secret::new(value))),
        RawSchemeSecret::Form(form) => form,
    };
    match (trimmed(raw.env), trimmed(raw.secret)) {
        (Some(name), None) => Some(SchemeSecret::Env(name)),
        (None, Some(name)) => Some(SchemeSecret::Named(name)),
        _ if report.is_troubled(at) => None,
        _ => {
            report.problem(at, "needs either `env` or `secret`: where the secret comes from");
            None
        }
    }
}

fn header(report: &mut Report<'_>, at: &KeyPath, raw: Option<String>) -> Option<String> {
    let name = trimmed(raw)?;
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if !name.bytes().all(token) {
        report.problem(at, "is not the name of a header");
    }
    Some(name)
}

/// Text with `{raw_body}` and `{header:Name}` in it.
fn template(report: &mut Report<'_>, at: &KeyPath, raw: Option<String>) -> Option<String> {
    let text = raw.filter(|text| !text.is_empty())?;
    let mut rest = text.as_str();
    while let Some((_, after)) = rest.split_once('{') {
        let Some((token, behind)) = after.split_once('}') else {
            report.problem(at, "has a `{` that nothing closes");
            break;
        };
        if token != "raw_body" && token.strip_prefix("header:").is_none_or(|name| name.trim().is_empty()) {
            report.problem(at, "knows `{raw_body}` and `{header:Name}` only");
            break;
        }
        rest = behind;
    }
    Some(text)
}

pub(crate) fn bindings(
    report: &mut Report<'_>,
    at: &KeyPath,
    raw: BTreeMap<String, Option<RawHttpBinding>>,
) -> BTreeMap<String, Option<HttpBinding>> {
    let checked = raw.into_iter().map(|(name, raw)| {
        let at = at.key(&name);
        (name, raw.map(|raw| binding(report, &at, raw)))
    });
    checked.collect()
}

fn binding(report: &mut Report<'_>, at: &KeyPath, raw: RawHttpBinding) -> HttpBinding {
    let body = raw.request_body.unwrap_or_default();
    HttpBinding {
        at: report.locate(at),
        path: path(report, &at.key("path"), raw.path),
        method: method(report, &at.key("method"), raw.method),
        security: trimmed(raw.security),
        target: trimmed(raw.target),
        credential_mode: raw.credential_mode.map(mode),
        body_required: body.required,
        content_types: content_types(report, &at.dotted("requestBody.content"), body),
        ack: raw.ack.map(|raw| ack(report, &at.key("ack"), raw)),
    }
}

fn path(report: &mut Report<'_>, at: &KeyPath, raw: Option<String>) -> Option<String> {
    let text = trimmed(raw)?.replace('\\', "/");
    if text.contains('*') {
        report.problem(at, "must be a plain path, without wildcards");
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    Some(format!("/{}", parts.join("/")))
}

fn method(report: &mut Report<'_>, at: &KeyPath, raw: Option<String>) -> Option<String> {
    let text = trimmed(raw)?.to_ascii_uppercase();
    if !["GET", "POST", "PUT", "PATCH", "DELETE"].contains(&text.as_str()) {
        report.problem(at, "must be GET, POST, PUT, PATCH or DELETE");
        return None;
    }
    Some(text)
}

fn content_types(report: &mut Report<'_>, at: &KeyPath, raw: RawRequestBody) -> Option<Vec<String>> {
    let token =
        |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+*".contains(&b));
    let mut types = Vec::new();
    for (text, options) in raw.content? {
        let at = at.key(&text);
        let bare = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if !bare.split_once('/').is_some_and(|(kind, subtype)| token(kind) && token(subtype)) {
            report.problem(&at, "is not a media type such as `application/json`");
        } else if types.contains(&bare) {
            report.problem(&at, "is listed twice");
        } else {
            types.push(bare);
        }
        if options.is_some_and(|options| !options.is_empty()) {
            report.problem(&at, "has no options: its value is an empty map");
        }
    }
    Some(types)
}

fn ack(report: &mut Report<'_>, at: &KeyPath, raw: RawAck) -> Ack {
    let status = report.count(&at.key("status"), raw.status, 200..=299, 200);
    Ack { status, headers: texts(raw.headers), body: raw.body }
}
