//! `connections`, and the bindings of apps and agent providers to them.

use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Connections, by name.
pub(crate) type RawConnections = BTreeMap<String, Option<RawConnection>>;

/// A connection, or a binding to one.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawConnection {
    /// Bindings only: the top-level connection meant.
    #[serde(rename = "ref")]
    pub(crate) reference: Option<String>,
    /// Name for people.
    pub(crate) display_name: Option<String>,
    /// Bindings only: who may choose the connection.
    pub(crate) exposure: Option<RawExposure>,
    /// Whose credentials are used.
    pub(crate) mode: Option<RawConnectionMode>,
    /// How credentials are obtained and sent.
    pub(crate) auth: Option<RawAuth>,
    /// What else a connection knows: a fixed value, or how to find it out.
    pub(crate) params: Option<BTreeMap<String, Option<RawParam>>>,
    /// What is asked for after connecting.
    pub(crate) discovery: Option<RawDiscovery>,
    /// Refresh ahead of time.
    pub(crate) credential_refresh: Option<RawRefresh>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum RawConnectionMode {
    None,
    Subject,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum RawExposure {
    User,
    Internal,
}

/// How credentials are obtained and sent.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawAuth {
    /// The strategy.
    #[serde(rename = "type")]
    pub(crate) kind: Option<RawAuthKind>,
    /// Where the user's browser is sent.
    pub(crate) authorization_url: Option<String>,
    /// Where codes and refresh tokens are exchanged.
    pub(crate) token_url: Option<String>,
    /// The deployment's client.
    pub(crate) client_id: Option<String>,
    /// The deployment's client.
    pub(crate) client_secret: Option<String>,
    /// Where the browser comes back; derived from `server.baseUrl` when absent.
    pub(crate) redirect_url: Option<String>,
    /// Where client credentials travel.
    pub(crate) client_auth: Option<RawClientAuth>,
    /// Encoding of token requests.
    pub(crate) token_exchange: Option<RawTokenExchange>,
    /// What is asked for.
    pub(crate) scopes: Option<Vec<String>>,
    /// Name of the parameter that carries scopes.
    pub(crate) scope_param: Option<String>,
    /// Between scopes.
    pub(crate) scope_separator: Option<String>,
    /// Proof key for code exchange.
    pub(crate) pkce: Option<bool>,
    /// More parameters of the authorization request.
    pub(crate) authorization_params: Option<BTreeMap<String, Option<String>>>,
    /// More parameters of the token request.
    pub(crate) token_params: Option<BTreeMap<String, Option<String>>>,
    /// More parameters of the refresh request.
    pub(crate) refresh_params: Option<BTreeMap<String, Option<String>>>,
    /// `Accept` of token requests.
    pub(crate) accept_header: Option<String>,
    /// Dotted path of the access token in the answer.
    pub(crate) access_token_path: Option<String>,
    /// Fields of the answer kept with the connection.
    pub(crate) token_metadata: Option<Vec<String>>,
    /// Before the token in a header, instead of `Bearer `.
    pub(crate) token_prefix: Option<String>,
    /// `manual`: fields of the form.
    pub(crate) credentials: Option<Vec<RawCredential>>,
    /// `manual`: which field travels where.
    pub(crate) auth_mapping: Option<RawAuthMapping>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RawAuthKind {
    Oauth2,
    Manual,
    Bearer,
    None,
    McpOauth,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum RawClientAuth {
    Body,
    Header,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum RawTokenExchange {
    Form,
    Json,
}

/// A field of the form a user fills in.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawCredential {
    /// Lower case with underscores.
    pub(crate) name: Option<String>,
    /// Shown instead of the name.
    pub(crate) label: Option<String>,
    /// Shown below the label.
    pub(crate) description: Option<String>,
}

/// Which field travels where.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawAuthMapping {
    /// Headers, by name.
    pub(crate) headers: Option<BTreeMap<String, Option<RawAuthValue>>>,
    /// Basic authentication.
    pub(crate) basic: Option<RawBasic>,
}

/// Basic authentication.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawBasic {
    /// User.
    pub(crate) username: Option<RawAuthValue>,
    /// Password.
    pub(crate) password: Option<RawAuthValue>,
}

/// Exactly one of the two.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawAuthValue {
    /// The same for everybody.
    pub(crate) value: Option<String>,
    /// Taken from the user's credential.
    pub(crate) value_from: Option<RawValueFrom>,
}

/// Where a value is taken from.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawValueFrom {
    /// A field of the form.
    pub(crate) credential_field_ref: Option<RawFieldRef>,
}

/// A field of the form.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawFieldRef {
    /// One of `credentials`.
    pub(crate) name: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum RawParam {
    Value(String),
    Rule(RawParamRule),
}

/// A parameter of a connection.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawParamRule {
    /// Whether a connection must have it.
    pub(crate) required: Option<bool>,
    /// For people.
    pub(crate) description: Option<String>,
    /// Used when nothing says otherwise.
    pub(crate) default: Option<String>,
    /// `discovery`, `tokenResponse`, …; asked of the user when absent.
    pub(crate) from: Option<String>,
    /// Its name there.
    pub(crate) field: Option<String>,
}

/// A list of resources to choose from after connecting.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawDiscovery {
    /// Answers with the list.
    pub(crate) url: Option<String>,
    /// Dotted path of a resource's id.
    pub(crate) id_path: Option<String>,
    /// Dotted path of a resource's name.
    pub(crate) name_path: Option<String>,
    /// Parameters of the connection: dotted paths in the chosen resource.
    pub(crate) metadata: Option<BTreeMap<String, Option<String>>>,
}

/// Refresh ahead of time.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawRefresh {
    /// How often credentials are looked through.
    pub(crate) refresh_interval: Option<String>,
    /// How long before it expires a credential is refreshed.
    pub(crate) refresh_before_expiry: Option<String>,
}
