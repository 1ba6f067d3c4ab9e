//! Connections of manifests.

use crate::check::Report;
use crate::check::app::trimmed;
use crate::check::texts::is_header_name;
use crate::manifest::connections::{
    Auth, AuthKind, AuthMapping, AuthValue, BasicMapping, ClientAuth, Connection, ConnectionMode, ConnectionParam,
    CredentialField, CredentialRefresh, Discovery, Exposure, ParamSource, PostConnect, TokenExchange,
};
use crate::path::KeyPath;
use crate::raw::connections::{
    RawAuthKind, RawAuthMapping, RawAuthValue, RawClientAuth, RawCredential, RawDiscovery, RawExposure, RawRefresh,
    RawTokenExchange,
};
use crate::raw::manifest::connections::{RawAuth, RawConnection, RawConnectionParam, RawParamSource, RawPostConnect};
use crate::shape::{did_you_mean, list, nearest};
use crate::tree::{Node, Tree};
use gestalt_core::Secret;
use std::collections::{BTreeMap, HashSet};

/// Checks the connection at `at`.
pub(crate) fn connection(report: &mut Report<'_>, at: &KeyPath, raw: RawConnection) -> Connection {
    let auth = raw.auth.map(|raw| auth(report, &at.key("auth"), raw)).unwrap_or_default();
    let connection = Connection {
        display_name: trimmed(raw.display_name),
        mode: mode(report, &at.key("mode"), raw.mode.as_deref()),
        exposure: match raw.exposure {
            Some(RawExposure::Internal) => Exposure::Internal,
            Some(RawExposure::User) | None => Exposure::User,
        },
        auth,
        params: params(report, &at.key("params"), raw.params.unwrap_or_default()),
        discovery: raw.discovery.and_then(|raw| discovery(report, &at.key("discovery"), raw)),
        post_connect: raw.post_connect.and_then(|raw| post_connect(report, &at.key("postConnect"), raw)),
        refresh: raw.credential_refresh.and_then(|raw| refresh(report, &at.key("credentialRefresh"), raw)),
    };
    if connection.exposure == Exposure::Internal && connection.effective_mode() == ConnectionMode::Subject {
        report.problem(&at.key("exposure"), "a connection with credentials of callers cannot be `internal`");
    }
    if connection.mode == Some(ConnectionMode::Subject) && connection.auth.kind == AuthKind::None {
        let hint = Some("say with `auth.type` how callers get their credentials".to_owned());
        report.warning(&at.key("mode"), "is `subject`, and the connection has no credentials", hint);
    }
    for (name, param) in &connection.params {
        let found = connection.discovery.as_ref().is_some_and(|d| d.metadata.contains_key(param.field_or(name)));
        if param.from == Some(ParamSource::Discovery) && !found {
            let hint = Some(format!("name it in `discovery.metadata`: `{}: <path>`", param.field_or(name)));
            report.warning(&at.key("params").key(name).key("from"), "nothing that is discovered has this name", hint);
        }
    }
    connection
}

/// `none` or `subject`; `user` is the older word.
pub(crate) fn mode(report: &mut Report<'_>, at: &KeyPath, raw: Option<&str>) -> Option<ConnectionMode> {
    match raw.map(str::trim)? {
        "none" => Some(ConnectionMode::None),
        "subject" | "user" => Some(ConnectionMode::Subject),
        "platform" => {
            let hint = Some("use `subject`, and a service account as the caller".to_owned());
            report.hinted(at, "this mode is gone", hint);
            None
        }
        _ => {
            report.problem(at, format!("must be {}", list(&["none", "subject"], "or")));
            None
        }
    }
}

