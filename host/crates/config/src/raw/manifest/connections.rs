//! Connections to upstreams, as manifests write them: much as configs do, and more.

use crate::raw::connections::{
    RawAuthKind, RawAuthMapping, RawClientAuth, RawCredential, RawDiscovery, RawExposure, RawRefresh, RawTokenExchange,
};
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

/// A connection to an upstream.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawConnection {
    /// Name for people.
    pub(crate) display_name: Option<String>,
    /// `none`: no credentials. `subject`: one credential per caller.
    pub(crate) mode: Option<String>,
    /// `user`: shown to people. `internal`: for the app's own use.
    pub(crate) exposure: Option<RawExposure>,
    /// How credentials come about.
    pub(crate) auth: Option<RawAuth>,
    /// Values that differ from one credential to the next.
    pub(crate) params: Option<BTreeMap<String, Option<RawConnectionParam>>>,
    /// Looks up, right after connecting, what the credential is for.
    pub(crate) discovery: Option<RawDiscovery>,
    /// One more request right after connecting.
    pub(crate) post_connect: Option<RawPostConnect>,
    /// Renews credentials before they are needed.
    pub(crate) credential_refresh: Option<RawRefresh>,
}

/// How credentials come about.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawAuth {
    /// What kind of credential it is.
    #[serde(rename = "type")]
    pub(crate) kind: Option<RawAuthKind>,
    /// OAuth: where the browser is sent.
    pub(crate) authorization_url: Option<String>,
    /// OAuth: where codes become tokens.
    pub(crate) token_url: Option<String>,
    /// OAuth: who we are.
    pub(crate) client_id: Option<String>,
    /// OAuth: and how we prove it.
    pub(crate) client_secret: Option<String>,
    /// OAuth: where the token request carries the client's credentials.
    pub(crate) client_auth: Option<RawClientAuth>,
    /// OAuth: how the token request is encoded.
    pub(crate) token_exchange: Option<RawTokenExchange>,
    /// OAuth: what is asked for.
    pub(crate) scopes: Option<Vec<String>>,
    /// OAuth: the parameter that carries the scopes; `scope` when absent.
    pub(crate) scope_param: Option<String>,
    /// OAuth: what stands between scopes; a space when absent.
    pub(crate) scope_separator: Option<String>,
    /// OAuth: whether the code is bound to this browser.
    pub(crate) pkce: Option<bool>,
    /// OAuth: more parameters of the authorization URL.
    pub(crate) authorization_params: Option<BTreeMap<String, Option<String>>>,
    /// OAuth: more parameters of the token request.
    pub(crate) token_params: Option<BTreeMap<String, Option<String>>>,
    /// OAuth: more parameters of the refresh request.
    pub(crate) refresh_params: Option<BTreeMap<String, Option<String>>>,
    /// OAuth: the `Accept` header of the token request.
    pub(crate) accept_header: Option<String>,
    /// OAuth: where in the answer the token stands, when not in `access_token`.
    pub(crate) access_token_path: Option<String>,
    /// OAuth: what of the answer is kept as parameters of the connection.
    pub(crate) token_metadata: Option<Vec<String>>,
    /// What stands before the token in the `Authorization` header; `Bearer ` when absent.
    pub(crate) token_prefix: Option<String>,
    /// What people are asked for.
    pub(crate) credentials: Option<Vec<RawCredential>>,
    /// Where in a request the credential travels.
    pub(crate) auth_mapping: Option<RawAuthMapping>,
}

/// A value that differs from one credential to the next.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawConnectionParam {
    /// Whether a connection is of no use without it.
    pub(crate) required: Option<bool>,
    /// What it means.
    pub(crate) description: Option<String>,
    /// Used when there is no other value.
    pub(crate) default: Option<String>,
    /// What supplies it: `discovery` or `tokenResponse`. People are asked when absent.
    pub(crate) from: Option<RawParamSource>,
    /// Its name there, when it differs.
    pub(crate) field: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum RawParamSource {
    Discovery,
    TokenResponse,
}

/// A request right after connecting that says whose credential it is.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawPostConnect {
    /// What is asked.
    pub(crate) request: Option<RawPostConnectRequest>,
    /// Where in the answer everything below starts.
    pub(crate) source_path: Option<String>,
    /// What the answer must say.
    pub(crate) success: Option<RawSuccess>,
    /// Who the upstream says it is.
    pub(crate) external_identity: Option<RawExternalIdentity>,
    /// Parameters of the connection, and where in the answer each stands.
    pub(crate) metadata: Option<BTreeMap<String, Option<String>>>,
}

/// What is asked.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawPostConnectRequest {
    /// GET or POST.
    pub(crate) method: Option<String>,
    /// Absolute https URL.
    pub(crate) url: Option<String>,
    /// More headers.
    pub(crate) headers: Option<BTreeMap<String, Option<String>>>,
}

/// What the answer must say.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawSuccess {
    /// Where it stands.
    pub(crate) path: Option<String>,
    /// And what it is.
    pub(crate) equals: Option<serde_json::Value>,
}

/// Who the upstream says it is.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawExternalIdentity {
    /// What kind of account it is.
    #[serde(rename = "type")]
    pub(crate) kind: Option<String>,
    /// Where in the answer its identifier stands.
    pub(crate) id: Option<String>,
}
