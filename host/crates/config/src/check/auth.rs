//! `auth` of a connection.

use super::Report;
use super::app::trimmed;
use super::connections::{secrets, texts};
use crate::deployment::{Auth, AuthKind, AuthValue, CredentialField, Oauth};
use crate::path::KeyPath;
use crate::raw::connections::{
    RawAuth, RawAuthKind, RawAuthMapping, RawAuthValue, RawClientAuth, RawCredential, RawTokenExchange,
};
use crate::shape::{did_you_mean, nearest};
use gestalt_core::Secret;
use std::collections::BTreeMap;

pub(crate) fn auth(report: &mut Report<'_>, at: &KeyPath, mut raw: RawAuth) -> Auth {
    let kind = raw.kind.map(|kind| match kind {
        RawAuthKind::Oauth2 => AuthKind::Oauth2,
        RawAuthKind::Manual => AuthKind::Manual,
        RawAuthKind::Bearer => AuthKind::Bearer,
        RawAuthKind::None => AuthKind::None,
        RawAuthKind::McpOauth => AuthKind::McpOauth,
    });
    let credentials = raw.credentials.take().map(|raw| credentials(report, &at.key("credentials"), raw));
    let mapping = raw.auth_mapping.take().unwrap_or_default();
    let (headers, basic) = mapping_of(report, &at.key("authMapping"), mapping, credentials.as_deref());
    let token_prefix = raw.token_prefix.take();
    Auth { kind, oauth: oauth(report, at, raw), token_prefix, credentials, headers, basic }
}

fn oauth(report: &mut Report<'_>, at: &KeyPath, raw: RawAuth) -> Oauth {
    Oauth {
        authorization_url: report.template_url(&at.key("authorizationUrl"), raw.authorization_url.as_deref()),
        token_url: report.template_url(&at.key("tokenUrl"), raw.token_url.as_deref()),
        client_id: trimmed(raw.client_id),
        client_secret: trimmed(raw.client_secret).map(Secret::new),
        redirect_url: report.template_url(&at.key("redirectUrl"), raw.redirect_url.as_deref()),
        client_in_header: raw.client_auth.map(|auth| matches!(auth, RawClientAuth::Header)),
        json_exchange: raw.token_exchange.map(|exchange| matches!(exchange, RawTokenExchange::Json)),
        scopes: raw.scopes.map(|scopes| report.distinct(&at.key("scopes"), Some(scopes))),
        scope_param: trimmed(raw.scope_param),
        scope_separator: raw.scope_separator.filter(|text| !text.is_empty()),
        pkce: raw.pkce.unwrap_or(false),
        authorization_params: texts(raw.authorization_params),
        token_params: secrets(raw.token_params),
        refresh_params: secrets(raw.refresh_params),
        accept_header: trimmed(raw.accept_header),
        access_token_path: trimmed(raw.access_token_path),
        token_metadata: report.distinct(&at.key("tokenMetadata"), raw.token_metadata),
    }
}

fn credentials(report: &mut Report<'_>, at: &KeyPath, raw: Vec<RawCredential>) -> Vec<CredentialField> {
    let mut fields: Vec<CredentialField> = Vec::new();
    for (i, raw) in raw.into_iter().enumerate() {
        let at = at.index(i).key("name");
        let Some(name) = report.needed(&at, raw.name, "the name of the field") else { continue };
        let fits = name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if !fits {
            let lower = name.replace(['-', ' '], "_").to_ascii_lowercase();
            report.hinted(&at, "must be lower case with underscores", Some(format!("write `{lower}`")));
        } else if fields.iter().any(|field| field.name == name) {
            report.problem(&at, "is the name of another field already");
        } else {
            let (label, description) = (trimmed(raw.label), trimmed(raw.description));
            fields.push(CredentialField { name, label, description });
        }
    }
    fields
}

type Mapping = (BTreeMap<String, AuthValue>, Option<(AuthValue, AuthValue)>);

/// `known` are the fields declared here. Without any, the manifest declares them, and they are judged with it.
fn mapping_of(
    report: &mut Report<'_>,
    at: &KeyPath,
    raw: RawAuthMapping,
    known: Option<&[CredentialField]>,
) -> Mapping {
    let mut headers = BTreeMap::new();
    for (name, raw) in raw.headers.unwrap_or_default() {
        let at = at.key("headers").key(&name);
        let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        if name.is_empty() || !name.bytes().all(token) {
            report.problem(&at, "is not the name of a header");
            continue;
        }
        let value = value(report, &at, raw.unwrap_or_default(), known);
        headers.extend(value.map(|value| (name.to_ascii_lowercase(), value)));
    }
    let basic = raw.basic.and_then(|basic| {
        let at = at.key("basic");
        let username = value(report, &at.key("username"), basic.username.unwrap_or_default(), known);
        let password = value(report, &at.key("password"), basic.password.unwrap_or_default(), known);
        Some((username?, password?))
    });
    (headers, basic)
}

fn value(
    report: &mut Report<'_>,
    at: &KeyPath,
    raw: RawAuthValue,
    known: Option<&[CredentialField]>,
) -> Option<AuthValue> {
    match (raw.value, raw.value_from) {
        (Some(value), None) => Some(AuthValue::Fixed(Secret::new(value))),
        (None, Some(from)) => {
            let at = at.dotted("valueFrom.credentialFieldRef.name");
            let name = from.credential_field_ref.and_then(|field| field.name);
            let name = report.needed(&at, name, "one of `credentials`")?;
            if let Some(known) = known.filter(|known| known.iter().all(|field| field.name != name)) {
                let hint = nearest(&name, known.iter().map(|field| field.name.as_str())).map(did_you_mean);
                report.hinted(&at, "is not among `credentials`", hint);
                return None;
            }
            Some(AuthValue::Field(name))
        }
        _ if report.is_troubled(at) => None,
        _ => {
            report.problem(at, "needs either `value` or `valueFrom`");
            None
        }
    }
}