/// Checks how credentials come about.
pub(crate) fn auth(report: &mut Report<'_>, at: &KeyPath, raw: RawAuth) -> Auth {
    let Some(kind) = raw.kind.map(auth_kind) else {
        let types = list(&["oauth2", "mcp_oauth", "bearer", "manual", "none"], "or");
        report.problem(&at.key("type"), format!("is required: {types}"));
        return Auth::default();
    };
    if kind == AuthKind::None {
        let keys = report.tree.find(at).node.and_then(Node::map).into_iter().flatten();
        let others = keys.filter(|(key, entry)| *key != "type" && !entry.node.is_empty());
        for key in others.map(|(key, _)| key.clone()).collect::<Vec<_>>() {
            report.problem(&at.key(&key), "means nothing when `type` is `none`");
        }
        return Auth::default();
    }
    let credentials = credentials(report, &at.key("credentials"), raw.credentials.unwrap_or_default());
    let mapping = raw.auth_mapping.map(|raw| mapping(report, &at.key("authMapping"), raw, Some(&credentials)));
    if kind == AuthKind::OAuth2 {
        for (key, given) in [("authorizationUrl", &raw.authorization_url), ("tokenUrl", &raw.token_url)] {
            if given.as_deref().is_none_or(|text| text.trim().is_empty()) {
                report.problem(&at.key(key), "is required when `type` is `oauth2`");
            }
        }
    }
    let defaults = Auth::default();
    Auth {
        kind,
        authorization_url: report.template_url(&at.key("authorizationUrl"), raw.authorization_url.as_deref()),
        token_url: report.template_url(&at.key("tokenUrl"), raw.token_url.as_deref()),
        client_id: trimmed(raw.client_id),
        client_secret: raw.client_secret.filter(|text| !text.is_empty()).map(Secret::new),
        client_auth: match raw.client_auth {
            Some(RawClientAuth::Header) => ClientAuth::Header,
            Some(RawClientAuth::Body) | None => ClientAuth::Body,
        },
        token_exchange: match raw.token_exchange {
            Some(RawTokenExchange::Json) => TokenExchange::Json,
            Some(RawTokenExchange::Form) | None => TokenExchange::Form,
        },
        scopes: report.names(&at.key("scopes"), raw.scopes.unwrap_or_default()),
        scope_param: trimmed(raw.scope_param).unwrap_or(defaults.scope_param),
        scope_separator: raw.scope_separator.filter(|s| !s.is_empty()).unwrap_or(defaults.scope_separator),
        pkce: raw.pkce.unwrap_or_default(),
        authorization_params: texts(raw.authorization_params),
        token_params: texts(raw.token_params),
        refresh_params: texts(raw.refresh_params),
        accept_header: trimmed(raw.accept_header),
        access_token_path: trimmed(raw.access_token_path),
        token_metadata: report.names(&at.key("tokenMetadata"), raw.token_metadata.unwrap_or_default()),
        token_prefix: raw.token_prefix.filter(|text| !text.is_empty()),
        credentials,
        mapping,
    }
}

pub(crate) fn auth_kind(raw: RawAuthKind) -> AuthKind {
    match raw {
        RawAuthKind::Oauth2 => AuthKind::OAuth2,
        RawAuthKind::McpOauth => AuthKind::McpOAuth,
        RawAuthKind::Bearer => AuthKind::Bearer,
        RawAuthKind::Manual => AuthKind::Manual,
        RawAuthKind::None => AuthKind::None,
    }
}

/// Null values are empty texts.
pub(crate) fn texts(raw: Option<BTreeMap<String, Option<String>>>) -> BTreeMap<String, String> {
    raw.into_iter().flatten().map(|(name, value)| (name, value.unwrap_or_default())).collect()
}

/// Checks what people are asked for.
pub(crate) fn credentials(report: &mut Report<'_>, at: &KeyPath, raw: Vec<RawCredential>) -> Vec<CredentialField> {
    let mut names = HashSet::new();
    let mut fields = Vec::with_capacity(raw.len());
    for (i, raw) in raw.into_iter().enumerate() {
        let at = at.index(i).key("name");
        let Some(name) = report.needed(&at, raw.name, "the name of the field") else { continue };
        let snake = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        if !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.bytes().all(snake) {
            report.hinted(&at, "must be lower-case letters, digits and underscores", Some(suggestion(&name)));
        } else if !names.insert(name.clone()) {
            report.problem(&at, "is the name of an earlier credential");
        }
        fields.push(CredentialField { name, label: trimmed(raw.label), description: trimmed(raw.description) });
    }
    fields
}

