//! `apps.<name>.securitySchemes` and `.http`: what a deployment overrides. Each part follows the manifest's rule for it;
//! whether all parts are there is only known with the manifest they are laid over.

use super::Report;
use super::app::trimmed;
use super::connections::mode;
use super::manifest::http::{ack, header_name, media_types, method, payload, route};
use crate::deployment::{HttpBinding, SchemeKind, SchemeSecret, SecurityScheme};
use crate::path::KeyPath;
use crate::raw::connections::RawConnectionMode;
use crate::raw::http::{
    RawHttpBinding, RawHttpScheme, RawKeyLocation, RawSchemeKind, RawSchemeSecret, RawSecurityScheme,
};
use gestalt_core::Secret;
use std::collections::BTreeMap;

pub(crate) fn schemes(
    report: &mut Report<'_>,
    at: &KeyPath,
    raw: BTreeMap<String, Option<RawSecurityScheme<RawSchemeSecret>>>,
) -> BTreeMap<String, Option<SecurityScheme>> {
    let checked = raw.into_iter().map(|(name, raw)| {
        let at = at.key(&name);
        (name, raw.map(|raw| scheme(report, &at, raw)))
    });
    checked.collect()
}

fn scheme(report: &mut Report<'_>, at: &KeyPath, raw: RawSecurityScheme<RawSchemeSecret>) -> SecurityScheme {
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
        RawSchemeSecret::Place(place) => place,
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
    header_name(report, at, Some(&name));
    Some(name)
}

/// The template as it was written, for it can only be used with the rest of the scheme.
fn template(report: &mut Report<'_>, at: &KeyPath, raw: Option<String>) -> Option<String> {
    let text = raw.filter(|text| !text.is_empty())?;
    payload(report, at, &text);
    Some(text)
}

pub(crate) fn bindings(
    report: &mut Report<'_>,
    at: &KeyPath,
    raw: BTreeMap<String, Option<RawHttpBinding<RawConnectionMode>>>,
) -> BTreeMap<String, Option<HttpBinding>> {
    let checked = raw.into_iter().map(|(name, raw)| {
        let at = at.key(&name);
        (name, raw.map(|raw| binding(report, &at, raw)))
    });
    checked.collect()
}

fn binding(report: &mut Report<'_>, at: &KeyPath, raw: RawHttpBinding<RawConnectionMode>) -> HttpBinding {
    let body = raw.request_body.unwrap_or_default();
    HttpBinding {
        at: report.locate(at),
        path: trimmed(raw.path).and_then(|text| route(report, &at.key("path"), &text)),
        method: trimmed(raw.method).map(|text| method(report, &at.key("method"), &text)),
        security: trimmed(raw.security),
        target: trimmed(raw.target),
        credential_mode: raw.credential_mode.map(mode),
        body_required: body.required,
        content_types: body.content.map(|raw| media_types(report, &at.dotted("requestBody.content"), raw)),
        ack: raw.ack.map(|raw| ack(report, &at.key("ack"), raw)),
    }
}
