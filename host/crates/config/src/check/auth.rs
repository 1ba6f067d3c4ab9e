//! `auth` of a connection: what a deployment says, by the manifest's rules for each part.

use super::Report;
use super::app::trimmed;
use super::manifest::connections::{auth_kind, credentials, mapping, texts};
use crate::deployment::{Auth, Oauth};
use crate::path::KeyPath;
use crate::raw::connections::{RawAuth, RawClientAuth, RawTokenExchange};
use gestalt_core::Secret;
use std::collections::BTreeMap;

pub(crate) fn auth(report: &mut Report<'_>, at: &KeyPath, mut raw: RawAuth) -> Auth {
    let credentials = raw.credentials.take().map(|raw| credentials(report, &at.key("credentials"), raw));
    // Without fields of its own, the manifest declares them, and what refers to them is judged with it.
    let mapped = raw.auth_mapping.take();
    let mapping = mapped.map(|raw| mapping(report, &at.key("authMapping"), raw, credentials.as_deref()));
    let (kind, token_prefix) = (raw.kind.map(auth_kind), raw.token_prefix.take());
    Auth { kind, oauth: oauth(report, at, raw), token_prefix, credentials, mapping }
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

/// Values that may be secret, by name.
pub(crate) fn secrets(raw: Option<BTreeMap<String, Option<String>>>) -> BTreeMap<String, Secret<String>> {
    texts(raw).into_iter().map(|(name, value)| (name, Secret::new(value))).collect()
}