/// The name as it might have been meant: `apiKey` and `API Key` are `api_key`.
fn suggestion(name: &str) -> String {
    let mut snake = String::new();
    let mut after_lower = false;
    for c in name.chars() {
        if (c.is_ascii_uppercase() && after_lower) || (!c.is_ascii_alphanumeric() && !snake.ends_with('_')) {
            snake.push('_');
        }
        snake.extend(c.is_ascii_alphanumeric().then(|| c.to_ascii_lowercase()));
        after_lower = c.is_ascii_lowercase() || c.is_ascii_digit();
    }
    match snake.trim_matches(|c: char| !c.is_ascii_lowercase() && !c.is_ascii_digit()) {
        meant if meant.starts_with(|c: char| c.is_ascii_lowercase()) => format!("write `{meant}`"),
        _ => "write something such as `api_key`".to_owned(),
    }
}

/// Checks where the credential travels. `fields` are those people are asked for; `None` when they are declared elsewhere.
pub(crate) fn mapping(
    report: &mut Report<'_>,
    at: &KeyPath,
    raw: RawAuthMapping,
    fields: Option<&[CredentialField]>,
) -> AuthMapping {
    let mut headers = BTreeMap::new();
    for (name, raw) in raw.headers.into_iter().flatten() {
        let at = at.key("headers").key(&name);
        if !is_header_name(&name) {
            report.problem(&at, "the key is not the name of a header");
        }
        headers.extend(auth_value(report, &at, raw, fields).map(|value| (name, value)));
    }
    let basic = raw.basic.and_then(|raw| {
        let at = at.key("basic");
        let username = auth_value(report, &at.key("username"), raw.username, fields);
        let password = auth_value(report, &at.key("password"), raw.password, fields);
        Some(BasicMapping { username: username?, password: password? })
    });
    AuthMapping { headers, basic }
}

fn auth_value(
    report: &mut Report<'_>,
    at: &KeyPath,
    raw: Option<RawAuthValue>,
    fields: Option<&[CredentialField]>,
) -> Option<AuthValue> {
    let raw = raw.unwrap_or_default();
    match (raw.value, raw.value_from) {
        (Some(value), None) => Some(AuthValue::Value(Secret::new(value))),
        (None, Some(from)) => {
            let at = at.dotted("valueFrom.credentialFieldRef.name");
            let name = from.credential_field_ref.and_then(|field| field.name);
            let name = report.needed(&at, name, "one of `credentials`")?;
            if let Some(fields) = fields.filter(|fields| fields.iter().all(|field| field.name != name)) {
                let hint = nearest(&name, fields.iter().map(|field| field.name.as_str())).map(did_you_mean);
                report.hinted(&at, "`credentials` has no field of this name", hint);
            }
            Some(AuthValue::Field(name))
        }
        _ => {
            report.problem(at, "needs either `value` or `valueFrom`");
            None
        }
    }
}

/// Checks the parameters of a connection.
pub(crate) fn params(
    report: &mut Report<'_>,
    at: &KeyPath,
    raw: BTreeMap<String, Option<RawConnectionParam>>,
) -> BTreeMap<String, ConnectionParam> {
    let mut params = BTreeMap::new();
    for (name, raw) in raw {
        if name.trim().is_empty() {
            report.problem(&at.key(&name), "a parameter needs a name");
        }
        let raw = raw.unwrap_or_default();
        let from = raw.from.map(|from| match from {
            RawParamSource::Discovery => ParamSource::Discovery,
            RawParamSource::TokenResponse => ParamSource::TokenResponse,
        });
        if raw.field.is_some() && from.is_none() {
            report.problem(&at.key(&name).key("field"), "means something together with `from` only");
        }
        let param = ConnectionParam {
            required: raw.required.unwrap_or_default(),
            description: trimmed(raw.description),
            default: raw.default,
            from,
            field: trimmed(raw.field),
        };
        params.insert(name, param);
    }
    params
}

