//! `apps.<name>.securitySchemes` and `.http`: what a deployment changes of an app's webhooks.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// How a webhook proves where it comes from.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawSecurityScheme {
    /// The way.
    #[serde(rename = "type")]
    pub(crate) kind: Option<RawSchemeKind>,
    /// For people.
    pub(crate) description: Option<String>,
    /// `hmac`: carries the signature.
    pub(crate) signature_header: Option<String>,
    /// `hmac`: before the signature.
    pub(crate) signature_prefix: Option<String>,
    /// `hmac`: what is signed.
    pub(crate) payload_template: Option<String>,
    /// `hmac`: carries the time.
    pub(crate) timestamp_header: Option<String>,
    /// `hmac`: how old a request may be.
    pub(crate) max_age_seconds: Option<i64>,
    /// `apiKey`: of the header or parameter.
    pub(crate) name: Option<String>,
    /// `apiKey`: where it travels.
    #[serde(rename = "in")]
    pub(crate) location: Option<RawKeyLocation>,
    /// `http`: how it travels.
    pub(crate) scheme: Option<RawHttpScheme>,
    /// What the caller must know.
    pub(crate) secret: Option<RawSchemeSecret>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
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

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum RawSchemeSecret {
    Value(String),
    Form(RawSchemeSecretForm),
}

/// Where the secret comes from: one of the two.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawSchemeSecretForm {
    /// An environment variable of the daemon.
    pub(crate) env: Option<String>,
    /// The name of a secret.
    pub(crate) secret: Option<String>,
}

/// A route of an app for requests from elsewhere.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawHttpBinding {
    /// Below `/api/v1/<app>`.
    pub(crate) path: Option<String>,
    /// HTTP method.
    pub(crate) method: Option<String>,
    /// A security scheme of the app.
    pub(crate) security: Option<String>,
    /// An operation of the app.
    pub(crate) target: Option<String>,
    /// Whose credentials the operation gets.
    pub(crate) credential_mode: Option<super::connections::RawConnectionMode>,
    /// What is accepted.
    pub(crate) request_body: Option<RawRequestBody>,
    /// Answered before the operation has run.
    pub(crate) ack: Option<RawAck>,
}

/// What a route accepts.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawRequestBody {
    /// Whether there must be one.
    pub(crate) required: Option<bool>,
    /// Media types; the values are empty maps.
    pub(crate) content: Option<BTreeMap<String, Option<Map<String, Value>>>>,
}

/// An answer before the operation has run.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawAck {
    /// 2xx.
    pub(crate) status: Option<i64>,
    /// By name.
    pub(crate) headers: Option<BTreeMap<String, Option<String>>>,
    /// Any JSON.
    pub(crate) body: Option<Value>,
}
