//! Hosted HTTP bindings and the schemes that guard them, as manifests write them and as a deployment overrides them.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// How a hosted request proves where it comes from.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "SecurityScheme")]
pub(crate) struct RawSecurityScheme<Secret = RawSecretPlace> {
    /// What kind of proof it is.
    #[serde(rename = "type")]
    pub(crate) kind: Option<RawSchemeKind>,
    /// For people.
    pub(crate) description: Option<String>,
    /// `hmac`: header with the digest.
    pub(crate) signature_header: Option<String>,
    /// `hmac`: what stands before the digest.
    pub(crate) signature_prefix: Option<String>,
    /// `hmac`: what is signed, with `{raw_body}` and `{header:Name}`.
    pub(crate) payload_template: Option<String>,
    /// `hmac`: header with the Unix time of the request.
    pub(crate) timestamp_header: Option<String>,
    /// `hmac`: how old a request may be.
    pub(crate) max_age_seconds: Option<i64>,
    /// `apiKey`: header or query parameter.
    pub(crate) name: Option<String>,
    /// `apiKey`: where it stands.
    #[serde(rename = "in")]
    pub(crate) location: Option<RawKeyLocation>,
    /// `http`: how the `Authorization` header is read.
    pub(crate) scheme: Option<RawHttpScheme>,
    /// What both sides know.
    pub(crate) secret: Option<Secret>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum RawSchemeKind {
    Hmac,
    ApiKey,
    Http,
    None,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum RawKeyLocation {
    Header,
    Query,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum RawHttpScheme {
    Basic,
    Bearer,
}

/// What both sides know: exactly one of these says where it is.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawSecretPlace {
    /// An environment variable.
    pub(crate) env: Option<String>,
    /// A name the secrets provider knows.
    pub(crate) secret: Option<String>,
}

/// In a deployment: what both sides know, or where it is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum RawSchemeSecret {
    Value(String),
    Place(RawSecretPlace),
}

/// A route of its own for one operation.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "HttpBinding")]
pub(crate) struct RawHttpBinding<Mode = String> {
    /// Path below the app's own prefix.
    pub(crate) path: Option<String>,
    /// GET, POST, PUT, PATCH or DELETE.
    pub(crate) method: Option<String>,
    /// `none`: the operation runs without credentials. `subject`: with the caller's.
    pub(crate) credential_mode: Option<Mode>,
    /// One of `securitySchemes`.
    pub(crate) security: Option<String>,
    /// The operation.
    pub(crate) target: Option<String>,
    /// What bodies are taken.
    pub(crate) request_body: Option<RawRequestBody>,
    /// Answers at once, and lets the operation run on.
    pub(crate) ack: Option<RawAck>,
}

/// What bodies are taken.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawRequestBody {
    /// Whether a request must have one.
    pub(crate) required: Option<bool>,
    /// Media types, each with an empty map; `*/*` is any.
    pub(crate) content: Option<BTreeMap<String, Option<Map<String, Value>>>>,
}

/// An answer that does not wait.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawAck {
    /// 200 to 299; 200 when absent.
    pub(crate) status: Option<i64>,
    /// Its headers.
    pub(crate) headers: Option<BTreeMap<String, Option<String>>>,
    /// Its body: any JSON.
    pub(crate) body: Option<Value>,
}