/// Checks a discovery.
pub(crate) fn discovery(report: &mut Report<'_>, at: &KeyPath, raw: RawDiscovery) -> Option<Discovery> {
    let url = report.needed(&at.key("url"), raw.url, "what answers with the list");
    let url = url.and_then(|url| report.template_url(&at.key("url"), Some(&url)));
    let metadata = paths(report, &at.key("metadata"), raw.metadata);
    Some(Discovery { url: url?, id_path: trimmed(raw.id_path), name_path: trimmed(raw.name_path), metadata })
}

/// Dotted paths by name; none is blank.
fn paths(
    report: &mut Report<'_>,
    at: &KeyPath,
    raw: Option<BTreeMap<String, Option<String>>>,
) -> BTreeMap<String, String> {
    let mut paths = BTreeMap::new();
    for (name, path) in raw.into_iter().flatten() {
        match trimmed(path) {
            Some(path) if !name.trim().is_empty() => {
                paths.insert(name, path);
            }
            _ => report.problem(&at.key(&name), "needs a name and a path"),
        }
    }
    paths
}

fn post_connect(report: &mut Report<'_>, at: &KeyPath, raw: RawPostConnect) -> Option<PostConnect> {
    let request = raw.request.unwrap_or_default();
    let request_at = at.key("request");
    let method = trimmed(request.method).unwrap_or_else(|| "GET".to_owned()).to_ascii_uppercase();
    if !matches!(method.as_str(), "GET" | "POST") {
        report.problem(&request_at.key("method"), "must be `GET` or `POST`");
    }
    let url_at = request_at.key("url");
    let url = match trimmed(request.url) {
        None => {
            report.problem(&url_at, "is required");
            None
        }
        Some(text) if !text.starts_with("https://") => {
            report.problem(&url_at, "must begin with https://");
            None
        }
        Some(text) => report.template_url(&url_at, Some(&text)),
    };
    let headers = texts(request.headers);
    for (name, _) in headers.iter().filter(|(name, value)| !is_header_name(name) || value.trim().is_empty()) {
        report.problem(&request_at.key("headers").key(name), "needs the name of a header and a value");
    }
    let success = raw.success.and_then(|raw| {
        let path = trimmed(raw.path);
        if path.is_none() {
            report.problem(&at.dotted("success.path"), "is required");
        }
        Some((path?, raw.equals.unwrap_or(serde_json::Value::Null)))
    });
    let external_identity = raw.external_identity.and_then(|raw| {
        let (kind, id) = (trimmed(raw.kind), trimmed(raw.id));
        for (key, _) in [("type", &kind), ("id", &id)].into_iter().filter(|(_, text)| text.is_none()) {
            report.problem(&at.key("externalIdentity").key(key), "is required");
        }
        Some((kind?, id?))
    });
    let metadata = paths(report, &at.key("metadata"), raw.metadata);
    let asks = report.tree.find(&at.key("externalIdentity")).node.is_some_and(|n| !matches!(n.tree, Tree::Null));
    if !asks && metadata.is_empty() {
        report.problem(at, "asks for nothing: it needs `externalIdentity` or `metadata`");
    }
    Some(PostConnect {
        method,
        url: url?,
        headers,
        source_path: trimmed(raw.source_path),
        success,
        external_identity,
        metadata,
    })
}

/// Checks when credentials are renewed: both durations, and both above zero.
pub(crate) fn refresh(report: &mut Report<'_>, at: &KeyPath, raw: RawRefresh) -> Option<CredentialRefresh> {
    let mut required = |key: &str, text: Option<String>| {
        let at = at.key(key);
        let text = report.needed(&at, text, "a duration such as `15m`")?;
        report.some_duration(&at, &text)
    };
    let interval = required("refreshInterval", raw.refresh_interval);
    let before_expiry = required("refreshBeforeExpiry", raw.refresh_before_expiry);
    Some(CredentialRefresh { interval: interval?, before_expiry: before_expiry? })
}

impl ConnectionParam {
    /// What it is called where it comes from.
    fn field_or<'a>(&'a self, name: &'a str) -> &'a str {
        self.field.as_deref().unwrap_or(name)
    }
}
